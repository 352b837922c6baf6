"""What to bid: strategies behind one small interface. Prices are whole µ/kWh, never above the buyer's own value."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aggregator_node.intelligent import Intelligent
from aggregator_node.view import Loss, LotView, Strategy
from etp.units import DeviceId, MicroPerKwh

__all__ = ["STRATEGIES", "Loss", "LotView", "Rule", "Strategy", "price"]

CONSERVATIVE_SHARE: Final = 0.5
"""With an undisclosed ask the conservative buyer tries half of its value."""
AGGRESSIVE_SHARE: Final = 0.5
"""The aggressive buyer jumps half of the way from the ask to its value."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A strategy that learns nothing: the same view brings the same bid, whatever has been."""

    bid: Callable[[LotView, random.Random], MicroPerKwh]

    def fresh(self) -> "Rule":
        """Itself."""
        return self

    def price(self, view: LotView, rng: random.Random) -> MicroPerKwh:
        """What the rule says."""
        return self.bid(view, rng)

    def won(self, battery: DeviceId, *, bid: MicroPerKwh, paid: MicroPerKwh) -> None:
        """Learns nothing."""

    def lost(self, battery: DeviceId, *, bid: MicroPerKwh, how: Loss) -> None:
        """Learns nothing."""


def truthful(view: LotView, rng: random.Random) -> MicroPerKwh:  # noqa: ARG001 - one interface for all
    """Its value: dominant where the winner pays the second price (Vickrey 1961)."""
    return view.value


def conservative(view: LotView, rng: random.Random) -> MicroPerKwh:  # noqa: ARG001
    """The ask itself: in an ascending auction, stay in at the least price that leads."""
    return view.ask or MicroPerKwh(max(1, int(view.value * CONSERVATIVE_SHARE)))


def aggressive(view: LotView, rng: random.Random) -> MicroPerKwh:  # noqa: ARG001
    """Half of the way from the ask to its value: jump bids that may end the lot sooner."""
    return MicroPerKwh(view.ask + int((view.value - view.ask) * AGGRESSIVE_SHARE))


def uniform_random(view: LotView, rng: random.Random) -> MicroPerKwh:
    """Anything between the ask and its value."""
    return MicroPerKwh(rng.randint(max(1, view.ask), view.value))


STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        "truthful": Rule(truthful),
        "random": Rule(uniform_random),
        "conservative": Rule(conservative),
        "aggressive": Rule(aggressive),
        "intelligent": Intelligent(),
    }
)


def price(strategy: Strategy, view: LotView, rng: random.Random) -> MicroPerKwh | None:
    """The bid of a strategy; None: the ask is above the value, or there is nothing to bid, or it waits."""
    if view.value < max(1, view.ask):
        return None
    offered = strategy.price(view, rng)
    return None if offered is None else MicroPerKwh(max(1, view.ask, min(offered, view.value)))
