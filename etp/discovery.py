"""Finding batteries by UDP: the datagram cores of both roles, without sockets or clocks.

Datagrams and instants in, datagrams and events out. Everything that comes by UDP may be forged, so it only ever says
where a battery *may* be reached: a BESS answers Queries and reads its offer, an aggregator learns addresses to dial.
Nothing here changes what is for sale, what is bid or what is promised; what else arrives is counted and forgotten.

A Register does not say which role sent it, and an aggregator's comes from a port that nobody dials. So it only makes a
candidate: an aggregator asks it with a unicast Query, and a Response, which only a BESS sends, makes it a peer.
"""

import heapq
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from etp import messages
from etp.bucket import Bucket
from etp.clock import Now
from etp.codes import MessageType
from etp.frame import FRAME_SIZE, Frame, decode, encode, invalid
from etp.ids import Ids
from etp.messages import Offer
from etp.offset import OffsetEstimator
from etp.timing import TIMING, Timing, is_from_future, is_late
from etp.units import DeviceId, MicroPerKwh, MonotonicS

Address: TypeAlias = tuple[str, int]
"""IPv4 host and port."""

REGISTER_PERIOD_S: Final = TIMING[MessageType.REGISTER].period_s or 60.0
QUERY_PERIOD_S: Final = TIMING[MessageType.QUERY].period_s or 10.0
MISSED_REGISTERS: Final = 3
"""A peer that missed so many is lost (design §3)."""


@dataclass(frozen=True, slots=True)
class DiscoveryLimits:
    """Bounds of discovery on a hostile network. Each says which attack chose its number."""

    reply_delay_ms: float = 50.0
    """A BESS answers after a random time up to this, ms, so that the answers of many do not arrive at once."""
    window_s: float = 1.0
    """In any interval of this length one reply (or probe) goes to one address and port, s; the bounds below count
    over it."""
    replies_per_address: int = 50
    """Replies to one address in a window: a forged source draws 50 × 84 B = 4.2 kB/s from each BESS, no more than
    was sent."""
    pending_replies: int = 1200
    """Replies waiting for their delay: every aggregator that could have a session (`Limits.sessions`) asks within
    50 ms."""
    replies: int = 4800
    """Replies (or probes) to all in a window: with forged sources 4,800 × 84 B = 403 kB/s leave the node, and no
    more than that many sends are remembered, about 1 MB."""
    probes_per_address: int = 50
    """Queries that an aggregator sends to one address for its Registers, in a window: forged ones make no flood."""
    peers: int = 4096
    """Batteries an aggregator knows. About 2 kB each, so forged Responses hold 8 MB at most; a full table refuses
    new ones, so that no flood pushes a known one out."""
    peers_per_address: int = 64
    """Batteries at one address: one host cannot fill the table (it takes 64), a site with more uses `--peer`."""
    frames_per_s: float = 50.0
    """Datagrams read from one address, sustained: 64 batteries say 64 / 10 s + 64 / 60 s, about 8 a second."""
    frame_burst: float = 256.0
    """Datagrams read from one address at once: 64 batteries start, register and answer two Queries: 4 × 64."""
    loopback_factor: int = 64
    """How many hosts' worth 127.0.0.0/8 may be in `probes_per_address`, `peers_per_address`, `frames_per_s` and
    `frame_burst`: demos and benches run hundreds of nodes there, and who sends from there is on this machine already.
    Replies know no such difference."""
    sources: int = 4096
    """Addresses whose rate is measured, the least recent forgotten first: it then begins with a full bucket, so forged
    addresses (4,096 × 0.3 kB = 1.2 MB) can loosen this limit and never tighten it for another address."""
    recent_frames: int = 4096
    """Frames remembered to know a duplicate, the oldest forgotten first: 4,096 × 0.3 kB = 1.2 MB. A duplicate that is
    not known any more does what the first one did: nothing new."""
    recent_s: float = 6.0
    """How long a frame is remembered, s: past Register's 5 s and the skew allowance a repeated one is late anyway."""
    peer_expiry_s: float = MISSED_REGISTERS * REGISTER_PERIOD_S + 15.0
    """Silence after which a peer is lost, s: three Registers missed, and the slack of one that is on its way."""
    contests: int = 64
    """Known batteries whose address another one claims at once; further claims wait for their next Response."""
    contest_probe_s: float = 1.1
    """When the known address is asked whether it still answers, s: past its own limit of one reply a second to us."""
    contest_s: float = 2.5
    """A battery moves only after its known address was silent so long after the claim, s: a forged Response cannot
    lead away from a battery that lives. Probe after 1.1 s, delay and travel leave a second to spare."""
    period_jitter: float = 0.05
    """Periods are shortened by up to this share, so that nodes started together do not stay in step, and more than
    `replies_per_address` aggregators of one host all get their answers in turn."""

    def __post_init__(self) -> None:
        if self.peer_expiry_s <= MISSED_REGISTERS * REGISTER_PERIOD_S:
            raise ValueError(f"peer_expiry_s is {self.peer_expiry_s}; more than {MISSED_REGISTERS * REGISTER_PERIOD_S}")
        if not self.window_s < self.contest_probe_s < self.contest_s:
            raise ValueError(f"contest_probe_s is {self.contest_probe_s}; between window_s and contest_s")
        if not 0.0 <= self.period_jitter < 1.0:
            raise ValueError(f"period_jitter is {self.period_jitter}; 0 to less than 1")
        if self.replies < self.pending_replies:
            raise ValueError(f"replies is {self.replies}; at least pending_replies ({self.pending_replies})")


