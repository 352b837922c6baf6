"""One number → a market and what goes wrong in it: sizes, settings, workload, network, clocks, and the script of faults.

Most markets are small, since most ways to go wrong need two or three nodes, and a small one is a hundred times cheaper.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal, TypeAlias, get_args

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from etp.codes import Role
from etp.discovery_limits import DiscoveryLimits
from etp.limits import Limits
from etp.units import MICRO_PER_CENT
from runtime.days import AGILE_2020_05, PriceSeries
from sim.byzantine import HOSTILE
from sim.faults import WEATHER, Fault
from sim.network import Weather
from sim.plan import ClockPlan, NodeClass, Plan
from sim.scheduler import EPOCH_US

Mode: TypeAlias = Literal["safety", "liveness"]
MODES: Final[tuple[Mode, ...]] = ("safety", "liveness")
FIRST_BATTERY: Final = 101
FIRST_BUYER: Final = 501
SIZES: Final = ((62, 3), (28, 6), (8, 16), (2, 50))
"""(weight, most): how many batteries, and how many buyers, of 1 to 50."""
WHOLE_TOWN: Final = (30, 50)
"""Batteries, and buyers, of a market that has many of both: least, most."""
WHOLE_TOWNS: Final = 0.01
"""Their share: each costs as much as a hundred small ones."""
WHOLE_TOWN_S: Final = (8.0, 12.0)
"""Chaos in them, s: they find each other within two."""
PAIRS: Final = 120
"""Batteries × buyers × seconds of chaos are held near this times 90 s: what a seed costs does not depend on its size much."""
REAL_SIGNATURES: Final = 0.18
"""Share of markets whose signatures a chain can verify: those in `signed`, 15 % of all, are paid there."""
SEEN_THROUGH: Final = 0.6
"""Of them so many are waited for whatever their mode: a trade is held, defaulted and paid long after it was made."""
OPTIMAL: Final = 1 / 6
"""Share of batteries that learn the reserve which earns most."""
TAPES: Final = 0.1
"""Share of markets with recorded prices, by which all buyers value energy, and some batteries their reserve."""
BY_PRICES: Final = 0.4
"""Share of batteries, where there are such prices, that never sell below them."""
MECHANISMS: Final = get_args(BessSettings.model_fields["mechanism"].annotation)
MORNING_S: Final = 1_750_060_800.0
"""Market time at which all markets begin: eight o'clock of a day in June, unix s."""
TAPE: Final = PriceSeries(MORNING_S, AGILE_2020_05.values)
"""Two recorded days, beginning then."""
STRATEGIES: Final = get_args(AggregatorSettings.model_fields["strategy"].annotation)


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a seed says."""

    seed: int
    mode: Mode
    plan: Plan
    script: tuple[Fault, ...]

    def with_script(self, script: tuple[Fault, ...]) -> "Scenario":
        """The same market, and other things that go wrong in it."""
        return replace(self, script=script)


def scenario(seed: int, mode: Mode | None = None) -> Scenario:
    """What a seed says. A mode that is given leaves everything else as it is."""
    rng = Random(seed)
    drawn: Mode = "liveness" if rng.random() < 1 / 3 else "safety"
    batteries, buyers, chaos_s = _sizes(rng)
    plan = _priced(Random(f"prices {seed}"), _plan(rng, seed, batteries, buyers, chaos_s))
    if min(batteries, buyers) >= WHOLE_TOWN[0]:
        drawn, plan = "safety", replace(plan, hashed=True)  # to wait for its end, or to pay on a chain, takes minutes
    if plan.may_settle and _is(Random(f"seen through {seed}"), SEEN_THROUGH):
        drawn = "liveness"
    script = tuple(sorted(_script(rng, plan)))
    if (mode or drawn) == "liveness" or plan.may_settle:
        plan = _ending(Random(f"ending {seed}"), plan)
    return Scenario(seed, mode or drawn, plan, script)


def _is(rng: Random, share: float) -> bool:
    """True in a share of all cases."""
    return rng.random() < share


def _sizes(rng: Random) -> tuple[int, int, float]:
    """Batteries, buyers, and seconds of chaos."""
    if _is(rng, WHOLE_TOWNS):
        return rng.randint(*WHOLE_TOWN), rng.randint(*WHOLE_TOWN), rng.uniform(*WHOLE_TOWN_S)
    batteries, buyers = _size(rng), _size(rng)
    return batteries, buyers, rng.uniform(45.0, 140.0) * min(1.0, PAIRS / (batteries * buyers))


def _size(rng: Random) -> int:
    most = rng.choices([most for _, most in SIZES], [weight for weight, _ in SIZES])[0]
    return rng.randint(1, most)


def _plan(rng: Random, seed: int, batteries: int, buyers: int, chaos_s: float) -> Plan:
    mechanism = rng.choice(MECHANISMS)
    plain = _is(rng, 0.15)
    profile = "plain" if plain else "signed"
    step = rng.choice((1, 500))
    discovered = _is(rng, 0.6)
    most = _price(rng, 8, 20, step) if _is(rng, 0.2) else None
    return Plan(
        seed,
        tuple(_battery(rng, FIRST_BATTERY + n, mechanism, profile, step) for n in range(batteries)),
        tuple(_buyer(rng, FIRST_BUYER + n, profile, most or _price(rng, 8, 20, step)) for n in range(buyers)),
        weather=_fair(rng),
        seconds=chaos_s,
        discovered=discovered,
        moves=discovered and _is(rng, 0.3),
        hashed=not _is(rng, REAL_SIGNATURES),
        hostile={} if plain else _hostile(rng, batteries, buyers),
        limits=_limits(rng, buyers) if (narrow := _is(rng, 0.5)) else {},
        discovery_limits=_discovery_limits(rng, batteries) if narrow else {},
        clocks={
            device_id: _clock(rng)
            for device_id in (
                *(FIRST_BATTERY + n for n in range(batteries)),
                *(FIRST_BUYER + n for n in range(buyers)),
            )
        },
    )


def _priced(rng: Random, plan: Plan) -> Plan:
    """The same market, but that some batteries learn their reserve, and that in some there are recorded prices.

    Who sells by these prices sells to buyers that keep no margin: nobody values energy higher.
    """
    recorded = _is(rng, TAPES)
    policies = {each.device_id: "optimal" for each in plan.batteries if _is(rng, OPTIMAL)}
    if recorded:
        policies |= {each.device_id: "prices" for each in plan.batteries if _is(rng, BY_PRICES)}
    plan = replace(plan, batteries=tuple(_sold_by(each, policies.get(each.device_id)) for each in plan.batteries))
    if not recorded:
        return plan
    return replace(plan, buyers=tuple(each.model_copy(update=_by_the_tape(rng)) for each in plan.buyers), series=TAPE)


def _by_the_tape(rng: Random) -> dict[str, float | None]:
    """What a buyer that knows recorded prices keeps of them, and wants in a half-hour."""
    return {"margin": rng.choice((0.0, 0.0, 30.0)), "period_kwh": rng.choice((None, None, 3.0))}


def _sold_by(battery: BessSettings, policy: str | None) -> BessSettings:
    """A battery with another way to its reserve, if one is named."""
    return battery if policy is None else battery.model_copy(update={"pricing": policy})


def _price(rng: Random, low: int, high: int, step: int) -> float:
    """A price between two, c/kWh; a grid of 500 µ brings ties and halves of a µ."""
    return rng.randrange(low * MICRO_PER_CENT, high * MICRO_PER_CENT, step) / MICRO_PER_CENT


def _hostile(rng: Random, batteries: int, buyers: int) -> dict[int, NodeClass]:
    """In two markets of five one or two that do not play by the rules; at least one battery and one buyer are honest.

    None in `plain`, where whoever says that it is a device is that device.
    """
    found: dict[int, NodeClass] = {}
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        role, first, many = (
            (Role.AGGREGATOR, FIRST_BUYER, buyers) if _is(rng, 0.6) else (Role.BESS, FIRST_BATTERY, batteries)
        )
        names = sorted(HOSTILE[role])
        kind = HOSTILE[role]["rogue" if "rogue" in names and _is(rng, 0.5) else rng.choice(names)]
        who = first + rng.randrange(many)
        if sum(first <= each < first + many for each in found) < many - 1:
            found[who] = kind
    return found


def _limits(rng: Random, buyers: int) -> dict[str, float]:
    """Bounds so narrow that a few nodes reach them: not everybody may find a place."""
    usual, memory_s = Limits(), rng.choice((10.0, 60.0))
    places = rng.choice((max(1, buyers - 1), buyers, buyers + 2))
    return {
        "queued_frames": rng.choice((4, 16, usual.queued_frames)),
        "sessions": places,
        "sessions_per_address": rng.choice((1, 2, usual.sessions_per_address)),
        # Who was promised something is not forgotten (bess_node/affairs.py): fewer would be too few.
        "devices": max(places, buyers),
        "bid_memory_s": memory_s,
        "bid_memory_per_device": int(usual.bids_per_s * memory_s) + usual.bid_burst,
        "free_declines_per_hour": rng.choice((1, usual.free_declines_per_hour)),
    }


def _discovery_limits(rng: Random, batteries: int) -> dict[str, float]:
    """The same of discovery; not every battery may be known to a buyer."""
    usual = DiscoveryLimits()
    return {
        "pending_replies": rng.choice((1, 3, usual.pending_replies)),
        "replies_per_address": rng.choice((1, usual.replies_per_address)),
        "probes_per_address": rng.choice((1, usual.probes_per_address)),
        "peers": rng.choice((max(1, batteries - 1), batteries, usual.peers)),
        "sources": rng.choice((2, usual.sources)),
        "recent_frames": rng.choice((4, usual.recent_frames)),
        "contests": rng.choice((1, usual.contests)),
    }


def _roomy(plan: Plan) -> Plan:
    """Everybody finds a place, and knows everybody: else there is no saying who must have traded in the end."""
    places = {"sessions": len(plan.buyers) + 1, "devices": len(plan.buyers) + 1} if plan.limits else {}
    peers = {"peers": len(plan.batteries) + 1} if plan.discovery_limits else {}
    return replace(plan, limits={**plan.limits, **places}, discovery_limits={**plan.discovery_limits, **peers})


def _ending(rng: Random, plan: Plan) -> Plan:
    """A market that comes to an end in minutes: batteries that are empty soon, or buyers that have enough.

    It is waited for, or each of its trades costs a transaction on a chain.
    """
    dark = {"solar_kw": 0.0} if plan.may_settle else {}  # the sun would be sold for ever, a Wh at a time
    batteries = tuple(
        each.model_copy(update={"capacity_kwh": rng.choice((5.0, 13.5)), **dark}) for each in plan.batteries
    )
    wanted = (1.0, 5.0, 5.0 if plan.may_settle else 20.0)
    buyers = tuple(each.model_copy(update={"demand_kwh": rng.choice(wanted)}) for each in plan.buyers)
    return replace(_roomy(plan), batteries=batteries, buyers=buyers)


def _battery(rng: Random, device_id: int, mechanism: str, profile: str, step: int) -> BessSettings:
    """A battery that sells many small lots: as much at once as it delivers in a short horizon."""
    lot_wh = rng.randint(200, 3000)
    return BessSettings(
        device_id=device_id,
        profile=profile,
        mechanism=mechanism if _is(rng, 0.7) else rng.choice(MECHANISMS),
        capacity_kwh=rng.choice((13.5, 200.0, 1000.0, 1000.0)),
        for_sale=rng.choice((50.0, 90.0, 100.0)),
        reserve=_price(rng, 2, 9, step),
        increment=rng.choice((0.05, 0.5, 2.0)),
        closing_ms=rng.choice((5, 20, 50, 200, 1100)),
        lot_max_s=rng.choice((0.5, 5.0, 60.0)),
        discharge_kw=float(lot_wh) / 500,
        horizon_h=0.5,
        efficiency=rng.choice((0.95, 1.0)),
        min_lot_kwh=rng.choice((0.1, 0.1, 0.001, 1.0)),
        hide_reserve=_is(rng, 0.2),
        pricing=rng.choice(("fixed", "fixed", "soc", "forecast")),
        day_speed=rng.choice((1.0, 60.0, 1000.0)),
        solar_kw=rng.choice((0.0,) * 9 + (5.0,)),
        day_start=MORNING_S,
        day_origin=EPOCH_US / 1e6,
    )


def _buyer(rng: Random, device_id: int, profile: str, most: float) -> AggregatorSettings:
    return AggregatorSettings(
        device_id=device_id,
        profile=profile,
        max_price=most,
        demand_kwh=rng.choice((2.0, 30.0, 300.0, 3000.0, rng.randrange(1, 50_000) / 1000)),
        budget=rng.choice((None, None, None, None, 500.0)),
        strategy=rng.choice(STRATEGIES),
    )


def _fair(rng: Random) -> Weather:
    """A LAN, a town, or the country."""
    low = rng.choice((0.0002, 0.002, 0.02))
    return Weather(
        delay_s=(low, low * rng.choice((1.5, 5.0))),
        tail_s=rng.choice((0.01, 0.1, 0.5)),
        unlucky=rng.choice((0.0, 0.01)),
    )


def _clock(rng: Random) -> ClockPlan:
    """As NTP leaves it, mostly; now and then far off. The monotonic clock counts from the machine's start."""
    offset_us = rng.randint(-20_000, 20_000) if _is(rng, 0.95) else rng.randint(-2_000_000, 2_000_000)
    late_s = rng.choice((0.0, 0.0, 0.005, 0.05))
    return ClockPlan(offset_us, rng.uniform(-100.0, 100.0), rng.uniform(0.0, 1e6), late_s)


