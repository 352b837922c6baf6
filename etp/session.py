"""The core of one TCP session, for both roles: framing, validity, binding to a device, farewells, timeouts.

Bytes and instants in, events and bytes out. A peer's mistake never raises here: it is counted, the right answer or
farewell is queued, and the rest is discarded. What a Bid or Confirm means is the desk's and the buyer's business.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode, Role, TerminateCode
from etp.effects import Envelope
from etp.frame import FRAME_SIZE, MAX_PRICE_CENTS, Frame, decode, invalid
from etp.ids import Ids
from etp.limits import Limits
from etp.queue import QueueFull, SendQueue
from etp.state import RECEIVE, SESSION, SessionInput, SessionState
from etp.units import DeviceId, MicroPerKwh, MonotonicS, Wh

PREFIX_SIZE: Final = 4
PREFIX: Final = FRAME_SIZE.to_bytes(PREFIX_SIZE, "little")
"""The plain profile's one legal length prefix: u32 little-endian 84."""
_PACKET: Final = PREFIX_SIZE + FRAME_SIZE


_AFTER: Final = {
    (role, state): tuple(RECEIVE[role, state, kind] for kind in MessageType) for role in Role for state in SessionState
}
"""RECEIVE by role and state, then by the number of the message type."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The session's first frame came: it belongs to this device now."""

    device_id: DeviceId


