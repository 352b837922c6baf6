"""The pictures of competition: what the owner earns, and what is paid, by number of aggregators, beside what there is without them."""

from collections.abc import Callable, Iterable
from math import floor
from typing import Final, NamedTuple

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lab.bidding import AUCTIONS, TAKING
from lab.drawing import LOOKS, QUIET, axes_of
from lab.ledger import TARIFFS, Series
from lab.play import Demand
from lab.rivals import COUNTS, DEMANDS, TITLES, is_equilibrium, posted, read
from lab.shown import BEST, CENT, Found
from lab.statistics import Interval

HEIGHT_IN: Final = 5.2
APART: Final = 0.19
"""Between the markers of two auctions, in aggregators: they earn so nearly the same that they would hide each other."""
TEXT: Final = 8.5
"""Points: 11 pixels where the picture is shown as wide as it is."""
MARK: Final = 4.0
DARK: Final = "#333333"
TAKEN: Final = "#9A6700"
"""Of what is sold to the first bid: the amber of `LOOKS`, dark enough for letters."""
NAMED: Final = {
    TAKING[0]: "first bid above the reserve, answered best",
    TAKING[1]: "first bid above the reserve, bids at random",
}
ROOM: Final = (0.13, 0.10)
"""Below the lowest line and above the highest one, as shares of what lies between: for their labels."""

Reading = Callable[[Series], Interval]
"""What of a way is drawn, µ/kWh."""


class Level(NamedTuple):
    """A line across that is the same for all numbers of buyers."""

    cents: float
    name: str
    colour: str
    line: str
    above: bool = True
    """Where its name is; those that are the same share it."""


def draw_income(table: pa.Table, canvas: Canvas) -> None:
    """Income by number of aggregators."""
    found = read(table)
    levels = [
        Level(_cents(found["vickrey", "split", 1, "fixed"].income()), "one buyer alone", QUIET, "-"),
        Level(TARIFFS.feed_in / CENT, "all fed in", QUIET, "-"),
        Level(_cents(found[posted(BEST)].income()), "one buyer at the best price per lot", DARK, "--"),
    ]
    first, last = _panels(found, canvas, "owner's income, c per kWh offered", Series.income, levels)
    gained, pure = (
        found["vickrey", "split", 2, kind].over(found["vickrey", "split", 1, kind]) for kind in ("fixed", BEST)
    )
    random = _cents(found[TAKING[1], "split", 2, "fixed"].income())
    second = (
        f"a second buyer: {_signed(gained)} c\n{_signed(pure)} c where the owner already\nasks the best price per lot"
    )
    _note(first, (levels[0].cents + random) / 2, second)
    further = found["vickrey", "added", COUNTS[-1], "fixed"].over(found["vickrey", "added", 2, "fixed"])
    _note(last, (levels[-1].cents + random) / 2, f"{COUNTS[-1]} buyers instead of 2: {_signed(further)} c")


def draw_price(table: pa.Table, canvas: Canvas) -> None:
    """Price by number of aggregators."""
    found = read(table)
    levels = [
        Level(found["vickrey", "split", 1, "fixed"].price() / CENT, "one buyer alone", QUIET, "-"),
        Level(TARIFFS.feed_in / CENT, "what is fed in earns", QUIET, ":", above=False),
        Level(found[posted(BEST)].price() / CENT, "one buyer at the best price per lot", DARK, "--"),
    ]
    _panels(found, canvas, "price paid, c per kWh sold", Series.price_paid, levels)


def _note(axes: Axes, cents: float, text: str) -> None:
    axes.annotate(text, (2.0, cents), va="center", fontsize=TEXT + 0.5, color="black", linespacing=1.35)


def _cents(interval: Interval) -> float:
    return interval.estimate / CENT


def _signed(interval: Interval) -> str:
    return f"{_cents(interval):+.2f}"


