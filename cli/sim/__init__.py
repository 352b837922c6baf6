"""`etp sim`: seeded markets in which everything goes wrong."""
