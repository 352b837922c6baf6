"""The local chain: LiteSVM, which is Solana's own runtime, behind Solana's JSON-RPC.

Time and requests come in, answers and records go out; sockets and files are `io`'s.

`Bank` (bank.py) is the whole of it for a caller: `advance(now)`, `handle(request, now)`, `take_records()`.
"""
