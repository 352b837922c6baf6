"""The discovery cores, driven without a loop, a socket or a clock."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etp import messages
from etp.clock import Now
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.discovery import BessDiscovery, ClockSample, Counted, Event, PeerFound, PeerLost, PeerMoved, ResponseSeen
from etp.discovery_limits import Address, DiscoveryLimits
from etp.effects import Envelope
from etp.frame import FRAME_SIZE, Frame, decode, encode, invalid
from etp.ids import Ids
from etp.messages import Offer
from etp.peers import AggregatorDiscovery
from etp.profile import Plain
from etp.timing import Timing
from etp.units import DeviceId, MicroPerKwh, MonotonicS, WallUs, Wh

GROUP: Address = ("239.192.77.77", 8888)
EPOCH_US = 1_700_000_000_000_000
BESS, BUYER = DeviceId(101), DeviceId(500)
ASKER: Address = ("10.0.0.5", 40_000)
HOME: Address = ("10.0.0.9", 7000)
OFFER = Offer(held=Wh(13_500), for_sale=Wh(6_750))
ASK = MicroPerKwh(125_000)
LIMITS = DiscoveryLimits()
STEADY = DiscoveryLimits(period_jitter=0.0)


def at(second: float) -> Now:
    """Both clocks, `second` s after the start."""
    return Now(MonotonicS(1000.0 + second), WallUs(EPOCH_US + round(second * 1_000_000)))


def raw(frame: Frame, second: float = 0.0, *, age_ms: float = 0.0) -> bytes:
    """A frame stamped `age_ms` before `second`."""
    return encode(messages.stamped(frame, EPOCH_US + round(second * 1_000_000 - age_ms * 1000)))


def query(second: float = 0.0, *, age_ms: float = 0.0, device_id: int = BUYER) -> bytes:
    """A Query's bytes."""
    return raw(messages.query(DeviceId(device_id)), second, age_ms=age_ms)


def register(second: float = 0.0, *, device_id: int = BESS) -> bytes:
    """A Register's bytes."""
    return raw(messages.register(DeviceId(device_id)), second)


def response(second: float = 0.0, *, device_id: int = BESS, age_ms: float = 0.0) -> bytes:
    """A Response's bytes."""
    return raw(messages.response(DeviceId(device_id), offer=OFFER, ask=ASK), second, age_ms=age_ms)


def bess(limits: DiscoveryLimits = LIMITS, seed: int = 1) -> BessDiscovery:
    """A BESS's core that has sent its first Register."""
    core = BessDiscovery(
        BESS,
        GROUP,
        offer=lambda: Envelope(messages.response(BESS, offer=OFFER, ask=ASK)),
        profile=Plain(Ids()),
        rng=random.Random(seed),
        limits=limits,
        timing=Timing(),
    )
    assert [decode(data).message_type for data, _ in turn(core, at(0))] == [MessageType.REGISTER]
    return core


def aggregator(limits: DiscoveryLimits = LIMITS) -> AggregatorDiscovery:
    """An aggregator's core that has sent its first Register and Query."""
    core = AggregatorDiscovery(BUYER, GROUP, profile=Plain(Ids()), rng=random.Random(1), limits=limits, timing=Timing())
    assert len(turn(core, at(0))) == 2
    return core


def turn(core: BessDiscovery | AggregatorDiscovery, now: Now) -> list[tuple[bytes, Address]]:
    """What a shell does when the timer fires."""
    core.advance(now)
    return core.datagrams_to_send(now)


def found(core: AggregatorDiscovery, second: float = 0.01, *, device_id: int = BESS, home: Address = HOME) -> None:
    """Let a battery answer."""
    core.receive_datagram(response(second, device_id=device_id), home, at(second))


def events(core: AggregatorDiscovery) -> list[Event]:
    """Events but clock samples."""
    return [event for event in core.events() if not isinstance(event, ClockSample)]


