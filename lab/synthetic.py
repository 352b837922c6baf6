"""Synthetic years: prices and weather drawn from a seed. Nothing here was recorded; the tapes made from it say so in their name.

The shape of a day is that of the two recorded days (`runtime.days.AGILE_2020_05`), whose means by part of the day, in µ/kWh,
lie so far from the mean of their hours outside the evening peak (39,000): night −13,500, morning +5,000, noon −22,000, evening
peak +142,000, late +15,000. Outside the peak the one day is 38,000 dearer than the other, which for two draws is a standard
deviation of 27,000; within a part of a day half-hours scatter by 11,500 with a correlation of 0.17 from one to the next. The
cheaper day was the one with negative prices at noon: sun and wind make energy cheap, so a clear sky lowers the hours around
noon here. Two days tell nothing of seasons: that winter is dearer by up to 20,000 is an assumption (less sun, more heating).

Sun: hours of daylight of southern England, 8 to 16.4, as a sine of the day of the year; the roof's peak follows the noon sun
down to 0.35 of summer's. Clearness is drawn per day (a beta distribution with mean 0.5, as overcast countries have it), and so the
yield of a kW of roof is about 1.1 MWh a year under `bess_node.solar`'s half sine; roofs there yield about 1.0.
"""

from math import cos, pi
from typing import Final, NamedTuple

import numpy as np

from bess_node.solar import DAY_S, Solar
from lab.statistics import Floats
from runtime.days import STEP_S, PriceSeries

DAYS: Final = 365
STEPS: Final = DAY_S // STEP_S
FIRST_DAY_S: Final = 1_577_836_800
"""1 January 2020, 00:00 UTC."""
MIDSUMMER: Final = 172

LEVEL: Final = 39_000
PARTS: Final = ((12, -13_500), (24, 5_000), (30, -22_000), (36, 142_000), (48, 15_000))
"""(half-hour of the UTC day before which, µ/kWh from the level)."""
WINTER: Final = 20_000
DAY_DEVIATION: Final = 27_000
DAY_MEMORY: Final = 0.5
"""Correlation of one day's level with the next: weather stays for some days; an assumption."""
HALF_HOUR_DEVIATION: Final = 11_500
HALF_HOUR_MEMORY: Final = 0.17
CLEAR_NOON: Final = -40_000
"""What a clear sky does to the hours around noon compared with an average one: the two recorded noons are 66,000 apart."""
CLEARNESS: Final = (2.0, 2.0)
LEAST_PEAK: Final = 0.35
DAYLIGHT_H: Final = (12.2, 4.2)
"""Mean and half of the range over the year, h."""
NOON_S: Final = 12 * 3600


class Year(NamedTuple):
    """A synthetic year."""

    series: PriceSeries
    clearness: tuple[float, ...]
    """By day, 0..1: the share of a clear sky's yield."""


def year_of(seed: int, number: int) -> Year:
    """The year of this number under a seed."""
    rng = np.random.default_rng([seed, number])
    clearness = rng.beta(*CLEARNESS, size=DAYS)
    days = _memory(rng.standard_normal(DAYS), DAY_MEMORY) * DAY_DEVIATION
    noise = _memory(rng.standard_normal(DAYS * STEPS), HALF_HOUR_MEMORY) * HALF_HOUR_DEVIATION
    step = np.arange(STEPS)
    shape = np.select([step < until for until, _ in PARTS], [float(value) for _, value in PARTS])
    winter = WINTER * np.cos(2 * pi * (np.arange(DAYS) - MIDSUMMER - DAYS / 2) / DAYS)
    around_noon = np.clip(np.cos((step + 0.5 - STEPS / 2) / STEPS * 2 * pi), 0, None)
    level = (LEVEL + winter + days)[:, None] + shape + CLEAR_NOON * (2 * clearness[:, None] - 1) * around_noon
    prices = level.ravel() + noise
    return Year(PriceSeries(FIRST_DAY_S, tuple(int(price) for price in prices)), tuple(map(float, clearness)))


def _memory(shocks: Floats, correlation: float) -> Floats:
    """An autoregression of the first order with deviation 1."""
    made = np.empty_like(shocks)
    made[0] = last = shocks[0]
    for index in range(1, len(shocks)):
        last = correlation * last + (1 - correlation**2) ** 0.5 * shocks[index]
        made[index] = last
    return made


def sun_of(day: int, peak_kw: float, clearness: float) -> Solar:
    """The roof on one day of the year (from 0)."""
    summer = (1 + cos(2 * pi * (day - MIDSUMMER) / DAYS)) / 2
    mean_h, swing_h = DAYLIGHT_H
    half_s = (mean_h + swing_h * (2 * summer - 1)) * 3600 / 2
    strength = LEAST_PEAK + (1 - LEAST_PEAK) * summer
    return Solar(peak_kw * strength * clearness, NOON_S - half_s, NOON_S + half_s)
