"""The seller's daemon: a battery, a reserve price, an auction, a durable promise. Pure but for `io` and `__main__`."""
