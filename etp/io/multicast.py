"""UDP on asyncio: the group socket, the unicast socket, one timer, around a discovery core.

Two sockets. The *group* socket is bound to the group's own address, so that only what was sent to the group arrives
there. The *unicast* socket is bound to the node's address and sends everything, so that the source of a datagram is the
address to answer, and for a BESS the one to dial: `bind_pair` gives it the port number of the TCP listener. IPv4 only,
as the group is; on Linux and the BSDs (a group address cannot be bound on Windows).

asyncio-dgram queues without bound; its streams are built here around queues that drop and count. Tasks of
`MulticastShell.run` read them, at most 64 datagrams a turn; one more task sends, woken by a reader or the timer.
"""

import asyncio
import errno
import socket
import struct
import sys
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TypeAlias, cast

from asyncio_dgram import TransportClosed
from asyncio_dgram.aio import DatagramServer
from asyncio_dgram.aio import Protocol as StreamProtocol

from etp.clock import Now
from etp.discovery import Event
from etp.discovery_limits import Address
from etp.errors import EtpError
from etp.frame import FRAME_SIZE
from etp.units import MonotonicS

QUEUED_DATAGRAMS: Final = 1024
"""Datagrams waiting in one stream, new ones dropped beyond it: 1,024 × (84 B + 0.2 kB of objects) = 0.3 MB, and more
than one Query draws from 1,000 batteries."""
QUEUED_ERRORS: Final = 16
"""Errors of the operating system waiting in one stream; they are only counted."""
DATAGRAMS_PER_TURN: Final = 64
"""Datagrams handled before everything else on the loop gets its turn: 64 × 10 µs keep a Bid waiting for under 1 ms."""
BIND_TRIES: Final = 64
"""Ports tried until TCP and UDP are both free on one: even with half of all UDP ports taken, 2⁻⁶⁴ fail."""
BACKLOG: Final = 1024
"""Connections waiting to be accepted: 1,000 aggregators dial a new battery at once."""
HOPS: Final = 1
"""TTL of what is sent to the group: never past the first router (design §3)."""
_IP_MULTICAST_ALL: Final = 49  # linux/in.h; the socket module has no name for it


class SocketError(EtpError):
    """The operating system refused a socket at an address."""

    def __init__(self, address: Address, reason: str) -> None:
        self.address, self.reason = address, reason
        super().__init__(f"{address[0]}:{address[1]}: {reason}")


class AddressInUse(SocketError):
    """Another socket has the port."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, "the port is in use; choose another one, or 0 for any that is free")


class DatagramCore(Protocol):
    """What the shell drives: `BessDiscovery` or `AggregatorDiscovery`."""

    def receive_datagram(self, data: bytes, source: Address, now: Now) -> None:
        """Take one datagram."""

    def advance(self, now: Now) -> None:
        """Do what is due."""

    def datagrams_to_send(self, now: Now) -> list[tuple[bytes, Address]]:
        """What leaves now, and where to."""

    def events(self) -> Iterator[Event]:
        """What happened since the last call."""

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""


# -- sockets


def bind_pair(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A listening TCP and a UDP socket with one port number; port 0: any that both can have.

    Raises AddressInUse where the port (or, for port 0, each of 64) is taken, SocketError for any other refusal.
    """
    for _ in range(BIND_TRIES if port == 0 else 1):
        listener = _listen(host, port)
        try:
            return listener, bind_unicast(*_address_of(listener))
        except AddressInUse:
            listener.close()
        except SocketError:
            listener.close()
            raise
    raise AddressInUse((host, port))


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A restarted node takes its port back at once, connections of its last life notwithstanding.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bind(listener, host, port)
    try:
        listener.listen(BACKLOG)  # here and not later: until then a second socket could bind the same port
    except OSError as error:
        listener.close()
        raise _refused(error, (host, port)) from error
    return listener


def bind_unicast(host: str, port: int = 0) -> socket.socket:
    """A UDP socket of our own, shared with nobody. Raises AddressInUse or SocketError."""
    unicast = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    _bind(unicast, host, port)
    return unicast


