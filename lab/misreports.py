"""The audit of the mechanisms, as an experiment: income, efficiency, who pays too much, what a lie gains."""

from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from lab.audit import FACTORS, rows_of
from lab.drawing import LOOKS, QUIET, axes_of
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.lies import Case, Found, Lie, read
from lab.play import Rules
from lab.shown import CENT, EFFICIENT, legend_below
from lab.statistics import Interval
from lab.tape import synthetic_tape
from lab.wording import more, percent

NAME: Final = "audit"
MECHANISMS: Final = ("english", "first-price", "vickrey", "uniform", "first-above-reserve")
AUCTIONS: Final = MECHANISMS[:4]
SEALED: Final = ("first-price", "vickrey", "uniform")
"""Where the owner sees bids that nobody else does."""
SECOND_PRICE: Final = ("vickrey", "uniform")
"""Where the owner's word is trusted for the price-setting bid."""
COUNTS: Final = (2, 4, 8)
SEQUENTIAL: Final = ("first-price", "vickrey")
"""Audited with split demand as well: its equilibrium is the laboratory's own derivation. Bids of english auctions follow vickrey's."""
SPLIT: Final = (*SEQUENTIAL, "uniform")
"""Audited with split demand. In uniform auctions values are bid, which for four is dominant, and for three no equilibrium."""
SPLIT_COUNTS: Final = (3, 4)
"""Two lots in a row: for three buyers the second is half as large, for four it is as large as the first. A uniform lot is shared by two
winners: by four buyers' wants evenly; of three, the second gets half of what it wants, and its own other half sets the price.
"""
REDUCED: Final = SPLIT_COUNTS[0]
"""Buyers in a uniform auction of whom one does better to ask for less."""
SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (6, 4), "full": (40, 12)}
"""(synthetic tapes, days of each)."""
HALF: Final = Lie(1.0, 0.5)
"""A lot that three share is filled by halves of what they want: each would have it at the reserve."""
MOST_GAIN: Final = 0.02
"""A lie that gains less than this share of what the bidder gains honestly is none worth telling."""


def cases_of(mechanism: str) -> list[Rules]:
    """What is audited of a mechanism."""
    split = SPLIT_COUNTS if mechanism in SPLIT else ()
    whole = [Rules(mechanism, buyers, "added") for buyers in COUNTS]
    return [*whole, *(Rules(mechanism, buyers, "split") for buyers in split)]


def tasks(scale: Scale, seed: int) -> list[Task]:
    """A task per tape and mechanism."""
    tapes, days = SIZES[scale]
    return [
        Task(f"{number:03d}/{mechanism}", (seed, number, days, mechanism))
        for number in range(tapes)
        for mechanism in MECHANISMS
    ]


def run(seed: int, number: int, days: int, mechanism: str) -> list[Row]:
    """One mechanism on one tape."""
    return rows_of(synthetic_tape(seed, number, days=days), cases_of(mechanism), number)


def whole(found: Found, mechanism: str) -> list[Case]:
    """Where every buyer wants every lot whole."""
    return [found[mechanism, "added", buyers] for buyers in COUNTS]


def split(found: Found, mechanism: str) -> list[Case]:
    """Where they share the demand; none of a mechanism that is not audited so."""
    return [found[mechanism, "split", buyers] for buyers in SPLIT_COUNTS if mechanism in SPLIT]


# -- what must hold


def checks(table: pa.Table) -> list[Check]:
    """Nobody pays too much, energy goes to who values it most, honesty is the best bid, the owner is tempted where it should be."""
    found = read(table)
    return [
        *(_rational(mechanism, [*whole(found, mechanism), *split(found, mechanism)]) for mechanism in MECHANISMS),
        *(_efficient(mechanism, whole(found, mechanism)) for mechanism in AUCTIONS),
        *(_efficient(_as_split(mechanism), split(found, mechanism)) for mechanism in SPLIT),
        *(no_lie(mechanism, whole(found, mechanism)) for mechanism in AUCTIONS),
        *(no_lie(_as_split(mechanism), split(found, mechanism)) for mechanism in SEQUENTIAL),
        no_lie(_as_split("uniform"), [case for case in split(found, "uniform") if case.buyers != REDUCED]),
        reduces(found["uniform", "split", REDUCED]),
        *(_tempted(mechanism, whole(found, mechanism)) for mechanism in SEALED),
    ]


def _as_split(mechanism: str) -> str:
    return f"{mechanism}, demand split"


def _rational(name: str, cases: list[Case]) -> Check:
    dear, cheap = (sum(case.count(column) for case in cases) for column in ("too_dear", "too_cheap"))
    said = f"{dear} awards above the winner's value, {cheap} below the reserve"
    return Check(f"{name}: nobody pays more than its value or less than the reserve", dear + cheap == 0, said)


def _efficient(name: str, cases: list[Case]) -> Check:
    said = ", ".join(f"{case.efficiency():.2%} with {case.buyers}" for case in cases)
    passed = all(case.efficiency() >= EFFICIENT for case in cases)
    return Check(f"{name}: at least {EFFICIENT:.0%} of the best welfare", passed, said)


