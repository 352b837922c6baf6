"""Units of money, energy and time, and the only conversions between wire floats and integers.

Prices inside are integer µ/kWh (1 c = 10,000 µ); energy inside is integer Wh; money is integer µ.
On the wire prices are cents per kWh (f64) and energy is kWh (f64). Nothing else converts.
"""

from typing import Final, NewType

from etp.errors import UnitError

MicroPerKwh = NewType("MicroPerKwh", int)
"""A price in µ per kWh."""
Micro = NewType("Micro", int)
"""An amount of money in µ of the settlement currency."""
Wh = NewType("Wh", int)
"""An amount of energy in watt-hours."""
DeviceId = NewType("DeviceId", int)
"""A node's u64 id."""
MessageId = NewType("MessageId", int)
"""A frame's u64 id: the sender's wall clock in µs, never used twice."""
LotId = NewType("LotId", int)
"""A lot's id: max(last + 1, wall clock in µs)."""
MonotonicS = NewType("MonotonicS", float)
"""Monotonic seconds: for every deadline."""
WallUs = NewType("WallUs", int)
"""UTC in µs since the epoch: for message ids, logs and audit only."""

MICRO_PER_CENT: Final = 10_000
WH_PER_KWH: Final = 1_000
QUANTUM_TOLERANCE: Final = 1e-6
"""Largest distance from a whole unit, in units, at which a traded quantity is still read as it (design §3)."""


def is_whole(scaled: float) -> bool:
    """Whether `scaled` (already in µ or Wh, finite, ≥ 0) is a whole unit, and not > 0 while reading as 0."""
    nearest = round(scaled)
    return abs(scaled - nearest) <= QUANTUM_TOLERANCE and (nearest > 0 or scaled == 0.0)


def _whole(value: float, factor: int, quantity: str, unit: str) -> int:
    # `not (0 <= value < inf)` is also true of NaN.
    if not (0.0 <= value < float("inf")) or not is_whole(value * factor):
        raise UnitError(quantity=quantity, value=value, expected=f"finite, ≥ 0 and a whole number of {unit}")
    return round(value * factor)


def price_from_wire(cents_per_kwh: float) -> MicroPerKwh:
    """µ/kWh of a price in c/kWh. Raises UnitError where that is not exact (within 10⁻⁶ µ)."""
    return MicroPerKwh(_whole(cents_per_kwh, MICRO_PER_CENT, "price", "µ/kWh (0.0001 c)"))


def price_to_wire(price: MicroPerKwh) -> float:
    """c/kWh of a price in µ/kWh."""
    return price / MICRO_PER_CENT


def energy_from_wire(kwh: float) -> Wh:
    """Wh of a traded energy in kWh. Raises UnitError where that is not exact (within 10⁻⁶ Wh)."""
    return Wh(_whole(kwh, WH_PER_KWH, "energy", "Wh (0.001 kWh)"))


def energy_to_wire(energy: Wh) -> float:
    """KWh of an energy in Wh."""
    return energy / WH_PER_KWH


def telemetry_from_wire(kwh: float) -> Wh:
    """Wh of an energy that is only reported, rounded down; a millionth of a Wh short of a whole one still counts as it."""
    return Wh(int(kwh * WH_PER_KWH + QUANTUM_TOLERANCE))


def divide_half_even(numerator: int, denominator: int) -> int:
    """Numerator / denominator (> 0) rounded half to even, in integers."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    return quotient + (twice > denominator or (twice == denominator and quotient % 2 == 1))


def money(price: MicroPerKwh, energy: Wh) -> Micro:
    """µ that `energy` (Wh) costs at `price` (µ/kWh), rounded half to even: the one place where money is made."""
    return Micro(divide_half_even(price * energy, WH_PER_KWH))
