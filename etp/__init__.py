"""The Energy Trading Protocol: frames, sessions, discovery. Pure; sockets live in `etp.io`."""
