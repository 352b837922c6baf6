"""Rows of the theory experiment: sums over some draws of one game, and cells: rows of the same game added up.

Sums can be added whatever part of the draws they come from, so that a run can be cut into tasks of any size.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from pyarrow import Table
from pyarrow.compute import field

from etp.units import MicroPerKwh
from lab.experiment import Row
from lab.theory.games import Game
from lab.theory.model import ONE, Ints
from lab.theory.predicted import compared

KEYS: Final = ("part", "mechanism", "deviation", "seed", "bidders", "lots", "reserve_micro_per_kwh")
"""What a cell is named by."""
SUMS: Final = ("draws", "sold", "off", "unequal", "paid_micro_per_kwh", "revenue_squares", "above", "above_squares")
"""What is added up. Revenue is per lot offered, as a share of the range (1 = `ONE` µ/kWh); *above* is revenue less what the best
unserved value would pay, which is a paired difference, since it is taken draw by draw."""
LARGEST: Final = "largest_residual"
Z95: Final = 1.959964
"""Half of a 95 % interval of the normal distribution, in standard errors."""


def row_of(
    game: Game,
    values: Ints,
    payments: Ints,
    reserve: MicroPerKwh,
    *,
    part: str,
    seed: int,
    deviation: str = "",
    unequal: int = 0,
) -> Row:
    """The sums over these draws."""
    comparison = compared(game.name, values, payments, reserve, game.lots)
    revenue = payments.sum(axis=1) / (game.lots * ONE)
    above = revenue - comparison.second_price / ONE
    return {
        "part": part,
        "mechanism": game.name,
        "deviation": deviation,
        "seed": seed,
        "bidders": values.shape[1],
        "lots": game.lots,
        "reserve_micro_per_kwh": int(reserve),
        "draws": len(values),
        "sold": int((payments > 0).sum()),
        "off": int(comparison.off.sum()),
        "unequal": unequal,
        "paid_micro_per_kwh": int(payments.sum()),
        "revenue_squares": float(np.square(revenue).sum()),
        "above": float(above.sum()),
        "above_squares": float(np.square(above).sum()),
        LARGEST: float(np.abs(comparison.residual).max()),
    }


@dataclass(frozen=True, slots=True)
class Cell:
    """One game with one number of buyers and one reserve: what its draws brought."""

    part: str
    mechanism: str
    deviation: str
    seed: int
    """0: several together."""
    bidders: int
    lots: int
    reserve_micro_per_kwh: int
    draws: int
    sold: int
    off: int
    unequal: int
    paid_micro_per_kwh: int
    revenue_squares: float
    above: float
    above_squares: float
    largest_residual: float

    @property
    def reserve(self) -> float:
        """As a share of the range."""
        return self.reserve_micro_per_kwh / ONE

    @property
    def mean(self) -> float:
        """Mean revenue per lot offered, share of the range."""
        return self.paid_micro_per_kwh / (self.lots * ONE * self.draws)

    @property
    def error(self) -> float:
        """Standard error of `mean`."""
        return _error(self.mean * self.draws, self.revenue_squares, self.draws)

    @property
    def mean_above(self) -> float:
        """Mean of what revenue is above the second price of the same draws."""
        return self.above / self.draws

    @property
    def error_above(self) -> float:
        """Standard error of `mean_above`."""
        return _error(self.above, self.above_squares, self.draws)


def _error(total: float, squares: float, count: int) -> float:
    if count < 2:  # noqa: PLR2004 - one number has no spread
        return 0.0
    # Where all numbers are equal, what is left of the difference of two equal sums may be below 0.
    return sqrt(max(0.0, squares - total * total / count) / (count - 1) / count)


def cells(table: Table, part: str, *, by_seed: bool = True) -> list[Cell]:
    """The cells of a part, in the order of their names; without `by_seed` all seeds together."""
    named = [key for key in KEYS if by_seed or key != "seed"]
    sums = [(name, "sum") for name in SUMS]
    grouped = of_part(table, part).group_by(named, use_threads=False).aggregate([*sums, (LARGEST, "max")])
    found = [_cell(row) for row in grouped.to_pylist()]
    return sorted(found, key=lambda cell: (cell.mechanism, cell.deviation, cell.seed, cell.bidders, cell.reserve))


def of_part(table: Table, part: str) -> Table:
    """The rows of a part."""
    return table.filter(field("part") == part)


def _cell(row: dict[str, object]) -> Cell:
    named = {key: row.get(key, 0) for key in KEYS}
    sums = {name: row[f"{name}_sum"] for name in SUMS}
    return Cell(**named, **sums, **{LARGEST: row[f"{LARGEST}_max"]})  # type: ignore[arg-type]


def by_mechanism(found: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells of each mechanism, in the order in which they come."""
    groups: dict[str, list[Cell]] = {}
    for cell in found:
        groups.setdefault(cell.mechanism, []).append(cell)
    return groups
