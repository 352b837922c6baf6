"""Each invariant bites: one fault planted into the journals of a sound market, and that fault is named."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from etp.effects import Row
from etp.units import Wh
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

    assert "sold_twice" in names(of_battery(sound, change))


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
    """More than was sold, twice, or less than DELIVERED says."""
    body = {"energy_wh": 100, "delivered_wh": 100}
    for ends in ([("delivered", 101)], [("delivered", 99)], [("short", 100)], [("short", 1), ("short", 1)]):
        rows = [Row("energy", 7, state, 0, body | {"delivered_wh": given}) for state, given in ends]  # type: ignore[arg-type]
        assert names(of_battery(sound, lambda before, more=rows: [*before, *more])) == {"conserved"}  # type: ignore[misc]
    right = [Row("energy", 7, "delivered", 0, body), Row("energy", 8, "short", 0, body | {"delivered_wh": 3})]  # type: ignore[arg-type]
    assert names(of_battery(sound, lambda before: [*before, *right])) == set()


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
    """A buyer holds more than its demand."""
    assert names(Books(sound.batteries, [replace(buyer, demand=Wh(0)) for buyer in sound.buyers])) == {"demand"}
