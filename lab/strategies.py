"""The tournament of strategies, read: who gains more, by how much, and how far from the best reply that was found."""

from collections import Counter
from itertools import product
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from lab.bidding import TAKING
from lab.comparisons import AS_GOOD, Comparison, comparisons, named
from lab.drawing import QUIET, axes_of, look
from lab.experiment import Check, Experiment, Figure, TableOf
from lab.gains import REPLY, SETTINGS, Found, Key, finders, read, share_of_best, share_of_equilibrium
from lab.ledger import Series, series_of
from lab.shown import CENT, bare, efficiency, efficient, legend_below, rational
from lab.tournament import (
    EQUILIBRIUM,
    FIELDS,
    FIXED,
    MECHANISMS,
    ROOMS,
    SEARCHED,
    STRATEGY,
    run,
    tasks,
)
from lab.wording import counted, more, percent

NAME: Final = "tournament"

Ways = dict[tuple[object, ...], Series]
"""What the owner had of it, by mechanism, room, field, strategy."""


def owners(table: pa.Table) -> Ways:
    """Plays of all tapes, without the replies that are searched."""
    columns = ("mechanism", "room", "field", "strategy", "share")
    return {key[:-1]: series for key, series in series_of(table, columns).items() if key[-2] not in SEARCHED}


# -- what must hold


def checks(table: pa.Table) -> list[Check]:
    """It gains more than every fixed strategy, or comes near to one beyond which little is to be had; nobody loses by a sale."""
    every = series_of(table, ("mechanism", "room", "field", "strategy", "share"))
    return [
        *(comparison.check() for comparison in comparisons(read(table))),
        rational(every.values()),
        efficient("all in equilibrium", {", ".join(map(str, key[:2])): way for key, way in _known(owners(table))}),
    ]


def _known(ways: Ways) -> list[tuple[tuple[object, ...], Series]]:
    """Where all bid by one rule that rises with the value, so that who values it most has it: not where the first bid wins."""
    return [(key, way) for key, way in ways.items() if key[2:] == (EQUILIBRIUM, EQUILIBRIUM) and key[0] not in TAKING]


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
        axes.set_ylim(0, 105)
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
            percent(share_of_equilibrium(found, setting)) if setting[2] == EQUILIBRIUM else "",
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
        _whose(finders(found, setting)),
        percent(share_of_best(found, setting)),
        percent(share_of_best(found, setting, EQUILIBRIUM)) if setting[2] == EQUILIBRIUM else "",
    )


def _whose(names: list[str]) -> str:
    """Names with their numbers of tapes, most first."""
    counts = Counter(names).most_common()
    called = {EQUILIBRIUM: "as in equilibrium"}
    return ", ".join(f"{called.get(name, name)}: {count}" for name, count in counts)


def owner_rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Setting by setting: what the others have of how the seat bids."""
    ways = owners(table)
    return [_owner_row(ways, setting) for setting in SETTINGS]


def _owner_row(ways: Ways, setting: Key) -> tuple[str, ...]:
    ours, true = ways[*setting, STRATEGY], ways[*setting, "truthful"]
    equal = ways.get((*setting, EQUILIBRIUM))
    return (
        *setting,
        bare(true.income()),
        bare(ours.over(true)),
        bare(ours.over(equal)) if equal is not None else "",
        efficiency(true),
        efficiency(ours),
        efficiency(equal) if equal is not None else "",
    )


def said(table: pa.Table) -> str:
    """What the numbers say."""
    found = read(table)
    tapes = len(found[SETTINGS[0], STRATEGY].micro)
    few = counted(len(found[SETTINGS[0], REPLY].micro), "tape")
    first, mixed = (percent(share_of_best(found, ("first-price", "alone", field))) for field in (EQUILIBRIUM, "mixed"))
    theory = percent(share_of_equilibrium(found, ("first-price", "alone", EQUILIBRIUM)))
    shares = {setting: share_of_best(found, setting) for setting in SETTINGS}
    farthest = min(shares, key=lambda setting: shares[setting].estimate)
    near = sum(one.estimate >= 1 - AS_GOOD for one in shares.values())
    return f"""{counts(comparisons(found), tapes)}