def _panels(found: Found, canvas: Canvas, quantity: str, reading: Reading, levels: Iterable[Level]) -> list[Axes]:
    """Constant demand beside added demand, on one scale; every line has its name beside it, in the first one."""
    canvas.set_size_inches(canvas.get_figwidth(), HEIGHT_IN)
    panels = []
    for index, demand in enumerate(DEMANDS):
        axes = axes_of(canvas, (1, 2, index + 1), x="aggregators", y=quantity, title=TITLES[demand])
        axes.title.set_fontsize(10)
        shown = {play: [reading(found[play, demand, n, "fixed"]) for n in COUNTS] for play in (*AUCTIONS, *TAKING)}
        _auctions(axes, demand, shown)
        taken = _taken(axes, shown, named=index == 0)
        _across(axes, [*levels, taken], named=index == 0)
        axes.set_xticks(list(COUNTS))
        axes.set_xlim(COUNTS[0] - 0.6, COUNTS[-1] + 0.6)
        panels.append(axes)
    begins = _one_scale(panels)
    panels[0].set_ylabel(f"{quantity} (axis begins at {begins:g})")
    handles, names = panels[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=len(names), columnspacing=2.0, handletextpad=0.3)
    return panels


def _auctions(axes: Axes, demand: Demand, shown: dict[str, list[Interval]]) -> None:
    """A marker for each beside the others, and one quiet line through those of the sealed second price."""
    axes.plot(COUNTS, [_cents(one) for one in shown["vickrey"]], color="#B8B8B8", linewidth=2.5, zorder=1.5)
    for place, play in enumerate(AUCTIONS):
        style = LOOKS[play]
        for sure in (True, False):
            counts = [n for n in COUNTS if is_equilibrium(play, demand, n) is sure]
            if not counts:
                continue
            drawn = [shown[play][n - 1] for n in counts]
            estimates = [_cents(one) for one in drawn]
            ends = [
                [(one.estimate - one.low) / CENT for one in drawn],
                [(one.high - one.estimate) / CENT for one in drawn],
            ]
            axes.errorbar(
                [n + (place - 1.5) * APART for n in counts],
                estimates,
                yerr=ends,
                color=style.colour,
                marker=style.marker,
                markersize=MARK,
                markerfacecolor=style.colour if sure else "white",
                linestyle="",
                elinewidth=1,
                capsize=0,
                label=play if sure else f"{play}, no equilibrium",
            )


def _taken(axes: Axes, shown: dict[str, list[Interval]], *, named: bool) -> Level:
    """Random bids as a line of its own; those that answer the rule best are the same for all, which is a level."""
    random = shown[TAKING[1]]
    low, high = [one.low / CENT for one in random], [one.high / CENT for one in random]
    axes.fill_between(COUNTS, low, high, color=TAKEN, alpha=0.15, linewidth=0)
    axes.plot(COUNTS, [_cents(one) for one in random], color=TAKEN, marker="v", markersize=MARK, linewidth=1.2)
    if named:
        _label(axes, max(high), NAMED[TAKING[1]], TAKEN, above=True)
    return Level(_cents(shown[TAKING[0]][0]), NAMED[TAKING[0]], TAKEN, "--", above=False)


def _across(axes: Axes, levels: list[Level], *, named: bool) -> None:
    """Every level with its number."""
    for level in levels:
        axes.axhline(level.cents, color=level.colour, linestyle=level.line, linewidth=1.1, zorder=1.2)
    same: dict[tuple[str, bool], list[Level]] = {}
    for level in levels if named else ():
        same.setdefault((f"{level.cents:.2f}", level.above), []).append(level)
    for (cents, above), group in same.items():
        text = f"{', or '.join(level.name for level in group)}: {cents}"
        _label(axes, group[0].cents, text, group[0].colour, above=above)


def _label(axes: Axes, cents: float, text: str, colour: str, *, above: bool) -> None:
    """Beside the right end of a line."""
    axes.annotate(
        text,
        (COUNTS[-1] + 0.5, cents),
        xytext=(0, 2.5 if above else -3.5),
        textcoords="offset points",
        ha="right",
        va="bottom" if above else "top",
        fontsize=TEXT,
        color=colour,
    )


def _one_scale(panels: list[Axes]) -> float:
    """Returns where it begins, c."""
    low, high = min(axes.dataLim.ymin for axes in panels), max(axes.dataLim.ymax for axes in panels)
    begins = floor(10 * (low - ROOM[0] * (high - low))) / 10
    for axes in panels:
        axes.set_ylim(begins, high + ROOM[1] * (high - low))
    return begins
