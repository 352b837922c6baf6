"""Message ids and lot ids that never repeat: max(wall clock, last + 1), above a mark that the journal keeps ahead."""

from typing import Final

from etp.units import WallUs

MARK_AHEAD_US: Final = 1_000_000
"""How far ahead of the last id the durable mark is put, µs (design §3)."""


class Ids:
    """A source of ids. `mark`: the durable bound above which a restarted node begins."""

    __slots__ = ("_last", "_mark")

    def __init__(self, mark: int = 0) -> None:
        self._last = self._mark = mark

    @property
    def last(self) -> int:
        """The last id given out (or the mark it began at)."""
        return self._last

    def next(self, wall_us: WallUs) -> int:
        """A new id, greater than every one before."""
        self._last = wall_us if wall_us > self._last else self._last + 1
        return self._last

    def behind_s(self, wall_us: WallUs) -> float | None:
        """By how much the clock is behind the last id, s, where that is more than a restart explains; None: it is right.

        Nobody trades by such a clock: what is late looks timely.
        """
        behind_us = self._last - int(wall_us)
        return behind_us / 1e6 if behind_us > MARK_AHEAD_US else None

    def mark_due(self) -> int | None:
        """A new mark to make durable, once less than half of the lead is left; None while there is no need."""
        if self._mark - self._last > MARK_AHEAD_US // 2:
            return None
        self._mark = self._last + MARK_AHEAD_US
        return self._mark
