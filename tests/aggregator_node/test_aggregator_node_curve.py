"""The grids of prices, and what is believed on them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator_node.curve import MAX_CELLS, Between, Curve, Grid, Place, Plain
from aggregator_node.view import LotView
from etp.units import DeviceId, MicroPerKwh


def view(value: int = 100_000, ask: int = 60_000, *, battery: int = 1, market_s: float = 0.0) -> LotView:
    """A lot."""
    return LotView(MicroPerKwh(value), MicroPerKwh(ask), battery=DeviceId(battery), market_s=market_s)


@given(st.integers(1, 10**8), st.integers(0, 10**8), st.sampled_from([Between(), Between(from_ask=False), Plain()]))
def test_levels_rise_from_ask_to_value(value: int, ask: int, grid: Grid) -> None:
    """Never below the ask; each is found again from its price, and lies between `below` and `above`."""
    lot = view(value, min(ask, value))
    while not grid.fits(lot):
        pass
    prices = [grid.price(lot, level) for level in range(grid.levels + 1)]
    assert prices == sorted(prices)
    assert prices[0] >= lot.ask
    assert grid.above(lot, lot.value) <= grid.levels
    for price in {lot.ask, lot.value, (lot.ask + lot.value) // 2, *prices[:3]}:
        low, high = grid.below(lot, price), grid.above(lot, price)
        assert 0 <= low <= grid.levels
        assert low <= high <= grid.levels + 1
        assert price < max(lot.ask, 1) or high > grid.levels or grid.price(lot, high) >= min(price, lot.value)


def test_steps_are_fine_near_the_value() -> None:
    """24 steps between 60,000 and 100,000: the last is 70 µ, the first 3,263."""
    grid, lot = Between(), view()
    assert [grid.price(lot, level) for level in (0, 1, 23, 24)] == [60_000, 63_264, 99_931, 100_000]
    assert (grid.above(lot, 100_001), grid.above(lot, 59_000), grid.below(lot, 99_932)) == (25, 0, 23)


def test_the_plain_grid_widens() -> None:
    """A dearer value doubles it: two levels become one, the observations stay."""
    curve, place = Curve(Plain()), Place(view(60_000, 1), 0)
    for _ in range(50):
        curve.learn(place, 24, 24, foretold=(0, 24))
    assert curve.grid.price(place.view, 24) == 32_768
    dear = Place(view(200_000, 1), 0)
    weights = curve.weights(dear)
    assert curve.grid.price(dear.view, curve.grid.levels) == 262_144
    assert max(range(len(weights)), key=weights.__getitem__) == 6


def test_what_wins_is_learnt_by_battery_and_hour() -> None:
    """One battery's morning is cheap, its evening dear; another battery starts from what both have in common."""
    curve = Curve(Between())
    morning, evening = Place(view(market_s=8 * 3600.0), 0), Place(view(market_s=18 * 3600.0), 0)
    for _ in range(300):
        curve.learn(morning, 0, 0, foretold=(0, 0))
        curve.learn(evening, 20, 20, foretold=(0, 20))
    cheap, dear = curve.weights(morning), curve.weights(evening)
    assert cheap[0] / sum(cheap) > 0.8
    assert dear[20] / sum(dear) > 0.8
    other = curve.weights(Place(view(battery=2, market_s=8 * 3600.0), 0))
    assert 0.3 < other[0] / sum(other) < 0.7


def test_the_score_tells_which_grid_foretells() -> None:
    """What was thought impossible costs more than what was expected, and never without bound."""
    curve, place = Curve(Between()), Place(view(), 0)
    curve.learn(place, 0, 25, foretold=(0, 25))
    assert curve.score == pytest.approx(0.0)
    curve.learn(place, 0, 0, foretold=(0, 0))
    assert -10.0 < curve.score < -3.0


def test_memory_is_bounded() -> None:
    """However many batteries: the oldest go."""
    curve = Curve(Between(levels=2))
    for battery in range(MAX_CELLS):
        curve.learn(Place(view(battery=battery), 0), 0, 1, foretold=(0, 1))
    assert len(curve.cells) == MAX_CELLS
    assert (0,) in curve.cells
    assert len(curve.drawn(Place(view(battery=1), 0), random.Random(1))) == 4
