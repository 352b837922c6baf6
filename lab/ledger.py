"""What a way of selling earned on a tape, summed by cluster: the rows that experiments of competition are made of.

Ways of selling differ in the play, the number of buyers, how demand is counted and the reserve; baselines are ways like any
other. Whatever the way, the same lots are offered, so their rows pair by cluster.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

import pyarrow as pa

from bess_node.pricing import ByPrices, BySoc, Context, Fixed, Forecast, Pricing, legal_reserve, reserve_with_wear
from etp.units import MICRO_PER_CENT, WH_PER_KWH, Micro, MicroPerKwh, Wh, money
from lab.experiment import Cell, Row, Scale, Task
from lab.income import Sales, earned_micro
from lab.play import Rules, played
from lab.scenario import ScenarioSettings
from lab.statistics import Interval, difference, ratio
from lab.tape import Tape, TapeLot
from lab.welfare import Worth
from market.auction import Award
from runtime.days import PriceSeries


class Tariffs(NamedTuple):
    """What unsold energy earns and what a sold kWh wears, µ/kWh: as the demo's days have them."""

    feed_in: MicroPerKwh
    wear: MicroPerKwh

    @property
    def base(self) -> MicroPerKwh:
        """Below it feeding in is better."""
        return reserve_with_wear(feed_in=self.feed_in, wear=self.wear)


def _micro(setting: str) -> MicroPerKwh:
    return MicroPerKwh(round(ScenarioSettings.model_fields[setting].default * MICRO_PER_CENT))


TARIFFS: Final = Tariffs(_micro("feed_in"), _micro("wear"))


