"""The tournament of strategies, read: who gains more, by how much, and how far from the best reply that search finds."""

from typing import Final, NamedTuple

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import WH_PER_KWH
from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, TableOf
from lab.shown import CENT, legend_below
from lab.statistics import Interval, difference, ratio
from lab.tournament import FIELDS, FIXED, MECHANISMS, REPLY, ROOMS, SHARES, STRATEGY, run, tasks

NAME: Final = "tournament"
UNIT: Final = " c/kWh"
AS_GOOD: Final = 0.1
"""Where theory says that nothing beats a fixed strategy, to lose no more than this share of what that gains is a tie: it is what
learning the mechanism costs."""
TIES: Final[dict[tuple[str, ...], str]] = {
    ("english", "alone"): "conservative",
    ("vickrey", "alone"): "truthful",
    ("uniform", "alone"): "truthful",
    ("uniform", "waiting"): "truthful",
    ("first-above-reserve", "alone"): "conservative",
    ("first-above-reserve", "waiting"): "conservative",
    ("english", "waiting", "equilibrium"): "conservative",
    ("vickrey", "waiting", "equilibrium"): "truthful",
}
"""What cannot be beaten: the ask in ascending auctions and where the first one wins, the value where it does not set the price; in
several lots in a row too where rivals wait as theory says, for then later lots are no cheaper (R. Weber, 1983)."""
Key = tuple[str, str, str]
"""Mechanism, room, field."""


class Gains(NamedTuple):
    """What a seat gained, by tape, µ; and what was offered, Wh."""

    micro: tuple[int, ...]
    offered: tuple[int, ...]

    def per_kwh(self) -> Interval:
        """µ per kWh offered."""
        return ratio([WH_PER_KWH * gained for gained in self.micro], self.offered)

    def estimate(self) -> float:
        """The same without its error, also of one tape."""
        return WH_PER_KWH * sum(self.micro) / sum(self.offered)

    def over(self, other: "Gains") -> Interval:
        """How much more than another on the same tapes."""
        ours, theirs = ([WH_PER_KWH * gained for gained in gains.micro] for gains in (self, other))
        return difference(ours, theirs, self.offered)

    def on(self, tapes: int) -> "Gains":
        """The first tapes only."""
        return Gains(self.micro[:tapes], self.offered[:tapes])


Found = dict[tuple[Key, str], Gains]


def read(table: pa.Table) -> Found:
    """By setting and strategy; the best reply is put together from what each share brought in each third."""
    rows = sorted(table.to_pylist(), key=lambda row: row["tape"])
    settings = {(row["mechanism"], row["room"], row["field"]) for row in rows}
    found: Found = {}
    for setting in settings:
        of = [row for row in rows if (row["mechanism"], row["room"], row["field"]) == setting]
        for name in (*FIXED, STRATEGY):
            mine = [row for row in of if row["strategy"] == name]
            found[setting, name] = Gains(
                tuple(row["gained_micro"] for row in mine), tuple(row["offered_wh"] for row in mine)
            )
        replies = [row for row in of if row["strategy"] == REPLY]
        found[setting, REPLY] = _by_thirds(replies) if setting[1] == "alone" else _plain(replies)
    return found


def _plain(rows: list[Row]) -> Gains:
    return Gains(tuple(int(row["gained_micro"]) for row in rows), tuple(int(row["offered_wh"]) for row in rows))


def _by_thirds(rows: list[Row]) -> Gains:
    """In each third of the value the share that gains most over all tapes."""
    by_share = {share: [row for row in rows if row["share"] == share] for share in SHARES}
    tapes = by_share[SHARES[0]]
    micro = [0] * len(tapes)
    for third in ("low_micro", "middle_micro", "high_micro"):
        best = max(SHARES, key=lambda share: sum(int(row[third]) for row in by_share[share]))
        micro = [sum_ + int(row[third]) for sum_, row in zip(micro, by_share[best], strict=True)]
    return Gains(tuple(micro), tuple(int(row["offered_wh"]) for row in tapes))


def share_of_best(found: Found, setting: Key) -> float:
    """What the strategy gains of what the best reply does, on the tapes where that was searched for."""
    best = found[setting, REPLY]
    ours = found[setting, STRATEGY].on(len(best.micro))
    return sum(ours.micro) / sum(best.micro) if sum(best.micro) > 0 else 1.0


# -- what must hold


def checks(table: pa.Table) -> list[Check]:
    """It gains more than every fixed strategy, or ties with the one that cannot be beaten."""
    found = read(table)
    return [
        _check(found, (mechanism, room, field), rival)
        for mechanism in MECHANISMS
        for room in ROOMS
        for field in FIELDS
        for rival in FIXED
    ]


def _check(found: Found, setting: Key, rival: str) -> Check:
    more = found[setting, STRATEGY].over(found[setting, rival])
    said = more.said(UNIT, per=CENT, digits=3)
    if rival in (TIES.get(setting[:2]), TIES.get(setting)):
        most = found[setting, rival].estimate()
        return Check(f"{_named(setting)}: as good as {rival}, which nothing beats", more.low >= -AS_GOOD * most, said)
    return Check(f"{_named(setting)}: gains more than {rival}", more.low > 0, said)


def _named(setting: Key) -> str:
    mechanism, room, field = setting
    return f"{mechanism}, {room}, {field} rivals"


