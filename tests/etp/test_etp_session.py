"""The session core: framing, binding, mistakes, timeouts; driven without a loop."""

import pytest

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode, Role, TerminateCode
from etp.effects import Envelope
from etp.frame import Frame, decode, encode
from etp.ids import Ids
from etp.limits import Limits
from etp.profile import Plain, Received
from etp.queue import QueueFull, SendQueue
from etp.roster import Roster
from etp.session import PREFIX, Bound, Closed, Session, Violation
from etp.state import SessionState
from etp.units import DeviceId, MonotonicS, WallUs

US = 1_700_000_000_000_000


def at(second: float) -> Now:
    return Now(MonotonicS(second), WallUs(US + round(second * 1e6)))


def session(role: Role = Role.BESS, **limits: float) -> Session:
    return Session(role, DeviceId(101), Plain(Ids()), Limits(**limits), at(0))


def packet(frame: Frame) -> bytes:
    return PREFIX + encode(frame)


def sent(core: Session, second: float = 1.0) -> list[Frame]:
    data = core.data_to_send(at(second))
    return [decode(data[i + 4 : i + 88]) for i in range(0, len(data), 88)]


QUERY = messages.stamped(messages.query(DeviceId(500)), US)
BID = messages.stamped(messages.bid(DeviceId(500), price=130_000, energy=6000), US + 1)


@pytest.mark.parametrize("size", [1, 3, 88, 200])
def test_pieces_of_any_size(size):
    """Whole, a byte at a time, several at once: the same events."""
    core, data, events = session(), packet(QUERY) + packet(BID), []
    for start in range(0, len(data), size):
        core.receive_data(data[start : start + size], at(1))
        events += core.events(at(1))
    assert events == [Bound(500), Received(QUERY, encode(QUERY)), Received(BID, encode(BID))]


@pytest.mark.parametrize("length", range(88))
def test_a_truncated_frame_is_no_event(length):
    """At every length: nothing happens until the connection ends."""
    core = session()
    core.receive_data(packet(QUERY)[:length], at(1))
    assert list(core.events(at(1))) == []
    core.receive_eof(at(1))
    assert list(core.events(at(1))) == [Closed("the connection ended")]