class Received(NamedTuple):
    """A valid frame that the peer's role may send."""

    frame: Frame
    raw: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """A frame against the rules; `kind` is one short word for the counter."""

    kind: str
    reason: str


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
        self, role: Role, device_id: DeviceId, ids: Ids, limits: Limits, now: Now, *, quote: Quote = _no_quote
    ) -> None:
        self._quote = quote
        self.role = role
        self.device_id = device_id
        self.peer_id: DeviceId | None = None
        self.state = SessionState.AWAITING
        self.queue = SendQueue(ids, limits.queued_frames)
        self._limits = limits
        self._buffer = bytearray()
        self._after = _AFTER[role, self.state]
        self._events: deque[Event] = deque()
        self._violations = 0
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
        if self.state in (SessionState.CLOSING, SessionState.CLOSED):
            return
        self._buffer += data
        if not self._buffer.startswith(PREFIX):  # a whole one that is right is what nearly always comes
            self._judge_prefix(now)

    def _judge_prefix(self, now: Now) -> None:
        if not PREFIX.startswith(self._buffer[:PREFIX_SIZE]):
            self._protocol_error("length", "the length prefix is not 84", now)

    def has_frame(self) -> bool:
        """Whether a whole frame is waiting to be handled."""
        return len(self._buffer) >= _PACKET

    def events(self, now: Now) -> Iterator[Event]:
        """What happened, of at most `frames_per_turn` frames; `has_frame` says whether there is more."""
        buffer, events = self._buffer, self._events
        for _ in range(self._limits.frames_per_turn):
            if len(buffer) < _PACKET or self.state in (SessionState.CLOSING, SessionState.CLOSED):
                break
            raw = bytes(buffer[PREFIX_SIZE:_PACKET])
            del buffer[:_PACKET]
            self._heard_s = now.monotonic_s
            frame = decode(raw)
            reason = invalid(frame)
            if reason is None and frame.device_id == self.peer_id and self._after[frame.message_type] is self.state:
                yield Received(frame, raw)  # what nearly every frame is
            else:
                self._handle(frame, raw, reason, now)
            if buffer and not buffer.startswith(PREFIX):
                self._judge_prefix(now)
            while events:
                yield events.popleft()
        self._renew_deadline(now)
        while self._events:
            yield self._events.popleft()

    def _handle(self, frame: Frame, raw: bytes, reason: str | None, now: Now) -> None:
        if reason is not None:
            self._violation("invalid", reason, frame, RejectCode.INVALID, now)
        elif self.peer_id is not None and frame.device_id != self.peer_id:
            self._violation("device", "another device_id than the session's", frame, RejectCode.NOT_AUTHORISED, now)
        else:
            self._admit(frame, raw, now)

    def _admit(self, frame: Frame, raw: bytes, now: Now) -> None:
        after = self._after[frame.message_type]
        if after is None:
            self._violation("role", "a type that the peer's role does not send", frame, RejectCode.NOT_AUTHORISED, now)
            return
        if self.peer_id is None:
            self.peer_id = DeviceId(frame.device_id)
            self._events.append(Bound(self.peer_id))
        if after is not self.state:
            self.state = after
            self._after = _AFTER[self.role, after]
        self._events.append(Received(frame, raw))

    def receive_eof(self, now: Now) -> None:  # noqa: ARG002 - every input carries its instant
        """The connection is gone, by whoever's will."""
        self._close("the connection ended")

    # -- mistakes of the peer

    def _violation(self, kind: str, reason: str, frame: Frame, code: RejectCode, now: Now) -> None:
        self._violations += 1
        self._events.append(Violation(kind, reason))
        if frame.message_type == MessageType.BID and self.role is Role.BESS:
            legal = 0.0 <= frame.bid_price <= MAX_PRICE_CENTS
            refused, (ask, available) = _whole(frame.bid_price) if legal else 0.0, self._quote()
            self.send(
                Envelope(messages.reject(self.device_id, code, refused=refused, ask=ask, available=available)), now
            )
        if self._violations >= self._limits.violations:
            self._protocol_error("violations", f"{self._violations} frames against the rules", now)

    def _protocol_error(self, kind: str, reason: str, now: Now) -> None:
        self._events.append(Violation(kind, reason))
        self.farewell(TerminateCode.PROTOCOL_ERROR, reason, now)

    # -- out

    def send(self, envelope: Envelope, now: Now, *, last: bool = False) -> None:
        """Queue a frame; a peer that does not read until its queue is full of answers is closed."""
        if self.state in (SessionState.CLOSING, SessionState.CLOSED):
            return
        try:
            self.queue.push(envelope, now, last=last)
        except QueueFull:
            self._close("the peer does not read its answers")

    def farewell(self, code: TerminateCode, reason: str, now: Now) -> None:
        """Queue a Terminate that closes the session, after what is queued already."""
        self.send(Envelope(messages.terminate(self.device_id, code)), now, last=True)
        if self.state is not SessionState.CLOSED:
            self.finish(reason, now)

    def finish(self, reason: str, now: Now) -> None:
        """Discard what still comes; close once the queue is out, at the latest after `farewell_s`."""
        self.state = SESSION[self.state][SessionInput.FAREWELL]
        self._buffer.clear()
        self.deadline = MonotonicS(now.monotonic_s + self._limits.farewell_s)
        self._events.append(Closed(reason))

    def data_to_send(self, now: Now) -> bytes:
        """Prefixed frames in order of priority, stamped as they leave; call only while the socket takes more."""
        return b"".join([PREFIX + raw for raw in self.queue.pop_all(now)])

    def _close(self, reason: str) -> None:
        if self.state is SessionState.CLOSED:
            return
        if self.state is not SessionState.CLOSING:
            self._events.append(Closed(reason))
        self.state = SESSION[self.state][SessionInput.GONE]
        self._buffer.clear()

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do; None once closed."""
        return None if self.state is SessionState.CLOSED else self.deadline

    def _renew_deadline(self, now: Now) -> None:
        if self.state not in (SessionState.AWAITING, SessionState.OPEN):
            return
        if not self._buffer:
            self._started_s = None
        elif self._started_s is None or self._heard_s > self._started_s:
            self._started_s = now.monotonic_s
        idle_until = MonotonicS(self._heard_s + self._limits.idle_s)
        self.deadline = idle_until if self.state is SessionState.OPEN else self._first_frame_until
        if self._started_s is not None:
            self.deadline = MonotonicS(min(self.deadline, self._started_s + self._limits.rest_of_frame_s))

    def advance(self, now: Now) -> None:
        """Close what has waited too long: no first frame, half a frame, silence, a farewell unread."""
        if self.state is SessionState.CLOSED or now.monotonic_s < self.deadline:
            return
        reason = {
            SessionState.AWAITING: "no first frame in time",
            SessionState.OPEN: "half a frame" if self._started_s is not None else "idle",
            SessionState.CLOSING: "farewell",
        }[self.state]
        self._close(reason)


def _whole(price: float) -> float:
    """A refused price as a Reject may carry it: the nearest whole 0.0001 c, so that the Reject itself is valid."""
    return round(price * 10_000) / 10_000
