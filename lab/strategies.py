"""The tournament of strategies, read: who gains more, by how much, and how far from the best reply that search finds."""

from itertools import product
from typing import Final, NamedTuple

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import WH_PER_KWH
from lab.drawing import QUIET, axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, TableOf
from lab.shown import CENT, UNIT, legend_below
from lab.statistics import Interval, difference, ratio
from lab.tournament import EQUILIBRIUM, FIELDS, FIXED, MECHANISMS, REPLY, ROOMS, SHARES, STRATEGY, run, tasks
from lab.wording import counted, more, percent

NAME: Final = "tournament"
AS_GOOD: Final = 0.1
"""Where little or nothing is to be had beyond a fixed strategy, to lose no more than this share of what that gains will do: it is
what learning the mechanism costs."""
CEILINGS: Final[dict[tuple[str, ...], str]] = {
    ("english", "alone"): "conservative",
    ("vickrey", "alone"): "truthful",
    ("uniform", "alone"): "truthful",
    ("first-above-reserve", "alone"): "conservative",
    ("first-above-reserve", "waiting"): "conservative",
}
"""What no bid beats, by room: the ask in ascending auctions and where the first one wins, the value where it does not set the price."""
NEAR: Final[dict[tuple[str, ...], str]] = {
    ("english", "waiting", EQUILIBRIUM): "conservative",
    ("vickrey", "waiting", EQUILIBRIUM): "truthful",
    ("uniform", "waiting", "mixed"): "truthful",
    ("uniform", "waiting", EQUILIBRIUM): "truthful",
}
"""What can be beaten, but not by much: it differs from the equilibrium only by not waiting for later lots, or by bidding the value where a
rest of the own demand may set the price. Not to fall behind it is asked here, no more."""
Key = tuple[str, str, str]
"""Mechanism, room, field."""
SETTINGS: Final[tuple[Key, ...]] = tuple(product(MECHANISMS, ROOMS, FIELDS))


class Gains(NamedTuple):
    """What a seat gained, by tape, µ; and what was offered, Wh."""

    micro: tuple[int, ...]
    offered: tuple[int, ...]

    def per_kwh(self) -> Interval:
        """µ per kWh offered."""
        return ratio([WH_PER_KWH * gained for gained in self.micro], self.offered)

    def part_of(self, best: "Gains") -> Interval:
        """As a share of what the best gains on the same tapes; that must be above 0."""
        return ratio(self.micro, best.micro)

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
    """By setting and strategy; the best reply to be found alone is put together from what each share brought in each third."""
    gathered: dict[tuple[Key, str], list[Row]] = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["tape"]):
        setting = (row["mechanism"], row["room"], row["field"])
        gathered.setdefault((setting, row["strategy"]), []).append(row)
    return {
        (setting, name): _by_thirds(rows) if (setting[1], name) == ("alone", REPLY) else _plain(rows)
        for (setting, name), rows in gathered.items()
    }


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


def share_of_best(found: Found, setting: Key, name: str = STRATEGY) -> Interval:
    """What a strategy gains of what the best reply found does: both on the tapes that were searched."""
    best = found[setting, REPLY]
    return found[setting, name].on(len(best.micro)).part_of(best)


# -- what must hold


class Comparison(NamedTuple):
    """With one fixed strategy in one setting."""

    setting: Key
    rival: str
    more: Interval
    """Than the rival gains, µ per kWh offered."""
    rivals: float
    """What that gains, µ per kWh offered."""

    @property
    def near(self) -> bool:
        """Whether it is enough to come near."""
        return self.rival in (CEILINGS.get(self.setting[:2]), NEAR.get(self.setting))

    @property
    def won(self) -> bool:
        """The whole interval is above zero."""
        return self.more.low > 0

    @property
    def held(self) -> bool:
        """What is asked of it."""
        return self.more.low >= -AS_GOOD * self.rivals if self.near else self.won

    def lost_most(self) -> float:
        """The share of what the rival gains that it may have lost: by the lower end of the interval."""
        return max(0.0, -self.more.low) / self.rivals if self.rivals > 0 else 0.0

    def check(self) -> Check:
        """As it is judged, named for what it tests."""
        asked = f"within {AS_GOOD:.0%} of {self.rival}" if self.near else f"gains more than {self.rival}"
        loss = f", at most {self.lost_most():.1%} lost" if self.near else ""
        said = f"{self.more.said(UNIT, per=CENT, digits=3)}{loss}, {counted(self.more.clusters, 'tape')}"
        return Check(f"{_named(self.setting)}: {asked}", self.held, said)


