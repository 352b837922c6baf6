"""The signed profile itself: who may say what on which path, cheap checks first, budgets, sessions, UDP."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from etp import messages
from etp.bucket import Bucket
from etp.clock import Now
from etp.codes import MessageType, RejectCode, Role, TerminateCode
from etp.discovery import BessDiscovery, Counted
from etp.discovery_limits import DiscoveryLimits
from etp.effects import Count, Envelope, Write
from etp.evidence import PER_DAY, PER_S, UNPROVEN, Evidence
from etp.frame import FRAME_SIZE, Frame, decode, encode
from etp.ids import Ids
from etp.limits import Limits
from etp.peers import AggregatorDiscovery
from etp.profile import Plain, Reading, Received, Refused
from etp.record import RECORD_SIZE, group_recipient, is_signed_by, trailer
from etp.registry import Network
from etp.session import Bound, Closed, Event, Session, Violation
from etp.signed import AT_ONCE, DATAGRAMS_PER_S, FIRSTS_PER_S, NOBODY, Signed
from etp.timing import Timing
from etp.units import DeviceId, MicroPerKwh, Wh
from etp.window import WIDTH
from tests.signing import (
    BUYERS,
    GROUP,
    NETWORK,
    OTHER_BESS,
    PLAIN_BUYER,
    PREFIX,
    STRANGER,
    Hand,
    counter_in,
    flipped,
    lot_in,
    pair,
    profile_of,
    registry,
)
from tests.support import BESS, at

NOW = at(10)
WALL = NOW.wall_us
LOT = WALL - 5_000
Read = Callable[[Signed, bytes], Reading]


def on_tcp(profile: Signed, raw: bytes) -> Reading:
    """On the session of its sender."""
    return profile.read(raw, DeviceId(int.from_bytes(raw[9:17], "little")), NOW)


def first(profile: Signed, raw: bytes) -> Reading:
    """As the first record of a connection."""
    return profile.read(raw, None, NOW)


def by_udp(profile: Signed, raw: bytes) -> Reading:
    """As a datagram."""
    return profile.read_datagram(raw, NOW)


PATHS = (on_tcp, first, by_udp)
every_path = pytest.mark.parametrize("read", PATHS)


@pytest.fixture
def bess() -> Signed:
    """Battery 101, started at second 0."""
    return profile_of(BESS, Role.BESS)


@pytest.fixture
def hand() -> Hand:
    """Buyer 500."""
    return Hand(BUYERS[0])


def refused(reading: Reading) -> str:
    """The kind of a refusal."""
    assert isinstance(reading, Refused), reading
    return reading.kind


# -- what counts


@every_path
def test_a_member_s_record_to_us_counts(bess: Signed, hand: Hand, read: Read) -> None:
    """As it came, fresh."""
    raw = hand.query(wall_us=WALL)
    assert read(bess, raw) == Received(decode(raw[:FRAME_SIZE]), raw, True)


def test_every_type_is_stamped_and_read() -> None:
    """What one profile seals the other reads: kind, lot, recipient, counters in order from boot << 32 | 1."""
    bess, buyer = profile_of(BESS, Role.BESS, boot=7), profile_of(BUYERS[0], Role.AGGREGATOR)
    offer = messages.Offer(Wh(13_500), Wh(6412))
    ask = MicroPerKwh(125_000)
    accept = messages.accept(BESS, energy=Wh(1000), paid=ask, bid_price=ask, offer=offer)
    said = [
        messages.response(BESS, offer=offer, ask=ask),
        accept,
        messages.reject(BESS, RejectCode.OUTBID, refused=12.5, ask=ask, available=Wh(6412)),
        messages.terminate(BESS, TerminateCode.FINISHED),
        messages.device_failure(BESS, 3),  # type: ignore[arg-type]
        messages.status(BESS, remaining=Wh(1), health=1, voltage_v=50.0, discharge_kw=5.0),  # type: ignore[arg-type]
    ]
    for number, frame in enumerate(said, 1):
        envelope = Envelope(frame, lot_id=LOT)  # type: ignore[arg-type]
        raw = bess.stamp(envelope, BUYERS[0], NOW)
        reading = on_tcp(buyer, raw)
        assert isinstance(reading, Received)
        assert reading.frame == frame._replace(message_id=decode(raw[:84]).message_id)
        assert (counter_in(raw), lot_in(raw)) == (7 << 32 | number, LOT)
        assert trailer(raw).recipient == pair(BUYERS[0]).public
        assert envelope.raw == raw


def test_what_has_no_known_reader_is_for_nobody(bess: Signed) -> None:
    """A farewell to who never said its name, or is in no registry, can be claimed by no key."""
    for reader in (None, STRANGER):
        raw = bess.stamp(Envelope(messages.terminate(BESS, TerminateCode.BUSY)), reader, NOW)
        assert trailer(raw).recipient == NOBODY
        assert is_signed_by(pair(BESS).public, NETWORK.network_id, raw)


def test_what_goes_to_the_group_is_for_the_group(bess: Signed) -> None:
    """SHA-256("group:port")."""
    raw = bess.stamp_to_group(Envelope(messages.register(BESS)), NOW)
    assert trailer(raw).recipient == group_recipient(GROUP)


# -- what is refused, on each path


def _foreign(hand: Hand) -> bytes:
    return replace(hand, network=Network("another market")).query(wall_us=WALL)


def _forged(hand: Hand) -> bytes:
    return replace(hand, key=pair(BUYERS[1])).query(wall_us=WALL)


def _stranger(_: Hand) -> bytes:
    return Hand(STRANGER).query(wall_us=WALL)


def _to_another(hand: Hand) -> bytes:
    return replace(hand, to=OTHER_BESS).query(wall_us=WALL)


def _to_nobody(hand: Hand) -> bytes:
    return hand.record(messages.query(DeviceId(hand.device)), recipient=NOBODY, wall_us=WALL)


def _own_role(_: Hand) -> bytes:
    return Hand(OTHER_BESS).record(messages.register(OTHER_BESS), wall_us=WALL)


def _reflected(_: Hand) -> bytes:
    return Hand(BESS).query(wall_us=WALL)


def _plain_member(_: Hand) -> bytes:
    return Hand(PLAIN_BUYER).query(wall_us=WALL)


def _bare(hand: Hand) -> bytes:
    return hand.query(wall_us=WALL)[:FRAME_SIZE]


def _other_version(hand: Hand) -> bytes:
    return flipped(hand.query(wall_us=WALL), 8 * 88)


def _other_algorithm(hand: Hand) -> bytes:
    return flipped(hand.query(wall_us=WALL), 8 * 89)


def _nan(hand: Hand) -> bytes:
    frame = messages.query(DeviceId(hand.device))._replace(battery_voltage=float("nan"))
    return hand.record(frame, wall_us=WALL)


def _no_time(hand: Hand) -> bytes:
    return hand.bid(LOT, message_id=2**40 - 1)


REFUSALS: dict[str, tuple[Callable[[Hand], bytes], str]] = {
    "another network": (_foreign, "signature"),
    "a forged device id": (_forged, "signature"),
    "a stranger": (_stranger, "stranger"),
    "for another node": (_to_another, "recipient"),
    "for nobody": (_to_nobody, "farewell"),
    "a battery to a battery": (_own_role, "role"),
    "our own words": (_reflected, "own"),
    "a member that must speak plain": (_plain_member, "profile"),
    "a bare frame": (_bare, "record"),
    "another version": (_other_version, "record"),
    "another algorithm": (_other_algorithm, "record"),
}


@every_path
@pytest.mark.parametrize(("make", "kind"), REFUSALS.values(), ids=REFUSALS)
def test_it_is_refused_by_its_name(
    bess: Signed, hand: Hand, make: Callable[[Hand], bytes], kind: str, read: Read
) -> None:
    """And an honest record after it counts: nothing of the sender's window was spent."""
    raw = make(hand)
    reading = read(bess, raw)
    assert refused(reading) == kind
    assert isinstance(reading, Refused)
    assert reading.raw == raw
    hand.seq = 0
    assert isinstance(read(bess, hand.query(wall_us=WALL)), Received)


