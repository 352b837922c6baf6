"""When competition does not pay: the cases in which more aggregators leave the owner where one does, said as plainly as the others."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import MicroPerKwh
from lab.bidding import TAKING
from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf
from lab.ledger import TARIFFS, Series, Way, drawings, rows_of, series_of
from lab.play import Rules
from lab.shown import (
    BEST,
    CENT,
    DRAWINGS,
    Found,
    band,
    bare,
    cents,
    efficiency,
    efficient,
    feed_in,
    is_nothing,
    legend_below,
    middle,
    nothing,
    rational,
)
from lab.tape import Making, Tape, recorded_tape

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (1, 4), "full": (8, 8)}
WEAK_PERCENT: Final = 50
"""Of its value: what the weak rival would pay."""


def as_it_is(tape: Tape) -> Tape:
    """The tape."""
    return tape


def weak_rivals(tape: Tape) -> Tape:
    """All buyers but the first value energy at half; nobody's best bid in a vickrey lot changes by that."""
    lots = []
    for lot in tape.lots:
        weak = (MicroPerKwh(value * WEAK_PERCENT // 100) for value in lot.values[1:])
        lots.append(lot._replace(values=(lot.values[0], *weak), lowest=lot.lowest * WEAK_PERCENT // 100))
    return tape._replace(lots=tuple(lots))


def cheap_hours(tape: Tape) -> Tape:
    """Half-hours in which energy is worth less than feeding in and wear."""
    return tape._replace(lots=tuple(lot for lot in tape.lots if lot.common < TARIFFS.base))


class Case(NamedTuple):
    """Two ways of selling that differ in how many buy, where that should not matter, or matter less."""

    name: str
    ours: Way
    theirs: Way
    tape: Callable[[Tape], Tape] = as_it_is
    making: Making = Making()
    pays: bool = False
    """Whether something is left of the gain."""


def _way(buyers: int, scarcity: float = 2.0, reserve: str = "fixed", play: str = "vickrey") -> Way:
    return Way(Rules(play, buyers, scarcity=scarcity), reserve)


ALONE: Final = _way(1)
CASES: Final = (
    Case("the usual: two who each want the whole lot", _way(2), ALONE, pays=True),
    Case("no scarcity: ten who together want no more than there is", _way(10, 1.0), ALONE),
    Case("two agree to ask for half each", _way(2, 1.0, play="uniform"), ALONE),
    Case("ten, but the first bid above the reserve is taken", _way(10, play=TAKING[0]), ALONE),
    Case("ten, and a reserve above every value", _way(10, reserve="above all values"), ALONE),
    Case("ten, in half-hours worth less than feeding in", _way(10), ALONE, cheap_hours),
    Case(
        "no margins, and an owner who asks for the known price",
        _way(10, reserve=BEST),
        _way(1, reserve=BEST),
        making=Making(0),
    ),
    Case("a rival to whom energy is worth half", _way(2), ALONE, weak_rivals, pays=True),
    Case("the best reserve already", _way(2, reserve=BEST), _way(1, reserve=BEST), pays=True),
)
COUNTS: Final = (2, 4, 10)
SCARCITIES: Final = (0.5, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0)


def run(seed: int, first: int, count: int) -> list[Row]:
    """Every case, and every scarcity."""
    rows: list[Row] = []
    for drawing in range(first, first + count):
        for case in CASES:
            tape = case.tape(recorded_tape(seed, drawing, case.making))
            for side, way in (("ours", case.ours), ("theirs", case.theirs)):
                rows += rows_of(tape, way, seed=seed + drawing, case=case.name, side=side, scarcity=way.rules.scarcity)
        tape = recorded_tape(seed, drawing)
        for scarcity in SCARCITIES:
            for buyers in COUNTS:
                way = _way(buyers, scarcity)
                rows += rows_of(tape, way, seed=seed + drawing, case="scarcity", side="ours", scarcity=scarcity)
    return rows


def read(table: pa.Table) -> Found:
    """By case, side, scarcity and number of buyers."""
    return series_of(table, ("case", "side", "scarcity", "buyers"))


def pair(found: Found, case: Case) -> tuple[Series, Series]:
    """Both sides of a case."""
    ours, theirs = (
        found[case.name, side, way.rules.scarcity, way.rules.buyers]
        for side, way in (("ours", case.ours), ("theirs", case.theirs))
    )
    return ours, theirs


def checks(table: pa.Table) -> list[Check]:
    """Where theory says that nothing is gained, nothing is."""
    found = read(table)
    idle = [case for case in CASES if not case.pays]
    scarce = {f"{key[3]} buyers who want {key[2]:g} lots": way for key, way in found.items() if key[0] == "scarcity"}
    return [
        *(nothing(f"{case.name}: nothing is gained", *pair(found, case), unit=DRAWINGS) for case in idle),
        efficient("vickrey, whatever the demand", scarce),
        rational(found.values()),
    ]


def part_of_the_gain(found: Found, scarcity: float) -> float:
    """What the second buyer makes of the difference that ten make, where all together want so many lots."""
    one = pair(found, CASES[0])[1].income().estimate
    two, ten = (found["scarcity", "ours", scarcity, buyers].income().estimate for buyers in (2, 10))
    return (two - one) / (ten - one)


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Income by scarcity."""
    found = read(table)
    axes = axes_of(canvas, x="demand of all buyers, in lots", y="income, c per kWh offered")
    for index, buyers in enumerate(COUNTS):
        incomes = [found["scarcity", "ours", scarcity, buyers].income() for scarcity in SCARCITIES]
        band(axes, SCARCITIES, incomes, f"{buyers} aggregators", look(index))
    feed_in(axes)
    legend_below(canvas, axes, columns=4)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Case by case."""
    found = read(table)
    shown: list[tuple[str, ...]] = []
    for case in CASES:
        ours, theirs = pair(found, case)
        shown.append(
            (case.name, middle(theirs), middle(ours), bare(ours.over(theirs)), efficiency(theirs), efficiency(ours))
        )
    return shown


def scarcity_rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Scarcity by scarcity."""
    found = read(table)
    return [
        (
            f"{scarcity:g}",
            *(middle(found["scarcity", "ours", scarcity, buyers]) for buyers in COUNTS),
            f"{part_of_the_gain(found, scarcity):.0%}" if scarcity > 1.0 else "no gain",
        )
        for scarcity in SCARCITIES
    ]


def said(table: pa.Table) -> str:
    """The limits of the hypothesis."""
    found = read(table)
    gains = {case.name: (ours := pair(found, case))[0].over(ours[1]) for case in CASES}
    usual, *_, weak, best = gains.values()
    tight, two = (found["scarcity", "ours", 1.1, buyers].income().estimate for buyers in (10, 2))
    parts = {scarcity: f"{part_of_the_gain(found, scarcity):.0%}" for scarcity in (1.1, 1.25, 1.5, 2.0)}
    none = [case.name for case in CASES if is_nothing(gains[case.name])]
    idle = "\n".join(f"- {name}" for name in none) or "- none"
    return f"""Nothing is gained in {len(none)} of {len(CASES)} cases, and how much of the gain of ten buyers the second one brings
depends on what they want: {parts[1.1]} of it where all together want 1.1 lots, {parts[1.25]} at 1.25, {parts[1.5]} at 1.5, and
{parts[2.0]} at 2, where each of two wants it whole. Competition needs more demand than energy: with a tenth more, ten buyers earn the
owner {tight / CENT:.2f} c per kWh offered, and two {two / CENT:.2f} c. It also needs buyers who do not agree, and a rule under which bids
meet. The cases in which nothing is gained:

{idle}

No mechanism here detects an agreement; a reserve above cost and more buyers are what there is against it.

It pays little where there is little to find out. A rival to whom energy is worth half brings {cents(weak)} instead of
{cents(usual)}, and a second equal buyer where the best reserve is asked already {cents(best)}."""


LIMITS: Final = Experiment(
    name="limits",
    title="When competition does not pay",
    question="In which cases do more aggregators leave the owner where one does?",
    tasks=drawings(SIZES),
    run=run,
    checks=checks,
    figures=(
        Figure(
            "scarcity",
            "Income by scarcity",
            draw,
            "Vickrey auctions, demand split; 95 % bands. Left of 1: enough for all. *Competition* is played at 2. The axis does not "
            "begin at 0.",
        ),
    ),
    tables=(
        TableOf(
            "cases",
            "What is gained, c per kWh offered",
            ("case", "income without", "income with", "gained", "efficiency without", "with"),
            rows,
            "Paired on the same tape, 95 % BCa intervals. Efficiency: welfare of owner and buyers, as a share of the best possible.",
        ),
        TableOf(
            "scarcity",
            "Income by demand, c per kWh offered",
            (
                "demand in lots",
                *(f"{buyers} buyers" for buyers in COUNTS),
                "part of the gain of 10 that the second brings",
            ),
            scarcity_rows,
            "Vickrey, demand split. The part is (income with 2 less income with 1) / (income with 10 less income with 1).",
        ),
    ),
    method="""Each case is played on the tapes of `competition` with and without more buyers. The agreement is played as what it is:
each asks for half of the lot at its value in a uniform lot, nobody is left unserved, and the reserve is the price
("demand reduction": Krishna, *Auction Theory*, ch. 13; it needs no words between two buyers, which is what makes it a
risk). Where the first bid above the reserve is taken buyers bid the reserve, and above all values nobody bids: these two cases hold by
construction.""",
    said=said,
)
EXPERIMENTS: Final = (LIMITS,)
