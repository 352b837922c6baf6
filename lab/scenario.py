"""The trading days that are replayed: which batteries and buyers there are, in settings that daemons and simulator share."""

from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from aggregator_node.settings import AggregatorSettings
from aggregator_node.strategy import STRATEGIES
from bess_node.pricing import reserve_with_wear
from bess_node.settings import BessSettings
from etp.units import MICRO_PER_CENT, MicroPerKwh
from runtime.days import AGILE_2020_05, PriceSeries
from runtime.settings import Cents, SettingsError

MechanismName = Literal["english", "first-price", "vickrey", "uniform", "first-above-reserve"]

FIRST_BATTERY: Final = 101
FIRST_BUYER: Final = 500
HOMES: Final = ((10.0, 2.0), (13.5, 3.0), (16.0, 2.5))
"""Capacity, kWh, and rooftop peak, kW: sizes of batteries that are sold for homes, each with a roof that fills it by noon."""
FIRST_CHARGE: Final = 0.5
"""Of the capacity at the beginning, so that there is something to sell before the sun rises."""
FOR_SALE_PERCENT: Final = 90.0
HORIZON_H: Final = 0.5
"""A lot is at most what a battery delivers in one half-hour: who buys it knows its price."""
CLOSING_MS: Final = 200
"""Enough on one machine (design §4)."""
INCREMENT_CENTS: Final = 0.25
MOST_CENTS: Final = 100.0
"""No recorded half-hour is worth more: the values are the recorded prices less the margin."""
MARGIN_PERCENT: Final = 15.0
"""A buyer keeps 0 to this share of the price, anew in each half-hour."""
SCARCITY: Final = 1.5
"""What all buyers want in a half-hour, per what all batteries can deliver in it."""
WANTED_IN_ALL_KWH: Final = 100_000.0
"""No limit: the demand per half-hour binds."""
BIDDING: Final[dict[str, tuple[str, ...]]] = {
    "english": ("conservative", "aggressive", "random"),
    "first-price": ("aggressive", "random", "conservative"),
    "vickrey": ("truthful",),
    "uniform": ("truthful",),
    "first-above-reserve": ("conservative", "aggressive", "random"),
}
"""Strategies that make sense under a mechanism, dealt to the buyers in turn."""


class ScenarioSettings(BaseModel):
    """What can be chosen about the days."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    bess: int = Field(3, ge=1, le=50, description="batteries")
    aggregators: int = Field(4, ge=1, le=50, description="buyers")
    mechanism: MechanismName = Field("english", description="the auction")
    strategy: list[str] = Field(
        [], description="how buyers bid, in turn; may be repeated; default: as the auction asks"
    )
    slots: int = Field(100, ge=1, le=100, description="half-hours to replay")
    first_slot: int = Field(0, ge=0, le=99, description="the recorded half-hour to begin with")
    seconds_per_slot: float = Field(0.3, ge=0.02, le=1800, description="how long a half-hour takes, s")
    feed_in: Cents = Field(6.0, ge=0.01, le=1000, description="what the grid pays for energy that nobody buys, c/kWh")
    wear: Cents = Field(0.5, ge=0, le=1000, description="what a sold kWh costs the battery, c/kWh")
    seed: int = Field(1, ge=0, le=2**32 - 1, description="seed of margins and random strategies")


@dataclass(frozen=True, slots=True)
class Scenario:
    """The days, ready for daemons or simulator. Market time is not in the nodes' settings: who starts them says when it begins."""

    series: PriceSeries
    batteries: tuple[BessSettings, ...]
    buyers: tuple[AggregatorSettings, ...]
    slots: int
    seconds_per_slot: float
    feed_in: MicroPerKwh
    wear: MicroPerKwh
    seed: int

    @property
    def start_s(self) -> float:
        """Market time at the beginning, unix seconds."""
        return self.series.start_s

    @property
    def end_s(self) -> float:
        """Market time at the end, unix seconds."""
        return self.series.start_s + self.slots * self.series.step_s

    @property
    def speed(self) -> float:
        """Market seconds per real second."""
        return self.series.step_s / self.seconds_per_slot

    @property
    def reserve(self) -> MicroPerKwh:
        """Below it feeding in is better: feed-in plus wear."""
        return reserve_with_wear(feed_in=self.feed_in, wear=self.wear)


def scenario_of(settings: ScenarioSettings) -> Scenario:
    """The days as chosen. Raises SettingsError naming what cannot be."""
    recorded = AGILE_2020_05
    last = settings.first_slot + settings.slots
    if last > len(recorded.values):
        left = len(recorded.values) - settings.first_slot
        raise SettingsError("slots", settings.slots, f"at most {left}: {len(recorded.values)} half-hours are recorded")
    start_s = recorded.start_s + settings.first_slot * recorded.step_s
    return Scenario(
        series=PriceSeries(start_s, recorded.values[settings.first_slot : last]),
        batteries=tuple(_battery(settings, index) for index in range(settings.bess)),
        buyers=tuple(_buyer(settings, index, strategy) for index, strategy in enumerate(_strategies(settings))),
        slots=settings.slots,
        seconds_per_slot=settings.seconds_per_slot,
        feed_in=_micro(settings.feed_in),
        wear=_micro(settings.wear),
        seed=settings.seed,
    )


def _micro(cents: float) -> MicroPerKwh:
    return MicroPerKwh(round(cents * MICRO_PER_CENT))


def _strategies(settings: ScenarioSettings) -> list[str]:
    chosen = settings.strategy or BIDDING[settings.mechanism]
    for name in chosen:
        if name not in STRATEGIES:
            raise SettingsError("strategy", name, f"one of {', '.join(STRATEGIES)}")
    return list(islice(cycle(chosen), settings.aggregators))


def _battery(settings: ScenarioSettings, index: int) -> BessSettings:
    capacity_kwh, solar_kw = HOMES[index % len(HOMES)]
    return BessSettings(
        device_id=FIRST_BATTERY + index,
        capacity_kwh=capacity_kwh,
        energy_kwh=capacity_kwh * FIRST_CHARGE,
        solar_kw=solar_kw,
        for_sale=FOR_SALE_PERCENT,
        horizon_h=HORIZON_H,
        feed_in=settings.feed_in,
        reserve=reserve_with_wear(feed_in=_micro(settings.feed_in), wear=_micro(settings.wear)) / MICRO_PER_CENT,
        mechanism=settings.mechanism,
        increment=INCREMENT_CENTS,
        closing_ms=CLOSING_MS,
        seed=settings.seed * 10_000 + index,
    )


def _buyer(settings: ScenarioSettings, index: int, strategy: str) -> AggregatorSettings:
    deliverable_kwh = settings.bess * HORIZON_H * BessSettings.model_fields["discharge_kw"].default
    return AggregatorSettings(
        device_id=FIRST_BUYER + index,
        max_price=MOST_CENTS,
        margin=MARGIN_PERCENT,
        demand_kwh=WANTED_IN_ALL_KWH,
        period_kwh=round(SCARCITY * deliverable_kwh / settings.aggregators, 3),
        strategy=strategy,
        seed=settings.seed * 10_000 + FIRST_BUYER + index,
    )
