"""Where connections come in: how many may be open, and how many of one address that have not said enough to be a websocket.

They are counted as they are accepted, before TLS: one without a handshake holds a file as well, and no other layer sees it. One too
many is closed without a word, since before the handshake there is none that it would understand. It accepts by itself,
because a loop's own server asks nobody, and uvloop's not even the socket.
"""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias

import structlog

from gateway.access import is_loopback_address, is_proxy, network_of
from gateway.limits import Limits

TOLD: Final = 64
"""Connections beyond `Limits.connections` that are accepted, to be told that there is no room (503)."""
AT_ONCE: Final = 128
"""Connections accepted in one turn of the loop: the others have theirs in between."""
AGAIN_S: Final = 1.0
"""After the system had no file left for a connection, s."""
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
Peer: TypeAlias = tuple[str, int]
"""(address, port): names one open connection."""
Serve: TypeAlias = Callable[[socket.socket], Coroutine[Any, Any, object]]


class Door:
    """See the module. `proxies` speak for many, and are not counted by address; nor is this machine."""

    def __init__(self, listening: socket.socket, serve: Serve, limits: Limits, proxies: Sequence[str]) -> None:
        """`serve` begins a connection, and raises OSError where there is none after all."""
        listening.setblocking(False)
        self._listening, self._serve, self._limits, self._proxies = listening, serve, limits, tuple(proxies)
        self._loop = asyncio.get_running_loop()
        self._inside: dict[Peer, str | None] = {}
        """Connections that are open, and to whose count they belong; None: to nobody's."""
        self._counts: Counter[str] = Counter()
        self._beginning: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger()

    def open(self) -> None:
        """Let them in."""
        self._loop.add_reader(self._listening, self._accept)

    def shut(self) -> None:
        """Let nobody in any more, and send away those that have not begun."""
        self._loop.remove_reader(self._listening)
        if self._again is not None:
            self._again.cancel()
        for task in self._beginning:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                found, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._log.error("connections_wait", kind="files", error=error.strerror)
                self._loop.remove_reader(self._listening)
                self._again = self._loop.call_later(AGAIN_S, self.open)
                return
            self._enter(found, address[:2])

    def _enter(self, found: socket.socket, peer: Peer) -> None:
        network = self._network(peer)
        full = network is not None and self._counts[network] >= self._limits.connections_per_address
        if full or len(self._inside) >= self._limits.connections + TOLD:
            found.close()
            self._log.warning("connection_refused", kind="connections", address=peer[0], open=len(self._inside))
            return
        self._inside[peer] = network
        if network is not None:
            self._counts[network] += 1
        found.setblocking(False)
        task = self._loop.create_task(self._begin(found, peer))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, found: socket.socket, peer: Peer) -> None:
        begun = False
        try:
            await self._serve(found)
            begun = True
        except (
            OSError
        ):  # no handshake within its time, or none that could be one: TimeoutError and SSLError are such, too
            pass
        finally:
            if not begun:
                self.left(peer)

    def _network(self, peer: Peer) -> str | None:
        """Whose connection it is; None: nobody's to count."""
        address = peer[0]
        return None if is_loopback_address(address) or is_proxy(address, self._proxies) else network_of(address)

    def known(self, peer: Peer) -> None:
        """It is a websocket now: those are of who logs in, and nodes' places are counted elsewhere."""
        if peer in self._inside:
            self._uncount(self._inside[peer])
            self._inside[peer] = None

    def left(self, peer: Peer) -> None:
        """It is over."""
        self._uncount(self._inside.pop(peer, None))

    def _uncount(self, network: str | None) -> None:
        if network is not None:
            self._counts[network] -= 1
            if not self._counts[network]:
                del self._counts[network]
