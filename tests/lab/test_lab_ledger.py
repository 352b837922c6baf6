"""Sums by cluster, baselines, and the pairs that differences are taken of."""

import pyarrow as pa
import pytest

from bess_node.pricing import Context
from etp.units import DeviceId, MessageId, MicroPerKwh, money
from lab.ledger import (
    RESERVES,
    TARIFFS,
    Posted,
    Series,
    Way,
    accounts,
    best_flat,
    fortnight,
    rows_of,
    series_of,
)
from lab.play import Rules
from lab.tape import Tape, recorded_tape
from lab.welfare import Worth
from market.auction import Award, Bid


@pytest.fixture(scope="module")
def tape() -> Tape:
    """The recorded days, drawn once."""
    return recorded_tape(1, 0)


def test_the_tariffs_are_the_demos() -> None:
    """6 c feed-in, 0.5 c wear; below their sum feeding in is better."""
    assert (TARIFFS.feed_in, TARIFFS.wear, TARIFFS.base) == (60_000, 5_000, 65_000)


def test_income_by_hand(tape: Tape) -> None:
    """One buyer, first-above-reserve: every lot worth 6.5 c or more sells at that, and earns what feeding in does."""
    row = rows_of(tape, Way(Rules("first-above-reserve", 1)), seed=1)[0]
    sold = [lot for lot in tape.lots if lot.values[0] >= 65_000]
    assert row["sold_wh"] == sum(lot.energy for lot in sold)
    assert row["paid_micro"] == sum(money(MicroPerKwh(65_000), lot.energy) for lot in sold)
    assert row["trades"] == len(sold) == row["bids"]
    assert row["offered_wh"] == sum(lot.energy for lot in tape.lots)
    assert row["lots"] == len(tape.lots)
    assert abs(int(row["earned_micro"]) - int(row["offered_wh"]) * 60) <= len(sold)


