"""One to ten buyers of the same energy: the ways of selling that the experiment of competition compares, and how they are found again."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from lab.bidding import PLAYS, TAKING
from lab.experiment import Cell
from lab.ledger import Way, series_of
from lab.play import SCARCITY, Demand, Rules
from lab.shown import BEST, Found
from lab.tape import MOST_BUYERS

COUNTS: Final = range(1, MOST_BUYERS + 1)
DEMANDS: Final[tuple[Demand, ...]] = ("split", "added")
EXACT: Final = (1, 2, 4, 6, 8, 10)
"""Numbers of buyers whose split wants make the lot without a remainder: bidding one's value in uniform is an equilibrium there."""
LOTS: Final = {2.0: "twice the lot"}.get(SCARCITY, f"{SCARCITY:g} lots")
TITLES: Final = {"split": f"demand held constant ({LOTS}) and split", "added": "demand added by each buyer"}
FLAT: Final = "best flat price"


def ways() -> Iterator[Way]:
    """All that are compared."""
    for demand in DEMANDS:
        for buyers in COUNTS:
            yield from (Way(Rules(play, buyers, demand)) for play in PLAYS)
            yield Way(Rules("vickrey", buyers, demand), BEST)
    yield Way(Rules(TAKING[0], 1), FLAT)


def read(table: pa.Table) -> Found:
    """By play, demand, buyers and reserve."""
    return series_of(table, ("play", "demand", "buyers", "reserve"))


def posted(reserve: str) -> tuple[Cell, ...]:
    """The way with one buyer that is told its price: under any mechanism it pays the reserve."""
    return ("vickrey", "split", 1, BEST) if reserve == BEST else (TAKING[0], "split", 1, FLAT)


def is_equilibrium(play: str, demand: Demand, buyers: int) -> bool:
    """Whether theory knows that nobody gains by bidding otherwise (`lab.bidding`)."""
    return play != "uniform" or demand == "added" or buyers in EXACT
