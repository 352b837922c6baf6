"""Competition by hour of the day: where it pays, and where nobody bids."""

from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.ledger import Series, Way, fortnight, rows_of, series_of
from lab.play import Rules
from lab.shown import (
    COUNTS,
    aggregators,
    band,
    bare,
    cents,
    efficiency,
    efficient,
    feed_in,
    legend_below,
    middle,
    rational,
)
from lab.statistics import FEWEST
from lab.tape import Making, Tape, TapeLot, recorded_tape, synthetic_tape

SIZES: Final[dict[Scale, tuple[int, int, int]]] = {"quick": (1, 4, 42), "full": (8, 8, 365)}
"""(tasks, drawings in each, days of the synthetic year)."""
HOUR_S: Final = 3600
EVENING: Final = range(15, 18)
"""Hours of the evening peak, UTC: 16 to 19 in British summer time, when the recorded tariff adds a charge."""
WAYS: Final = tuple(Way(Rules("english", buyers)) for buyers in COUNTS)

By = dict[tuple[int, int], Series]
"""By number of buyers and hour."""


def tasks(scale: Scale, seed: int) -> list[Task]:
    """Drawings of the recorded days, and one synthetic year."""
    count, each, days = SIZES[scale]
    recorded = [Task(f"recorded {index:03d}", ("recorded", seed, index * each, each)) for index in range(count)]
    return [*recorded, Task("synthetic", ("synthetic", seed, 0, days))]


def run(kind: str, seed: int, first: int, size: int) -> list[Row]:
    """Play the tapes, and sum by hour."""
    tapes: list[Tape] = (
        [synthetic_tape(seed, first, Making(), days=size)]
        if kind == "synthetic"
        else [recorded_tape(seed, drawing) for drawing in range(first, first + size)]
    )
    return [row for tape in tapes for way in WAYS for row in rows_of(tape, way, hour_of, seed=seed)]


def hour_of(lot: TapeLot) -> int:
    """The hour of the UTC day."""
    return int(lot.market_s // HOUR_S) % 24


def read(table: pa.Table, tape: str) -> By:
    """One tape's ways by number of buyers and hour; clusters are drawings of the recorded days, or fortnights of the synthetic year."""
    found = series_of(table, ("tape", "buyers", "part"))
    return {
        (int(buyers), int(hour)): series.blocks(fortnight) if name == "synthetic" else series
        for (name, buyers, hour), series in found.items()
        if name == tape
    }


def hours(by: By) -> list[int]:
    """The hours that have lots in more than one cluster: of those an interval can be had."""
    return sorted({hour for (_, hour), series in by.items() if len(series.clusters) >= FEWEST})


def checks(table: pa.Table) -> list[Check]:
    """It never costs, and pays most when energy is dear."""
    tapes = {tape: read(table, tape) for tape in ("recorded", "synthetic")}
    each = [check for tape, by in tapes.items() for check in _checks(by, tape)]
    days = series_of(table, ("tape", "buyers"))
    each.append(
        efficient("all hours together", {f"{tape}, {aggregators(int(n))}": way for (tape, n), way in days.items()})
    )
    return [*each, rational(series for by in tapes.values() for series in by.values())]


def _checks(by: By, tape: str) -> list[Check]:
    gains = {hour: by[2, hour].over(by[1, hour]) for hour in hours(by)}
    least = min(gains, key=lambda hour: gains[hour].estimate)
    most = max(gains, key=lambda hour: gains[hour].estimate)
    built_in = ", which the synthetic prices have by construction" if tape == "synthetic" else ""
    return [
        Check(
            f"{tape}: in no hour do two aggregators earn the owner less than one",
            gains[least].estimate >= 0,
            f"least at {least}:00 UTC: {cents(gains[least])}",
        ),
        Check(
            f"{tape}: competition is worth most in the evening peak{built_in}",
            most in EVENING and gains[most].above_zero,
            f"most at {most}:00 UTC: {cents(gains[most])}",
        ),
    ]


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Income by hour, on one scale."""
    panels = []
    for index, tape in enumerate(("recorded", "synthetic")):
        by = read(table, tape)
        title = "recorded days" if tape == "recorded" else "synthetic year"
        axes = axes_of(canvas, (1, 2, index + 1), x="hour of the day, UTC", y="income, c per kWh offered", title=title)
        for number, buyers in enumerate(COUNTS):
            name = aggregators(buyers)
            band(axes, hours(by), [by[buyers, hour].income() for hour in hours(by)], name, look(number))
        feed_in(axes)
        axes.set_xticks(range(0, 25, 6))
        panels.append(axes)
    panels[1].sharey(panels[0])
    panels[0].autoscale(axis="y")
    legend_below(canvas, panels[0], columns=5)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Hour by hour, recorded."""
    by = read(table, "recorded")
    return [
        (
            f"{hour:02d}:00",
            f"{by[2, hour].share_sold():.0%}",
            *(middle(by[buyers, hour]) for buyers in COUNTS),
            bare(by[2, hour].over(by[1, hour])),
            efficiency(by[2, hour]),
        )
        for hour in hours(by)
    ]


def said(table: pa.Table) -> str:
    """In which hours."""
    texts = []
    for tape in ("recorded", "synthetic"):
        by = read(table, tape)
        gains = {hour: by[2, hour].over(by[1, hour]) for hour in hours(by)}
        most = max(gains, key=lambda hour: gains[hour].estimate)
        idle = [hour for hour in gains if not any(by[2, hour].sold)]
        where = "On the recorded days" if tape == "recorded" else "In the synthetic year"
        none = (
            " It is worth nothing at " + ", ".join(f"{hour:02d}:00" for hour in idle) + ", when nothing is sold."
            if idle
            else ""
        )
        texts.append(f"{where} the second aggregator is worth most at {most}:00 UTC ({cents(gains[most])}).{none}")
    return "\n\n".join(texts)


HOURS: Final = Experiment(
    name="hours",
    title="Competition by hour of the day",
    question="In which hours does competition raise what an owner earns?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure(
            "income-by-hour",
            "Income by hour of the day",
            draw,
            "English auctions, the same demand split among 1, 2, 4 or 10 aggregators; 95 % bands, on the left over drawings of the "
            "margins, on the right over fortnights. The axes do not begin at 0.",
        ),
    ),
    tables=(
        TableOf(
            "hours",
            "Income by hour on the recorded days, c per kWh offered",
            ("hour, UTC", "share sold", *(f"{buyers} buyers" for buyers in COUNTS), "2 over 1", "efficiency"),
            rows,
            "Share sold and efficiency with two aggregators. Where little is to be had, values nearer to each other than the increment "
            "cost a larger part of it.",
        ),
    ),
    method="""The tapes of `competition`, and a synthetic year (`lab/synthetic.py`: seeded prices and weather whose daily shape is
that of the recorded days, not a record), summed by hour. On the recorded days intervals are over drawings of the
margins: an hour has two to six half-hours there, and their prices are what they were. In the synthetic year they are
over fortnights. That its evenings are dear is how it is made, after the recorded ones, and no evidence of its own.""",
    said=said,
)
EXPERIMENTS: Final = (HOURS,)
