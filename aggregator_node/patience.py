"""Whether demand that can wait should: what a kWh bought now must gain, since later lots will gain something too.

A need of k lots goes to the k best lots that come while there is time. Who buys one now leaves k − 1 places for later ones, and
so forgoes the k-th best of them: that gain, as far as it can be expected, is the premium. It is subtracted from the value as
a bid price is in revenue management (K. Talluri, G. van Ryzin, *The Theory and Practice of Revenue Management*, 2004, ch. 3; D. Bertsimas,
I. Popescu, "Revenue management in a dynamic network environment", 2003) and a budget's multiplier in repeated auctions
(S. Balseiro, Y. Gur, "Learning in repeated auctions with budgets", 2019). What comes is taken to be a Poisson process of what came
before. All is worked out anew at every lot, so that an error mends itself: who waits too long needs as much from fewer lots,
and waits less.
"""

from collections import deque
from math import erfc, exp, sqrt
from typing import Final, NamedTuple

from aggregator_node.view import LotView, Need
from etp.units import MicroPerKwh, Wh

LOTS_KEPT: Final = 256
LEAST_LOTS: Final = 8
"""With fewer lots seen nothing is known of later ones, and nothing waits."""
LEAST_PERIODS: Final = 2
"""Likewise with fewer whole periods."""
WINDOW_S: Final = 86_400.0
"""Older lots say nothing of what comes: a day has all its hours, s of market time."""
STEP_S: Final = 60.0
"""Time passes in such steps, s of market time."""
FEW: Final = 16
"""Up to so many lots the Poisson distribution is summed, beyond it the normal one is near enough."""

Rated = tuple[float, float]
"""What a lot gains, and how many of its like and size come."""


class Chance(NamedTuple):
    """A lot that was on offer."""

    market_s: float
    period: int
    order: int
    """How many were on offer before it in that period."""
    left_s: float
    """How long the period still was, s of market time."""
    gain: MicroPerKwh
    """Value less price, had it been bought; ≤ 0: it could not be."""
    share: float
    """The same as a share of value less ask."""
    energy: Wh


class Patience:
    """See the module. Remembers `LOTS_KEPT` lots, of the last day."""

    def __init__(self) -> None:
        self._seen: deque[Chance] = deque(maxlen=LOTS_KEPT)
        self._known: tuple[object, MicroPerKwh] = (None, MicroPerKwh(0))

    def next_in(self, period: int) -> int:
        """How many lots were on offer in a period so far, if it is the last one."""
        last = self._seen[-1] if self._seen else None
        return last.order + 1 if last is not None and last.period == period else 0

    def saw(self, chance: Chance) -> None:
        """A lot was on offer."""
        self._seen.append(chance)
        while self._seen[0].market_s < chance.market_s - WINDOW_S:
            self._seen.popleft()

    def premium(self, view: LotView) -> MicroPerKwh:
        """What a kWh must gain to be bought now, µ/kWh, ≥ 0: the most that any of the needs asks."""
        if len(self._seen) < LEAST_LOTS or not view.needs:
            return MicroPerKwh(0)
        # In one lot of an ascending auction the same is asked at every step; but who waits must see the time pass.
        needs = ((need.energy, need.seconds // STEP_S) for need in view.needs)
        key = (self._seen[-1], view.value, view.ask, *needs)
        if key != self._known[0]:
            most = max(self._of_period(need, view) if need.recurs else self._of_all(need, view) for need in view.needs)
            self._known = (key, MicroPerKwh(int(most)))
        return self._known[1]

    def _of_period(self, need: Need, view: LotView) -> float:
        """Lots that come in this period yet: those that came as late in earlier ones, at the share that they would gain now."""
        now, first = self._seen[-1], self._seen[0].period
        periods = now.period - first - 1  # the first may be there in part
        if periods < LEAST_PERIODS:
            return 0.0
        later = [
            chance
            for chance in self._seen
            if first < chance.period < now.period and chance.order > now.order and chance.left_s <= need.seconds
        ]
        worth = view.value - view.ask
        if need.energy > view.energy:
            return _forgone([(worth * chance.share, chance.energy / periods) for chance in later], need, view)
        return worth * _best_share(later, periods)

    def _of_all(self, need: Need, view: LotView) -> float:
        """Lots that come until the need must be held: as many as came in as much time."""
        span_s = view.market_s - self._seen[0].market_s
        if span_s <= 0.0:
            return 0.0
        often = need.seconds / span_s
        return _forgone([(float(chance.gain), chance.energy * often) for chance in self._seen], need, view)


def _forgone(chances: list[Rated], need: Need, view: LotView) -> float:
    """What the k-th best of these is expected to gain, where the need is k times the lot at hand; 0: there may be fewer."""
    lot = min(view.energy, need.energy)
    if lot <= 0:
        return 0.0
    places, expected, premium = -(-need.energy // lot), 0.0, 0.0
    best_first = sorted((chance for chance in chances if chance[0] > 0.0), reverse=True)
    for index, (gain, energy) in enumerate(best_first):
        expected += energy / lot
        following = best_first[index + 1][0] if index + 1 < len(best_first) else 0.0
        premium += (gain - following) * _at_least(places, expected)
    return premium


def _best_share(later: list[Chance], periods: int) -> float:
    """What the best of a period's later lots is expected to gain, as a share: of each place in the period there is one lot at most."""
    none, seen, expected = 1.0, dict[int, int](), 0.0
    best_first = sorted((chance for chance in later if chance.share > 0.0), key=lambda chance: -chance.share)
    for index, chance in enumerate(best_first):
        before = seen.get(chance.order, 0)
        seen[chance.order] = before + 1
        if before < periods:  # of this place, not even one as good
            none *= (periods - before - 1) / (periods - before)
        following = best_first[index + 1].share if index + 1 < len(best_first) else 0.0
        expected += (chance.share - following) * (1.0 - none)
    return expected


def _at_least(places: int, expected: float) -> float:
    """The probability that a Poisson number with this expectation is at least `places`."""
    if places > FEW:
        return erfc((places - 0.5 - expected) / sqrt(2 * expected)) / 2
    term = below = exp(-expected)
    for count in range(1, places):
        term *= expected / count
        below += term
    return 1.0 - below
