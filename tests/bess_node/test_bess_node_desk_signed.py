"""The real desk in the signed profile: what it signs about a lot is true for ever, whatever it is asked."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bess_node.battery import Battery, BatterySpec
from bess_node.books import LotRules
from bess_node.desk import Desk
from bess_node.pricing import Fixed
from bess_node.store import MICRO, Store
from etp import messages
from etp.codes import FailureCode, MessageType, RejectCode, Role, TerminateCode
from etp.effects import Broadcast, Commit, Count, Effect, Envelope, Lookup, Row, Send, Write
from etp.frame import FRAME_SIZE, Frame, decode
from etp.limits import Limits
from etp.profile import Received
from etp.record import is_signed_by, trailer
from etp.registry import Registry
from etp.timing import Timing
from etp.units import DeviceId, LotId, MicroPerKwh, Wh
from market.mechanisms import MECHANISMS
from runtime.days import MarketClock
from sim.disk import Disk
from tests.signing import BUYERS, NETWORK, Hand, lot_in, pair, profile_of, registry
from tests.support import BESS, START_US, at

CAPACITY_WH = 13_500
REFUNDS = (TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER)
FINISHED, TIMEOUT, CANNOT_DELIVER = TerminateCode.FINISHED, TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER


@dataclass
class House:
    """A battery that can be killed and started again: its journal is all that stays. Each Send is checked as it leaves."""

    mechanism: str = "english"
    second: float = 1.0
    disk: Disk = field(default_factory=Disk)
    held: list[Commit] = field(default_factory=list)
    sent: list[tuple[int, Frame, bytes]] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    hold: bool = False
    failing: bool = False
    boot: int = 0
    mark: int = 0
    members: Registry = field(default_factory=registry)
    lazy: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.said: dict[tuple[int, int], set[int]] = defaultdict(set)
        self.buyer_of: dict[int, int] = {}
        self.start()

    def start(self) -> None:
        """A new life on what is durable."""
        self.boot += 1
        now, level = at(self.second), self.disk.find("energy", "level")
        stored = int(str(level.body["stored_uwh"])) / MICRO if level else float(CAPACITY_WH)
        store = Store(
            Battery(BatterySpec(Wh(CAPACITY_WH)), stored),
            pricing=Fixed(MicroPerKwh(125_000)),
            clock=MarketClock(now.monotonic_s, 0.0),
            for_sale_percent=50.0,
            horizon_h=2,
        )
        self.profile = profile_of(BESS, Role.BESS, members=self.members, boot=self.boot, now=now, mark=self.mark)
        rules = LotRules(MECHANISMS[self.mechanism], MicroPerKwh(500), 0.2, 3.0, Wh(100), hide_reserve=False)
        self.desk = Desk(
            BESS, rules=rules, store=store, profile=self.profile, limits=Limits(), timing=Timing(), started=now
        )
        self.do(self.desk.restored(self.disk.pending_rows(), now))
        self.do(self.desk.opened(now))

    def kill(self, *, flush: bool = False) -> None:
        """Kill -9: commits on their way are durable or lost; what waits lazily is lost. Then start again."""
        held, self.held = self.held, []
        for commit in held if flush else ():
            self.disk.store((*self.lazy, *commit.rows))
            self.lazy = []
        self.lazy, self.hold, self.failing = [], False, False
        self.mark = self.profile.ids.last + 1_000_000
        self.second += 1.5
        self.start()

    # -- the shell

    def do(self, effects: list[Effect]) -> None:
        """Carry effects out."""
        for effect in effects:
            if isinstance(effect, Send):
                self.leave(effect.device_id, effect.envelope)
            elif isinstance(effect, Broadcast):
                for device in BUYERS:
                    self.leave(device, Envelope(effect.frame, lot_id=effect.lot_id))
            elif isinstance(effect, Commit):
                self.held.append(effect)
                if not self.hold:
                    self.settle()
            elif isinstance(effect, Write):
                self.lazy += effect.rows
            elif isinstance(effect, Lookup):
                row = self.disk.find(effect.kind, effect.subject)
                self.do(self.desk.found(effect, row, at(self.second)))
            elif isinstance(effect, Count):
                self.counts.append(effect)

    def settle(self) -> None:
        """End the commits on their way, as the disk now is."""
        held, self.held = self.held, []
        for commit in held:
            if self.failing:
                self.do(self.desk.commit_failed(commit, at(self.second)))
            else:
                self.disk.store((*self.lazy, *commit.rows))
                self.lazy = []
                self.do(self.desk.committed(commit, at(self.second)))

    def leave(self, device: int, envelope: Envelope) -> None:
        """A record leaves: what it says of a lot is held against the journal, as the chain would hold it against us."""
        raw = envelope.raw or self.profile.stamp(envelope, DeviceId(device), at(self.second))
        frame, said = decode(raw[:FRAME_SIZE]), trailer(raw)
        assert is_signed_by(pair(BESS).public, NETWORK.network_id, raw)
        self.sent.append((device, frame, raw))
        if frame.message_type == MessageType.ACCEPT:
            assert self.buyer_of.setdefault(said.lot_id, device) == device, "a lot with two buyers"
        if frame.message_type == MessageType.TERMINATE and frame.termination_code <= CANNOT_DELIVER:
            assert said.recipient == pair(device).public
            self.promised(device, said.lot_id, TerminateCode(frame.termination_code))

    def promised(self, device: int, lot_id: int, code: TerminateCode) -> None:
        """For every (lot, buyer): never both FINISHED and a refund, but for a delivery that the journal says is short."""
        traded = any(
            row.kind == "trade" and row.lot_id == lot_id and row.body["bidder"] == device for row in self.disk.rows
        )
        short = any(row.kind == "energy" and row.lot_id == lot_id and row.state == "short" for row in self.disk.rows)
        said = self.said[lot_id, device]
        if code is FINISHED:
            assert traded, "FINISHED without its trade"
            assert not said & set(REFUNDS) or short, "FINISHED after a refund"
        else:
            assert not traded or (short and code is CANNOT_DELIVER), f"a refund ({code.name}) of a lot that is sold"
            assert FINISHED not in said or short, "a refund after FINISHED"
            assert self.given_up(device, lot_id), f"{code.name} of a lot that this buyer may yet get"
        said.add(code)

    def given_up(self, device: int, lot_id: int) -> bool:
        """Whether the journal, or the lot's very place in time, says that this buyer never gets it (any more)."""
        promises = [row for row in self.disk.rows if row.kind == "promise" and row.lot_id == lot_id]
        mine = [row for row in promises if row.body["bidder"] == device]
        to_come = lot_id > self.profile.ids.last or lot_id == self.lot_id
        reserved = self.desk.reservations.get(LotId(lot_id)) is not None
        return (not mine or mine[-1].state != "reserved") and not (to_come or reserved)

    # -- by hand

    @property
    def lot_id(self) -> LotId:
        """The open lot."""
        return self.desk.response().lot_id

    def give(self, raw: bytes) -> list[tuple[Frame, bytes]]:
        """Hand over a record of a bound session, through the profile; returns what its sender is sent at once."""
        device, mark = int.from_bytes(raw[9:17], "little"), len(self.sent)
        reading = self.profile.read(raw, DeviceId(device), at(self.second))
        if isinstance(reading, Received):
            self.do(self.desk.receive(DeviceId(device), reading.frame, raw, at(self.second), fresh=reading.fresh))
        return [(frame, sent) for to, frame, sent in self.sent[mark:] if to == device]

    def wait(self, seconds: float) -> None:
        """Time passes, with a stop at each deadline."""
        until = self.second + seconds
        while (due := self.desk.next_deadline()) is not None and due <= until:
            self.second = max(self.second, due)
            self.do(self.desk.advance(at(self.second)))
        self.second = until
        self.do(self.desk.advance(at(self.second)))

    def wall(self) -> int:
        """Now, µs."""
        return at(self.second).wall_us

    def accepted(self, hand: Hand, wh: int = 1000, micro: int = 140_000) -> bytes:
        """Bid, close; the Accept."""
        self.give(hand.bid(self.lot_id, micro, wh, wall_us=self.wall()))
        self.wait(0.25)
        return next(raw for to, frame, raw in reversed(self.sent) if (to, frame.message_type) == (hand.device, 4))

    def traded(self, hand: Hand) -> tuple[bytes, bytes]:
        """A whole trade: its Accept and its Confirm."""
        accept = self.accepted(hand)
        confirm = hand.confirm(accept, wall_us=self.wall())
        assert codes(self.give(confirm))[0] == "TERMINATE FINISHED"
        return accept, confirm

    def evidence(self, kind: str) -> list[Row]:
        """Security rows of a kind."""
        return [row for row in (*self.disk.rows, *self.lazy) if (row.kind, row.state) == ("security", kind)]


