"""After the chaos a healthy market must finish: no promise open, no energy reserved, no exposure, demand met where supply remains.

What could still be traded is asked of the cores themselves (`sim.asking`).
"""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from aggregator_node.buyer import Buyer
from bess_node.desk import Desk
from sim.asking import would_trade
from sim.invariants import Violation
from sim.network import Weather
from sim.node import Node
from sim.world import World

CALM: Final = Weather()
HEALTHY_S: Final = 2400.0
"""So long a healthy market has for what the chaos left, s: a lapse bars for 600 s, a promise in `plain` stays open for as long,
and what was barred may be bid for once more."""
LOOK_S: Final = 2.0
"""How often it is looked at whether it has finished, s."""


class Paying(Protocol):
    """Who sees to payment, as far as it is waited for."""

    def heal(self) -> None:
        """The chain and all RPCs are well from now on."""

    def unfinished(self) -> Iterable[Violation]:
        """Trades that are not paid yet."""


def healed(world: World, paying: Paying | None = None) -> list[Violation]:
    """Make everything well, and wait until the market has finished; what it has not by then is a violation."""
    world.heal(CALM)
    if paying is not None:
        paying.heal()
    ends_s = world.scheduler.time_s + HEALTHY_S
    while (left := [*unfinished(world), *(paying.unfinished() if paying else ())]) and world.scheduler.time_s < ends_s:
        world.scheduler.run(world.scheduler.time_s + LOOK_S)
    return left


def unfinished(world: World) -> Iterator[Violation]:
    """What a healthy market would still have to do."""
    excused = world.tainted | world.hostile
    batteries = [node for node in world.batteries if node.device_id not in excused]
    buyers = [node for node in world.buyers if node.device_id not in excused]
    for battery in batteries:
        if not battery.serving:
            yield _late(battery, "does not serve")
        elif battery.core.reservations:
            yield _late(battery, f"has {len(battery.core.reservations)} promises open")
    for buyer in buyers:
        if not buyer.alive:
            yield _late(buyer, "does not trade")
        elif left := sorted(set(buyer.core.portfolio.exposed) - excused):
            yield _late(buyer, f"has Confirms or bids unanswered at {left}")
    if excused:
        return  # who deals with one that lost its journal may be bound to it for as long as the design says
    for battery in batteries:
        for buyer in buyers:
            if battery.serving and buyer.alive and _would_trade(world, battery, buyer):
                yield _late(buyer, f"wants what {battery.device_id} offers, and does not buy it")


def _late(node: Node[Desk] | Node[Buyer], said: str) -> Violation:
    return Violation("liveness", node.device_id, said)


def _would_trade(world: World, battery: Node[Desk], buyer: Node[Buyer]) -> bool:
    """Whether a battery offers what a buyer wants, at a price that its strategy comes to, by their own word."""
    settings = world.settings(battery)
    if settings.hide_reserve or world.settings(buyer).strategy == "intelligent":
        return False  # who must guess the reserve, or may hope for a better hour, need not buy
    _, offered = battery.core.quote()
    return offered > 0 and would_trade(settings, battery, buyer)
