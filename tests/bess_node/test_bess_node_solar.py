"""The rooftop: half a sine by day, nothing by night, and an integral that adds up."""

from math import pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bess_node.solar import DAY_S, Solar

ROOF = Solar(5.0)
A_DAY_WH = 5_000 * 16 * 2 / pi
MAY_20_S = 1_589_932_800


@pytest.mark.parametrize(
    ("peak_kw", "sunrise_s", "sunset_s", "field"),
    [
        (-1.0, 0.0, 10.0, "peak_kw"),
        (float("nan"), 0.0, 10.0, "peak_kw"),
        (1.0, -1.0, 10.0, "sunrise_s"),
        (1.0, 10.0, 10.0, "sunrise_s"),
        (1.0, 0.0, DAY_S + 1.0, "sunrise_s"),
    ],
)
def test_impossible_sun_is_refused(peak_kw: float, sunrise_s: float, sunset_s: float, field: str) -> None:
    """The field and its value are named."""
    with pytest.raises(ValueError, match=f"{field} is "):
        Solar(peak_kw, sunrise_s, sunset_s)


@pytest.mark.parametrize(
    ("hour", "kw"), [(0, 0.0), (4, 0.0), (12, 5.0), (12 - 16 / 6, 5 * 3**0.5 / 2), (20, 0.0), (24, 0.0)]
)
def test_power_is_half_a_sine(hour: float, kw: float) -> None:
    """Nothing at night and at both edges, the peak half way."""
    assert ROOF.power_kw(hour * 3600) == pytest.approx(kw)


def test_a_day_yields_its_integral() -> None:
    """Peak × hours of sun × 2/π, on every day."""
    assert ROOF.energy_wh(MAY_20_S, MAY_20_S + DAY_S) == pytest.approx(A_DAY_WH)
    assert ROOF.energy_wh(MAY_20_S + 40_000, MAY_20_S + 40_000 + 30 * DAY_S) == pytest.approx(30 * A_DAY_WH)


def test_a_night_yields_nothing() -> None:
    """From sunset to the next sunrise, across midnight."""
    assert ROOF.energy_wh(MAY_20_S + 20 * 3600, MAY_20_S + 28 * 3600) == 0.0


@given(st.floats(0, 3 * DAY_S), st.lists(st.floats(0, DAY_S), max_size=30))
def test_steps_of_any_size_add_up(start_s: float, steps: list[float]) -> None:
    """The parts yield what the whole yields."""
    times = [MAY_20_S + start_s]
    for step in steps:
        times.append(times[-1] + step)
    parts = [ROOF.energy_wh(begin, end) for begin, end in zip(times, times[1:], strict=False)]
    assert all(part >= -1e-9 for part in parts)
    assert sum(parts) == pytest.approx(ROOF.energy_wh(times[0], times[-1]), abs=1e-6)


@given(st.floats(0, DAY_S - 1))
def test_energy_is_the_integral_of_power(second: float) -> None:
    """Over a second the energy is the power in its middle."""
    assert ROOF.energy_wh(second, second + 1) == pytest.approx(ROOF.power_kw(second + 0.5) / 3.6, abs=1e-3)
