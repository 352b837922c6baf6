"""Virtual time: a heap of things to do. Nothing sleeps; the same seed gives the same order."""

import heapq
from collections.abc import Callable
from typing import Final

from etp.clock import Now
from etp.units import MonotonicS, WallUs

EPOCH_US: Final = 1_700_000_000_000_000
"""Wall clock of every simulated world at its start, µs."""


class Scheduler:
    """Calls back in order of time, then of asking."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._asked = 0

    def now(self) -> Now:
        """Virtual now; all nodes share one true clock here."""
        return Now(MonotonicS(self.time_s), WallUs(EPOCH_US + round(self.time_s * 1e6)))

    def at(self, time_s: float, call: Callable[[], None]) -> None:
        """Call at a time, not before now."""
        self._asked += 1
        heapq.heappush(self._heap, (max(time_s, self.time_s), self._asked, call))

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call after a while."""
        self.at(self.time_s + delay_s, call)

    def run(self, until_s: float) -> None:
        """Do everything that is due up to a time."""
        while self._heap and self._heap[0][0] <= until_s:
            self.time_s, _, call = heapq.heappop(self._heap)
            call()
        self.time_s = until_s
