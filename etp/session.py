"""The core of one TCP session, for both roles: framing, validity, binding to a device, farewells, timeouts.

Bytes and instants in, events and bytes out. A peer's mistake never raises here: it is counted, the right answer or
farewell is queued, and the rest is discarded. What a Bid or Confirm means is the desk's and the buyer's business.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode, Role, TerminateCode
from etp.effects import Envelope
from etp.frame import MAX_PRICE_CENTS
from etp.limits import Limits
from etp.profile import AGAIN, BUDGET, Plain, Profile, Reading, Received, Refused
from etp.queue import QueueFull, SendQueue
from etp.record import NO_LOT, lot_of
from etp.state import ALIVE, AWAITING, CLOSED, CLOSING, OPEN, RECEIVE, SESSION, SessionInput, SessionState
from etp.units import DeviceId, MicroPerKwh, MonotonicS, Wh

PREFIX_SIZE: Final = 4
"""Bytes of the u32 little-endian length before each message on TCP: the profile's one size, or the session ends."""


def length_prefix(size: int) -> bytes:
    """What stands before each message of a profile whose messages have `size` bytes."""
    return size.to_bytes(PREFIX_SIZE, "little")


PREFIX: Final = length_prefix(Plain.size)
"""The plain profile's: 84."""


_AFTER: Final = {
    (role, state): tuple(RECEIVE[role, state, kind] for kind in MessageType) for role in Role for state in SessionState
}
"""RECEIVE by role and state, then by the number of the message type."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The session's first frame came: it belongs to this device now."""

    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class Violation:
    """A message against the rules; `kind` is one short word for the counter."""

    kind: str
    reason: str
    raw: bytes = field(default=b"", compare=False, repr=False)
    """What was said, where it was a whole message."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over; the shell closes the socket once what is queued is out."""

    reason: str


Event = Bound | Received | Violation | Closed


Quote = Callable[[], tuple[MicroPerKwh, Wh]]
"""The disclosed ask and what may be bid for now: said in each Reject."""


def _no_quote() -> tuple[MicroPerKwh, Wh]:
    return MicroPerKwh(0), Wh(0)