How near it comes to the best reply is told of the {few} that were searched. In single lots where the bid is paid it gains
{mixed} of the best found against mixed rivals and {first} against rivals in equilibrium; of what who bids as these gains, it gains
{theory} over all tapes. It comes to within {AS_GOOD:.0%} of the best found in {near} of {len(SETTINGS)} settings, and is farthest from
it in {named(farthest)}, with {percent(shares[farthest])}. It begins each tape without knowing anything, not even the mechanism; the
best found is chosen afterwards, tape by tape.

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
of these it is surely behind; the worst tie is with *{worst.rival}* ({named(worst.setting)}), of whose gain it may lose
{worst.lost_most():.1%}."""
    if failed:
        names = "; ".join(f"{one.rival} ({named(one.setting)})" for one in failed)
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
            """95 % intervals over the tapes that were searched, all bars on these. The best found is the best of all that was tried on a
tape; what was not tried may gain more. A strategy without a bar gains next to nothing.""",
        ),
    ),
    tables=(
        TableOf(
            "tournament",
            "What a buyer gains, c per kWh offered",
            (
                "auction",
                "room",
                "rivals",
                *FIXED,
                STRATEGY,
                "as in equilibrium",
                f"{STRATEGY}, % of as in equilibrium",
            ),
            rows,
            """95 % BCa intervals over all tapes. *as in equilibrium*: the seat bids as its rivals do, where these are in equilibrium. In
theory that is the best reply, but for *uniform, waiting*, where no equilibrium is known and values are bid.""",
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
                "found by, tapes",
                f"{STRATEGY}, % of {REPLY}",
                f"as in equilibrium, % of {REPLY}",
            ),
            searched,
            """On the tapes that were searched, all columns. 95 % BCa intervals over these few tapes. *Best found*: on each tape the best of
all that was tried there, and *found by* what that was. It is a lower bound of the best reply, the more so where *intelligent*
itself found it.""",
        ),
        TableOf(
            "owner",
            "What the owner and the others have of how the seat bids, c per kWh offered",
            (
                "auction",
                "room",
                "rivals",
                "owner's income, truthful",
                f"{STRATEGY} over truthful",
                f"{STRATEGY} over as in equilibrium",
                "efficiency, truthful",
                f"efficiency, {STRATEGY}",
                "efficiency, as in equilibrium",
            ),
            owner_rows,
            """All tapes; differences are paired by tape, 95 % BCa intervals. Efficiency: welfare of all five and the owner, as a share of
the best possible. That nobody pays more than its value, and no owner gets less than feed-in and wear, is checked in every play.""",
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

The *best found* is, on each of the first tapes, the best of all that was tried there against the same rivals: the fixed strategies,
*intelligent* itself, who bids as rivals in equilibrium do, and two families of replies that are searched (`lab/response.py`). So no
strategy in the tables gains more than 100 % of it; the best reply of all may. One family goes to a share of the way from the reserve to
the value; the other, where the equilibrium bid is not the value, to a share of the way to that bid, which may be more than all of it.
Alone: a share for each third of the value's range, the best over these tapes. Waiting: a share for the first, second and later parts of
a lot, by coordinate ascent, tape by tape. All of this is known afterwards, and could not be known before.

One battery, and demand that lasts a half-hour: that `intelligent` learns each battery by itself, and lets demand wait for other
half-hours, is not put to the test here. Its constants were chosen with this experiment on seed 1; the published report is of seed 2.
Other experiments with synthetic tapes draw the same years from the same seed, and so are no independent evidence.""",
    said=said,
)
EXPERIMENTS: Final = (TOURNAMENT,)