def codes(answers: list[tuple[Frame, bytes]]) -> list[str]:
    """The answers in words."""
    tables: dict[int, Any] = {MessageType.REJECT: RejectCode, MessageType.TERMINATE: TerminateCode}
    return [
        f"{MessageType(frame.message_type).name} {tables[frame.message_type](frame.termination_code).name}"
        if frame.message_type in tables
        else MessageType(frame.message_type).name
        for frame, _ in answers
    ]


@pytest.fixture
def house() -> House:
    """An english battery with a lot open."""
    return House()


@pytest.fixture
def hand() -> Hand:
    """A buyer that signs what it likes."""
    return Hand(BUYERS[0])


# -- an id that carries no time


@pytest.mark.parametrize("message_id", [0, 5, 2**40 - 1])
def test_a_confirm_that_the_chain_would_never_pay_makes_no_trade(house: House, hand: Hand, message_id: int) -> None:
    """An id without a time is the plain profile's: on the chain it lies 50 years before the settle window."""
    accept = house.accepted(hand)
    house.give(hand.confirm(accept, message_id=message_id))
    assert not [row for row in house.disk.rows if row.kind == "trade"]


def test_a_bid_without_a_time_cannot_be_repeated_with_other_content(house: House, hand: Hand) -> None:
    """In `signed` a small id is no way round the rule that an id means one thing."""
    house.give(hand.bid(house.lot_id, 130_000, message_id=77))
    house.give(hand.bid(house.lot_id, 140_000, message_id=77))
    assert house.wall() - START_US < 10**9
    house.wait(0.25)
    assert not [row for row in house.disk.rows if row.kind == "promise"]


