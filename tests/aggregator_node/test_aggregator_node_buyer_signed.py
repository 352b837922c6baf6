"""The real buyer in the signed profile, against hands that sign as its battery does: stored answers, replays, lies."""

import random
from dataclasses import dataclass, field

import pytest

from aggregator_node.buyer import Buyer
from aggregator_node.portfolio import Portfolio
from aggregator_node.strategy import STRATEGIES
from aggregator_node.worth import Constant
from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode, Role, TerminateCode
from etp.effects import Commit, Count, Effect, Lookup, Row, Send, Write
from etp.evidence import UNPROVEN
from etp.frame import FRAME_SIZE, Frame, decode
from etp.limits import Limits
from etp.profile import Received
from etp.record import is_signed_by, trailer
from etp.session import Session, Violation
from etp.signed import Signed
from etp.timing import Timing
from etp.units import DeviceId, LotId, MicroPerKwh, Wh
from tests.signing import BUYERS, NETWORK, PREFIX, Hand, lot_in, pair, profile_of
from tests.support import BESS, START_US, at

US = BUYERS[0]
LOT = START_US + 5
LARGEST_OF_SQLITE = 2**63 - 1
WH, MICRO = Wh(1000), MicroPerKwh(125_000)


@dataclass
class House:
    """One buyer with a journal in memory; `bess` signs whatever a test has its battery say."""

    profile: Signed = field(default_factory=lambda: profile_of(US, Role.AGGREGATOR))
    bess: Hand = field(default_factory=lambda: Hand(BESS, to=US))
    rows: list[Row] = field(default_factory=list)
    sent: list[tuple[Frame, bytes]] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    held: list[Commit] = field(default_factory=list)
    hold: bool = False
    refused: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buyer = Buyer(
            US,
            worth=Constant(MicroPerKwh(200_000)),
            portfolio=Portfolio(Wh(3000)),
            strategy=STRATEGIES["conservative"],
            profile=self.profile,
            rng=random.Random(1),
            timing=Timing(),
        )
        self.open(0)

    def open(self, second: float) -> None:
        """A session begins: its Query is answered at once, with nothing for sale."""
        self.do(self.buyer.session_opened(BESS, at(second)), at(second))
        nothing = messages.Offer(Wh(2000), Wh(0))
        self.says(messages.response(BESS, offer=nothing, ask=MicroPerKwh(0)), second + 0.001, 0)

    def do(self, effects: list[Effect], now: Now) -> None:
        """Carry effects out."""
        for effect in effects:
            if isinstance(effect, Send):
                raw = effect.envelope.raw or self.profile.stamp(effect.envelope, effect.device_id, now)
                assert is_signed_by(pair(US).public, NETWORK.network_id, raw)
                self.sent.append((decode(raw[:FRAME_SIZE]), raw))
            elif isinstance(effect, Commit):
                self.held.append(effect)
                if not self.hold:
                    self.settle(now)
            elif isinstance(effect, Write):
                self.rows += effect.rows
            elif isinstance(effect, Lookup):
                found = (row for row in reversed(self.rows) if (row.kind, row.subject) == (effect.kind, effect.subject))
                self.do(self.buyer.found(effect, next(found, None), now), now)
            elif isinstance(effect, Count):
                self.counts.append(effect)

    def settle(self, now: Now, *, fails: bool = False) -> None:
        """End what is on its way to the journal."""
        held, self.held = self.held, []
        for commit in held:
            if fails:
                self.do(self.buyer.commit_failed(commit, now), now)
            else:
                self.rows += commit.rows
                self.do(self.buyer.committed(commit, now), now)

    def give(self, raw: bytes, second: float) -> bytes:
        """A record of the battery's session, through the profile."""
        reading = self.profile.read(raw, BESS, at(second))
        if isinstance(reading, Received):
            self.do(self.buyer.receive(BESS, reading.frame, raw, at(second), fresh=reading.fresh), at(second))
        else:
            self.refused.append(reading)
        return raw

    def says(self, frame: Frame, second: float, lot_id: int = LOT) -> bytes:
        """The battery signs and says something of now."""
        return self.give(self.signs(frame, second, lot_id), second)

    def signs(self, frame: Frame, second: float, lot_id: int = LOT) -> bytes:
        """The battery signs something and does not say it yet."""
        return self.bess.record(frame, lot_id=lot_id, wall_us=at(second).wall_us)

    def offers(self, second: float, lot_id: int = LOT, *, ask: MicroPerKwh = MICRO) -> bytes:
        """A Response that invites a bid of a kWh."""
        offer = messages.Offer(Wh(2000), WH)
        return self.says(messages.response(BESS, offer=offer, ask=ask), second, lot_id)

    def answers(self, second: float, lot_id: int = LOT) -> bytes:
        """The Response to the live bid: it takes part."""
        bid = self.last(MessageType.BID)[0]
        price = MicroPerKwh(round(bid.bid_price * 10_000))
        offer = messages.Offer(Wh(2000), WH)
        return self.says(messages.response(BESS, offer=offer, ask=MICRO, bid_price=price), second, lot_id)

    def rejects(self, second: float, code: RejectCode, lot_id: int = LOT) -> bytes:
        """A Reject of the live bid, signed and not said yet."""
        price = self.last(MessageType.BID)[0].bid_price
        return self.signs(messages.reject(BESS, code, refused=price), second, lot_id)

    def accept(self) -> Frame:
        """The Accept of the live bid."""
        bid = messages.terms(self.last(MessageType.BID)[0])
        offer = messages.Offer(Wh(2000), WH)
        return messages.accept(BESS, energy=bid.energy, paid=bid.bid_price, bid_price=bid.bid_price, offer=offer)

    def wins(self, second: float, lot_id: int = LOT) -> bytes:
        """Offer, bid, Accept, Confirm; returns the Accept."""
        self.offers(second, lot_id)
        return self.says(self.accept(), second + 0.1, lot_id)

    def ends(self, code: TerminateCode, second: float, lot_id: int = LOT) -> bytes:
        """The battery's Terminate of a lot."""
        return self.says(messages.terminate(BESS, code), second, lot_id)

    def last(self, kind: MessageType) -> tuple[Frame, bytes]:
        """The last record of a type that we sent."""
        return next(sent for sent in reversed(self.sent) if sent[0].message_type == kind)

    def types(self) -> list[MessageType]:
        """All that we sent."""
        return [MessageType(frame.message_type) for frame, _ in self.sent]

    def evidence(self) -> list[str]:
        """Kinds of security rows."""
        return [row.state for row in self.rows if row.kind == "security"]

    def bought(self) -> int:
        """Trades in the journal."""
        return sum(row.kind == "trade" for row in self.rows)


