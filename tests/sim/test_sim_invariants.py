"""Each invariant bites: one fault planted into the journals of a sound market, and that fault is named."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from etp.effects import Row
from etp.units import Micro, Wh
from sim.invariants import Books, violations
from sim.world import World
from tests.support import plan

Rows = list[Row]


@pytest.fixture(scope="module")
def sound() -> Books:
    """The journals of an english market in which several trades stand."""
    world = World(plan(4, batteries=2))
    world.run()
    books = world.books()
    assert violations(books) == []
    assert sum(row.kind == "trade" for row in books.batteries[0].rows) >= 1
    return books


def names(books: Books) -> set[str]:
    """What is broken."""
    return {violation.name for violation in violations(books)}


def of_battery(books: Books, change: Callable[[Rows], Rows]) -> Books:
    """The same with another journal of the first battery."""
    first, *others = books.batteries
    return Books([replace(first, rows=change(list(first.rows))), *others], books.buyers)


def of_buyers(books: Books, change: Callable[[Rows], Rows]) -> Books:
    """The same with other journals of all buyers."""
    return Books(books.batteries, [replace(buyer, rows=change(list(buyer.rows))) for buyer in books.buyers])


def edited(kind: str, state: str, **body: int) -> Callable[[Rows], Rows]:
    """Another value in each row of a kind and state."""

    def change(rows: Rows) -> Rows:
        wanted = [(row.kind, row.state) == (kind, state) for row in rows]
        return [row._replace(body=dict(row.body) | body) if hit else row for row, hit in zip(rows, wanted, strict=True)]

    return change


def without(kind: str, state: str) -> Callable[[Rows], Rows]:
    """No row of a kind and state."""
    return lambda rows: [row for row in rows if (row.kind, row.state) != (kind, state)]


def without_delivery(lot_id: int) -> Callable[[Rows], Rows]:
    """No end of the delivery of a lot."""
    return lambda rows: [
        row for row in rows if not (row.kind == "energy" and row.lot_id == lot_id and row.state != "pending")
    ]


def test_a_lot_with_two_buyers(sound: Books) -> None:
    """Another buyer's CONFIRMED of the same lot."""
    again = of_battery(sound, lambda rows: rows + [r._replace(body=dict(r.body) | {"bidder": 999}) for r in rows])
    assert "sold_twice" in names(again)


def test_a_confirmed_lot_that_is_released(sound: Books) -> None:
    """An end after the end."""

    def change(rows: Rows) -> Rows:
        return rows + [
            row._replace(state="released") for row in rows if (row.kind, row.state) == ("promise", "confirmed")
        ]

    assert names(of_battery(sound, change)) == {"transition"}


def test_a_promise_without_its_trade(sound: Books) -> None:
    """CONFIRMED and no trade row; a trade row and no promise."""
    assert "sold_twice" in names(of_battery(sound, without("trade", "confirmed")))
    assert "sold_twice" in names(of_battery(sound, lambda rows: [row for row in rows if row.kind != "promise"]))


def test_more_than_there_is(sound: Books) -> None:
    """A battery that holds 1 Wh less than it promised."""
    first, *others = sound.batteries
    promised = sum(
        int(str(row.body["energy_wh"])) for row in first.rows if (row.kind, row.state) == ("promise", "reserved")
    )
    less = replace(first, supply=lambda _: Wh(promised - 1))
    assert names(Books([less, *others], sound.buyers)) == {"energy"}


def test_money_that_does_not_add_up(sound: Books) -> None:
    """A µ too much in a trade; a trade that the seller does not know."""
    assert names(of_battery(sound, edited("trade", "confirmed", paid_micro=1))) == {"money"}
    assert "money" in names(of_buyers(sound, edited("trade", "confirmed", energy_wh=77, paid_micro=7)))


