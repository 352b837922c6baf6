"""The audit of the mechanisms, as an experiment: income, efficiency, who pays too much, what a lie gains."""

from typing import Final, NamedTuple

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import WH_PER_KWH
from lab.audit import FACTORS, RESERVES, rows_of
from lab.drawing import LOOKS, QUIET, axes_of
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.shown import CENT, legend_below
from lab.statistics import Interval, difference, ratio
from lab.tape import synthetic_tape

NAME: Final = "audit"
MECHANISMS: Final = ("english", "first-price", "vickrey", "uniform", "first-above-reserve")
AUCTIONS: Final = MECHANISMS[:4]
SEALED: Final = ("first-price", "vickrey", "uniform")
"""Where the owner sees bids that nobody else does."""
SECOND_PRICE: Final = ("vickrey", "uniform")
"""Where the owner's word is trusted for the price-setting bid."""
COUNTS: Final = (2, 4, 8)
SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (6, 5), "full": (20, 40)}
"""(synthetic tapes, days of each)."""
THIRDS: Final = ("low_micro", "middle_micro", "high_micro")
MOST_GAIN: Final = 0.02
"""A lie that gains less than this share of what the bidder gains honestly is none worth telling."""
EFFICIENT: Final = 0.98
"""Of the best welfare. Values nearer than the increment may go to the second in an english auction, and a late bid counts nowhere."""


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
    return rows_of(synthetic_tape(seed, number, days=days), (mechanism,), COUNTS, number)


class Case(NamedTuple):
    """A mechanism with so many buyers: its rows, by liar and share, each by tape."""

    rows: dict[tuple[str, float], list[Row]]

    def sums(self, liar: str, share: float, *columns: str) -> list[int]:
        """By tape."""
        return [sum(int(row[column]) for column in columns) for row in self.rows[liar, share]]

    @property
    def offered(self) -> list[int]:
        """By tape, Wh."""
        return self.sums("nobody", 1.0, "offered_wh")

    def per_kwh(self, liar: str, share: float, *columns: str) -> Interval:
        """µ per kWh offered."""
        return ratio([WH_PER_KWH * one for one in self.sums(liar, share, *columns)], self.offered)

    def efficiency(self) -> float:
        """Of the welfare that could have been."""
        return sum(self.sums("nobody", 1.0, "welfare_micro")) / sum(self.sums("nobody", 1.0, "best_micro"))

    def count(self, column: str) -> int:
        """Of all honest tapes."""
        return sum(self.sums("nobody", 1.0, column))

    def best_factors(self) -> list[float]:
        """By third of the bidder's range: the factor that gains most on every other tape."""
        return [max(FACTORS, key=lambda share: sum(self.sums("bidder", share, third)[::2])) for third in THIRDS]

    def bidder_gains(self) -> Interval:
        """What a bidder gains by its best lie, µ per kWh offered: on the tapes that it was not chosen on."""
        lying = [0] * len(self.offered)
        for third, share in zip(THIRDS, self.best_factors(), strict=True):
            lying = [before + more for before, more in zip(lying, self.sums("bidder", share, third), strict=True)]
        ours, theirs = ([WH_PER_KWH * one for one in sums[1::2]] for sums in (lying, self.sums("nobody", 1.0, *THIRDS)))
        return difference(ours, theirs, self.offered[1::2])

    def best_reserve(self) -> float:
        """The share of the way at which a reserve earns most."""
        return max(RESERVES, key=lambda share: sum(self.sums("reserve", share, "earned_micro")))

    def reserve_gains(self) -> Interval:
        """What that earns more than the reserve at cost."""
        earned = self.sums("reserve", self.best_reserve(), "earned_micro")
        ours, theirs = (
            [WH_PER_KWH * one for one in sums] for sums in (earned, self.sums("nobody", 1.0, "earned_micro"))
        )
        return difference(ours, theirs, self.offered)


