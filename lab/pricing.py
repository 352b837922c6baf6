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
from etp.units import Micro, MicroPerKwh, Wh, money
from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.income import Sales, earned_micro
from lab.ledger import TARIFFS, series_of
from lab.play import Rules, played
from lab.shown import CENT, Found, band, bare, cents, feed_in, legend_below, middle
from lab.tape import Tape, synthetic_tape

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
SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (6, 14), "full": (24, 90)}
"""(synthetic years, days of each)."""
TAPES: Final = "synthetic tapes"


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
    trades = bids = sold = paid = offered = lost = 0
    for lot, awards in played(tape.lots, rules, pricing, random.Random(f"{seed} {number}")):
        offered += lot.energy
        for award in awards:
            trades, bids = trades + 1, bids + award.bid.arrival
            sold, paid = sold + award.energy, paid + money(award.paid, award.energy)
            lost += money(MicroPerKwh(max(0, TARIFFS.base - award.paid)), award.energy)
    sales = Sales(trades, Wh(sold), Micro(paid))
    return {
        "reserve": policy,
        "play": rules.play,
        "buyers": rules.buyers,
        "cluster": number,
        "lots": len(tape.lots),
        "offered_wh": offered,
        "trades": trades,
        "bids": bids,
        "sold_wh": sold,
        "paid_micro": paid,
        "earned_micro": int(earned_micro(sales, Wh(offered), TARIFFS)),
        "lost_micro": lost,
    }


def read(table: pa.Table) -> Found:
    """By policy, play and number of buyers."""
    return series_of(table, ("reserve", "play", "buyers"))


def _lost(table: pa.Table, policy: str) -> int:
    """What was lost by selling below feed-in and wear, µ."""
    return sum(row["lost_micro"] for row in table.to_pylist() if row["reserve"] == policy)


def checks(table: pa.Table) -> list[Check]:
    """The optimal reserve earns more where it can, costs little where it cannot, and sells nothing at a loss."""
    found = read(table)
    made = [_gains(found, policy, "vickrey", 1) for policy in (KNOWN, "optimal")]
    made += [_little(found, play, buyers) for play in PLAYS for buyers in COUNTS if buyers > 1]
    losses = {policy: _lost(table, policy) for policy in POLICIES}
    text = ", ".join(f"{policy} {lost / CENT:.0f} c" for policy, lost in losses.items())
    made.append(Check("what is never below feed-in and wear loses nothing", not any(map(losses.get, SAFE)), text))
    return [*made, Check("who forgets wear sells at a loss, and it shows", losses[FORGOTTEN] > 0, text)]


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
        )
        for play in PLAYS
        for policy in POLICIES
    ]


def _more(found: Found, policy: str, play: str, buyers: int) -> str:
    return "" if policy == "fixed" else bare(found[policy, play, buyers].over(found["fixed", play, buyers]))


def said(table: pa.Table) -> str:
    """What the numbers say."""
    found = read(table)
    one, two, ten = (found[KNOWN, "vickrey", buyers].over(found["fixed", "vickrey", buyers]) for buyers in (1, 2, 10))
    plain = found["optimal", "vickrey", 2].over(found["fixed", "vickrey", 2])
    second = found["fixed", "vickrey", 2].over(found["fixed", "vickrey", 1])
    four = found["optimal", "vickrey", 4].over(found["fixed", "vickrey", 4])
    alone = found["optimal", "vickrey", 1].over(found["fixed", "vickrey", 1])
    forgotten = found[FORGOTTEN, "vickrey", 1].over(found["fixed", "vickrey", 1])
    forecast = found["forecast", "vickrey", 2].over(found["fixed", "vickrey", 2])
    return f"""With one buyer the optimal reserve, where the half-hour's price is known, earns {cents(one)} more than a reserve of
feed-in and wear; with two {cents(two)}, with ten {cents(ten)}: a reserve takes the place of a rival, and is worth nothing where
there are rivals whose values are as near to each other as here. A second buyer under the fixed reserve is worth {cents(second)}.
Where the price is not known and only the node's own trades teach it, the optimal reserve earns {cents(alone)} more with one buyer;
with two it earns {cents(plain)}, with four {cents(four)} compared with the fixed one: that is what trying higher reserves
costs, so there the fixed reserve is the better choice. The *forecast* policy asks for what the hour last brought, and a day that
is cheaper then sells nothing: {cents(forecast)} with two buyers. To forget wear costs {cents(forgotten)} with one buyer, who pays
the reserve and no more."""


PRICING: Final = Experiment(
    name=NAME,
    title="What the reserve is worth",
    question="Which reserve policy of the shipped battery earns most per kWh offered, net of wear?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure("pricing", "Income by reserve policy", draw, "Demand held constant and split; 95 % bands over tapes."),
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
            ),
            rows,
            "95 % BCa intervals of paired differences; a tape is a cluster, since a policy that learns ties its days together.",
        ),
    ),
    method="""Synthetic years (`lab/synthetic.py`), a home's lots (`lab/tape.py`), buyers in equilibrium who know the reserve
(`lab/bidding.py`). Policies are the objects that `etp bess --pricing` runs: *fixed* (feed-in plus wear), *soc*, *forecast* (hourly,
exponentially smoothed), and *optimal* (`bess_node/pricing_optimal.py`: R. Myerson, "Optimal auction design", 1981, on what was learnt
from the node's own sales; M. Ostrovsky, M. Schwarz, 2011, for practice), which begins each tape knowing nothing. Wear is a cost of every
kWh sold. A policy is told of a sale after the lot, and of nothing else.""",
    said=said,
)
EXPERIMENTS: Final = (PRICING,)
