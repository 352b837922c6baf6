"""The seller's shell: settings, sockets, journal."""
