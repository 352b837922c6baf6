"""How sure a number is: ratios with standard errors and bootstrap confidence intervals, resampled by cluster.

An income per kWh is a ratio of two sums, so whole clusters (a fortnight, or one drawing of the recorded days) are drawn again with
replacement and the ratio is taken anew: lots of one day share its prices and its sun, days that follow each other are alike, and
neither are independent. Two ways of
selling are compared on the same tape: the difference is taken within each cluster first, so what both share cancels.

Source: B. Efron and R. Tibshirani, *An Introduction to the Bootstrap* (1993): ch. 6 (standard errors), ch. 13 (percentiles),
ch. 14 (BCa: corrected for bias and skewness), ch. 8 (the unit that is resampled is the one that is independent).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = Sequence[float] | NDArray[Any]

LEVEL: Final = 0.95
RESAMPLES: Final = 4000
"""Enough for the 2.5 % tail to hold 100 of them: the error of that quantile, √(0.025 × 0.975 / 4000) / φ(1.96), is then 0.04 of a
standard error."""
FEWEST: Final = 2
"""Clusters: one alone says nothing of its spread."""


class Interval(NamedTuple):
    """An estimate with what is known of its error."""

    estimate: float
    low: float
    high: float
    error: float
    """Standard error."""
    clusters: int

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.low > 0

    def said(self, unit: str = "", *, per: float = 1.0, digits: int = 2) -> str:
        """As text: the estimate and its interval, divided by `per`."""
        # + 0.0: no "-0.00".
        low, middle, high = (
            f"{round(value / per, digits) + 0.0:.{digits}f}" for value in (self.low, self.estimate, self.high)
        )
        return f"{middle}{unit} [{low}, {high}]"


def ratio(numerators: Numbers, denominators: Numbers, *, seed: int = 1) -> Interval:
    """Sum of numerators over sum of denominators, by cluster: BCa interval at `LEVEL`. Raises ValueError: fewer than 2 clusters."""
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    count = len(above)
    if count < FEWEST or len(below) != count:
        raise ValueError(f"{count} numerators and {len(below)} denominators; the same number, at least {FEWEST}")
    estimate = above.sum() / below.sum()
    times = _resamples(count, seed)
    again: Floats = (times @ above) / (times @ below)
    without: Floats = (above.sum() - above) / (below.sum() - below)
    low, high = _bca(again, without, float(estimate))
    return Interval(float(estimate), low, high, float(again.std(ddof=1)), count)


@lru_cache(maxsize=4)
def _resamples(count: int, seed: int) -> Floats:
    """How often each cluster is drawn, one row per resample: the same for all ratios of a tape, as pairs need."""
    rng = np.random.default_rng([seed, count])
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def difference(ours: Numbers, theirs: Numbers, denominators: Numbers, *, seed: int = 1) -> Interval:
    """The paired difference of two ratios with the same denominators: cluster by cluster, on the same tape."""
    return ratio(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64), denominators, seed=seed)


def mean(values: Numbers, *, seed: int = 1) -> Interval:
    """The mean of independent values."""
    return ratio(values, np.ones(len(values)), seed=seed)


def _bca(again: Floats, without: Floats, estimate: float) -> tuple[float, float]:
    """Bias from the share of resamples below the estimate, skewness from the jackknife (ch. 14.3).

    Where nothing varies, or all resamples are on one side, plain percentiles say all there is.
    """
    tail = (1 - LEVEL) / 2
    ends = np.array([tail, 1 - tail])
    share = float((again < estimate).mean() + (again == estimate).mean() / 2)
    spread = without.mean() - without
    variance = float((spread**2).sum())
    if 0 < share < 1 and variance > 0:
        bias = ndtri(share)
        skew = float((spread**3).sum()) / (6 * variance**1.5)
        moved = bias + ndtri(ends)
        ends = ndtr(bias + moved / (1 - skew * moved))
    low, high = np.quantile(again, ends)
    return float(low), float(high)
