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
from lab.shown import BEST, DRAWINGS, Found, band, bare, cents, feed_in, legend_below, middle, nothing
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
    return [
        nothing(f"{case.name}: nothing is gained", *pair(found, case), unit=DRAWINGS) for case in CASES if not case.pays
    ]


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
        shown.append((case.name, middle(theirs), middle(ours), bare(ours.over(theirs))))
    return shown


def scarcity_rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Scarcity by scarcity."""
    found = read(table)
    return [
        (f"{scarcity:g}", *(middle(found["scarcity", "ours", scarcity, buyers]) for buyers in COUNTS))
        for scarcity in SCARCITIES
    ]


def said(table: pa.Table) -> str:
    """The limits of the hypothesis."""
    found = read(table)
    gains = {case.name: (ours := pair(found, case))[0].over(ours[1]) for case in CASES}
    usual, *_, weak, best = gains.values()
    tight = found["scarcity", "ours", 1.1, 10].income().estimate
    return f"""Competition needs scarcity, independence and a rule under which bids meet. Ten buyers who together want no more than
what is for sale pay the reserve, as one does; with a tenth more demand than energy they already pay
{tight / 10_000:.2f} c per kWh offered. Two buyers who agree to ask for half each take it at the reserve: no mechanism
here detects that, and a reserve is the only defence. Where energy is worth less than feeding in, or the reserve is
above all values, nothing is sold, however many ask.

It pays little where there is little to find out. A rival to whom energy is worth half brings {cents(weak)} instead of
{cents(usual)}; with the best reserve already in place a second equal buyer brings {cents(best)}; and where margins do
not differ and the owner asks for the price that everybody knows, ten buyers bring nothing that one does not."""


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
            "Vickrey auctions, demand split; 95 % bands. Left of 1: enough for all.",
        ),
    ),
    tables=(
        TableOf(
            "cases",
            "What is gained, c per kWh offered",
            ("case", "income without", "income with", "gained"),
            rows,
            "Paired on the same tape, 95 % BCa intervals.",
        ),
        TableOf(
            "scarcity",
            "Income by demand, c per kWh offered",
            ("demand in lots", *(f"{buyers} buyers" for buyers in COUNTS)),
            scarcity_rows,
            "Vickrey, demand split.",
        ),
    ),
    method="""Each case is played on the tapes of `competition` with and without more buyers. The agreement is played as what it is:
each asks for half of the lot at its value in a uniform lot, nobody is left unserved, and the reserve is the price
("demand reduction": Krishna, *Auction Theory*, ch. 13; it needs no words between two buyers, which is what makes it a
risk).""",
    said=said,
)
EXPERIMENTS: Final = (LIMITS,)
