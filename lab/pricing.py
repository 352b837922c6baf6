"""Reserve policies of the shipped battery on common tapes: what a kWh offered earns, with wear as a cost.

What is sold wears the battery by so much per kWh; what is not is fed in. A policy that sells below feed-in and wear therefore shows
a loss, which is counted beside the income.
"""

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from bess_node.pricing import BySoc, Fixed, Forecast, Pricing
from bess_node.pricing_optimal import Optimal
from etp.units import WH_PER_KWH, MicroPerKwh, money
from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.ledger import TARIFFS, Account, series_of
from lab.play import Rules, played
from lab.shown import (
    CENT,
    Found,
    aggregators,
    band,
    bare,
    cents,
    efficiency,
    efficient,
    feed_in,
    legend_below,
    middle,
    rational,
)
from lab.statistics import Interval
from lab.tape import Tape, synthetic_tape
from lab.welfare import Worth
from lab.wording import more

NAME: Final = "pricing"
FORGOTTEN: Final = "fixed, wear forgotten"
POLICIES: Final[Mapping[str, Callable[[Tape, MicroPerKwh, int], Pricing]]] = MappingProxyType(
    {
        "fixed": lambda _, base, __: Fixed(base),
        FORGOTTEN: lambda *_: Fixed(TARIFFS.feed_in),
        "soc": lambda _, base, __: BySoc(base),
        "forecast": lambda _, base, __: Forecast(base),
        "optimal": lambda _, base, seed: Optimal(base, seed),
        "optimal, prices known": lambda tape, base, seed: Optimal(base, seed, tape.series),
    }
)
"""As `--pricing` has them; `optimal` without and with `--day`."""
SAFE: Final = ("fixed", "forecast", "optimal", "optimal, prices known")
"""Never below the base."""
KNOWN: Final = "optimal, prices known"
COUNTS: Final = (1, 2, 4, 10)
PLAYS: Final = ("vickrey", "first-price")
SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (6, 14), "full": (24, 72)}
"""(synthetic years, days of each, spread over the seasons)."""
TAPES: Final = "synthetic tapes"
LOST: Final = " c per kWh offered, compared with feeding in"


def tasks(scale: Scale, seed: int) -> list[Task]:
    """A task per tape."""
    tapes, days = SIZES[scale]
    return [Task(f"{number:03d}", (seed, number, days)) for number in range(tapes)]


def run(seed: int, number: int, days: int) -> list[Row]:
    """Every policy, play and number of buyers on one tape."""
    tape = synthetic_tape(seed, number, days=days)
    return [
        _row(tape, Rules(play, buyers), policy, seed, number)
        for policy in POLICIES
        for play in PLAYS
        for buyers in COUNTS
    ]


def _row(tape: Tape, rules: Rules, policy: str, seed: int, number: int) -> Row:
    pricing = POLICIES[policy](tape, TARIFFS.base, seed * 1000 + number)
    account, worth, lost = Account(), Worth(), 0
    for lot, awards in played(tape.lots, rules, pricing, random.Random(f"{seed} {number}")):
        account.add(lot, awards)
        worth.add(lot, awards, rules, TARIFFS.base)
        lost += sum(money(MicroPerKwh(max(0, TARIFFS.base - award.paid)), award.energy) for award in awards)
    return {
        "reserve": policy,
        "play": rules.play,
        "buyers": rules.buyers,
        "cluster": number,
        **account.row(TARIFFS),
        **worth.row(),
        "lost_micro": lost,
    }


def read(table: pa.Table) -> Found:
    """By policy, play and number of buyers."""
    return series_of(table, ("reserve", "play", "buyers"))


def _lost(table: pa.Table, policy: str) -> float:
    """What was lost by selling below feed-in and wear, µ per kWh offered, over all plays and numbers of buyers.

    An opportunity: feeding in would have brought as much more, and worn nothing.
    """
    rows = [row for row in table.to_pylist() if row["reserve"] == policy]
    return float(WH_PER_KWH * sum(row["lost_micro"] for row in rows) / sum(row["offered_wh"] for row in rows))


