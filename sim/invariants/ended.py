"""What must hold when nodes have stopped: read from all their journals, by the demo, the simulator and the tests alike.

Each check is a function of `Books` that yields what is broken; `violations` runs them all. Nothing here decides a trade.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from etp.codes import TerminateCode
from etp.effects import Row
from etp.frame import FRAME_SIZE, decode
from etp.state import LOT, LotState
from sim.invariants.books import BatteryBooks, Books, BuyerBooks, Violation, priced, promised_by, terms, whole


def violations(books: Books) -> list[Violation]:
    """Everything that is broken."""
    excused = books.excused
    asked = Books(
        [battery for battery in books.batteries if battery.device_id not in excused],
        [buyer for buyer in books.buyers if buyer.device_id not in excused],
        excused,
    )
    return [violation for check in CHECKS for violation in check(asked)]


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
    """What is promised, and neither released nor left undelivered, never exceeds what the battery could have had by then."""
    for battery in books.batteries:
        promised = 0
        for row in battery.rows:
            promised += promised_by(row)
            if row.kind == "promise" and promised > (supply := battery.supply(row.time_us)):
                yield Violation("energy", battery.device_id, f"lot {row.lot_id}: {promised} Wh promised of {supply} Wh")


def _priced(books: Books) -> Iterator[Violation]:
    """Each trade costs price × energy, for both."""
    journals = [(battery.device_id, battery.rows) for battery in books.batteries]
    for device_id, rows in [*journals, *((buyer.device_id, buyer.rows) for buyer in books.buyers)]:
        for row in rows:
            if row.kind == "trade":
                yield from priced(device_id, row)


def _bought(books: Books) -> Iterator[Violation]:
    """Whatever a buyer holds as bought, its battery holds as sold."""
    sold: Counter[tuple[int, int, int, int]] = Counter()
    for battery in books.batteries:
        for row in battery.rows:
            if row.kind == "trade":
                sold[battery.device_id, whole(row, "bidder"), *terms(row)] += 1
    for buyer in books.buyers:
        for row in buyer.rows:
            if row.kind == "trade":
                sold[whole(row, "battery"), buyer.device_id, *terms(row)] -= 1
    for (battery_id, buyer_id, energy, price), left in sold.items():
        if left < 0 and battery_id not in books.excused:
            said = f"{buyer_id} holds {energy} Wh at {price} µ/kWh as bought, which {battery_id} did not sell"
            yield Violation("money", battery_id, said)


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

    Sealed bids may be withdrawn or replaced by lower ones, which the ring of bids does not tell: `sim.invariants.auction`
    follows them bid by bid.
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


def _deliveries(books: Books) -> Iterator[Violation]:
    """A trade is delivered once: as much as was sold, or short."""
    for battery in books.batteries:
        ends: dict[int, list[Row]] = defaultdict(list)
        for row in battery.rows:
            if row.kind == "energy" and row.state in ("delivered", "short"):
                ends[row.lot_id].append(row)
        for lot_id, rows in ends.items():
            given = sum(whole(row, "delivered_wh") for row in rows)
            sold = whole(rows[0], "energy_wh")
            if len(rows) > 1 or given > sold or (rows[0].state == "delivered") != (given == sold):
                states = [row.state for row in rows]
                yield Violation("conserved", battery.device_id, f"lot {lot_id}: {given} of {sold} Wh in {states}")


def _promises_of_batteries(books: Books) -> Iterator[Violation]:
    """Every Accept that a buyer answered is a RESERVED of its battery."""
    for battery in books.batteries:
        lots = books.promises[battery.device_id].values()
        made = Counter((whole(rows[0], "bidder"), *terms(rows[0])) for rows in lots)
        for buyer in books.buyers:
            seen = Counter(terms(row) for row in _confirming(buyer, battery))
            for (energy, price), count in seen.items():
                if count > made[buyer.device_id, energy, price]:
                    said = (
                        f"{buyer.device_id} was promised {energy} Wh at {price} µ/kWh; the journal has no such promise"
                    )
                    yield Violation("promise_missing", battery.device_id, said)


def _confirming(buyer: BuyerBooks, battery: BatteryBooks) -> Iterator[Row]:
    for row in buyer.rows:
        if (row.kind, row.state) == ("promise", "confirming") and whole(row, "battery") == battery.device_id:
            yield row


def _promises_of_buyers(books: Books) -> Iterator[Violation]:
    """Every Confirm that decided a promise is in its buyer's journal, and both say the same of how it ended."""
    ends = {
        (buyer.device_id, str(row.body["confirm"])): row
        for buyer in books.buyers
        for row in buyer.rows
        if row.kind == "promise"
    }
    finished = {
        key for key, row in ends.items() if row.state == "finished" and whole(row, "battery") not in books.excused
    }
    for battery in books.batteries:
        for row in (row for row in battery.rows if row.kind == "answer"):
            key = (whole(row, "bidder"), str(row.body["confirm"]))
            if key[0] in books.excused:
                continue
            stands = _is_finished(str(row.body["answer"]))
            if key not in ends:
                said = f"the Confirm of lot {row.lot_id} is not in its buyer's journal"
                yield Violation("promise_missing", key[0], said)
            elif (ends[key].state, stands) in (("released", True), ("finished", False)):
                here = "confirmed" if stands else "released"
                said = f"lot {row.lot_id} is {ends[key].state} for its buyer, {here} here"
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
            yield Violation("demand", buyer.device_id, f"{bought} Wh bought, {buyer.demand} Wh wanted")


CHECKS = (
    _sold_twice,
    _energy,
    _priced,
    _bought,
    _reserve,
    _winner,
    _deliveries,
    _demand,
    _promises_of_buyers,
    _promises_of_batteries,
)
