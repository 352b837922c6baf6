"""What of settlement touches the world: the RPCs of a chain, and the shell around the settler."""
