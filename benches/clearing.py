"""Clearing a lot: the mechanisms through their own interface, beside pymarket's double auctions on the same bids, and a bare sort.

Every bidder wants one unit, no two at one price, and the lot has a quarter as many; for pymarket, which has no lots, each unit is an
offer of its own, and since its auctions want prices to differ, each is 1 µ below the one before, the first at the reserve. Its Huang
auction gives up one trade and its MUDA splits the market by chance; how many units each sells is checked before it is timed and shown.
No mechanism can tell whose bids are highest with less than it takes to find them: the sort of as many integers is shown beside.
emarketlib 0.0.1 is not here: the package lacks the module of its own that clears.
"""

import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from numpy.random import RandomState

from benches.plan import Plan
from benches.report import Figure, Report
from etp.units import DeviceId, MessageId, MicroPerKwh, MonotonicS, Wh
from market.auction import Bid, LotTerms
from market.mechanisms import MECHANISMS

BIDDERS: Final = (10, 100, 1_000)
UNIT: Final = Wh(1_000)
RESERVE: Final = MicroPerKwh(120_000)
PRICES: Final = range(100_000, 200_000)
ROUNDS: Final = 7
SORTS: Final = 50
"""Of one timing: a single one is shorter than the clock is fine."""
OURS: Final = "uniform"
"""What does what they do: as many units as the lot has, to as many bidders."""
THEIRS: Final = ("huang", "muda")
NOW: Final = MonotonicS(1.0)

Clear = Callable[[Sequence[int]], int]


class UnequalWorkError(Exception):
    """A contestant does not clear what the bench says that it clears."""

    def __init__(self, name: str, sold: int, bidders: int, wanted: range) -> None:
        super().__init__(f"{name} sells {sold} units to {bidders} bidders; expected {wanted[0]} to {wanted[-1]}")


def prices_of(bidders: int) -> list[int]:
    """What each bids, µ/kWh; the same in every run, and no price twice."""
    return random.Random(bidders).sample(PRICES, bidders)


def units_of(bidders: int) -> int:
    """Units of the lot where the mechanism divides it."""
    return max(1, bidders // 4)


def ours(name: str, prices: Sequence[int]) -> int:
    """Open a lot, judge all bids, close it; returns how many units are sold."""
    mechanism = MECHANISMS[name]
    energy = Wh(UNIT * units_of(len(prices))) if mechanism.divisible else UNIT
    terms = LotTerms(energy, RESERVE, MicroPerKwh(1), 1.0, 60.0, hide_reserve=False)
    state: Any = mechanism.open(terms)
    for number, price in enumerate(prices, 1):
        bid = Bid(DeviceId(number), MessageId(number), MicroPerKwh(price), UNIT, number)
        state = getattr(mechanism.bid(state, bid, NOW), "state", state)
    return sum(award.energy // UNIT for award in mechanism.close(state, NOW).awards)


def theirs() -> dict[str, Clear]:
    """Their auctions by name, from an empty market on; none where it is not installed.

    Huang's is run without the step before it that makes one player of those with one price, which there are none of: with
    pandas 3 that step fails.
    """
    try:
        from pymarket import Market  # noqa: PLC0415 - a competitor, installed for `make bench` alone
        from pymarket.mechanisms import Mechanism  # noqa: PLC0415
        from pymarket.mechanisms.huang_auction import huang_auction  # noqa: PLC0415
    except ImportError:
        return {}

    def market(prices: Sequence[int]) -> Any:
        made = Market()
        for number, price in enumerate(prices):
            made.accept_bid(1.0, float(price), number, True)
        for offer in range(units_of(len(prices))):
            made.accept_bid(1.0, float(RESERVE - offer), len(prices) + offer, False)
        return made

    def huang(prices: Sequence[int]) -> int:
        transactions, _ = Mechanism(huang_auction, market(prices).bm.get_df()).run()
        return _sold(transactions.get_df(), len(prices))

    def muda(prices: Sequence[int]) -> int:
        transactions, _ = market(prices).run("muda", r=RandomState(1))
        return _sold(transactions.get_df(), len(prices))

    return dict(zip(THEIRS, (huang, muda), strict=True))


def _sold(transactions: Any, buyers: int) -> int:
    """Units that went to buyers, whose numbers come first; a seller's side of a trade has a line of its own."""
    return round(float(transactions[transactions.bid < buyers].quantity.sum()))


def wanted(name: str, prices: Sequence[int]) -> range:
    """How many units are right: all that bids at the reserve or above can buy, one less for Huang, by chance less for MUDA."""
    units = min(units_of(len(prices)), sum(price >= RESERVE for price in prices))
    if name == "muda":
        return range(1, units + 1)
    exactly = units - 1 if name == "huang" else units if MECHANISMS[name].divisible else min(1, units)
    return range(exactly, exactly + 1)


def equal(contestants: Mapping[str, Clear], prices: Sequence[int]) -> dict[str, int]:
    """Clear once each, untimed, which warms up too; the units sold. Raises UnequalWorkError."""
    sold = {name: clear(prices) for name, clear in contestants.items()}
    for name, units in sold.items():
        if units not in wanted(name, prices):
            raise UnequalWorkError(name, units, len(prices), wanted(name, prices))
    return sold


def _timed_us(clear: Clear, prices: Sequence[int]) -> float:
    began_s = time.perf_counter()
    clear(prices)
    return (time.perf_counter() - began_s) * 1e6


def _sort_us(prices: Sequence[int]) -> float:
    began_s = time.perf_counter()
    for _ in range(SORTS):
        sorted(prices)
    return (time.perf_counter() - began_s) * 1e6 / SORTS


def medians_us(contestants: Mapping[str, Clear], prices: Sequence[int], rounds: int) -> dict[str, float]:
    """What each takes, and the sort, in turns, µs."""
    found: dict[str, list[float]] = {name: [] for name in (*contestants, "sort")}
    for _ in range(rounds):
        for name, clear in contestants.items():
            found[name].append(_timed_us(clear, prices))
        found["sort"].append(_sort_us(prices))
    return {name: median(times) for name, times in found.items()}


def run(plan: Plan) -> Report:
    """Measure all in turns."""
    rounds, sizes = plan.size(ROUNDS, 1), BIDDERS if not plan.quick else BIDDERS[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their libraries' own
        others = theirs()
        contestants = {name: lambda prices, name=name: ours(name, prices) for name in MECHANISMS} | others
        figures: list[Figure] = []
        for size in sizes:
            prices = prices_of(size)
            sold = equal(contestants, prices)
            figures += _figures(size, sold, medians_us(contestants, prices, rounds))
    load = f"one lot from open to close, medians of {rounds} rounds in turns"
    return Report(load if others else f"{load}; pymarket is not installed (`make bench` installs it)", figures)


def _figures(size: int, sold: Mapping[str, int], times_us: Mapping[str, float]) -> list[Figure]:
    own_us, there = times_us[OURS], [name for name in THEIRS if name in times_us]
    best = sorted(there, key=lambda name: times_us[name])[:1]
    return [
        *(
            Figure(f"{OURS}, times as fast as {name}, {size:,} bids", round(times_us[name] / own_us, 1), "×", least=1)
            for name in best
        ),
        Figure(f"{OURS}, of a bare sort, {size:,} bids", round(own_us / times_us["sort"], 1), "×"),
        *(Figure(f"{name}, {size:,} bids", round(time_us, 1), "µs") for name, time_us in times_us.items()),
        *(Figure(f"{name}, {size:,} bids: sold", sold[name], "units") for name in (OURS, *there)),
    ]
