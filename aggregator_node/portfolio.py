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
    """One exposure per battery: an aggregator has at most one affair at each."""

    demand: Wh
    budget: Micro | None = None
    bought: Wh = Wh(0)
    paid: Micro = Micro(0)
    exposed: dict[DeviceId, Exposure] = field(default_factory=dict)

    @property
    def exposed_wh(self) -> Wh:
        """Energy of all unanswered bids and promises."""
        return Wh(sum(exposure.energy for exposure in self.exposed.values()))

    @property
    def filled(self) -> bool:
        """Whether the demand is held."""
        return self.bought >= self.demand

    def wanted(self, for_sale: Wh, price: MicroPerKwh) -> Wh:
        """How much to bid for at a price: what is for sale, needed and payable."""
        needed = self.demand - self.bought - self.exposed_wh
        if self.budget is not None:
            left = self.budget - self.paid - sum(exposure.cost for exposure in self.exposed.values())
            # One µ is kept back for the half that money() may round up.
            needed = min(needed, (left - 1) * 1000 // price)
        return Wh(max(0, min(for_sale, needed)))

    def expose(self, battery: DeviceId, energy: Wh, price: MicroPerKwh) -> None:
        """A bid is out, in place of the one before at that battery."""
        self.exposed[battery] = Exposure(energy, price)

    def release(self, battery: DeviceId) -> None:
        """It came to nothing."""
        self.exposed.pop(battery, None)

    def buy(self, battery: DeviceId, energy: Wh, price: MicroPerKwh) -> None:
        """It became a trade."""
        self.release(battery)
        self.bought = Wh(self.bought + energy)
        self.paid = Micro(self.paid + money(price, energy))
