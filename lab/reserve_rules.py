"""What the worth of competition depends on: the rule by which the owner sets the reserve."""

from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from lab.drawing import axes_of, look
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf
from lab.ledger import TARIFFS, Series, Way, drawings, rows_of, series_of
from lab.play import Rules
from lab.shown import (
    BEST,
    CENT,
    COUNTS,
    DRAWINGS,
    SEALED,
    Found,
    aggregators,
    band,
    bare,
    cents,
    efficiency,
    efficient,
    feed_in,
    gains,
    legend_below,
    middle,
    rational,
)
from lab.statistics import Interval
from lab.tape import recorded_tape
from lab.wording import more

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (1, 6), "full": (10, 10)}
SELLING: Final = ("fixed", "soc", "forecast", "prices less margin", "best flat price", BEST)
"""Rules that leave the buyers a part; one that sold nothing with two buyers would fail."""
UNWISE: Final = "soc"
"""Asks for less than feed-in and wear when the battery is nearly full."""
RULES: Final = (*SELLING[:3], "prices", *SELLING[3:])
NEXT_TO_NOTHING: Final = 0.001
"""Of what is offered: one margin in some ten thousand rounds to 0 µ, and its buyer may pay the whole price."""


def run(seed: int, first: int, count: int) -> list[Row]:
    """Every rule with every number of buyers."""
    rows: list[Row] = []
    for drawing in range(first, first + count):
        tape = recorded_tape(seed, drawing)
        for reserve in RULES:
            for buyers in COUNTS:
                rows += rows_of(tape, Way(Rules(SEALED, buyers), reserve), seed=seed + drawing)
    return rows


def read(table: pa.Table) -> Found:
    """By rule and number of buyers."""
    return series_of(table, ("reserve", "buyers"))


def checks(table: pa.Table) -> list[Check]:
    """Competition adds to every rule but the one that asks for all that energy is worth; a reserve at cost wastes nothing."""
    found = read(table)
    checks = [
        gains(f"reserve {reserve}: two aggregators earn more than one", *_pair(found, reserve), unit=DRAWINGS)
        for reserve in SELLING
    ]
    asks_all = found["prices", 10]
    none = Check(
        f"a reserve at the price that all know sells next to nothing (below {NEXT_TO_NOTHING:.1%})",
        asks_all.share_sold() < NEXT_TO_NOTHING,
        f"{asks_all.share_sold():.3%} sold, income {cents(asks_all.income())}",
    )
    ways = {aggregators(buyers): found["fixed", buyers] for buyers in COUNTS}
    return [*checks, none, efficient("a reserve of feed-in and wear", ways), _rational(found)]


def _rational(found: Found) -> Check:
    unwise = [series for (reserve, _), series in found.items() if reserve == UNWISE]
    return rational((series for (reserve, _), series in found.items() if reserve != UNWISE), unwise)


def _pair(found: Found, reserve: str) -> tuple[Series, Series]:
    return found[reserve, 2], found[reserve, 1]


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Income by number of buyers, one line per rule."""
    found = read(table)
    axes = axes_of(canvas, x="aggregators, demand held constant and split", y="income, c per kWh offered")
    for index, reserve in enumerate(RULES):
        band(axes, COUNTS, [found[reserve, buyers].income() for buyers in COUNTS], reserve, look(index))
    feed_in(axes)
    axes.set_xticks(list(COUNTS))
    legend_below(canvas, axes, columns=4)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Rule by rule."""
    found = read(table)
    return [
        (
            reserve,
            *(middle(found[reserve, buyers]) for buyers in COUNTS),
            f"{found[reserve, 2].share_sold():.0%}",
            bare(found[reserve, 2].over(found[reserve, 1])),
            *(efficiency(found[reserve, buyers]) for buyers in COUNTS[:2]),
        )
        for reserve in RULES
    ]