def run(core: BessDiscovery, arrivals: list[tuple[float, Address]], until: float) -> list[tuple[float, Address, bytes]]:
    """Queries at instants from sources, the core's timer kept exactly: what left, when, where to."""
    sent: list[tuple[float, Address, bytes]] = []
    waiting = sorted(arrivals)
    while True:
        deadline = core.next_deadline()
        assert deadline is not None
        second = deadline - 1000.0
        if waiting and waiting[0][0] <= second:
            second, source = waiting.pop(0)
            core.receive_datagram(query(second), source, at(second))
            continue
        if second > until:
            return sent
        sent += [(second, to, data) for data, to in turn(core, at(second))]


# -- both roles


def test_register_at_start_and_every_60_s() -> None:
    """Both roles register with the group at once, then each 60 s, with fresh ids."""
    for core in (bess(STEADY), aggregator(STEADY)):
        sent = [
            (second, decode(data))
            for second in range(1, 181)
            for data, to in turn(core, at(second))
            if to == GROUP and decode(data).message_type == MessageType.REGISTER
        ]
        assert [second for second, _ in sent] == [60, 120, 180]
        assert [frame.message_id for _, frame in sent] == [at(second).wall_us for second in (60, 120, 180)]


def test_period_is_shortened_by_at_most_its_jitter() -> None:
    """Registers come 57 to 60 s apart, not all the same."""
    core = bess()
    dues = []
    for _ in range(50):
        deadline = core.next_deadline()
        assert deadline is not None
        dues.append(deadline)
        turn(core, Now(deadline, WallUs(EPOCH_US)))
    gaps = [later - earlier for earlier, later in pairwise(dues)]
    assert all(57.0 <= gap <= 60.0 for gap in gaps)
    assert max(gaps) - min(gaps) > 1.0


def test_first_deadline_is_at_once() -> None:
    """A new core has something to do now."""
    core = AggregatorDiscovery(BUYER, GROUP, profile=Plain(Ids()), rng=random.Random(1), limits=LIMITS, timing=Timing())
    assert (core.next_deadline() or 0.0) <= at(0).monotonic_s


def test_everything_sent_is_valid_and_a_frame_long() -> None:
    """Register, Query and Response pass the one judge."""
    buyer, seller = aggregator(), bess()
    buyer.receive_datagram(register(1), HOME, at(1))
    seller.receive_datagram(query(1), ASKER, at(1))
    for data, _ in [*turn(buyer, at(61)), *turn(seller, at(61))]:
        assert len(data) == FRAME_SIZE
        assert invalid(decode(data)) is None


@pytest.mark.parametrize("length", [0, 1, 83, 85, 168, 65_507])
def test_another_length_is_counted(length: int) -> None:
    """Anything but 84 bytes is ignored."""
    for core in (bess(), aggregator()):
        core.receive_datagram(bytes(length), ASKER, at(1))
        assert core.counts[Counted.LENGTH] == 1
        assert turn(core, at(2)) == []


def test_invalid_frame_is_counted() -> None:
    """A NaN anywhere makes a frame invalid, a Query too."""
    for core, data in ((bess(), query(1)), (aggregator(), response(1))):
        frame = decode(data)._replace(battery_voltage=float("nan"))
        core.receive_datagram(encode(frame), ASKER, at(1))
        assert core.counts[Counted.INVALID] == 1
        assert turn(core, at(2)) == []


def test_own_frames_are_ignored() -> None:
    """Multicast loops back what we sent."""
    seller, buyer = bess(), aggregator()
    seller.receive_datagram(query(1, device_id=BESS), ASKER, at(1))
    buyer.receive_datagram(response(1, device_id=BUYER), HOME, at(1))
    assert seller.counts[Counted.OWN] == buyer.counts[Counted.OWN] == 1
    assert turn(seller, at(2)) == []
    assert events(buyer) == []


def test_source_port_zero_is_ignored() -> None:
    """Nobody can be answered there."""
    seller = bess()
    seller.receive_datagram(query(1), ("10.0.0.5", 0), at(1))
    assert seller.counts[Counted.SOURCE] == 1
    assert turn(seller, at(2)) == []


