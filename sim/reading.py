"""A simulated market read when it has stopped: its journals as the invariants want them, and one digest of all of it."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

from aggregator_node.build import portfolio_of
from bess_node.build import battery_spec, pricing_of, rules_of
from bess_node.desk import Desk
from bess_node.pricing import Context
from bess_node.settings import BessSettings
from bess_node.supply import supply_wh
from etp.units import WH_PER_KWH, MicroPerKwh, MonotonicS, Wh
from runtime.days import PriceSeries
from runtime.settings import market_clock
from sim.invariants import BatteryBooks, Books, BuyerBooks, Stock
from sim.node import Node
from sim.scheduler import EPOCH_US

if TYPE_CHECKING:
    from sim.world import World

_encode: Final = msgspec.msgpack.Encoder().encode

FIRM: Final = frozenset({"fixed", "soc"})
"""Policies whose dearest reserve is that of an empty battery, and whose least that of a full one."""
RECORDED: Final = frozenset({"prices", "optimal"})
"""Policies that go up to the recorded price at most, where there is one; `forecast`, and `optimal` without it, go wherever sales do."""
WORST_CLOCK_US: Final = 10_000_000
"""A row's time may be behind true time by as much as clocks are ever set back, µs: meanwhile the sun shines."""


def books_of(world: "World") -> Books:
    """All journals. Nothing is asked of who lies, or has lost what it had promised."""
    return Books(
        [_battery(world, node) for node in world.batteries],
        [_buyer(world, node) for node in world.buyers],
        excused=frozenset(world.tainted | world.hostile),
    )


def _battery(world: "World", node: Node[Desk]) -> BatteryBooks:
    settings, rules = world.settings(node), rules_of(world.settings(node))
    return BatteryBooks(
        settings.device_id,
        node.disk.rows,
        node.disk.bids,
        min(_reserves(settings, world.plan.series)),
        settings.mechanism,
        _supply(world, settings),
        increment=rules.increment,
        dearest=_dearest(settings, world.plan.series),
        min_lot=rules.min_lot,
        signed=settings.profile == "signed",
        settles=world.plan.pays is not None,
        stock=stock_of(settings),
    )


def _reserves(settings: BessSettings, series: PriceSeries | None) -> Iterator[MicroPerKwh]:
    """What a battery that is full and has sold nothing asks, at each recorded price that its policy follows."""
    if settings.pricing != "prices":
        yield pricing_of(settings, series).reserve(Context(1.0, 0.0))
        return
    assert series is not None, "without a series such a battery does not start"
    policy = pricing_of(settings, series)
    for step in range(len(series.values)):
        yield policy.reserve(Context(1.0, series.start_s + step * series.step_s))


def _dearest(settings: BessSettings, series: PriceSeries | None) -> MicroPerKwh | None:
    """The most that a battery ever asks; None: nobody knows."""
    if settings.pricing in FIRM:
        return pricing_of(settings, None).reserve(Context(0.0, 0.0))
    if settings.pricing in RECORDED and series is not None:
        return max(_reserves(settings.model_copy(update={"pricing": "prices"}), series))
    return None


def stock_of(settings: BessSettings) -> Stock | None:
    """What a battery holds when its first life begins, at its terminals; None where the sun charges it."""
    if settings.solar_kw:
        return None
    stored_kwh = settings.capacity_kwh if settings.energy_kwh is None else settings.energy_kwh
    efficiency = battery_spec(settings).discharge_efficiency
    return Stock(stored_kwh * WH_PER_KWH * efficiency, efficiency)


def _supply(world: "World", settings: Any) -> Callable[[int], Wh]:
    clock = market_clock(settings, world.began)
    if not settings.solar_kw:
        at_first = supply_wh(settings, clock.day_start_s, clock.day_start_s)
        return lambda _: at_first

    def supply(time_us: int) -> Wh:
        passed_s = MonotonicS((time_us + WORST_CLOCK_US - EPOCH_US) / 1e6)
        return supply_wh(settings, clock.day_start_s, clock.at(passed_s))

    return supply


def _buyer(world: "World", node: Node[Any]) -> BuyerBooks:
    settings = world.settings(node)
    wanted = portfolio_of(settings)
    return BuyerBooks(
        node.device_id, node.disk.rows, wanted.demand, budget=wanted.budget, signed=settings.profile == "signed"
    )


def digest_of(nodes: Iterable[Node[Any]]) -> str:
    """SHA-256 over all that is on every node's disk: rows, bids, its boot and the ids' mark."""
    digest = sha256()
    for node in nodes:
        disk = node.disk
        for row in disk.rows:
            digest.update(
                _encode((row.kind, row.lot_id, row.state, row.time_us, row.subject, sorted(row.body.items())))
            )
        for bid in disk.bids:
            digest.update(_encode(bid))
        digest.update(_encode((disk.boot, disk.mark)))
    return digest.hexdigest()