@pytest.fixture
def house() -> House:
    """A buyer that is connected to a battery."""
    return House()


def test_what_it_says_of_a_lot_carries_its_lot(house: House) -> None:
    """Bid and Confirm are signed, for the battery's key, for the lot of the Response and of the Accept."""
    house.wins(1, LOT)
    for kind in (MessageType.BID, MessageType.CONFIRM):
        raw = house.last(kind)[1]
        assert (lot_in(raw), trailer(raw).recipient) == (LOT, pair(BESS).public)
    house.ends(TerminateCode.FINISHED, 1.2)
    assert (house.bought(), house.buyer.portfolio.bought) == (1, 1000)


def test_an_accept_of_no_lot_is_declined(house: House) -> None:
    """A Confirm without a lot could never be settled, nor refunded."""
    house.wins(1, 0)
    assert MessageType.CONFIRM not in house.types()
    assert house.sent[-1][0].termination_code == TerminateCode.CANNOT_DELIVER


def test_a_part_of_a_divided_lot_may_have_an_id_of_its_own(house: House) -> None:
    """The Confirm names the lot of the Accept, not the one that was bid for."""
    house.offers(1)
    house.says(house.accept(), 1.1, LOT + 99)
    assert lot_in(house.last(MessageType.CONFIRM)[1]) == LOT + 99


# -- stored answers


def test_a_stored_answer_is_taken_although_its_counter_is_old(house: House) -> None:
    """FINISHED was signed, the session died, 2,000 records later the Confirm is repeated: the very bytes end the promise."""
    house.wins(1)
    stored = house.signs(messages.terminate(BESS, TerminateCode.FINISHED), 1.2)
    house.bess.seq += 2000
    house.do(house.buyer.session_lost(BESS, at(2)), at(2))
    house.open(3)
    confirms = [raw for frame, raw in house.sent if frame.message_type == MessageType.CONFIRM]
    assert len(confirms) == 2
    assert len(set(confirms)) == 1, "byte for byte"
    house.offers(3.1, LOT + 7)
    reading = house.profile.read(stored, BESS, at(3.2))
    assert isinstance(reading, Received)
    assert not reading.fresh
    house.give(stored, 3.2)
    assert house.bought() == 1
    assert not house.evidence()


def test_a_stored_answer_to_a_bid_is_taken(house: House) -> None:
    """A Bid of unknown fate goes again after a reconnect: the Reject that was lost on its way frees the bidder."""
    house.offers(1)
    stored = house.rejects(1.1, RejectCode.OUTBID)
    house.bess.seq += 2000
    house.do(house.buyer.session_lost(BESS, at(2)), at(2))
    house.open(3)
    house.says(messages.response(BESS, offer=messages.Offer(Wh(2000), WH), ask=MicroPerKwh(999_999)), 3.1, LOT + 7)
    bids = [raw for frame, raw in house.sent if frame.message_type == MessageType.BID]
    assert len(bids) == 2
    assert len(set(bids)) == 1
    house.give(stored, 3.2)
    assert house.buyer.portfolio.exposed_wh == 0
    assert not house.evidence()


