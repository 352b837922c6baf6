"""`python -m benches.echo`: sends back what comes by TCP and UDP, on the daemon's own kind of loop: the price of sockets and loop."""

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


class Datagrams(asyncio.DatagramProtocol):
    """Each back to where it came from."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Back with it."""
        self.transport.sendto(data, addr)  # type: ignore[attr-defined]  # as above


async def serve(lifecycle: Lifecycle) -> int:
    """Until SIGTERM."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
    datagrams, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
    places = {"tcp": server.sockets[0].getsockname(), "udp": datagrams.get_extra_info("sockname")}
    announce({name: f"{host}:{port}" for name, (host, port) in places.items()})
    await lifecycle.stopping.wait()
    datagrams.close()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(run(serve))
