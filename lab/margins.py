"""What the worth of competition depends on: how far the values of the buyers lie apart."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import WH_PER_KWH
from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf
from lab.ledger import Way, drawings, rows_of, series_of
from lab.play import Rules
from lab.scenario import MARGIN_PERCENT
from lab.shown import (
    BEST,
    CENT,
    COUNTS,
    DRAWINGS,
    SEALED,
    Found,
    aggregators,
    band,
    bare,
    cents,
    efficiency,
    feed_in,
    gains,
    legend_below,
    middle,
    nothing,
    rational,
)
from lab.statistics import Interval, difference
from lab.tape import Making, recorded_tape

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (1, 6), "full": (10, 10)}


MARGINS: Final = (0, 2, 5, 10, 15, 20, 30, 50)


def margin_ways() -> Iterator[Way]:
    """With the plain reserve, and with the best."""
    for buyers in COUNTS:
        yield Way(Rules(SEALED, buyers))
        yield Way(Rules(SEALED, buyers), BEST)


def run(seed: int, first: int, count: int) -> list[Row]:
    """The same shares of wider and narrower margins."""
    rows: list[Row] = []
    for drawing in range(first, first + count):
        for margin in MARGINS:
            tape = recorded_tape(seed, drawing, Making(margin_percent=margin))
            for way in margin_ways():
                rows += rows_of(tape, way, seed=seed + drawing, margin=margin)
    return rows


def read(table: pa.Table) -> Found:
    """By margin, number of buyers and reserve."""
    return series_of(table, ("margin", "buyers", "reserve"))


def checks(table: pa.Table) -> list[Check]:
    """The plain reserve needs a rival at every spread; the best one needs one only where margins differ."""
    found = read(table)
    plain = [
        gains(
            f"margins up to {margin} %: two aggregators earn more than one",
            found[margin, 2, "fixed"],
            found[margin, 1, "fixed"],
            unit=DRAWINGS,
        )
        for margin in MARGINS
    ]
    return [
        *plain,
        nothing(
            "without margins, an owner who asks for the known price gains nothing by a rival",
            found[0, 2, BEST],
            found[0, 1, BEST],
            unit=DRAWINGS,
        ),
        _wider(found),
        rational(found.values()),
    ]


def _wider(found: Found) -> Check:
    """What wide margins add is little where they also put values below feed-in, so steps are judged by their paired intervals."""
    steps = [_rise(found, earlier, later) for earlier, later in pairwise(MARGINS)]
    whole = _rise(found, MARGINS[0], MARGINS[-1])
    sure = sum(step.above_zero for step in steps)
    best = {margin: found[margin, 2, BEST].over(found[margin, 1, BEST]).estimate for margin in MARGINS}
    shown = ", ".join(f"{margin} %: {gain / CENT:.3f}" for margin, gain in best.items())
    return Check(
        "with the best reserve, a rival is worth more with the widest margins than without any, and no step to wider ones makes it "
        "worth less for sure",
        whole.above_zero and all(step.high >= 0 for step in steps),
        f"{shown} c/kWh; {sure} of {len(steps)} steps rise for sure",
    )


def _rise(found: Found, earlier: int, later: int) -> Interval:
    """How much more a rival adds to the best reserve with the wider margins, paired: what is offered does not depend on margins."""
    added = [
        [two - one for two, one in zip(found[margin, 2, BEST].earned, found[margin, 1, BEST].earned, strict=True)]
        for margin in (later, earlier)
    ]
    ours, theirs = ([WH_PER_KWH * money for money in by_drawing] for by_drawing in added)
    return difference(ours, theirs, found[later, 2, BEST].offered)


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Plain and best reserve side by side."""
    found = read(table)
    titles = {"fixed": "reserve: feed-in and wear", BEST: "reserve: best price per lot"}
    for place, (reserve, title) in enumerate(titles.items()):
        axes = axes_of(
            canvas, (1, 2, place + 1), x="widest margin, % of the price", y="income, c per kWh offered", title=title
        )
        for index, buyers in enumerate(COUNTS):
            name = aggregators(buyers)
            band(axes, MARGINS, [found[margin, buyers, reserve].income() for margin in MARGINS], name, look(index))
        feed_in(axes)
    legend_below(canvas, axes, columns=5)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Margin by margin."""
    found = read(table)
    return [
        (
            f"{margin} %",
            *(middle(found[margin, buyers, "fixed"]) for buyers in COUNTS),
            bare(found[margin, 2, "fixed"].over(found[margin, 1, "fixed"])),
            bare(found[margin, 2, BEST].over(found[margin, 1, BEST])),
            efficiency(found[margin, 2, "fixed"]),
            efficiency(found[margin, 2, BEST]),
        )
        for margin in MARGINS
    ]


def said(table: pa.Table) -> str:
    """Two effects, told apart."""
    found = read(table)
    plain = {margin: found[margin, 2, "fixed"].over(found[margin, 1, "fixed"]) for margin in MARGINS}
    best = {margin: found[margin, 2, BEST].over(found[margin, 1, BEST]) for margin in MARGINS}
    return f"""Against a reserve that knows nothing of the price, a rival brings {cents(plain[0])} without margins and
{cents(plain[50])} with margins up to 50 %: two buyers with much the same value leave each other nothing, and wide margins
keep something back. Against the best reserve it brings {cents(best[0])} without margins, {cents(best[15])} at 15 % and
{cents(best[50])} at 50 %: what nobody can know in advance, only an auction finds out."""


WIDTHS: Final = Experiment(
    name="margins",
    title="Competition and the spread of values",
    question="How does the worth of competition depend on how different the buyers are?",
    tasks=drawings(SIZES),
    run=run,
    checks=checks,
    figures=(
        Figure(
            "margins",
            "Income by width of the margins",
            draw,
            "Vickrey auctions, recorded days; 95 % bands. Axes do not begin at 0.",
        ),
    ),
    tables=(
        TableOf(
            "margins",
            "Income by width of the margins, c per kWh offered",
            (
                "margins up to",
                *(f"{buyers} buyers" for buyers in COUNTS),
                "2 over 1",
                "2 over 1, best reserve",
                "efficiency",
                "efficiency, best reserve",
            ),
            rows,
            "95 % BCa intervals; efficiency with two buyers.",
        ),
    ),
    method=f"""The same draws with margins of 0 to m of the half-hour's price, m from 0 to 50 % (elsewhere {MARGIN_PERCENT:.0f} %). A
wider margin also lowers the mean value, so lines fall to the right; compare within a column.""",
    said=said,
)
EXPERIMENTS: Final = (WIDTHS,)