def trades(device_id: DeviceId) -> list[Frame]:
    """One valid frame of each type that no role acts on from UDP."""
    bid = messages.bid(device_id, price=ASK, energy=Wh(100))
    accept = messages.accept(device_id, energy=Wh(100), paid=ASK, bid_price=ASK, offer=OFFER)
    return [
        bid,
        accept,
        messages.confirm(device_id, accept),
        messages.reject(device_id, RejectCode.OUTBID),
        messages.terminate(device_id, TerminateCode.CANNOT_DELIVER),
        messages.device_failure(device_id, FailureCode.BATTERY),
        Frame(MessageType.STATUS, device_id=device_id),
    ]


def test_udp_never_trades() -> None:
    """Bid to Status, valid, from a known peer's address: counted, nothing sent, nothing told."""
    seller, buyer = bess(), aggregator()
    found(buyer)
    events(buyer)
    for frame in trades(BUYER):
        seller.receive_datagram(raw(frame, 1), ASKER, at(1))
    for frame in trades(BESS):
        buyer.receive_datagram(raw(frame, 1), HOME, at(1))
    assert seller.counts == {Counted.UNWANTED: 7}
    assert buyer.counts == {Counted.UNWANTED: 7}
    assert turn(seller, at(2)) == turn(buyer, at(2)) == []
    assert list(buyer.events()) == []
    assert list(buyer.peers) == [BESS]


# -- BESS


def test_query_is_answered_by_unicast_with_the_offer_of_that_moment() -> None:
    """The Response goes to the Query's source, carries the current offer and ask, and an id of its own."""
    offer = Offer(held=Wh(2000), for_sale=Wh(100))
    offers = iter([Envelope(messages.response(BESS, offer=offer, ask=MicroPerKwh(5)))])
    core = BessDiscovery(
        BESS,
        GROUP,
        offer=lambda: next(offers),
        profile=Plain(Ids()),
        rng=random.Random(1),
        limits=LIMITS,
        timing=Timing(),
    )
    turn(core, at(0))
    core.receive_datagram(query(1), ASKER, at(1))
    [(data, to)] = turn(core, at(1.05))
    frame = decode(data)
    assert to == ASKER
    assert (frame.message_type, frame.device_id, frame.message_id) == (MessageType.RESPONSE, BESS, at(1.05).wall_us)
    assert messages.offer(frame) == Offer(held=Wh(2000), for_sale=Wh(100))
    assert (frame.sale_price, frame.bid_price) == (0.0005, 0.0)


def test_reply_delay_is_random_within_50_ms() -> None:
    """Over many seeds the delay covers 0 to 50 ms and never leaves it."""
    delays = []
    for seed in range(300):
        core = bess(seed=seed)
        core.receive_datagram(query(1), ASKER, at(1))
        deadline = core.next_deadline()
        assert deadline is not None
        delays.append(deadline - at(1).monotonic_s)
    assert all(0.0 <= delay <= 0.05 + 1e-9 for delay in delays)
    assert min(delays) < 0.005
    assert max(delays) > 0.045


def test_reply_waits_for_its_delay() -> None:
    """Nothing leaves before the deadline, one Response at it, none after."""
    core = bess()
    core.receive_datagram(query(1), ASKER, at(1))
    due = (core.next_deadline() or 0.0) - 1000.0
    assert turn(core, at(due - 1e-4)) == []
    assert len(turn(core, at(due))) == 1
    assert turn(core, at(due + 0.05)) == []


def test_flood_from_one_port_gets_one_reply_in_any_second() -> None:
    """1,000 Queries a second from one socket for 5 s: replies are a second apart, and there are at least five."""
    sent = run(bess(), [(1 + index / 1000, ASKER) for index in range(5000)], until=7)
    replied = [second for second, to, _ in sent if to == ASKER]
    assert 5 <= len(replied) <= 6
    assert all(later - earlier >= 1.0 - 1e-9 for earlier, later in pairwise(replied))


def test_query_each_second_is_always_answered() -> None:
    """A reply that came late in its delay does not cost the next Query its answer."""
    for seed in range(20):
        sent = run(bess(seed=seed), [(1.0 + index, ASKER) for index in range(10)], until=11)
        assert sum(to == ASKER for _, to, _ in sent) == 10