class Counted(StrEnum):
    """What is counted: why a datagram was ignored, or what was done."""

    LENGTH = "length"
    """Not 84 bytes."""
    SOURCE = "source"
    """From port 0, which cannot be answered."""
    RATE = "rate"
    """More from one address than its share."""
    INVALID = "invalid"
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


Event: TypeAlias = PeerFound | PeerMoved | PeerLost | ResponseSeen | ClockSample


def is_loopback(host: str) -> bool:
    """Whether an IPv4 address is this machine's own."""
    return host.startswith("127.")


def _take_one(counts: Counter[str], host: str) -> None:
    counts[host] -= 1
    if not counts[host]:
        del counts[host]  # a Counter keeps its zeros, and forged addresses would fill it with them


class Pace:
    """At most one datagram to one target and `per_address` to one address in any window, planned ones included."""

    def __init__(
        self, *, per_address: int, total: int, planned: int, window_s: float, loopback_factor: int = 1
    ) -> None:
        self._per_address, self._total, self._most_planned = per_address, total, planned
        self._window_s, self._loopback_factor = window_s, loopback_factor
        self._sent: deque[tuple[float, Address]] = deque()
        self._last_s: dict[Address, float] = {}
        self._planned: set[Address] = set()
        self._at_address: Counter[str] = Counter()

    def plan(self, target: Address, now_s: MonotonicS, latest_s: float) -> float | None:
        """From when on a datagram may go to `target`, its place taken; None: not by `latest_s`."""
        self._expire(now_s)
        earliest_s = self._last_s.get(target, now_s - self._window_s) + self._window_s
        if target in self._planned or earliest_s > latest_s or not self._has_room(target[0]):
            return None
        self._planned.add(target)
        self._at_address[target[0]] += 1
        return max(now_s, earliest_s)

    def _has_room(self, host: str) -> bool:
        share = self._per_address * (self._loopback_factor if is_loopback(host) else 1)
        # The sum, not each alone: everything planned will be in the same window as what was just sent.
        return (
            self._at_address[host] < share
            and len(self._planned) < self._most_planned
            and len(self._planned) + len(self._sent) < self._total
        )

    def sent(self, target: Address, now_s: MonotonicS) -> None:
        """What was planned left now: the instant that counts."""
        self._planned.remove(target)
        self._last_s[target] = now_s
        self._sent.append((now_s, target))

    def _expire(self, now_s: MonotonicS) -> None:
        while self._sent and self._sent[0][0] + self._window_s <= now_s:
            at_s, target = self._sent.popleft()
            if self._last_s.get(target) == at_s:
                del self._last_s[target]
            _take_one(self._at_address, target[0])