# -- coaxing a refund out of an honest battery


def test_a_confirm_for_the_open_lot_is_no_way_to_a_refund(house: House, hand: Hand) -> None:
    """Before, with and after a bid in it: refused, kept as evidence, and nothing that the chain would take is signed."""
    fake = messages.accept(
        BESS,
        energy=Wh(1000),
        paid=MicroPerKwh(140_000),
        bid_price=MicroPerKwh(140_000),
        offer=messages.Offer(Wh(0), Wh(0)),
    )
    accept = Hand(BESS, to=hand.device).record(fake, lot_id=house.lot_id, wall_us=house.wall())
    before = hand.confirm(accept, wall_us=house.wall())
    assert codes(house.give(before)) == ["REJECT INVALID"]
    house.give(hand.bid(house.lot_id, 140_000, 1000, wall_us=house.wall()))
    assert codes(house.give(hand.confirm(accept, wall_us=house.wall()))) == ["REJECT INVALID"]
    assert len(house.evidence("confirm_unasked")) == 2
    house.wait(0.25)
    won = next(raw for _, frame, raw in reversed(house.sent) if frame.message_type == MessageType.ACCEPT)
    assert codes(house.give(hand.confirm(won, wall_us=house.wall())))[0] == "TERMINATE FINISHED"
    assert codes(house.give(before)) == ["TERMINATE FINISHED"], "its lot is sold to it by now"


