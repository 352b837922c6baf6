"""The circuit breaker of one RPC, as a table: who keeps failing is left alone for a while, then tried with one question."""

import random
from enum import Enum
from typing import Final

from etp.units import MonotonicS
from runtime.backoff import Backoff


class BreakerState(Enum):
    """Whether an RPC is asked."""

    CLOSED = "closed"
    """It answers: ask it whatever is needed."""
    OPEN = "open"
    """It does not, or is not what it should be: ask nothing until it has cooled down."""
    HALF_OPEN = "half-open"
    """Ask whether it is there and of our network; nothing else."""


class BreakerInput(Enum):
    """What moves a breaker."""

    ANSWERED = "answered"
    FAILED = "failed"
    """One more failure than is tolerated, or a failed check."""
    COOLED = "cooled down"


BREAKER: Final[dict[BreakerState, dict[BreakerInput, BreakerState]]] = {
    BreakerState.CLOSED: {
        BreakerInput.ANSWERED: BreakerState.CLOSED,
        BreakerInput.FAILED: BreakerState.OPEN,
        BreakerInput.COOLED: BreakerState.CLOSED,
    },
    BreakerState.OPEN: {
        BreakerInput.ANSWERED: BreakerState.OPEN,  # an answer to a question from before proves little
        BreakerInput.FAILED: BreakerState.OPEN,
        BreakerInput.COOLED: BreakerState.HALF_OPEN,
    },
    BreakerState.HALF_OPEN: {
        BreakerInput.ANSWERED: BreakerState.CLOSED,
        BreakerInput.FAILED: BreakerState.OPEN,
        BreakerInput.COOLED: BreakerState.HALF_OPEN,
    },
}

TOLERATED: Final = 3
"""Failures in a row after which an RPC is left alone: two may be chance."""


class Breaker:
    """One RPC's breaker. It begins half-open: nothing is asked of an RPC before it has shown its network."""

    def __init__(self, backoff: Backoff, rng: random.Random, *, tolerated: int = TOLERATED) -> None:
        self.state = BreakerState.HALF_OPEN
        self.reason = "not asked yet"
        self.retry_s: MonotonicS | None = None
        """When it has cooled down; None unless open."""
        self._backoff, self._rng, self._tolerated = backoff, rng, tolerated
        self._failures = self._times_opened = 0

    @property
    def usable(self) -> bool:
        """Whether to ask it."""
        return self.state is BreakerState.CLOSED

    def answered(self) -> None:
        """It answered."""
        self._failures = 0

    def passed(self) -> None:
        """It answered the check of a half-open breaker as it should."""
        self._move(BreakerInput.ANSWERED)
        if self.state is BreakerState.CLOSED:
            self._failures = self._times_opened = 0
            self.reason = ""

    def failed(self, reason: str, now_s: MonotonicS, *, certain: bool = False) -> None:
        """It did not answer, or (certain) is not what it should be."""
        self.reason = reason
        self._failures += 1
        if certain or self.state is BreakerState.HALF_OPEN or self._failures >= self._tolerated:
            was = self.state
            self._move(BreakerInput.FAILED)
            if was is not BreakerState.OPEN:
                self.retry_s = MonotonicS(now_s + self._backoff.delay_s(self._times_opened, self._rng))
                self._times_opened += 1

    def advance(self, now_s: MonotonicS) -> None:
        """Cool down where it is time."""
        if self.retry_s is not None and now_s >= self.retry_s:
            self.retry_s = None
            self._move(BreakerInput.COOLED)

    def _move(self, cause: BreakerInput) -> None:
        self.state = BREAKER[self.state][cause]
