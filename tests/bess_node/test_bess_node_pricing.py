"""The reserve policies: their steps, their edges, and that no reserve is ever illegal."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bess_node.pricing import MAX_RESERVE, ByPrices, BySoc, Context, Fixed, Forecast, Pricing, reserve_with_wear
from etp.units import MicroPerKwh
from runtime.days import PriceSeries

BASE = MicroPerKwh(60_000)
HOUR_S = 3600
PRICES = st.integers(-200_000_000, 200_000_000).map(MicroPerKwh)


def when(*, soc: float = 0.5, market_s: float = 0.0) -> Context:
    """A moment."""
    return Context(soc, market_s)


def test_fixed_never_moves() -> None:
    """Neither charge nor time nor trades move it."""
    policy = Fixed(BASE)
    policy.traded(when(), MicroPerKwh(90_000))
    assert {policy.reserve(when(soc=soc, market_s=soc * 1e5)) for soc in (0.0, 0.5, 1.0)} == {BASE}


@pytest.mark.parametrize(
    ("soc", "reserve"),
    [
        (0.0, 120_000),
        (0.0999, 120_000),
        (0.10, 90_000),
        (0.2499, 90_000),
        (0.25, 60_000),
        (0.7499, 60_000),
        (0.75, 54_000),
        (1.0, 54_000),
    ],
)
def test_scarce_energy_is_dear(soc: float, reserve: int) -> None:
    """Below 10 % × 2, below 25 % × 1.5, below 75 % × 1, else × 0.9."""
    policy = BySoc(BASE)
    policy.traded(when(soc=soc), MicroPerKwh(1))
    assert policy.reserve(when(soc=soc)) == reserve


@pytest.mark.parametrize(("base", "reserve"), [(1, 2), (3, 4), (5, 8), (4, 6)])
def test_steps_round_half_to_even(base: int, reserve: int) -> None:
    """× 1.5 of an odd base falls between two µ."""
    assert BySoc(MicroPerKwh(base)).reserve(when(soc=0.2)) == reserve


def test_series_moves_with_market_time_and_keeps_the_base() -> None:
    """The half-hour's price, or the base where that is dearer, also with negative prices."""
    policy = ByPrices(BASE, PriceSeries(0, (70_000, -5_000, 60_001)))
    policy.traded(when(), MicroPerKwh(1))
    assert [policy.reserve(when(market_s=second)) for second in (0, 1799.9, 1800, 3600)] == [
        70_000,
        70_000,
        BASE,
        60_001,
    ]


def test_forecast_starts_at_the_base() -> None:
    """An hour without a trade of its own falls back, whatever other hours know."""
    policy = Forecast(BASE)
    policy.traded(when(market_s=18 * HOUR_S), MicroPerKwh(90_000))
    assert [policy.reserve(when(market_s=hour * HOUR_S)) for hour in (17, 18, 19)] == [BASE, 90_000, BASE]


def test_forecast_moves_three_tenths_of_the_way() -> None:
    """Exponential smoothing: the first trade sets the hour, each further one moves it by 3/10 of the difference."""
    policy = Forecast(BASE)
    seen = []
    for price in (100_000, 200_000, 100_000):
        policy.traded(when(), MicroPerKwh(price))
        seen.append(policy.reserve(when()))
    assert seen == [100_000, 130_000, 121_000]


def test_forecast_is_by_hour_of_the_day() -> None:
    """The same hour of another day is the same hour; hours are UTC's, so a clock change moves none."""
    policy = Forecast(BASE)
    before = datetime(2026, 3, 28, 17, 30, tzinfo=UTC).timestamp()
    after = datetime(2026, 3, 29, 17, 0, tzinfo=UTC).timestamp()
    policy.traded(when(market_s=before), MicroPerKwh(90_000))
    assert (policy.reserve(when(market_s=after)), policy.reserve(when(market_s=after - 1))) == (90_000, BASE)


def test_forecast_is_never_below_the_base() -> None:
    """Cheap trades do not lead to cheaper ones."""
    policy = Forecast(BASE)
    policy.traded(when(), MicroPerKwh(10))
    assert policy.reserve(when()) == BASE


@given(st.lists(st.integers(60_000, 10_000_000), min_size=1, max_size=30))
def test_forecast_stays_within_what_was_paid(prices: list[int]) -> None:
    """A smoothed price is never beyond the dearest or the cheapest trade, nor remembers more than 24 hours."""
    policy = Forecast(BASE)
    for hour, price in enumerate(prices):
        policy.traded(when(), MicroPerKwh(price))
        policy.traded(when(market_s=hour * HOUR_S), MicroPerKwh(price))
    assert min(prices) <= policy.reserve(when()) <= max(prices)
    assert len(policy.by_hour) <= 24


@given(PRICES, PRICES, st.floats(0, 1), st.floats(-1e9, 1e10))
@example(MAX_RESERVE, MAX_RESERVE, 0.05, 0.0)
@example(MicroPerKwh(-1), MicroPerKwh(MAX_RESERVE + 1), 0.5, 0.0)
def test_every_reserve_is_legal(base: MicroPerKwh, price: MicroPerKwh, soc: float, market_s: float) -> None:
    """At least 1 µ and at most what the wire carries, whatever the base, the prices and the charge."""
    moment = when(soc=soc, market_s=market_s)
    policies: list[Pricing] = [Fixed(base), BySoc(base), ByPrices(base, PriceSeries(0, (price,))), Forecast(base)]
    for policy in policies:
        policy.traded(moment, price)
        assert 1 <= policy.reserve(moment) <= MAX_RESERVE


@pytest.mark.parametrize(("feed_in", "wear", "reserve"), [(60_000, 15_000, 75_000), (-20_000, 15_000, 1), (0, 0, 1)])
def test_reserve_with_wear_is_tariff_plus_wear(feed_in: int, wear: int, reserve: int) -> None:
    """What feeding in would pay plus what the cells lose; at least 1 µ."""
    assert reserve_with_wear(feed_in=MicroPerKwh(feed_in), wear=MicroPerKwh(wear)) == reserve


def test_negative_wear_is_refused() -> None:
    """Nobody is paid for wearing cells out."""
    with pytest.raises(ValueError, match="wear is -1"):
        reserve_with_wear(feed_in=BASE, wear=MicroPerKwh(-1))
