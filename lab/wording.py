"""Sentences that follow their numbers: which way a difference goes is read from its interval, never written beforehand."""

from typing import Final

from lab.shown import CENT, UNIT
from lab.statistics import Interval

UNDECIDED: Final = "neither more nor less for sure"


def negative(interval: Interval) -> Interval:
    """The same difference, seen from the other side."""
    return Interval(-interval.estimate, -interval.high, -interval.low, interval.error, interval.clusters)


def more(gained: Interval, *, digits: int = 2) -> str:
    """A paired difference of µ/kWh in words, c/kWh with its interval: so much more, so much less, nothing, or not decided."""
    said = gained.said(UNIT, per=CENT, digits=digits)
    if all(round(end / CENT, digits) == 0 for end in gained[:3]):
        return f"nothing more ({said})"
    if gained.high < 0:
        return f"{negative(gained).said(UNIT, per=CENT, digits=digits)} less"
    return f"{said} more" if gained.low > 0 else f"{UNDECIDED} ({said})"


def percent(part: Interval, *, digits: int = 0) -> str:
    """A share with its interval."""
    return part.said(" %", per=0.01, digits=digits)


def counted(count: int, thing: str) -> str:
    """So many of them: 1 tape, 2 tapes."""
    return f"{count} {thing}{'' if count == 1 else 's'}"
