"""Sums by cluster, baselines, and the pairs that differences are taken of."""

import pyarrow as pa
import pytest

from bess_node.pricing import Context
from etp.units import MicroPerKwh, money
from lab.ledger import RESERVES, TARIFFS, Posted, Way, accounts, best_flat, rows_of, series_of
from lab.play import Rules
from lab.tape import Tape, recorded_tape


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
    whole = accounts(tape, way, seed=1)[0, 0]
    parts = accounts(tape, way, lambda lot: int(lot.market_s // 3600) % 24, seed=1).values()
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
    assert len({accounts(tape, way, seed=1)[0, 0].offered for way in ways}) == 1


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