def said(table: pa.Table) -> str:
    """What rules do."""
    found = read(table)
    alone = max(RULES, key=lambda reserve: found[reserve, 1].income().estimate)
    rivals = max(RULES, key=lambda reserve: found[reserve, 2].income().estimate)
    fixed, clever = (found[reserve, 2].over(found[reserve, 1]) for reserve in ("fixed", alone))
    sold = {reserve: found[reserve, 2].share_sold() for reserve in ("prices", "forecast", "fixed")}
    return f"""{_substitutes(fixed, clever)} With a fixed reserve the second aggregator earns the owner {more(fixed)}, with the rule that is
best against a single buyer (*{alone}*) {more(clever)}. Best with two is *{rivals}* at {middle(found[rivals, 2])} c/kWh. Asking for the
full recorded price (*prices*) sells {sold["prices"]:.0%}, since every buyer keeps a margin. The *forecast* rule asks for what the same
hour last brought, on the second, cheaper day for the first day's price: with two buyers it sells {sold["forecast"]:.0%} where a fixed
reserve sells {sold["fixed"]:.0%}, and earns {more(found["forecast", 2].over(found["fixed", 2]))}. The *soc* rule asks for a tenth less when
the battery is nearly full, which is below feed-in and wear: with one buyer it earns {more(found["soc", 1].over(found["fixed", 1]))} than a
fixed reserve, with two {more(found["soc", 2].over(found["fixed", 2]))}; its incomes are {middle(found["soc", 1])} and
{middle(found["soc", 2])} c, where feeding in earns {TARIFFS.feed_in / CENT:.2f} c.

What a good reserve brings its owner is taken from the whole, where it keeps energy from a buyer: with one buyer the fixed reserve
reaches {efficiency(found["fixed", 1])} of the best welfare and *{alone}* {efficiency(found[alone, 1])}, with two
{efficiency(found["fixed", 2])} and {efficiency(found[alone, 2])}.

No buyer here bids low today to be asked less tomorrow, as a lone one might where the rule learns (*forecast*)."""


def _substitutes(fixed: Interval, clever: Interval) -> str:
    """Whether a good reserve does part of a second buyer's work, and whether all of it."""
    if fixed.low <= clever.high:
        return "That a second buyer is worth less where the reserve is good, these drawings do not show."
    part = "partly" if clever.low > 0 else "wholly, as far as these drawings tell,"
    return f"A good reserve and a second buyer are {part} substitutes."


EFFICIENCIES: Final = tuple(f"efficiency, {buyers}" for buyers in COUNTS[:2])

RESERVE_RULES: Final = Experiment(
    name="reserves",
    title="Competition and the reserve",
    question="Does competition still pay when the owner sets the reserve cleverly?",
    tasks=drawings(SIZES),
    run=run,
    checks=checks,
    figures=(Figure("reserves", "Income by reserve rule", draw, "Vickrey auctions, recorded days; 95 % bands."),),
    tables=(
        TableOf(
            "reserves",
            "Income by reserve rule, c per kWh offered",
            ("reserve", *(f"{buyers} buyers" for buyers in COUNTS), "sold with 2", "2 over 1", *EFFICIENCIES),
            rows,
            "95 % BCa intervals. Efficiency: welfare of owner and buyers, as a share of the best possible.",
        ),
    ),
    method="""The rules of `--pricing` (`bess_node/pricing.py`) on the tapes of `competition`, and three that know more than a
battery does: *prices less margin* asks for the least that any buyer can value the half-hour at, *best flat price* for
the one price that would have earned most from one buyer on that tape, *best price per lot* for the best
take-it-or-leave-it price against one buyer whose value is uniform on the known range (R. Myerson, "Optimal auction
design", 1981). Buyers look at one lot at a time: none bids low today to be asked less tomorrow, as a lone one might where
the reserve is learnt (see *What the reserve is worth*).""",
    said=said,
)
EXPERIMENTS: Final = (RESERVE_RULES,)
