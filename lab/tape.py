"""A tape: lots, what buyers think they are worth, when they hear of them, how far away they are. Never a bid, so that every
mechanism, strategy and number of buyers can be played on the same tape.

*Lots.* A home's battery (`bess_node.battery`), charged by its roof (`bess_node.solar`), offers in each half-hour one twelfth of what it
may sell then, in whole multiples of 60 Wh. That rule looks at no price, so no way of selling is favoured by it, and gives
every hour its lots; what is not sold in its half-hour is fed in. What is offered is therefore the same whoever buys, and
income per kWh offered (docs/decisions/0007) has one denominator.

*Values.* The price of the half-hour is known to all; each buyer keeps a private margin of 0 to `margin_percent` of it, drawn
anew per lot, uniformly and independently. Values are so uniform on [(1 − m)p, p], as `aggregator_node.worth.Recorded` has
them; in auction theory: a common component that is known, and independent private values.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from bess_node.battery import Battery, BatterySpec
from bess_node.solar import DAY_S, Solar
from etp.units import WH_PER_KWH, MicroPerKwh, Wh
from lab.scenario import FIRST_CHARGE, FOR_SALE_PERCENT, HOMES, MARGIN_PERCENT
from lab.synthetic import DAYS, FIRST_DAY_S, STEPS, sun_of, year_of
from runtime.days import AGILE_2020_05, PriceSeries

MOST_BUYERS: Final = 10
PARTS: Final = 12
"""A lot is this part of what may be sold: half a day's sun lasts through the night, and the state of charge moves."""
QUANTUM: Final = Wh(60)
"""Halves to fifths of a lot are whole, so that demand can be split without a remainder."""
FEWEST_QUANTA: Final = 2
"""120 Wh: below 100 Wh a battery opens no lot by default (design §4)."""
NOTICE_S: Final = 0.020
"""Buyers take up to this to notice a lot: what `aggregator_node.books.LOOK_S` lets pass."""
DELAY_S: Final = 0.0015
"""Median one-way delay: one machine or a LAN."""
DELAY_SPREAD: Final = 0.5
"""Standard deviation of its logarithm: delays on a path are skewed, and never 0."""
STRIDE: Final = 73
"""Days from the beginning of one short synthetic tape to that of the next, round the year: a fifth of it, so that no season is left out."""


class TapeLot(NamedTuple):
    """One lot, and all that may be known of it before anybody bids."""

    cluster: int
    """Day or drawing: what is resampled as a whole."""
    market_s: float
    """Market time, unix s."""
    energy: Wh
    soc: float
    common: int
    """What a kWh is worth before margins, µ/kWh; may be negative."""
    lowest: int
    """The least value that there can be: (1 − m) × common."""
    values: tuple[MicroPerKwh, ...]
    """By buyer; below 1 nothing is bid."""
    notices_s: tuple[float, ...]
    """After the lot opens, by buyer, s."""
    delays_s: tuple[float, ...]
    """One way, by buyer, s."""


class Tape(NamedTuple):
    """Lots in order of time."""

    name: str
    """What it was made from; a synthetic one says so."""
    lots: tuple[TapeLot, ...]
    series: PriceSeries


class Making(NamedTuple):
    """What a tape may be made differently in; everything drawn stays the same, so that tapes of one seed are compared in pairs."""

    margin_percent: float = MARGIN_PERCENT
    for_sale_percent: float = FOR_SALE_PERCENT
    delay_s: float = DELAY_S


def recorded_tape(seed: int, drawing: int, making: Making = Making()) -> Tape:
    """The recorded days, with margins and network drawn anew: a cluster is a drawing, since the days are what they are."""
    rng = np.random.default_rng([seed, 1, drawing])
    offers = _offers(AGILE_2020_05, drawing, making, lambda _, peak_kw: Solar(peak_kw))
    return Tape("recorded", _drawn(offers, rng, making, lambda _: drawing), AGILE_2020_05)


def synthetic_tape(seed: int, number: int, making: Making = Making(), *, days: int = 365) -> Tape:
    """So many days of a synthetic year, those of short tapes spread over the seasons by their number: a cluster is a day."""
    year, begin = year_of(seed, number), number * STRIDE % (DAYS - days + 1)
    prices = year.series.values[begin * STEPS : (begin + days) * STEPS]
    series = PriceSeries(year.series.start_s + begin * DAY_S, prices)
    rng = np.random.default_rng([seed, 2, number])

    def sun(day: int, peak_kw: float) -> Solar:
        return sun_of(begin + day, peak_kw, year.clearness[begin + day])

    offers = _offers(series, number, making, sun)
    first = int(FIRST_DAY_S // DAY_S)
    return Tape("synthetic", _drawn(offers, rng, making, lambda at: number * 1000 + int(at // DAY_S) - first), series)


class Offer(NamedTuple):
    """A lot as the battery has it."""

    market_s: float
    energy: Wh
    soc: float
    price: int


def _offers(series: PriceSeries, home: int, making: Making, sun: Callable[[int, float], Solar]) -> list[Offer]:
    """What a home offers, half-hour by half-hour: lots leave the battery whether they are sold or fed in."""
    capacity_kwh, peak_kw = HOMES[home % len(HOMES)]
    spec = BatterySpec(Wh(round(capacity_kwh * WH_PER_KWH)))
    battery = Battery(spec, spec.capacity_wh * FIRST_CHARGE)
    limit_wh = spec.charge_kw * series.step_s / 3.6
    offers = []
    for index, price in enumerate(series.values):
        begin = series.start_s + index * series.step_s
        soc, quanta = battery.soc, battery.deliverable_wh(making.for_sale_percent) // PARTS // QUANTUM
        if quanta >= FEWEST_QUANTA:
            offers.append(Offer(begin, battery.discharge(Wh(quanta * QUANTUM)), soc, price))
        day = int(begin // DAY_S) - int(series.start_s // DAY_S)
        battery.charge(min(sun(day, peak_kw).energy_wh(begin, begin + series.step_s), limit_wh))
    return offers


def _drawn(
    offers: list[Offer], rng: np.random.Generator, making: Making, cluster: Callable[[float], int]
) -> tuple[TapeLot, ...]:
    shape = (len(offers), MOST_BUYERS)
    shares, notices = rng.random(shape), rng.random(shape) * NOTICE_S
    delays = making.delay_s * np.exp(DELAY_SPREAD * rng.standard_normal(shape))
    lots = []
    for offer, share, notice, delay in zip(offers, shares.tolist(), notices.tolist(), delays.tolist(), strict=True):
        most = abs(offer.price) * making.margin_percent / 100
        values = tuple(MicroPerKwh(offer.price - int(most * part)) for part in share)
        lowest = offer.price - int(most)
        lots.append(
            TapeLot(
                cluster(offer.market_s),
                offer.market_s,
                offer.energy,
                offer.soc,
                offer.price,
                lowest,
                values,
                tuple(notice),
                tuple(delay),
            )
        )
    return tuple(lots)
