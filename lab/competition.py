"""The hypothesis: two or more aggregators that bid for a battery's energy pay its owner more than one does.

Recorded days, margins drawn anew; every mechanism with its equilibrium, one to ten buyers, demand held constant and split, or added.
"""

from typing import Final

import pyarrow as pa
from scipy import stats

from lab.bidding import AUCTIONS, PLAYS, TAKING
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf
from lab.ledger import TARIFFS, drawings, rows_of
from lab.play import Demand, Rules
from lab.rivals import COUNTS, DEMANDS, EXACT, FLAT, TITLES, is_equilibrium, posted, read, ways
from lab.rivals_drawn import draw_income, draw_price
from lab.rivals_told import METHOD, said
from lab.shown import (
    BEST,
    CENT,
    DRAWINGS,
    Found,
    aggregators,
    bare,
    efficiency,
    efficient,
    gains,
    middle,
    rational,
)
from lab.statistics import Interval
from lab.tape import MOST_BUYERS, recorded_tape

NAME: Final = "competition"
SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (4, 3), "full": (20, 8)}
"""(tasks, drawings of the recorded days in each)."""
TAIL: Final = float(stats.norm.sf(4.0))
"""Of chance alone, one side, as in the checks of theory: 4 standard errors, and by Student's t more where there are few drawings."""
RESOLVED: Final = 0.1 * CENT
"""An equality that could be off by more than this, µ/kWh, is not decided: about half of what a rival adds to the best reserve."""


def run(seed: int, first: int, drawings: int) -> list[Row]:
    """Play every way on each drawing."""
    rows: list[Row] = []
    for drawing in range(first, first + drawings):
        tape = recorded_tape(seed, drawing)
        for way in ways():
            rows += rows_of(tape, way, seed=seed + drawing)
    return rows


# -- what must hold


def checks(table: pa.Table) -> list[Check]:
    """The hypothesis, and what would show that the tape or the play is wrong."""
    found = read(table)
    return [
        *(_two_pay_more(found, play, demand) for demand in DEMANDS for play in AUCTIONS),
        _same_best_reserve(found),
        *(_many_pay_no_less(found, demand) for demand in DEMANDS),
        *(_auction_beats_taking(found, play) for play in AUCTIONS),
        _taking_earns_the_tariff(found),
        *(_against_posted(found, reserve) for reserve in (FLAT, BEST)),
        *(_equivalent(found, play) for play in ("first-price", "uniform")),
        _near(found),
        rational(found.values()),
        *(_efficient(found, play) for play in AUCTIONS),
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
    theirs = found[posted(reserve)]
    name = f"vickrey with two buyers and the plain reserve earns more than one buyer at the {reserve}"
    return gains(name, found["vickrey", "split", 2, "fixed"], theirs, unit=DRAWINGS)


def _same_best_reserve(found: Found) -> Check:
    ours, theirs = (found["vickrey", "split", buyers, BEST] for buyers in (2, 1))
    return gains(f"both with the {BEST} as the reserve, two buyers earn more than one", ours, theirs, unit=DRAWINGS)


def _apart(found: Found, play: str) -> list[Interval]:
    """From vickrey, wherever both are played in equilibrium: revenue equivalence (Myerson 1981) says that nothing is between them."""
    return [
        found[play, demand, buyers, "fixed"].over(found["vickrey", demand, buyers, "fixed"])
        for demand in DEMANDS
        for buyers in COUNTS
        if is_equilibrium(play, demand, buyers)
    ]


def _equivalent(found: Found, play: str) -> Check:
    """By no more than chance and the rounding of bids to whole µ, where chance leaves little room."""
    apart = _apart(found, play)
    errors = float(stats.t.isf(TAIL, apart[0].clusters - 1))
    widest = max(one.error for one in apart) * errors
    worst = max(apart, key=lambda one: abs(one.estimate) / (errors * one.error + 1))
    allowed = errors * worst.error + 1
    said = (
        f"where they are least alike, {abs(worst.estimate) / CENT:.3f} of {allowed / CENT:.3f} c/kWh that chance allows"
    )
    if widest > RESOLVED:
        said = f"not decided: too few drawings, chance alone allows {widest / CENT:.2f} c/kWh"
    name = f"where both are an equilibrium, {play} earns what vickrey does"
    return Check(name, abs(worst.estimate) <= allowed and widest <= RESOLVED, said)


def _near(found: Found) -> Check:
    """The price of an english lot stops one increment below the second value at worst, or above it."""
    increment = Rules("english", 1).increment
    worst = max(max(abs(one.low), abs(one.high)) for one in _apart(found, "english"))
    name = "where both are an equilibrium, english earns what vickrey does within one increment"
    return Check(name, worst <= increment, f"at most {worst / CENT:.3f} of {increment / CENT:.3f} c/kWh apart")


def _efficient(found: Found, play: str) -> Check:
    each = {
        f"{aggregators(buyers)}, {TITLES[demand]}": found[play, demand, buyers, "fixed"]
        for demand in DEMANDS
        for buyers in COUNTS
        if is_equilibrium(play, demand, buyers)
    }
    return efficient(play, each)


# -- what is shown


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


def _welfare_rows(table: pa.Table) -> list[tuple[str, ...]]:
    found = read(table)
    rows = []
    for demand in DEMANDS:
        for play in PLAYS:
            of = [found[play, demand, buyers, "fixed"] for buyers in COUNTS]
            wrong = (str(sum(series.too_dear for series in of)), str(sum(series.too_cheap for series in of)))
            rows.append((play, TITLES[demand], *(efficiency(of[n - 1]) for n in (1, 2, 4, MOST_BUYERS)), *wrong))
    return rows


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
            "Recorded days, the reserve at feed-in and wear; bars are 95 % intervals, for these two days' prices. The four auctions "
            "earn nearly the same, so their markers stand side by side. Hollow: no equilibrium. The axis does not begin at 0.",
        ),
        Figure(
            "price",
            "Price by number of aggregators",
            draw_price,
            "Recorded days, as above; the axis does not begin at 0. In every auction one buyer pays the reserve. With more buyers "
            "somebody wants cheap half-hours too: that raises the income and lowers the mean of the prices paid, and that is why random "
            "bids fall. A higher reserve sells fewer and dearer kWh, so that prices alone do not say what an owner earns.",
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
        TableOf(
            "welfare",
            "Who has the energy in the end, and whether anybody loses by it",
            (
                "play",
                "demand",
                *(f"efficiency, {n}" for n in (1, 2, 4, MOST_BUYERS)),
                "awards above value",
                "awards below feed-in and wear",
            ),
            _welfare_rows,
            "Efficiency with so many buyers; awards of all numbers of buyers.",
        ),
    ),
    method=METHOD,
    said=said,
)

EXPERIMENTS: Final = (COMPETITION,)
