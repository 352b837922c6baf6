"""A market told by hand: one battery, three buyers, and each step that a run would tell a `Watch`, with any detail changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from etp import messages
from etp.clock import Now
from etp.codes import FailureCode, RejectCode, TerminateCode
from etp.effects import BidRow, Broadcast, Commit, Effect, Envelope, RecordBid, Row, Scalar, Send, Write
from etp.frame import FRAME_SIZE, Frame, decode, encode
from etp.record import seal
from etp.units import DeviceId, LotId, MessageId, MicroPerKwh, MonotonicS, WallUs, Wh, money
from sim.invariants import BatteryBooks, Books, BuyerBooks, Stock, Watch

BATTERY = DeviceId(101)
BUYERS = (DeviceId(501), DeviceId(502), DeviceId(503))
START_US = 1_700_000_000_000_000
LOT = LotId(START_US)
FAILED = Broadcast(messages.device_failure(BATTERY, FailureCode.BATTERY))
RESERVE, INCREMENT, ENERGY = MicroPerKwh(100_000), MicroPerKwh(500), Wh(2_000)


def at(second: float) -> Now:
    """The instant `second` after the start, by everybody's clocks."""
    return Now(MonotonicS(second), WallUs(START_US + round(second * 1e6)))


@dataclass
class History:
    """See the module. Steps that are told as they should be break nothing; the tests change one thing each."""

    mechanism: str = "english"
    signed: bool = True
    settles: bool = False
    supply: int = 10_000
    dearest: MicroPerKwh | None = None
    min_lot: Wh | None = None
    demand: int = 10_000
    budget: Any = None
    stock: Stock | None = None
    hostile: frozenset[int] = frozenset()
    tainted: set[int] = field(default_factory=set)
    second: float = 0.0
    lot_id: LotId = LOT

    def __post_init__(self) -> None:
        self._ids = count(START_US + 1_000)
        self._counters = count(1 << 32)
        battery = BatteryBooks(
            BATTERY,
            [],
            [],
            RESERVE,
            self.mechanism,
            lambda _: Wh(self.supply),
            increment=INCREMENT,
            dearest=self.dearest,
            min_lot=self.min_lot,
            signed=self.signed,
            settles=self.settles,
            stock=self.stock,
        )
        buyers = [BuyerBooks(each, [], Wh(self.demand), self.budget, self.signed) for each in BUYERS]
        self.books = Books([battery], buyers, self.hostile)
        self.watch = Watch(self.books, tainted=self.tainted, hostile=self.hostile)

    @property
    def names(self) -> set[str]:
        """What was found broken."""
        return {each.name for each in self.watch.found}

    # -- bytes

    def raw(self, frame: Frame, lot_id: int = 0, *, message_id: int | None = None) -> bytes:
        """A frame as it leaves: a record where the market is signed."""
        stamped = messages.stamped(frame, message_id or next(self._ids) + round(self.second * 1e6))
        if not self.signed:
            return encode(stamped)
        return seal(
            stamped,
            encode(stamped),
            counter=next(self._counters),
            lot_id=lot_id,
            recipient=bytes(32),
            network=bytes(32),
            sign=lambda _: bytes(64),
        )

    def turn(
        self, raw: bytes | None, peer: int, effects: Sequence[Effect], *, fresh: bool = True, who: int = BATTERY
    ) -> None:
        """A core decided."""
        self.watch.turn(who, raw, peer, fresh, effects, at(self.second))

    # -- bids

    def bid(
        self,
        bidder: DeviceId,
        price: int,
        energy: int = 1_000,
        *,
        refused: RejectCode | None = None,
        beside: Sequence[Effect] = (),
        raw: bytes | None = None,
        fresh: bool = True,
    ) -> bytes:
        """A Bid is said, taken and answered."""
        frame = messages.bid(bidder, price=MicroPerKwh(price), energy=Wh(energy))
        made = raw or self.raw(frame, self.lot_id)
        self.watch.wire(bidder, BATTERY, made, self.second)
        message_id = MessageId(decode(made[:FRAME_SIZE]).message_id)
        state = "standing" if refused is None else refused.name.lower()
        record = BidRow(self.lot_id, bidder, message_id, Wh(energy), MicroPerKwh(price), state, at(self.second).wall_us)
        offer = messages.Offer(Wh(5_000), ENERGY)
        if refused is None:
            told = messages.response(BATTERY, offer=offer, ask=RESERVE, bid_price=MicroPerKwh(price))
        else:
            told = messages.reject(BATTERY, refused, refused=price / 10_000)
        answer = Send(bidder, Envelope(told, lot_id=self.lot_id))
        at_once = self.mechanism == "first-above-reserve" and refused is None  # then the Accept is the answer
        self.turn(made, bidder, [*beside, RecordBid(record), *([] if at_once else [answer])], fresh=fresh)
        return made

    # -- promises

    def lot_row(self, state: str = "reserved", **changed: Scalar) -> Row:
        """How the lot ended."""
        body: dict[str, Scalar] = {"energy_wh": ENERGY, "reserve_micro_per_kwh": RESERVE}
        return Row("lot", self.lot_id, state, at(self.second).wall_us, body | changed, str(self.lot_id))

    def promise(
        self, bidder: int, energy: int, paid: int, state: str = "reserved", lot_id: int | None = None, **changed: Scalar
    ) -> Row:
        """A promise row of the battery."""
        body: dict[str, Scalar] = {
            "bidder": bidder,
            "message_id": START_US,
            "energy_wh": energy,
            "price_micro_per_kwh": paid,
            "bid_micro_per_kwh": 10**8,
        }
        return Row("promise", lot_id or self.lot_id, state, at(self.second).wall_us, body | changed, str(bidder))

    def reserve(self, *awards: tuple[int, int, int], **changed: Scalar) -> Commit:
        """What a lot that closes is to write: (bidder, Wh, µ/kWh) of each promise."""
        promises = [self.promise(*award, lot_id=self.lot_id + index) for index, award in enumerate(awards)]
        return Commit((self.lot_row(**changed), *promises), "reserve", (), MonotonicS(self.second))

    def close(self, *awards: tuple[int, int, int], durable: bool = True, **changed: Scalar) -> tuple[Row, ...]:
        """The lot closes: (bidder, Wh, µ/kWh) of each promise."""
        commit = self.reserve(*awards, **changed)
        rows = tuple(commit.rows)
        self.turn(None, 0, [commit])
        if durable:
            self.watch.durable(BATTERY, rows)
        return rows

    def accept(self, bidder: int, energy: int, paid: int, *, lot_id: int | None = None) -> bytes:
        """An Accept is decided and leaves."""
        lot = LotId(lot_id or self.lot_id)
        frame = messages.accept(
            BATTERY,
            energy=Wh(energy),
            paid=MicroPerKwh(paid),
            bid_price=MicroPerKwh(paid),
            offer=messages.Offer(Wh(0), Wh(0)),
        )
        self.turn(None, 0, [Send(DeviceId(bidder), Envelope(frame, lot_id=lot))])
        raw = self.raw(frame, lot)
        self.watch.wire(BATTERY, bidder, raw, self.second)
        return raw

    def confirming(self, bidder: DeviceId, accept: bytes, *, durable: bool = True, **changed: Scalar) -> bytes:
        """A buyer takes an Accept and writes its Confirm, which leaves."""
        accepted = decode(accept[:FRAME_SIZE])
        confirm = self.raw(messages.confirm(bidder, accepted), self.lot_id)
        terms = messages.terms(accepted)
        body: dict[str, Scalar] = {
            "battery": BATTERY,
            "bidder": bidder,
            "message_id": 1,
            "energy_wh": terms.energy,
            "price_micro_per_kwh": terms.paid,
            "confirm": confirm.hex(),
            "accept": accept.hex(),
        }
        row = Row("promise", self.lot_id, "confirming", at(self.second).wall_us, body | changed, str(BATTERY))
        self.turn(accept, BATTERY, [Commit((row,), "confirming", (BATTERY,), MonotonicS(self.second))], who=bidder)
        if durable:
            self.watch.durable(bidder, (row,))
        self.watch.wire(bidder, BATTERY, confirm, self.second)
        return confirm

    def confirmed(self, bidder: int, energy: int, paid: int, confirm: bytes, **trade: Scalar) -> tuple[Row, ...]:
        """The rows that a Confirm leads to."""
        time_us = at(self.second).wall_us
        terms: dict[str, Scalar] = {"bidder": bidder, "energy_wh": energy, "price_micro_per_kwh": paid}
        paid_micro = money(MicroPerKwh(paid), Wh(energy))
        answer = self.raw(messages.terminate(BATTERY, TerminateCode.FINISHED), self.lot_id)
        told: dict[str, Scalar] = {"bidder": bidder, "confirm": confirm.hex(), "answer": answer.hex()}
        rows = (
            self.promise(bidder, energy, paid, "confirmed"),
            Row("trade", self.lot_id, "confirmed", time_us, terms | {"paid_micro": paid_micro} | trade),
            Row("energy", self.lot_id, "pending", time_us, terms, str(self.lot_id)),
            Row("answer", self.lot_id, "answered", time_us, told),
        )
        return (*rows, Row("settlement", self.lot_id, "confirmed", time_us, {})) if self.settles else rows

    def confirm(self, bidder: int, raw: bytes, rows: Sequence[Row], *, fresh: bool = True) -> None:
        """A Confirm is taken, and what it leads to is durable."""
        self.turn(raw, bidder, [Commit(tuple(rows), "confirm", (), MonotonicS(self.second))], fresh=fresh)
        self.watch.durable(BATTERY, rows)

    def terminate(self, receiver: int, code: TerminateCode, lot_id: int | None = None) -> bytes:
        """The battery says how a promise ended."""
        raw = self.raw(messages.terminate(BATTERY, code), self.lot_id if lot_id is None else lot_id)
        self.watch.wire(BATTERY, receiver, raw, self.second)
        return raw

    def release(
        self,
        bidder: int,
        energy: int,
        paid: int,
        reason: str,
        *,
        raw: bytes | None = None,
        peer: int = 0,
        beside: Sequence[Effect] = (),
    ) -> None:
        """A promise is given up."""
        row = self.promise(bidder, energy, paid, "released", reason=reason)
        self.turn(raw, peer, [*beside, Commit((row,), "release", (), MonotonicS(self.second))])
        self.watch.durable(BATTERY, (row,))

    def won(self, bidder: DeviceId = BUYERS[0], price: int = 120_000, energy: int = 1_000) -> bytes:
        """A lot is bid for, closed and accepted; returns the Accept."""
        self.bid(bidder, price, energy)
        self.close((bidder, energy, price))
        return self.accept(bidder, energy, price)

    def traded(self, bidder: DeviceId = BUYERS[0], price: int = 120_000, energy: int = 1_000) -> bytes:
        """A whole trade; returns its Confirm."""
        accept = self.won(bidder, price, energy)
        confirm = self.confirming(bidder, accept)
        self.confirm(bidder, confirm, self.confirmed(bidder, energy, price, confirm))
        self.terminate(bidder, TerminateCode.FINISHED)
        return confirm

    def void(self, *beside: Effect) -> None:
        """The open lot ends unsold."""
        self.turn(None, 0, [*beside, Write((self.lot_row("void"),))])