class _Discovery:
    """What both roles share: reading a datagram, Register every 60 s, frames on their way out."""

    WANTED: frozenset[MessageType]

    def __init__(
        self,
        device_id: DeviceId,
        group: Address,
        *,
        ids: Ids,
        rng: random.Random,
        limits: DiscoveryLimits,
        timing: Timing,
    ) -> None:
        self.device_id, self.group = device_id, group
        self.counts: Counter[Counted] = Counter()
        self._ids, self._rng, self._limits, self._timing = ids, rng, limits, timing
        self._outgoing: deque[tuple[Frame, Address]] = deque()
        self._events: deque[Event] = deque()
        self._register_s = MonotonicS(0.0)

    def events(self) -> Iterator[Event]:
        """What happened since the last call."""
        while self._events:
            yield self._events.popleft()

    def advance(self, now: Now) -> None:
        """Do what is due."""
        if self._register_s <= now.monotonic_s:
            self._outgoing.append((messages.register(self.device_id), self.group))
            self._register_s = self._after(REGISTER_PERIOD_S, now)

    def _after(self, period_s: float, now: Now) -> MonotonicS:
        return MonotonicS(now.monotonic_s + period_s * (1.0 - self._limits.period_jitter * self._rng.random()))

    def datagrams_to_send(self, now: Now) -> list[tuple[bytes, Address]]:
        """The datagrams that leave now and where to, stamped as they leave."""
        leaving = [(self._stamp(frame, to, now), to) for frame, to in self._outgoing]
        self._outgoing.clear()
        return leaving

    def _stamp(self, frame: Frame, _to: Address, now: Now) -> bytes:
        return encode(messages.stamped(frame, self._ids.next(now.wall_us)))

    def _read(self, data: bytes, source: Address) -> Frame | None:
        """The frame in a datagram, if it is one that this role acts on."""
        frame = decode(data) if len(data) == FRAME_SIZE else None
        fault = self._fault(frame, source)
        if fault is not None:
            self.counts[fault] += 1
            return None
        return frame

    def _fault(self, frame: Frame | None, source: Address) -> Counted | None:
        if frame is None:
            return Counted.LENGTH
        if source[1] == 0:
            return Counted.SOURCE
        if invalid(frame) is not None:
            return Counted.INVALID
        if frame.device_id == self.device_id:
            return Counted.OWN
        return None if frame.message_type in self.WANTED else Counted.UNWANTED

    def _is_timely(self, frame: Frame, now: Now) -> bool:
        kind, stamp, wall_us = frame.message_type, frame.message_id, now.wall_us
        if is_late(kind, stamp, wall_us, skew_allowance_ms=self._timing.skew_allowance_ms):
            self.counts[Counted.LATE] += 1
            return False
        if is_from_future(stamp, wall_us, future_limit_ms=self._timing.future_limit_ms):
            self.counts[Counted.FUTURE] += 1
            return False
        return True


