"""The way from a host to the local chain, which listens on loopback alone: over the host's own cable, so that a cut cuts it too."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from benches.soak.hosts import BRIDGE, Host

READ: Final = 65_536
LONGEST_S: Final = 60.0
"""A connection through a cut is given up after so long without a byte."""

Open = Callable[[], socket.socket]


class Relay:
    """From a listening socket to an address, each connection by a socket of the caller's."""

    def __init__(self, listening: socket.socket, target: tuple[str, int], opened: Open) -> None:
        self._listening, self._target, self._opened = listening, target, opened
        self._served: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Serve."""
        self._server = await asyncio.start_server(self._serve, sock=self._listening)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        try:
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                await self._join(reader, writer)
        finally:
            self._served.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = self._opened()
        try:
            await asyncio.get_running_loop().sock_connect(sock, self._target)
            far_reader, far_writer = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, far_writer))
                both.create_task(_copy(far_reader, writer))
        except* (OSError, TimeoutError):
            pass  # one of them is gone, so both are
        finally:
            far_writer.close()

    async def close(self) -> None:
        """Let go of everybody."""
        if self._server is not None:
            self._server.close()
        for task in list(self._served):
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await asyncio.wait_for(reader.read(READ), LONGEST_S):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def reachable(port: int, hosts: list[Host]) -> list[Relay]:
    """127.0.0.1:`port` of this machine is 127.0.0.1:`port` of every host too."""
    bridge = socket.socket()
    bridge.bind((BRIDGE, 0))
    door = bridge.getsockname()
    relays = [Relay(bridge, ("127.0.0.1", port), _here)]
    for host in hosts:
        listening = host.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        relays.append(Relay(listening, door, host.socket))
    for relay in relays:
        await relay.start()
    return relays


def _here() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    return made
