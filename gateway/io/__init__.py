"""The gateway on real sockets, files and clocks."""
