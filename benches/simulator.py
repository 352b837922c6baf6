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
ENGLISH_PER_S: Final = 150
"""Step-by-step english auctions that a core must simulate in a second: 16 steps of the ask, 80 messages each."""
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
    """The best of some rounds: noise only ever takes away."""
    found = []
    for _ in range(ROUNDS):
        with _without_collector():
            world = World(plan)
            if watched:
                world.watch(Watch(world.books()))
            began_s = process_time()
            world.run()
            spent_s = process_time() - began_s
        auctions = sum(row.kind == "lot" for row in world.batteries[0].disk.rows)
        found.append(Cost(world.tally.messages / spent_s, auctions / spent_s))
    return max(found)


def run(plan: Plan) -> Report:
    """Both kinds of auction, bare and with all invariants looked at."""
    seconds = plan.phase_s(40.0)
    english = market("english", "conservative", 3, seconds)
    sealed = replace(market("vickrey", "truthful", 2, seconds), seed=2)
    bare, watched, envelopes = cost(english, watched=False), cost(english, watched=True), cost(sealed, watched=False)
    return Report(
        f"one battery and 2 (sealed) or 3 (english) buyers for {seconds:g} s of virtual time, keyed hashes, the best of {ROUNDS} rounds",
        [
            Figure("english, messages", round(bare.messages), "per core-second"),
            Figure(
                "english, auctions",
                round(bare.auctions),
                "per core-second",
                least=None if plan.quick else ENGLISH_PER_S,
            ),
            Figure("english, messages, invariants on", round(watched.messages), "per core-second"),
            Figure("english, auctions, invariants on", round(watched.auctions), "per core-second"),
            Figure("vickrey, messages", round(envelopes.messages), "per core-second"),
            Figure("vickrey, auctions", round(envelopes.auctions), "per core-second"),
        ],
    )
