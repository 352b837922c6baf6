"""Every role × session state × message type × fault through the real session; every state × input of the affair and lot tables."""

import itertools

import pytest

from etp import messages
from etp.clock import Now
from etp.codes import SENT_BY, FailureCode, MessageType, RejectCode, Role, TerminateCode
from etp.effects import Envelope
from etp.frame import Frame, decode, encode
from etp.ids import Ids
from etp.limits import Limits
from etp.profile import Plain
from etp.session import PREFIX, Closed, Session, Violation
from etp.state import AFFAIR, LOT, SESSION, AffairInput, AffairState, LotState, SessionInput, SessionState, next_affair
from etp.timing import TIMING
from etp.units import DeviceId, MonotonicS, WallUs
from tests.support import Bench, bench

US = 1_700_000_000_000_000
OURS, PEER, STRANGER = DeviceId(101), DeviceId(500), DeviceId(501)
SPEAKING = (SessionState.AWAITING, SessionState.OPEN)
FAULTS = ("none", "invalid", "device")
FIRST = {Role.BESS: MessageType.QUERY, Role.AGGREGATOR: MessageType.RESPONSE}
ANSWERS = {"invalid": RejectCode.INVALID, "device": RejectCode.NOT_AUTHORISED}


def at(second: float) -> Now:
    return Now(MonotonicS(second), WallUs(US + round(second * 1e6)))


def a_frame(kind: MessageType, fault: str = "none") -> Frame:
    """A frame of any type that `invalid` passes, but for its fault."""
    device = STRANGER if fault == "device" else PEER
    frame = Frame(kind, US, device, bid_price=1.0, required_energy_amount=1.0)
    return frame._replace(ttl=0) if fault == "invalid" else frame


def arrive(role: Role, state: SessionState, **limits: int) -> Session:
    """A session that came into `state` by what happens on a wire."""
    core = Session(role, OURS, Plain(Ids()), Limits(**limits), at(0))
    if state is SessionState.OPEN:
        hear(core, a_frame(FIRST[role]))
    elif state is SessionState.CLOSING:
        core.farewell(TerminateCode.BUSY, "no place", at(0))
        answers(core)
    elif state is SessionState.CLOSED:
        core.receive_eof(at(0))
    list(core.events(at(0)))
    assert core.state is state
    return core


def hear(core: Session, frame: Frame) -> list[str]:
    """What one more frame brings about: the names of the events, a violation with its kind."""
    core.receive_data(PREFIX + encode(frame), at(0.1))
    return [
        event.kind if isinstance(event, Violation) else type(event).__name__.lower() for event in core.events(at(0.1))
    ]


def answers(core: Session) -> list[tuple[int, int]]:
    data = core.data_to_send(at(0.1))
    frames = [decode(data[start + 4 : start + 88]) for start in range(0, len(data), 88)]
    return [(frame.message_type, frame.termination_code) for frame in frames]


def fault_of(role: Role, state: SessionState, kind: MessageType, fault: str) -> str:
    """Which rule a frame breaks; "none": it is delivered. A first frame cannot be of another device."""
    if fault == "invalid" or (fault == "device" and state is SessionState.OPEN):
        return fault
    return "none" if kind in SENT_BY[role.peer] else "role"


def test_every_frame_in_every_state():
    """Delivered, counted, answered or discarded: exactly what role, state, type and fault say, and nothing besides."""
    for role, state, kind, fault in itertools.product(Role, SessionState, MessageType, FAULTS):
        case = (role, state, kind, fault)
        core = arrive(role, state)
        heard, answered = hear(core, a_frame(kind, fault)), answers(core)
        if state not in SPEAKING:
            assert (heard, answered, core.state) == ([], [], state), case
            continue
        broken = fault_of(role, state, kind, fault)
        if broken == "none":
            assert heard == (["bound"] if state is SessionState.AWAITING else []) + ["received"], case
            assert (answered, core.state) == ([], SessionState.OPEN), case
            continue
        refused = role is Role.BESS and kind is MessageType.BID
        assert heard == [broken], case
        assert answered == ([(MessageType.REJECT, ANSWERS[broken])] if refused else []), case
        assert core.state is state, case


def test_no_fault_binds_a_session():
    """Only a delivered frame makes the session its device's."""
    for role, kind, fault in itertools.product(Role, MessageType, FAULTS):
        core = arrive(role, SessionState.AWAITING)
        delivered = "received" in hear(core, a_frame(kind, fault))
        assert (core.peer_id is not None) is delivered, (role, kind, fault)


