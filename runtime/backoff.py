"""Delays between tries: exponential, bounded, with jitter so that many do not try at once."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """The n-th delay is first × factorⁿ up to limit, less up to `jitter` of itself (AWS, "Exponential Backoff And Jitter")."""

    first_s: float = 0.1
    factor: float = 2.0
    limit_s: float = 10.0
    jitter: float = 0.5

    def delay_s(self, attempt: int, rng: random.Random) -> float:
        """Seconds before try `attempt` (from 0)."""
        # The exponent is bounded first: factor ** 10,000 overflows.
        full = min(self.limit_s, self.first_s * self.factor ** min(attempt, 64))
        return full * (1 - self.jitter * rng.random())