# -- what goes wrong

Maker: TypeAlias = Callable[[Random, int, float], Fault]


def _lasting(kind: str, low_s: float, high_s: float) -> Maker:
    def make(rng: Random, who: int, at_s: float) -> Fault:
        return Fault(at_s, kind, who, lasts_s=round(rng.uniform(low_s, high_s), 3))

    return make


def _at_effect(kind: str, most: int) -> Maker:
    def make(rng: Random, who: int, at_s: float) -> Fault:
        return Fault(at_s, kind, who, rng.randrange(most), round(rng.expovariate(1 / 0.6), 3))

    return make


def _jump(rng: Random, who: int, at_s: float) -> Fault:
    by_us = rng.choice((1, -1)) * int(10 ** rng.uniform(3.0, 6.8))
    return Fault(at_s, "clock_jump", who, by_us, round(rng.uniform(1.0, 20.0), 3))


MAKERS: Final[dict[str, tuple[float, Maker]]] = {
    "crash": (3.0, _lasting("crash", 0.05, 3.0)),
    "power_cut": (1.0, _lasting("power_cut", 0.5, 12.0)),
    "crash_at_effect": (6.0, _at_effect("crash_at_effect", 30)),
    "crash_in_write": (5.0, _lasting("crash_in_write", 0.05, 1.5)),
    "crash_in_recovery": (2.0, _at_effect("crash_in_recovery", 12)),
    "disk_fails": (1.0, _lasting("disk_fails", 0.01, 3.0)),
    "disk_stalls": (1.5, _lasting("disk_stalls", 0.05, 1.5)),
    "device_fails": (0.7, _lasting("device_fails", 0.1, 5.0)),
    "clock_jump": (1.0, _jump),
    "cut": (3.0, _lasting("cut", 0.0, 0.0)),
    "slow_reader": (2.0, _lasting("slow_reader", 0.05, 3.0)),
    "partition": (2.0, _lasting("partition", 0.05, 8.0)),
    "mute": (1.0, _lasting("mute", 0.05, 8.0)),
    "deaf": (1.0, _lasting("deaf", 0.05, 8.0)),
    "flapping": (0.7, _lasting("flapping", 0.5, 6.0)),
}
"""Kind → how often, and how one is drawn."""
RARE: Final[dict[str, Maker]] = {
    "rollback": lambda rng, who, at_s: Fault(at_s, "rollback", who, round(rng.random(), 3), 0.5),
    "clone": _lasting("clone", 0.5, 8.0),
}
"""What no software can make good: in one market of twelve, once."""
RARELY: Final = 1 / 12
FAULTS_PER_NODE_S: Final = (0.12, 0.55)
LEAST_FAULTS: Final = 20
MOST_FAULTS: Final = 500
"""A script is cheap; it is the messages of a market that cost."""


