"""The buyer's daemon: discovery, demand, bidding, confirmations. Pure but for `io` and `__main__`."""