@pytest.mark.parametrize("ahead_us", [1, 1000, 10**6, 10**12])
def test_a_confirm_for_a_lot_to_come_is_no_way_to_a_refund(house: House, hand: Hand, ahead_us: int) -> None:
    """Lot ids can be guessed: of none that may yet be given does the battery sign an end."""
    accept = Hand(BESS, to=hand.device).record(
        messages.accept(
            BESS, energy=Wh(1), paid=MicroPerKwh(1), bid_price=MicroPerKwh(1), offer=messages.Offer(Wh(0), Wh(0))
        ),
        lot_id=house.profile.ids.last + ahead_us,
        wall_us=house.wall(),
    )
    assert codes(house.give(hand.confirm(accept, wall_us=house.wall()))) == ["REJECT INVALID"]
    assert house.evidence("confirm_unasked")


def test_a_confirm_while_the_lot_is_being_reserved(house: House, hand: Hand) -> None:
    """The RESERVED row is on its way to the disk, and the Confirm is there already."""
    house.hold = True
    lot_id = house.lot_id
    house.give(hand.bid(lot_id, 140_000, 1000, wall_us=house.wall()))
    house.wait(0.25)
    fake = messages.accept(
        BESS,
        energy=Wh(1000),
        paid=MicroPerKwh(140_000),
        bid_price=MicroPerKwh(140_000),
        offer=messages.Offer(Wh(0), Wh(0)),
    )
    accept = Hand(BESS, to=hand.device).record(fake, lot_id=lot_id, wall_us=house.wall())
    early = hand.confirm(accept, wall_us=house.wall())
    assert codes(house.give(early)) == ["REJECT INVALID"]
    house.settle()
    assert codes(house.give(early)) == [], "its commit is on its way"
    house.settle()
    assert codes([house.sent[-1][1:]]) == ["TERMINATE FINISHED"]


@pytest.mark.parametrize("change", ["same", "dear", "much", "cheap"])
def test_a_confirm_after_the_trade_is_answered_by_the_trade(house: House, hand: Hand, change: str) -> None:
    """Another message_id, the same or other terms; now, later, and after a restart: FINISHED, never a refund."""
    accept, _ = house.traded(hand)
    frame = messages.confirm(hand.device, decode(accept[:FRAME_SIZE]))  # type: ignore[arg-type]
    frame = {
        "same": frame,
        "dear": frame._replace(sale_price=frame.sale_price + 1),
        "much": frame._replace(required_energy_amount=frame.required_energy_amount + 1),
        "cheap": frame._replace(sale_price=0.0001),
    }[change]
    for _ in range(3):
        raw = hand.record(frame, lot_id=lot_in(accept), wall_us=house.wall())
        assert codes(house.give(raw)) == ["TERMINATE FINISHED"]
        house.kill()


def test_a_confirm_of_another_buyer_s_lot(house: House, hand: Hand) -> None:
    """While it is reserved for somebody else: refused. Once it is sold to them: TIMEOUT, which refunds nobody."""
    other = Hand(BUYERS[1])
    accept = house.accepted(hand)
    frame = messages.confirm(DeviceId(other.device), decode(accept[:FRAME_SIZE]))
    theirs = other.record(frame, lot_id=lot_in(accept), wall_us=house.wall())
    assert codes(house.give(theirs)) == ["REJECT INVALID"]
    assert codes(house.give(hand.confirm(accept, wall_us=house.wall())))[0] == "TERMINATE FINISHED"
    ((answer, raw),) = house.give(theirs)
    assert (answer.termination_code, trailer(raw).recipient) == (TIMEOUT, pair(other.device).public)


def test_confirms_while_another_is_being_decided(house: House, hand: Hand) -> None:
    """Other terms, another id, other lots, thirty of them, while the commit is on its way: all wait; then FINISHED for all."""
    accept = house.accepted(hand)
    house.hold = True
    assert house.give(hand.confirm(accept, wall_us=house.wall())) == []
    frame = messages.confirm(DeviceId(hand.device), decode(accept[:FRAME_SIZE]))
    for index in range(30):
        other = frame._replace(sale_price=frame.sale_price + index)
        assert house.give(hand.record(other, lot_id=lot_in(accept), wall_us=house.wall())) == []
    mark = len(house.sent)
    house.hold = False
    house.settle()
    answers = [(frame, raw) for _, frame, raw in house.sent[mark:] if frame.message_type == MessageType.TERMINATE]
    assert {frame.termination_code for frame, _ in answers} == {FINISHED}
    assert len(answers) == 9  # the one that decided, and eight that waited


