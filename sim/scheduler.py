"""Virtual time: a heap of things to do. Nothing sleeps; the same seed gives the same order."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from etp.clock import Now
from etp.units import MonotonicS, WallUs

EPOCH_US: Final = 1_700_000_000_000_000
"""Wall clock of every simulated world at its start, µs."""


def _bare(call: Callable[[], None]) -> None:
    call()


class Scheduler:
    """Calls back in order of time, then of asking."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._asked = 0
        self._stopped = False

    def now(self) -> Now:
        """True time, as a node whose clocks are right would read it."""
        return Now(MonotonicS(self.time_s), WallUs(EPOCH_US + round(self.time_s * 1e6)))

    def call(self, time_s: float, function: Callable[[Any], None], argument: Any) -> None:
        """Call `function(argument)` at a time, not before now: what happens often needs no closure of its own."""
        self._asked += 1
        heappush(self._heap, (time_s if time_s > self.time_s else self.time_s, self._asked, function, argument))

    def at(self, time_s: float, call: Callable[[], None]) -> None:
        """Call at a time, not before now."""
        self.call(time_s, _bare, call)

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call after a while."""
        self.call(self.time_s + delay_s, _bare, call)

    def stop(self) -> None:
        """Leave `run` after what is being done: what follows is of no interest any more."""
        self._stopped = True

    def run(self, until_s: float) -> None:
        """Do everything that is due up to a time."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self.time_s, _, function, argument = heappop(heap)
            function(argument)
            if self._stopped:
                return
        self.time_s = until_s
