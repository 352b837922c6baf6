"""What auction theory says of independent private values, and whether the mechanisms and the cores that ship do it."""
