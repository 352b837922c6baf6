"""`etp doctor`: whether this machine is fit to trade, and what to change."""
