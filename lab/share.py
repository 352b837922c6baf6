"""What the worth of competition depends on: how much of the battery is for sale."""

from itertools import pairwise
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import WH_PER_KWH
from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf
from lab.ledger import TARIFFS, Series, Way, drawings, rows_of, series_of
from lab.play import SCARCITY, Rules
from lab.scenario import FOR_SALE_PERCENT
from lab.shown import (
    CENT,
    COUNTS,
    DRAWINGS,
    SEALED,
    Found,
    aggregators,
    band,
    bare,
    efficiency,
    feed_in,
    gains,
    legend_below,
    middle,
    rational,
)
from lab.statistics import Interval, ratio
from lab.tape import Making, recorded_tape

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (1, 6), "full": (10, 10)}


SHARES: Final = (20, 40, 60, 80, 90, 100)
SLACK: Final = 0.01
"""Of what less for sale earns: by so much may more for sale earn less: the last steps lie within each other's intervals."""


def run(seed: int, first: int, count: int) -> list[Row]:
    """Less for sale, the same demand."""
    rows: list[Row] = []
    for drawing in range(first, first + count):
        usual = sum(lot.energy for lot in recorded_tape(seed, drawing).lots)
        for share in SHARES:
            tape = recorded_tape(seed, drawing, Making(for_sale_percent=share))
            scarcity = SCARCITY * usual / sum(lot.energy for lot in tape.lots)
            for buyers in COUNTS:
                rows += rows_of(tape, Way(Rules(SEALED, buyers, scarcity=scarcity)), seed=seed + drawing, share=share)
    return rows


def read(table: pa.Table) -> Found:
    """By share and number of buyers."""
    return series_of(table, ("share", "buyers"))


def above_feed_in(series: Series) -> Interval:
    """What selling earned more than feeding in, µ per drawing."""
    more = [
        earned - TARIFFS.feed_in * offered / WH_PER_KWH
        for earned, offered in zip(series.earned, series.offered, strict=True)
    ]
    return ratio(more, [1] * len(more))


def best_share(found: Found, buyers: int) -> int:
    """The share for sale that earns most in all."""
    return max(SHARES, key=lambda share: above_feed_in(found[share, buyers]).estimate)


def checks(table: pa.Table) -> list[Check]:
    """Competition pays at any share, and to offer more never earns less in all."""
    found = read(table)
    checks = [
        gains(
            f"{share} % for sale: two aggregators earn more than one", found[share, 2], found[share, 1], unit=DRAWINGS
        )
        for share in SHARES
    ]
    totals = [above_feed_in(found[share, 4]).estimate for share in SHARES]
    rising = all(later >= earlier * (1 - SLACK) for earlier, later in pairwise(totals))
    shown = ", ".join(f"{share} %: {total / CENT:.1f}" for share, total in zip(SHARES, totals, strict=True))
    name = (
        f"with four aggregators, each step to more for sale earns no less than {SLACK:.0%} below the one before, in all"
    )
    return [*checks, Check(name, rising, f"c in two days, {shown}"), rational(found.values())]


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Per kWh and in all."""
    found = read(table)
    per_kwh = axes_of(canvas, (1, 2, 1), x="share for sale, %", y="income, c per kWh offered")
    in_all = axes_of(canvas, (1, 2, 2), x="share for sale, %", y="earned above feeding in, c in two days")
    for index, buyers in enumerate(COUNTS):
        name = aggregators(buyers)
        band(per_kwh, SHARES, [found[share, buyers].income() for share in SHARES], name, look(index))
        band(in_all, SHARES, [above_feed_in(found[share, buyers]) for share in SHARES], name, look(index))
    feed_in(per_kwh)
    legend_below(canvas, per_kwh, columns=5)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Share by share."""
    found = read(table)
    return [
        (
            f"{share} %",
            *(middle(found[share, buyers]) for buyers in COUNTS),
            bare(found[share, 2].over(found[share, 1])),
            bare(above_feed_in(found[share, 4])),
            efficiency(found[share, 4]),
        )
        for share in SHARES
    ]


def said(table: pa.Table) -> str:
    """Scarcity against volume."""
    found = read(table)
    least, most = SHARES[0], SHARES[-1]
    low, high = above_feed_in(found[least, 4]), above_feed_in(found[most, 4])
    more = "still earns more" if high.low > low.high else "does not earn more for sure"
    scarcer = found[least, 4].income().low > found[most, 4].income().high
    why = ", since the demand is the same and less for sale is scarcer" if scarcer else ""
    best = ", ".join(f"{best_share(found, buyers)} % with {aggregators(buyers)}" for buyers in COUNTS[1:])
    return f"""In all the owner {more} by offering more: with four aggregators {cents_of(low)} above feeding in over two days at {least} %
for sale, and {cents_of(high)} at {most} %. Per kWh offered they earn it {middle(found[least, 4])} c at {least} % and
{middle(found[most, 4])} c at {most} %{why}. Of the shares that were tried, what
earns most in all is {best}."""


def cents_of(money: Interval) -> str:
    """An amount of money."""
    return money.said(" c", per=CENT, digits=1)


SHARE: Final = Experiment(
    name="share",
    title="Competition and the share for sale",
    question="Does an owner earn more by holding energy back from competing buyers?",
    tasks=drawings(SIZES),
    run=run,
    checks=checks,
    figures=(
        Figure(
            "share",
            "Income by share for sale",
            draw,
            "Vickrey auctions, recorded days; 95 % bands. The axis on the left does not begin at 0.",
        ),
    ),
    tables=(
        TableOf(
            "share",
            "Income by share for sale, c per kWh offered",
            (
                "for sale",
                *(f"{buyers} buyers" for buyers in COUNTS),
                "2 over 1",
                "above feeding in with 4, c in two days",
                "efficiency with 4",
            ),
            rows,
            "What is not for sale stays in the battery for its owner and earns nothing here.",
        ),
    ),
    method=f"""`--for-sale` decides which part of the battery the tape's lots are taken from. Demand is what it is at
{FOR_SALE_PERCENT:.0f} %, so that less for sale is scarcer. Where a lot is no whole number of wants, strategies take
the smaller last part into account (`lab/bidding.py`, ρ).""",
    said=said,
)
EXPERIMENTS: Final = (SHARE,)