# -- replays of what is about something else


def test_a_replayed_reject_frees_nothing(house: House) -> None:
    """Refused, bid again in the same lot at the same price: the first Reject, once more, is a replay and kept."""
    house.offers(1)
    first = house.give(house.rejects(1.1, RejectCode.TOO_MANY), 1.1)
    house.do(house.buyer.advance(at(1.4)), at(1.4))
    house.offers(2.5)
    assert house.types().count(MessageType.BID) == 2
    bid = house.last(MessageType.BID)[0]
    assert bid.bid_price == decode(first[:FRAME_SIZE]).bid_price
    assert lot_in(first) == lot_in(house.last(MessageType.BID)[1])
    house.give(first, 2.6)
    assert house.buyer.portfolio.exposed_wh == 1000
    assert house.evidence() == ["replay"]


def test_a_replayed_response_answers_nothing(house: House) -> None:
    """The Response to an older bid at the same price does not say that this one takes part, nor change what is for sale."""
    house.offers(1)
    old = house.answers(1.1)
    house.give(house.rejects(1.2, RejectCode.OUTBID), 1.2)
    house.offers(2.5, LOT + 7)
    times = len(house.buyer.reply_times)
    house.give(old, 2.6)
    assert len(house.buyer.reply_times) == times
    assert house.evidence() == ["replay"]


def test_a_replayed_terminate_ends_nothing(house: House) -> None:
    """FINISHED of the lot before does not finish this one; nor does TIMEOUT release it."""
    house.wins(1)
    finished = house.ends(TerminateCode.FINISHED, 1.2)
    house.wins(2, LOT + 7)
    assert house.buyer.open_promises == 1
    house.give(finished, 2.3)
    assert (house.buyer.open_promises, house.bought()) == (1, 1)
    assert house.evidence() == ["replay"]
    house.ends(TerminateCode.TIMEOUT, 2.4, LOT)
    assert house.buyer.open_promises == 1, "a Terminate of another lot, though new"
    house.ends(TerminateCode.FINISHED, 2.5, LOT + 7)
    assert house.bought() == 2


def test_a_replayed_goodbye_frees_nothing(house: House) -> None:
    """SHUTTING_DOWN of yesterday does not free today's bid."""
    goodbye = house.ends(TerminateCode.SHUTTING_DOWN, 0.5, 0)
    house.offers(1)
    house.give(goodbye, 1.1)
    assert house.buyer.portfolio.exposed_wh == 1000
    assert house.evidence() == ["replay"]


def test_a_replayed_accept_confirms_nothing_new(house: House) -> None:
    """Of a trade that is finished: its Confirm goes out again, byte for byte, and nothing is bought a second time."""
    accept = house.wins(1)
    house.ends(TerminateCode.FINISHED, 1.2)
    house.give(accept, 1.3)
    confirms = {raw for frame, raw in house.sent if frame.message_type == MessageType.CONFIRM}
    assert len(confirms) == 1
    assert (house.buyer.open_promises, house.bought()) == (0, 1)


@pytest.mark.parametrize("code", [TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER])
def test_another_lot_s_end_leaves_a_promise_alone(house: House, code: TerminateCode) -> None:
    """New, rightly signed, of a lot that is not the promise's."""
    house.wins(1)
    house.ends(code, 1.2, LOT + 1)
    assert house.buyer.open_promises == 1


# -- lies of a battery


@pytest.mark.parametrize("lot_id", [LARGEST_OF_SQLITE + 1, 2**64 - 1])
def test_a_lot_id_that_no_journal_holds(house: House, lot_id: int) -> None:
    """A row that the journal cannot take would come back with every later transaction: nothing would be bought any more."""
    house.wins(1)
    house.ends(TerminateCode.FINISHED, 1.2)
    house.wins(2, lot_id)
    house.ends(TerminateCode.CANNOT_DELIVER, 2.2, lot_id)
    assert all(row.lot_id <= LARGEST_OF_SQLITE for row in house.rows)


def test_a_refund_of_a_finished_trade_is_kept(house: House) -> None:
    """FINISHED and then CANNOT_DELIVER of the same lot: the record is the buyer's refund, so it is in the journal."""
    house.wins(1)
    house.ends(TerminateCode.FINISHED, 1.2)
    refund = house.ends(TerminateCode.CANNOT_DELIVER, 5)
    assert refund.hex() in [row.body.get("terminate") for row in house.rows]


