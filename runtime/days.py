"""Market time, and recorded days: what energy was worth to those who buy it, half-hour by half-hour.

Origin: Octopus Energy's public API, tariff Agile 18-02-21, region D, 2020-05-20T20:00:00Z to 2020-05-22T22:00:00Z, value_inc_vat
in p/kWh as recorded in emoncms/demandshaper. Pence are read as cents: 1 p = 10,000 µ.
"""

from dataclasses import dataclass
from typing import Final

from etp.units import MonotonicS

STEP_S: Final = 1800


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """Prices from `start_s` (unix seconds, so UTC: a clock change moves nothing) on, one per step, oldest first.

    Raises ValueError where it has no price or no step.
    """

    start_s: float
    values: tuple[int, ...]
    """µ/kWh; negative ones are as recorded."""
    step_s: int = STEP_S

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values is empty; at least one price")
        if self.step_s <= 0:
            raise ValueError(f"step_s is {self.step_s}; above 0")

    def step_of(self, unix_s: float) -> int:
        """Which step `unix_s` is in (its start counts, its end does not); outside, the first or the last."""
        index = int((unix_s - self.start_s) // self.step_s)
        return min(max(index, 0), len(self.values) - 1)

    def at(self, unix_s: float) -> int:
        """The price of the step that `unix_s` is in; outside, the nearest, µ/kWh."""
        return self.values[self.step_of(unix_s)]


@dataclass(frozen=True, slots=True)
class MarketClock:
    """Market time from real time: it stands still until `origin_s`, then runs `speed` times as fast.

    Prices, sun, charging and delivery follow it; deadlines of the protocol never do.
    """

    origin_s: MonotonicS
    """When market time is `day_start_s`."""
    day_start_s: float
    """Unix seconds."""
    speed: float = 1.0

    def at(self, now: MonotonicS) -> float:
        """Market time, unix seconds."""
        return self.day_start_s + max(0.0, now - self.origin_s) * self.speed

    def when(self, market_s: float) -> MonotonicS:
        """When it is `market_s`; what is before the start is at the origin."""
        return MonotonicS(self.origin_s + max(0.0, market_s - self.day_start_s) / self.speed)


AGILE_2020_05: Final = PriceSeries(
    1_590_004_800,
    (
        76_230,
        69_300,
        73_920,
        53_130,
        59_115,
        51_765,
        49_875,
        39_270,
        40_635,
        40_635,
        38_850,
        32_340,
        38_850,
        32_340,
        36_960,
        35_070,
        36_960,
        41_580,
        42_525,
        57_330,
        55_440,
        73_710,
        69_300,
        71_610,
        73_920,
        69_300,
        69_300,
        64_680,
        66_255,
        68_355,
        69_720,
        69_300,
        58_170,
        48_720,
        45_465,
        45_465,
        48_090,
        53_550,
        185_010,
        198_870,
        195_825,
        203_490,
        208_110,
        215_040,
        79_695,
        75_810,
        77_595,
        69_300,
        75_075,
        62_790,
        66_045,
        55_020,
        55_440,
        48_510,
        42_945,
        22_680,
        39_690,
        19_215,
        33_915,
        13_650,
        21_000,
        2_730,
        15_015,
        -945,
        -14_280,
        -13_860,
        -4_620,
        26_985,
        4_620,
        36_960,
        23_100,
        27_720,
        23_835,
        14_280,
        26_775,
        12_915,
        18_480,
        14_805,
        23_100,
        13_860,
        8_295,
        -13_650,
        -11_970,
        -20_580,
        -32_340,
        -24_465,
        122_850,
        159_600,
        152_670,
        185_010,
        170_415,
        180_390,
        56_385,
        41_370,
        52_710,
        45_255,
        52_710,
        41_160,
        50_820,
        13_860,
    ),
)
