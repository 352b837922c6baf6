"""The hypothesis: two or more aggregators that bid for a battery's energy pay its owner more than one does.

Recorded days, margins drawn anew; every mechanism with its equilibrium, one to ten buyers, demand held constant and split, or added.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lab.bidding import AUCTIONS, PLAYS, TAKING
from lab.drawing import LOOKS, QUIET, axes_of, look
from lab.experiment import Cell, Check, Experiment, Figure, Row, Scale, TableOf
from lab.ledger import TARIFFS, Series, Way, drawings, rows_of, series_of
from lab.play import Demand, Rules
from lab.shown import BEST, CENT, DRAWINGS, Found, band, bare, cents, feed_in, gains, legend_below, middle
from lab.statistics import Interval
from lab.tape import MOST_BUYERS, recorded_tape

NAME: Final = "competition"
COUNTS: Final = range(1, MOST_BUYERS + 1)
DEMANDS: Final[tuple[Demand, ...]] = ("split", "added")
EXACT: Final = (1, 2, 4, 6, 8, 10)
"""Numbers of buyers whose split wants make the lot without a remainder: bidding one's value in uniform is an equilibrium there."""
SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (2, 2), "full": (20, 8)}
"""(tasks, drawings of the recorded days in each)."""
TITLES: Final = {"split": "demand held constant and split", "added": "demand added by each buyer"}
FLAT: Final = "best flat price"

APART: Final = 0.09
"""Between the markers of two auctions, in aggregators: they earn so nearly the same that they would hide each other."""


def ways() -> Iterator[Way]:
    """All that are compared."""
    for demand in DEMANDS:
        for buyers in COUNTS:
            yield from (Way(Rules(play, buyers, demand)) for play in PLAYS)
            yield Way(Rules("vickrey", buyers, demand), BEST)
    yield Way(Rules(TAKING[0], 1), FLAT)


def run(seed: int, first: int, drawings: int) -> list[Row]:
    """Play every way on each drawing."""
    rows: list[Row] = []
    for drawing in range(first, first + drawings):
        tape = recorded_tape(seed, drawing)
        for way in ways():
            rows += rows_of(tape, way, seed=seed + drawing)
    return rows


def read(table: pa.Table) -> Found:
    """By play, demand, buyers and reserve."""
    return series_of(table, ("play", "demand", "buyers", "reserve"))


# -- what must hold


def checks(table: pa.Table) -> list[Check]:
    """The hypothesis, and what would show that the tape or the play is wrong."""
    found = read(table)
    return [
        *(_two_pay_more(found, play, demand) for demand in DEMANDS for play in AUCTIONS),
        *(_many_pay_no_less(found, demand) for demand in DEMANDS),
        *(_auction_beats_taking(found, play) for play in AUCTIONS),
        _taking_earns_the_tariff(found),
        *(_against_posted(found, reserve) for reserve in (FLAT, BEST)),
        _same_best_reserve(found),
        _equivalent(found),
    ]


def _two_pay_more(found: Found, play: str, demand: Demand) -> Check:
    ours, theirs = (found[play, demand, buyers, "fixed"] for buyers in (2, 1))
    return gains(f"{play}, {TITLES[demand]}: two aggregators earn the owner more than one", ours, theirs, unit=DRAWINGS)


def _many_pay_no_less(found: Found, demand: Demand) -> Check:
    ours, theirs = (found["vickrey", demand, buyers, "fixed"] for buyers in (MOST_BUYERS, 2))
    return gains(f"vickrey, {TITLES[demand]}: ten earn the owner more than two", ours, theirs, unit=DRAWINGS)


def _auction_beats_taking(found: Found, play: str) -> Check:
    ours = found[play, "split", 2, "fixed"]
    theirs = found[TAKING[1], "split", 2, "fixed"]
    return gains(
        f"{play} with two buyers earns more than the first random bid above the reserve", ours, theirs, unit=DRAWINGS
    )


def _taking_earns_the_tariff(found: Found) -> Check:
    incomes = {found[TAKING[0], demand, buyers, "fixed"].income().estimate for demand in DEMANDS for buyers in COUNTS}
    passed = all(abs(income - TARIFFS.feed_in) <= 1 for income in incomes)
    said = f"{min(incomes) / CENT:.3f} to {max(incomes) / CENT:.3f} c/kWh over 1 to {MOST_BUYERS} buyers"
    return Check(
        "first-above-reserve, answered best, earns the feed-in tariff however many buyers there are", passed, said
    )


def _against_posted(found: Found, reserve: str) -> Check:
    theirs = found[_posted_key(reserve)]
    name = f"vickrey with two buyers and the plain reserve earns more than one buyer at the {reserve}"
    return gains(name, found["vickrey", "split", 2, "fixed"], theirs, unit=DRAWINGS)