@pytest.mark.parametrize("how", ["late", "dear", "declined", "silent"])
def test_a_promise_that_was_given_up_is_never_finished(house: House, hand: Hand, how: str) -> None:
    """Its refund is signed: whatever Confirm comes then, also after a restart, gets no FINISHED."""
    accept = house.accepted(hand)
    frame = messages.confirm(DeviceId(hand.device), decode(accept[:FRAME_SIZE]))
    lot_id, wall = lot_in(accept), house.wall()
    if how == "late":
        house.give(hand.record(frame, lot_id=lot_id, message_id=wall - 600_000))
    elif how == "dear":
        house.give(hand.record(frame._replace(sale_price=frame.sale_price + 1), lot_id=lot_id, wall_us=wall))
    elif how == "declined":
        goodbye = messages.terminate(DeviceId(hand.device), CANNOT_DELIVER)
        house.give(hand.record(goodbye, lot_id=lot_id, wall_us=wall))
    house.wait(1.1)
    assert house.said[lot_id, hand.device] & set(REFUNDS)
    for _ in range(2):
        assert codes(house.give(hand.confirm(accept, wall_us=house.wall()))) == ["TERMINATE TIMEOUT"]
        house.kill()
    assert FINISHED not in house.said[lot_id, hand.device]


def test_a_decline_of_another_lot_declines_nothing(house: House, hand: Hand) -> None:
    """A Terminate names its lot: a captured one of yesterday, or one of no lot, leaves today's Accept alone."""
    accept = house.accepted(hand)
    for lot_id in (0, lot_in(accept) - 1, house.lot_id):
        goodbye = messages.terminate(DeviceId(hand.device), TIMEOUT)
        house.give(hand.record(goodbye, lot_id=lot_id, wall_us=house.wall()))
    assert codes(house.give(hand.confirm(accept, wall_us=house.wall())))[0] == "TERMINATE FINISHED"


def test_what_fell_short_is_said_once_that_is_durable(house: House, hand: Hand) -> None:
    """The one case in which a lot has both: CANNOT_DELIVER after FINISHED, with its `short` row in the journal before."""
    accept, _ = house.traded(hand)
    house.do(house.desk.fail(FailureCode.INVERTER, at(house.second)))
    assert house.said[lot_in(accept), hand.device] == {FINISHED, CANNOT_DELIVER}
    assert codes(house.give(hand.confirm(accept, wall_us=house.wall()))) == ["TERMINATE FINISHED"]


# -- byte-for-byte repetition


def test_a_confirm_repeated_after_a_restart_gets_its_stored_answer(house: House, hand: Hand) -> None:
    """The same bytes as a year ago, and nothing is signed anew."""
    _, confirm = house.traded(hand)
    stored = next(raw for _, frame, raw in house.sent if frame.message_type == MessageType.TERMINATE)
    assert [raw for _, raw in house.give(confirm)] == [stored]
    house.kill()
    house.wait(0.1)
    assert [raw for _, raw in house.give(confirm)] == [stored]
    house.give(hand.query(wall_us=house.wall()))
    assert [raw for _, raw in house.give(confirm)] == [stored]


def test_a_bid_repeated_gets_its_stored_answer(house: House, hand: Hand) -> None:
    """Also when 2,000 counters lie between: it is known byte for byte, so its counter is no matter."""
    bid = hand.bid(house.lot_id, 100_000, wall_us=house.wall())
    ((_, stored),) = house.give(bid)
    hand.seq += 2000
    house.give(hand.query(wall_us=house.wall()))
    assert [raw for _, raw in house.give(bid)] == [stored]