Found = dict[tuple[str, int], Case]


def read(table: pa.Table) -> Found:
    """By mechanism and number of buyers."""
    found: Found = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["tape"]):
        case = found.setdefault((row["mechanism"], row["buyers"]), Case({}))
        case.rows.setdefault((row["liar"], row["share"]), []).append(row)
    return found


# -- what must hold


def checks(table: pa.Table) -> list[Check]:
    """Nobody pays too much, energy goes to who values it most, honesty is the best bid, the owner is tempted where it should be."""
    found = read(table)
    return [
        *(_rational(mechanism, case) for mechanism, case in _by_mechanism(found)),
        *(_efficient(found, mechanism) for mechanism in AUCTIONS),
        *(_no_lie(found, mechanism) for mechanism in AUCTIONS),
        *(_tempted(found, mechanism) for mechanism in SEALED),
    ]


def _by_mechanism(found: Found) -> list[tuple[str, list[Case]]]:
    return [(mechanism, [found[mechanism, buyers] for buyers in COUNTS]) for mechanism in MECHANISMS]


def _rational(mechanism: str, cases: list[Case]) -> Check:
    dear, cheap = (sum(case.count(column) for case in cases) for column in ("too_dear", "too_cheap"))
    said = f"{dear} awards above the winner's value, {cheap} below the reserve"
    return Check(f"{mechanism}: nobody pays more than its value or less than the reserve", dear + cheap == 0, said)


def _efficient(found: Found, mechanism: str) -> Check:
    shares = {buyers: found[mechanism, buyers].efficiency() for buyers in COUNTS}
    said = ", ".join(f"{share:.2%} with {buyers}" for buyers, share in shares.items())
    return Check(f"{mechanism}: at least {EFFICIENT:.0%} of the best welfare", min(shares.values()) >= EFFICIENT, said)


def _no_lie(found: Found, mechanism: str) -> Check:
    gains = {buyers: found[mechanism, buyers].bidder_gains() for buyers in COUNTS}
    honest = {buyers: found[mechanism, buyers].per_kwh("nobody", 1.0, *THIRDS).estimate for buyers in COUNTS}
    said = ", ".join(
        f"{one.estimate / honest[buyers]:.2%} (at least {max(0.0, one.low) / honest[buyers]:.2%}) with {buyers}"
        for buyers, one in gains.items()
    )
    passed = all(one.low <= MOST_GAIN * honest[buyers] for buyers, one in gains.items())
    return Check(f"{mechanism}: no other bid gains a bidder more than {MOST_GAIN:.0%} for sure", passed, said)


def _tempted(found: Found, mechanism: str) -> Check:
    gains = [found[mechanism, buyers].per_kwh("nobody", 1.0, "invented_micro") for buyers in COUNTS]
    said = ", ".join(f"{one.said(' c', per=CENT)} with {buyers}" for buyers, one in zip(COUNTS, gains, strict=True))
    if mechanism in SECOND_PRICE:
        return Check(f"{mechanism}: an invented bid would gain the owner, who must be trusted", gains[0].low > 0, said)
    return Check(f"{mechanism}: an invented bid gains the owner nothing", all(one.estimate == 0 for one in gains), said)


# -- what is shown


