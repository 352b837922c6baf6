"""How results of competition are written and drawn: c/kWh with intervals, lines with bands."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from etp.units import MICRO_PER_CENT
from lab.drawing import LOOKS, QUIET, Look
from lab.experiment import Cell, Check
from lab.ledger import TARIFFS, Series
from lab.statistics import Interval

CENT: Final = float(MICRO_PER_CENT)
UNIT: Final = " c/kWh"
DRAWINGS: Final = "drawings of the recorded days"
COUNTS: Final = (1, 2, 4, 10)
"""Aggregators, where all ten numbers would hide what is shown."""
SEALED: Final = "vickrey"
"""Played where mechanisms are not compared: it earns what the others do (`competition` checks that), and takes one bid each."""
BEST: Final = "best price per lot"
"""Of `lab.ledger.RESERVES`."""

Found = dict[tuple[Cell, ...], Series]
"""Ways by what tells them apart."""


def cents(interval: Interval) -> str:
    """An interval of µ/kWh in c/kWh, as a sentence has it."""
    return interval.said(UNIT, per=CENT)


def bare(interval: Interval) -> str:
    """The same as a cell of a table has it."""
    return interval.said(per=CENT)


def middle(series: Series) -> str:
    """The income alone."""
    return f"{series.income().estimate / CENT:.2f}"


def gains(name: str, ours: Series, theirs: Series, *, unit: str) -> Check:
    """That one way earns more than another: the whole interval of the paired difference is above zero."""
    gained = ours.over(theirs)
    return Check(name, gained.above_zero, f"{cents(gained)}, {gained.clusters} {unit}")


def is_nothing(gained: Interval) -> bool:
    """To the rounding of money, 1 µ/kWh."""
    return abs(gained.low) <= 1 and abs(gained.high) <= 1


def nothing(name: str, ours: Series, theirs: Series, *, unit: str) -> Check:
    """That one way earns what another does: to the rounding of money."""
    gained = ours.over(theirs)
    return Check(name, is_nothing(gained), f"{gained.said(UNIT, per=CENT, digits=4)}, {gained.clusters} {unit}")


EFFICIENT: Final = 0.98
"""Of the best welfare. Values nearer than the increment may go to the second in an english auction, and a late bid counts nowhere."""


RATIONAL: Final = "nobody pays more than its value, and no owner gets less than feed-in and wear"


def rational(found: Iterable[Series], unwise: Iterable[Series] = ()) -> Check:
    """That nobody loses by a sale, whoever it was; of `unwise` rules, which sell below cost, the owner's loss is told, not judged."""
    sold, below = list(found), list(unwise)
    dear, cheap = sum(series.too_dear for series in (*sold, *below)), sum(series.too_cheap for series in sold)
    trades = sum(series.trades for series in (*sold, *below))
    said = f"{dear:,} of {trades:,} awards above the winner's value, {cheap:,} below feed-in and wear"
    if not below:
        return Check(RATIONAL, dear + cheap == 0, said)
    name = f"{RATIONAL}, but by a rule of its own that asks for less"
    return Check(name, dear + cheap == 0, f"{said}; by such rules {sum(series.too_cheap for series in below):,}")


def efficient(name: str, ways: Mapping[str, Series]) -> Check:
    """That energy goes to who values it most, or nearly so, wherever there is welfare to be had. Raises ValueError: nowhere."""
    shares = {way: series.efficiency() for way, series in ways.items() if series.best}
    least = min(shares, key=lambda way: shares[way])
    said = f"least with {least}: {shares[least]:.2%}"
    return Check(f"{name}: at least {EFFICIENT:.0%} of the best welfare", shares[least] >= EFFICIENT, said)


def efficiency(series: Series) -> str:
    """Of the welfare that could have been, as a cell of a table has it."""
    return f"{series.efficiency():.1%}" if series.best else "none to be had"


def band(axes: Axes, x: Sequence[float], shown: Sequence[Interval], name: str, look: Look | None = None) -> None:
    """A line through the estimates, in c/kWh, and a band for their intervals."""
    colour, marker, line = look or LOOKS[name]
    low, high = [interval.low / CENT for interval in shown], [interval.high / CENT for interval in shown]
    axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    estimates = [interval.estimate / CENT for interval in shown]
    axes.plot(x, estimates, color=colour, marker=marker, linestyle=line, label=name)


def feed_in(axes: Axes) -> None:
    """The line that everything is compared with."""
    axes.axhline(TARIFFS.feed_in / CENT, color=QUIET, linewidth=1, label="feed-in")


def legend_below(canvas: Canvas, axes: Axes, *, columns: int = 3) -> None:
    """One legend for all axes, under them."""
    canvas.set_layout_engine("constrained")
    canvas.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)


def aggregators(count: int) -> str:
    """So many of them."""
    return f"{count} aggregator{'s' if count > 1 else ''}"
