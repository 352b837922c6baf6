"""What a kWh is worth to a buyer, and in which half-hour: always the same, or recorded days less a private margin."""

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Protocol

from etp.units import MicroPerKwh, MonotonicS
from runtime.days import MarketClock, PriceSeries


class Worth(Protocol):
    """The value of energy over time."""

    def at(self, now: MonotonicS) -> MicroPerKwh:
        """What a kWh is worth now, µ/kWh; ≤ 0: nothing is bid."""

    def period(self, now: MonotonicS) -> int:
        """The number of the period that `now` is in; the demand per period counts anew in each."""

    def changes_at(self, now: MonotonicS) -> MonotonicS | None:
        """When the next period begins; None: never."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same, in one endless period."""

    value: MicroPerKwh

    def at(self, now: MonotonicS) -> MicroPerKwh:  # noqa: ARG002 - one interface for all
        """The value."""
        return self.value

    def period(self, now: MonotonicS) -> int:  # noqa: ARG002
        """The only one."""
        return 0

    def changes_at(self, now: MonotonicS) -> MonotonicS | None:  # noqa: ARG002
        """Never."""
        return None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The price of a recorded half-hour, less a margin that this buyer keeps: anew in each, up to `margin_percent` of it.

    The margin is a private value in the sense of auction theory: drawn independently per buyer and half-hour, uniformly,
    from `seed` alone, so that the same seed meets the same values whatever else happens.
    """

    series: PriceSeries
    clock: MarketClock
    most: MicroPerKwh
    """Never more than this, µ/kWh."""
    margin_percent: float
    seed: int

    def at(self, now: MonotonicS) -> MicroPerKwh:
        """The price less the margin, rounded down."""
        step = self.period(now)
        price = self.series.values[step]
        kept = int(abs(price) * self.margin_percent * _share(self.seed, step)) // 100
        return MicroPerKwh(min(price - kept, self.most))

    def period(self, now: MonotonicS) -> int:
        """The half-hour, counted from the first recorded one."""
        return self.series.step_of(self.clock.at(now))

    def changes_at(self, now: MonotonicS) -> MonotonicS | None:
        """When the next half-hour begins; None in the last."""
        following = self.period(now) + 1
        if following == len(self.series.values):
            return None
        return self.clock.when(self.series.start_s + following * self.series.step_s)


@lru_cache(maxsize=4096)
def _share(seed: int, step: int) -> float:
    return Random(f"{seed}/{step}").random()
