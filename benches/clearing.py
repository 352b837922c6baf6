"""Clearing a lot: the mechanisms through their own interface, beside pymarket's double auctions on the same bids.

Every bidder wants one unit and the lot has a quarter as many; for pymarket, which has no lots, each unit is an offer of its own at the
reserve. Its Huang auction gives up one trade and its MUDA splits the market by chance, so that they clear less of the same.
emarketlib 0.0.1 is not here: the package lacks the module of its own that clears.
"""

import random
import time
import warnings
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

from numpy.random import RandomState

from benches.plan import Plan
from benches.report import Figure, Report
from etp.units import DeviceId, MessageId, MicroPerKwh, MonotonicS, Wh
from market.auction import Bid, LotTerms
from market.mechanisms import MECHANISMS

BIDDERS: Final = (10, 100, 1_000)
JUDGED: Final = 100
UNIT: Final = Wh(1_000)
RESERVE: Final = MicroPerKwh(120_000)
PRICES: Final = (100_000, 200_000)
ROUNDS: Final = 7
THEIRS: Final = ("huang", "muda")
NOW: Final = MonotonicS(1.0)


def _prices(bidders: int) -> list[int]:
    rng = random.Random(bidders)
    return [rng.randint(*PRICES) for _ in range(bidders)]


def ours(name: str, prices: Sequence[int]) -> int:
    """Open a lot, judge all bids, close it; returns how many units are sold."""
    mechanism = MECHANISMS[name]
    energy = Wh(UNIT * max(1, len(prices) // 4)) if mechanism.divisible else UNIT
    terms = LotTerms(energy, RESERVE, MicroPerKwh(1), 1.0, 60.0, hide_reserve=False)
    state: Any = mechanism.open(terms)
    for number, price in enumerate(prices, 1):
        bid = Bid(DeviceId(number), MessageId(number), MicroPerKwh(price), UNIT, number)
        state = getattr(mechanism.bid(state, bid, NOW), "state", state)
    return sum(award.energy // UNIT for award in mechanism.close(state, NOW).awards)


def theirs(name: str, prices: Sequence[int]) -> int:
    """The same bids through pymarket, from an empty market on; returns how many units are sold. Raises ImportError."""
    from pymarket import Market  # noqa: PLC0415 - a competitor, installed for `make bench` alone

    market = Market()
    for number, price in enumerate(prices, 1):
        market.accept_bid(1.0, price / 1e6, number, True)
    for offer in range(max(1, len(prices) // 4)):
        market.accept_bid(1.0, RESERVE / 1e6, len(prices) + 1 + offer, False)
    transactions, _ = market.run(name, **({"r": RandomState(1)} if name == "muda" else {}))
    return len(transactions.get_df()) // 2


def _timed_us(clear: Callable[[], int]) -> float:
    began_s = time.perf_counter()
    clear()
    return (time.perf_counter() - began_s) * 1e6


def run(plan: Plan) -> Report:
    """Measure all in turns."""
    rounds, sizes = plan.size(ROUNDS, 1), BIDDERS if not plan.quick else (10,)
    found: dict[tuple[str, int], list[float]] = {}
    there = True
    for size in sizes:
        prices = _prices(size)
        for _ in range(rounds):
            for name in MECHANISMS:
                found.setdefault((name, size), []).append(
                    _timed_us(lambda name=name, prices=prices: ours(name, prices))
                )  # type: ignore[misc]
            there = there and _beside(found, size, prices)
    judged = JUDGED if JUDGED in sizes else sizes[0]
    ratio = [_ratio(found, judged)] if there else []
    return Report(
        f"one lot from open to close, medians of {rounds} rounds in turns"
        + ("" if there else "; pymarket is not installed (`make bench` installs it)"),
        [
            *ratio,
            *(Figure(f"{name}, {size:,} bids", round(median(times), 1), "µs") for (name, size), times in found.items()),
        ],
    )


def _ratio(found: dict[tuple[str, int], list[float]], judged: int) -> Figure:
    best = min(median(found[name, judged]) for name in THEIRS)
    own = median(found["uniform", judged])
    return Figure(f"uniform, times as fast as the best of pymarket, {judged} bids", round(best / own, 1), "×", least=1)


def _beside(found: dict[tuple[str, int], list[float]], size: int, prices: Sequence[int]) -> bool:
    """Time theirs too; False: it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its libraries' own
        for name in THEIRS:
            try:
                time_us = _timed_us(lambda name=name: theirs(name, prices))  # type: ignore[misc]
            except ImportError:
                return False
            found.setdefault((name, size), []).append(time_us)
    return True
