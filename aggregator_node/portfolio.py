"""Demand, budget and exposure: over all concurrent auctions a buyer can never buy more than it needs or can pay for."""

from dataclasses import dataclass, field
from typing import NamedTuple

from etp.units import DeviceId, Micro, MicroPerKwh, Wh, money


class Exposure(NamedTuple):
    """What one unanswered bid or promise could cost."""

    energy: Wh
    price: MicroPerKwh

    @property
    def cost(self) -> Micro:
        """In µ."""
        return money(self.price, self.energy)


@dataclass(slots=True)
class Portfolio:
    """One exposure per battery: an aggregator has at most one affair at each. Sums are kept, not made anew."""

    demand: Wh
    """In total."""
    budget: Micro | None = None
    """In total; None: any."""
    period_demand: Wh | None = None
    """In one period (a half-hour of market time); None: any."""
    bought: Wh = Wh(0)
    paid: Micro = Micro(0)
    period: int = 0
    period_bought: Wh = Wh(0)
    exposed: dict[DeviceId, Exposure] = field(default_factory=dict)
    exposed_wh: Wh = Wh(0)
    """Energy of all unanswered bids and promises."""
    exposed_micro: Micro = Micro(0)
    """What they could cost."""

    @property
    def filled(self) -> bool:
        """Whether the demand is held."""
        return self.bought >= self.demand

    def begin(self, period: int) -> None:
        """Count the demand per period anew where another one has begun. What is exposed still counts, wherever it ends."""
        if period != self.period:
            self.period, self.period_bought = period, Wh(0)

    def wanted(self, for_sale: Wh, price: MicroPerKwh, room: Micro | None = None) -> Wh:
        """How much to bid for at a price: what is for sale, needed and payable; `room`: what an escrow has left, µ."""
        needed = self.demand - self.bought
        if self.period_demand is not None:
            needed = min(needed, self.period_demand - self.period_bought)
        needed -= self.exposed_wh
        if self.budget is not None:
            left = self.budget - self.paid - self.exposed_micro
            # One µ is kept back for the half that money() may round up.
            needed = min(needed, (left - 1) * 1000 // price)
        if room is not None:
            needed = min(needed, (room - 1) * 1000 // price)
        return Wh(max(0, min(for_sale, needed)))

    def expose(self, battery: DeviceId, energy: Wh, price: MicroPerKwh) -> None:
        """A bid is out, in place of the one before at that battery."""
        self.release(battery)
        exposure = self.exposed[battery] = Exposure(energy, price)
        self._add(exposure.energy, exposure.cost)

    def release(self, battery: DeviceId) -> None:
        """It came to nothing."""
        exposure = self.exposed.pop(battery, None)
        if exposure is not None:
            self._add(-exposure.energy, -exposure.cost)

    def _add(self, energy: int, cost: int) -> None:
        self.exposed_wh = Wh(self.exposed_wh + energy)
        self.exposed_micro = Micro(self.exposed_micro + cost)

    def buy(self, battery: DeviceId, energy: Wh, price: MicroPerKwh) -> None:
        """It became a trade."""
        self.release(battery)
        self.bought = Wh(self.bought + energy)
        self.period_bought = Wh(self.period_bought + energy)
        self.paid = Micro(self.paid + money(price, energy))
