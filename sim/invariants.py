"""What must hold when nodes have stopped: read from all their journals, by the demo, the simulator and the tests alike.

Each check is a function of `Books` that yields what is broken; `violations` runs them all. Nothing here decides a trade.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from etp.codes import TerminateCode
from etp.effects import BidRow, Row
from etp.frame import FRAME_SIZE, decode
from etp.state import LOT, LotState
from etp.units import MicroPerKwh, Wh, money


class Violation(NamedTuple):
    """One thing that must not be."""

    name: str
    """sold_twice, energy, promise_missing, money, reserve or winner."""
    device_id: int
    said: str

    def __str__(self) -> str:
        return f"{self.name} at {self.device_id}: {self.said}"


@dataclass(frozen=True, slots=True)
class BatteryBooks:
    """A battery's journal, and what it could sell."""

    device_id: int
    rows: Sequence[Row]
    bids: Sequence[BidRow]
    reserve: MicroPerKwh
    mechanism: str
    supply: Callable[[int], Wh]
    """Energy at the terminals that it could have had up to a time (µs since the epoch), at most, Wh."""


@dataclass(frozen=True, slots=True)
class BuyerBooks:
    """A buyer's journal, and what it may buy."""

    device_id: int
    rows: Sequence[Row]
    demand: Wh


