"""A battery's and an aggregator's session core joined by a fake link in virtual time: pieces, losses and damage of any kind."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, Role, TerminateCode
from etp.effects import Envelope
from etp.frame import Frame, decode, encode, invalid
from etp.ids import Ids
from etp.limits import Limits
from etp.profile import Plain, Received
from etp.session import PREFIX, Closed, Event, Session, Violation
from etp.state import SessionState
from etp.units import DeviceId, MicroPerKwh, MonotonicS, WallUs, Wh

US = 1_700_000_000_000_000
BATTERY, BUYER = DeviceId(101), DeviceId(500)
PACKET = 88
OFFER = messages.Offer(Wh(13_500), Wh(6_000))
PRICE, ENERGY = MicroPerKwh(130_000), Wh(2_000)
STEP_S = 0.001

Damage = Callable[[bytes], bytes]
Pieces = Callable[[bytes], Iterable[bytes]]

ACCEPT = messages.accept(BATTERY, energy=ENERGY, paid=PRICE, bid_price=PRICE, offer=OFFER)
SAYS: dict[tuple[Role, MessageType], Frame] = {
    (Role.BESS, MessageType.QUERY): messages.response(BATTERY, offer=OFFER, ask=PRICE),
    (Role.BESS, MessageType.BID): ACCEPT,
    (Role.BESS, MessageType.CONFIRM): messages.terminate(BATTERY, TerminateCode.FINISHED),
    (Role.AGGREGATOR, MessageType.RESPONSE): messages.bid(BUYER, price=PRICE, energy=ENERGY),
    (Role.AGGREGATOR, MessageType.ACCEPT): messages.confirm(BUYER, ACCEPT),
}
"""What each side says next: one trade from Query to FINISHED."""
HEARD = {
    Role.BESS: [MessageType.QUERY, MessageType.BID, MessageType.CONFIRM],
    Role.AGGREGATOR: [MessageType.RESPONSE, MessageType.ACCEPT, MessageType.TERMINATE],
}
NEXT = {
    SessionState.AWAITING: set(SessionState),
    SessionState.OPEN: {SessionState.OPEN, SessionState.CLOSING, SessionState.CLOSED},
    SessionState.CLOSING: {SessionState.CLOSING, SessionState.CLOSED},
    SessionState.CLOSED: {SessionState.CLOSED},
}
"""A session only ever gets nearer to its end."""


def at(second: float) -> Now:
    return Now(MonotonicS(second), WallUs(US + round(second * 1e6)))


def whole(data: bytes) -> Iterable[bytes]:
    return [data] if data else []


def bytewise(data: bytes) -> Iterable[bytes]:
    return (data[index : index + 1] for index in range(len(data)))


def in_sizes(sizes: list[int]) -> Pieces:
    """Pieces of these sizes, over and over."""

    def pieces(data: bytes) -> Iterable[bytes]:
        start, turn = 0, 0
        while start < len(data):
            yield data[start : start + sizes[turn % len(sizes)]]
            start, turn = start + sizes[turn % len(sizes)], turn + 1

    return pieces


@dataclass
class Side:
    """One core, what it handed over, and what it said."""

    core: Session
    events: list[Event] = field(default_factory=list)
    said: list[Frame] = field(default_factory=list)

    @property
    def frames(self) -> list[Frame]:
        return [event.frame for event in self.events if isinstance(event, Received)]

    @property
    def heard(self) -> list[MessageType]:
        return [MessageType(frame.message_type) for frame in self.frames]


class Link:
    """Carries bytes between two sides until both are silent; `damage` is done to all that `harmed` sends."""

    def __init__(self, *, pieces: Pieces = whole, damage: Damage | None = None, harmed: Role = Role.AGGREGATOR) -> None:
        ids = {Role.BESS: BATTERY, Role.AGGREGATOR: BUYER}
        self.now_s = 0.0
        self.sides = {role: Side(Session(role, ids[role], Plain(Ids()), Limits(), at(0))) for role in Role}
        self._pieces, self._damage, self._harmed = pieces, damage, harmed
        self._undamaged = b""

    def say(self, role: Role, frame: Frame) -> None:
        self.sides[role].core.send(Envelope(frame), at(self.now_s))

    def trade(self) -> "Link":
        """The buyer asks; each side answers what it hears, as far as the link lets it."""
        self.say(Role.AGGREGATOR, messages.query(BUYER))
        while sum(self._carry(role) for role in Role):  # both have their turn
            self.now_s += STEP_S
        return self

    def _carry(self, sender: Role) -> bool:
        data = self._sent(sender)
        for piece in self._pieces(data):
            self._give(sender.peer, piece)
        return bool(data)

    def _sent(self, role: Role) -> bytes:
        side = self.sides[role]
        data = side.core.data_to_send(at(self.now_s))
        for start in range(0, len(data), PACKET):
            assert data[start : start + 4] == PREFIX
            side.said.append(decode(data[start + 4 : start + PACKET]))
            assert invalid(side.said[-1]) is None, "a core never sends what its peer must refuse"
        return self._damaged(data) if role is self._harmed else data

    def _damaged(self, data: bytes) -> bytes:
        """What the damage makes of the whole stream so far, less what was delivered of it before."""
        if self._damage is None:
            return data
        before = self._damage(self._undamaged)
        self._undamaged += data
        return self._damage(self._undamaged)[len(before) :]

    def _give(self, role: Role, piece: bytes) -> None:
        core = self.sides[role].core
        self._move(role, lambda now: core.receive_data(piece, now))
        self._turn(role)

    def _turn(self, role: Role) -> None:
        core = self.sides[role].core
        more = True
        while more:
            self._move(role, lambda now: [self._happened(role, event) for event in core.events(now)])
            more = core.has_frame() and core.state in (SessionState.AWAITING, SessionState.OPEN)

    def _happened(self, role: Role, event: Event) -> None:
        self.sides[role].events.append(event)
        if isinstance(event, Received):
            assert invalid(event.frame) is None
            assert decode(event.raw) == event.frame
            answer = SAYS.get((role, MessageType(event.frame.message_type)))
            if answer is not None:
                self.say(role, answer)

    def _move(self, role: Role, act: Callable[[Now], object]) -> None:
        core = self.sides[role].core
        before = core.state
        act(at(self.now_s))
        assert core.state in NEXT[before]
        assert core.state is not SessionState.OPEN or core.peer_id is not None
        assert len(core._buffer) < PACKET or core.has_frame()

    def trash(self, role: Role, garbage: bytes) -> None:
        """Bytes to `role` that nobody's core has sent."""
        for piece in self._pieces(garbage):
            self._give(role, piece)

    def wait(self) -> None:
        """Let time go by until neither side waits for anything; what is told to go is closed by its deadline."""
        for role, side in self.sides.items():
            while (due := side.core.next_deadline()) is not None:
                self.now_s = max(self.now_s, due)
                self._move(role, side.core.advance)
                self._turn(role)

    def hang_up(self) -> None:
        for role, side in self.sides.items():
            self._move(role, side.core.receive_eof)
            self._turn(role)