def test_a_bid_of_the_life_before_is_late(house: House, hand: Hand) -> None:
    """After a restart nobody remembers it."""
    bid = hand.bid(house.lot_id, 140_000, wall_us=house.wall())
    house.give(bid)
    house.kill()
    assert codes(house.give(bid)) == ["REJECT LATE"]


def test_who_never_heard_of_its_trade_hears_of_it_before_the_refund(house: House, hand: Hand) -> None:
    """Its FINISHED was lost: CANNOT_DELIVER alone would read as if there had been no trade, and the chain pays it all the same."""
    house.traded(hand)
    before = len(house.sent)
    house.do(house.desk.fail(FailureCode.INVERTER, at(house.second)))
    told = [
        frame.termination_code for _, frame, _ in house.sent[before:] if frame.message_type == MessageType.TERMINATE
    ]
    assert told == [FINISHED, CANNOT_DELIVER]


def test_a_confirm_whose_commit_failed_is_answered_when_it_comes_again(house: House, hand: Hand) -> None:
    """The disk failed, the refund that said so was lost with the session: the same Confirm again must not get silence."""
    accept = house.accepted(hand)
    confirm = hand.confirm(accept, wall_us=house.wall())
    house.failing = True
    house.give(confirm)
    house.failing = False
    house.wait(1.1)
    assert house.said[lot_in(accept), hand.device] == {CANNOT_DELIVER}
    assert codes(house.give(confirm)) == ["TERMINATE CANNOT_DELIVER"]


# -- equivocation


def test_two_bids_under_one_id(house: House, hand: Hand) -> None:
    """Refused; both records, as they came, are evidence that anybody can verify."""
    first = hand.bid(house.lot_id, 130_000, message_id=house.wall())
    second = hand.bid(house.lot_id, 140_000, message_id=house.wall())
    house.give(first)
    assert codes(house.give(second)) == ["REJECT INVALID"]
    ((row),) = house.evidence("bid_id_reused")
    kept = [bytes.fromhex(str(row.body[f"frame_{index}"])) for index in range(2)]
    assert kept == [first, second]
    assert all(is_signed_by(pair(hand.device).public, NETWORK.network_id, raw) for raw in kept)


@pytest.mark.parametrize("restart", [False, True])
def test_two_confirms_under_one_id(house: House, hand: Hand, restart: bool) -> None:
    """Also after a restart, out of the journal."""
    accept, confirm = house.traded(hand)
    if restart:
        house.kill()
    frame = decode(confirm[:FRAME_SIZE])
    other = hand.record(
        frame._replace(sale_price=frame.sale_price + 1), lot_id=lot_in(accept), message_id=frame.message_id
    )
    assert codes(house.give(other)) == ["REJECT INVALID"]
    ((row),) = house.evidence("confirm_id_reused")
    assert [row.body["frame_0"], row.body["frame_1"]] == [confirm.hex(), other.hex()]


def test_the_same_frame_for_another_lot_is_another_content(house: House, hand: Hand) -> None:
    """84 equal bytes under another trailer are not the same message."""
    bid = hand.bid(house.lot_id, 130_000, message_id=house.wall())
    house.give(bid)
    again = hand.bid(house.lot_id + 1, 130_000, message_id=house.wall())
    assert codes(house.give(again)) == ["REJECT INVALID"]
    assert house.evidence("bid_id_reused")


# -- bids and lots


def test_a_bid_for_a_lot_that_is_gone_is_answered_for_that_lot(house: House, hand: Hand) -> None:
    """LOT_CLOSED for the old one; the bid in the open lot stands."""
    old = house.lot_id
    other = Hand(BUYERS[1])
    house.accepted(other, wh=3000)
    open_lot = house.lot_id
    assert open_lot != old
    house.give(hand.bid(open_lot, 130_000, wall_us=house.wall()))
    ((refusal, raw),) = house.give(hand.bid(old, 150_000, wall_us=house.wall()))
    assert (refusal.termination_code, lot_in(raw)) == (RejectCode.LOT_CLOSED, old)
    house.wait(0.25)
    assert any(
        frame.message_type == MessageType.ACCEPT and lot_in(raw) == open_lot and to == hand.device
        for to, frame, raw in house.sent
    )


