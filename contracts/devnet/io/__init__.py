"""The socket, the ledger's file and the daemon of `etp devnet`."""
