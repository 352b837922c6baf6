"""Draws the days: prices and trades, what the batteries held, what each way of selling earned. PNG and SVG."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.figure import Figure

from cli.demo.report import BASELINES, Report
from etp.units import MICRO_PER_CENT, WH_PER_KWH

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""M. Okabe and K. Ito's palette, which colour-blind readers tell apart ("Color Universal Design", 2008)."""
QUIET = "#999999"


def draw(report: Report, path: Path) -> list[Path]:
    """Write PATH.png and PATH.svg; returns both."""
    mpl.rcParams["svg.hashsalt"] = "etp"
    figure = Figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 1), height_ratios=(3, 2))
    prices = figure.add_subplot(grid[0, 0])
    levels = figure.add_subplot(grid[1, 0], sharex=prices)
    _prices(prices, report)
    _levels(levels, report)
    _incomes(figure.add_subplot(grid[:, 1]), report)
    written = [path.with_suffix(".png"), path.with_suffix(".svg")]
    for file in written:
        figure.savefig(file, dpi=120, metadata={"Date": None} if file.suffix == ".svg" else None)
    return written


def _times(unix_s: list[float]) -> Any:
    return dates.date2num(  # type: ignore[no-untyped-call]
        [datetime.fromtimestamp(second, UTC) for second in unix_s]
    )


def _prices(axes: Any, report: Report) -> None:
    scenario = report.watch.scenario
    starts = [
        scenario.series.start_s + step * scenario.series.step_s for step in range(len(scenario.series.values) + 1)
    ]
    cents = [value / MICRO_PER_CENT for value in scenario.series.values]
    axes.stairs(cents, _times(starts), baseline=None, color=QUIET, label="recorded price")
    axes.axhline(scenario.reserve / MICRO_PER_CENT, color=QUIET, linestyle="--", linewidth=1, label="reserve")
    axes.axhline(0, color="black", linewidth=0.5)
    for index, buyer in enumerate(report.watch.buyers):
        mine = [trade for trade in report.watch.trades if trade.buyer == buyer.settings.device_id]
        axes.scatter(
            _times([trade.market_s for trade in mine]),
            [trade.price / MICRO_PER_CENT for trade in mine],
            s=[8 + trade.energy / 60 for trade in mine],
            color=COLOURS[index % len(COLOURS)],
            alpha=0.75,
            label=f"bought by {buyer.settings.device_id}",
        )
    axes.set(title="Trades", ylabel="c/kWh")
    axes.tick_params(labelbottom=False)
    axes.legend(fontsize="small", ncols=2, loc="upper left")


def _levels(axes: Any, report: Report) -> None:
    for index, (device_id, levels) in enumerate(sorted(report.watch.levels.items())):
        stored = [level.stored_wh / WH_PER_KWH for level in levels]
        axes.plot(
            _times([level.market_s for level in levels]),
            stored,
            color=COLOURS[index % len(COLOURS)],
            label=f"battery {device_id}",
        )
    axes.set(title="Stored", ylabel="kWh", xlabel="market time, UTC", ylim=(0, None))
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]
    axes.legend(fontsize="small", ncols=3, loc="upper left")


def _incomes(axes: Any, report: Report) -> None:
    incomes = {name: report.incomes[name] / MICRO_PER_CENT for name in BASELINES}
    labels = ["\n".join(BASELINES[name].rsplit(" ", 1)) for name in incomes]
    bars = axes.bar(labels, list(incomes.values()), color=[COLOURS[2], QUIET, QUIET, QUIET])
    axes.bar_label(bars, fmt="%.2f")
    axes.set(title="Owners' income per kWh offered", ylabel="c/kWh")
    axes.tick_params(axis="x", labelsize="small", rotation=30)