def test_a_delivery_that_does_not_add_up(sound: Books) -> None:
    """More than was sold, twice, less than DELIVERED says, or of a lot that nobody has bought."""
    owed = next(row for row in sound.batteries[0].rows if (row.kind, row.state) == ("energy", "pending"))
    sold = int(str(owed.body["energy_wh"]))

    def ended(*ends: tuple[str, int], lot_id: int = owed.lot_id) -> set[str]:
        """What is broken with other ends of that delivery."""
        made = [
            owed._replace(lot_id=lot_id, state=state, body=dict(owed.body) | {"delivered_wh": given})
            for state, given in ends
        ]
        none = without_delivery(owed.lot_id)
        return names(of_battery(sound, lambda rows: [*none(rows), *made]))

    for ends in (("delivered", sold + 1), ("delivered", sold - 1), ("short", sold)):
        assert ended(ends) == {"conserved"}
    assert ended(("short", 1), ("short", 1)) == ended(("delivered", sold), lot_id=7) == {"conserved"}
    assert ended(("delivered", sold)) == ended(("short", sold - 1)) == ended() == set()


def test_nothing_is_asked_of_the_excused(sound: Books) -> None:
    """A battery whose journal is gone, and what its buyers hold of it."""
    lost = of_battery(sound, lambda _: [])
    assert names(replace(lost, excused={101}, promises={})) == set()
    assert names(lost) != set()


def test_below_the_reserve(sound: Books) -> None:
    """A reserve 1 µ above the price that was paid."""
    first, *others = sound.batteries
    paid = min(int(str(row.body["price_micro_per_kwh"])) for row in first.rows if row.kind == "trade")
    assert names(Books([replace(first, reserve=paid + 1), *others], sound.buyers)) == {"reserve"}


def test_a_winner_that_was_outbid(sound: Books) -> None:
    """A bid that stood higher than the price."""
    first, *others = sound.batteries
    higher = [bid._replace(price_micro_per_kwh=bid.price_micro_per_kwh + 1) for bid in first.bids]
    assert names(Books([replace(first, bids=higher), *others], sound.buyers)) == {"winner"}


@pytest.mark.parametrize("state", ["confirming", "finished"])
def test_a_promise_that_its_buyer_lost(sound: Books, state: str) -> None:
    """The battery holds a Confirm that its buyer does not know, or that it gave up."""
    gone = of_buyers(sound, lambda rows: [row for row in rows if row.kind != "promise"])
    assert names(gone) == {"promise_missing"}
    released = of_buyers(sound, lambda rows: [r._replace(state="released") if r.state == state else r for r in rows])
    assert ("promise_missing" in names(released)) == (state == "finished")


def test_a_promise_that_its_battery_lost(sound: Books) -> None:
    """A buyer holds an Accept, or a Terminate(FINISHED), that the battery's journal has not."""
    assert "promise_missing" in names(of_battery(sound, lambda _: []))
    assert names(of_battery(sound, lambda rows: [row for row in rows if row.kind != "answer"])) == {"promise_missing"}


def test_more_than_is_wanted(sound: Books) -> None:
    """A buyer holds more than its demand, or has paid more than its budget."""
    assert names(Books(sound.batteries, [replace(buyer, demand=Wh(0)) for buyer in sound.buyers])) == {"demand"}
    assert names(Books(sound.batteries, [replace(buyer, budget=Micro(1)) for buyer in sound.buyers])) == {"demand"}


def test_journals_are_followed_as_they_are_while_they_grow(sound: Books) -> None:
    """What the watch says of a row, its journal says at the end: an unpaid trade, a Wh that is missing, a price above the bid."""
    first, *others = sound.batteries
    assert names(Books([replace(first, settles=True), *others], sound.buyers)) == {"settled_once"}
    stock, given = first.stock, sum(int(str(row.body.get("delivered_wh", 0))) for row in first.rows)
    assert stock is not None
    for more_wh, broken in ((0, set()), (1, {"conserved"})):
        left = round((stock.terminal_wh - given + more_wh) / stock.efficiency * 1e6)
        level = Row("energy", 0, "level", first.rows[-1].time_us, {"energy_wh": 0, "stored_uwh": left})
        assert names(of_battery(sound, lambda rows, last=level: [*rows, last])) == broken  # type: ignore[misc]
    assert names(of_battery(sound, edited("promise", "reserved", bid_micro_per_kwh=1))) == {"terms"}


def test_violations_are_said_in_one_order(sound: Books) -> None:
    """Whatever a run's hashes are: by buyer, then by Confirm."""
    found = violations(of_battery(sound, lambda rows: [row for row in rows if row.kind != "answer"]))
    assert len(found) > 1
    assert [each.device_id for each in found] == sorted(each.device_id for each in found)
