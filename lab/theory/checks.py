"""The statements that must hold before anything else in a report counts, each with the numbers it was judged by.

Means are judged within four standard errors (of normal means one in 16,000 is further off), english within one increment more,
which is what its price may differ by in each draw. All that differs from theory by rounding to whole µ is within `ROUNDING`.
What is said of prices is a share of the range of values throughout; its last digits are tenths of a µ/kWh.

All of them must hold together, so that their number calls for no correction: that would make each easier to pass.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import hypot, sqrt
from typing import Final

from pyarrow import Table

from lab.experiment import Check
from lab.theory.cells import Cell, by_mechanism, cells
from lab.theory.expected import deviation, revenue
from lab.theory.model import BEST_RESERVE, INCREMENT, NO_RESERVE, ONE

ERRORS: Final = 4.0
"""Standard errors."""
ROUNDING: Final = 2 / ONE
"""Share of the range: bids and values are whole µ."""
WITHIN: Final = {"english": INCREMENT / ONE}
"""What a mechanism's mean may differ by beyond chance, share of the range."""
ONE_LOT: Final = ("english", "first-price", "vickrey")
"""Mechanisms that sell the same, and so must earn the same."""
SAME_AS_VICKREY: Final = ("english", "first-price")


def checks(table: Table) -> list[Check]:
    """All of them, of the experiment's rows."""
    each = by_mechanism(cells(table, "mean")).values()
    together = by_mechanism(cells(table, "mean", by_seed=False))
    return [
        *(per_draw(group) for group in each),
        *(in_the_mean(group) for group in each),
        *(equivalent(together[name]) for name in SAME_AS_VICKREY if name in together),
        best_reserve(cells(table, "grid", by_seed=False)),
        one_more_bidder(together),
        cores_equal(cells(table, "cores")),
        *(found(cell) for cell in cells(table, "planted")),
    ]


def per_draw(group: Iterable[Cell]) -> Check:
    """One mechanism: winner and price of every draw are what theory says."""
    those = list(group)
    off, draws = sum(cell.off for cell in those), sum(cell.draws for cell in those)
    worst = max(cell.largest_residual for cell in those) / ONE
    said = f"{off:,} of {draws:,} draws are off; prices differ from theory by at most {worst:.7f} of the range"
    return Check(f"{those[0].mechanism}: winner and price of every draw", off == 0 < draws, said)


def theory_of(cell: Cell) -> float:
    """The mean revenue per lot offered that theory expects, share of the range."""
    return revenue(bidders=cell.bidders, reserve=cell.reserve, lots=cell.lots)


def error_of(cell: Cell) -> float:
    """The standard error that theory expects of a mean over so many draws, share of the range."""
    return deviation(cell.mechanism, bidders=cell.bidders, reserve=cell.reserve, lots=cell.lots) / sqrt(cell.draws)


def _excess(difference: float, error: float, mechanism: str) -> float:
    """By how many standard errors a difference is beyond what is allowed without chance."""
    beyond = max(0.0, abs(difference) - WITHIN.get(mechanism, 0.0) - ROUNDING)
    if beyond == 0.0:
        return 0.0
    return beyond / error if error > 0 else float("inf")


def in_the_mean(group: Iterable[Cell]) -> Check:
    """One mechanism: the mean of each number of buyers, reserve and seed is theory's."""
    those = list(group)
    excesses = [(_excess(cell.mean - theory_of(cell), error_of(cell), cell.mechanism), cell) for cell in those]
    largest, cell = max(excesses, key=lambda pair: pair[0])
    which = "the mean" if len(those) == 1 else f"of {len(those)} means the furthest"
    said = (
        f"{which}, over {cell.draws:,} draws, is {largest:.2f} standard errors off{_beyond(cell)}: "
        f"{cell.mean:.5f} of the range against {theory_of(cell):.5f} ({_where(cell)})"
    )
    return Check(f"{cell.mechanism}: mean revenue", largest <= ERRORS, said)