def checks(table: pa.Table) -> list[Check]:
    """The optimal reserve earns more where it can, costs little where it cannot, and sells nothing at a loss."""
    found = read(table)
    made = [_gains(found, policy, "vickrey", 1) for policy in (KNOWN, "optimal")]
    made += [_little(found, play, buyers) for play in PLAYS for buyers in COUNTS if buyers > 1]
    losses = {policy: _lost(table, policy) for policy in POLICIES}
    text = ", ".join(f"{policy} {lost / CENT:.3f}" for policy, lost in losses.items()) + LOST
    made.append(Check("what is never below feed-in and wear loses nothing", not any(map(losses.get, SAFE)), text))
    made.append(Check("who forgets wear sells at a loss, and it shows", losses[FORGOTTEN] > 0, text))
    ways = {f"{play}, {aggregators(buyers)}": found["fixed", play, buyers] for play in PLAYS for buyers in COUNTS}
    unwise = [series for (policy, *_), series in found.items() if policy not in SAFE]
    wise = [series for (policy, *_), series in found.items() if policy in SAFE]
    return [*made, efficient("fixed", ways), rational(wise, unwise)]


def _little(found: Found, play: str, buyers: int) -> Check:
    gained = found[KNOWN, play, buyers].over(found["fixed", play, buyers])
    return Check(f"{KNOWN} costs at most 0.1 c, {play}, {buyers} buyers", gained.low > -0.1 * CENT, cents(gained))


def _gains(found: Found, policy: str, play: str, buyers: int) -> Check:
    gained = found[policy, play, buyers].over(found["fixed", play, buyers])
    name = f"{policy} earns more than the fixed reserve, {play}, {buyers} buyers"
    return Check(name, gained.above_zero, f"{cents(gained)}, {gained.clusters} {TAPES}")


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Income by number of buyers, a line per policy, a panel per play."""
    found = read(table)
    for place, play in enumerate(PLAYS, 1):
        axes = axes_of(canvas, (1, len(PLAYS), place), x="aggregators", y="income, c per kWh offered", title=play)
        for index, policy in enumerate(POLICIES):
            band(axes, COUNTS, [found[policy, play, buyers].income() for buyers in COUNTS], policy, look(index))
        feed_in(axes)
        axes.set_xticks(list(COUNTS))
    legend_below(canvas, axes, columns=3)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Policy by policy: income, and how much more than the fixed reserve."""
    found = read(table)
    return [
        (
            policy,
            play,
            *(middle(found[policy, play, buyers]) for buyers in COUNTS),
            *(_more(found, policy, play, buyers) for buyers in COUNTS),
            f"{found[policy, play, 2].share_sold():.0%}",
            *(efficiency(found[policy, play, buyers]) for buyers in COUNTS[:2]),
        )
        for play in PLAYS
        for policy in POLICIES
    ]


def _more(found: Found, policy: str, play: str, buyers: int) -> str:
    return "" if policy == "fixed" else bare(found[policy, play, buyers].over(found["fixed", play, buyers]))


def said(table: pa.Table) -> str:
    """What the numbers say."""
    found = read(table)

    def over(policy: str, buyers: int) -> Interval:
        return found[policy, "vickrey", buyers].over(found["fixed", "vickrey", buyers])

    def reached(policy: str, buyers: int) -> str:
        return efficiency(found[policy, "vickrey", buyers])

    one, two, four, ten = (over(KNOWN, buyers) for buyers in COUNTS)
    second = found["fixed", "vickrey", 2].over(found["fixed", "vickrey", 1])
    sold, fixed = (found[policy, "vickrey", 2].share_sold() for policy in ("forecast", "fixed"))
    taught = [over("optimal", buyers) for buyers in COUNTS[:3]]
    return f"""Compared with a reserve of feed-in and wear, the optimal one, where the half-hour's price is known, earns {more(one)} with
one buyer, {more(two)} with two, {more(four)} with four and {more(ten)} with ten. {rival(one, two, ten)} A second buyer under the
fixed reserve earns the owner {more(second)} than one.

Where the price is not known and only the node's own trades teach it, the optimal reserve earns {more(taught[0])} than the fixed one
with one buyer, {more(taught[1])} with two and {more(taught[2])} with four. {trying(*taught[1:])}
The *forecast* policy asks for what the hour last brought: with two buyers it sells {sold:.0%} of what is offered, the fixed reserve
{fixed:.0%}, and earns {more(over("forecast", 2))}. What a reserve keeps from a buyer who would pay its cost is
welfare lost: of all that could be had the fixed reserve reaches {reached("fixed", 1)} with one buyer and {reached("fixed", 2)} with two,
the optimal one, prices known, {reached(KNOWN, 1)} and {reached(KNOWN, 2)}, and *forecast* {reached("forecast", 1)} and
{reached("forecast", 2)}. To forget wear earns {more(over(FORGOTTEN, 1))} with one buyer, who pays the reserve and no more.

All of this is against buyers who do not try to teach the battery a low reserve. A lone buyer that stayed out or bid low for that sake
would take part of what a learning reserve earns back."""