def _same_best_reserve(found: Found) -> Check:
    ours, theirs = (found["vickrey", "split", buyers, BEST] for buyers in (2, 1))
    return gains(f"both with the {BEST} as the reserve, two buyers earn more than one", ours, theirs, unit=DRAWINGS)


def _equivalent(found: Found) -> Check:
    """Revenue equivalence (Myerson 1981): what stays between the auctions is the english increment."""
    increment = Rules("english", 1).increment
    apart = [
        found[play, demand, buyers, "fixed"].over(found["vickrey", demand, buyers, "fixed"]).estimate
        for play in AUCTIONS
        for demand in DEMANDS
        for buyers in COUNTS
        if is_equilibrium(play, demand, buyers)
    ]
    worst = max(apart, key=abs)
    name = "where the strategies are an equilibrium, all auctions earn the same within one increment"
    return Check(
        name, abs(worst) <= increment, f"at most {abs(worst) / CENT:.3f} of {increment / CENT:.3f} c/kWh apart"
    )


def is_equilibrium(play: str, demand: Demand, buyers: int) -> bool:
    """Whether theory knows that nobody gains by bidding otherwise (`lab.bidding`)."""
    return play != "uniform" or demand == "added" or buyers in EXACT


def _posted_key(reserve: str) -> tuple[Cell, ...]:
    # One buyer that is told its price: under any mechanism it pays the reserve.
    return ("vickrey", "split", 1, BEST) if reserve == BEST else (TAKING[0], "split", 1, FLAT)


# -- what is shown

Reading = Callable[[Series], Interval]
"""What of a way is drawn."""


def draw_income(table: pa.Table, canvas: Canvas) -> None:
    """Income by number of aggregators."""
    found = read(table)
    panels = _panels(found, canvas, "income, c per kWh offered", Series.income)
    for axes in panels:
        posted = found[_posted_key(BEST)].income().estimate / CENT
        axes.axhline(posted, color=QUIET, linestyle="--", linewidth=1, label="one buyer at the best price per lot")
        feed_in(axes)
    legend_below(canvas, panels[0])


def draw_price(table: pa.Table, canvas: Canvas) -> None:
    """Price by number of aggregators."""
    panels = _panels(read(table), canvas, "price paid, c per kWh sold", Series.price_paid)
    for axes in panels:
        axes.axhline(TARIFFS.base / CENT, color=QUIET, linewidth=1, label="reserve: feed-in and wear")
    legend_below(canvas, panels[0])


def _panels(found: Found, canvas: Canvas, quantity: str, reading: Reading) -> list[Axes]:
    """Constant demand beside added demand, on one scale."""
    panels = [
        axes_of(canvas, (1, 2, index + 1), x="aggregators", y=quantity, title=TITLES[demand])
        for index, demand in enumerate(DEMANDS)
    ]
    for axes, demand in zip(panels, DEMANDS, strict=True):
        for place, play in enumerate((*AUCTIONS, *TAKING)):
            shown = [reading(found[play, demand, buyers, "fixed"]) for buyers in COUNTS]
            _line(axes, play, demand, shown, aside=(place - 1.5) * APART if play in AUCTIONS else 0.0)
        axes.set_xticks(list(COUNTS))
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low, high)
    return panels


def _line(axes: Axes, play: str, demand: Demand, shown: list[Interval], *, aside: float) -> None:
    style = LOOKS.get(play, look(5))
    band(axes, [buyers + aside for buyers in COUNTS], shown, play, style)
    unsure = [buyers for buyers in COUNTS if not is_equilibrium(play, demand, buyers)]
    hollow = [shown[buyers - 1].estimate / CENT for buyers in unsure]
    where = [buyers + aside for buyers in unsure]
    axes.plot(where, hollow, color="white", markeredgecolor=style.colour, marker=style.marker, linestyle="")


def _income_rows(table: pa.Table) -> list[tuple[str, ...]]:
    found = read(table)
    return [
        (
            TITLES[demand],
            str(buyers) + ("" if demand == "added" or buyers in EXACT else " *"),
            *(middle(found[play, demand, buyers, "fixed"]) for play in PLAYS),
            *(f"{found[play, demand, buyers, 'fixed'].price() / CENT:.2f}" for play in ("english", "vickrey")),
        )
        for demand in DEMANDS
        for buyers in COUNTS
    ]


def _gain_rows(table: pa.Table) -> list[tuple[str, ...]]:
    found = read(table)
    rows = []
    for demand in DEMANDS:
        for play in AUCTIONS:
            of = {buyers: found[play, demand, buyers, "fixed"] for buyers in (1, 2, 4, MOST_BUYERS)}
            added = [of[2].over(of[1]), of[4].over(of[2]), of[MOST_BUYERS].over(of[4])]
            rows.append((play, TITLES[demand], *map(bare, added)))
    return rows