@pytest.mark.parametrize("make", [_nan, _no_time])
@pytest.mark.parametrize("read", [on_tcp, by_udp])
def test_a_signature_makes_no_frame_valid(bess: Signed, hand: Hand, make: Callable[[Hand], bytes], read: Read) -> None:
    """Judged by the same rules as a bare one, after the signature: INVALID is the signer's own."""
    reading = read(bess, make(hand))
    assert refused(reading) == "invalid"
    assert isinstance(reading, Refused)
    assert reading.code is RejectCode.INVALID


def test_no_flipped_bit_counts_on_any_path(bess: Signed, hand: Hand) -> None:
    """Each of the 1,696 bits of a Bid: refused, and never an exception."""
    raw = hand.bid(LOT, wall_us=WALL)
    for bit in range(8 * RECORD_SIZE):
        assert isinstance(bess.read(flipped(raw, bit), BUYERS[0], NOW), Refused), bit
    for bit in range(0, 8 * RECORD_SIZE, 7):
        for read in (first, by_udp):
            assert isinstance(read(bess, flipped(raw, bit)), Refused), bit
    assert isinstance(on_tcp(bess, raw), Received)


@pytest.mark.parametrize("kind", [MessageType.RESPONSE, MessageType.BID, MessageType.CONFIRM, MessageType.REJECT])
@pytest.mark.parametrize(("price", "energy"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_integers_that_say_something_else_than_the_floats(kind: MessageType, price: int, energy: int) -> None:
    """One unit off, rightly signed: refused as invalid, whoever says it."""
    sender, reader = (Hand(BUYERS[0]), profile_of(BESS, Role.BESS))
    if kind in (MessageType.RESPONSE, MessageType.REJECT):
        sender, reader = (Hand(BESS, to=BUYERS[0]), profile_of(BUYERS[0], Role.AGGREGATOR))
    frame = Frame(
        kind,
        device_id=sender.device,
        bid_price=13.0,
        sale_price=13.0,
        energy_total=10.0,
        percentage_for_sale=50.0,
        required_energy_amount=2.0,
    )
    honest = sender.record(frame, lot_id=LOT, wall_us=WALL)
    assert isinstance(on_tcp(reader, honest), Received)
    said = trailer(honest)
    unsigned = bytearray(honest[:148])
    unsigned[92:100] = (said.counter + 1).to_bytes(8, "little")
    unsigned[108:112] = (said.price + price).to_bytes(4, "little")
    unsigned[112:116] = ((said.energy + energy) % 2**32).to_bytes(4, "little")
    signature = pair(sender.device).sign(b"ETP-SIG-v1\0" + NETWORK.network_id + bytes(unsigned))
    assert refused(on_tcp(reader, bytes(unsigned) + signature)) == "invalid"


# -- replays


@every_path
def test_a_query_counts_once_whatever_way_it_comes(bess: Signed, hand: Hand, read: Read) -> None:
    """What came by one path does not come again by any."""
    raw = hand.query(wall_us=WALL)
    read(bess, raw)
    assert [refused(again(bess, raw)) for again in PATHS] == ["replay"] * 3


def test_what_may_come_again_is_not_fresh(bess: Signed, hand: Hand) -> None:
    """On its own session only: a Bid, Confirm or Terminate; the desk knows whether it is a repetition."""
    accept = Hand(BESS, to=BUYERS[0]).bid(LOT)
    for raw in (hand.bid(LOT, wall_us=WALL), hand.confirm(accept, wall_us=WALL)):
        assert on_tcp(bess, raw) == Received(decode(raw[:84]), raw, True)
        assert on_tcp(bess, raw) == Received(decode(raw[:84]), raw, False)
        assert [refused(again(bess, raw)) for again in (first, by_udp)] == ["replay"] * 2


def test_counters_out_of_order_are_told_apart(bess: Signed, hand: Hand) -> None:
    """A window of 1,024 per sender and boot: each once, too old is old."""
    raws = [hand.query(wall_us=WALL) for _ in range(WIDTH + 1)]
    assert isinstance(on_tcp(bess, raws[0]), Received)
    shuffled = raws[1:]
    random.Random(1).shuffle(shuffled)
    assert all(isinstance(on_tcp(bess, raw), Received) for raw in shuffled)
    assert all(refused(on_tcp(bess, raw)) == "replay" for raw in raws)


def test_a_lower_boot_is_old_a_higher_one_begins_anew(bess: Signed, hand: Hand) -> None:
    """What was signed before the sender's restart never counts again."""
    before = [hand.query(wall_us=WALL) for _ in range(3)]
    on_tcp(bess, before[0])
    hand.boot, hand.seq = 2, 0
    assert isinstance(on_tcp(bess, hand.query(wall_us=WALL)), Received)
    assert [refused(on_tcp(bess, raw)) for raw in before] == ["replay"] * 3


def test_a_forged_counter_moves_no_window(bess: Signed, hand: Hand) -> None:
    """A record with the highest counter and a wrong signature must not make an honest sender old."""
    bad = replace(hand, key=pair(STRANGER)).query(counter=2**64 - 1, wall_us=WALL)
    for read in PATHS:
        assert refused(read(bess, bad)) == "signature"
    assert isinstance(on_tcp(bess, hand.query(wall_us=WALL)), Received)


def test_an_invalid_record_moves_no_window(bess: Signed, hand: Hand) -> None:
    """Its counter may come again with something valid."""
    on_tcp(bess, _nan(hand))
    assert isinstance(on_tcp(bess, hand.query(counter=counter_in(_nan(hand)) - 1, wall_us=WALL)), Received)


# -- beginning a session


@pytest.mark.parametrize(
    ("age_s", "kind"), [(0.0, None), (3.04, None), (3.06, "late"), (9.0, "late"), (60.0, "late"), (-0.04, None)]
)
def test_only_a_record_of_now_begins_a_session(bess: Signed, hand: Hand, age_s: float, kind: str | None) -> None:
    """A Query is of now for 3 s and the allowance; on a session its age is the desk's to judge."""
    raw = hand.query(message_id=WALL - round(age_s * 1e6))
    reading = first(bess, raw)
    assert (reading.kind if isinstance(reading, Refused) else None) == kind
    if kind:
        assert isinstance(on_tcp(bess, raw), Received)


def test_a_record_of_the_life_before_begins_no_session(hand: Hand) -> None:
    """Captured just before a restart, and by the restarted battery never seen."""
    captured = hand.query(wall_us=at(9.9).wall_us)
    restarted = profile_of(BESS, Role.BESS, boot=2, now=at(10))
    assert refused(restarted.read(captured, None, at(10.5))) == "late"
    assert refused(restarted.read(captured, None, at(12.8))) == "late"


@pytest.mark.parametrize("ahead_s", [0.05, 0.25])
def test_a_record_of_a_clock_that_is_ahead_begins_no_session_after_a_restart(hand: Hand, ahead_s: float) -> None:
    """A clock may be 250 ms ahead to trade, and a restart takes longer: captured before it, it is refused at any time after."""
    lived = profile_of(BESS, Role.BESS, boot=1, now=at(0))
    captured = hand.query(wall_us=at(9.6 + ahead_s).wall_us)
    assert isinstance(lived.read(captured, BUYERS[0], at(9.6)), Received)
    restarted = profile_of(BESS, Role.BESS, boot=2, now=at(10))
    for tenth in range(50):
        assert isinstance(restarted.read(captured, None, at(10 + tenth / 10)), Refused)


def test_a_clock_that_is_too_far_ahead_to_trade_begins_no_session(bess: Signed, hand: Hand) -> None:
    """More than 250 ms: its stamps could be of after our next restart."""
    assert refused(first(bess, hand.query(message_id=WALL + 260_000))) == "late"


def test_a_captured_datagram_begins_no_session(bess: Signed) -> None:
    """A Query that went by UDP and got lost on its way (1,024 datagrams wait at most) is for the group, also as a probe: no key for TCP."""
    core = AggregatorDiscovery(
        BUYERS[0],
        GROUP,
        profile=profile_of(BUYERS[0], Role.AGGREGATOR),
        rng=random.Random(1),
        limits=DiscoveryLimits(),
        timing=Timing(),
    )
    hello = Hand(BESS).record(messages.register(BESS), recipient=group_recipient(GROUP), wall_us=WALL)
    core.receive_datagram(hello, ("10.0.0.1", 4000), NOW)
    core.advance(NOW)
    sent = core.datagrams_to_send(NOW)
    probes = [raw for raw, to in sent if to == ("10.0.0.1", 4000)]
    assert len(probes) == 1
    assert all(refused(first(bess, raw)) == "recipient" for raw, _ in sent)
    assert isinstance(by_udp(bess, probes[0]), Received)


def test_a_record_of_before_our_restart_is_not_new_on_a_session(hand: Hand) -> None:
    """We forgot its counter, but the session began with a later one: what comes behind that is at most a repetition."""
    before = hand.record(messages.terminate(BUYERS[0], TerminateCode.SHUTTING_DOWN), wall_us=at(9).wall_us)
    restarted = profile_of(BESS, Role.BESS, boot=2, now=at(10))
    first_one = hand.query(wall_us=at(10.1).wall_us)
    assert isinstance(restarted.read(first_one, None, at(10.1)), Received)
    reading = restarted.read(before, BUYERS[0], at(10.2))
    assert isinstance(reading, Refused) or not reading.fresh


# -- revocation


@every_path
def test_a_revoked_device_says_nothing_from_then_on(hand: Hand, read: Read) -> None:
    """On each path, and from the instant on that the registry says; other members go on."""
    bess = profile_of(BESS, Role.BESS, members=registry().revoked(BUYERS[0], WALL))  # type: ignore[arg-type]
    assert refused(read(bess, hand.query(wall_us=WALL))) == "revoked"
    assert isinstance(read(bess, Hand(BUYERS[1]).query(wall_us=WALL)), Received)


def test_a_registry_may_change_at_any_time(bess: Signed, hand: Hand) -> None:
    """The next record is judged by the new one: revoked, or a stranger."""
    assert isinstance(on_tcp(bess, hand.query(wall_us=WALL)), Received)
    bess.registry = registry().revoked(BUYERS[0], WALL)  # type: ignore[arg-type]
    assert refused(on_tcp(bess, hand.query(wall_us=WALL))) == "revoked"
    bess.registry = type(bess.registry)(NETWORK)
    assert refused(on_tcp(bess, hand.query(wall_us=WALL))) == "stranger"


# -- the budget


@pytest.mark.parametrize(("read", "per_s"), [(by_udp, DATAGRAMS_PER_S), (first, FIRSTS_PER_S)], ids=["udp", "tcp"])
def test_strangers_are_verified_under_a_budget_and_peers_are_not(
    bess: Signed, hand: Hand, read: Read, per_s: int
) -> None:
    """A flood of forged first records or datagrams costs so many signatures a second; who has a session is not touched."""
    bad = replace(hand, key=pair(STRANGER)).query(counter=9 << 32, wall_us=WALL)
    kinds = [refused(read(bess, bad)) for _ in range(AT_ONCE + 500)]
    assert (kinds.count("signature"), kinds.count("budget")) == (AT_ONCE, 500)
    assert isinstance(on_tcp(bess, hand.query(wall_us=WALL)), Received)
    moments = [at(10 + tenth / 10) for tenth in range(1, 11)]
    again = {by_udp: bess.read_datagram, first: lambda raw, now: bess.read(raw, None, now)}[read]
    kinds = [refused(again(bad, now)) for now in moments for _ in range(200)]
    assert abs(kinds.count("signature") - per_s) <= 10, "so many in the second after it"


def test_what_is_cheap_to_refuse_costs_no_budget(bess: Signed, hand: Hand) -> None:
    """Ten thousand of what no signature is needed for, and the budget is as it was."""
    cheap = [make(hand) for make, kind in REFUSALS.values() if kind != "signature"]
    for _ in range(1000):
        for raw in cheap:
            by_udp(bess, raw)
    forged = _forged(hand)
    assert [refused(by_udp(bess, forged)) for _ in range(AT_ONCE)] == ["signature"] * AT_ONCE


def test_a_flood_of_datagrams_keeps_no_member_from_connecting(bess: Signed, hand: Hand) -> None:
    """Forged datagrams (their source too) at 4,000 a second: a member that dials is let in all the same."""
    bad = replace(hand, key=pair(STRANGER)).query(counter=77, wall_us=WALL)
    for index in range(8000):
        bess.read_datagram(bad, at(10 + index / 4000))
    now = at(12)
    dialled = [Hand(device).query(wall_us=now.wall_us) for device in BUYERS]
    assert all(isinstance(bess.read(raw, None, now), Received) for raw in dialled)


# -- sessions


def session(profile: Signed, now: Now = NOW) -> Session:
    """A connection that was accepted by battery 101."""
    return Session(Role.BESS, BESS, profile, Limits(), now)


def hears(made: Session, *raws: bytes, now: Now = NOW) -> list[Event]:
    """The events of what comes."""
    made.receive_data(b"".join(PREFIX + raw for raw in raws), now)
    return list(made.events(now))


def test_a_captured_record_takes_no_session_over(bess: Signed, hand: Hand) -> None:
    """Query by TCP, Query by UDP, Bid, Confirm: none binds another connection."""
    ours = session(bess)
    query, bid = hand.query(wall_us=WALL), hand.bid(LOT, wall_us=WALL)
    assert Bound(BUYERS[0]) in hears(ours, query, bid)
    udp = hand.query(wall_us=WALL)
    by_udp(bess, udp)
    for captured in (query, bid, udp):
        theirs = session(bess)
        events = hears(theirs, captured)
        assert [type(event) for event in events] == [Violation]
        assert theirs.peer_id is None


def test_three_replays_end_a_connection(bess: Signed, hand: Hand) -> None:
    """With PROTOCOL_ERROR, as any three messages against the rules."""
    query = hand.query(wall_us=WALL)
    first(bess, query)
    made = session(bess)
    events = hears(made, query, query, query)
    assert [event.kind for event in events if isinstance(event, Violation)] == ["replay"] * 3 + ["violations"]
    assert isinstance(events[-1], Closed)


def test_a_connection_that_was_refused_for_the_budget_again_and_again_ends(bess: Signed, hand: Hand) -> None:
    """It may be honest, so once is no offence; a stream of it is a flood."""
    bad = replace(hand, key=pair(STRANGER)).query(counter=9 << 32, wall_us=WALL)
    for _ in range(AT_ONCE):
        first(bess, bad)
    made = session(bess)
    events = hears(made, *([bad] * 60))
    assert isinstance(events[-1], Closed)


def test_another_device_on_a_session_is_refused(bess: Signed, hand: Hand) -> None:
    """A member's own record on another member's session counts for nothing and binds nobody."""
    made = session(bess)
    hears(made, hand.query(wall_us=WALL))
    events = hears(made, Hand(BUYERS[1]).bid(LOT, wall_us=WALL))
    assert [event.kind for event in events if isinstance(event, Violation)] == ["device"]
    assert made.peer_id == BUYERS[0]


@pytest.mark.parametrize("kind", [MessageType.RESPONSE, MessageType.ACCEPT, MessageType.REJECT, MessageType.STATUS])
def test_a_buyer_does_not_speak_as_a_battery(bess: Signed, hand: Hand, kind: MessageType) -> None:
    """Role confusion: signed rightly, by a member, of a type that its role does not send."""
    frame = Frame(kind, device_id=hand.device, sale_price=13.0, required_energy_amount=1.0)
    for peer_query in (False, True):
        made = session(bess)
        if peer_query:
            hears(made, hand.query(wall_us=WALL))
        events = hears(made, hand.record(frame, lot_id=LOT, wall_us=WALL))
        assert [event.kind for event in events if isinstance(event, Violation)] == ["role"]


def test_a_plain_frame_to_a_signed_node_ends_at_its_length(bess: Signed) -> None:
    """Nobody talks a node down: the prefix 84 is refused before anything is kept."""
    made = session(bess)
    plain = encode(messages.stamped(messages.query(BUYERS[0]), WALL))
    made.receive_data((84).to_bytes(4, "little") + plain, NOW)
    events = list(made.events(NOW))
    assert [event.kind for event in events if isinstance(event, Violation)] == ["length"]
    farewell = made.data_to_send(NOW)[4:]
    assert decode(farewell[:84]).termination_code == TerminateCode.PROTOCOL_ERROR
    assert is_signed_by(pair(BESS).public, NETWORK.network_id, farewell)


@pytest.mark.parametrize(
    ("device", "counts"),
    [(PLAIN_BUYER, True), (BUYERS[0], False), (STRANGER, False)],
    ids=["plain", "signed", "stranger"],
)
def test_a_plain_node_with_a_registry_hears_its_plain_members_only(device: DeviceId, counts: bool) -> None:
    """A device that is registered for `signed` cannot be impersonated by bare frames."""
    node = Plain(Ids(), registry())
    raw = encode(messages.stamped(messages.query(device), WALL))
    readings = [node.read(raw, None, NOW), node.read(raw, device, NOW), node.read_datagram(raw, NOW)]
    assert [isinstance(reading, Received) for reading in readings] == [counts] * 3
    assert counts or {refused(reading) for reading in readings} == {"profile"}


def test_a_farewell_to_nobody_is_no_evidence() -> None:
    """BUSY before the first record is addressed to nobody: an honest battery is not kept as an offender for it."""
    battery, buyer = profile_of(BESS, Role.BESS), profile_of(BUYERS[0], Role.AGGREGATOR)
    made = session(battery)
    made.farewell(TerminateCode.BUSY, "no place", NOW)
    raw = made.data_to_send(NOW)[4:]
    assert refused(first(buyer, raw)) not in UNPROVEN


# -- UDP


def discovery(profile: Signed) -> BessDiscovery:
    """The battery's."""
    response = messages.response(BESS, offer=messages.Offer(Wh(1000), Wh(500)), ask=MicroPerKwh(125_000))
    return BessDiscovery(
        BESS,
        GROUP,
        offer=lambda: Envelope(response, lot_id=LOT),  # type: ignore[arg-type]
        profile=profile,
        rng=random.Random(1),
        limits=DiscoveryLimits(),
        timing=Timing(),
    )


def answered(core: BessDiscovery, now: Now = NOW) -> int:
    """How many Responses leave."""
    core.advance(Now(now.monotonic_s + 1, now.wall_us + 1_000_000))  # type: ignore[arg-type]
    return sum(raw[0] == MessageType.RESPONSE for raw, _ in core.datagrams_to_send(now))


def test_a_query_by_udp_is_answered_once(bess: Signed, hand: Hand) -> None:
    """To the group or to us; the Response is for the asker's key and speaks of the lot; a replay is counted."""
    for recipient in (group_recipient(GROUP), pair(BESS).public):
        core = discovery(bess)
        raw = hand.record(messages.query(BUYERS[0]), recipient=recipient, wall_us=WALL)
        core.receive_datagram(raw, ("10.0.0.1", 4000), NOW)
        core.receive_datagram(raw, ("10.0.0.66", 4000), NOW)
        core.advance(at(10.1))
        sent = [(one, to) for one, to in core.datagrams_to_send(at(10.1)) if one[0] == MessageType.RESPONSE]
        assert [to for _, to in sent] == [("10.0.0.1", 4000)]
        assert (trailer(sent[0][0]).recipient, lot_in(sent[0][0])) == (pair(BUYERS[0]).public, LOT)
        assert core.counts[Counted.UNPROVEN] == 1


@pytest.mark.parametrize(("make", "kind"), REFUSALS.values(), ids=REFUSALS)
def test_by_udp_it_is_refused_and_counted(bess: Signed, hand: Hand, make: Callable[[Hand], bytes], kind: str) -> None:
    """No answer; one count."""
    core = discovery(bess)
    core.receive_datagram(make(hand), ("10.0.0.1", 4000), NOW)
    assert answered(core) == 0
    counted = {
        "own": Counted.OWN,
        "record": Counted.LENGTH if make is _bare else Counted.UNPROVEN,
        "role": Counted.UNWANTED,
    }
    assert core.counts[counted.get(kind, Counted.UNPROVEN)] == 1


# -- evidence


def test_evidence_is_bounded_and_everything_is_counted() -> None:
    """Ten rows a second, 5,000 a day; the rest is counted."""
    kept = Evidence()
    effects = [kept.keep(BUYERS[0], "replay", [b"x"], at(0.5)) for _ in range(PER_S + 5)]
    assert all(isinstance(effect[0], Count) for effect in effects)
    assert sum(isinstance(effect[-1], Write) for effect in effects) == PER_S
    many = [kept.keep(BUYERS[0], "replay", [b"x"], at(1 + index / PER_S)) for index in range(PER_DAY + 50)]
    assert sum(isinstance(effect[-1], Write) for effect in many) == PER_DAY - PER_S


def test_a_stranger_s_noise_leaves_room_for_proof() -> None:
    """Whoever has no key can make 5,000 rows in a few minutes: an equivocation, signed twice, must still be kept that day."""
    kept = Evidence()
    for index in range(PER_DAY + 50):
        kept.keep(STRANGER, "stranger", [b"noise"], at(1 + index / PER_S))
    assert isinstance(kept.keep(BUYERS[0], "bid_id_reused", [b"one", b"two"], at(3600))[-1], Write)


def test_the_budget_is_a_bucket() -> None:
    """The one that is used everywhere else."""
    bucket = Bucket(rate=FIRSTS_PER_S, burst=AT_ONCE, now_s=at(0).monotonic_s)
    assert sum(bucket.take(at(0).monotonic_s) for _ in range(2000)) == AT_ONCE


# -- what an honest network brings about


def test_a_datagram_that_is_late_on_its_way_is_no_offence(bess: Signed, hand: Hand) -> None:
    """The Query by UDP was said before the one by TCP and comes after it: not acted on, and held against nobody."""
    early, later = hand.query(wall_us=WALL), hand.query(wall_us=WALL)
    assert isinstance(first(bess, later), Received)
    assert refused(by_udp(bess, early)) == "early"
    assert refused(by_udp(bess, later)) == "replay"
    assert refused(on_tcp(bess, early)) == "replay"
    assert "early" not in UNPROVEN


def test_neighbours_of_one_role_register_with_the_same_group() -> None:
    """A buyer hears the other buyers' Registers: counted as nothing to it. A Query of a battery is another matter."""
    discovery = AggregatorDiscovery(
        BUYERS[0],
        GROUP,
        profile=profile_of(BUYERS[0], Role.AGGREGATOR),
        rng=random.Random(1),
        limits=DiscoveryLimits(),
        timing=Timing(),
    )
    neighbour = Hand(BUYERS[1], to=BUYERS[0])
    discovery.receive_datagram(neighbour.record(messages.register(BUYERS[1]), wall_us=WALL), ("127.0.0.1", 9), NOW)
    assert list(discovery.events()) == []
    offer = messages.response(BUYERS[1], offer=messages.Offer(Wh(1000), Wh(500)), ask=MicroPerKwh(1))
    discovery.receive_datagram(neighbour.record(offer, wall_us=WALL), ("127.0.0.1", 9), NOW)
    assert [event.kind for event in discovery.events() if isinstance(event, Violation)] == ["role"]
