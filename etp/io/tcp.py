"""Sessions over TCP: one asyncio protocol around the session core, for both roles; a listener and a dialler.

What a connection has to say is written at the end of its turn. To write for all of them once a round would cost a busy node a tenth
less processor time in `plain`, and its peers would stand still meanwhile: in `signed` fewer bids would get through.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Protocol, cast

from etp.clock import Now
from etp.codes import TerminateCode
from etp.effects import Envelope
from etp.session import Event, Session
from etp.state import ALIVE, CLOSED, CLOSING
from etp.units import DeviceId

WRITE_HIGH_WATER = 64 * 1024
"""Bytes in one socket's buffer at which sending pauses; what waits then waits in the priority queue."""


BACKLOG = 1024
"""Connections waiting to be accepted: 1,000 aggregators dial a new battery at once."""


class Owner(Protocol):
    """Who holds connections: told of each event, and of the end."""

    def connected(self, connection: "Connection", now: Now) -> Session | None:
        """The session for a new connection; None: it was refused and is closed."""

    def happened(self, connection: "Connection", event: Event, now: Now) -> None:
        """An event of the connection's session."""

    def turned(self) -> None:
        """A turn of events is over: what they asked for may be carried out."""

    def disconnected(self, connection: "Connection", now: Now) -> None:
        """The socket is gone."""


class Connection(asyncio.Protocol):
    """One TCP connection. Frames of one session are handled at most `frames_per_turn` at a time."""

    def __init__(self, owner: Owner, clock: Callable[[], Now], expected: DeviceId | None = None) -> None:
        self.expected = expected
        """The device that was dialled; None: it is not known, or we were."""
        self._owner = owner
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._writable = True
        self._flush_due = False
        self._turn_due = False
        self._reading = True
        self._in_turn = False
        self.session: Session | None = None
        self.transport: asyncio.Transport | None = None
        self.address = ""
        """The peer's host."""
        self.remote = ""
        """The peer's HOST:PORT."""

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up and ask the owner for a session."""
        # uvloop's transports are no subclasses of asyncio's, so this is a cast and not a check
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.address, self.remote = (peer[0], f"{peer[0]}:{peer[1]}") if peer else ("", "")
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        now = self._clock()
        self.session = self._owner.connected(self, now)
        if self.session is None:
            self.transport.close()
            return
        self._after_turn(now)

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the session."""
        if self.session is not None:
            now = self._clock()
            self.session.receive_data(data, now)
            self._turn(now)

    def eof_received(self) -> bool:
        """The peer will send no more: what it sent whole is still handled."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The socket is gone."""
        if self._timer is not None:
            self._timer.cancel()
        if self.session is None:
            return
        now = self._clock()
        self.session.receive_eof(now)
        self._owner.disconnected(self, now)
        self._owner.turned()

    def pause_writing(self) -> None:
        """The socket is full: frames wait in the queue, by priority."""
        self._writable = False

    def resume_writing(self) -> None:
        """There is room again."""
        self._writable = True
        self._flush(self._clock())

    # -- the owner's side

    def send(self, envelope: Envelope, now: Now) -> None:
        """Queue a frame; it leaves at the end of the connection's turn, or of this round of the loop."""
        if self.session is None:
            return
        self.session.send(envelope, now)
        if self.session.state is CLOSED:
            self._abort()
        elif not (self._in_turn or self._flush_due) and self._writable:
            self._flush_due = True
            self._loop.call_soon(self._flush_soon)

    def farewell(self, code: TerminateCode, reason: str, now: Now) -> None:
        """Say Terminate and close."""
        if self.session is not None and self.session.state in ALIVE:
            self.session.farewell(code, reason, now)
            self._after_turn(now)

    def finish(self, reason: str, now: Now) -> None:
        """Close once what is queued is out."""
        if self.session is not None and self.session.state in ALIVE:
            self.session.finish(reason, now)
            self._after_turn(now)

    def _flush_soon(self) -> None:
        self._flush_due = False
        self._flush(self._clock())

    def _flush(self, now: Now) -> None:
        """Write what is queued, as far as the socket takes it."""
        session, transport = self.session, self.transport
        if session is None or transport is None or not self._writable or transport.is_closing():
            return
        data = session.data_to_send(now)
        if data:
            transport.write(data)
        if session.state is CLOSING and not session.queue:
            transport.close()

    # -- turns and time

    def _next_turn(self) -> None:
        self._turn_due = False
        self._turn(self._clock())

    def _turn(self, now: Now) -> None:
        session, owner = self.session, self._owner
        assert session is not None
        if session.state is CLOSED:
            return
        self._in_turn = True  # what is sent meanwhile leaves at its end, in one write
        for event in session.events(now):
            owner.happened(self, event, now)
        self._in_turn = False
        owner.turned()
        self._after_turn(now)

    def _after_turn(self, now: Now) -> None:
        session = self.session
        assert session is not None
        if session.state is CLOSED:
            self._abort()
            return
        self._flush(now)
        if not self._turn_due:
            if session.has_frame():
                self._turn_due = True
                self._set_reading(on=False)
                self._loop.call_soon(self._next_turn)
            elif not self._reading:
                self._set_reading(on=True)
        if self._timer is None or session.deadline < self._timer_at:
            self._arm(now)

    def _set_reading(self, *, on: bool) -> None:
        if on == self._reading or self.transport is None or self.transport.is_closing():
            return
        self._reading = on
        with contextlib.suppress(RuntimeError):  # asyncio's own loop objects to what is already so
            (self.transport.resume_reading if on else self.transport.pause_reading)()

    def _arm(self, now: Now) -> None:
        """Wake up for the session's deadline; one that is put off is looked at again when the earlier timer fires."""
        deadline = self.session.next_deadline() if self.session else None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer_at = deadline
            self._timer = self._loop.call_later(max(0.0, deadline - now.monotonic_s), self._advance)

    def _advance(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        assert self.session is not None
        now = self._clock()
        self.session.advance(now)
        if self.session.state is CLOSED:
            self._abort()
            return
        self._arm(now)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


async def listen(sock: socket.socket, owner: Owner, clock: Callable[[], Now]) -> asyncio.Server:
    """Serve sessions on a listening TCP socket."""
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(owner, clock), sock=sock, backlog=BACKLOG)


async def dial(
    host: str,
    port: int,
    owner: Owner,
    clock: Callable[[], Now],
    *,
    timeout_s: float,
    expected: DeviceId | None = None,
) -> Connection:
    """Connect to a battery, `expected` where its device is known. Raises OSError or TimeoutError where that fails."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        _, connection = await loop.create_connection(lambda: Connection(owner, clock, expected), host, port)
    return connection
