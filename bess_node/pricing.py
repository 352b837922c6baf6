"""The reserve: below it a lot is not sold. Policies behind one small interface, in integer µ/kWh.

Every reserve is at least 1 µ (design §4) and at most what the wire can carry, whatever the policy makes of its base.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from etp.frame import MAX_PRICE_CENTS
from etp.units import MicroPerKwh, divide_half_even, price_from_wire

MAX_RESERVE: Final = price_from_wire(MAX_PRICE_CENTS)
"""The dearest price that a frame can name, µ/kWh: an ask above it would be refused by everyone."""

SOC_STEPS: Final = ((0.10, 200), (0.25, 150), (0.75, 100))
"""(state of charge below which, per cent of the base reserve): scarce energy is dear."""
SOC_PLENTY_PERCENT: Final = 90
SMOOTHING: Final = (3, 10)
"""Weight of the newest trade in the forecast: 3/10."""
HOURS: Final = 24


class Context(NamedTuple):
    """What a policy may look at."""

    soc: float
    market_s: float
    """Market time, unix seconds."""


class Pricing(Protocol):
    """A reserve policy."""

    def reserve(self, context: Context) -> MicroPerKwh:
        """The reserve now, µ/kWh, ≥ 1."""

    def traded(self, context: Context, price: MicroPerKwh) -> None:
        """A lot was sold at this price."""


def legal_reserve(price: int) -> MicroPerKwh:
    """The nearest reserve that is ≥ 1 µ (design §4) and fits the wire."""
    return MicroPerKwh(min(max(1, price), MAX_RESERVE))


def reserve_with_wear(*, feed_in: MicroPerKwh, wear: MicroPerKwh) -> MicroPerKwh:
    """The base at which selling beats feeding in: the tariff plus what a kWh costs the cells. Raises ValueError: wear < 0."""
    if wear < 0:
        raise ValueError(f"wear is {wear} µ/kWh; at least 0")
    return legal_reserve(feed_in + wear)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same: feed-in tariff plus wear, say."""

    base: MicroPerKwh

    def reserve(self, context: Context) -> MicroPerKwh:  # noqa: ARG002 - one interface for all
        """The base."""
        return legal_reserve(self.base)

    def traded(self, context: Context, price: MicroPerKwh) -> None:
        """Learns nothing."""


@dataclass(frozen=True, slots=True)
class BySoc:
    """By state of charge: below 10 % × 2, below 25 % × 1.5, below 75 % × 1, else × 0.9."""

    base: MicroPerKwh

    def reserve(self, context: Context) -> MicroPerKwh:
        """The base times its step, rounded half to even."""
        percent = next((percent for limit, percent in SOC_STEPS if context.soc < limit), SOC_PLENTY_PERCENT)
        return legal_reserve(divide_half_even(self.base * percent, 100))

    def traded(self, context: Context, price: MicroPerKwh) -> None:
        """Learns nothing."""


class Series(Protocol):
    """Prices by market time."""

    def at(self, unix_s: float) -> int:
        """µ/kWh."""


@dataclass(frozen=True, slots=True)
class ByPrices:
    """A price series by market time, never below the base."""

    base: MicroPerKwh
    series: Series

    def reserve(self, context: Context) -> MicroPerKwh:
        """The series' price now."""
        return legal_reserve(max(self.base, self.series.at(context.market_s)))

    def traded(self, context: Context, price: MicroPerKwh) -> None:
        """Learns nothing."""


@dataclass(slots=True)
class Forecast:
    """The clearing price expected in this hour of the day, from the node's own trades: exponential smoothing, no more.

    Hours without a trade yet fall back to the base, and no reserve is below it.
    """

    base: MicroPerKwh
    by_hour: dict[int, int] = field(default_factory=dict)

    def reserve(self, context: Context) -> MicroPerKwh:
        """The smoothed price of this hour."""
        return legal_reserve(max(self.base, self.by_hour.get(hour_of(context), 0)))

    def traded(self, context: Context, price: MicroPerKwh) -> None:
        """Move this hour's expectation 3/10 of the way to the new price (Brown 1959)."""
        hour = hour_of(context)
        weight, whole = SMOOTHING
        before = self.by_hour.get(hour, int(price))
        self.by_hour[hour] = before + divide_half_even((price - before) * weight, whole)


def hour_of(context: Context) -> int:
    """The UTC hour of the day, 0 to 23."""
    return int(context.market_s // 3600) % HOURS
