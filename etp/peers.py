"""The buyer's discovery: a bounded, expiring table of the batteries that answered.

A Register does not say which role sent it, and an aggregator's comes from a port that nobody dials. So it only makes a
candidate: an aggregator asks it with a unicast Query, and a Response, which only a BESS sends, makes it a peer.
"""

import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from etp import messages
from etp.bucket import Bucket
from etp.clock import Now
from etp.codes import MessageType
from etp.discovery import ClockSample, Counted, Discovery, Outgoing, PeerFound, PeerLost, PeerMoved, ResponseSeen
from etp.discovery_limits import QUERY_PERIOD_S, Address, DiscoveryLimits
from etp.frame import Frame
from etp.offset import OffsetEstimator
from etp.pace import Pace, is_loopback, take_one
from etp.profile import DatagramProfile
from etp.timing import Timing
from etp.units import DeviceId, MonotonicS


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


class AggregatorDiscovery(Discovery):
    """The buyer's: asks who sells, keeps a bounded and expiring table of who answered."""

    WANTED = frozenset({MessageType.REGISTER, MessageType.RESPONSE})

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
        super().__init__(device_id, group, profile=profile, rng=rng, limits=limits, timing=timing)
        self.queried: Callable[[DeviceId | None], None] = lambda _: None
        """Called with each Query that leaves: whom it asks, where that is known; None: everybody."""
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
        if self._is_duplicate(data, now):
            return
        frame = self._read(data, source, now)
        if frame is None:
            return
        self._remember(data, now)
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
        return False

    def _remember(self, data: bytes, now: Now) -> None:
        if len(self._recent) >= self._limits.recent_frames:
            self._recent.popitem(last=False)
        self._recent[data] = now.monotonic_s + self._limits.recent_s

    def _on_register(self, frame: Frame, source: Address, now: Now) -> None:
        if not self._is_timely(frame, now):
            return
        peer = self._peers.get(DeviceId(frame.device_id))
        if peer is not None and peer.address == source:
            self._heard(peer, now)
        else:
            self._probe(source, DeviceId(frame.device_id), now)

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
        take_one(self._at_address, peer.address[0])

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
            self._probe(self._peers[device_id].address, device_id, now)

    def _move(self, peer: Peer, to: Address, now: Now) -> None:
        self._contests.pop(peer.device_id)
        if to[0] != peer.address[0] and not self._has_place(to[0]):
            self.counts[Counted.ADDRESS_FULL] += 1
            return
        take_one(self._at_address, peer.address[0])
        self._at_address[to[0]] += 1
        peer.address, peer.offset = to, OffsetEstimator()
        self._heard(peer, now)
        self._events.append(PeerMoved(peer.device_id, *to))

    # -- out

    def _probe(self, target: Address, device_id: DeviceId, now: Now) -> None:
        if self._pace.plan(target, now.monotonic_s, now.monotonic_s) is None:
            self.counts[Counted.PACED] += 1
            return
        self._pace.sent(target, now.monotonic_s)
        self._outgoing.append(Outgoing(messages.query(self.device_id), target, device_id))
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
            self._outgoing.append(Outgoing(messages.query(self.device_id), self.group))
            self._query_s = self._after(QUERY_PERIOD_S, now)
        self._expire(now.monotonic_s)
        for device_id, contest in list(self._contests.items()):
            self._advance_contest(device_id, contest, now)

    def _stamp(self, one: Outgoing, now: Now) -> bytes:
        raw = super()._stamp(one, now)
        if one.frame.message_type == MessageType.QUERY:
            self.queried(one.reader)
        if one.to == self.group and one.frame.message_type == MessageType.QUERY:
            # Only Queries to all are timed: an answer to a probe that pairs with one looks slower, never faster.
            self._asked = (now, self._profile.ids.last)
            for peer in self._peers.values():
                peer.offset.asked(now, message_id=self._profile.ids.last)
        return raw
