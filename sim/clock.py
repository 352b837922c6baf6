"""A node's two clocks: the wall clock may be off, drift and jump; the monotonic one only drifts."""

from typing import Final

from etp.clock import Now
from etp.units import MonotonicS, WallUs
from sim.scheduler import EPOCH_US, Scheduler

SLACK_S: Final = 1e-9
"""A timer fires this much later than the clock's arithmetic says: rounded down it would come too early, again and again, s."""


class Clock:
    """`offset_us`: the wall clock less true time; `drift_ppm`: by how many millionths both run fast; `origin_s`: the monotonic
    clock at true time 0.
    """

    __slots__ = ("_origin_s", "_rate", "_scheduler", "offset_us")

    def __init__(
        self, scheduler: Scheduler, *, offset_us: int = 0, drift_ppm: float = 0.0, origin_s: float = 0.0
    ) -> None:
        self._scheduler, self.offset_us = scheduler, offset_us
        self._rate, self._origin_s = 1.0 + drift_ppm / 1e6, origin_s

    def now(self) -> Now:
        """What the node reads."""
        passed_s = self._scheduler.time_s * self._rate
        return Now(MonotonicS(self._origin_s + passed_s), WallUs(EPOCH_US + self.offset_us + int(passed_s * 1e6 + 0.5)))

    def true_s(self, monotonic_s: float) -> float:
        """True time at which the monotonic clock has reached a reading."""
        if self._rate == 1.0 and self._origin_s == 0.0:
            return monotonic_s
        return (monotonic_s - self._origin_s) / self._rate + SLACK_S

    def jump(self, by_us: int) -> None:
        """The wall clock is set."""
        self.offset_us += by_us

    def set_right(self) -> None:
        """The wall clock is set to true time, as NTP does."""
        self.offset_us = -int(self._scheduler.time_s * (self._rate - 1.0) * 1e6)

    @property
    def ahead_us(self) -> int:
        """By how much the wall clock is ahead of true time now, µs."""
        return self.now().wall_us - WallUs(EPOCH_US + int(self._scheduler.time_s * 1e6))

    @property
    def monotonic_s(self) -> MonotonicS:
        """What the monotonic clock reads."""
        return self.now().monotonic_s
