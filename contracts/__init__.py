"""Settlement on Solana will live here: pure instructions, outbox and settler; the RPC in `io`."""
