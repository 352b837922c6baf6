"""How figures look: the same colour, marker and line for the same mechanism everywhere, units on the axes, intervals drawn.

Knows matplotlib's objects; opens no window and writes no file.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas


class Look(NamedTuple):
    """Told apart without colours too."""

    colour: str
    marker: str
    line: str


COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""M. Okabe and K. Ito's palette, which colour-blind readers tell apart ("Color Universal Design", 2008); its yellow is left
out, which is too pale on white."""
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
LINES: Final = ("-", "--", "-.", ":", "-", "--", "-.")
QUIET: Final = "#6B6B6B"
"""For what is compared with: theory, baselines, zero."""
LOOKS: Final[Mapping[str, Look]] = MappingProxyType(
    {
        name: Look(COLOURS[index], MARKERS[index], LINES[index])
        for index, name in enumerate(("english", "first-price", "vickrey", "uniform", "first-above-reserve"))
    }
)
"""By mechanism."""
SIZE_IN: Final = (8.0, 4.6)
"""A canvas, inches."""
STYLE: Final[dict[Any, Any]] = {
    "figure.figsize": SIZE_IN,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "errorbar.capsize": 2.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "etp",
}
"""matplotlib's parameters while a figure is drawn and written; the salt makes the same figure the same file."""


def look(index: int) -> Look:
    """For series that are no mechanisms: the index-th of them."""
    return Look(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], LINES[index % len(LINES)])


def axes_of(canvas: Canvas, position: tuple[int, int, int] = (1, 1, 1), *, x: str, y: str, title: str = "") -> Axes:
    """Axes with their quantities and units: "reserve, µ/kWh"."""
    axes = canvas.add_subplot(*position)
    axes.set(xlabel=x, ylabel=y, title=title)
    return axes


def with_intervals(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    *,
    half: Sequence[float],
    name: str,
    shown: Look | None = None,
) -> None:
    """A series with its confidence intervals, given by half of their width; `shown`: the mechanism's look unless said."""
    colour, marker, line = shown or LOOKS[name]
    axes.errorbar(x, y, yerr=half, label=name, color=colour, marker=marker, linestyle=line)
