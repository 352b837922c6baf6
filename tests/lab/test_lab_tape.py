"""Tapes: the same seed, the same lots and values; nothing on them depends on who buys."""

import numpy as np
import pytest

from bess_node.solar import DAY_S
from lab.synthetic import CLEARNESS, DAYS, FIRST_DAY_S, STEPS, sun_of, year_of
from lab.tape import (
    FEWEST_QUANTA,
    MOST_BUYERS,
    QUANTUM,
    STRIDE,
    Making,
    Tape,
    TapeLot,
    recorded_tape,
    synthetic_tape,
)
from runtime.days import AGILE_2020_05


@pytest.fixture(scope="module")
def year() -> Tape:
    """Forty synthetic days."""
    return synthetic_tape(1, 0, days=40)


def test_the_same_seed_makes_the_same_tape() -> None:
    """Another drawing has other values on the same days; another seed too."""
    tape = recorded_tape(1, 0)
    assert tape == recorded_tape(1, 0)
    assert recorded_tape(1, 3).lots[0].values != tape.lots[0].values != recorded_tape(2, 0).lots[0].values
    # Drawings 0 and 3 are the same home: the lots are the same, the rest is drawn.
    assert [lot.energy for lot in recorded_tape(1, 3).lots] == [lot.energy for lot in tape.lots]


def test_nothing_on_a_tape_is_a_bid() -> None:
    """Bids are the strategies' to make."""
    assert not [name for name in TapeLot._fields if "bid" in name]


@pytest.mark.parametrize("tape", [recorded_tape(1, 0), synthetic_tape(1, 0, days=3)], ids=lambda tape: tape.name)
def test_values_lie_between_the_lowest_and_the_common(tape: Tape) -> None:
    """(1 − m) p ≤ value ≤ p, also where the price is negative, for ten buyers."""
    for lot in tape.lots:
        assert len(lot.values) == len(lot.delays_s) == len(lot.notices_s) == MOST_BUYERS
        assert lot.lowest <= min(lot.values) <= max(lot.values) <= lot.common
        assert lot.common - lot.lowest == int(abs(lot.common) * 0.15)
        assert min(lot.delays_s) > 0


def test_margins_are_uniform_and_independent() -> None:
    """Mean 1/2 and variance 1/12 of the widest margin; two buyers' margins are not correlated."""
    lots = [lot for drawing in range(20) for lot in recorded_tape(1, drawing).lots if lot.common > 0]
    shares = np.array([[(lot.common - value) / (0.15 * lot.common) for value in lot.values] for lot in lots])
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / 12, rel=0.05)
    assert abs(np.corrcoef(shares[:, 0], shares[:, 1])[0, 1]) < 0.08


def test_lots_are_whole_and_never_more_than_the_battery_holds() -> None:
    """Multiples of 60 Wh from 120 on; a home's battery of 13.5 kWh sells a twelfth of 90 % of it at most."""
    lots = recorded_tape(1, 1).lots
    assert all(lot.energy % QUANTUM == 0 and lot.energy >= QUANTUM * FEWEST_QUANTA for lot in lots)
    assert max(lot.energy for lot in lots) <= 13_500 * 0.9 * 0.95 / 12
    assert all(0.0 <= lot.soc <= 1.0 for lot in lots)


def test_wider_margins_move_values_only() -> None:
    """Tapes of one seed pair: the same lots, and the same shares of another margin."""
    narrow, wide = (recorded_tape(1, 0, Making(margin_percent=margin)) for margin in (10, 20))
    for one, other in zip(narrow.lots, wide.lots, strict=True):
        assert one[:5] == other[:5]
        assert other.common - other.values[0] == pytest.approx(2 * (one.common - one.values[0]), abs=2)


def test_more_for_sale_is_more_offered() -> None:
    """And with a slower network only the delays change."""
    few, many = (sum(lot.energy for lot in recorded_tape(1, 0, Making(for_sale_percent=p)).lots) for p in (20, 90))
    assert few < many / 2
    near, far = (recorded_tape(1, 0, Making(delay_s=delay)) for delay in (0.001, 0.1))
    assert far.lots[0].delays_s[0] == pytest.approx(100 * near.lots[0].delays_s[0])
    assert far.lots[0].values == near.lots[0].values


def test_clusters_are_drawings_or_days(year: Tape) -> None:
    """What is resampled as a whole."""
    assert {lot.cluster for lot in recorded_tape(1, 7).lots} == {7}
    assert {lot.cluster for lot in year.lots} <= set(range(40))
    first = 2 * STRIDE
    assert {lot.cluster for lot in synthetic_tape(1, 2, days=2).lots} <= {2000 + first, 2001 + first}


def test_short_tapes_are_spread_over_the_seasons() -> None:
    """Five of them begin in five parts of the year, with its prices and its sun; a whole year begins on its first day."""
    begins = [int(synthetic_tape(1, number, days=60).series.start_s - FIRST_DAY_S) // DAY_S for number in range(5)]
    assert begins == [0, 73, 146, 219, 292]
    tape, whole = synthetic_tape(1, 2, days=3), synthetic_tape(1, 2)
    assert whole.series.start_s == FIRST_DAY_S
    begin = begins[2] * STEPS
    assert tape.series.values == whole.series.values[begin : begin + 3 * STEPS]
    # The days of a tape have the sun of their season: midsummer's lots hold more than midwinter's.
    summer, winter = (sum(lot.energy for lot in synthetic_tape(1, number, days=20).lots) for number in (2, 0))
    assert summer > 2 * winter


def test_a_synthetic_year_has_the_shape_of_the_recorded_days() -> None:
    """Evening peak dearest, noon cheapest; level and spread of the same size. It is named for what it is."""
    year = year_of(1, 0)
    prices = np.array(year.series.values).reshape(DAYS, STEPS)
    hours = prices.mean(axis=0)
    assert hours[30:36].min() > hours[:30].max() + 50_000
    assert hours[24:30].mean() < hours[12:20].mean()
    recorded = np.array(AGILE_2020_05.values)
    assert prices.mean() == pytest.approx(recorded.mean(), rel=0.25)
    assert prices.std() == pytest.approx(recorded.std(), rel=0.25)
    assert year == year_of(1, 0) != year_of(1, 1)
    assert synthetic_tape(1, 0, days=1).name == "synthetic"


def test_clouds_and_seasons() -> None:
    """Clearness is between 0 and 1 with the mean of its distribution; summer days are longer and stronger than winter's."""
    clearness = np.array(year_of(1, 0).clearness)
    a, b = CLEARNESS
    assert 0.0 <= clearness.min() <= clearness.max() <= 1.0
    assert clearness.mean() == pytest.approx(a / (a + b), abs=0.05)
    summer, winter = (sun_of(day, 1.0, 1.0).energy_wh(0, DAY_S) for day in (172, 355))
    assert summer == pytest.approx(1.0 * 16.4 * 2 / np.pi * 1000, rel=0.01)
    assert winter < summer / 4
