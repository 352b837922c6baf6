"""The aggregator daemon's settings: every field is a flag, a TOML key and an ETP_ variable (design §8)."""

from typing import Literal

from pydantic import Field

from runtime.settings import Cents, Kwh, NodeSettings


class AggregatorSettings(NodeSettings):
    """Options of `etp aggregator`."""

    max_price: Cents = Field(
        18.5, gt=0, le=10_000, description="what a kWh is worth to this buyer, c/kWh; with --day the most it ever is"
    )
    margin: float = Field(
        0.0,
        ge=0,
        le=100,
        description="with --day: of the recorded price this buyer keeps up to so much, anew in each half-hour, %",
    )
    demand_kwh: Kwh = Field(6.75, gt=0, le=1_000_000, description="energy wanted in total, kWh")
    period_kwh: Kwh | None = Field(
        None, gt=0, le=1_000_000, description="with --day: energy wanted in each half-hour, kWh; default: any"
    )
    budget: float | None = Field(
        None, gt=0, le=1_000_000_000, description="money that may be spent in total, c; default: any"
    )
    strategy: Literal["random", "conservative", "aggressive", "truthful", "intelligent"] = Field(
        "truthful", description="how it bids"
    )
    patience_h: float = Field(
        24.0,
        ge=0,
        le=8760,
        description="intelligent: how long the demand in total may wait for a better price, h of market time",
    )
    peer: list[str] = Field(
        [],
        description="battery to dial where multicast does not reach, DEVICE_ID@HOST:PORT (in plain HOST:PORT will do)",
    )
    until_filled: bool = Field(default=False, description="end with status 0 once the demand is held")