def test_one_address_gets_50_replies_in_any_second() -> None:
    """Queries from 400 ports of one address over 3 s: at most 50 replies in any window, and as many as allowed."""
    arrivals = [(1 + index / 400, ("10.0.0.5", 1000 + index % 400)) for index in range(1200)]
    instants = [second for second, to, _ in run(bess(), arrivals, until=5) if to != GROUP]
    for second in instants:
        assert sum(second <= other < second + 1.0 - 1e-9 for other in instants) <= 50
    assert len(instants) >= 140


def test_loopback_is_no_exception_for_replies() -> None:
    """60 ports of 127.0.0.1 ask at once: 50 replies."""
    core = bess()
    for port in range(60):
        core.receive_datagram(query(1), ("127.0.0.1", 2000 + port), at(1))
    assert len(turn(core, at(1.05))) == 50
    assert core.counts[Counted.PACED] == 10


def test_pending_replies_are_bounded() -> None:
    """5,000 forged addresses at one instant: 1,200 replies wait, the rest is counted."""
    core = bess()
    for index in range(5000):
        core.receive_datagram(query(1), (f"10.1.{index // 250}.{index % 250}", 9), at(1))
    assert core.counts[Counted.PACED] == 3800
    assert len(turn(core, at(1.05))) == 1200


def test_memory_of_forged_addresses_is_bounded() -> None:
    """20,000 addresses over 10 s are all answered, and nothing of them is left a second later."""
    core = bess()
    arrivals: list[tuple[float, Address]] = [
        (1 + index / 2000, (f"10.{index // 62500}.{index // 250 % 250}.{index % 250}", 9)) for index in range(20_000)
    ]
    assert sum(to != GROUP for _, to, _ in run(core, arrivals, until=12)) == 20_000
    core.receive_datagram(query(13), ASKER, at(13))
    pace = core._pace  # what it keeps is what is tested
    assert (len(pace._sent), len(pace._last_s), len(pace._at_address)) == (0, 0, 1)


def test_late_query_is_dropped_at_the_edge() -> None:
    """3,000 ms + 50 ms of skew is answered, a microsecond more is late."""
    core = bess()
    core.receive_datagram(query(10, age_ms=3050), ASKER, at(10))
    core.receive_datagram(query(10, age_ms=3050.001), ("10.0.0.6", 1), at(10))
    assert core.counts[Counted.LATE] == 1
    assert [to for _, to in turn(core, at(10.05))] == [ASKER]


def test_query_from_the_future_is_dropped_at_the_edge() -> None:
    """5 s ahead is answered, a microsecond more is not."""
    core = bess()
    core.receive_datagram(query(10, age_ms=-5000), ASKER, at(10))
    core.receive_datagram(query(10, age_ms=-5000.001), ("10.0.0.6", 1), at(10))
    assert core.counts[Counted.FUTURE] == 1
    assert [to for _, to in turn(core, at(10.05))] == [ASKER]


def test_untimed_query_is_answered() -> None:
    """An id below 2^40 carries no time."""
    core = bess()
    core.receive_datagram(encode(messages.stamped(messages.query(BUYER), 2**40 - 1)), ASKER, at(10))
    assert [to for _, to in turn(core, at(10.05))] == [ASKER]


DATAGRAMS = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda kind, device_id, stamp: encode(Frame(kind, message_id=stamp, device_id=device_id)),
        st.sampled_from([MessageType.REGISTER, MessageType.QUERY, MessageType.RESPONSE, MessageType.TERMINATE]),
        st.integers(0, 3),
        st.sampled_from([1, EPOCH_US, EPOCH_US + 1_000_000]),
    ),
)
ARRIVALS = st.lists(
    st.tuples(DATAGRAMS, st.sampled_from([ASKER, HOME, ("10.0.0.5", 2)]), st.floats(0, 0.5)), max_size=60
)


