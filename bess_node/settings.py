"""The battery daemon's settings: every field is a flag, a TOML key and an ETP_ variable (design §8)."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from runtime.settings import Cents, Kwh, NodeSettings


class BessSettings(NodeSettings):
    """Options of `etp bess`."""

    listen: str = Field("127.0.0.1:0", description="TCP and UDP address HOST:PORT; port 0 picks a free one")
    allow_plaintext: bool = Field(default=False, description="serve the unauthenticated plain profile beyond loopback")
    capacity_kwh: Kwh = Field(13.5, gt=0, le=1_000_000, description="capacity of the battery, kWh")
    energy_kwh: Kwh | None = Field(
        None, ge=0, le=1_000_000, description="energy stored at the first start, kWh; default: full"
    )
    floor_kwh: Kwh = Field(0.0, ge=0, le=1_000_000, description="never discharged below this, kWh")
    for_sale: float = Field(50.0, ge=0, le=100, description="share of the capacity that may be sold, %")
    reserve: Cents = Field(12.5, gt=0, le=10_000, description="price below which nothing is sold, c/kWh")
    feed_in: Cents | None = Field(
        None,
        ge=0,
        le=10_000,
        description="what the grid pays for what is not sold, c/kWh: for comparison, and for the optimal reserve",
    )
    wear: Cents = Field(0.0, ge=0, le=10_000, description="what a sold kWh costs the battery, c/kWh")
    pricing: Literal["fixed", "soc", "prices", "forecast", "optimal"] = Field(
        "fixed", description="how the reserve moves"
    )
    mechanism: Literal["english", "first-price", "vickrey", "uniform", "first-above-reserve"] = Field(
        "english", description="the auction"
    )
    increment: Cents = Field(
        0.05, ge=0.0001, le=10_000, description="english: the ask is the leading bid plus this, c/kWh"
    )
    closing_ms: int = Field(
        1100, ge=1, le=600_000, description="from the first (sealed) or last better bid to the close, ms"
    )
    lot_max_s: float = Field(60.0, gt=0, le=86_400, description="english: a lot lasts at most this long, s")
    min_lot_kwh: Kwh = Field(0.1, gt=0, le=1_000_000, description="smallest bid, unless less is left, kWh")
    horizon_h: float = Field(
        2.0, gt=0, le=168, description="a lot is at most what the battery delivers in this time, h"
    )
    discharge_kw: float = Field(5.0, gt=0, le=100_000, description="discharge limit, kW")
    charge_kw: float = Field(5.0, gt=0, le=100_000, description="charge limit, kW")
    efficiency: float = Field(0.95, gt=0, le=1, description="discharge efficiency")
    solar_kw: float = Field(
        0.0, ge=0, le=100_000, description="peak power of a rooftop that charges the battery, kW; 0: none"
    )
    temperature_file: Path | None = Field(
        None,
        description="file with the battery's temperature in m°C, as Linux's hwmon writes it; default: 25 °C is assumed",
    )
    max_temperature_c: float = Field(60.0, gt=-50, le=200, description="a battery this hot is not sold from, °C")
    hide_reserve: bool = Field(default=False, description="do not disclose the reserve")
    unsettled: Cents = Field(
        100_000.0,
        gt=0,
        le=1e9,
        description="what one buyer may owe that is not on the chain yet, c; then its bids wait",
    )
    min_escrow: Cents = Field(
        0.0, ge=0, le=1e9, description="bids of a buyer whose escrow can pay less than this are refused, c"
    )
    min_reputation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of settled trades below which a buyer's bids are refused; newcomers have 0.5",
    )
    unit_price: int = Field(
        0, ge=0, le=10_000_000, description="priority fee of a settlement, millionths of a lamport per compute unit"
    )
    bid_rate: int = Field(50, ge=1, le=100_000, description="bids per second of one device")