@dataclass(frozen=True, slots=True)
class Posted:
    """The best take-it-or-leave-it price for one buyer whose value is uniform on [(1 − m)p, p], known to the owner: p and m too.

    (price − base) × P(value ≥ price) is greatest at (p + base) / 2, or at the least value where that is higher (Myerson 1981).
    """

    base: MicroPerKwh
    prices: Mapping[float, tuple[int, int]]
    """(lowest, common) by market time."""

    def reserve(self, context: Context) -> MicroPerKwh:
        """That price, never below the base."""
        lowest, common = self.prices[context.market_s]
        return legal_reserve(max(self.base, lowest, (common + self.base) // 2 if common > self.base else self.base))

    def traded(self, context: Context, price: MicroPerKwh) -> None:
        """Learns nothing."""


def best_flat(tape: Tape, base: MicroPerKwh) -> MicroPerKwh:
    """The one price for all lots of the tape that would have earned most from its first buyer: known only afterwards."""
    lots = sorted(((lot.values[0], lot.energy) for lot in tape.lots), reverse=True)
    best, energy = (0, base), 0
    for value, offered in lots:
        if value <= base:
            break
        energy += offered
        best = max(best, ((value - base) * energy, value))
    return best[1]


RESERVES: Final[Mapping[str, Callable[[Tape, MicroPerKwh], Pricing]]] = MappingProxyType(
    {
        "fixed": lambda _, base: Fixed(base),
        "soc": lambda _, base: BySoc(base),
        "forecast": lambda _, base: Forecast(base),
        "prices": lambda tape, base: ByPrices(base, tape.series),
        "prices less margin": lambda tape, base: ByPrices(base, least_values(tape)),
        "best flat price": lambda tape, base: Fixed(best_flat(tape, base)),
        "best price per lot": lambda tape, base: Posted(
            base, {lot.market_s: (lot.lowest, lot.common) for lot in tape.lots}
        ),
        "above all values": lambda tape, _: Fixed(legal_reserve(max(lot.common for lot in tape.lots) + 1)),
    }
)
"""Reserve rules by name: those of `--pricing`; that of prices with what is sure to be paid; and the two posted prices."""


def least_values(tape: Tape) -> PriceSeries:
    """The least value in each half-hour: what nobody refuses, if the owner knows the widest margin."""
    lowest = {tape.series.step_of(lot.market_s): lot.lowest for lot in tape.lots}
    values = tuple(lowest.get(step, price) for step, price in enumerate(tape.series.values))
    return PriceSeries(tape.series.start_s, values, tape.series.step_s)


class Way(NamedTuple):
    """A way of selling."""

    rules: Rules
    reserve: str = "fixed"
    tariffs: Tariffs = TARIFFS


@dataclass(slots=True)
class Account:
    """Sums of one cluster."""

    offered: int = 0
    lots: int = 0
    sales: Sales = field(default_factory=lambda: Sales(0, Wh(0), Micro(0)))
    bids: int = 0
    """Up to the winning one, of every lot sold."""

    def add(self, lot: TapeLot, awards: Iterable[Award]) -> None:
        """One lot of the tape, and to whom it was sold."""
        count, energy, paid = self.sales
        for award in awards:
            count, energy, paid = count + 1, Wh(energy + award.energy), Micro(paid + money(award.paid, award.energy))
            self.bids += award.bid.arrival
        self.sales = Sales(count, energy, paid)
        self.offered, self.lots = self.offered + lot.energy, self.lots + 1

    def row(self, tariffs: Tariffs) -> Row:
        """As cells."""
        return {
            "lots": self.lots,
            "offered_wh": self.offered,
            "trades": self.sales.trades,
            "bids": self.bids,
            "sold_wh": int(self.sales.energy),
            "paid_micro": int(self.sales.paid),
            "earned_micro": int(earned_micro(self.sales, Wh(self.offered), tariffs)),
        }


Part = Callable[[TapeLot], int]
"""What else lots are summed by: the hour, the month."""


def whole(lot: TapeLot) -> int:  # noqa: ARG001 - one interface for all
    """The cluster in one part."""
    return 0


Sums = dict[tuple[int, int], tuple[Account, Worth]]
"""By cluster and part."""


def accounts(tape: Tape, way: Way, part: Part = whole, *, seed: int) -> Sums:
    """What the way earned, and what it did to those who took part."""
    base = way.tariffs.base
    pricing = RESERVES[way.reserve](tape, base)
    sums: Sums = {}
    for lot, awards in played(tape.lots, way.rules, pricing, random.Random(f"{seed} {way.rules.play}")):
        account, worth = sums.setdefault((lot.cluster, part(lot)), (Account(), Worth()))
        worth.add(lot, awards, way.rules, base)
        account.add(lot, awards)
    return sums


def rows_of(tape: Tape, way: Way, part: Part = whole, *, seed: int, **named: Cell) -> list[Row]:
    """One row per cluster and part, with the way's names and whatever else tells it apart."""
    told: Row = {
        "tape": tape.name,
        "play": way.rules.play,
        "demand": way.rules.demand,
        "buyers": way.rules.buyers,
        "reserve": way.reserve,
    }
    sums = accounts(tape, way, part, seed=seed)
    return [
        {**told, **named, "cluster": cluster, "part": index, **account.row(way.tariffs), **worth.row()}
        for (cluster, index), (account, worth) in sums.items()
    ]


def drawings(sizes: Mapping[Scale, tuple[int, int]]) -> Callable[[Scale, int], list[Task]]:
    """Tasks of (seed, first drawing, drawings) each; `sizes`: how many tasks, and drawings in each."""

    def tasks(scale: Scale, seed: int) -> list[Task]:
        count, each = sizes[scale]
        return [Task(f"{index:03d}", (seed, index * each, each)) for index in range(count)]

    return tasks


# -- reading the results


class Series(NamedTuple):
    """One way's sums, by cluster, in the clusters' order."""

    clusters: tuple[int, ...]
    offered: tuple[int, ...]
    sold: tuple[int, ...]
    paid: tuple[int, ...]
    earned: tuple[int, ...]
    trades: int
    bids: int
    welfare: int = 0
    """As in `Worth`, all clusters together; of results that do not say so, 0."""
    best: int = 0
    too_dear: int = 0
    too_cheap: int = 0

    def blocks(self, block_of: Callable[[int], int]) -> "Series":
        """Clusters that are alike, such as days that follow each other, added up: what is drawn again must be independent."""
        sums: dict[int, list[int]] = {}
        for cluster, *cells in zip(self.clusters, self.offered, self.sold, self.paid, self.earned, strict=True):
            block = sums.setdefault(block_of(cluster), [0] * len(cells))
            block[:] = [before + cell for before, cell in zip(block, cells, strict=True)]
        order = tuple(sorted(sums))
        offered, sold, paid, earned = zip(*(sums[key] for key in order), strict=True)
        return self._replace(clusters=order, offered=offered, sold=sold, paid=paid, earned=earned)

    def efficiency(self) -> float:
        """Of the welfare that could have been. Raises ValueError: it is not known, or there was none to be had."""
        if not self.best:
            raise ValueError("no welfare was there to be had, or the results do not say so")
        return self.welfare / self.best

    def income(self) -> Interval:
        """µ per kWh offered."""
        return ratio([WH_PER_KWH * earned for earned in self.earned], self.offered)

    def over(self, other: "Series") -> Interval:
        """How much more than another way on the same tape, µ per kWh offered. Raises ValueError: another tape."""
        if (self.clusters, self.offered) != (other.clusters, other.offered):
            raise ValueError("two tapes: what is compared in pairs must have been offered alike")
        ours, theirs = ([WH_PER_KWH * earned for earned in series.earned] for series in (self, other))
        return difference(ours, theirs, self.offered)

    def price(self) -> float:
        """µ per kWh sold; 0: nothing was."""
        return WH_PER_KWH * sum(self.paid) / sum(self.sold) if any(self.sold) else 0.0

    def price_paid(self) -> Interval:
        """The same with its interval. Raises ValueError: a cluster that sold nothing."""
        if not all(self.sold):
            raise ValueError("a cluster sold nothing: its price is not known")
        return ratio([WH_PER_KWH * paid for paid in self.paid], self.sold)

    def share_sold(self) -> float:
        """Of what was offered."""
        return sum(self.sold) / sum(self.offered)

    def bids_per_trade(self) -> float:
        """Bids up to the winning one; 0: nothing was sold."""
        return self.bids / self.trades if self.trades else 0.0


FORTNIGHT_DAYS: Final = 14
YEAR_CLUSTERS: Final = 1000
"""Clusters of a synthetic tape: its number times this, and the day."""


def fortnight(cluster: int) -> int:
    """The block of a day of a synthetic tape, for `Series.blocks`.

    What a rival adds on one day has a correlation of 0.45 with the next day's, and of 0.13 a week later: intervals over fortnights
    are 2.2 times as wide as over days, and over four weeks hardly wider (2.5 times).
    """
    year, day = divmod(cluster, YEAR_CLUSTERS)
    return year * YEAR_CLUSTERS + day // FORTNIGHT_DAYS


CLUSTERED: Final = ("offered_wh", "sold_wh", "paid_micro", "earned_micro")
"""Columns that are summed by cluster, in the order of `Series`."""
TOTALS: Final = ("trades", "bids", "welfare_micro", "best_micro", "too_dear", "too_cheap")
"""Columns that are summed over all of them, in its order; not every experiment has the last ones."""


class _Same:
    """A table as a key: it is that object, whatever it holds. The cache holds it too, so that no other takes its place."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __hash__(self) -> int:
        return id(self.table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.table is self.table


def series_of(table: pa.Table, columns: Sequence[str]) -> dict[tuple[Cell, ...], Series]:
    """The ways of a table of results, by the values of `columns`; parts that these do not tell apart are added up.

    Checks, figures, tables and texts ask for the same ones one after the other, so what was read last is kept.
    """
    return dict(_read(_Same(table), tuple(columns)))


@lru_cache(maxsize=4)
def _read(same: _Same, columns: tuple[str, ...]) -> dict[tuple[Cell, ...], Series]:
    table = same.table
    summed = [name for name in (*CLUSTERED, *TOTALS) if name in table.column_names]
    gathered: dict[tuple[Cell, ...], dict[int, list[int]]] = {}
    for row in table.to_pylist():
        clusters = gathered.setdefault(tuple(row[column] for column in columns), {})
        sums = clusters.setdefault(row["cluster"], [0] * len(summed))
        for index, name in enumerate(summed):
            sums[index] += row[name]
    return {key: _series(clusters) for key, clusters in gathered.items()}


def _series(clusters: dict[int, list[int]]) -> Series:
    order = tuple(sorted(clusters))
    offered, sold, paid, earned, *totals = zip(*(clusters[cluster] for cluster in order), strict=True)
    return Series(order, offered, sold, paid, earned, *map(sum, totals))