def test_replays_at_the_desk_are_kept_and_change_nothing() -> None:
    """A withdrawal of before, once more, in the same sealed lot: the new bid stays in, and the replay is evidence."""
    house, hand = House("first-price"), Hand(BUYERS[0])
    house.give(hand.bid(house.lot_id, 130_000, wall_us=house.wall()))
    withdrawal = hand.record(
        messages.terminate(DeviceId(hand.device), TIMEOUT), lot_id=house.lot_id, wall_us=house.wall()
    )
    house.give(withdrawal)
    house.give(hand.bid(house.lot_id, 140_000, wall_us=house.wall()))
    house.give(withdrawal)
    assert house.evidence("replay")
    house.wait(0.25)
    assert codes([sent[1:] for sent in house.sent]).count("ACCEPT") == 1


# -- a revoked buyer


def test_a_confirm_dated_after_its_sender_s_revocation_makes_no_trade(hand: Hand) -> None:
    """Revoked from second 3 on; at 2.9 it sends a Confirm stamped 3.1: the chain judges at message time, and so must we."""
    revoked = registry().revoked(hand.device, at(3).wall_us)
    house = House(members=revoked, second=2.5)
    accept = house.accepted(hand)
    assert house.second < 2.9
    house.give(hand.confirm(accept, message_id=at(3.1).wall_us))
    assert not [row for row in house.disk.rows if row.kind == "trade"]


# -- all of it at once


