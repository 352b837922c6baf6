"""What to bid: strategies behind one small interface. Prices are whole µ/kWh, never above the buyer's own value."""

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from etp.units import MicroPerKwh


class LotView(NamedTuple):
    """What a buyer knows of a lot."""

    value: MicroPerKwh
    """What the energy is worth to it, µ/kWh."""
    ask: MicroPerKwh
    """The least price that would take part or lead; 0: not disclosed."""


Strategy = Callable[[LotView, random.Random], MicroPerKwh]

CONSERVATIVE_SHARE: Final = 0.5
"""With an undisclosed ask the conservative buyer tries half of its value."""
AGGRESSIVE_SHARE: Final = 0.5
"""The aggressive buyer jumps half of the way from the ask to its value."""


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
    {"truthful": truthful, "random": uniform_random, "conservative": conservative, "aggressive": aggressive}
)


def price(strategy: Strategy, view: LotView, rng: random.Random) -> MicroPerKwh | None:
    """The bid of a strategy; None: the ask is above the value, or there is nothing to bid."""
    if view.value < max(1, view.ask):
        return None
    return MicroPerKwh(max(1, view.ask, min(strategy(view, rng), view.value)))
