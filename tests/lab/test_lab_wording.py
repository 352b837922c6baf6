"""Sentences that follow their numbers: no sign is written beforehand."""

import pytest

from lab.statistics import Interval
from lab.wording import counted, more, percent


def interval(low: float, middle: float, high: float) -> Interval:
    """In µ/kWh."""
    return Interval(middle, low, high, 1.0, 5)


@pytest.mark.parametrize(
    ("gained", "said"),
    [
        (interval(10_000, 20_000, 30_000), "2.00 c/kWh [1.00, 3.00] more"),
        (interval(-30_000, -20_000, -10_000), "2.00 c/kWh [1.00, 3.00] less"),
        (interval(-10_000, 5_000, 20_000), "neither more nor less for sure (0.50 c/kWh [-1.00, 2.00])"),
        (interval(1, 2, 3), "nothing more (0.00 c/kWh [0.00, 0.00])"),
    ],
)
def test_a_difference_says_which_way_it_goes(gained: Interval, said: str) -> None:
    """A loss is so much less, never a negative gain; an interval around zero decides nothing."""
    assert more(gained) == said


def test_digits_are_kept() -> None:
    """Where small differences matter."""
    assert more(interval(10, 20, 30), digits=3) == "0.002 c/kWh [0.001, 0.003] more"


def test_a_share_is_told_in_percent() -> None:
    """With its interval."""
    assert percent(interval(0.5, 0.75, 1.25)) == "75 % [50, 125]"
    assert percent(interval(-0.001, 0.012, 0.03), digits=1) == "1.2 % [-0.1, 3.0]"


def test_one_and_many() -> None:
    """Of a thing."""
    assert [counted(number, "tape") for number in (0, 1, 2)] == ["0 tapes", "1 tape", "2 tapes"]
