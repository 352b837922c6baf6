"""The hypothesis over synthetic years: days differ too, and fortnights of them are what is drawn again."""

from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from bess_node.solar import DAY_S
from lab.bidding import TAKING
from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.ledger import Series, Way, fortnight, rows_of, series_of
from lab.play import Rules
from lab.shown import (
    BEST,
    CENT,
    COUNTS,
    Found,
    aggregators,
    band,
    bare,
    cents,
    efficiency,
    efficient,
    feed_in,
    gains,
    legend_below,
    middle,
    rational,
)
from lab.statistics import FEWEST
from lab.synthetic import FIRST_DAY_S
from lab.tape import Making, TapeLot, synthetic_tape
from lab.wording import more

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (1, 42), "full": (4, 365)}
"""(years, days of each)."""
MONTHS: Final = 12
FORTNIGHTS: Final = "fortnights"
WAYS: Final = (
    *(Way(Rules("english", buyers)) for buyers in COUNTS),
    *(Way(Rules("vickrey", buyers)) for buyers in COUNTS),
    *(Way(Rules("vickrey", buyers), BEST) for buyers in (1, 2)),
    *(Way(Rules(TAKING[1], buyers)) for buyers in COUNTS),
)


def tasks(scale: Scale, seed: int) -> list[Task]:
    """Ways of each year, in parts, so that years are spread over processes."""
    years, days = SIZES[scale]
    return [
        Task(f"{year:02d} {index:02d}", (seed, year, days, index))
        for year in range(years)
        for index in range(len(WAYS))
    ]


def run(seed: int, year: int, days: int, index: int) -> list[Row]:
    """One way in one year, by day and month."""
    tape = synthetic_tape(seed, year, Making(), days=days)
    return rows_of(tape, WAYS[index], month_of, seed=seed + year, year=year)


def month_of(lot: TapeLot) -> int:
    """The twelfth of the year, from 0."""
    return min(int((lot.market_s - FIRST_DAY_S) // DAY_S) * MONTHS // 365, MONTHS - 1)


def read(table: pa.Table) -> Found:
    """By play, buyers and reserve; fortnights are the clusters."""
    return {key: way.blocks(fortnight) for key, way in series_of(table, ("play", "buyers", "reserve")).items()}


def days(table: pa.Table) -> int:
    """How many there are, all years together."""
    return len(set(table["cluster"].to_pylist()))


def by_month(table: pa.Table) -> dict[tuple[int, int], Series]:
    """English lots by number of buyers and month."""
    found = series_of(table, ("play", "buyers", "reserve", "part"))
    return {
        (int(buyers), int(month)): series.blocks(fortnight)
        for (play, buyers, reserve, month), series in found.items()
        if play == "english" and reserve == "fixed"
    }


def checks(table: pa.Table) -> list[Check]:
    """The hypothesis over fortnights, and in every month."""
    found, months = read(table), by_month(table)
    monthly = {month: months[2, month].over(months[1, month]) for month in told(months)}
    least = min(monthly, key=lambda month: monthly[month].low)
    return [
        *(
            gains(
                f"synthetic years, {play}: two aggregators earn the owner more than one",
                found[play, 2, "fixed"],
                found[play, 1, "fixed"],
                unit=FORTNIGHTS,
            )
            for play in ("english", "vickrey")
        ),
        gains(
            "synthetic years, with the best price per lot as reserve: two earn more than one",
            found["vickrey", 2, BEST],
            found["vickrey", 1, BEST],
            unit=FORTNIGHTS,
        ),
        gains(
            "synthetic years: english with two earns more than the first random bid above the reserve",
            found["english", 2, "fixed"],
            found[TAKING[1], 2, "fixed"],
            unit=FORTNIGHTS,
        ),
        Check(
            "synthetic years: two earn more than one in every month",
            monthly[least].above_zero,
            f"least in month {least + 1}: {cents(monthly[least])}",
        ),
        rational(found.values()),
        *(
            efficient(
                f"synthetic years, {play}",
                {aggregators(buyers): found[play, buyers, "fixed"] for buyers in COUNTS},
            )
            for play in ("english", "vickrey")
        ),
    ]


def told(months: dict[tuple[int, int], Series]) -> list[int]:
    """The months of which there is enough to say how sure they are."""
    return sorted(month for buyers, month in months if buyers == 1 and len(months[buyers, month].clusters) >= FEWEST)


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Income by month."""
    months = by_month(table)
    shown = told(months)
    axes = axes_of(canvas, x="month of the synthetic year", y="income, c per kWh offered")
    for index, buyers in enumerate(COUNTS):
        name = aggregators(buyers)
        incomes = [months[buyers, month].income() for month in shown]
        band(axes, [month + 1 for month in shown], incomes, name, look(index))
    feed_in(axes)
    legend_below(canvas, axes, columns=5)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Way by way."""
    found = read(table)
    alone = found["vickrey", 1, "fixed"]
    return [
        (
            way.rules.play,
            str(way.rules.buyers),
            way.reserve,
            middle(series := found[way.rules.play, way.rules.buyers, way.reserve]),
            f"{series.price() / CENT:.2f}",
            bare(series.over(alone)),
            efficiency(series),
        )
        for way in WAYS
    ]


def said(table: pa.Table) -> str:
    """The finding, over days."""
    found = read(table)
    two, one, ten = (found["english", buyers, "fixed"] for buyers in (2, 1, 10))
    pure = found["vickrey", 2, BEST].over(found["vickrey", 1, BEST])
    taken = found[TAKING[1], 10, "fixed"].over(found[TAKING[1], 1, "fixed"])
    gained = two.over(one)
    held = "holds" if gained.above_zero and pure.above_zero else "does not hold"
    return f"""Over {days(table):,} synthetic days the hypothesis {held}: two aggregators with the demand of one earn the owner
{cents(gained)} more where the reserve is feed-in and wear, and {cents(pure)} more where it is the best price per lot both times. Ten
with the same demand earn {more(ten.over(two))} than two. Of random bids the first above the reserve is taken: ten buyers then earn
{more(taken)} than one.

Prices and weather are drawn here, not recorded: what the years add to *competition* is that days differ, not that
they are real."""


YEARS: Final = Experiment(
    name="years",
    title="Competition over synthetic years",
    question="Does the finding of two recorded days hold when days differ as prices and weather do?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure(
            "months",
            "Income by month of synthetic years",
            draw,
            "English auctions, demand split; 95 % bands over fortnights. They are of the levels: differences are paired on the same days "
            "and much surer. The axis does not begin at 0.",
        ),
    ),
    tables=(
        TableOf(
            "ways",
            "Income over synthetic years, c per kWh offered",
            ("play", "buyers", "reserve", "income", "price, c per kWh sold", "over one buyer", "efficiency"),
            rows,
            "Paired on the same days, 95 % BCa intervals over fortnights. Over one buyer: in vickrey with the plain reserve.",
        ),
    ),
    method="""Years of 365 days from a seed (`lab/synthetic.py`): a daily shape, a level that lasts some days, noise from one
half-hour to the next, seasons, clouds, and noons that are cheaper under a clear sky. The shape and the spreads are
those of the two recorded days as far as two days can tell; seasons and the memory of days are assumptions, named
there. Bootstrap over fortnights, since days that follow each other are alike: what a rival adds on one day has a correlation of
0.45 with the next, and intervals over single days would be half as wide as these. *Efficiency*: as in *What competition is
worth*.""",
    said=said,
)
EXPERIMENTS: Final = (YEARS,)