def test_parts_add_up(tape: Tape) -> None:
    """By hour or in one: the same sums."""
    way = Way(Rules("vickrey", 3))
    whole, worth = accounts(tape, way, seed=1)[0, 0]
    by_hour = accounts(tape, way, lambda lot: int(lot.market_s // 3600) % 24, seed=1).values()
    parts = [account for account, _ in by_hour]
    assert sum(part.welfare for _, part in by_hour) == worth.welfare
    assert sum(part.offered for part in parts) == whole.offered
    assert sum(part.sales.paid for part in parts) == whole.sales.paid
    assert sum(part.bids for part in parts) == whole.bids


def test_whoever_buys_the_same_is_offered(tape: Tape) -> None:
    """Under every rule; that is what makes them pairs."""
    ways = [
        Way(Rules(play, buyers), reserve)
        for play in ("english", "uniform")
        for buyers in (1, 7)
        for reserve in RESERVES
    ]
    assert len({accounts(tape, way, seed=1)[0, 0][0].offered for way in ways}) == 1


def test_the_best_flat_price_is_the_best(tape: Tape) -> None:
    """No other value of the first buyer, taken as the price, earns more."""
    base = TARIFFS.base
    best = best_flat(tape, base)

    def earned(price: int) -> int:
        return sum((price - base) * lot.energy for lot in tape.lots if lot.values[0] >= price)

    assert earned(best) == max(earned(lot.values[0]) for lot in tape.lots if lot.values[0] > base)
    assert best > base


@pytest.mark.parametrize(
    ("lowest", "common"), [(85_000, 100_000), (50_000, 100_000), (20_000, 200_000), (40_000, 60_000)]
)
def test_the_best_price_for_one_buyer_is_the_best(lowest: int, common: int) -> None:
    """(price − base) × P(value ≥ price), on a grid of prices; below the base nothing is worth selling."""
    base = 65_000
    policy = Posted(MicroPerKwh(base), {0.0: (lowest, common)})
    price = policy.reserve(Context(0.5, 0.0))

    def expected(asked: int) -> float:
        share = min(1.0, max(0.0, (common - asked) / (common - lowest)))
        return (asked - base) * share

    assert expected(price) >= max(expected(asked) for asked in range(base, 210_000, 250)) - 1e-6
    assert price >= base


def test_pairs_of_two_tapes_are_refused() -> None:
    """What was not offered alike cannot be compared lot by lot."""
    way = Way(Rules("vickrey", 2))
    rows = [row for drawing in (0, 3) for row in rows_of(recorded_tape(1, drawing), way, seed=1)]
    other = [row for drawing in (1, 2) for row in rows_of(recorded_tape(1, drawing), way, seed=1)]
    ours, theirs = (series_of(pa.Table.from_pylist(some), ("play",))[("vickrey",)] for some in (rows, other))
    assert ours.over(ours).estimate == 0
    with pytest.raises(ValueError, match="two tapes"):
        ours.over(theirs)


def test_blocks_hold_what_their_clusters_held() -> None:
    """Nothing is lost by adding up, and days of two years never share a block."""
    series = Series((0, 13, 14, 1013), (1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), 2, 3, 4, 5)
    found = series.blocks(fortnight)
    assert found == Series((0, 1, 1000), (3, 3, 4), (11, 7, 8), (19, 11, 12), (27, 15, 16), 2, 3, 4, 5)


def test_days_that_are_alike_are_less_sure_than_they_look() -> None:
    """Fourteen days of one kind and fourteen of another are two observations, not 28."""
    earned = tuple(1000 if day // 14 % 2 else 2000 for day in range(56))
    series = Series(tuple(range(56)), (1000,) * 56, (0,) * 56, (0,) * 56, earned, 0, 0)
    by_day, by_block = series.income(), series.blocks(fortnight).income()
    assert by_day.estimate == by_block.estimate
    assert by_block.high - by_block.low > 2 * (by_day.high - by_day.low)


def test_what_was_read_is_read_once() -> None:
    """The same table gives the same sums without another look; another table with the same rows is looked at again."""
    rows = rows_of(recorded_tape(1, 0), Way(Rules("vickrey", 1)), seed=1)
    table, other = pa.Table.from_pylist(rows), pa.Table.from_pylist([row | {"sold_wh": 0} for row in rows])
    assert series_of(table, ("play",))["vickrey",] is series_of(table, ["play"])["vickrey",]
    assert series_of(other, ("play",))["vickrey",].sold == (0,)
    series_of(table, ("play",)).clear()
    assert series_of(table, ("play",))


def test_efficiency_by_hand(tape: Tape) -> None:
    """Vickrey gives each lot to who values it most; taking the first bid does not, and nobody loses by either."""
    rows = [
        row
        for play in ("vickrey", "first-above-reserve")
        for row in rows_of(tape, Way(Rules(play, 4, "added")), seed=1)
    ]
    found = series_of(pa.Table.from_pylist(rows), ("play",))
    sold = [lot for lot in tape.lots if max(lot.values[:4]) >= TARIFFS.base]
    assert found["vickrey",].best == sum(
        money(MicroPerKwh(max(lot.values[:4]) - TARIFFS.base), lot.energy) for lot in sold
    )
    assert found["vickrey",].efficiency() == 1 > found["first-above-reserve",].efficiency() > 0.5
    assert {(series.too_dear, series.too_cheap) for series in found.values()} == {(0, 0)}
    with pytest.raises(ValueError, match="no welfare"):
        found["vickrey",]._replace(best=0).efficiency()


def test_an_owner_who_loses_by_a_sale_is_counted(tape: Tape) -> None:
    """A reserve below feed-in and wear, as `soc` has it for a full battery, sells at a loss; each such award counts."""
    worth = Worth()
    lot = next(lot for lot in tape.lots if lot.values[0] > 65_000)
    bid = Bid(DeviceId(0), MessageId(1), MicroPerKwh(64_999), lot.energy, 1)
    worth.add(lot, [Award(bid, lot.energy, MicroPerKwh(64_999))], Rules("vickrey", 1), TARIFFS.base)
    worth.add(lot, [Award(bid, lot.energy, MicroPerKwh(lot.values[0] + 1))], Rules("vickrey", 1), TARIFFS.base)
    assert (worth.too_cheap, worth.too_dear) == (1, 1)


def test_prices_of_what_was_sold() -> None:
    """Weighted by volume; a cluster without a sale has none."""
    rows = [row for drawing in (0, 3) for row in rows_of(recorded_tape(1, drawing), Way(Rules("vickrey", 1)), seed=1)]
    series = series_of(pa.Table.from_pylist(rows), ("play",))["vickrey",]
    assert series.price() == series.price_paid().estimate == 65_000
    assert 0.2 < series.share_sold() < 0.6
    unsold = [row | {"sold_wh": 0, "paid_micro": 0} for row in rows]
    nothing = series_of(pa.Table.from_pylist(unsold), ("play",))["vickrey",]
    assert nothing.price() == 0
    with pytest.raises(ValueError, match="sold nothing"):
        nothing.price_paid()
