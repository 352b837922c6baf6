"""Auction mechanisms as pure functions of bids. Knows `etp.units` and nothing else."""