def join_group(group: Address, interface: str) -> socket.socket:
    """A UDP socket that hears what is sent to the group on the interface with this address, beside others of its kind.

    Raises SocketError where the group is none, or no interface has that address.
    """
    member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sys.platform == "linux":
        # Else what a neighbour process joined on another interface is delivered here as well.
        member.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    _bind(member, *group)
    try:
        membership = struct.pack("4s4s", socket.inet_aton(group[0]), socket.inet_aton(interface))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError as error:
        member.close()
        raise SocketError(group, f"cannot join this group on interface {interface}: {error}") from error
    return member


def _send_through(unicast: socket.socket, interface: str) -> None:
    try:
        unicast.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        unicast.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
        unicast.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    except OSError as error:
        raise SocketError(
            _address_of(unicast), f"cannot send to a group through interface {interface}: {error}"
        ) from error


def _address_of(bound: socket.socket | TransportSocket) -> Address:
    host, port = bound.getsockname()
    return host, port


def _bind(bound: socket.socket, host: str, port: int) -> None:
    bound.setblocking(False)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise _refused(error, (host, port)) from error


def _refused(error: OSError | OverflowError, address: Address) -> SocketError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return AddressInUse(address)
    return SocketError(address, str(error))


# -- streams

_Datagram: TypeAlias = tuple[bytes | None, Any]
"""Bytes and their source, as the event loop hands them over; (None, None) at the end."""


class BoundedDatagrams(asyncio.Queue[_Datagram]):
    """The queue of one stream: at most `maximum` datagrams of at most `largest` bytes, the rest dropped and counted."""

    def __init__(self, maximum: int = QUEUED_DATAGRAMS, largest: int = FRAME_SIZE) -> None:
        super().__init__()
        self._most, self._largest = maximum, largest
        self.dropped = 0
        """Datagrams that found the queue full."""
        self.oversized = 0
        """Datagrams longer than the profile's messages."""
        self.high_water = 0
        """Most datagrams that ever waited."""
        self.ended = asyncio.Event()
        """Set once the socket's transport is gone."""

    def put_nowait(self, item: _Datagram) -> None:
        """Queue a datagram or count why not; never raises QueueFull. (None, None) is the end and is always taken."""
        data, _ = item
        if data is None:
            self.ended.set()
            super().put_nowait(item)
        elif len(data) > self._largest:
            self.oversized += 1
        elif self.qsize() >= self._most:
            self.dropped += 1
        else:
            super().put_nowait(item)
            self.high_water = max(self.high_water, self.qsize())


class BoundedErrors(asyncio.Queue[Exception]):
    """Errors of one stream, the newest dropped when there are too many unread; all counted."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        """Errors since the start."""

    def put_nowait(self, item: Exception) -> None:
        """Queue an error for the stream's next call, or only count it."""
        self.count += 1
        if self.qsize() < QUEUED_ERRORS:
            super().put_nowait(item)


class BoundedStream:
    """An asyncio-dgram stream on a socket of ours, with bounded queues."""

    def __init__(self, stream: DatagramServer, datagrams: BoundedDatagrams, errors: BoundedErrors) -> None:
        self._stream = stream
        self.datagrams, self.errors = datagrams, errors

    @classmethod
    async def open(cls, bound: socket.socket, largest: int = FRAME_SIZE) -> "BoundedStream":
        """Take over a bound, non-blocking socket; datagrams of more than `largest` bytes are dropped."""
        datagrams, errors, drained = BoundedDatagrams(largest=largest), BoundedErrors(), asyncio.Event()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: StreamProtocol(datagrams, errors, drained), sock=bound
        )
        # The library's stub asks for a protocol where its code takes, and needs, the transport.
        stream = DatagramServer(cast("Any", transport), datagrams, errors, drained)
        return cls(stream, datagrams, errors)

    @property
    def address(self) -> Address:
        """Where the socket is bound."""
        return _address_of(self._stream.socket)

    async def receive(self) -> tuple[bytes, Address]:
        """The next datagram; errors of earlier sends are passed over (they are counted). Raises TransportClosed."""
        while True:
            try:
                data, source = await self._stream.recv()
            except OSError:
                continue
            host, port = cast("Address", source)
            return data, (host, port)

    async def send(self, data: bytes, to: Address) -> None:
        """Send, waiting while the socket's buffer is full; errors are only counted. Raises TransportClosed."""
        self._pass_over_errors()
        try:
            await self._stream.send(data, to)
        except OSError as error:
            self.errors.put_nowait(error)

    def _pass_over_errors(self) -> None:
        # The stream would raise an earlier error instead of sending what is handed to it now.
        while not self.errors.empty():
            self.errors.get_nowait()

    def close(self) -> None:
        """Close the socket; whoever waits for a datagram gets TransportClosed."""
        self._stream.close()

    async def wait_closed(self) -> None:
        """After `close`: until the port is free again (a transport closes in the loop's next turn)."""
        await self.datagrams.ended.wait()


