"""What must hold when nodes have stopped: read from all their journals, by the demo, the simulator and the tests alike.

Each journal is followed row by row, as `Watch` follows it while it grows (`ledger`, `purchases`); then what only several of them
together show. Each check is a function of `Books` that yields what is broken. Nothing here decides a trade.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from etp.codes import TerminateCode
from etp.effects import Row
from etp.frame import FRAME_SIZE, decode
from sim.invariants.books import BatteryBooks, Books, BuyerBooks, Violation, terms, whole
from sim.invariants.ledger import Ledger
from sim.invariants.purchases import Purchases


def violations(books: Books) -> list[Violation]:
    """Everything that is broken."""
    excused = books.excused
    asked = Books(
        [battery for battery in books.batteries if battery.device_id not in excused],
        [buyer for buyer in books.buyers if buyer.device_id not in excused],
        excused,
    )
    return [violation for check in CHECKS for violation in check(asked)]


def _sold(books: Books) -> Iterator[Violation]:
    """Each battery's journal, from its first row on."""
    for battery in books.batteries:
        ledger = Ledger(replace(battery, rows=()))
        for row in battery.rows:
            yield from ledger.durable((row,))
        yield from ledger.unfinished()


def _purchased(books: Books) -> Iterator[Violation]:
    """Each buyer's."""
    for buyer in books.buyers:
        purchases = Purchases(replace(buyer, rows=()))
        for row in buyer.rows:
            yield from purchases.durable((row,))


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
    for buyer_id, _ in sorted(finished):
        yield Violation("promise_missing", buyer_id, "holds a promise as finished that no battery has confirmed")


def _is_finished(answer: str) -> bool:
    raw = bytes.fromhex(answer)
    return len(raw) >= FRAME_SIZE and decode(raw[:FRAME_SIZE]).termination_code == TerminateCode.FINISHED


CHECKS = (_sold, _purchased, _bought, _reserve, _winner, _promises_of_buyers, _promises_of_batteries)