@settings(max_examples=100, deadline=None)
@given(ARRIVALS)
def test_never_more_bytes_out_than_in(arrivals: list[tuple[bytes, Address, float]]) -> None:
    """Whatever arrives: no address gets more bytes than came from it; the group gets its periods."""
    for core in (bess(), aggregator()):
        received: Counter[Address] = Counter()
        sent: Counter[Address] = Counter()
        second = 0.0
        for data, source, pause in arrivals:
            second += pause
            received[source] += len(data)
            core.receive_datagram(data, source, at(second))
            for reply, to in turn(core, at(second)):
                sent[to] += len(reply)
            assert all(sent[to] <= received[to] for to in sent if to != GROUP)
        assert sent[GROUP] <= FRAME_SIZE * (2 + second // 9.5)


# -- aggregator


def test_query_to_the_group_every_10_s() -> None:
    """At start and each 10 s."""
    core = aggregator(STEADY)
    asked = [
        second
        for second in range(1, 31)
        for data, to in turn(core, at(second))
        if (decode(data).message_type, to) == (MessageType.QUERY, GROUP)
    ]
    assert asked == [10, 20, 30]


def test_response_makes_a_peer_at_its_source() -> None:
    """The source of the datagram is the address to dial; what it says is passed on as a hint."""
    core = aggregator()
    found(core)
    frame = decode(response(0.01))
    assert events(core) == [PeerFound(BESS, *HOME), ResponseSeen(BESS, frame)]
    found(core, 10)
    assert events(core) == [ResponseSeen(BESS, decode(response(10)))]


def test_register_makes_only_a_candidate() -> None:
    """It is asked by unicast; the Response makes it a peer."""
    core = aggregator()
    core.receive_datagram(register(1), HOME, at(1))
    assert events(core) == []
    [(data, to)] = turn(core, at(1))
    assert (decode(data).message_type, decode(data).device_id, to) == (MessageType.QUERY, BUYER, HOME)
    found(core, 1.05)
    assert events(core)[0] == PeerFound(BESS, *HOME)


def test_probe_is_due_at_once_and_paced() -> None:
    """Ten Registers of ten ids from one port in a second: one probe; from 60 ports of one address: 50."""
    core = aggregator()
    for index in range(10):
        core.receive_datagram(register(1, device_id=index), HOME, at(1))
    assert (core.next_deadline() or 0.0) <= at(1).monotonic_s
    assert [to for _, to in turn(core, at(1))] == [HOME]
    for port in range(60):
        core.receive_datagram(register(2.5, device_id=1000 + port), ("10.0.0.77", 1 + port), at(2.5))
    assert len(turn(core, at(2.5))) == 50


def test_register_of_a_peer_refreshes_it_without_a_probe() -> None:
    """Known at that address: nothing to ask."""
    core = aggregator()
    found(core)
    core.receive_datagram(register(60), HOME, at(60))
    assert core.counts[Counted.PROBED] == 0
    assert core.peers[BESS].last_seen_s == at(60).monotonic_s


def test_peer_is_lost_after_three_missed_registers() -> None:
    """195 s after its last word, not before, and its deadline is known."""
    core = aggregator()
    found(core, 1)
    core.receive_datagram(register(5), HOME, at(5))
    events(core)
    for second in range(10, 200, 5):
        turn(core, at(second))
    turn(core, at(199.99))
    assert events(core) == []
    assert core.next_deadline() == pytest.approx(at(200).monotonic_s)
    turn(core, at(200))
    assert events(core) == [PeerLost(BESS)]
    assert dict(core.peers) == {}


def test_duplicate_is_ignored_from_wherever_it_comes() -> None:
    """The same bytes again, also replayed from another address, do nothing for 6 s."""
    core = aggregator()
    data = encode(messages.stamped(decode(response()), 77))
    core.receive_datagram(data, HOME, at(1))
    events(core)
    core.receive_datagram(data, HOME, at(1.1))
    core.receive_datagram(data, ("10.6.6.6", 1), at(6.99))
    assert core.counts[Counted.DUPLICATE] == 2
    assert events(core) == []
    core.receive_datagram(data, HOME, at(7))
    assert [type(event) for event in events(core)] == [ResponseSeen], "an untimed id may repeat"


def test_memory_of_frames_is_bounded() -> None:
    """More frames than are remembered: the oldest go first."""
    core = aggregator(DiscoveryLimits(recent_frames=10))
    for index in range(1000):
        core.receive_datagram(register(1, device_id=index), ("127.0.0.1", 1), at(1))
    assert len(core._recent) == 10  # what it keeps is what is tested


def test_late_and_future_frames_do_not_refresh() -> None:
    """A Response older than 550 ms or 5 s ahead finds nobody; but says how far the clock is off."""
    core = aggregator()
    core.receive_datagram(response(0.02, age_ms=551), HOME, at(0.02))
    core.receive_datagram(response(0.03, device_id=102, age_ms=-6000), HOME, at(0.03))
    assert (core.counts[Counted.LATE], core.counts[Counted.FUTURE]) == (1, 1)
    late, future = core.events()
    assert isinstance(late, ClockSample)
    assert isinstance(future, ClockSample)
    assert late.device_id == BESS
    assert late.rtt_ms == pytest.approx(20.0)
    assert late.offset_ms == pytest.approx(-541.0)
    assert future.offset_ms == pytest.approx(6015.0)


def test_clock_sample_of_each_answered_query() -> None:
    """Each Query to the group times each peer once; the peer keeps the shortest round trip."""
    core = aggregator(STEADY)
    found(core, 0.04)
    turn(core, at(10))
    found(core, 10.02)
    found(core, 10.03)
    samples = [event for event in core.events() if isinstance(event, ClockSample)]
    assert [round(sample.rtt_ms) for sample in samples] == [40, 20]
    assert core.peers[BESS].offset.offset_ms == pytest.approx(10.0)


def test_forged_ids_cannot_push_out_a_known_peer() -> None:
    """A full table refuses new ids, counts them, and still refreshes what it knows."""
    core = aggregator(DiscoveryLimits(peers=10))
    found(core)
    for index in range(1000):
        found(core, 1, device_id=1000 + index, home=(f"10.9.{index // 250}.{index % 250}", 5))
    assert core.counts[Counted.PEERS_FULL] == 991
    assert BESS in core.peers
    assert len(core.peers) == 10
    found(core, 2)
    assert core.peers[BESS].last_seen_s == at(2).monotonic_s


def test_expired_peer_makes_room() -> None:
    """Full, but one has been silent too long: it goes, the new one comes."""
    core = aggregator(DiscoveryLimits(peers=1))
    found(core, 1)
    events(core)
    found(core, 197, device_id=102)
    assert [type(event) for event in events(core)] == [PeerLost, PeerFound, ResponseSeen]


def test_one_address_has_64_peers_and_loopback_more() -> None:
    """The 65th battery of one host is refused; 300 of 127.0.0.1 are not."""
    core = aggregator()
    for index in range(65):
        found(core, 1, device_id=1000 + index, home=("10.0.0.9", 1 + index))
    assert core.counts[Counted.ADDRESS_FULL] == 1
    for index in range(300):
        found(core, 1, device_id=2000 + index, home=("127.0.0.1", 1 + index))
    assert len(core.peers) == 364


def test_place_of_an_address_is_given_back() -> None:
    """After a peer is forgotten another one of its host fits."""
    core = aggregator(DiscoveryLimits(peers_per_address=1))
    found(core, 1)
    core.forget(BESS)
    core.forget(BESS)
    found(core, 2, device_id=102)
    assert list(core.peers) == [102]


def test_one_address_is_read_at_its_rate() -> None:
    """256 frames at once, then 50 a second; another address is not concerned."""
    core = aggregator()
    for index in range(300):
        core.receive_datagram(response(1, device_id=1), HOME, at(1))
        core.receive_datagram(response(1, device_id=2), ("10.0.0.10", index), at(1 + index / 100))
    assert core.counts[Counted.RATE] == 44
    for _ in range(60):
        core.receive_datagram(response(2, device_id=1), HOME, at(2))
    assert core.counts[Counted.RATE] == 54


def test_addresses_whose_rate_is_kept_are_bounded() -> None:
    """Forged sources push out the least recent bucket only."""
    core = aggregator(DiscoveryLimits(sources=10))
    for index in range(1000):
        core.receive_datagram(b"", (f"10.9.{index // 250}.{index % 250}", 5), at(1))
    assert len(core._buckets) == 10  # what it keeps is what is tested


def test_living_peer_is_not_led_away() -> None:
    """Another address claims its id: it is asked, answers, and stays; the claim is forgotten."""
    core = aggregator()
    found(core, 1)
    events(core)
    thief: Address = ("10.6.6.6", 666)
    found(core, 2, home=thief)
    assert turn(core, at(3)) == []
    [(data, to)] = turn(core, at(3.1))
    assert (decode(data).message_type, to) == (MessageType.QUERY, HOME)
    found(core, 3.15)
    turn(core, at(5))
    assert core.peers[BESS].address == HOME
    assert [type(event) for event in events(core)] == [ResponseSeen]
    assert core.counts[Counted.CONTESTED] == 1


def test_silent_peer_moves() -> None:
    """It restarted on another port: 2.5 s after it answered from there, it has moved."""
    core = aggregator()
    found(core, 1)
    events(core)
    there: Address = ("10.0.0.9", 7001)
    core.receive_datagram(register(2), there, at(2))
    assert [to for _, to in turn(core, at(2))] == [there]
    found(core, 2.05, home=there)
    assert core.next_deadline() == pytest.approx(at(3.15).monotonic_s)
    turn(core, at(3.2))
    turn(core, at(4.6))
    assert events(core) == [PeerMoved(BESS, *there)]
    assert core.peers[BESS].address == there
    core.forget(BESS)
    assert dict(core.peers) == {}


def test_stalled_loop_does_not_take_its_own_silence_for_the_peers() -> None:
    """The timer fires 10 s late: the known address is asked first and has its time to answer."""
    core = aggregator(DiscoveryLimits(period_jitter=0.0))
    found(core, 1)
    events(core)
    found(core, 2, home=("10.6.6.6", 666))
    turn(core, at(12))
    assert core.peers[BESS].address == HOME
    turn(core, at(13.3))
    assert core.peers[BESS].address == HOME
    turn(core, at(13.5))
    assert core.peers[BESS].address == ("10.6.6.6", 666)


def test_claims_are_bounded() -> None:
    """More contested peers than are looked into at once: the rest waits, nothing moves unasked."""
    core = aggregator(DiscoveryLimits(contests=2))
    for index in range(5):
        found(core, 1, device_id=1000 + index, home=("10.0.0.9", 100 + index))
        found(core, 2, device_id=1000 + index, home=("10.6.6.6", 100 + index))
    turn(core, at(3.2))
    turn(core, at(6))
    assert sum(isinstance(event, PeerMoved) for event in core.events()) == 2


def test_full_address_takes_no_movers() -> None:
    """A peer does not move to an address that has its share already."""
    core = aggregator(DiscoveryLimits(peers_per_address=1))
    found(core, 1)
    found(core, 1, device_id=102, home=("10.0.0.8", 1))
    found(core, 2, home=("10.0.0.8", 2))
    turn(core, at(3.2))
    turn(core, at(6))
    assert core.peers[BESS].address == HOME
    assert core.counts[Counted.ADDRESS_FULL] == 1


def test_forgotten_peer_is_found_anew_anywhere() -> None:
    """The daemon could not reach it: its next Response counts at once."""
    core = aggregator()
    found(core, 1)
    events(core)
    core.forget(BESS)
    found(core, 2, home=("10.0.0.9", 7001))
    assert events(core)[0] == PeerFound(BESS, "10.0.0.9", 7001)


def test_two_cores_find_each_other_over_a_fake_link() -> None:
    """A BESS that starts last is known within 51 ms: Register, probe, Response."""
    buyer, seller = aggregator(), bess()
    buyer.receive_datagram(register(2), HOME, at(2))
    [(probe, to)] = turn(buyer, at(2))
    assert to == HOME
    seller.receive_datagram(probe, ASKER, at(2.001))
    [(reply, to)] = turn(seller, at(2.051))
    assert to == ASKER
    buyer.receive_datagram(reply, HOME, at(2.051))
    assert events(buyer)[0] == PeerFound(BESS, *HOME)


@pytest.mark.parametrize(
    "broken",
    [
        {"peer_expiry_s": 180.0},
        {"contest_probe_s": 1.0},
        {"contest_s": 1.0},
        {"period_jitter": 1.0},
        {"pending_replies": 5000},
    ],
)
def test_limits_that_contradict_each_other_are_refused(broken: dict[str, float]) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=r"_s|jitter|replies"):
        DiscoveryLimits(**broken)  # type: ignore[arg-type]
