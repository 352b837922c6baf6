"""A scenario that was written down is the same when it is read, whatever it is made of."""

import msgspec
import pytest

from sim.draw import scenario
from sim.kept import read, written
from sim.run import play


def test_what_is_written_is_read() -> None:
    """Prices, narrow bounds, liars, profiles, clocks and scripts of all kinds: field by field."""
    drawn = [scenario(seed) for seed in range(120)]
    assert any(each.plan.series for each in drawn)
    assert any(each.plan.hostile for each in drawn)
    for each in drawn:
        assert read(written(each)) == each


def test_it_is_the_same_market() -> None:
    """Played, it ends with the same journals."""
    drawn = scenario(28)
    assert play(read(written(drawn))).digest == play(drawn).digest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"seconds": ', '"second": '),
        ('"mode": "', '"mode": "un'),
        ('"device_id": 101', '"device": 101'),
        ('"weather": {', '"weather": 1, "x": {'),
    ],
)
def test_what_is_not_a_scenario_is_refused(before: str, after: str) -> None:
    """A field that is missing, unknown, or of another kind."""
    text = written(scenario(28))
    assert before in text
    with pytest.raises((KeyError, ValueError, msgspec.ValidationError)):
        read(text.replace(before, after))
