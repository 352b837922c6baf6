"""The audit of the mechanisms, as an experiment: income, efficiency, who pays too much, what a lie gains."""

from typing import Final, NamedTuple

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import WH_PER_KWH
from lab.audit import FACTORS, rows_of
from lab.drawing import LOOKS, QUIET, axes_of
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.play import Rules
from lab.shown import CENT, EFFICIENT, legend_below
from lab.statistics import Interval, difference, ratio
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
SPLIT_COUNTS: Final = (3, 4)
"""Two lots in a row: for three buyers the second is half as large, for four it is as large as the first."""
SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (6, 4), "full": (40, 12)}
"""(synthetic tapes, days of each)."""
HALVES: Final = 2
"""What is best is chosen on every other tape and judged on the rest, and the other way round: nothing is judged where it was chosen."""
THIRDS: Final = ("low_micro", "middle_micro", "high_micro")
MOST_GAIN: Final = 0.02
"""A lie that gains less than this share of what the bidder gains honestly is none worth telling."""


def cases_of(mechanism: str) -> list[Rules]:
    """What is audited of a mechanism."""
    split = SPLIT_COUNTS if mechanism in SEQUENTIAL else ()
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


class Case(NamedTuple):
    """A mechanism with so many buyers: its rows, by liar and share, each by tape."""

    buyers: int
    rows: dict[tuple[str, float], list[Row]]

    def sums(self, liar: str, share: float, *columns: str) -> list[int]:
        """By tape."""
        return [sum(int(row[column]) for column in columns) for row in self.rows[liar, share]]

    @property
    def offered(self) -> list[int]:
        """By tape, Wh."""
        return self.sums("nobody", 1.0, "offered_wh")

    @property
    def honest(self) -> list[int]:
        """What the bidder gains honestly, by tape, µ."""
        return self.sums("nobody", 1.0, *THIRDS)

    def per_kwh(self, liar: str, share: float, *columns: str) -> Interval:
        """µ per kWh offered."""
        return ratio([WH_PER_KWH * one for one in self.sums(liar, share, *columns)], self.offered)

    def efficiency(self) -> float:
        """Of the welfare that could have been."""
        return sum(self.sums("nobody", 1.0, "welfare_micro")) / sum(self.sums("nobody", 1.0, "best_micro"))

    def count(self, column: str) -> int:
        """Of all honest tapes."""
        return sum(self.sums("nobody", 1.0, column))

    def more_than_honest(self, factor: float) -> Interval:
        """What a bidder gains by one factor throughout, as a share of what it gains honestly."""
        return self._of_honest(self.sums("bidder", factor, *THIRDS))

    def chosen(self, liar: str, column: str, half: int) -> float:
        """The share that brings most on the tapes of the other half."""
        shares = [share for name, share in self.rows if name == liar]
        return max(shares, key=lambda share: sum(self.sums(liar, share, column)[1 - half :: HALVES]))

    def crossed(self, liar: str, column: str) -> list[int]:
        """By tape: what the share brings that was chosen on the other half."""
        brought = [0] * len(self.offered)
        for half in range(HALVES):
            brought[half::HALVES] = self.sums(liar, self.chosen(liar, column, half), column)[half::HALVES]
        return brought

    def lie_gains(self) -> Interval:
        """What a bidder gains by its best lie, by third of its range, as a share of what it gains honestly."""
        lying = [sum(parts) for parts in zip(*(self.crossed("bidder", third) for third in THIRDS), strict=True)]
        return self._of_honest(lying)

    def _of_honest(self, gained: list[int]) -> Interval:
        """How much more than honestly, divided by the mean of that, since on a short tape the bidder may win nothing at all."""
        gain = difference(gained, self.honest, self.offered)
        unit = sum(self.honest) / sum(self.offered)
        return Interval(gain.estimate / unit, gain.low / unit, gain.high / unit, gain.error / unit, gain.clusters)

    def reserve_gains(self) -> Interval:
        """What the best reserve earns more than the one at cost, µ per kWh offered."""
        sums = (self.crossed("reserve", "earned_micro"), self.sums("nobody", 1.0, "earned_micro"))
        ours, theirs = ([WH_PER_KWH * one for one in by_tape] for by_tape in sums)
        return difference(ours, theirs, self.offered)

    def best_reserves(self) -> str:
        """The shares of the way at which it is, as chosen on either half."""
        chosen = {self.chosen("reserve", "earned_micro", half) for half in range(HALVES)}
        return ", ".join(f"{share:.2f}" for share in sorted(chosen))