def ends_well(link: Link) -> None:
    """Time ends what is left; each side is told so once, and keeps nothing."""
    link.wait()
    for side in link.sides.values():
        assert side.core.state is SessionState.CLOSED
        assert sum(isinstance(event, Closed) for event in side.events) == 1
        assert len(side.core._buffer) == 0


def flipped(bit: int) -> Damage:
    """One bit of the stream is another."""

    def damage(data: bytes) -> bytes:
        if bit // 8 >= len(data):
            return data
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    return damage


def cut(length: int) -> Damage:
    """Nothing comes behind the first `length` bytes."""
    return lambda data: data[:length]


@pytest.mark.parametrize("pieces", [whole, bytewise], ids=["whole", "bytewise"])
def test_a_trade_over_the_link(pieces):
    """Each side hears exactly what the other said, whole or a byte at a time, and then only silence ends it."""
    link = Link(pieces=pieces).trade()
    for role, side in link.sides.items():
        assert side.heard == HEARD[role]
        assert side.frames == link.sides[role.peer].said
        assert not any(isinstance(event, Violation) for event in side.events)
    ends_well(link)
    assert [side.events[-1] for side in link.sides.values()] == [Closed("idle")] * 2


@given(st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_a_trade_in_pieces_of_any_size(sizes):
    """How the bytes are cut changes nothing of what is heard."""
    link = Link(pieces=in_sizes(sizes)).trade()
    assert {role: side.heard for role, side in link.sides.items()} == HEARD


@pytest.mark.parametrize("harmed", Role)
@pytest.mark.parametrize("hangs_up", [True, False], ids=["eof", "silence"])
def test_truncated_at_every_length(harmed, hangs_up):
    """Whole frames before the cut are heard, the part behind is not; the end of the connection, or time, closes both."""
    for length in range(3 * PACKET):
        link = Link(damage=cut(length), harmed=harmed).trade()
        assert link.sides[harmed.peer].heard == HEARD[harmed.peer][: length // PACKET], length
        assert not any(isinstance(event, Violation) for event in link.sides[harmed.peer].events), length
        if hangs_up:
            link.hang_up()
        ends_well(link)


def test_half_a_frame_is_waited_for_a_second():
    """After a whole frame, a started one closes the session 1 s later, at both roles."""
    for harmed in Role:
        link = Link(damage=cut(PACKET + 44), harmed=harmed).trade()
        started_s = link.sides[harmed.peer].core.next_deadline() - 1.0
        assert 0 < started_s <= link.now_s
        ends_well(link)
        assert link.sides[harmed.peer].events[-1] == Closed("half a frame")


@pytest.mark.parametrize("harmed", Role)
@pytest.mark.parametrize("pieces", [whole, bytewise, in_sizes([5, 87, 1])], ids=["whole", "bytewise", "pieces"])
def test_one_bit_flipped_anywhere(harmed, pieces):
    """Every bit of every frame, either way: never raises, hands over no frame that is refused, ends as it must."""
    step = 1 if pieces is whole else 13  # 13 shares no factor with 8: every bit of a byte has its turn
    for bit in range(0, 3 * PACKET * 8, step):
        link = Link(pieces=pieces, damage=flipped(bit), harmed=harmed).trade()
        if bit // 8 % PACKET < len(PREFIX):
            other = link.sides[harmed.peer]
            assert other.heard == HEARD[harmed.peer][: bit // 8 // PACKET], bit
            assert other.said[-1].termination_code == TerminateCode.PROTOCOL_ERROR, bit
        ends_well(link)


def test_a_broken_prefix_is_told_to_the_other_side():
    """Whose length is wrong hears Terminate(PROTOCOL_ERROR) over the link, and nothing of its own counts after that."""
    for harmed in Role:
        link = Link(damage=flipped(PACKET * 8), harmed=harmed).trade()
        last = link.sides[harmed].frames[-1]
        assert (last.message_type, last.termination_code) == (MessageType.TERMINATE, TerminateCode.PROTOCOL_ERROR)
        link.say(harmed, messages.register(BUYER if harmed is Role.AGGREGATOR else BATTERY))
        link.trade()
        assert link.sides[harmed.peer].core.state is SessionState.CLOSING
        assert link.sides[harmed.peer].heard == HEARD[harmed.peer][:1]


@pytest.mark.parametrize("length", [1, 3, 4, 5, 87, 88, 89, 400])
@pytest.mark.parametrize("filler", [0x00, 0x54, 0xFF])
@pytest.mark.parametrize("role", Role)
def test_trailing_garbage(role, filler, length):
    """What follows a trade takes nothing back of it, and is never a frame."""
    link = Link().trade()
    link.trash(role, bytes([filler]) * length)
    assert link.sides[role].heard == HEARD[role]
    ends_well(link)


@given(st.sampled_from(list(Role)), st.binary(max_size=300), st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_any_bytes_from_nobody(role, garbage, sizes):
    """Bytes of any kind, before any frame: nothing raises, and at most valid frames are handed over."""
    link = Link(pieces=in_sizes(sizes))
    link.trash(role, garbage)
    ends_well(link)


FRAMES = st.builds(
    lambda raw, kind: bytes([kind]) + raw[1:],
    st.binary(min_size=84, max_size=84),
    st.one_of(st.sampled_from(list(MessageType)), st.integers(0, 255)),
)


@given(st.sampled_from(list(Role)), st.lists(FRAMES, max_size=6), st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_any_frames_from_nobody(role, raws, sizes):
    """84 random bytes each with the right prefix: judged one by one, and the session ends with the third that is wrong."""
    link = Link(pieces=in_sizes(sizes))
    link.trash(role, b"".join(PREFIX + raw for raw in raws))
    side = link.sides[role]
    wrong = [event for event in side.events if isinstance(event, Violation) and event.kind != "violations"]
    assert len(wrong) <= Limits().violations
    assert (side.core.state is SessionState.CLOSING) is (len(wrong) == Limits().violations)
    ends_well(link)


@st.composite
def mishaps(draw: st.DrawFn) -> Damage:
    """Bits flipped, bytes inserted and the rest cut off, in one stream."""
    bits = draw(st.lists(st.integers(0, 3 * PACKET * 8 - 1), max_size=4))
    position, inserted = draw(st.integers(0, 3 * PACKET)), draw(st.binary(max_size=90))
    length = draw(st.one_of(st.just(10**6), st.integers(0, 3 * PACKET)))

    def damage(data: bytes) -> bytes:
        for bit in bits:
            data = flipped(bit)(data)
        if len(data) > position:
            data = data[:position] + inserted + data[position:]
        return data[:length]

    return damage


@settings(max_examples=300)
@given(mishaps(), st.sampled_from(list(Role)), st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_whatever_happens_to_a_stream(damage, harmed, sizes):
    """Flips, insertions, cuts and pieces together: nothing raises, only valid frames are handed over, both sides close."""
    link = Link(pieces=in_sizes(sizes), damage=damage, harmed=harmed).trade()
    for side in link.sides.values():
        assert all(invalid(decode(encode(frame))) is None for frame in side.said)
    ends_well(link)
