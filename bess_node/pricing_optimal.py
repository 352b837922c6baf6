"""The reserve that earns most against what is learnt of the buyers: Myerson's, from the node's own sales.

*Rule.* At a reserve r a lot earns the second-highest bid where that is at least r, r itself where only the highest is, and nothing
otherwise, when it is fed in. So what is expected above the base (feed-in and wear) is the sum over prices p ≥ r of (p − base) ×
P(second = p), plus (r − base) × P(second < r) × P(highest ≥ r, given second < r), and the r that brings most is asked for. For independent
private values of one regular distribution that is where the virtual value is the seller's cost, r = base + (1 − F(r)) / f(r),
however many bid (R. Myerson, "Optimal auction design", 1981); written as above it also holds for values that move together, as
energy prices do. M. Ostrovsky and M. Schwarz ("Reserve prices in internet advertising auctions: a field experiment", 2011) estimate F from
bids; here all is learnt from what a reserve policy sees: the price of each sale, and at which reserve a half-hour went without one.

*Learning.* By bins of price, each hour of the day drawn to all hours. The second-highest is seen where it was above the reserve and
is known to be below otherwise, which is what E. Kaplan and P. Meier's estimator is for ("Nonparametric estimation from incomplete
observations", 1958), run from the top down. Whether anybody takes the reserve is counted by level, a little of it for the next levels
too, and falls with the price. One draw from what these counts say is taken for true, so that a reserve which may be better is
tried as often as it may be (Thompson sampling). Now and then, less and less often, the base itself is asked, where all prices are seen
(N. Cesa-Bianchi, C. Gentile, Y. Mansour, "Regret minimization for reserve prices in second-price auctions", 2015). Where a price series is
known bins are shares of the way from the base to the price of the half-hour, otherwise plain µ/kWh.

Never below the base, in integers, the same for the same seed and events. A reserve stands for a half-hour of market time or until
a sale, so that a lot does not move under its bidders. What it learnt lives in memory: a restart begins at the base.
What energy would earn at another hour is not asked: each half-hour counts alone.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isqrt, sqrt
from typing import Final

from bess_node.pricing import Context, Series, hour_of, legal_reserve
from etp.units import MicroPerKwh

LEVELS: Final = 32
OFFER_S: Final = 1800.0
"""A reserve stands so long, s of market time; without a sale nobody was there at that price."""
MEMORY: Final = 1000.0
"""Offers after which an old one counts 1/e: prices of last season say little."""
POOLED: Final = 500.0
"""What an hour takes from all hours, in offers."""
EVERY_HOUR: Final = -1
LOOKS: Final = 1.0
"""Of n offers so many times √n are made at the base: enough to see the second-highest everywhere, and a vanishing share."""
KERNEL: Final = (8.0, 6.0, 4.0, 2.0)
"""What an offer says of its own level, and of the next ones on both sides: sums to well above one, since the whole spread of the
draws explores more than it gains (O. Chapelle, L. Li, "An empirical evaluation of Thompson sampling", 2011)."""
HOPE: Final = 0.1
DOUBT: Final = 3.0
"""Of a level that was never asked: a tenth of an offer was taken, three were not. Where several buyers bid a reserve seldom helps, and
trying is paid in lots that nobody takes."""


class Counts:
    """What came of offers, by bin; old ones faded."""

    def __init__(self) -> None:
        self.seen = [0.0] * (LEVELS + 1)
        """The second-highest was in it."""
        self.taken = [0.0] * (LEVELS + 1)
        """It was asked, the second-highest was below, and the highest was not."""
        self.left = [0.0] * (LEVELS + 1)
        """It was asked, and nobody was there."""

    def add(self, counts: list[float], bin_: int) -> None:
        """One more."""
        for fading in (self.seen, self.taken, self.left):
            fading[:] = [count * (1.0 - 1.0 / MEMORY) for count in fading]
        counts[bin_] += 1.0

    def with_share(self, other: "Counts") -> "Counts":
        """These and of the other ones as many as `POOLED`, if there are more."""
        total = sum(other.seen) + sum(other.taken) + sum(other.left)
        share, both = POOLED / max(total, POOLED), Counts()
        for ours, theirs, sums in (
            (self.seen, other.seen, both.seen),
            (self.taken, other.taken, both.taken),
            (self.left, other.left, both.left),
        ):
            sums[:] = [one + share * more for one, more in zip(ours, theirs, strict=True)]
        return both

    def widen(self) -> None:
        """Two bins become one: the grid reaches twice as far."""
        for counts in (self.seen, self.taken, self.left):
            counts[:] = _halved(counts)


@dataclass(slots=True)
class Offer:
    """A reserve that stands."""

    began_s: float
    context: Context
    level: int
    reserve: MicroPerKwh
    sold: bool = False
    """At least in part."""


@dataclass(slots=True)
class Optimal:
    """See the module. Raises ValueError: base below 1."""

    base: MicroPerKwh
    """What a kWh earns unsold, and what its sale wears: the seller's cost."""
    seed: int
    series: Series | None = None
    """Prices of the half-hours, where they are known."""
    _top: int = 0
    """Without a series: how far the bins reach above the base, µ/kWh."""
    _counts: dict[int, Counts] = field(default_factory=dict)
    """By hour of the day, and of all hours."""
    _offers: int = 0
    _at_base: int = 0
    _offer: Offer | None = None
    _rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if self.base < 1:
            raise ValueError(f"base is {self.base} µ/kWh; at least 1")
        self._rng = random.Random(self.seed)
        self._top = 1 << int(self.base).bit_length()

    # -- what the desk asks

    def reserve(self, context: Context) -> MicroPerKwh:
        """The reserve that stands, or a new one where a half-hour has passed."""
        offer = self._offer
        if offer is not None and not offer.sold:
            if context.market_s < offer.began_s + OFFER_S:
                return offer.reserve
            self._unsold(offer)
        level = 0 if self._looks() else self._best(context)
        price = legal_reserve(self.base + self._rise(context, level))
        self._offer = Offer(context.market_s, context, level, price)
        return price

    def traded(self, context: Context, price: MicroPerKwh) -> None:
        """Sold: the others made this price, or less than the reserve."""
        offer = self._offer
        if offer is None:  # agreed before a restart
            return
        offer.sold = True
        self._reach(price)
        if self._span(context) <= 0:
            return
        if price > offer.reserve:
            self._count(context, "seen", self._bin(context, price))
        else:
            self._count(context, "taken", offer.level)

    def _unsold(self, offer: Offer) -> None:
        if self._span(offer.context) > 0:
            self._count(offer.context, "left", offer.level)

    def _count(self, context: Context, what: str, bin_: int) -> None:
        for key in (EVERY_HOUR, hour_of(context)):
            counts = self._counts.setdefault(key, Counts())
            counts.add(getattr(counts, what), bin_)

    def _looks(self) -> bool:
        """Whether the base is asked, to see what is made of it."""
        self._offers += 1
        if self._at_base >= LOOKS * sqrt(self._offers):
            return False
        self._at_base += 1
        return True

    # -- the grid: level 0 is the base, LEVELS the top

    def _span(self, context: Context) -> int:
        """How far the bins reach above the base, µ/kWh; ≤ 0: nothing can be earned."""
        return self._top if self.series is None else self.series.at(context.market_s) - self.base

    def _rise(self, context: Context, level: int) -> int:
        """What a level is above the base: finer towards a known price, since buyers' values end there."""
        span = max(0, self._span(context))
        if self.series is None:
            return span * level // LEVELS
        return span - span * (LEVELS - level) ** 2 // LEVELS**2

    def _bin(self, context: Context, price: MicroPerKwh) -> int:
        """The highest level that is not above a price."""
        span, rise = self._span(context), price - self.base
        if rise <= 0:
            return 0
        if rise >= span:
            return LEVELS
        if self.series is None:
            return rise * LEVELS // span
        short = isqrt(((span - rise) * LEVELS**2 - 1) // span) + 1
        return max(0, LEVELS - short)

    def _reach(self, price: MicroPerKwh) -> None:
        """Without a series the bins are made twice as wide until a price is among them."""
        while self.series is None and price - self.base >= self._top:
            self._top *= 2
            for counts in self._counts.values():
                counts.widen()

    # -- the reply

    def _best(self, context: Context) -> int:
        """The level that earns most, if what is drawn is true; of equals the lowest."""
        if not self._counts or self._span(context) <= 0:
            return 0
        counts = self._counts.get(hour_of(context), Counts()).with_share(self._counts[EVERY_HOUR])
        rises = [self._rise(context, level) for level in range(LEVELS + 1)]
        return best_level(rises, second_highest(counts), taken(counts, self._rng))


def best_level(rises: Sequence[int], second: Sequence[float], takes: Sequence[float]) -> int:
    """The level at which most is expected.

    By level: `rises`, what it is above cost; `second`, how likely the second-highest bid is in its bin; `takes`, how likely
    the highest is there or above, where the second-highest is below.
    """
    best, most, above, from_second = 0, -1.0, 0.0, 0.0
    for level in range(len(rises) - 1, -1, -1):
        above, from_second = above + second[level], from_second + second[level] * rises[level]
        expected = from_second + rises[level] * (1.0 - above) * takes[level]
        if expected >= most:
            best, most = level, expected
    return best


def second_highest(counts: Counts) -> list[float]:
    """How likely each bin is: of what was not above a bin, the share that was in it, from the top down (Kaplan–Meier)."""
    below = [one + other for one, other in zip(counts.taken, counts.left, strict=True)]
    found, rest, at_risk = [0.0] * len(below), 1.0, sum(counts.seen) + sum(below)
    for bin_ in range(LEVELS, 0, -1):
        if at_risk > 0.0:
            found[bin_] = rest * min(1.0, counts.seen[bin_] / at_risk)
            rest -= found[bin_]
        at_risk -= counts.seen[bin_] + below[bin_]
    found[0] = rest
    return found


def taken(counts: Counts, rng: random.Random) -> list[float]:
    """How likely somebody takes each level, as it might be: one draw by level, made to fall with the price.

    Adjacent levels that do not fall become their weighted mean (M. Ayer et al., "An empirical distribution function for sampling
    with incomplete information", 1955).
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, levels
    for level in range(LEVELS + 1):
        takers, nobody = HOPE + _around(counts.taken, level), DOUBT + _around(counts.left, level)
        block = (rng.betavariate(takers, nobody), takers + nobody, 1)
        while blocks and blocks[-1][0] <= block[0]:
            before = blocks.pop()
            weight = before[1] + block[1]
            block = ((before[0] * before[1] + block[0] * block[1]) / weight, weight, before[2] + block[2])
        blocks.append(block)
    return [chance for chance, _, levels in blocks for _ in range(levels)]


def _around(counts: Sequence[float], level: int) -> float:
    """A count with its neighbours', by the kernel."""
    total = KERNEL[0] * counts[level]
    for distance in range(1, len(KERNEL)):
        for place in (level - distance, level + distance):
            total += KERNEL[distance] * counts[place] if 0 <= place <= LEVELS else 0.0
    return total


def _halved(weights: list[float]) -> list[float]:
    """Weights on a grid twice as wide; the top bin holds what was at least the top."""
    pairs = [weights[index] + weights[index + 1] for index in range(0, LEVELS, 2)]
    return [*pairs, weights[-1], *([0.0] * (LEVELS - len(pairs)))]
