"""The soak: a real market in network namespaces, killed and cut off for an hour, and what it kept of its promises."""