class Session:
    """One connection. `device_id` is ours; the peer's is `peer_id` once bound."""

    def __init__(
        self,
        role: Role,
        device_id: DeviceId,
        profile: Profile,
        limits: Limits,
        now: Now,
        *,
        quote: Quote = _no_quote,
        expected: DeviceId | None = None,
    ) -> None:
        """`expected`: the one device that may answer; None: whoever speaks first."""
        self._quote, self._expected = quote, expected
        self._profile = profile
        self._prefix = length_prefix(profile.size)
        self._packet = PREFIX_SIZE + profile.size
        self.role = role
        self.device_id = device_id
        self.peer_id: DeviceId | None = None
        self.state: SessionState = AWAITING
        self.queue = SendQueue(profile, limits.queued_frames)
        self.queue.to = expected
        self._limits = limits
        self._buffer = bytearray()
        self._after = _AFTER[role, self.state]
        self._events: deque[Event] = deque()
        self._violations = self._unjudged = 0
        self.deadline = self._first_frame_until = self._first_deadline(now)
        self._heard_s = now.monotonic_s
        self._started_s: MonotonicS | None = None

    def _first_deadline(self, now: Now) -> MonotonicS:
        # A battery need not speak first: only the side that is dialled waits for a first frame.
        wait_s = self._limits.first_frame_s if self.role is Role.BESS else self._limits.idle_s
        return MonotonicS(now.monotonic_s + wait_s)

    # -- in

    def receive_data(self, data: bytes, now: Now) -> None:
        """Take bytes from the peer. A length prefix is judged before anything of its frame is kept."""
        if self.state not in ALIVE:
            return
        self._buffer += data
        if not self._buffer.startswith(self._prefix):  # a whole one that is right is what nearly always comes
            self._judge_prefix(now)

    def _judge_prefix(self, now: Now) -> None:
        if not self._prefix.startswith(self._buffer[:PREFIX_SIZE]):
            self._protocol_error("length", f"the length prefix is not {self._profile.size}", now)

    def has_frame(self) -> bool:
        """Whether a whole frame is waiting to be handled."""
        return len(self._buffer) >= self._packet

    def events(self, now: Now) -> Iterator[Event]:
        """What happened, of at most `frames_per_turn` frames; `has_frame` says whether there is more."""
        buffer, events, packet, prefix, read = (
            self._buffer,
            self._events,
            self._packet,
            self._prefix,
            self._profile.read,
        )
        for _ in range(self._limits.frames_per_turn):
            if len(buffer) < packet or self.state not in ALIVE:
                break
            raw = bytes(buffer[PREFIX_SIZE:packet])
            del buffer[:packet]
            self._heard_s = now.monotonic_s
            reading = read(raw, self.peer_id, now)
            if type(reading) is Received and self._after[reading.frame.message_type] is self.state:
                yield reading  # what nearly every message is
            else:
                self._handle(reading, now)
            if buffer and not buffer.startswith(prefix):
                self._judge_prefix(now)
            while events:
                yield events.popleft()
        self._renew_deadline(now)
        while self._events:
            yield self._events.popleft()

    def _handle(self, reading: Reading, now: Now) -> None:
        if isinstance(reading, Refused):
            self._violation(reading, now)
            return
        after = self._after[reading.frame.message_type]
        sender = DeviceId(reading.frame.device_id)
        why = None
        if after is None:
            why = "role", "a type that the peer's role does not send"
        elif self.peer_id is None and self._expected not in (None, sender):
            why = "device", f"device {sender} answers where device {self._expected} was expected"
        if after is None or why is not None:
            assert why is not None
            code = RejectCode.NOT_AUTHORISED
            self._violation(Refused(*why, reading.frame, code, reading.raw), now)
            return
        if self.peer_id is None:
            self.peer_id = self.queue.to = sender
            self._events.append(Bound(sender))
        if after is not self.state:
            self.state = after
            self._after = _AFTER[self.role, after]
        self._events.append(reading)

    def receive_eof(self, now: Now) -> None:  # noqa: ARG002 - every input carries its instant
        """The connection is gone, by whoever's will."""
        self._close("the connection ended")

    # -- mistakes of the peer

    def _violation(self, refused: Refused, now: Now) -> None:
        self._events.append(Violation(refused.kind, refused.reason, refused.raw))
        if refused.kind == AGAIN:
            return
        if refused.kind == BUDGET:  # no offence, but who goes on without end takes the time of those that dial
            self._unjudged += 1
            if self._unjudged >= self._limits.violations:
                self._close("too much to verify now; dial again later")
            return
        self._violations += 1
        frame = refused.frame
        if frame is not None and frame.message_type == MessageType.BID and self.role is Role.BESS:
            legal = 0.0 <= frame.bid_price <= MAX_PRICE_CENTS
            price, (ask, available) = _whole(frame.bid_price) if legal else 0.0, self._quote()
            told = messages.reject(self.device_id, refused.code, refused=price, ask=ask, available=available)
            self.send(Envelope(told, lot_id=lot_of(refused.raw) or NO_LOT), now)
        if self._violations >= self._limits.violations:
            self._protocol_error("violations", f"{self._violations} messages against the rules", now)

    def _protocol_error(self, kind: str, reason: str, now: Now) -> None:
        self._events.append(Violation(kind, reason))
        self.farewell(TerminateCode.PROTOCOL_ERROR, reason, now)

    # -- out

    def send(self, envelope: Envelope, now: Now, *, last: bool = False) -> None:
        """Queue a frame; a peer that does not read until its queue is full of answers is closed."""
        if self.state not in ALIVE:
            return
        try:
            self.queue.push(envelope, now, last=last)
        except QueueFull:
            self._close("the peer does not read its answers")

    def farewell(self, code: TerminateCode, reason: str, now: Now) -> None:
        """Queue a Terminate that closes the session, after what is queued already."""
        self.send(Envelope(messages.terminate(self.device_id, code)), now, last=True)
        if self.state is not CLOSED:
            self.finish(reason, now)

    def finish(self, reason: str, now: Now) -> None:
        """Discard what still comes; close once the queue is out, at the latest after `farewell_s`."""
        self.state = SESSION[self.state][SessionInput.FAREWELL]
        self._buffer.clear()
        self.deadline = MonotonicS(now.monotonic_s + self._limits.farewell_s)
        self._events.append(Closed(reason))

    def data_to_send(self, now: Now) -> bytes:
        """Prefixed frames in order of priority, stamped as they leave; call only while the socket takes more."""
        frames, prefix = self.queue.pop_all(now), self._prefix
        return prefix + frames[0] if len(frames) == 1 else b"".join([prefix + raw for raw in frames])

    def _close(self, reason: str) -> None:
        if self.state is CLOSED:
            return
        if self.state is not CLOSING:
            self._events.append(Closed(reason))
        self.state = SESSION[self.state][SessionInput.GONE]
        self._buffer.clear()

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do; None once closed."""
        return None if self.state is CLOSED else self.deadline

    def _renew_deadline(self, now: Now) -> None:
        if self.state not in ALIVE:
            return
        if not self._buffer:
            self._started_s = None
            if self.state is OPEN:  # what nearly always is
                self.deadline = MonotonicS(self._heard_s + self._limits.idle_s)
                return
        elif self._started_s is None or self._heard_s > self._started_s:
            self._started_s = now.monotonic_s
        idle_until = MonotonicS(self._heard_s + self._limits.idle_s)
        self.deadline = idle_until if self.state is OPEN else self._first_frame_until
        if self._started_s is not None:
            self.deadline = MonotonicS(min(self.deadline, self._started_s + self._limits.rest_of_frame_s))

    def advance(self, now: Now) -> None:
        """Close what has waited too long: no first frame, half a frame, silence, a farewell unread."""
        if self.state is CLOSED or now.monotonic_s < self.deadline:
            return
        reason = {
            AWAITING: "no first frame in time",
            OPEN: "half a frame" if self._started_s is not None else "idle",
            CLOSING: "farewell",
        }[self.state]
        self._close(reason)


def _whole(price: float) -> float:
    """A refused price as a Reject may carry it: the nearest whole 0.0001 c, so that the Reject itself is valid."""
    return round(price * 10_000) / 10_000
