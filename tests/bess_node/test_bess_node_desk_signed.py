"""The real desk in the signed profile: what it signs about a lot is true for ever, whatever it is asked."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

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
        self.do(self.desk.restored(self.disk.pending(), now))
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
        return (not mine or mine[-1].state != "reserved") and lot_id <= self.profile.ids.last and lot_id != self.lot_id

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
            self.do(
                self.desk.receive(DeviceId(device), reading.frame, raw, at(self.second), fresh=reading.fresh)
            )
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
        return next(
            raw for to, frame, raw in reversed(self.sent) if (to, frame.message_type) == (hand.device, 4)
        )

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
