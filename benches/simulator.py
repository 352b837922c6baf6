"""Messages and auctions that one core simulates in a second, without faults: all sessions, records, disks and cores of a market."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import process_time
from typing import Final, NamedTuple

from aggregator_node.settings import AggregatorSettings
from benches.plan import Plan
from benches.report import Figure, Report
from bess_node.settings import BessSettings
from sim.invariants import Watch
from sim.plan import Plan as Market
from sim.world import World

ROUNDS: Final = 3
MESSAGES_PER_S: Final = 25_000
"""What a core must simulate in a second, of whatever market."""
ENGLISH_PER_S: Final = 150
"""Step-by-step english auctions that a core must simulate in a second: 16 steps of the ask, 80 messages each."""
STEPPED_S, SEALED_S = 40.0, 240.0
"""Virtual time of each: about a second of a core."""
SEALED_PER_S: Final = 1_500
"""Sealed auctions: as many bids as buyers, and no steps."""
BATTERY: Final = BessSettings(
    device_id=101, capacity_kwh=100_000, for_sale=100, reserve=5, closing_ms=50, discharge_kw=2, horizon_h=0.5
)
"""Sells lots of 1 kWh without end."""


class Cost(NamedTuple):
    """What came of a second of processor time."""

    messages: float
    auctions: float


def market(mechanism: str, strategy: str, buyers: int, seconds: float) -> Market:
    """One battery, buyers that want more than it has; signatures are keyed hashes, as on most seeds."""
    return Market(
        1,
        (BATTERY.model_copy(update={"mechanism": mechanism, "increment": 0.5}),),
        tuple(
            AggregatorSettings(device_id=501 + n, max_price=12 + n, demand_kwh=1_000_000, strategy=strategy)  # type: ignore[arg-type]
            for n in range(buyers)
        ),
        hashed=True,
        seconds=seconds,
    )


@contextmanager
def _without_collector() -> Iterator[None]:
    """As the simulator's processes have it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def cost(plan: Market, *, watched: bool) -> Cost:
    """The best of some rounds, which all play the same: noise only ever takes away."""
    messages, auctions, best_s = 0, 0, float("inf")
    for _ in range(ROUNDS):
        with _without_collector():
            world = World(plan)
            if watched:
                world.watch(Watch(world.books()))
            began_s = process_time()
            world.run()
            best_s = min(best_s, process_time() - began_s)
        messages, auctions = world.tally.messages, sum(row.kind == "lot" for row in world.batteries[0].disk.rows)
    return Cost(messages / best_s, auctions / best_s)


def figures(name: str, found: Cost, least_auctions: float, *, judged: bool) -> list[Figure]:
    """Of one market, with its limits."""
    unit = "per core-second"
    return [
        Figure(f"{name}: messages", round(found.messages), unit, least=MESSAGES_PER_S if judged else None),
        Figure(f"{name}: auctions", round(found.auctions), unit, least=least_auctions if judged else None),
    ]


def run(plan: Plan) -> Report:
    """Both kinds of auction, bare and with all invariants looked at."""
    stepped_s, sealed_s = plan.phase_s(STEPPED_S), plan.phase_s(SEALED_S)
    english = market("english", "conservative", 3, stepped_s)
    sealed = replace(market("vickrey", "truthful", 2, sealed_s), seed=2)
    kinds = (("english", english, ENGLISH_PER_S), ("vickrey", sealed, SEALED_PER_S))
    return Report(
        f"one battery and 3 buyers (english, {stepped_s:g} s of virtual time) or 2 (vickrey, {sealed_s:g} s), keyed hashes, the best of"
        f" {ROUNDS} rounds; bare, and watched: with all invariants looked at, as markets are played",
        [
            figure
            for name, played, least in kinds
            for how, watched in (("bare", False), ("watched", True))
            for figure in figures(f"{name}, {how}", cost(played, watched=watched), least, judged=not plan.quick)
        ],
    )
