"""What theory says of one draw: who wins and what it pays, worked out from the values alone, with no mechanism and no bid.

    vickrey      the highest value, at the higher of the second and the reserve (W. Vickrey 1961; Krishna §2.2)
    first-price  the highest value, at its equilibrium bid, to the rounding of prices to whole µ (Krishna §2.3, §2.5)
    english      as vickrey, within one increment; values closer than one increment may sell to the second
    uniform      the k highest values, at the higher of the (k + 1)-th and the reserve (Krishna ch. 12)

Nothing is sold to a value below the reserve, and nothing that a value at or above it wants stays unsold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from etp.units import MicroPerKwh
from lab.theory.model import INCREMENT, Ints

Floats: TypeAlias = NDArray[np.float64]

HALF: Final = 0.5 + 1e-6
"""Rounding to whole µ, and what floats lose, µ/kWh."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`strength` of values (by the reserve) is what the winners have most of; each pays `price` (by the ranked values and so on)."""

    strength: Callable[[Ints, MicroPerKwh], Floats]
    price: Callable[[Ints, MicroPerKwh, int], Floats]
    price_within: float = 0.0
    strength_within: float = 0.0


def _value(values: Ints, reserve: MicroPerKwh) -> Floats:  # noqa: ARG001 - one interface for all
    return values.astype(np.float64)


def _shaded(values: Ints, reserve: MicroPerKwh) -> Floats:
    """The equilibrium bid (`lab.theory.equilibrium`) in floats."""
    bidders, v = values.shape[1], values.astype(np.float64)
    shaded: Floats = ((bidders - 1) * v + reserve * (reserve / v) ** (bidders - 1)) / bidders
    return shaded


def best_unserved(ranked: Ints, reserve: MicroPerKwh, lots: int) -> Floats:
    """The higher of the (lots + 1)-th value and the reserve; `ranked`: values, best first."""
    unserved = ranked[:, lots] if ranked.shape[1] > lots else np.zeros(len(ranked))
    return np.maximum(unserved, reserve).astype(np.float64)


def _bid_of_best(ranked: Ints, reserve: MicroPerKwh, lots: int) -> Floats:  # noqa: ARG001
    return _shaded(ranked, reserve)[:, 0]


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "vickrey": Rule(_value, best_unserved),
        "first-price": Rule(_shaded, _bid_of_best, price_within=HALF, strength_within=2 * HALF),
        "english": Rule(_value, best_unserved, price_within=INCREMENT, strength_within=INCREMENT),
        "uniform": Rule(_value, best_unserved),
    }
)
"""By mechanism."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Draw by draw."""

    off: NDArray[np.bool_]
    """Not what theory says."""
    residual: Floats
    """Price paid − price predicted, µ/kWh; 0 where nothing should be sold and nothing is."""
    second_price: Floats
    """What the owner is paid by the best unserved value, per lot offered, µ/kWh: the same whichever mechanism is compared."""


def compared(mechanism: str, values: Ints, payments: Ints, reserve: MicroPerKwh, lots: int) -> Comparison:
    """Judge `payments` (µ/kWh per buyer, 0: it wins nothing), which were made for `values` above a `reserve`."""
    rule, ranked = RULES[mechanism], -np.sort(-values, axis=1)
    sellable, won = np.minimum((values >= reserve).sum(axis=1), lots), payments > 0
    paid = payments.max(axis=1)
    residual = np.where(sellable > 0, paid - rule.price(ranked, reserve, lots), paid)
    off = won.sum(axis=1) != sellable
    off |= np.where(won, payments, paid[:, None]).min(axis=1) != paid  # one price for all
    off |= np.abs(residual) > rule.price_within
    strength = np.where(values >= reserve, rule.strength(values, reserve), 0.0)
    best = -np.sort(-strength, axis=1)[:, :lots].sum(axis=1)
    off |= np.where(won, strength, 0.0).sum(axis=1) < best - rule.strength_within
    return Comparison(off, residual, best_unserved(ranked, reserve, lots) * sellable / lots)