def test_the_third_fault_of_any_kind_ends_it():
    """Whatever mixture of three faults: PROTOCOL_ERROR behind the answers, CLOSING, and the next frame is discarded."""
    for role, kinds in itertools.product(Role, itertools.product((MessageType.BID, MessageType.ACCEPT), repeat=3)):
        core = arrive(role, SessionState.OPEN)
        heard = [event for kind in kinds for event in hear(core, a_frame(kind, "invalid"))]
        assert heard == ["invalid"] * 3 + ["violations", "closed"], (role, kinds)
        assert answers(core)[-1] == (MessageType.TERMINATE, TerminateCode.PROTOCOL_ERROR)
        assert core.state is SessionState.CLOSING
        assert hear(core, a_frame(FIRST[role])) == []


def test_every_input_in_every_state():
    """A farewell, a quiet end, the end of the connection: the real session moves as SESSION says, and has a row for each."""
    ways = {
        SessionInput.FAREWELL: (
            lambda core: core.farewell(TerminateCode.BUSY, "no place", at(0.1)),
            lambda core: core.finish("another session took over", at(0.1)),
        ),
        SessionInput.GONE: (lambda core: core.receive_eof(at(0.1)),),
    }
    for role, state, cause in itertools.product(Role, SessionState, SessionInput):
        for way in ways[cause]:
            if cause is SessionInput.FAREWELL and state not in SPEAKING:
                continue  # the shell says goodbye once
            core = arrive(role, state)
            way(core)
            assert core.state is SESSION[state][cause], (role, state, cause)
    assert {(state, cause) for state in SESSION for cause in SESSION[state]} == set(
        itertools.product(SessionState, SessionInput)
    )


def test_the_end_is_told_once():
    """However often a session ends, its owner hears one Closed."""
    for role, state in itertools.product(Role, SPEAKING):
        core = arrive(role, state)
        core.finish("another session took over", at(0.1))
        core.receive_eof(at(0.2))
        core.receive_eof(at(0.3))
        core.advance(at(9))
        assert [type(event) for event in core.events(at(9))] == [Closed], (role, state)


def test_every_type_is_sent_only_while_the_session_speaks():
    """In AWAITING and OPEN each type leaves; in CLOSING and CLOSED nothing more is queued."""
    for role, state, kind in itertools.product(Role, SessionState, MessageType):
        core = arrive(role, state)
        core.send(Envelope(a_frame(kind)), at(0.1))
        assert [sent for sent, _ in answers(core)] == ([kind] if state in SPEAKING else []), (role, state, kind)


def test_every_type_where_nothing_reads():
    """At the bound of the queue a droppable type is dropped and counted; any other ends the session."""
    for role, kind in itertools.product(Role, MessageType):
        core = arrive(role, SessionState.OPEN, queued_frames=1)
        core.send(Envelope(a_frame(MessageType.REJECT)), at(0.1))
        core.send(Envelope(a_frame(kind)), at(0.1))
        droppable = TIMING[kind].droppable
        assert core.state is (SessionState.OPEN if droppable else SessionState.CLOSED), (role, kind)
        assert core.queue.dropped == int(droppable)


def test_every_time_in_every_state():
    """Past its deadline each state ends as GONE does; before it nothing moves; a closed session has none."""
    for role, state in itertools.product(Role, SessionState):
        core = arrive(role, state)
        due = core.next_deadline()
        assert (due is None) is (state is SessionState.CLOSED)
        core.advance(at((due or 1.0) - 0.001))
        assert core.state is state, (role, state)
        core.advance(at(due or 1.0))
        assert core.state is SESSION[state][SessionInput.GONE], (role, state)


def test_a_refused_frame_in_two_pieces_leaves_the_first_frame_its_time():
    """An invalid frame in two pieces costs a battery's peer none of the 2 s that it has for its first good one."""
    core = arrive(Role.BESS, SessionState.AWAITING)
    wrong = PREFIX + encode(a_frame(MessageType.QUERY, "invalid"))
    for piece, second in ((wrong[:40], 0.1), (wrong[40:], 0.2)):
        core.receive_data(piece, at(second))
        list(core.events(at(second)))
    assert core.next_deadline() == 2.0


# -- affairs

MOVES = {
    # Nothing is won or freed twice, and only what was promised is confirmed, finished or released.
    (AffairState.NONE, AffairInput.TAKES_PART): AffairState.BIDDING,
    (AffairState.NONE, AffairInput.WON): AffairState.RESERVED,
    (AffairState.NONE, AffairInput.FREED): AffairState.NONE,
    (AffairState.BIDDING, AffairInput.TAKES_PART): AffairState.BIDDING,
    (AffairState.BIDDING, AffairInput.FREED): AffairState.NONE,
    (AffairState.BIDDING, AffairInput.WON): AffairState.RESERVED,
    (AffairState.RESERVED, AffairInput.CONFIRMED): AffairState.CONFIRMING,
    (AffairState.RESERVED, AffairInput.RELEASED): AffairState.NONE,
    (AffairState.CONFIRMING, AffairInput.FINISHED): AffairState.NONE,
    (AffairState.CONFIRMING, AffairInput.RELEASED): AffairState.NONE,
}