def said(table: pa.Table) -> str:
    """The finding, from the numbers."""
    found = read(table)
    one, two, ten = (found["english", "split", buyers, "fixed"] for buyers in (1, 2, MOST_BUYERS))
    gained, more, added = two.over(one), ten.over(two), found["english", "added", MOST_BUYERS, "fixed"].over(two)
    best, flat = (found[_posted_key(reserve)] for reserve in (BEST, FLAT))
    pure = found["vickrey", "split", 2, BEST].over(best)
    random, asked = (found[play, "split", 2, "fixed"] for play in reversed(TAKING))
    taken = found[TAKING[1], "split", MOST_BUYERS, "fixed"].over(random)
    held = "holds" if gained.above_zero else "does not hold"
    share = gained.estimate / ten.over(one).estimate
    return f"""The hypothesis {held} on these days: with the same demand split between two aggregators instead of one, an english
auction earns the owner {cents(gained)} more per kWh offered (95 % interval; from {middle(one)} to {middle(two)} c). The
second aggregator makes {share:.0%} of the difference that ten make: ten with that same demand earn {cents(more)} more
than two, and ten who each bring a demand of their own {cents(added)} more.

Most of that is information, not margin. Buyers know what a half-hour is worth and the owner's reserve does not: alone,
a buyer pays the reserve of {TARIFFS.base / CENT:.2f} c in the dearest hour too, and two bid each other up to what they
both know. An owner who knew each half-hour's price and the range of the margins and named its best price to a single
buyer would earn {middle(best)} c, and one who could only name one price for all hours, the best in hindsight,
{middle(flat)} c. With that knowledge as the reserve both times, the second buyer adds {cents(pure)}.

Taking the first bid above the reserve earns {middle(asked)} c when buyers answer it well, who then all bid the reserve:
what feeding in earns ({TARIFFS.feed_in / CENT:.2f} c). If they bid at random between reserve and value, it earns
{middle(random)} c with two buyers, and ten bring {cents(taken)} more than two."""


METHOD: Final = f"""A *tape* holds lots, values, and when who hears of them, never bids: the two recorded days (100 half-hours, Agile
tariff, May 2020), the lots of a home's battery, and margins of 0 to 15 % drawn independently per buyer and lot. Every
way of selling plays the same tape; whoever buys, the same energy is offered, and income is (paid − wear × sold +
feed-in × unsold) / offered, with {TARIFFS.feed_in / CENT:.2f} c/kWh feed-in, {TARIFFS.wear / CENT:.2f} c/kWh wear,
and their sum as the reserve. What is not sold in its half-hour is fed in.

*Split*: all buyers together want twice the lot, however many they are. *Added*: each wants the whole lot. Winners and
prices are decided by `market`, bids are made by the shipped strategies up to a limit that is the mechanism's
equilibrium (`lab/bidding.py`: Vickrey 1961; Weber 1983; Krishna, *Auction Theory*, ch. 2 and 15), which supposes that
buyers know how many they are and how margins are spread. One case has no closed form: with demand split among 3, 5, 7
or 9 buyers, whoever wins the last part of a uniform lot sets the price itself and would do better to bid less than its
value. Values are bid all the same (hollow markers, * in the table), which flatters uniform there.

Intervals are 95 % BCa bootstraps over drawings of the margins; differences are taken on the same tape first (Efron &
Tibshirani, 1993). They say how sure the numbers are *for these two days*; the experiment `years` draws days as well."""

COMPETITION: Final = Experiment(
    name=NAME,
    title="What competition is worth",
    question="Does an owner earn more when two or more aggregators bid than when one buys, with the same demand in all?",
    tasks=drawings(SIZES),
    run=run,
    checks=checks,
    figures=(
        Figure(
            "income",
            "Income by number of aggregators",
            draw_income,
            "Recorded days; bands are 95 % intervals. Hollow: no equilibrium.",
        ),
        Figure(
            "price",
            "Price by number of aggregators",
            draw_price,
            "Recorded days; bands are 95 % intervals. Hollow: no equilibrium. In every auction one buyer pays the reserve. With "
            "more buyers somebody wants cheap half-hours too: that raises the income and lowers the mean of the prices paid.",
        ),
    ),
    tables=(
        TableOf(
            "incomes",
            "Income in c per kWh offered, and price in c per kWh sold",
            ("demand", "buyers", *PLAYS, "price, english", "price, vickrey"),
            _income_rows,
            "* here to bid one's value is no equilibrium in uniform.",
        ),
        TableOf(
            "gains",
            "What more buyers add, c per kWh offered, paired on the same tape",
            ("play", "demand", "2 over 1", "4 over 2", "10 over 4"),
            _gain_rows,
            "95 % BCa intervals.",
        ),
    ),
    method=METHOD,
    said=said,
)

EXPERIMENTS: Final = (COMPETITION,)
