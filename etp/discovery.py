"""Finding batteries by UDP: what both roles share, and the battery's side, without sockets or clocks.

Datagrams and instants in, datagrams and events out. Everything that comes by UDP may be forged, so it only ever says
where a battery *may* be reached: a BESS answers Queries and reads its offer, an aggregator (`etp.peers`) learns addresses to
dial. Nothing here changes what is for sale, what is bid or what is promised; what else arrives is counted and forgotten.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from etp import messages
from etp.clock import Now
from etp.codes import MessageType
from etp.discovery_limits import REGISTER_PERIOD_S, Address, DiscoveryLimits
from etp.effects import Envelope
from etp.frame import OFFSETS, Frame
from etp.pace import Pace
from etp.profile import EARLY, DatagramProfile, Refused
from etp.record import NO_LOT
from etp.session import Violation
from etp.timing import Timing, is_from_future, is_late
from etp.units import DeviceId, LotId, MonotonicS

EVENTS_WAITING: Final = 256
"""Events that wait for the shell; in a flood of bad datagrams the rest is only counted."""
DEVICE_ID: Final = slice(OFFSETS["device_id"], OFFSETS["ttl"])


class Counted(StrEnum):
    """What is counted: why a datagram was ignored, or what was done."""

    LENGTH = "length"
    """Not the profile's size."""
    SOURCE = "source"
    """From port 0, which cannot be answered."""
    RATE = "rate"
    """More from one address than its share."""
    INVALID = "invalid"
    UNPROVEN = "unproven"
    """In `signed`: no record of a member, to us, new, and of its key."""
    OWN = "own"
    """Our own device_id: multicast is looped back."""
    UNWANTED = "unwanted"
    """A type that this role never acts on from UDP."""
    LATE = "late"
    FUTURE = "future"
    DUPLICATE = "duplicate"
    PACED = "paced"
    """Not answered or asked: one of the bounds on what we send."""
    PEERS_FULL = "peers_full"
    ADDRESS_FULL = "address_full"
    """Too many peers at one address."""
    CONTESTED = "contested"
    """A known battery's id from another address."""
    ANSWERED = "answered"
    """A Query got its Response."""
    PROBED = "probed"
    """A Query went to one address."""


class Outgoing(NamedTuple):
    """A datagram that waits."""

    frame: Frame
    to: Address
    reader: DeviceId | None = None
    """The device at that address, where it is known."""
    lot_id: LotId = NO_LOT


@dataclass(frozen=True, slots=True)
class PeerFound:
    """A battery to dial."""

    device_id: DeviceId
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """A known battery answers at another address, and no longer at the one before."""

    device_id: DeviceId
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PeerLost:
    """Nothing was heard for three Registers. A hint: an open session goes on."""

    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class ResponseSeen:
    """What a peer says it sells. A hint, unproven: it moves no trading state."""

    device_id: DeviceId
    frame: Frame


@dataclass(frozen=True, slots=True)
class ClockSample:
    """One measurement of a battery's clock, also of one whose Response was late by it. For the operator: what decides
    on bidding is measured over the session, which a third party cannot answer.
    """

    device_id: DeviceId
    offset_ms: float
    rtt_ms: float


Event: TypeAlias = PeerFound | PeerMoved | PeerLost | ResponseSeen | ClockSample | Violation