def comparisons(found: Found) -> list[Comparison]:
    """With every fixed strategy in every setting."""
    return [
        Comparison(
            setting, rival, found[setting, STRATEGY].over(found[setting, rival]), found[setting, rival].estimate()
        )
        for setting in SETTINGS
        for rival in FIXED
    ]


def checks(table: pa.Table) -> list[Check]:
    """It gains more than every fixed strategy, or comes near to one beyond which little is to be had."""
    return [comparison.check() for comparison in comparisons(read(table))]


def _named(setting: Key) -> str:
    mechanism, room, field = setting
    return f"{mechanism}, {room}, {field} rivals"


# -- what is shown


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Bars: what each strategy gains of what the best reply found does, by mechanism; a panel per room and field."""
    found = read(table)
    width = 0.8 / len(SHOWN)
    for place, (room, field) in enumerate(product(ROOMS, FIELDS), 1):
        title = f"{room}, {field} rivals"
        axes = axes_of(canvas, (len(ROOMS), len(FIELDS), place), x="", y="% of the best found", title=title)
        for index, name in enumerate(SHOWN):
            at = [position + (index - (len(SHOWN) - 1) / 2) * width for position in range(len(MECHANISMS))]
            parts = [share_of_best(found, (mechanism, room, field), name) for mechanism in MECHANISMS]
            axes.bar(at, [100 * one.estimate for one in parts], width, label=name, color=look(index).colour)
            spread = [
                [100 * max(0.0, one.estimate - one.low) for one in parts],
                [100 * max(0.0, one.high - one.estimate) for one in parts],
            ]
            heights = [100 * one.estimate for one in parts]
            axes.errorbar(at, heights, spread, fmt="none", color="black", linewidth=0.8, capsize=1.5)
        axes.axhline(100, color=QUIET, linewidth=1)
        axes.set_xticks(
            range(len(MECHANISMS)), [name.replace("-above-", "-\nabove-") for name in MECHANISMS], fontsize=8
        )
        axes.set_ylim(0, 120)
    legend_below(canvas, axes, columns=len(SHOWN))


SHOWN: Final = (*FIXED, STRATEGY)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Setting by setting, on all tapes."""
    found = read(table)
    return [
        (
            *setting,
            *(_mean(found, setting, name) for name in FIXED),
            found[setting, STRATEGY].per_kwh().said(per=CENT, digits=3),
            _mean(found, setting, EQUILIBRIUM),
        )
        for setting in SETTINGS
    ]


def _mean(found: Found, setting: Key, name: str) -> str:
    gains = found.get((setting, name))
    return f"{gains.estimate() / CENT:.3f}" if gains is not None else ""


def searched(table: pa.Table) -> list[tuple[str, ...]]:
    """Setting by setting, on the tapes that were searched."""
    found = read(table)
    return [_searched(found, setting) for setting in SETTINGS]


def _searched(found: Found, setting: Key) -> tuple[str, ...]:
    best = found[setting, REPLY]
    ours = found[setting, STRATEGY].on(len(best.micro))
    return (
        *setting,
        f"{ours.estimate() / CENT:.3f}",
        f"{best.estimate() / CENT:.3f}",
        percent(share_of_best(found, setting)),
        percent(share_of_best(found, setting, EQUILIBRIUM)) if setting[2] == EQUILIBRIUM else "",
    )


def said(table: pa.Table) -> str:
    """What the numbers say."""
    found = read(table)
    tapes = len(found[SETTINGS[0], STRATEGY].micro)
    few = counted(len(found[SETTINGS[0], REPLY].micro), "tape")
    first, mixed = (percent(share_of_best(found, ("first-price", "alone", field))) for field in (EQUILIBRIUM, "mixed"))
    return f"""{counts(comparisons(found), tapes)}

How near it comes to the best reply is told of the {few} that were searched. In single lots where the bid is paid it gains
{mixed} of the best found against mixed rivals and {first} against rivals in equilibrium. It begins each tape without knowing
anything, not even the mechanism; the best found is chosen afterwards and knows where in its range each value lies, or which part
of a lot this is.

{_waiting(found)}"""


def counts(judged: list[Comparison], tapes: int) -> str:
    """Wins, ties and the rest in words, each by itself."""
    won = [one for one in judged if one.won]
    tied = [one for one in judged if one.held and not one.won]
    failed = [one for one in judged if not one.held]
    text = f"""On {counted(tapes, "tape")} *intelligent* wins {len(won)} of {len(judged)} comparisons with fixed strategies: the
whole interval of the paired difference is above zero."""
    if tied:
        worst = max(tied, key=Comparison.lost_most)
        behind = sum(one.more.high < 0 for one in tied)
        text += f""" {len(tied)} are ties: at most {AS_GOOD:.0%} behind one beyond which little or nothing is to be had. In {behind}
of these it is surely behind; the worst tie is with *{worst.rival}* ({_named(worst.setting)}), of whose gain it may lose
{worst.lost_most():.1%}."""
    if failed:
        names = "; ".join(f"{one.rival} ({_named(one.setting)})" for one in failed)
        text += f" Neither, in {len(failed)}: {names}."
    return text