def _beyond(cell: Cell) -> str:
    return " beyond one increment" if cell.mechanism in WITHIN else ""


def _where(cell: Cell) -> str:
    reserve = "no reserve" if cell.reserve_micro_per_kwh == NO_RESERVE else f"reserve {cell.reserve:g}"
    seed = f", seed {cell.seed}" if cell.seed else ""
    return f"{cell.bidders} bidders, {reserve}{seed}"


def equivalent(group: Iterable[Cell]) -> Check:
    """One mechanism earns what the second price of the same draws does, in the mean (revenue equivalence)."""
    those = list(group)
    excesses = [(_excess(cell.mean_above, cell.error_above, cell.mechanism), cell) for cell in those]
    largest, cell = max(excesses, key=lambda pair: pair[0])
    said = (
        f"paired with the second price draw by draw, the mean difference is at most {largest:.2f} standard errors"
        f"{_beyond(cell)}: {cell.mean_above:+.5f} ± {cell.error_above:.5f} of the range ({_where(cell)})"
    )
    return Check(f"{cell.mechanism}: revenue equivalence", largest <= ERRORS, said)


def best_reserve(grid: Iterable[Cell]) -> Check:
    """Of the reserves on the grid Myerson's earns the most, on the same draws, for the numbers of buyers and mechanisms on it."""
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in grid:
        groups.setdefault((cell.mechanism, cell.bidders), []).append(cell)
    best = {name: max(those, key=lambda cell: cell.mean) for name, those in groups.items()}
    said = "; ".join(
        f"{mechanism}, {bidders} bidders: of {len(groups[mechanism, bidders])} reserves "
        f"{cell.reserve:g} earns {cell.mean:.5f}, the next best "
        f"{max(other.mean for other in groups[mechanism, bidders] if other is not cell):.5f}"
        for (mechanism, bidders), cell in best.items()
    )
    right = all(cell.reserve_micro_per_kwh == BEST_RESERVE for cell in best.values())
    return Check(
        "the best reserve of the grid is Myerson's, 0.5",
        bool(best) and right,
        f"revenue as a share of the range: {said}" if best else "there are no results to compare",
    )


def one_more_bidder(played: Mapping[str, list[Cell]]) -> Check:
    """One bidder more: n + 1 without a reserve bring no less than n with the best one (Bulow and Klemperer 1996)."""
    least: tuple[float, str] | None = None
    for group in (those for name, those in played.items() if name in ONE_LOT):
        without = {cell.bidders: cell for cell in group if cell.reserve_micro_per_kwh == NO_RESERVE}
        best = {cell.bidders: cell for cell in group if cell.reserve_micro_per_kwh == BEST_RESERVE}
        for fewer, more in pairwise(sorted(without)):
            one, other = without[more], best[fewer]
            gain, error = one.mean - other.mean, hypot(one.error, other.error)
            said = f"{gain:+.5f} ± {error:.5f} of the range ({one.mechanism}, {more} bidders against {fewer})"
            least = min(least or (gain, said), (gain, said))
    name = "one more bidder is worth no less than the best reserve"
    if least is None:
        return Check(name, passed=False, said="there are no results to compare")
    return Check(name, least[0] >= 0, f"the least gain is {least[1]}")


def cores_equal(played: Iterable[Cell]) -> Check:
    """The full cores sell to the same buyers at the same prices as the mechanism alone."""
    those = list(played)
    unequal, draws = sum(cell.unequal for cell in those), sum(cell.draws for cell in those)
    off = sum(cell.off for cell in those)
    said = f"{draws:,} draws through desk and buyers: {unequal:,} differ from the mechanism alone, {off:,} from theory"
    return Check("the full cores do the same", unequal == off == 0 < draws, said)


def found(cell: Cell) -> Check:
    """A planted deviation makes a check fail that passes without it."""
    failed = [check for check in (per_draw([cell]), in_the_mean([cell])) if not check.passed]
    said = "; ".join(check.said for check in failed) or "no check fails"
    return Check(f"planted: {cell.deviation}, is found", bool(failed), said)