@dataclass(frozen=True, slots=True)
class Books:
    """All journals of a market. `promises` are a battery's promise rows by lot, in journal order."""

    batteries: Sequence[BatteryBooks]
    buyers: Sequence[BuyerBooks]
    promises: dict[int, dict[int, list[Row]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for battery in self.batteries:
            lots: dict[int, list[Row]] = defaultdict(list)
            for row in battery.rows:
                if row.kind == "promise":
                    lots[row.lot_id].append(row)
            self.promises[battery.device_id] = lots


def violations(books: Books) -> list[Violation]:
    """Everything that is broken."""
    checks = (_sold_twice, _energy, _money, _reserve, _winner, _promises_of_buyers, _promises_of_batteries, _demand)
    return [violation for check in checks for violation in check(books)]


def whole(row: Row, key: str) -> int:
    """An integer of a row's body."""
    return int(str(row.body[key]))


def _sold_twice(books: Books) -> Iterator[Violation]:
    """A lot has at most one buyer, one RESERVED and one end; its trade stands if and only if it is CONFIRMED."""
    for battery in books.batteries:
        trades = Counter(row.lot_id for row in battery.rows if row.kind == "trade")
        for lot_id, rows in books.promises[battery.device_id].items():
            states = [row.state for row in rows]
            buyers = {whole(row, "bidder") for row in rows}
            if len(buyers) > 1 or not _lawful(states):
                yield Violation(
                    "sold_twice", battery.device_id, f"lot {lot_id} of {sorted(buyers)} went through {states}"
                )
            if trades.pop(lot_id, 0) != (states[-1] == "confirmed"):
                yield Violation(
                    "sold_twice", battery.device_id, f"lot {lot_id} is {states[-1]}; a trade for each confirmed"
                )
        for lot_id in trades:
            yield Violation("sold_twice", battery.device_id, f"lot {lot_id} has a trade and no promise")


def _lawful(states: list[str]) -> bool:
    """Only moves of the table, from OPEN on."""
    path = pairwise([LotState.OPEN, *(LotState(state) for state in states)])
    return all(after in LOT[before] for before, after in path)


def _energy(books: Books) -> Iterator[Violation]:
    """What is promised and not released never exceeds what the battery could have had by then."""
    for battery in books.batteries:
        promised = 0
        for row in battery.rows:
            if row.kind != "promise" or row.state == "confirmed":
                continue
            promised += whole(row, "energy_wh") * (1 if row.state == "reserved" else -1)
            supply = battery.supply(row.time_us)
            if promised > supply:
                yield Violation("energy", battery.device_id, f"lot {row.lot_id}: {promised} Wh promised of {supply} Wh")


def _money(books: Books) -> Iterator[Violation]:
    """Each trade costs price × energy, for both; whatever a buyer holds as bought, its battery holds as sold."""
    sold: Counter[tuple[int, int, int, int]] = Counter()
    for battery in books.batteries:
        for row in battery.rows:
            if row.kind == "trade":
                sold[battery.device_id, whole(row, "bidder"), *_terms(row)] += 1
                yield from _priced(battery.device_id, row)
    for buyer in books.buyers:
        for row in buyer.rows:
            if row.kind == "trade":
                sold[whole(row, "battery"), buyer.device_id, *_terms(row)] -= 1
                yield from _priced(buyer.device_id, row)
    for (battery_id, buyer_id, energy, price), left in sold.items():
        if left < 0:
            said = f"{buyer_id} holds {energy} Wh at {price} µ/kWh as bought, which {battery_id} did not sell"
            yield Violation("money", battery_id, said)


def _terms(row: Row) -> tuple[int, int]:
    return whole(row, "energy_wh"), whole(row, "price_micro_per_kwh")


def _priced(device_id: int, row: Row) -> Iterator[Violation]:
    energy, price = _terms(row)
    right = money(MicroPerKwh(price), Wh(energy))
    if whole(row, "paid_micro") != right:
        yield Violation(
            "money", device_id, f"{energy} Wh at {price} µ/kWh cost {right} µ, not {row.body['paid_micro']}"
        )


def _reserve(books: Books) -> Iterator[Violation]:
    """Nothing is promised below the reserve."""
    for battery in books.batteries:
        for rows in books.promises[battery.device_id].values():
            price = whole(rows[0], "price_micro_per_kwh")
            if price < battery.reserve:
                said = f"lot {rows[0].lot_id} at {price} µ/kWh, reserve {battery.reserve}"
                yield Violation("reserve", battery.device_id, said)


def _winner(books: Books) -> Iterator[Violation]:
    """An english lot goes to the best bid that stood in it, at its price (as far back as bids are kept).

    Sealed bids may be withdrawn or replaced by lower ones, which the ring of bids does not tell.
    """
    for battery in books.batteries:
        if battery.mechanism != "english":
            continue
        best: dict[int, int] = {}
        for bid in battery.bids:
            if bid.state == "standing":
                best[bid.lot_id] = max(best.get(bid.lot_id, 0), bid.price_micro_per_kwh)
        for lot_id, rows in books.promises[battery.device_id].items():
            price = whole(rows[0], "price_micro_per_kwh")
            if price != best.get(lot_id, price):
                said = f"lot {lot_id} went for {price} µ/kWh; {best[lot_id]} was bid"
                yield Violation("winner", battery.device_id, said)


def _promises_of_batteries(books: Books) -> Iterator[Violation]:
    """Every Accept that a buyer answered is a RESERVED of its battery."""
    for battery in books.batteries:
        lots = books.promises[battery.device_id].values()
        made = Counter((whole(rows[0], "bidder"), *_terms(rows[0])) for rows in lots)
        for buyer in books.buyers:
            seen = Counter(_terms(row) for row in _confirming(buyer, battery.device_id))
            for (energy, price), count in seen.items():
                if count > made[buyer.device_id, energy, price]:
                    said = (
                        f"{buyer.device_id} was promised {energy} Wh at {price} µ/kWh; the journal has no such promise"
                    )
                    yield Violation("promise_missing", battery.device_id, said)


def _confirming(buyer: BuyerBooks, battery_id: int) -> Iterator[Row]:
    for row in buyer.rows:
        if (row.kind, row.state) == ("promise", "confirming") and whole(row, "battery") == battery_id:
            yield row


def _promises_of_buyers(books: Books) -> Iterator[Violation]:
    """Every Confirm that decided a promise is in its buyer's journal, and both say the same of how it ended."""
    ends = {
        (buyer.device_id, str(row.body["confirm"])): row.state
        for buyer in books.buyers
        for row in buyer.rows
        if row.kind == "promise"
    }
    finished = {key for key, state in ends.items() if state == "finished"}
    for battery in books.batteries:
        for row in (row for row in battery.rows if row.kind == "answer"):
            key = (whole(row, "bidder"), str(row.body["confirm"]))
            stands = _is_finished(str(row.body["answer"]))
            if key not in ends:
                yield Violation(
                    "promise_missing", key[0], f"the Confirm of lot {row.lot_id} is not in its buyer's journal"
                )
            elif (ends[key], stands) in (("released", True), ("finished", False)):
                said = f"lot {row.lot_id} is {ends[key]} for its buyer, {'confirmed' if stands else 'released'} here"
                yield Violation("promise_missing", battery.device_id, said)
            finished.discard(key)
    for buyer_id, _ in finished:
        yield Violation("promise_missing", buyer_id, "holds a promise as finished that no battery has confirmed")


def _is_finished(answer: str) -> bool:
    raw = bytes.fromhex(answer)
    return len(raw) >= FRAME_SIZE and decode(raw[:FRAME_SIZE]).termination_code == TerminateCode.FINISHED


def _demand(books: Books) -> Iterator[Violation]:
    """Nobody buys more than it wants."""
    for buyer in books.buyers:
        bought = sum(whole(row, "energy_wh") for row in buyer.rows if row.kind == "trade")
        if bought > buyer.demand:
            yield Violation("energy", buyer.device_id, f"{bought} Wh bought, {buyer.demand} Wh wanted")