class RefundMachine(RuleBasedStateMachine):
    """Buyers that try everything; `House.promised` looks at each Terminate as it leaves, as the chain would."""

    @initialize(mechanism=st.sampled_from(sorted(MECHANISMS)))
    def begin(self, mechanism: str) -> None:
        """An open lot."""
        self.house = House(mechanism)
        self.hands = {device: Hand(device) for device in BUYERS}
        self.lots = [self.house.lot_id]
        self.ever: list[bytes] = []

    def give(self, raw: bytes) -> list[tuple[Frame, bytes]]:
        """Hand over what is then known to everybody."""
        self.ever.append(raw)
        answers = self.house.give(raw)
        for _, _, sent in self.house.sent[-6:]:
            if lot_in(sent) and lot_in(sent) not in self.lots:
                self.lots.append(lot_in(sent))
        return answers

    def accept_for(self, who: int) -> bytes | None:
        """The newest Accept to a buyer."""
        return next((raw for to, frame, raw in reversed(self.house.sent) if (to, frame.message_type) == (who, 4)), None)

    @rule(
        who=st.sampled_from(BUYERS), micro=st.sampled_from((130_000, 140_000)), wh=st.sampled_from((1000, 3000, 6412))
    )
    def bid(self, who: int, micro: int, wh: int) -> None:
        """In the open lot."""
        self.give(self.hands[who].bid(self.house.lot_id, micro, wh, wall_us=self.house.wall()))

    @rule(wh=st.sampled_from((1000, 2500)), order=st.permutations(BUYERS))
    def auction(self, wh: int, order: list[int]) -> None:
        """Everybody bids, and the lot closes."""
        for index, who in enumerate(order):
            self.bid(who, 140_000 + 1000 * index, wh)
        self.wait(0.25)

    @rule(who=st.sampled_from(BUYERS), then=st.sampled_from(("again", "dear", "lost", "failed", "full")))
    def trade(self, who: int, then: str) -> None:
        """The common way, and what may come between Confirm and FINISHED, or right after."""
        self.bid(who, 150_000, 1000)
        self.wait(0.25)
        self.house.hold = then in ("lost", "full")
        self.confirm(who, "right")
        self.house.failing = then == "full"
        if then == "lost":
            self.kill(flush=True)
        elif then == "failed":
            self.device(failed=True)
        self.confirm(who, "dear" if then == "dear" else "right")
        self.house.hold = False
        self.house.settle()

    @rule(who=st.sampled_from(BUYERS), lot=st.integers(-8, 0), ahead=st.sampled_from((0, 0, 0, 1, 2, 10**6)))
    def confirm_a_lot(self, who: int, lot: int, ahead: int) -> None:
        """Any lot that was heard of, or one to come; the terms are those of the newest Accept, or guessed."""
        lot_id = self.lots[max(lot, -len(self.lots))] if not ahead else self.house.profile.ids.last + ahead
        accept = self.accept_for(who)
        frame = (
            messages.confirm(DeviceId(who), decode(accept[:FRAME_SIZE]))
            if accept
            else Frame(MessageType.CONFIRM, device_id=who, bid_price=14.0, sale_price=14.0, required_energy_amount=1.0)
        )
        self.give(self.hands[who].record(frame, lot_id=lot_id, wall_us=self.house.wall()))

    @rule(
        who=st.sampled_from(BUYERS),
        how=st.sampled_from(("right", "right", "right", "dear", "much", "late", "future", "twice")),
    )
    def confirm(self, who: int, how: str) -> None:
        """The newest Accept: as it is, with other terms, too late, too early, or twice under two ids."""
        accept = self.accept_for(who)
        if accept is None:
            return
        frame, wall = messages.confirm(DeviceId(who), decode(accept[:FRAME_SIZE])), self.house.wall()
        if how == "dear":
            frame = frame._replace(sale_price=frame.sale_price + 1)
        elif how == "much":
            frame = frame._replace(required_energy_amount=frame.required_energy_amount + 1)
        stamp = self.hands[who].next_id(wall) + {"late": -600_000, "future": 6_000_000}.get(how, 0)
        for index in range(2 if how == "twice" else 1):
            self.give(self.hands[who].record(frame, lot_id=lot_in(accept), message_id=stamp + index))

    @precondition(lambda self: self.ever)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """Anything that was ever said, once more."""
        self.house.give(data.draw(st.sampled_from(self.ever[-40:])))

    @rule(who=st.sampled_from(BUYERS), lot=st.integers(-4, 0), code=st.sampled_from(TerminateCode))
    def terminate(self, who: int, lot: int, code: TerminateCode) -> None:
        """Of any lot."""
        lot_id = self.lots[max(lot, -len(self.lots))]
        frame = messages.terminate(DeviceId(who), code)
        self.give(self.hands[who].record(frame, lot_id=lot_id, wall_us=self.house.wall()))

    @rule(who=st.sampled_from(BUYERS), lost=st.booleans())
    def session(self, who: int, lost: bool) -> None:
        """A session ends or begins."""
        desk, now = self.house.desk, at(self.house.second)
        self.house.do((desk.session_lost if lost else desk.session_bound)(DeviceId(who), now))

    @rule(seconds=st.sampled_from((0.001, 0.05, 0.25, 0.5, 1.1, 70.0, 1000.0)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.house.wait(seconds)

    @rule(hold=st.booleans(), failing=st.booleans())
    def disk(self, hold: bool, failing: bool) -> None:
        """Slow or quick, full or free; what is on its way ends so."""
        self.house.hold, self.house.failing = hold, failing
        self.house.settle()

    @rule(failed=st.booleans())
    def device(self, failed: bool) -> None:
        """The inverter."""
        desk, now = self.house.desk, at(self.house.second)
        self.house.do(desk.fail(FailureCode.INVERTER, now) if failed else desk.recovered(now))

    @rule(flush=st.booleans())
    def kill(self, flush: bool) -> None:
        """Kill -9."""
        self.house.kill(flush=flush)
        self.lots.append(self.house.lot_id)

    def teardown(self) -> None:
        """In the end everything that was ever said comes once more, from everybody."""
        if hasattr(self, "house"):
            self.house.hold = self.house.failing = False
            self.house.settle()
            self.house.wait(2.0)
            for raw in self.ever:
                self.house.give(raw)


TestRefunds = RefundMachine.TestCase
TestRefunds.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