def _script(rng: Random, plan: Plan) -> Iterator[Fault]:
    """Faults between the first second and the end of the chaos; each market has its own mix of kinds."""
    batteries = [node.device_id for node in plan.batteries]
    devices = [*batteries, *(node.device_id for node in plan.buyers)]
    kinds = [kind for kind in MAKERS if _is(rng, 0.7)] or ["crash"]
    weights = [MAKERS[kind][0] for kind in kinds]
    for _ in range(_how_many(rng, plan)):
        kind = rng.choices(kinds, weights)[0]
        at_s = round(rng.uniform(0.5, max(1.0, plan.seconds - 1.0)), 3)
        fault = MAKERS[kind][1](rng, rng.choice(batteries if kind == "device_fails" else devices), at_s)
        if kind in ("partition", "mute", "deaf", "flapping") and _is(rng, 0.6):
            fault = fault._replace(other=rng.choice([each for each in devices if each != fault.who]))
        yield fault
    for kind in WEATHER:
        for _ in range(rng.randrange(4)):
            yield _bad_weather(rng, kind, plan.seconds)
    if rng.random() < RARELY:
        kind = rng.choice(sorted(RARE))
        fault = RARE[kind](rng, rng.choice(devices), round(rng.uniform(0.5, plan.seconds), 3))
        yield fault
        if kind == "rollback":  # on a machine whose clock is as old as its backup: its boot is lower than one that was
            yield Fault(fault.at_s, "clock_jump", fault.who, -rng.randrange(6_000_000), 5.0)


def _how_many(rng: Random, plan: Plan) -> int:
    """Faults of a script: as many per node and second, so that each node has time to trade between two."""
    nodes = len(plan.batteries) + len(plan.buyers)
    return min(MOST_FAULTS, max(LEAST_FAULTS, int(rng.uniform(*FAULTS_PER_NODE_S) * nodes * plan.seconds)))


def _bad_weather(rng: Random, kind: str, chaos_s: float) -> Fault:
    most = {"loss": 0.8, "doubles": 0.6, "cuts": 0.08, "spikes": 0.2}[kind]
    at_s = rng.uniform(0.0, chaos_s * 0.9)
    return Fault(round(at_s, 3), kind, 0, round(most * rng.random(), 4), round(rng.uniform(0.0, chaos_s - at_s), 3))
