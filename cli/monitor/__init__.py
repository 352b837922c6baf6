"""`etp monitor`: the market in a terminal."""