def draw(table: pa.Table, canvas: Canvas) -> None:
    """What a bidder gains by how far it goes; four buyers."""
    found = read(table)
    axes = axes_of(
        canvas, x="bid, as a share of the way from the reserve to the equilibrium", y="gained, c per kWh offered"
    )
    for mechanism in AUCTIONS:
        case, look = found[mechanism, 4], LOOKS[mechanism]
        gained = [case.per_kwh("bidder", share, *THIRDS).estimate / CENT for share in FACTORS]
        axes.plot(FACTORS, gained, color=look.colour, marker=look.marker, linestyle=look.line, label=mechanism)
    axes.axvline(1.0, color=QUIET, linewidth=1)
    legend_below(canvas, axes, columns=4)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Mechanism by mechanism."""
    found = read(table)
    return [_row(mechanism, buyers, found[mechanism, buyers]) for mechanism in MECHANISMS for buyers in COUNTS]


def _row(mechanism: str, buyers: int, case: Case) -> tuple[str, ...]:
    return (
        mechanism,
        str(buyers),
        f"{case.per_kwh('nobody', 1.0, 'earned_micro').estimate / CENT:.3f}",
        f"{case.efficiency():.2%}",
        str(case.count("too_dear")),
        str(case.count("too_cheap")),
        f"{case.bidder_gains().said(per=CENT, digits=3)}",
        f"{case.per_kwh('nobody', 1.0, 'invented_micro').estimate / CENT:.3f}",
        f"{case.reserve_gains().said(per=CENT, digits=3)}",
        f"{case.best_reserve():.2f}",
    )


def said(table: pa.Table) -> str:
    """What the numbers say."""
    found = read(table)
    two = found["vickrey", 2].per_kwh("nobody", 1.0, "invented_micro")
    eight = found["vickrey", 8].per_kwh("nobody", 1.0, "invented_micro")
    taken = found["first-above-reserve", 4]
    tapes = sum(len(case.offered) for case in found.values())
    wrong = sum(case.count("too_dear") + case.count("too_cheap") for case in found.values())
    worst = max(
        (found[mechanism, buyers].bidder_gains() for mechanism in AUCTIONS for buyers in COUNTS),
        key=lambda one: one.estimate,
    )
    return f"""In {tapes} tapes {wrong} awards were above the winner's value or below the reserve. The four auctions give the energy to who
values it most ({min(found[mechanism, 4].efficiency() for mechanism in AUCTIONS):.1%} of the best welfare or more with four buyers);
taking the first bid gives up {1 - taken.efficiency():.1%} of it, for whoever is quickest wins. The best other bid
that a bidder was found gains {worst.said(" c", per=CENT, digits=3)} per kWh offered where it gains most. What remains is the owner's word:
a bid invented after the sealed ones were seen would bring {two.said(" c", per=CENT)} per kWh offered with two buyers in a vickrey auction
and {eight.said(" c", per=CENT)} with eight; where the winner pays its own bid it brings nothing. (The journal keeps the
price-setting bid as its bidder signed it, so that such a lie can be shown, not prevented. In an english auction the owner
does not know how high the leader would go: a bid that it invents there is a reserve by another name.) A reserve above cost is no
lie; it gains {found["vickrey", 2].reserve_gains().said(" c", per=CENT)} with two buyers."""


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
            "Four buyers, the others in equilibrium; the grey line is the equilibrium.",
        ),
    ),
    tables=(
        TableOf(
            "audit",
            "Audit by mechanism, c per kWh offered",
            (
                "mechanism",
                "buyers",
                "owner's income",
                "efficiency",
                "above value",
                "below reserve",
                "bidder gains by its best lie",
                "owner by an invented bid",
                "owner by a reserve above cost",
                "at share",
            ),
            rows,
            "95 % BCa intervals over tapes. A bidder's best lie is chosen on every other tape and judged on the rest.",
        ),
    ),
    method="""Synthetic tapes, every buyer wants every lot whole, all bid in equilibrium (`lab/bidding.py`), the reserve at feed-in
and wear. *Efficiency*: welfare above the owner's own worth, as a share of the best possible allocation. *A bidder's lie*: one buyer
goes to another share of the way from the reserve to its equilibrium bid, from 0 to 1.25, the best share for each third of its
value's range, chosen on every other tape and judged on the rest. *The owner's lie*: one more bid just below the best one, after all
sealed ones are in; the shipped mechanism is asked what it would then have brought. *A reserve above cost*: a share of the way from
there to the half-hour's price, known to all.""",
    said=said,
)
EXPERIMENTS: Final = (AUDIT,)
