"""Figures and tables of the theory experiment. All revenues per lot offered, as a share of the range of values."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure as Canvas
from pyarrow import Table

from lab.drawing import LOOKS, QUIET, axes_of, look, with_intervals
from lab.experiment import Figure, TableOf
from lab.theory.cells import Z95, Cell, by_mechanism, cells, of_part
from lab.theory.checks import ONE_LOT, in_the_mean, per_draw, theory_of
from lab.theory.expected import revenue
from lab.theory.games import GAMES
from lab.theory.model import BEST_RESERVE, INCREMENT, NO_RESERVE, ONE

REVENUE: Final = "mean revenue per lot offered (1 = highest possible value)"
DODGE: Final = 0.12
"""By how much points of the same number of bidders are set apart, so that they do not hide each other."""
FINE: Final = 200
"""Points of a curve."""


def _revenue(table: Table, canvas: Canvas) -> None:
    played = cells(table, "mean", by_seed=False)
    for column, (reserve, title) in enumerate(((NO_RESERVE, "no reserve"), (BEST_RESERVE, "reserve 0.5")), start=1):
        axes = axes_of(canvas, (1, 2, column), x="bidders", y=REVENUE if column == 1 else "", title=title)
        those = by_mechanism(cell for cell in played if cell.reserve_micro_per_kwh == reserve)
        for lots, line, name in (
            (1, "-", "theory, one lot"),
            (those["uniform"][0].lots, "--", "theory, three lots at once"),
        ):
            bidders = [cell.bidders for cell in those["uniform"]]
            expected = [revenue(bidders=count, reserve=reserve / ONE, lots=lots) for count in bidders]
            axes.plot(bidders, expected, color=QUIET, linestyle=line, linewidth=1, label=name)
        for name, group in those.items():
            shift = (ONE_LOT.index(name) - 1) * DODGE if name in ONE_LOT else 0.0
            x = [cell.bidders + shift for cell in group]
            points = LOOKS[name]._replace(line="")
            half = [Z95 * cell.error for cell in group]
            with_intervals(axes, x, [cell.mean for cell in group], half=half, name=name, shown=points)
        axes.set(ylim=(-0.02, 0.9))
        if column == 1:
            axes.legend(loc="lower right")


def _reserves(table: Table, canvas: Canvas) -> None:
    grid = cells(table, "grid", by_seed=False)
    counts = sorted({cell.bidders for cell in grid})
    fine = np.linspace(0, 0.95, FINE)
    for column, bidders in enumerate(counts, start=1):
        label = REVENUE if column == 1 else ""
        axes = axes_of(
            canvas, (1, len(counts), column), x="reserve (share of the range)", y=label, title=f"{bidders} bidders"
        )
        axes.plot(fine, [revenue(bidders=bidders, reserve=r) for r in fine], color=QUIET, linewidth=1, label="theory")
        axes.axvline(BEST_RESERVE / ONE, color=QUIET, linestyle=":", linewidth=1, label="Myerson's reserve")
        for name, group in by_mechanism(cell for cell in grid if cell.bidders == bidders).items():
            points = LOOKS[name]._replace(line="")
            half = [Z95 * cell.error for cell in group]
            x, y = [cell.reserve for cell in group], [cell.mean for cell in group]
            with_intervals(axes, x, y, half=half, name=name, shown=points)
        if column == 1:
            axes.legend(loc="lower left")


def _residuals(table: Table, canvas: Canvas) -> None:
    draws = of_part(table, "draw")
    paid = draws["paid_micro_per_kwh"].to_numpy() / ONE
    above = draws["above"].to_numpy()
    residual = above * ONE / INCREMENT
    shown, (left, right) = LOOKS["english"], canvas.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    left.scatter(paid - above, residual, s=6, color=shown.colour, alpha=0.6, linewidths=0)
    left.set(xlabel="second value (share of the range)", ylabel="price − second value, increments")
    right.hist(residual, bins=np.linspace(-1.2, 1.2, 25), orientation="horizontal", color=shown.colour, alpha=0.8)
    right.set(xlabel="draws")
    for axes in (left, right):
        for bound in (-1, 1):
            axes.axhline(bound, color=look(1).colour, linestyle="--", linewidth=1)
    left.text(0.02, 1.06, "one increment", color=look(1).colour, fontsize=9)
    left.set(xlim=(0, 1), ylim=(-1.25, 1.25))


FIGURES: Final = (
    Figure(
        "revenue",
        "Revenue by number of bidders",
        _revenue,
        "Points: mean over all seeds with 95 % intervals (mostly smaller than the marks), the three mechanisms of one lot set "
        "slightly apart. Lines: theory, which is the same for all that sell one lot.",
    ),
    Figure(
        "reserve",
        "Revenue by reserve",
        _reserves,
        "The reserves of the grid, 0.1 apart, on the same draws, with 95 % intervals. In theory a reserve above the seller's own "
        "value (0 here) loses some sales and gains more on the others, up to Myerson's.",
    ),
    Figure(
        "residuals",
        "English: price less second value, draw by draw",
        _residuals,
        "Draws with five bidders and no reserve. In theory the price is within one increment (1 % of the range) of the second "
        "value: above it where the highest value took the last step, below where the second could not.",
    ),
)


def _by_bidders(table: Table) -> list[tuple[str, ...]]:
    played = cells(table, "mean", by_seed=False)
    rows: dict[tuple[int, int], dict[str, Cell]] = {}
    for cell in played:
        rows.setdefault((cell.reserve_micro_per_kwh, cell.bidders), {})[cell.mechanism] = cell
    return [
        (
            "none" if reserve == NO_RESERVE else f"{reserve / ONE:g}",
            str(bidders),
            f"{theory_of(found['vickrey']):.4f}",
            *(_interval(found[name]) for name in ONE_LOT),
            f"{theory_of(found['uniform']):.4f}",
            _interval(found["uniform"]),
        )
        for (reserve, bidders), found in sorted(rows.items())
    ]


def _interval(cell: Cell) -> str:
    return f"{cell.mean:.4f} ± {Z95 * cell.error:.4f}"


def _planted(table: Table) -> list[tuple[str, ...]]:
    return [
        (
            cell.deviation,
            cell.mechanism,
            f"{cell.off:,} of {cell.draws:,}",
            f"{cell.mean - theory_of(cell):+.4f} ± {Z95 * cell.error:.4f}",
            " and ".join(
                name
                for name, check in (("each draw", per_draw([cell])), ("the mean", in_the_mean([cell])))
                if not check.passed
            )
            or "nothing",
        )
        for cell in cells(table, "planted")
    ]


def _games(_: Table) -> list[tuple[str, ...]]:
    return [(game.name, game.strategy_name, str(game.lots)) for game in GAMES.values()]


TABLES: Final = (
    TableOf(
        "games",
        "What is played",
        ("mechanism", "strategy of every buyer", "units sold at once"),
        _games,
        "Each mechanism with the strategy that theory names for it.",
    ),
    TableOf(
        "revenue",
        "Mean revenue per lot offered",
        ("reserve", "bidders", "theory, one lot", *ONE_LOT, "theory, three lots", "uniform"),
        _by_bidders,
        "As a share of the range of values, over all seeds, with half of their 95 % intervals.",
    ),
    TableOf(
        "planted",
        "Planted deviations",
        ("what is wrong", "mechanism", "draws off", "mean less theory, share of the range", "found by the check of"),
        _planted,
        "Each is played wrongly in one way, by the mechanism alone, and judged as if it were right. Half of 95 % intervals.",
    ),
)
