"""What the same days bring without competition: played in virtual time by the cores that ship, with the same seed.

Same batteries, reserve, values and start; only what the name of a baseline says is different.
"""

from dataclasses import replace
from typing import Final, TypeVar

from etp.effects import Row
from lab.income import Sales, sales_of
from lab.scenario import Scenario, ScenarioSettings, scenario_of
from runtime.settings import DaySettings
from sim.scheduler import EPOCH_US
from sim.world import Plan, World

CONNECTING_S: Final = 1.0
"""Virtual time before market time begins, as the daemons have it: everyone is connected by then, s."""
ENDING_S: Final = 2.0
"""Virtual time after the last half-hour in which promises are seen through, s."""


def single_buyer(scenario: Scenario) -> Scenario:
    """One buyer with everybody's demand that keeps no margin and, alone as it is, bids what is asked."""
    first = scenario.buyers[0]
    demand = sum(buyer.period_kwh or 0.0 for buyer in scenario.buyers)
    alone = {"strategy": "conservative", "margin": 0.0, "period_kwh": round(demand, 3)}
    return replace(scenario, buyers=(first.model_copy(update=alone),))


def first_above_reserve(settings: ScenarioSettings) -> Scenario:
    """The first bid that is not below the reserve gets the energy, and its bidder pays it.

    Buyers bid as this rule asks, unless their strategies were chosen: one that is truthful because the second price protects
    it would not be so here.
    """
    return scenario_of(settings.model_copy(update={"mechanism": "first-above-reserve"}))


D = TypeVar("D", bound=DaySettings)


def dated(scenario: Scenario, settings: D, *, origin_s: float | None) -> D:
    """A node's settings with the market time of the days, which begins at `origin_s` (unix seconds of wall time).

    None: the node asks for it once it is loaded.
    """
    times = {
        "day_start": scenario.start_s,
        "day_speed": scenario.speed,
        "day_origin": origin_s,
        "day_told": origin_s is None,
    }
    return settings.model_copy(update=times)


def play(scenario: Scenario) -> Sales:
    """The confirmed sales of the days, in virtual time."""
    origin_s = EPOCH_US / 1e6 + CONNECTING_S
    world = World(
        Plan(
            scenario.seed,
            tuple(dated(scenario, settings, origin_s=origin_s) for settings in scenario.batteries),
            tuple(dated(scenario, settings, origin_s=origin_s) for settings in scenario.buyers),
            series=scenario.series,
            seconds=CONNECTING_S + scenario.slots * scenario.seconds_per_slot,
        )
    )
    world.run()
    world.finish(ENDING_S)
    trades: list[Row] = [row for node in world.batteries for row in node.disk.rows if row.kind == "trade"]
    return sales_of(trades)