def test_every_affair_moves_by_every_input_or_raises():
    """Ten moves are in the table; each other state × input raises KeyError, and no move leads out of it."""
    for state, cause in itertools.product(AffairState, AffairInput):
        after = MOVES.get((state, cause))
        if after is not None:
            assert next_affair(state, cause) is after, (state, cause)
        else:
            with pytest.raises(KeyError):
                next_affair(state, cause)
    assert set(AFFAIR) == set(AffairState)


def test_no_affair_is_stuck():
    """Every state is reached from NONE, and NONE from every state."""
    for start in AffairState:
        assert AffairState.NONE in affairs_after(start), start
        assert start in affairs_after(AffairState.NONE), start


def affairs_after(start: AffairState) -> set[AffairState]:
    found, todo = set(), [start]
    while todo:
        for after in set(AFFAIR[todo.pop()].values()) - found:
            found.add(after)
            todo.append(after)
    return found


# -- lots

SUCCESSORS = {
    LotState.OPEN: {LotState.RESERVED, LotState.VOID},
    LotState.RESERVED: {LotState.CONFIRMED, LotState.RELEASED},
    LotState.CONFIRMED: {LotState.SETTLING},
    LotState.SETTLING: {LotState.SETTLED, LotState.REFUNDED},
}


def test_every_lot_state_has_its_successors_and_no_other():
    """Each state × state is a move or none: what is void, released, settled or refunded is so for ever."""
    for before, after in itertools.product(LotState, LotState):
        assert (after in LOT[before]) is (after in SUCCESSORS.get(before, ())), (before, after)
    assert set(LOT) == set(LotState)


def lot_ends(seller: Bench) -> set[tuple[LotState, ...]]:
    """The states of each lot as the desk journalled them, its OPEN in front."""
    lots: dict[int, list[LotState]] = {}
    for row in seller.rows:
        if row.kind in ("lot", "promise"):
            states = lots.setdefault(row.lot_id, [LotState.OPEN])
            if states[-1] is not LotState(row.state):
                states.append(LotState(row.state))
    return {tuple(states) for states in lots.values()}


def sold(seller: Bench) -> Frame:
    seller.bid(500, 13, 2, 1)
    seller.advance(1.3)
    return seller.last(500)


@pytest.mark.parametrize(
    ("mechanism", "ends", "last"),
    [
        ("english", lambda s: s.confirm(sold(s), 500, 1.4), LotState.CONFIRMED),
        ("english", lambda s: (sold(s), s.advance(3)), LotState.RELEASED),
        ("english", lambda s: s.confirm(sold(s)._replace(sale_price=1.0), 500, 1.4), LotState.RELEASED),
        ("english", lambda s: (sold(s), s.give(a_terminate(), 1.4)), LotState.RELEASED),
        ("english", lambda s: (sold(s), fail(s, 1.4)), LotState.RELEASED),
        ("english", lambda s: (s.bid(500, 13, 2, 1), fail(s, 1.1)), LotState.VOID),
        ("vickrey", lambda s: (s.bid(500, 13, 2, 1), s.give(a_terminate(), 1.1), fail(s, 1.2)), LotState.VOID),
        ("first-above-reserve", lambda s: s.confirm(sold(s), 500, 1.4), LotState.CONFIRMED),
    ],
    ids=["confirmed", "unconfirmed", "other-terms", "declined", "failed", "failed-open", "withdrawn", "immediate"],
)
def test_a_desk_takes_its_lots_through_the_table_alone(mechanism, ends, last):
    """Confirmed, unconfirmed, on other terms, declined, failed, withdrawn: each journalled move is one of LOT."""
    seller = bench(mechanism)
    ends(seller)
    walks = lot_ends(seller)
    assert {walk[-1] for walk in walks} == {last}
    assert all(after in LOT[before] for walk in walks for before, after in itertools.pairwise(walk)), walks


def a_terminate() -> Frame:
    return messages.terminate(PEER, TerminateCode.CANNOT_DELIVER)


def fail(seller: Bench, second: float) -> None:
    seller.do(seller.desk.fail(FailureCode.BATTERY, at(second)), at(second))
