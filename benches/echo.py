"""`python -m benches.echo`: sends back what comes, on the daemon's own kind of loop: the price of sockets and loop alone."""

import asyncio
import socket
import sys

from runtime.io.lifecycle import Lifecycle, announce, run


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As the daemon sets its sockets up."""
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Back with it."""
        self.transport.write(data)  # type: ignore[attr-defined]  # uvloop's transports are no subclasses of asyncio's


async def serve(lifecycle: Lifecycle) -> int:
    """Until SIGTERM."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    announce({"tcp": f"{host}:{port}"})
    await lifecycle.stopping.wait()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(run(serve))
