"""What a kWh is worth: constant, or the recorded price less a margin of the seed's."""

from aggregator_node.worth import Constant, Recorded
from runtime.days import MarketClock, PriceSeries

SERIES = PriceSeries(0.0, (100_000, 60_000, -20_000))
CLOCK = MarketClock(10.0, 0.0, speed=1800.0)


def recorded(*, margin: float = 0.0, most: int = 1_000_000, seed: int = 1) -> Recorded:
    """One half-hour a second from second 10 on."""
    return Recorded(SERIES, CLOCK, most, margin, seed)


def test_constant() -> None:
    """One value in one endless period."""
    worth = Constant(185_000)
    assert (worth.at(5.0), worth.period(5.0), worth.changes_at(5.0)) == (185_000, 0, None)


def test_recorded_follows_the_half_hours() -> None:
    """The price of the half-hour that it is; before the origin the first, after the last the last."""
    worth = recorded()
    assert [worth.at(second) for second in (0.0, 10.0, 10.999, 11.0, 12.5, 99.0)] == [
        100_000,
        100_000,
        100_000,
        60_000,
        -20_000,
        -20_000,
    ]
    assert [worth.period(second) for second in (0.0, 11.5, 99.0)] == [0, 1, 2]
    assert [worth.changes_at(second) for second in (0.0, 11.5, 12.0)] == [11.0, 12.0, None]


def test_a_margin_is_private_and_repeats() -> None:
    """Up to `margin_percent` of the price is kept, anew per half-hour and buyer, the same for the same seed."""
    values = {seed: [recorded(margin=20, seed=seed).at(second) for second in (10.0, 11.0, 12.0)] for seed in range(50)}
    assert values[3] == [recorded(margin=20, seed=3).at(second) for second in (10.0, 11.0, 12.0)]
    first = [value[0] for value in values.values()]
    assert all(80_000 <= value <= 100_000 for value in first)
    assert len(set(first)) == 50
    assert max(first) - min(first) > 15_000
    assert all(-24_000 <= value[2] <= -20_000 for value in values.values())


def test_never_more_than_the_most() -> None:
    """`most` caps a dear half-hour."""
    assert [recorded(most=70_000).at(second) for second in (10.0, 11.0)] == [70_000, 60_000]