Found = dict[tuple[str, str, int], Case]


def read(table: pa.Table) -> Found:
    """By mechanism, demand and number of buyers."""
    found: Found = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["tape"]):
        case = found.setdefault((row["mechanism"], row["demand"], row["buyers"]), Case(row["buyers"], {}))
        case.rows.setdefault((row["liar"], row["share"]), []).append(row)
    return found


def whole(found: Found, mechanism: str) -> list[Case]:
    """Where every buyer wants every lot whole."""
    return [found[mechanism, "added", buyers] for buyers in COUNTS]


def split(found: Found, mechanism: str) -> list[Case]:
    """Where they share the demand; none of a mechanism that is not audited so."""
    return [found[mechanism, "split", buyers] for buyers in SPLIT_COUNTS if mechanism in SEQUENTIAL]


# -- what must hold


def checks(table: pa.Table) -> list[Check]:
    """Nobody pays too much, energy goes to who values it most, honesty is the best bid, the owner is tempted where it should be."""
    found = read(table)
    return [
        *(_rational(mechanism, [*whole(found, mechanism), *split(found, mechanism)]) for mechanism in MECHANISMS),
        *(_efficient(mechanism, whole(found, mechanism)) for mechanism in AUCTIONS),
        *(_efficient(_as_split(mechanism), split(found, mechanism)) for mechanism in SEQUENTIAL),
        *(no_lie(mechanism, whole(found, mechanism)) for mechanism in AUCTIONS),
        *(no_lie(_as_split(mechanism), split(found, mechanism)) for mechanism in SEQUENTIAL),
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
    gains = {case.buyers: case.lie_gains() for case in cases}
    said = ", ".join(f"{percent(one, digits=1)} with {buyers}{_doubt(one)}" for buyers, one in gains.items())
    passed = all(one.high <= MOST_GAIN for one in gains.values())
    return Check(f"{name}: no other bid found gains a bidder {MOST_GAIN:.0%}", passed, said)


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
    judged = {key: case.lie_gains() for key, case in found.items() if key[0] in AUCTIONS}
    key, worst = max(judged.items(), key=lambda item: item[1].estimate)
    held = sum(one.high <= MOST_GAIN for one in judged.values())
    text = f"No other bid that was tried gains a bidder {MOST_GAIN:.0%} in {held} of {len(judged)} cases"
    if held < len(judged):
        lied = sum(one.low > MOST_GAIN for one in judged.values())
        text += f", in {lied} one does, and {len(judged) - held - lied} these tapes do not decide"
    mechanism, demand, buyers = key
    where = f"{mechanism} with {buyers} buyers{' who share the demand' if demand == 'split' else ''}"
    return f"{text}. The best of them gains {percent(worst, digits=1)} ({where})."


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
                "bidder gains by its best lie, % of honest",
                "owner by an invented bid",
                "owner by a reserve above cost",
                "at share",
            ),
            rows,
            "95 % BCa intervals over tapes. What is best is chosen on one half of the tapes and judged on the other, both ways; "
            "0.0 [0.0, 0.0]: on both halves the equilibrium itself was best.",
        ),
    ),
    method="""Synthetic tapes, spread over the seasons. Every buyer wants every lot whole; for first-price and vickrey also with demand
split among three and four (`lab/play.py`), two lots in a row, whose equilibrium is derived in `lab/bidding.py`. All bid in
equilibrium, the reserve is feed-in and wear. *Efficiency*: welfare above the owner's own worth, as a share of the best possible
allocation. *A bidder's lie*: one buyer goes to another share of the way from the reserve to its equilibrium bid, from 0 to 1.25,
the best share for each third of its value's range. *The owner's lie*: one more bid just below the best one, after all sealed ones
are in; the shipped mechanism is asked what it would then have brought. *A reserve above cost*: a share of the way from there to
the half-hour's price, known to all. The best lie and the best reserve are chosen on every other tape and judged on the rest, and
the other way round. That no lie gains 2 % holds only where the whole interval is below 2 %; where it is wider, that is said.
Tapes are those that other experiments draw from the same seed, so they are no independent evidence.""",
    said=said,
)
EXPERIMENTS: Final = (AUDIT,)
