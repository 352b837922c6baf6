"""`etp demo`: recorded days replayed by real daemons, each a process of its own."""
