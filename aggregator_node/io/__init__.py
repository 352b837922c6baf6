"""The buyer's shell: settings, sockets, journal."""
