"""Shells of the protocol cores: TCP sessions and UDP multicast on asyncio."""
