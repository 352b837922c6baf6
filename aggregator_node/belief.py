"""What can be learnt of a price from wins and losses: a distribution over bins, from observations that are intervals.

Who wins with a bid learns that the price to beat was at most that; who loses, that it was above; who is told a price, which it
was. Each is "the price was in these bins". One observation is shared among its bins in proportion to what was believed of
them: the self-consistency rule for censored data (B. Efron, "The two sample problem with censored data", 1967; B. Turnbull, "The
empirical distribution function with arbitrarily grouped, censored and truncated data", 1976), here one step at a time, with old
observations fading so that early sharing by a poor guess is forgotten. The weights are those of a Dirichlet distribution, which is
what is drawn from to explore (W. Thompson, "On the likelihood that one unknown probability exceeds another", 1933).

Knows no prices: what a bin means is the caller's. Floats are statistics here; no price or energy is made of them without rounding.
"""

import random
from collections.abc import Iterable, Sequence
from typing import Final

MEMORY: Final = 1000
"""Observations after which an old one counts 1/e: more would outlive a change of rivals, fewer would make the draws noisy."""
FADE: Final = 1.0 - 1.0 / MEMORY
POOLED: Final = 100.0
"""What a narrower belief takes from the wider one, as if it had seen so many observations that agree with it."""
SHARPENED: Final = 4.0
"""Draws are as if every observation had been made so many times: half of the spread. The whole spread explores more than it gains
(O. Chapelle, L. Li, "An empirical evaluation of Thompson sampling", 2011, call it posterior reshaping)."""
_LEAST: Final = 1e-9
"""No bin is impossible: a draw needs a positive weight."""


class Belief:
    """Weights of the bins: how many observations fell into each, in parts."""

    __slots__ = ("weights",)

    def __init__(self, bins: int) -> None:
        self.weights = [0.0] * bins

    def learn(self, low: int, high: int, expected: Sequence[float]) -> None:
        """The price was in bins `low` to `high`, both included; `expected`: weights as they were believed. Raises ValueError."""
        if not 0 <= low <= high < len(self.weights):
            raise ValueError(f"bins are {low} to {high}; expected 0 ≤ low ≤ high < {len(self.weights)}")
        self.weights = [weight * FADE for weight in self.weights]
        part = sum(expected[low : high + 1])
        if part <= 0.0:  # nobody thought of it: all of these bins alike
            expected, part = [1.0] * len(self.weights), float(high + 1 - low)
        for index in range(low, high + 1):
            self.weights[index] += expected[index] / part


def pooled(beliefs: Iterable[Belief], prior: Sequence[float]) -> list[float]:
    """Weights of the last belief, each drawn to the one before it, the first to the prior (whose sum is its strength).

    Partial pooling as in hierarchical models (A. Gelman et al., *Bayesian Data Analysis*, ch. 5), with a fixed strength.
    """
    weights = list(prior)
    for depth, belief in enumerate(beliefs):
        scale = POOLED / sum(weights) if depth else 1.0
        weights = [weight * scale + own for weight, own in zip(weights, belief.weights, strict=True)]
    return weights


def mean(weights: Sequence[float]) -> list[float]:
    """Probabilities of the bins."""
    total = sum(weights)
    return [weight / total for weight in weights]


def draw(weights: Sequence[float], rng: random.Random) -> list[float]:
    """Probabilities of the bins as they might be: one draw of the Dirichlet distribution with these weights."""
    parts = [rng.gammavariate(SHARPENED * weight + _LEAST, 1.0) for weight in weights]
    total = sum(parts)
    return [part / total for part in parts] if total > 0.0 else mean(weights)


def some_bin(probabilities: Sequence[float], rng: random.Random) -> int:
    """One bin at random."""
    left = rng.random()
    for index, probability in enumerate(probabilities):
        left -= probability
        if left < 0.0:
            return index
    return len(probabilities) - 1