class BessDiscovery(_Discovery):
    """The seller's: says that it is there, answers Queries. `offer` tells what is for sale now and the ask."""

    WANTED = frozenset({MessageType.QUERY})

    def __init__(
        self,
        device_id: DeviceId,
        group: Address,
        *,
        offer: Callable[[], tuple[Offer, MicroPerKwh]],
        ids: Ids,
        rng: random.Random,
        limits: DiscoveryLimits,
        timing: Timing,
    ) -> None:
        super().__init__(device_id, group, ids=ids, rng=rng, limits=limits, timing=timing)
        self._offer = offer
        self._replies: list[tuple[float, int, Address]] = []
        self._arrival = 0
        self._pace = Pace(
            per_address=limits.replies_per_address,
            total=limits.replies,
            planned=limits.pending_replies,
            window_s=limits.window_s,
        )

    def receive_datagram(self, data: bytes, source: Address, now: Now) -> None:
        """Take one datagram: a Query is answered later, by unicast; all else is ignored and counted."""
        frame = self._read(data, source)
        if frame is not None and self._is_timely(frame, now):
            self._plan_reply(source, now)

    def _plan_reply(self, source: Address, now: Now) -> None:
        latest_s = now.monotonic_s + self._limits.reply_delay_ms / 1000
        earliest_s = self._pace.plan(source, now.monotonic_s, latest_s)
        if earliest_s is None:
            self.counts[Counted.PACED] += 1
            return
        self._arrival += 1
        heapq.heappush(self._replies, (self._rng.uniform(earliest_s, latest_s), self._arrival, source))

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` and `datagrams_to_send` have something to do."""
        return min(self._register_s, MonotonicS(self._replies[0][0])) if self._replies else self._register_s

    def advance(self, now: Now) -> None:
        """Do what is due."""
        super().advance(now)
        while self._replies and self._replies[0][0] <= now.monotonic_s:
            _, _, source = heapq.heappop(self._replies)
            offer, ask = self._offer()
            self._outgoing.append((messages.response(self.device_id, offer=offer, ask=ask), source))
            self._pace.sent(source, now.monotonic_s)
            self.counts[Counted.ANSWERED] += 1


@dataclass(slots=True, eq=False)
class Peer:
    """A battery that answered a Query. `address` is where its TCP listener is, too (design §3)."""

    device_id: DeviceId
    address: Address
    last_seen_s: MonotonicS
    offset: OffsetEstimator = field(default_factory=OffsetEstimator)


@dataclass(slots=True, eq=False)
class _Contest:
    """Another address claims to be a peer; the peer is asked, and moves when it stays silent."""

    claimant: Address
    probe_s: float
    until_s: float
    probed: bool = False

    @property
    def due_s(self) -> float:
        return self.until_s if self.probed else self.probe_s


class AggregatorDiscovery(_Discovery):
    """The buyer's: asks who sells, keeps a bounded and expiring table of who answered."""

    WANTED = frozenset({MessageType.REGISTER, MessageType.RESPONSE})

    def __init__(
        self,
        device_id: DeviceId,
        group: Address,
        *,
        ids: Ids,
        rng: random.Random,
        limits: DiscoveryLimits,
        timing: Timing,
    ) -> None:
        super().__init__(device_id, group, ids=ids, rng=rng, limits=limits, timing=timing)
        self._query_s = MonotonicS(0.0)
        self._asked: tuple[Now, int] | None = None
        self._peers: OrderedDict[DeviceId, Peer] = OrderedDict()  # least recently heard first
        self._at_address: Counter[str] = Counter()
        self._contests: dict[DeviceId, _Contest] = {}
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._recent: OrderedDict[bytes, float] = OrderedDict()
        self._pace = Pace(
            per_address=limits.probes_per_address,
            total=limits.replies,
            planned=limits.replies,
            window_s=limits.window_s,
            loopback_factor=limits.loopback_factor,
        )

    @property
    def peers(self) -> Mapping[DeviceId, Peer]:
        """The batteries known now."""
        return MappingProxyType(self._peers)

    def forget(self, device_id: DeviceId) -> None:
        """The caller cannot reach a peer: drop it without an event; its next Response finds it anew, wherever it is."""
        if device_id in self._peers:
            self._remove(device_id)

    # -- in

    def receive_datagram(self, data: bytes, source: Address, now: Now) -> None:
        """Take one datagram: Register and Response tell of batteries; all else is ignored and counted."""
        if not self._within_rate(source[0], now):
            self.counts[Counted.RATE] += 1
            return
        frame = self._read(data, source)
        if frame is None or self._is_duplicate(data, now):
            return
        if frame.message_type == MessageType.REGISTER:
            self._on_register(frame, source, now)
        else:
            self._on_response(frame, source, now)

    def _within_rate(self, host: str, now: Now) -> bool:
        bucket = self._buckets.pop(host, None) or self._new_bucket(host, now)
        self._buckets[host] = bucket
        return bucket.take(now.monotonic_s)

    def _new_bucket(self, host: str, now: Now) -> Bucket:
        if len(self._buckets) >= self._limits.sources:
            self._buckets.popitem(last=False)
        factor = self._factor(host)
        limits = self._limits
        return Bucket(rate=limits.frames_per_s * factor, burst=limits.frame_burst * factor, now_s=now.monotonic_s)

    def _factor(self, host: str) -> int:
        return self._limits.loopback_factor if is_loopback(host) else 1

    def _is_duplicate(self, data: bytes, now: Now) -> bool:
        """Whether these bytes came already, from wherever: a replay from another address is no news either."""
        recent, now_s = self._recent, now.monotonic_s
        while recent and next(iter(recent.values())) <= now_s:
            recent.popitem(last=False)
        if data in recent:
            self.counts[Counted.DUPLICATE] += 1
            return True
        if len(recent) >= self._limits.recent_frames:
            recent.popitem(last=False)
        recent[data] = now_s + self._limits.recent_s
        return False

    def _on_register(self, frame: Frame, source: Address, now: Now) -> None:
        if not self._is_timely(frame, now):
            return
        peer = self._peers.get(DeviceId(frame.device_id))
        if peer is not None and peer.address == source:
            self._heard(peer, now)
        else:
            self._probe(source, now)

    def _on_response(self, frame: Frame, source: Address, now: Now) -> None:
        peer = self._peers.get(DeviceId(frame.device_id))
        if peer is None:
            self._on_stranger(frame, source, now)
        elif peer.address != source:
            if self._is_timely(frame, now):
                self._contest(peer, source, now)
        else:
            self._sample(peer, frame, now)
            if self._is_timely(frame, now):
                self._heard(peer, now)
                self._events.append(ResponseSeen(peer.device_id, frame))

    def _on_stranger(self, frame: Frame, source: Address, now: Now) -> None:
        peer = Peer(DeviceId(frame.device_id), source, now.monotonic_s)
        if self._asked is not None:
            peer.offset.asked(self._asked[0], message_id=self._asked[1])
        self._sample(peer, frame, now)
        if self._is_timely(frame, now):
            self._find(frame, peer)

    def _sample(self, peer: Peer, frame: Frame, now: Now) -> None:
        # Before its age is judged: a battery whose clock is off is always late, and somebody should be told why.
        sample = peer.offset.answered(frame, now)
        if sample is not None:
            self._events.append(ClockSample(peer.device_id, sample.offset_ms, sample.rtt_ms))

    # -- the table

    def _find(self, frame: Frame, peer: Peer) -> None:
        self._expire(peer.last_seen_s)
        host, port = peer.address
        if len(self._peers) >= self._limits.peers:
            self.counts[Counted.PEERS_FULL] += 1
        elif not self._has_place(host):
            self.counts[Counted.ADDRESS_FULL] += 1
        else:
            self._peers[peer.device_id] = peer
            self._at_address[host] += 1
            self._events += (PeerFound(peer.device_id, host, port), ResponseSeen(peer.device_id, frame))

    def _has_place(self, host: str) -> bool:
        return self._at_address[host] < self._limits.peers_per_address * self._factor(host)

    def _heard(self, peer: Peer, now: Now) -> None:
        peer.last_seen_s = now.monotonic_s
        self._peers.move_to_end(peer.device_id)
        self._contests.pop(peer.device_id, None)

    def _remove(self, device_id: DeviceId) -> None:
        peer = self._peers.pop(device_id)
        self._contests.pop(device_id, None)
        _take_one(self._at_address, peer.address[0])

    def _expire(self, now_s: MonotonicS) -> None:
        while (expiry_s := self._first_expiry()) is not None and expiry_s <= now_s:
            device_id = next(iter(self._peers))
            self._remove(device_id)
            self._events.append(PeerLost(device_id))

    def _first_expiry(self) -> float | None:
        first = next(iter(self._peers.values()), None)
        return None if first is None else first.last_seen_s + self._limits.peer_expiry_s

    # -- a known id at another address

    def _contest(self, peer: Peer, source: Address, now: Now) -> None:
        self.counts[Counted.CONTESTED] += 1
        if peer.device_id in self._contests or len(self._contests) >= self._limits.contests:
            return
        probe_s, until_s = self._limits.contest_probe_s, self._limits.contest_s
        self._contests[peer.device_id] = _Contest(source, now.monotonic_s + probe_s, now.monotonic_s + until_s)

    def _advance_contest(self, device_id: DeviceId, contest: _Contest, now: Now) -> None:
        if contest.until_s <= now.monotonic_s and contest.probed:
            self._move(self._peers[device_id], contest.claimant, now)
        elif contest.probe_s <= now.monotonic_s and not contest.probed:
            contest.probed = True
            # A loop that stood still must not take its own silence for the peer's.
            contest.until_s = max(
                contest.until_s, now.monotonic_s + self._limits.contest_s - self._limits.contest_probe_s
            )
            self._probe(self._peers[device_id].address, now)

    def _move(self, peer: Peer, to: Address, now: Now) -> None:
        self._contests.pop(peer.device_id)
        if to[0] != peer.address[0] and not self._has_place(to[0]):
            self.counts[Counted.ADDRESS_FULL] += 1
            return
        _take_one(self._at_address, peer.address[0])
        self._at_address[to[0]] += 1
        peer.address, peer.offset = to, OffsetEstimator()
        self._heard(peer, now)
        self._events.append(PeerMoved(peer.device_id, *to))

    # -- out

    def _probe(self, target: Address, now: Now) -> None:
        if self._pace.plan(target, now.monotonic_s, now.monotonic_s) is None:
            self.counts[Counted.PACED] += 1
            return
        self._pace.sent(target, now.monotonic_s)
        self._outgoing.append((messages.query(self.device_id), target))
        self.counts[Counted.PROBED] += 1

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` and `datagrams_to_send` have something to do; at once while a probe waits."""
        if self._outgoing:
            return MonotonicS(0.0)
        dues = [self._register_s, self._query_s, *(contest.due_s for contest in self._contests.values())]
        expiry_s = self._first_expiry()
        return MonotonicS(min(dues if expiry_s is None else [*dues, expiry_s]))

    def advance(self, now: Now) -> None:
        """Do what is due."""
        super().advance(now)
        if self._query_s <= now.monotonic_s:
            self._outgoing.append((messages.query(self.device_id), self.group))
            self._query_s = self._after(QUERY_PERIOD_S, now)
        self._expire(now.monotonic_s)
        for device_id, contest in list(self._contests.items()):
            self._advance_contest(device_id, contest, now)

    def _stamp(self, frame: Frame, to: Address, now: Now) -> bytes:
        raw = super()._stamp(frame, to, now)
        if to == self.group and frame.message_type == MessageType.QUERY:
            # Only Queries to all are timed: an answer to a probe that pairs with one looks slower, never faster.
            self._asked = (now, self._ids.last)
            for peer in self._peers.values():
                peer.offset.asked(now, message_id=self._ids.last)
        return raw