# -- what is shown


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Bars: what each strategy gains, by mechanism, mixed rivals; a panel per room."""
    found = read(table)
    names = (*FIXED, STRATEGY, REPLY)
    for place, room in enumerate(ROOMS, 1):
        axes = axes_of(canvas, (len(ROOMS), 1, place), x="", y="gained, c per kWh offered", title=room)
        for index, name in enumerate(names):
            at = [position + (index - 2.5) * 0.13 for position in range(len(MECHANISMS))]
            gained = [found[(mechanism, room, "mixed"), name] for mechanism in MECHANISMS]
            axes.bar(at, [one.estimate() / CENT for one in gained], 0.13, label=name, color=look(index).colour)
            if name != REPLY:
                known = [one.per_kwh() for one in gained]
                spread = [
                    [max(0.0, one.estimate - one.low) / CENT for one in known],
                    [max(0.0, one.high - one.estimate) / CENT for one in known],
                ]
                axes.errorbar(
                    at, [one.estimate / CENT for one in known], spread, fmt="none", color="black", linewidth=0.8
                )
        axes.set_xticks(range(len(MECHANISMS)), MECHANISMS)
    legend_below(canvas, axes)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Setting by setting."""
    found = read(table)
    return [
        (
            mechanism,
            room,
            field,
            *(f"{found[setting, name].estimate() / CENT:.3f}" for name in FIXED),
            found[setting, STRATEGY].per_kwh().said(per=CENT, digits=3),
            f"{found[setting, REPLY].estimate() / CENT:.3f}",
            f"{share_of_best(found, setting):.0%}",
        )
        for mechanism in MECHANISMS
        for room in ROOMS
        for field in FIELDS
        for setting in ((mechanism, room, field),)
    ]


def said(table: pa.Table) -> str:
    """What the numbers say."""
    found = read(table)
    judged = checks(table)
    lost = [check.name for check in judged if not check.passed]
    first = share_of_best(found, ("first-price", "alone", "equilibrium"))
    mixed = share_of_best(found, ("first-price", "alone", "mixed"))
    vickrey = share_of_best(found, ("vickrey", "alone", "mixed"))
    waits = found[("vickrey", "waiting", "mixed"), STRATEGY].over(found[("vickrey", "waiting", "mixed"), "truthful"])
    rises = found[("english", "waiting", "mixed"), STRATEGY].over(
        found[("english", "waiting", "mixed"), "conservative"]
    )
    result = "all of them" if not lost else f"all but {len(lost)} ({'; '.join(lost)})"
    return f"""*intelligent* wins, or ties where theory allows no more, in {len(judged) - len(lost)} of {len(judged)} comparisons:
{result}. Where the bid is paid it reaches {mixed:.0%} of the best reply to mixed rivals and {first:.0%} of that to rivals in
equilibrium. It begins each tape without knowing anything, not even the mechanism; the best reply is chosen afterwards and knows
where in its range each value lies. Where the second price is paid nothing beats the value within one lot, and a tie is
all there is ({vickrey:.0%} of it: what it costs to find out). Over several lots there is something to be gained by waiting:
{waits.said(UNIT, per=CENT)} over truthful bids in vickrey auctions and {rises.said(UNIT, per=CENT)} over bids at the ask in
english ones, against mixed rivals."""


TOURNAMENT: Final = Experiment(
    name=NAME,
    title="Strategies on common tapes",
    question="Does a buyer gain more by learning than by any fixed strategy, and how near is it to the best reply?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure("tournament", "What a buyer gains, by its strategy", draw, "Mixed rivals; 95 % intervals over tapes."),
    ),
    tables=(
        TableOf(
            "tournament",
            "What a buyer gains, c per kWh offered",
            ("auction", "room", "rivals", *FIXED, STRATEGY, REPLY, "of best"),
            rows,
            "95 % BCa intervals over tapes. *of best*: on the tapes where the best reply was searched for.",
        ),
    ),
    method="""Five buyers on synthetic tapes (`lab/tape.py`), the reserve at feed-in and wear. One seat is played by each strategy
in turn: same lots, values, delays and rivals, so that differences are paired by tape; each tape begins without knowledge. *Gained*
is (value − price paid) × energy per kWh offered. Rooms: *alone* (everybody wants every lot whole) and *waiting* (all together
want twice the lot, in equal parts, and the rest of a lot is sold on at once). Rivals: *mixed* (one of each fixed strategy) and
*equilibrium* (`lab/bidding.py`).

To *win* is that the 95 % interval of the paired difference is above zero. In vickrey auctions of single lots the value is
dominant (W. Vickrey, 1961), in ascending ones the ask up to the value, in uniform ones the value where each wants one part, and
where the first bid wins the ask; against rivals in equilibrium later lots are no cheaper, so that waiting gains nothing (R. Weber,
1983). There a tie is all that can be had: the lower end of the interval is above −10 % of what the unbeaten strategy gains.

The *best reply* is found by search (`lab/response.py`) against the same rivals. Alone: the share of the way from the reserve to
the value, for each third of the value's range, the best of 14 shares each, over all tapes. Waiting: a share for the first, second
and later parts of a lot, by coordinate ascent, tape by tape, on the first tapes. Both know afterwards what could not be known
before.""",
    said=said,
)
EXPERIMENTS: Final = (TOURNAMENT,)
