"""A rooftop's clear-sky yield: half a sine between sunrise and sunset, integrated exactly."""

from dataclasses import dataclass
from math import cos, pi

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Solar:
    """Peak power and hours of sun, in seconds of the UTC day."""

    peak_kw: float
    sunrise_s: float = 4.0 * 3600
    sunset_s: float = 20.0 * 3600

    def energy_wh(self, start_s: float, end_s: float) -> float:
        """Energy between two market times (unix seconds), Wh: the integral, so steps of any size add up."""
        return self._since_epoch(end_s) - self._since_epoch(start_s)

    def _since_epoch(self, at_s: float) -> float:
        days, second = divmod(at_s, DAY_S)
        length = self.sunset_s - self.sunrise_s
        share = min(max((second - self.sunrise_s) / length, 0.0), 1.0)
        a_day = self.peak_kw * length * 2 / pi / 3.6
        return float(a_day * (days + (1 - cos(pi * share)) / 2))