@pytest.mark.parametrize(
    "prefix", [b"\x53", b"\x54\x01", b"\x54\x00\x00\x01", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"]
)
def test_a_wrong_prefix_ends_it_before_anything_is_kept(prefix):
    """The first wrong byte is answered with Terminate(PROTOCOL_ERROR); what follows is discarded, not buffered."""
    core = session()
    core.receive_data(prefix, at(1))
    core.receive_data(b"x" * 100_000, at(1))
    assert [type(event) for event in core.events(at(1))] == [Violation, Closed]
    assert [f.termination_code for f in sent(core)] == [TerminateCode.PROTOCOL_ERROR]
    assert core.state is SessionState.CLOSING
    assert len(core._buffer) == 0


def test_a_wrong_prefix_behind_a_good_frame():
    """The good frame counts, the rest ends the session."""
    core = session()
    core.receive_data(packet(QUERY) + b"\x00" * 50, at(1))
    kinds = [type(event) for event in core.events(at(1))]
    assert kinds == [Bound, Received, Violation, Closed]


def test_three_violations_end_it():
    """Each invalid Bid gets Reject(INVALID); the third also Terminate(PROTOCOL_ERROR), last."""
    core = session()
    core.receive_data(packet(BID._replace(bid_price=float("nan"))) * 4, at(1))
    list(core.events(at(1)))
    answers = [(f.message_type, f.termination_code) for f in sent(core)]
    assert answers == [(MessageType.REJECT, RejectCode.INVALID)] * 3 + [
        (MessageType.TERMINATE, TerminateCode.PROTOCOL_ERROR)
    ]


def test_another_device_is_not_authorised():
    """A Bid under another device_id than the session's gets Reject(NOT_AUTHORISED); other types are dropped."""
    core = session()
    core.receive_data(
        packet(QUERY) + packet(BID._replace(device_id=501)) + packet(QUERY._replace(device_id=501)), at(1)
    )
    kinds = [type(event) for event in core.events(at(1))]
    assert kinds == [Bound, Received, Violation, Violation]
    assert [f.termination_code for f in sent(core)] == [RejectCode.NOT_AUTHORISED]


@pytest.mark.parametrize(
    ("data", "closes_at", "reason"),
    [
        (b"", 2.0, "no first frame in time"),
        (packet(QUERY), 61.0, "idle"),
        (packet(QUERY) + packet(BID)[:40], 2.0, "half a frame"),
    ],
)
def test_timeouts(data, closes_at, reason):
    """2 s for the first frame, 60 s idle, 1 s for the rest of a started frame."""
    core = session()
    if data:
        core.receive_data(data, at(1))
        list(core.events(at(1)))
    assert core.next_deadline() == closes_at
    core.advance(at(closes_at - 0.001))
    assert core.state is not SessionState.CLOSED
    core.advance(at(closes_at))
    assert core.state is SessionState.CLOSED
    assert list(core.events(at(closes_at))) == [Closed(reason)]
    assert core.next_deadline() is None


def test_a_farewell_unread_ends_after_a_second():
    """Closing takes at most farewell_s."""
    core = session()
    core.farewell(TerminateCode.BUSY, "no place", at(1))
    assert [f.termination_code for f in sent(core)] == [TerminateCode.BUSY]
    core.advance(at(1.9))
    assert core.state is SessionState.CLOSING
    core.advance(at(2.0))
    assert core.state is SessionState.CLOSED
    core.send(Envelope(QUERY), at(2.0))
    assert sent(core) == []


def test_at_most_64_frames_a_turn():
    """The 65th waits for the next turn."""
    core = session()
    core.receive_data(packet(QUERY) * 65, at(1))
    assert len(list(core.events(at(1)))) == 65
    assert core.has_frame()
    assert len(list(core.events(at(1)))) == 1


def test_priority_and_stamp_on_leaving():
    """A DeviceFailure overtakes, a late Status is dropped and counted, a stamped envelope leaves byte for byte."""
    queue = SendQueue(Plain(Ids()), 8)
    kept = Envelope(BID, encode(BID))
    for envelope in (Envelope(Frame(9)), Envelope(Frame(6)), kept, Envelope(Frame(8))):
        queue.push(envelope, at(0))
    out = list(queue.pop_all(at(2.5)))
    assert [raw[0] for raw in out] == [8, 3, 6]
    assert out[1] == encode(BID)
    assert decode(out[0]).message_id == US + 2_500_000
    assert queue.dropped == 1


def test_a_full_queue_drops_what_may_be_dropped():
    """Droppable frames go first; where only answers wait, a further answer ends the session."""
    queue = SendQueue(Plain(Ids()), 2)
    for kind in (9, 2, 6):
        queue.push(Envelope(Frame(kind)), at(0))
    assert queue.dropped == 1
    queue.push(Envelope(Frame(6)), at(0))
    queue.push(Envelope(Frame(9)), at(0))
    assert queue.dropped == 3
    with pytest.raises(QueueFull):
        queue.push(Envelope(Frame(6)), at(0))
    core = session(queued_frames=1)
    core.send(Envelope(Frame(6)), at(0))
    core.send(Envelope(Frame(6)), at(0))
    assert core.state is SessionState.CLOSED


def test_ids_never_repeat():
    """max(now, last + 1), above the mark; a new mark is asked for before half of its lead is used up."""
    ids = Ids(mark=US + 50)
    assert [ids.next(WallUs(US)), ids.next(WallUs(US)), ids.next(WallUs(US + 1000))] == [US + 51, US + 52, US + 1000]
    assert ids.last == US + 1000
    assert ids.mark_due() == US + 1_001_000
    assert ids.mark_due() is None
    ids.next(WallUs(US + 502_000))
    assert ids.mark_due() == US + 1_502_000


def test_roster_limits_places_and_hands_over():
    """Places in all, places per address beyond loopback, one session per device."""
    roster: Roster[str] = Roster(Limits(sessions=3, sessions_per_address=1, devices=3))
    assert [roster.admit(a) for a in ("10.0.0.1", "10.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1")] == [
        True,
        False,
        True,
        True,
        False,
    ]
    roster.leave("10.0.0.1")
    assert len(roster) == 2
    assert roster.bind(DeviceId(1), "old") is None
    assert roster.bind(DeviceId(1), "new") == "old"
    assert not roster.unbind(DeviceId(1), "old")
    assert (roster.get(DeviceId(1)), roster.bound()) == ("new", ["new"])
    assert roster.unbind(DeviceId(1), "new")


@pytest.mark.parametrize("bad", [{"bid_memory_per_device": 10}, {"devices": 10}])
def test_limits_that_contradict_each_other(bad):
    """Relations between limits are checked at construction."""
    with pytest.raises(ValueError, match="at least"):
        Limits(**bad)