def rival(one: Interval, two: Interval, ten: Interval) -> str:
    """Whether a reserve does a rival's work."""
    if one.low > max(two.high, ten.high):
        return "A reserve takes the place of a rival: it is worth most where there is none."
    return "That it is worth most where there is no rival, these tapes do not show."


def trying(*gained: Interval) -> str:
    """Whether trying higher reserves pays where buyers compete."""
    if all(one.high < 0 for one in gained):
        return "Trying higher reserves costs more there than it finds, so where several buyers bid the fixed reserve is the better choice."
    if all(one.low > 0 for one in gained):
        return "It finds more than trying costs there too."
    return "Whether trying higher reserves pays where several buyers bid, these tapes do not decide alike for both."


PRICING: Final = Experiment(
    name=NAME,
    title="What the reserve is worth",
    question="Which reserve policy of the shipped battery earns most per kWh offered, net of wear?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure(
            "pricing",
            "Income by reserve policy",
            draw,
            """Demand held constant and split; 95 % bands over tapes. The bands are of the levels; differences between policies are paired,
and much surer (table below). The axis does not begin at 0.""",
        ),
    ),
    tables=(
        TableOf(
            "pricing",
            "Income by reserve policy, c per kWh offered, and how much more than the fixed reserve",
            (
                "policy",
                "auction",
                *(f"{n} buyers" for n in COUNTS),
                *(f"over fixed, {n}" for n in COUNTS),
                "sold with 2",
                *(f"efficiency, {n}" for n in COUNTS[:2]),
            ),
            rows,
            "95 % BCa intervals of paired differences; a tape is a cluster, since a policy that learns ties its days together. "
            "Efficiency: welfare of owner and buyers, as a share of the best possible.",
        ),
    ),
    method="""Parts of synthetic years, spread over the seasons (`lab/synthetic.py`), a home's lots (`lab/tape.py`), buyers in equilibrium
who know the reserve (`lab/bidding.py`). Policies are the objects that `etp bess --pricing` runs: *fixed* (feed-in plus wear), *soc*,
*forecast* (hourly, exponentially smoothed), and *optimal* (`bess_node/pricing_optimal.py`: R. Myerson, "Optimal auction design", 1981,
on what was learnt from the node's own sales; M. Ostrovsky, M. Schwarz, 2011, for practice), which begins each tape knowing nothing.
Wear is a cost of every kWh sold; to sell below feed-in and wear is to lose the difference to feeding in. A policy is told of a sale after
the lot, and of nothing else.

Buyers are assumed to look at one lot at a time. Where today's price sets tomorrow's reserve, a buyer that comes again, above all a
lone one, gains by bidding low or staying out for a while (K. Amin, A. Rostamizadeh, U. Syed, "Learning prices for repeated auctions
with strategic buyers", 2013; Y. Kanoria, H. Nazerzadeh, "Dynamic reserve prices for repeated auctions: learning from bids", 2014);
what that would cost *optimal* and *forecast* is not measured here.

The constants of *optimal* were chosen with this experiment on seed 1; the published report is of seed 2. Other experiments with
synthetic tapes draw the same years from the same seed, and so are no independent evidence.""",
    said=said,
)
EXPERIMENTS: Final = (PRICING,)
