"""Rows of evidence, counted as nodes decide to keep them: whatever peers say, a disk is not filled with it (etp/evidence.py)."""

from collections import deque
from collections.abc import Iterator, Sequence

from etp.clock import Now
from etp.effects import Effect, Write
from etp.evidence import PER_DAY, PER_S, UNPROVEN
from sim.invariants.sizes import Size

KIND = "security"
"""Of its rows."""
ANY_SECOND = 2 * PER_S
"""Rows in any second: a node counts by seconds of its own, and one that begins anywhere touches two of them."""


class Kept:
    """What one life of a node keeps. No simulated life lasts a day."""

    def __init__(self) -> None:
        self._lately: dict[bool, deque[float]] = {True: deque(), False: deque()}
        """When rows of the last second were written, of what is proven and of what is not."""
        self._in_all = {True: 0, False: 0}

    def decided(self, effects: Sequence[Effect], now: Now) -> Iterator[Size]:
        """A core decided: of each row of evidence in it, how many that makes."""
        for effect in effects:
            if type(effect) is Write:
                for row in effect.rows:
                    if row.kind == KIND:
                        yield from self._row(row.state not in UNPROVEN, now.monotonic_s)

    def _row(self, proven: bool, now_s: float) -> Iterator[Size]:
        lately = self._lately[proven]
        lately.append(now_s)
        while lately[0] <= now_s - 1.0:
            lately.popleft()
        self._in_all[proven] += 1
        yield Size("evidence of a second", len(lately), ANY_SECOND)
        yield Size("evidence of a day", self._in_all[proven], PER_DAY)
