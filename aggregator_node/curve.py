"""What it takes to win, by battery and hour of the day: beliefs on a grid of prices, from the widest to the narrowest.

Three grids, since nobody knows beforehand which one rivals follow: from the ask to the buyer's own value, shares of that
value, and plain µ/kWh.
"""

import random
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import isqrt, log
from typing import Final, NamedTuple, Protocol

from aggregator_node.belief import Belief, draw, mean, pooled
from aggregator_node.view import LotView
from etp.units import MicroPerKwh

MAX_CELLS: Final = 4096
"""Beliefs kept of batteries and hours; the one not used for longest goes. A battery and its day are 25 to 100."""
LAST_RANK: Final = 3
"""Later lots of a period count as the fourth."""
HOUR_S: Final = 3600
HOURS: Final = 24
LONE_RIVALS: Final = 3
"""Before anything is known: as if the price to beat were the highest of three uniform bids."""
PRIOR_WEIGHT: Final = 4.0
"""And that as sure as after four observations."""
SCORE_FADE: Final = 0.999
"""Of a grid's score, per observation: about the last thousand decide which grid is believed."""
LEAST_LIKELY: Final = 0.01
"""No single surprise may end a grid for long."""

Key = tuple[int, ...]


class Grid(Protocol):
    """Prices by level: 0 is the ask, `levels` the top; one more bin holds all prices above it."""

    levels: int

    def price(self, view: LotView, level: int) -> MicroPerKwh:
        """The price of a level, rounded down."""

    def above(self, view: LotView, price: int) -> int:
        """The lowest level that is not below a price: a price to beat of this much is in that bin."""

    def below(self, view: LotView, price: int) -> int:
        """The highest level that is not above a price."""

    def fits(self, view: LotView) -> bool:
        """Whether the grid reaches the value; otherwise it was doubled, two levels became one, and this is to be asked again."""


@dataclass(slots=True)
class Between:
    """From the ask, or from 0, to the own value, in steps that shrink with the square of what is left to it.

    For rivals who value alike: between buyers who all know the hour's price little is gained per kWh, and all of it near the value.
    """

    levels: int = 24
    from_ask: bool = True
    """Bids of rivals move with the ask."""

    def _start(self, view: LotView) -> int:
        return view.ask if self.from_ask else 0

    def price(self, view: LotView, level: int) -> MicroPerKwh:
        """The price of a level, rounded up, but never below the ask."""
        left = (view.value - self._start(view)) * (self.levels - level) ** 2 // self.levels**2
        return MicroPerKwh(max(view.ask, view.value - left))

    def above(self, view: LotView, price: int) -> int:
        """The lowest level that is not below a price."""
        if price > view.value:
            return self.levels + 1
        if price <= self._start(view):
            return 0
        left = (view.value - price + 1) * self.levels**2 - 1
        return max(0, self.levels - isqrt(left // (view.value - self._start(view))))

    def below(self, view: LotView, price: int) -> int:
        """The highest level that is not above a price."""
        level = self.above(view, price)
        return level if level <= self.levels and self.price(view, level) == price else max(0, level - 1)

    def fits(self, view: LotView) -> bool:  # noqa: ARG002 - one interface for both
        """Always."""
        return True


@dataclass(slots=True)
class Plain:
    """Plain prices, from 0 to a power of two above every value so far. For rivals whose values do not depend on ours."""

    levels: int = 48
    """Twice as many: the values may reach half of the grid only."""
    top: int = 1

    def price(self, view: LotView, level: int) -> MicroPerKwh:
        """The price of a level, rounded down, but never below the ask."""
        return MicroPerKwh(max(view.ask, self.top * level // self.levels))

    def above(self, view: LotView, price: int) -> int:  # noqa: ARG002
        """The lowest level that is not below a price."""
        return self.levels + 1 if price > self.top else -(-price * self.levels // self.top)

    def below(self, view: LotView, price: int) -> int:  # noqa: ARG002
        """The highest level that is not above a price."""
        return min(self.levels, price * self.levels // self.top)

    def fits(self, view: LotView) -> bool:
        """Whether the value is on the grid."""
        if view.value <= self.top:
            return True
        fresh = self.top == 1
        self.top = 1 << (int(view.value) - 1).bit_length() if fresh else 2 * self.top
        return fresh


class Place(NamedTuple):
    """What tells one price to beat from another."""

    view: LotView
    rank: int
    """Lots of this battery that came before it in this period: rivals who have enough bid no more."""

    def scopes(self) -> Iterator[Key]:
        """From the widest to the narrowest: all batteries, this one, this one in this hour; lots of one rank each."""
        battery, rank = self.view.battery, min(self.rank, LAST_RANK)
        yield (rank,)
        yield (rank, battery)
        yield (rank, battery, int(self.view.market_s // HOUR_S) % HOURS)


@dataclass(slots=True)
class Curve:
    """Beliefs on one grid, and how well they foretell."""

    grid: Grid
    score: float = 0.0
    """Log-likelihood of what came, old ones faded."""
    cells: OrderedDict[Key, Belief] = field(default_factory=OrderedDict)

    def weights(self, place: Place) -> list[float]:
        """What is believed of the price to beat here and now: weights of bins 0 to `levels` + 1."""
        self._stretch(place.view)
        beliefs = (self.cells.get(key) for key in place.scopes())
        return pooled((belief for belief in beliefs if belief is not None), self._prior())

    def _prior(self) -> list[float]:
        levels = self.grid.levels
        ends = [(level / levels) ** LONE_RIVALS for level in range(levels + 1)]
        steps = [1 / levels**LONE_RIVALS, *(high - low for low, high in pairwise(ends)), 0.01]
        return [PRIOR_WEIGHT * step for step in steps]

    def _stretch(self, view: LotView) -> None:
        while not self.grid.fits(view):
            for belief in self.cells.values():
                belief.weights = _halved(belief.weights)

    def learn(self, place: Place, low: int, high: int, *, foretold: tuple[int, int]) -> None:
        """The price to beat was in bins `low` to `high`; the score counts how likely bins `foretold` were."""
        expected = self.weights(place)
        likely = sum(mean(expected)[foretold[0] : foretold[1] + 1])
        self.score = self.score * SCORE_FADE + log(max(likely, LEAST_LIKELY))
        for key in place.scopes():
            belief = self.cells.setdefault(key, Belief(len(expected)))
            self.cells.move_to_end(key)
            belief.learn(low, high, expected)
        while len(self.cells) > MAX_CELLS:
            self.cells.popitem(last=False)

    def drawn(self, place: Place, rng: random.Random) -> list[float]:
        """Probabilities of the bins, as they might be."""
        return draw(self.weights(place), rng)


def _halved(weights: list[float]) -> list[float]:
    """Weights on a grid twice as wide: levels 1 and 2 become 1, and so on; the upper half is empty."""
    inner = weights[1:-1]
    pairs = [inner[index] + inner[index + 1] for index in range(0, len(inner), 2)]
    return [weights[0], *pairs, *([0.0] * len(pairs)), weights[-1]]
