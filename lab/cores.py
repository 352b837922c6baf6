"""A lot of a tape, played by the full cores: the shipped desk and buyers with their sessions, journals and promises, in `sim.World`.

What `lab.play` says of a lot must be what these sell it for, to the Wh and the µ. A lot is compared only if it is sold to its end
in one auction: then a buyer's limit does not change, and the daemons' own settings say all that a buyer of the tape knows. Lots sold
in several, the rest of one becoming the next, never come through here. All buyers are equally far and notice at once, so that the
order of bids is the order of buyers in both.
"""

from typing import Final, NamedTuple

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from etp.units import MICRO_PER_CENT, WH_PER_KWH, DeviceId, MicroPerKwh, Wh
from lab.bidding import PLAYS, Knowledge
from lab.play import Rules
from lab.scenario import FIRST_BATTERY, FIRST_BUYER
from lab.tape import TapeLot
from sim.network import Weather
from sim.world import Plan, World


class Net(NamedTuple):
    """How buyers and battery are connected."""

    weather: Weather
    found: bool = False
    """By multicast, as daemons find each other; otherwise every buyer knows the battery's address."""


DELAY_S: Final = 0.001
"""One way, everybody's, s."""
LEVEL: Final = Net(Weather((DELAY_S, DELAY_S)))
SECONDS: Final = 2.5
"""Of virtual time: steps of two delays each, the close, the promise."""
ENDING_S: Final = 1.5


class Sold(NamedTuple):
    """To whom, how much, at what price."""

    buyer: int
    energy: Wh
    paid: MicroPerKwh


def levelled(lot: TapeLot) -> TapeLot:
    """The lot with everybody equally far away."""
    size = len(lot.values)
    return lot._replace(notices_s=(0.0,) * size, delays_s=(DELAY_S,) * size)


def is_one_auction(lot: TapeLot, rules: Rules) -> bool:
    """Whether the lot is sold to its end in one: every winner takes it whole, or shares it."""
    return rules.play == "uniform" or rules.wanted(lot.energy) >= lot.energy


def sold(
    lot: TapeLot,
    reserve: MicroPerKwh,
    rules: Rules,
    *,
    net: Net = LEVEL,
    seconds: float = SECONDS,
    seed: int = 1,
) -> list[Sold]:
    """Play the lot for so long; the trades in the battery's journal, by buyer. Raises ValueError where one auction does not sell it."""
    if not is_one_auction(lot, rules):
        raise ValueError(f"each wants {rules.wanted(lot.energy)} of {lot.energy} Wh; at least the lot, or play uniform")
    buyers = tuple(_buyers(lot, reserve, rules))
    if not buyers:
        return []
    world = World(
        Plan(seed, (_battery(lot, reserve, rules),), buyers, weather=net.weather, seconds=seconds, discovered=net.found)
    )
    world.run()
    world.finish(ENDING_S)
    rows = (row.body for row in world.batteries[0].disk.rows if row.kind == "trade")
    trades = [[int(str(body[name])) for name in ("bidder", "energy_wh", "price_micro_per_kwh")] for body in rows]
    return sorted(Sold(bidder - FIRST_BUYER, Wh(energy), MicroPerKwh(price)) for bidder, energy, price in trades)


def _battery(lot: TapeLot, reserve: MicroPerKwh, rules: Rules) -> BessSettings:
    """It holds the lot and nothing more, and loses nothing on the way."""
    return BessSettings(
        device_id=DeviceId(FIRST_BATTERY),
        profile="plain",
        capacity_kwh=lot.energy / WH_PER_KWH,
        for_sale=100.0,
        efficiency=1.0,
        reserve=reserve / MICRO_PER_CENT,
        mechanism=PLAYS[rules.play].mechanism,
        increment=rules.increment / MICRO_PER_CENT,
        closing_ms=round(rules.closing_s * 1000),
        lot_max_s=rules.max_s,
        min_lot_kwh=1 / WH_PER_KWH,
    )


def _buyers(lot: TapeLot, reserve: MicroPerKwh, rules: Rules) -> list[AggregatorSettings]:
    play, known = PLAYS[rules.play], Knowledge(lot.lowest, lot.common, reserve, rules.buyers - 1, 1)
    return [
        AggregatorSettings(
            device_id=DeviceId(FIRST_BUYER + buyer),
            profile="plain",
            max_price=play.limit(known, value) / MICRO_PER_CENT,
            demand_kwh=rules.wanted(lot.energy) / WH_PER_KWH,
            strategy=play.strategy,
            seed=buyer,
        )
        for buyer, value in enumerate(lot.values[: rules.buyers])
        if value >= reserve
    ]
