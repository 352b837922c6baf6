"""A rooftop's clear-sky yield: half a sine between sunrise and sunset, integrated exactly.

The simplest geometry that has a noon and a night; no clouds, no seasons. Times are UTC, so a clock change moves nothing.
"""

from dataclasses import dataclass
from math import cos, inf, pi, sin
from typing import Final

DAY_S: Final = 86_400
_KW_S_PER_WH: Final = 3.6


@dataclass(frozen=True, slots=True)
class Solar:
    """Peak power and hours of sun. Raises ValueError naming the field, its value and what would pass."""

    peak_kw: float
    """Power half way between sunrise and sunset, kW."""
    sunrise_s: float = 4.0 * 3600
    """Seconds of the UTC day; the defaults are those of southern England in May."""
    sunset_s: float = 20.0 * 3600
    """Seconds of the UTC day, after sunrise and on the same day."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.peak_kw < inf:
            raise ValueError(f"peak_kw is {self.peak_kw}; finite and at least 0")
        if not 0.0 <= self.sunrise_s < self.sunset_s <= DAY_S:
            raise ValueError(
                f"sunrise_s is {self.sunrise_s}; 0 to sunset_s ({self.sunset_s}), which is at most {DAY_S}"
            )

    def _sunlit(self, second_of_day: float) -> float:
        """The part of the sun's hours that has passed, 0 to 1."""
        length_s = self.sunset_s - self.sunrise_s
        return min(max((second_of_day - self.sunrise_s) / length_s, 0.0), 1.0)

    def power_kw(self, second_of_day: float) -> float:
        """Power at a second of the UTC day (0 to 86,400), kW: peak × sin(π × part of the sun's hours), 0 at night."""
        return self.peak_kw * sin(pi * part) if 0.0 < (part := self._sunlit(second_of_day)) < 1.0 else 0.0

    def energy_wh(self, start_s: float, end_s: float) -> float:
        """Energy between two market times (unix seconds), Wh: the integral of `power_kw`, so steps of any size add up."""
        (start_day, start), (end_day, end) = divmod(start_s, DAY_S), divmod(end_s, DAY_S)
        a_day_wh = self.peak_kw * (self.sunset_s - self.sunrise_s) * 2 / pi / _KW_S_PER_WH
        # Days are subtracted as whole numbers first: the energy since 1970 would swallow a short step's last digits.
        return a_day_wh * (end_day - start_day + (cos(pi * self._sunlit(start)) - cos(pi * self._sunlit(end))) / 2)