# -- the shell


class MulticastShell:
    """A discovery core on its two sockets. `run` it in the daemon's task group; it returns after `close`."""

    def __init__(
        self,
        core: DatagramCore,
        group: BoundedStream,
        unicast: BoundedStream,
        *,
        clock: Callable[[], Now],
        on_event: Callable[[Event], None],
    ) -> None:
        self._core, self._clock, self._on_event = core, clock, on_event
        self._group, self._unicast = group, unicast
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def address(self) -> Address:
        """Where replies come, and where datagrams come from."""
        return self._unicast.address

    @property
    def streams(self) -> tuple[BoundedStream, BoundedStream]:
        """The group's and the unicast stream, for their counters."""
        return self._group, self._unicast

    @property
    def dropped(self) -> int:
        """Datagrams that found their queue full."""
        return sum(stream.datagrams.dropped for stream in self.streams)

    @property
    def oversized(self) -> int:
        """Datagrams longer than the profile's messages."""
        return sum(stream.datagrams.oversized for stream in self.streams)

    @property
    def errors(self) -> int:
        """Errors of the operating system while sending or receiving."""
        return sum(stream.errors.count for stream in self.streams)

    async def run(self) -> None:
        """Serve until `close`, and until the ports are free. What the core or `on_event` raises ends it."""
        self._wake.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                for stream in self.streams:
                    tasks.create_task(self._read(stream))
                tasks.create_task(self._keep_time())
        finally:
            self.close()
            for stream in self.streams:
                await stream.wait_closed()

    def close(self) -> None:
        """Stop the timer and close both sockets."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for stream in self.streams:
            stream.close()
        self._wake.set()

    async def _read(self, stream: BoundedStream) -> None:
        try:
            while True:
                data, source = await stream.receive()
                now = self._clock()
                self._core.receive_datagram(data, source, now)
                # More only while they wait already: `receive` does not suspend then, so the turn stays one turn.
                for _ in range(min(DATAGRAMS_PER_TURN - 1, stream.datagrams.qsize())):
                    self._core.receive_datagram(*await stream.receive(), now)
                self._wake.set()
                await asyncio.sleep(0)
        except TransportClosed:
            return

    async def _keep_time(self) -> None:
        try:
            while not self._closed:
                await self._wake.wait()
                self._wake.clear()
                await self._turn()
        except TransportClosed:
            return

    async def _turn(self) -> None:
        now = self._clock()
        self._core.advance(now)
        for event in self._core.events():
            self._on_event(event)
        for data, to in self._core.datagrams_to_send(now):
            await self._unicast.send(data, to)
        self._rearm()

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline_s = self._core.next_deadline()
        if deadline_s is None or self._closed:
            return
        loop = asyncio.get_running_loop()
        # Relative, since the node's clock need not be the loop's.
        delay_s = max(0.0, deadline_s - self._clock().monotonic_s)
        self._timer = loop.call_at(loop.time() + delay_s, self._wake.set)


async def open_multicast(
    core: DatagramCore,
    group: Address,
    interface: str,
    *,
    listen: Address | socket.socket,
    clock: Callable[[], Now],
    on_event: Callable[[Event], None],
    largest: int = FRAME_SIZE,
) -> MulticastShell:
    """Join `group` on the interface with this address; send from `listen`: an address, or the UDP half of `bind_pair`.

    `largest`: the profile's size, bytes. A socket is closed with the shell, or at once where opening fails. Raises
    AddressInUse or SocketError.
    """
    unicast = listen if isinstance(listen, socket.socket) else bind_unicast(*listen)
    try:
        unicast.setblocking(False)
        _send_through(unicast, interface)
        member = join_group(group, interface)
    except SocketError:
        unicast.close()
        raise
    streams = [await BoundedStream.open(bound, largest) for bound in (member, unicast)]
    return MulticastShell(core, *streams, clock=clock, on_event=on_event)
