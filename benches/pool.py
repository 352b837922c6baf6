"""Many client connections on one epoll, without an event loop between them and their bytes."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from benches.wire import Wire

W = TypeVar("W", bound=Wire)
CONNECT_S: Final = 20.0
READ: Final = 65_536
EVENTS: Final = 64
"""Sockets read before the schedule is looked at again."""


class PoolError(Exception):
    """The server closed a connection, or did not answer its greeting."""


class Line(Generic[W]):
    """One connection."""

    __slots__ = ("open", "sock", "wire")

    def __init__(self, sock: socket.socket, wire: W) -> None:
        self.sock, self.wire = sock, wire
        self.open: dict[float, float] = {}
        """Unanswered bids: price in c/kWh → the instant that they are measured from."""

    def send(self, packet: bytes | bytearray) -> None:
        """Send all of it; a client never has so much on its way that this blocks."""
        self.sock.send(packet)


class Pool(Generic[W]):
    """See the module."""

    def __init__(self, lines: list[Line[W]]) -> None:
        self.lines = lines
        self._epoll = select.epoll()
        self._by_fd = {line.sock.fileno(): line for line in lines}
        for fd in self._by_fd:
            self._epoll.register(fd, select.EPOLLIN)

    def wait(self, seconds: float, on_data: Callable[[Line[W], bytes], None]) -> None:
        """Hand over what came, waiting for it up to `seconds`. Raises PoolError where a connection ends."""
        ready = self._epoll.poll(0, EVENTS)
        if not ready and seconds > 0:
            # epoll counts in ms, select in µs: the schedule needs the finer one.
            select.select([self._epoll], [], [], seconds)
            ready = self._epoll.poll(0, EVENTS)
        for fd, _ in ready:
            line = self._by_fd[fd]
            data = line.sock.recv(READ)
            if not data:
                raise PoolError("the server closed a connection")
            on_data(line, data)

    def close(self) -> None:
        """Close all."""
        self._epoll.close()
        for line in self.lines:
            line.sock.close()


@contextmanager
def connected(address: tuple[str, int], wires: list[W]) -> Iterator[Pool[W]]:
    """A connection per wire, greeted. Raises PoolError, OSError."""
    lines: list[Line[W]] = []
    try:
        for wire in wires:
            lines.append(Line(socket.create_connection(address, timeout=CONNECT_S), wire))
            _greet(lines[-1])
        pool = Pool(lines)
    except BaseException:
        for line in lines:
            line.sock.close()
        raise
    try:
        yield pool
    finally:
        pool.close()


def _greet(line: Line[W]) -> None:
    line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    hello = line.wire.hello()
    deadline = time.monotonic() + CONNECT_S
    if hello:
        line.sock.sendall(hello)
        while not line.wire.welcomed(line.sock.recv(READ)):
            if time.monotonic() > deadline:
                raise PoolError("no answer to the greeting")
