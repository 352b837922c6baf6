"""A buyer's journal as it grows: what it confirms was bid for, is wanted and can be paid, and is written before it is said."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from etp.codes import MessageType
from etp.effects import Row
from etp.frame import FRAME_SIZE, decode
from etp.record import message_id_of
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from sim.invariants.books import BuyerBooks, Violation, cost, priced, terms, whole

CONFIRMING: Final = "confirming"
MOVES: Final[Mapping[str | None, frozenset[str]]] = {
    None: frozenset({CONFIRMING, "released"}),  # RELEASED: what could not be written is given up
    CONFIRMING: frozenset({"finished", "released", "unresolved"}),
    "unresolved": frozenset({"finished", "released", "unresolved"}),
    "finished": frozenset(),
    "released": frozenset(),
}
"""A buyer's promise: state → what may follow (design §4, The promise; UNRESOLVED is taken up again when its Accept is)."""


class Purchases:
    """See the module."""

    def __init__(self, books: BuyerBooks) -> None:
        self._books = books
        self.confirms: set[bytes] = set()
        """Every Confirm that is in the journal."""
        self.bids: dict[int, bytes] = {}
        """By message_id: every Bid that left."""
        self._states: dict[str, str] = {}
        """By Confirm."""
        self._confirmed: dict[str, str] = {}
        """By Accept: the Confirm that answers it."""
        self._open: dict[int, tuple[int, int]] = {}
        """By battery: energy and price of its promise."""
        self._bought_wh = self._paid_micro = 0
        self._traded: set[tuple[int, int]] = set()
        self._kinds: dict[str, Callable[[Row], Iterator[Violation]]] = {"promise": self._promise, "trade": self._trade}
        for row in books.rows:
            self.durable((row,))

    def left(self, receiver: int, raw: bytes) -> Iterator[Violation]:
        """A Bid or a Confirm leaves: no Confirm does before its row is durable (design §4)."""
        if raw[0] == MessageType.BID:
            self.bids[message_id_of(raw)] = raw
        elif raw not in self.confirms:
            yield self._broken("promise_missing", f"Confirm {message_id_of(raw)} to {receiver} leaves before its row")

    def durable(self, rows: Sequence[Row]) -> list[Violation]:
        """One transaction."""
        found: list[Violation] = []
        for row in rows:
            kind = self._kinds.get(row.kind)
            if kind is not None:
                found += kind(row)
        return [*found, *self._wanted()]

    def _promise(self, row: Row) -> Iterator[Violation]:
        confirm, battery = str(row.body["confirm"]), whole(row, "battery")
        before = self._states.get(confirm)
        if row.state not in MOVES[before]:
            yield self._broken("transition", f"a promise of {battery} goes from {before} to {row.state}")
        self._states[confirm] = row.state
        if row.state == CONFIRMING:
            self.confirms.add(bytes.fromhex(confirm))
            self._open[battery] = terms(row)
            yield from self._bid_for(row)
            if self._confirmed.setdefault(str(row.body["accept"]), confirm) != confirm:
                yield self._broken("duplicate", f"an Accept of {battery} is confirmed a second time, by other bytes")
        elif before == CONFIRMING:
            self._open.pop(battery, None)

    def _bid_for(self, row: Row) -> Iterator[Violation]:
        """What is confirmed is an Accept's, at most at the price and for the energy that was bid (design §4)."""
        (energy, price), accept = terms(row), decode(bytes.fromhex(str(row.body["accept"]))[:FRAME_SIZE])
        accepted = round(accept.required_energy_amount * WH_PER_KWH), round(accept.sale_price * MICRO_PER_CENT)
        if accepted != (energy, price):
            yield self._broken("terms", f"confirms {energy} Wh at {price} µ/kWh of an Accept of {accepted}")
        raw = self.bids.get(whole(row, "message_id"))
        if raw is None:
            return  # it did not leave before its buyer stopped
        bid = decode(raw[:FRAME_SIZE])
        asked, most = round(bid.required_energy_amount * WH_PER_KWH), round(bid.bid_price * MICRO_PER_CENT)
        if energy > asked or price > most:
            said = f"confirms {energy} Wh at {price} µ/kWh for a bid of {asked} Wh at {most}"
            yield self._broken("terms", said)

    def _trade(self, row: Row) -> Iterator[Violation]:
        key = whole(row, "battery"), whole(row, "message_id")
        if key in self._traded:
            yield self._broken("sold_twice", f"the Bid {key[1]} at {key[0]} is bought twice")
        self._traded.add(key)
        energy, price = terms(row)
        self._bought_wh, self._paid_micro = self._bought_wh + energy, self._paid_micro + cost(energy, price)
        yield from priced(self._books.device_id, row)

    def _wanted(self) -> Iterator[Violation]:
        """What is bought and promised is never more than is wanted, nor than may be spent (design §2, Exposure)."""
        energy = self._bought_wh + sum(energy for energy, _ in self._open.values())
        if energy > self._books.demand:
            yield self._broken("demand", f"{energy} Wh bought or promised, {self._books.demand} Wh wanted")
        budget = self._books.budget
        if budget is None:
            return
        paid = self._paid_micro + sum(cost(*each) for each in self._open.values())
        if paid > budget:
            yield self._broken("demand", f"{paid} µ paid or promised of {budget} µ")

    def _broken(self, name: str, said: str) -> Violation:
        return Violation(name, self._books.device_id, said)
