"""What the increment and the closing time cost an owner."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from etp.units import MICRO_PER_CENT, MicroPerKwh
from lab.bidding import AUCTIONS
from lab.drawing import LOOKS, axes_of
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf
from lab.ledger import Way, drawings, rows_of, series_of
from lab.play import Rules
from lab.shown import CENT, Found, band, bare, cents, efficiency, efficient, legend_below, middle, rational
from lab.tape import Making, recorded_tape
from lab.wording import more

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (1, 4), "full": (10, 6)}
BUYERS: Final = 4
INCREMENTS: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""C/kWh; the demo's is 0.25, the daemon's default 0.05."""
CLOSINGS_MS: Final = (5, 20, 50, 100, 200, 500, 1100)
DELAYS: Final = {"LAN, 1.5 ms": 0.0015, "country, 20 ms": 0.020, "continent, 80 ms": 0.080}
"""Median one-way delays, s; their logarithms have a standard deviation of 0.5."""
NEAR, *_, FAR = DELAYS
INCOME: Final = "income, c per kWh offered"
TALL_IN: Final = (8.0, 6.4)
"""A canvas for two rows of axes, inches."""


def ways(delay: str) -> Iterator[tuple[Way, int, float]]:
    """(way, closing time, increment): one of the two is varied at a time."""
    for closing_ms in CLOSINGS_MS:
        for play in AUCTIONS:
            yield Way(Rules(play, BUYERS, "added", closing_s=closing_ms / 1000)), closing_ms, 0.25
    if delay == NEAR:
        for increment in INCREMENTS:
            micro = MicroPerKwh(round(increment * MICRO_PER_CENT))
            yield Way(Rules("english", BUYERS, "added", increment=micro)), 0, increment


def run(seed: int, first: int, count: int) -> list[Row]:
    """Every delay with every closing time; every increment nearby. A closing time of 0 stands for the usual one."""
    rows: list[Row] = []
    for drawing in range(first, first + count):
        for delay, median_s in DELAYS.items():
            tape = recorded_tape(seed, drawing, Making(delay_s=median_s))
            for way, closing_ms, increment in ways(delay):
                rows += rows_of(tape, way, seed=seed + drawing, delay=delay, closing_ms=closing_ms, increment=increment)
    return rows


def read(table: pa.Table) -> Found:
    """By play, delay, closing time and increment."""
    return series_of(table, ("play", "delay", "closing_ms", "increment"))


def checks(table: pa.Table) -> list[Check]:
    """Over slow links more patience pays; a coarse increment costs, but no more than itself; nobody loses by a sale."""
    found = read(table)
    last, usual = CLOSINGS_MS[-1], 0.25
    checks = []
    for play in AUCTIONS:
        gained = found[play, FAR, last, usual].over(found[play, FAR, CLOSINGS_MS[0], usual])
        name = f"{play}, {FAR}: closing after {last:,} ms earns more than after {CLOSINGS_MS[0]} ms"
        checks.append(Check(name, gained.above_zero, cents(gained)))
    fine, coarse = found["english", NEAR, 0, INCREMENTS[0]], found["english", NEAR, 0, INCREMENTS[-1]]
    lost = fine.over(coarse)
    checks.append(
        Check(
            f"an increment of {INCREMENTS[-1]:g} c/kWh earns less than one of {INCREMENTS[0]:g}",
            lost.above_zero,
            cents(lost),
        )
    )
    costs = {step: fine.over(found["english", NEAR, 0, step]).estimate / (step * CENT) for step in INCREMENTS[1:]}
    worst = max(costs, key=lambda step: abs(costs[step]))
    said = f"at most {costs[worst]:.0%} of itself against {INCREMENTS[0]:g} c/kWh: that of {worst:g} c/kWh"
    checks.append(Check("no increment costs more than itself", abs(costs[worst]) <= 1, said))
    patient = {play: found[play, NEAR, last, usual] for play in AUCTIONS}
    checks.append(efficient(f"{NEAR}, closing after {last:,} ms", patient))
    return [*checks, rational(found.values())]


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Closing times by delay on one scale, and increments on a finer one."""
    canvas.set_size_inches(TALL_IN)
    found = read(table)
    shared: Axes | None = None
    for place, delay in enumerate(DELAYS, start=1):
        axes = axes_of(canvas, (2, 2, place), x="closing time, ms", y=INCOME, title=delay)
        if shared is not None:
            axes.sharey(shared)
        shared = axes
        for play in AUCTIONS:
            band(axes, CLOSINGS_MS, [found[play, delay, ms, 0.25].income() for ms in CLOSINGS_MS], play)
        axes.set_xscale("log")
    last = axes_of(canvas, (2, 2, 4), x="increment, c/kWh", y=INCOME, title="english, LAN (note the scale)")
    incomes = [found["english", NEAR, 0, increment].income() for increment in INCREMENTS]
    band(last, INCREMENTS, incomes, "english", LOOKS["english"])
    last.set_xscale("log")
    legend_below(canvas, axes, columns=4)


def closing_rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Income by closing time."""
    found = read(table)
    return [
        (delay, str(ms), *(shown(found[play, delay, ms, 0.25]) for shown in (middle, efficiency) for play in AUCTIONS))
        for delay in DELAYS
        for ms in CLOSINGS_MS
    ]