def no_lie(name: str, cases: list[Case]) -> Check:
    """Passed only where every interval is below the limit: a wide one decides nothing."""
    gains = {case.buyers: case.lie_gains(less=True) for case in cases}
    said = ", ".join(f"{percent(one, digits=1)} with {buyers}{_doubt(one)}" for buyers, one in gains.items())
    passed = all(one.high <= MOST_GAIN for one in gains.values())
    return Check(f"{name}: no other bid found gains a bidder {MOST_GAIN:.0%}", passed, said)


def reduces(case: Case) -> Check:
    """That the lie which theory knows is found: where its own unserved part sets the price, a bidder does better to want less."""
    price, less = case.lie_gains(), case.lie_gains(less=True)
    said = (
        f"{percent(less, digits=1)}, asking for {case.asked_for()} of it; by its price alone {percent(price, digits=1)}"
    )
    name = f"uniform, demand split among {case.buyers}: who asks for less than it wants gains more than {MOST_GAIN:.0%}"
    return Check(name, less.low > MOST_GAIN, said)


def _doubt(gained: Interval) -> str:
    """What of the limit the interval leaves open."""
    if gained.high <= MOST_GAIN:
        return ""
    return " (it does)" if gained.low > MOST_GAIN else " (not decided)"


def _tempted(mechanism: str, cases: list[Case]) -> Check:
    gains = {case.buyers: case.per_kwh("nobody", 1.0, "invented_micro") for case in cases}
    said = ", ".join(f"{one.said(' c', per=CENT)} with {buyers}" for buyers, one in gains.items())
    if mechanism in SECOND_PRICE:
        passed = gains[COUNTS[0]].low > 0
        return Check(f"{mechanism}: an invented bid would gain the owner, who must be trusted", passed, said)
    passed = all(one.estimate == 0 for one in gains.values())
    return Check(f"{mechanism}: an invented bid gains the owner nothing", passed, said)


# -- what is shown

SHOWN: Final = (0.88, 1.06)
"""Of the factors: what is lost farther away would hide what happens near the equilibrium."""


def draw(table: pa.Table, canvas: Canvas) -> None:
    """What a bidder gains by how far it goes, against what it gains honestly; four buyers."""
    found = read(table)
    axes = axes_of(
        canvas,
        x="bid, as a share of the way from the reserve to the equilibrium",
        y="gained more than in equilibrium, %",
    )
    factors = [factor for factor in FACTORS if SHOWN[0] <= factor <= SHOWN[1]]
    for mechanism in AUCTIONS:
        look = LOOKS[mechanism]
        gained = [found[mechanism, "added", 4].more_than_honest(factor) for factor in factors]
        low, high = [100 * one.low for one in gained], [100 * one.high for one in gained]
        axes.fill_between(factors, low, high, color=look.colour, alpha=0.12, linewidth=0)
        middle = [100 * one.estimate for one in gained]
        axes.plot(factors, middle, color=look.colour, marker=look.marker, linestyle=look.line, label=mechanism)
    axes.axvline(1.0, color=QUIET, linewidth=1)
    axes.axhline(0.0, color=QUIET, linewidth=1)
    axes.set(xlim=SHOWN, xticks=factors)
    legend_below(canvas, axes, columns=4)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Mechanism by mechanism."""
    found = read(table)
    return [_row(*key, found[key]) for mechanism in MECHANISMS for key in _keys(mechanism)]


def _keys(mechanism: str) -> list[tuple[str, str, int]]:
    return [(rules.play, rules.demand, rules.buyers) for rules in cases_of(mechanism)]


def _row(mechanism: str, demand: str, buyers: int, case: Case) -> tuple[str, ...]:
    added = demand == "added"
    return (
        mechanism,
        "each the whole lot" if added else "split",
        str(buyers),
        f"{case.per_kwh('nobody', 1.0, 'earned_micro').estimate / CENT:.3f}",
        f"{case.efficiency():.2%}",
        str(case.count("too_dear")),
        str(case.count("too_cheap")),
        percent(case.lie_gains(), digits=1),
        f"{percent(case.lie_gains(less=True), digits=1)}" if case.divided else "",
        case.asked_for() if case.divided else "",
        f"{case.per_kwh('nobody', 1.0, 'invented_micro').estimate / CENT:.3f}" if added else "",
        f"{case.reserve_gains().said(per=CENT, digits=3)}" if added else "",
        case.best_reserves() if added else "",
    )


def said(table: pa.Table) -> str:
    """What the numbers say."""
    found = read(table)
    two, _, eight = (case.per_kwh("nobody", 1.0, "invented_micro") for case in whole(found, "vickrey"))
    taken = found["first-above-reserve", "added", 4]
    tapes = len(taken.offered)
    wrong = sum(case.count("too_dear") + case.count("too_cheap") for case in found.values())
    least = min(found[mechanism, "added", 4].efficiency() for mechanism in AUCTIONS)
    return f"""In {len(found) * tapes} plays of {tapes} tapes {wrong} awards were above the winner's value or below the reserve. The four
