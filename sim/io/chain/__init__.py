"""The real runtime and program under virtual time, and RPCs between it and the nodes that fail, lie and forget."""
