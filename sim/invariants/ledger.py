"""A battery's journal as it grows: which moves of lots, trades, deliveries and payments are legal, and that every Wh and µ is there.

Fed with rows as they become durable, in order. Knows nothing of frames on the wire, and sees no core.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from contracts.outbox import KIND as SETTLEMENT
from contracts.outbox import OUTBOX, OutboxState
from etp.codes import TerminateCode
from etp.effects import Row
from etp.frame import FRAME_SIZE, decode
from etp.state import LOT, LotState
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from sim.invariants.books import BatteryBooks, Violation, priced, promised_by, terms, whole

MICRO: Final = 1_000_000
NOISE_WH: Final = 0.01
"""A level is kept in whole µWh of the cells, and read back with each restart: less than this of a Wh is rounding."""
RESERVED: Final = LotState.RESERVED.value
CONFIRMED: Final = LotState.CONFIRMED.value


class Promised(NamedTuple):
    """A lot that somebody was promised."""

    bidder: int
    energy: int
    price: int
    state: str


class Ledger:
    """See the module."""

    def __init__(self, books: BatteryBooks) -> None:
        self._books = books
        self.lots: dict[int, Promised] = {}
        self.pending: set[int] = set()
        """Lots that are RESERVED."""
        self._promised_wh = self._owed_wh = self._delivered_wh = 0
        self._level: Row | None = None
        self._deliveries: dict[int, str] = {}
        self._confirms: dict[int, str] = {}
        """By lot: the Confirm that FINISHED answers."""
        self._outbox: dict[int, OutboxState] = {}
        self._kinds: dict[str, Callable[[Row], Iterator[Violation]]] = {
            "promise": self._promise,
            "trade": self._trade,
            "energy": self._energy,
            "answer": self._answer,
            SETTLEMENT: self._settlement,
        }
        self._trades: set[int] = set()
        for row in books.rows:
            self.durable((row,))

    def durable(self, rows: Sequence[Row]) -> list[Violation]:
        """One transaction."""
        found: list[Violation] = []
        for row in rows:
            self._promised_wh += promised_by(row)
            kind = self._kinds.get(row.kind)
            if kind is not None:
                found += kind(row)
        found += self._accounted()
        return found

    def _promise(self, row: Row) -> Iterator[Violation]:
        """A lot goes OPEN → RESERVED → CONFIRMED | RELEASED, with one buyer and one set of terms (design §4)."""
        now = Promised(whole(row, "bidder"), *terms(row), row.state)
        before = self.lots.get(row.lot_id)
        yield from self._moved(row.lot_id, before, now)
        self.lots[row.lot_id] = now
        (self.pending.add if row.state == RESERVED else self.pending.discard)(row.lot_id)
        yield from self._held(row)
        bid = whole(row, "bid_micro_per_kwh")
        if now.price > bid:
            yield self._broken("terms", f"lot {row.lot_id} is promised at {now.price} µ/kWh for a bid of {bid}")

    def _moved(self, lot_id: int, before: Promised | None, now: Promised) -> Iterator[Violation]:
        was = LotState.OPEN if before is None else LotState(before.state)
        if before is not None and before.bidder != now.bidder:
            yield self._broken("sold_twice", f"lot {lot_id} of {before.bidder} is {now.state} for {now.bidder}")
        elif LotState(now.state) not in LOT[was]:
            yield self._broken("transition", f"lot {lot_id} goes from {was.value} to {now.state}")
        elif before is not None and before[:3] != now[:3]:
            yield self._broken("terms", f"lot {lot_id} was {before} and is {now}")

    def _held(self, row: Row) -> Iterator[Violation]:
        """What is promised, and neither released nor left undelivered, never exceeds what the battery could have had by then."""
        supply = self._books.supply(row.time_us)
        if self._promised_wh > supply:
            yield self._broken("energy", f"lot {row.lot_id}: {self._promised_wh} Wh promised of {supply} Wh")

    def _trade(self, row: Row) -> Iterator[Violation]:
        lot = self.lots.get(row.lot_id)
        if lot is None or lot.state != CONFIRMED or row.lot_id in self._trades:
            yield self._broken("sold_twice", f"a trade of lot {row.lot_id}, which is {lot}")
        elif lot[:3] != (whole(row, "bidder"), *terms(row)):
            yield self._broken("terms", f"lot {row.lot_id} was promised as {lot} and is traded as {dict(row.body)}")
        self._trades.add(row.lot_id)
        yield from priced(self._books.device_id, row)

    def _energy(self, row: Row) -> Iterator[Violation]:
        """A trade is delivered once: PENDING → DELIVERED | SHORT."""
        if row.state == "level":
            self._level = row
            return
        before, energy = self._deliveries.get(row.lot_id), whole(row, "energy_wh")
        self._deliveries[row.lot_id] = row.state
        if row.state == "pending":
            self._owed_wh += energy
            lot = self.lots.get(row.lot_id)
            legal = before is None and row.lot_id in self._trades and lot is not None and lot.energy == energy
        else:
            given = whole(row, "delivered_wh")
            self._owed_wh, self._delivered_wh = self._owed_wh - energy, self._delivered_wh + given
            legal = before == "pending" and (given == energy if row.state == "delivered" else 0 <= given < energy)
        if not legal:
            said = f"the delivery of lot {row.lot_id} goes from {before} to {row.state}: {dict(row.body)}"
            yield self._broken("conserved", said)

    def _accounted(self) -> Iterator[Violation]:
        """What is stored and what was delivered make up what was stored at first; but for what is on its way (decision 4)."""
        stock = self._books.stock
        if stock is None or self._level is None:
            return
        stored = whole(self._level, "stored_uwh") / MICRO * stock.efficiency
        self._level = None
        missing = stock.terminal_wh - stored - self._delivered_wh
        if not -NOISE_WH <= missing <= self._owed_wh + NOISE_WH:
            said = f"of {stock.terminal_wh:.3f} Wh {stored:.3f} are stored and {self._delivered_wh} delivered"
            yield self._broken("conserved", said)

    def _answer(self, row: Row) -> Iterator[Violation]:
        """A Confirm that is FINISHED says what was promised, by who was promised it."""
        answer = decode(bytes.fromhex(str(row.body["answer"]))[:FRAME_SIZE])
        if answer.termination_code != TerminateCode.FINISHED:
            return
        confirm = decode(bytes.fromhex(str(row.body["confirm"]))[:FRAME_SIZE])
        said = (
            confirm.device_id,
            round(confirm.required_energy_amount * WH_PER_KWH),
            round(confirm.sale_price * MICRO_PER_CENT),
        )
        lot = self.lots.get(row.lot_id)
        if lot is None or lot.state != CONFIRMED:
            yield self._broken("sold_twice", f"FINISHED for lot {row.lot_id}, which is {lot}")
        elif lot[:3] != said:
            yield self._broken("terms", f"lot {row.lot_id} is {lot}; its Confirm says {said}")
        if row.lot_id in self._confirms:
            yield self._broken("sold_twice", f"lot {row.lot_id} is FINISHED by two Confirms")
        self._confirms[row.lot_id] = str(row.body["confirm"])

    def _settlement(self, row: Row) -> Iterator[Violation]:
        """A trade's payment moves through the outbox's table once (docs/settlement.md)."""
        before, now = self._outbox.get(row.lot_id), OutboxState(row.state)
        begins = before is None and now is OutboxState.CONFIRMED and row.lot_id in self._trades
        if not begins and (before is None or now not in OUTBOX[before]):
            said = f"the payment of lot {row.lot_id} goes from {before and before.value} to {now.value}"
            yield self._broken("settled_once", said)
        self._outbox[row.lot_id] = now

    def is_short(self, lot_id: int) -> bool:
        """Whether a trade was not delivered in full."""
        return self._deliveries.get(lot_id) == "short"

    def unfinished(self) -> Iterator[Violation]:
        """What is missing after a whole transaction: the trade of a CONFIRMED lot, and what is owed for one."""
        for lot_id, lot in self.lots.items():
            if lot.state == CONFIRMED and lot_id not in self._trades:
                yield self._broken("sold_twice", f"lot {lot_id} is confirmed, and has no trade")
        for lot_id in sorted(self._trades - self._outbox.keys()) if self._books.settles else ():
            yield self._broken("settled_once", f"the trade of lot {lot_id} is owed by nobody")

    def _broken(self, name: str, said: str) -> Violation:
        return Violation(name, self._books.device_id, said)