auctions reach {least:.1%} of the best welfare or more with four buyers; taking the first bid gives up {1 - taken.efficiency():.1%} of
it, for whoever is quickest wins. {_lies_said(found)}

What remains is the owner's word: a bid invented after the sealed ones were seen would bring {two.said(" c", per=CENT)} per kWh offered
with two buyers in a vickrey auction and {eight.said(" c", per=CENT)} with eight; where the winner pays its own bid it brings nothing.
(The journal keeps the price-setting bid as its bidder signed it: an owner cannot forge another's bid, but nothing stops it from bidding
under a second name. In an english auction the owner does not know how high the leader would go: a bid that it invents there is a
reserve by another name.) A reserve above cost is no lie; the best one earns
{more(found["vickrey", "added", 2].reserve_gains())} with two buyers."""


def _lies_said(found: Found) -> str:
    """What bidders gain by lying, and of how many cases that is not known."""
    reduced = found["uniform", "split", REDUCED]
    judged = {
        key: case.lie_gains(less=True) for key, case in found.items() if key[0] in AUCTIONS and case is not reduced
    }
    key, worst = max(judged.items(), key=lambda item: item[1].estimate)
    held = sum(one.high <= MOST_GAIN for one in judged.values())
    text = f"Where an equilibrium is known, no other bid that was tried gains a bidder {MOST_GAIN:.0%} in {held} of {len(judged)} cases"
    if held < len(judged):
        lied = sum(one.low > MOST_GAIN for one in judged.values())
        text += f", in {lied} one does, and {len(judged) - held - lied} these tapes do not decide"
    mechanism, demand, buyers = key
    where = f"{mechanism} with {buyers} buyers{' who share the demand' if demand == 'split' else ''}"
    return f"{text}. The best of them gains {percent(worst, digits=1)} ({where}). {_reduced_said(reduced)}"


def _reduced_said(case: Case) -> str:
    """What it is worth to ask for less where theory says that it is."""
    price, less = (percent(case.lie_gains(less=asked), digits=1) for asked in (False, True))
    return f"""In a uniform auction that {case.buyers} buyers share, each of whom wants two thirds of the lot, to bid the value for all of
it is no equilibrium: the last winner's own unserved part sets the price. One who asks for less ({case.asked_for()} of what it wants), while
the others bid so, gains {less} more than honestly; by another price for all it wants it gains {price}. One who asks for half costs the
owner {case.owner_loses(HALF).said(" c", per=CENT)} per kWh offered; if all did, the reserve would be the price (*When competition does not
pay* plays that with two)."""


AUDIT: Final = Experiment(
    name=NAME,
    title="What the mechanisms do to those who use them",
    question="What does the owner earn, is energy sold to who values it most, does anybody pay too much, and what does a lie gain?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure(
            "audit",
            "What a bidder gains by bidding otherwise",
            draw,
            """Four buyers, each of whom wants the whole lot; the others in equilibrium. 95 % bands of paired differences over tapes; the
grey lines are the equilibrium and what it gains.""",
        ),
    ),
    tables=(
        TableOf(
            "audit",
            "Audit by mechanism, c per kWh offered",
            (
                "mechanism",
                "demand",
                "buyers",
                "owner's income",
                "efficiency",
                "above value",
                "below reserve",
                "bidder gains by its best bid for all it wants, % of honest",
                "or for less",
                "for this part of it",
                "owner by an invented bid",
                "owner by a reserve above cost",
                "at share",
            ),
            rows,
            "95 % BCa intervals over tapes. What is best is chosen on one half of the tapes and judged on the other, both ways; "
            "0.0 [0.0, 0.0]: on both halves the equilibrium itself was best.",
        ),
    ),
    method="""Synthetic tapes, spread over the seasons. Every buyer wants every lot whole; for first-price, vickrey and uniform also with
demand split among three and four (`lab/play.py`): two lots in a row, whose equilibrium is derived in `lab/bidding.py`, or one uniform
lot for two winners, in which values are bid. All bid in equilibrium, if one is known, and the reserve is feed-in and wear. *Efficiency*:
welfare above the owner's own worth, as a share of the best possible allocation. *A bidder's lie*: one buyer goes to another share of the
way from the reserve to its equilibrium bid, from 0 to 1.25, the best share for each third of its value's range. In uniform auctions it
may also ask for a quarter, a half or three quarters of what it wants, with shares from 0.9 to 1.05, and does without the rest ("demand
reduction": L. Ausubel, P. Cramton, "Demand reduction and inefficiency in multi-unit auctions", 2002). *The owner's lie*: one more bid
just below the best one, after all sealed ones are in; the shipped mechanism is asked what it would then have brought. *A reserve above
cost*: a share of the way from there to the half-hour's price, known to all. The best lie and the best reserve are chosen on every other
tape and judged on the rest, and the other way round. That no lie gains 2 % holds only where the whole interval is below 2 %; where it
is wider, that is said. Tapes are those that other experiments draw from the same seed, so they are no independent evidence.""",
    said=said,
)
EXPERIMENTS: Final = (AUDIT,)