def test_a_refund_right_behind_its_finished_is_kept(house: House) -> None:
    """Before the trade's row is durable: the journal cannot be asked yet."""
    house.wins(1)
    house.hold = True
    house.ends(TerminateCode.FINISHED, 1.2)
    refund = house.ends(TerminateCode.CANNOT_DELIVER, 1.2)
    house.hold = False
    assert refund.hex() in [row.body.get("terminate") for row in house.rows]


def test_any_refund_of_a_finished_trade_is_kept(house: House) -> None:
    """TIMEOUT after FINISHED is as good a refund on the chain as CANNOT_DELIVER; and it is the battery's equivocation."""
    house.wins(1)
    house.ends(TerminateCode.FINISHED, 1.2)
    refund = house.ends(TerminateCode.TIMEOUT, 5)
    assert refund.hex() in str([row.body for row in house.rows])


def test_a_second_accept_under_one_id_is_kept_as_evidence(house: House) -> None:
    """Two Accepts, one message_id, other terms: refused, and both records are kept."""
    accept = house.wins(1)
    frame = decode(accept[:FRAME_SIZE])
    cheaper = house.bess.record(
        frame._replace(sale_price=frame.sale_price - 1), lot_id=LOT, message_id=frame.message_id
    )
    house.give(cheaper, 1.2)
    kept = [row for row in house.rows if row.kind == "security"]
    assert {accept.hex(), cheaper.hex()} <= {str(value) for row in kept for value in row.body.values()}


# -- sessions


def session(profile: Signed, now: Now) -> Session:
    """A new connection to the battery."""
    return Session(Role.AGGREGATOR, US, profile, Limits(), now, expected=BESS)


def heard(made: Session, raws: list[bytes], now: Now) -> list[object]:
    """The events of some records that come together."""
    made.receive_data(b"".join(PREFIX + raw for raw in raws), now)
    return list(made.events(now))


def test_a_captured_response_begins_no_session() -> None:
    """What came before, by TCP or UDP, does not bind a new connection; nor does what is older than a Response may be."""
    profile, bess = profile_of(US, Role.AGGREGATOR), Hand(BESS, to=US)
    response = messages.response(BESS, offer=messages.Offer(WH, WH), ask=MICRO)
    by_tcp, by_udp, never_came = (bess.record(response, wall_us=at(1).wall_us) for _ in range(3))
    assert heard(session(profile, at(1)), [by_tcp], at(1))
    assert isinstance(profile.read_datagram(by_udp, at(1)), Received)
    for captured, second in ((by_tcp, 1.1), (by_udp, 1.1), (never_came, 2.0)):
        made = session(profile, at(second))
        assert [type(event) for event in heard(made, [captured], at(second))] == [Violation]
        assert made.peer_id is None


def test_an_accept_that_comes_again_first_is_no_offence() -> None:
    """A battery that is reached again sends its unresolved Accept first, byte for byte (design §4): that is no replay."""
    profile, bess = profile_of(US, Role.AGGREGATOR), Hand(BESS, to=US)
    offer = messages.Offer(WH, WH)
    accept = bess.record(
        messages.accept(BESS, energy=WH, paid=MICRO, bid_price=MICRO, offer=offer), lot_id=LOT, wall_us=at(1).wall_us
    )
    response = messages.response(BESS, offer=offer, ask=MICRO)
    first = bess.record(response, lot_id=LOT, wall_us=at(1).wall_us)
    heard(session(profile, at(1)), [first, accept], at(1))
    again = session(profile, at(1.3))
    events = heard(again, [accept, bess.record(response, lot_id=LOT, wall_us=at(1.3).wall_us)], at(1.3))
    assert not [event for event in events if isinstance(event, Violation) and event.kind in UNPROVEN]
    assert again.peer_id == BESS


def test_another_battery_does_not_answer_for_the_one_that_was_dialled() -> None:
    """Signed rightly, by a member, for us: still not who was called."""
    profile, other = profile_of(US, Role.AGGREGATOR), Hand(102, to=US)
    response = messages.response(DeviceId(102), offer=messages.Offer(WH, WH), ask=MICRO)
    made = session(profile, at(1))
    (event,) = heard(made, [other.record(response, wall_us=at(1).wall_us)], at(1))
    assert isinstance(event, Violation)
    assert (event.kind, made.peer_id) == ("device", None)


def test_a_lot_is_a_number() -> None:
    """What tests say of lots by offset is what the buyer reads."""
    raw = Hand(BESS, to=US).query(lot_id=LOT)
    assert lot_in(raw) == LotId(trailer(raw).lot_id) == LOT