def increment_rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Cost and bids by increment."""
    found = read(table)
    fine = found["english", NEAR, 0, INCREMENTS[0]]
    rows: list[tuple[str, ...]] = []
    for increment in INCREMENTS:
        series = found["english", NEAR, 0, increment]
        cells = middle(series), bare(fine.over(series)), f"{series.bids_per_trade():.1f}", efficiency(series)
        rows.append((f"{increment:g}", *cells))
    return rows


def said(table: pa.Table) -> str:
    """What is saved, and what it costs."""
    found = read(table)
    fine, usual, coarse = (found["english", NEAR, 0, increment] for increment in (INCREMENTS[0], 0.25, INCREMENTS[-1]))
    near, far = (found["english", delay, 200, 0.25] for delay in (NEAR, FAR))
    long, patient = (found["english", delay, 1100, 0.25] for delay in (NEAR, FAR))
    sealed, waiting = (found["vickrey", FAR, closing_ms, 0.25] for closing_ms in (200, 1100))
    return f"""An english lot with an increment of 0.25 c earns {more(usual.over(fine))} than one of {INCREMENTS[0]:g} c and needs
{usual.bids_per_trade():.0f} bids per lot sold instead of {fine.bids_per_trade():.0f}; one of {INCREMENTS[-1]:g} c
earns {more(coarse.over(fine))} and needs {coarse.bids_per_trade():.0f}.

Nearby, 200 ms after the last bid earn {middle(near)} c and 1,100 ms {middle(long)} c. With a median of 80 ms one way a
step takes two of them, and english lots earn {middle(far)} c with 200 ms and {middle(patient)} c with 1,100 ms
({more(patient.over(far))}). Sealed lots need one message from each buyer: vickrey lots earn {middle(sealed)} c with 200 ms and
{middle(waiting)} c with 1,100 ms ({more(waiting.over(sealed))})."""


TIMING: Final = Experiment(
    name="timing",
    title="What increment and closing time cost",
    question="How long should a lot stay open, and by how much must a bid be better?",
    tasks=drawings(SIZES),
    run=run,
    checks=checks,
    figures=(
        Figure(
            "timing",
            "Income by closing time and by increment",
            draw,
            "Four aggregators; 95 % bands. The three panels of closing times have one scale, which does not begin at 0; the fourth, of "
            "increments, has a finer one. Where each wants the whole lot, uniform is the same rule as vickrey, and lies upon it.",
        ),
    ),
    tables=(
        TableOf(
            "closing",
            "Income by closing time, c per kWh offered",
            ("one way", "ms", *AUCTIONS, *(f"efficiency, {play}" for play in AUCTIONS)),
            closing_rows,
            "Increment 0.25 c. Efficiency: welfare of owner and buyers, as a share of the best possible.",
        ),
        TableOf(
            "increments",
            "English: cost of the increment, c per kWh offered",
            ("increment, c", "income", "cost", "bids per lot sold", "efficiency"),
            increment_rows,
            "Bids up to the winning one; cost against the finest increment, paired.",
        ),
    ),
    method="""The tapes of `competition` with four aggregators who each want the whole lot, by the mechanism alone with the tape's
delays: a bid takes one way, its answer another, and what arrives after the close counts for nothing. Buyers notice a
lot within 20 ms of it.

The limits that buyers bid up to are those of equilibrium where all rivals are heard. Who knew that some come too late would shade a
first-price bid more; here it does not, so that with a short closing time first-price looks better than it would be.""",
    said=said,
)
EXPERIMENTS: Final = (TIMING,)