def _waiting(found: Found) -> str:
    """What it is worth to wait for the later parts of a lot."""
    told = [
        f"In {mechanism} auctions it gains {_over(found, (mechanism, 'waiting', 'mixed'), STRATEGY, rival)} than *{rival}* against mixed "
        f"rivals, and {_over(found, (mechanism, 'waiting', EQUILIBRIUM), STRATEGY, rival)} against rivals in equilibrium, where who "
        f"bids as they do gains {_over(found, (mechanism, 'waiting', EQUILIBRIUM), EQUILIBRIUM, rival)}."
        for mechanism, rival in (("vickrey", "truthful"), ("english", "conservative"))
    ]
    return f"Over several lots in a row there is waiting to be done. {' '.join(told)}"


def _over(found: Found, setting: Key, name: str, rival: str) -> str:
    return more(found[setting, name].over(found[setting, rival]), digits=3)


TOURNAMENT: Final = Experiment(
    name=NAME,
    title="Strategies on common tapes",
    question="Does a buyer gain more by learning than by any fixed strategy, and how near is it to the best reply?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure(
            "tournament",
            "What a buyer gains, as a share of the best reply found",
            draw,
            """95 % intervals over the tapes that were searched, all bars on these. The best found is a lower bound of the best
reply, so that more than 100 % is possible. A strategy without a bar gains next to nothing.""",
        ),
    ),
    tables=(
        TableOf(
            "tournament",
            "What a buyer gains, c per kWh offered",
            ("auction", "room", "rivals", *FIXED, STRATEGY, "as in equilibrium"),
            rows,
            "95 % BCa intervals over all tapes. *as in equilibrium*: the seat bids as its rivals do, where these are in equilibrium.",
        ),
        TableOf(
            "found",
            "How near to the best reply found, c per kWh offered",
            (
                "auction",
                "room",
                "rivals",
                STRATEGY,
                REPLY,
                f"{STRATEGY}, % of {REPLY}",
                f"as in equilibrium, % of {REPLY}",
            ),
            searched,
            """On the tapes that were searched, all columns. 95 % BCa intervals over these few tapes. What search finds is a lower bound of
the best reply, so more than 100 % is possible.""",
        ),
    ),
    method="""Five buyers on synthetic tapes (`lab/tape.py`), which are spread over the seasons, the reserve at feed-in and wear. One
seat is played by each strategy in turn: same lots, values, delays and rivals, so that differences are paired by tape; each tape
begins without knowledge. *Gained* is (value − price paid) × energy per kWh offered. Rooms: *alone* (everybody wants every lot whole)
and *waiting* (all together want twice the lot, in equal parts, and the rest of a lot is sold on at once). Rivals: *mixed* (one of
each fixed strategy) and *equilibrium* (`lab/bidding.py`).

To *win* is that the 95 % interval of the paired difference is above zero. In vickrey and uniform auctions of single lots the value is
dominant (W. Vickrey, 1961), in ascending ones the ask up to the value, and where the first bid wins the ask: there no more than a tie
is to be had, and it is one if the lower end of the interval is above −10 % of what that strategy gains. The same is asked in the
waiting room against the ask (english) and the value (vickrey) among rivals in equilibrium, and against the value in uniform auctions.
There more can be gained, since who waits meets fewer rivals; how much more, the column *as in equilibrium* says where an equilibrium
is known. Each comparison is judged by itself: of 80, two might be won by chance where nothing is gained.

The *best found* is searched for (`lab/response.py`) against the same rivals on the first tapes. Alone: the share of the way from the
reserve to the value, for each third of the value's range, the best of 14 shares each, over these tapes. Waiting: a share for the
first, second and later parts of a lot, by coordinate ascent from two starts, tape by tape. Both know afterwards what could not be
known before, and both search a small family only.

One battery, and demand that lasts a half-hour: that `intelligent` learns each battery by itself, and lets demand wait for other
half-hours, is not put to the test here. Its constants were chosen with this experiment on seed 1; the published report is of seed 2.
Other experiments with synthetic tapes draw the same years from the same seed, and so are no independent evidence.""",
    said=said,
)
EXPERIMENTS: Final = (TOURNAMENT,)