class Discovery:
    """What both roles share: reading a datagram, Register every 60 s, frames on their way out."""

    WANTED: frozenset[MessageType]

    def __init__(
        self,
        device_id: DeviceId,
        group: Address,
        *,
        profile: DatagramProfile,
        rng: random.Random,
        limits: DiscoveryLimits,
        timing: Timing,
    ) -> None:
        self.device_id, self.group = device_id, group
        self.counts: Counter[Counted] = Counter()
        self._profile, self._rng, self._limits, self._timing = profile, rng, limits, timing
        self._outgoing: deque[Outgoing] = deque()
        self._events: deque[Event] = deque()
        self._register_s = MonotonicS(0.0)
        self._own = device_id.to_bytes(8, "little")

    def events(self) -> Iterator[Event]:
        """What happened since the last call."""
        while self._events:
            yield self._events.popleft()

    def advance(self, now: Now) -> None:
        """Do what is due."""
        if self._register_s <= now.monotonic_s:
            self._outgoing.append(Outgoing(messages.register(self.device_id), self.group))
            self._register_s = self._after(REGISTER_PERIOD_S, now)

    def _after(self, period_s: float, now: Now) -> MonotonicS:
        return MonotonicS(now.monotonic_s + period_s * (1.0 - self._limits.period_jitter * self._rng.random()))

    def datagrams_to_send(self, now: Now) -> list[tuple[bytes, Address]]:
        """The datagrams that leave now and where to, stamped as they leave."""
        leaving = [(self._stamp(one, now), one.to) for one in self._outgoing]
        self._outgoing.clear()
        return leaving

    def _stamp(self, one: "Outgoing", now: Now) -> bytes:
        envelope = Envelope(one.frame, lot_id=one.lot_id)
        if one.to == self.group or one.frame.message_type == MessageType.QUERY:
            # A probe too: what is for UDP must not begin a session on TCP in somebody else's hand.
            return self._profile.stamp_to_group(envelope, now)
        return self._profile.stamp(envelope, one.reader, now)

    def _read(self, data: bytes, source: Address, now: Now) -> Frame | None:
        """The frame in a datagram, if it is one that this role acts on. What costs nothing is looked at first."""
        fault = self._fault(data, source)
        if fault is not None:
            self.counts[fault] += 1
            return None
        reading = self._profile.read_datagram(data, now)
        if isinstance(reading, Refused):
            self.counts[Counted.INVALID if reading.kind == "invalid" else Counted.UNPROVEN] += 1
            if not _is_harmless(reading, data) and len(self._events) < EVENTS_WAITING:
                self._events.append(Violation(reading.kind, reading.reason, reading.raw))
            return None
        return reading.frame

    def _fault(self, data: bytes, source: Address) -> Counted | None:
        if len(data) != self._profile.size:
            return Counted.LENGTH
        if source[1] == 0:
            return Counted.SOURCE
        if data[DEVICE_ID] == self._own:
            return Counted.OWN
        return None if data[0] in self.WANTED else Counted.UNWANTED

    def _is_timely(self, frame: Frame, now: Now) -> bool:
        kind, stamp, wall_us = frame.message_type, frame.message_id, now.wall_us
        if is_late(kind, stamp, wall_us, skew_allowance_ms=self._timing.skew_allowance_ms):
            self.counts[Counted.LATE] += 1
            return False
        if is_from_future(stamp, wall_us, future_limit_ms=self._timing.future_limit_ms):
            self.counts[Counted.FUTURE] += 1
            return False
        return True


def _is_harmless(refused: Refused, data: bytes) -> bool:
    """What an honest network brings about: who has our own role registers with the same group, and UDP reorders."""
    return refused.kind == EARLY or (refused.kind == "role" and data[0] == MessageType.REGISTER)


class BessDiscovery(Discovery):
    """The seller's: says that it is there, answers Queries. `offer` is the Response of now."""

    WANTED = frozenset({MessageType.QUERY})

    def __init__(
        self,
        device_id: DeviceId,
        group: Address,
        *,
        offer: Callable[[], Envelope],
        profile: DatagramProfile,
        rng: random.Random,
        limits: DiscoveryLimits,
        timing: Timing,
    ) -> None:
        super().__init__(device_id, group, profile=profile, rng=rng, limits=limits, timing=timing)
        self._offer = offer
        self._replies: list[tuple[float, int, Address, DeviceId]] = []
        self._arrival = 0
        self._pace = Pace(
            per_address=limits.replies_per_address,
            total=limits.replies,
            planned=limits.pending_replies,
            window_s=limits.window_s,
        )

    def receive_datagram(self, data: bytes, source: Address, now: Now) -> None:
        """Take one datagram: a Query is answered later, by unicast; all else is ignored and counted."""
        frame = self._read(data, source, now)
        if frame is not None and self._is_timely(frame, now):
            self._plan_reply(source, DeviceId(frame.device_id), now)

    def _plan_reply(self, source: Address, asker: DeviceId, now: Now) -> None:
        latest_s = now.monotonic_s + self._limits.reply_delay_ms / 1000
        earliest_s = self._pace.plan(source, now.monotonic_s, latest_s)
        if earliest_s is None:
            self.counts[Counted.PACED] += 1
            return
        self._arrival += 1
        heapq.heappush(self._replies, (self._rng.uniform(earliest_s, latest_s), self._arrival, source, asker))

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` and `datagrams_to_send` have something to do."""
        return min(self._register_s, MonotonicS(self._replies[0][0])) if self._replies else self._register_s

    def advance(self, now: Now) -> None:
        """Do what is due."""
        super().advance(now)
        while self._replies and self._replies[0][0] <= now.monotonic_s:
            _, _, source, asker = heapq.heappop(self._replies)
            told = self._offer()
            self._outgoing.append(Outgoing(told.frame, source, asker, told.lot_id))
            self._pace.sent(source, now.monotonic_s)
            self.counts[Counted.ANSWERED] += 1
