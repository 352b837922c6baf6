"""The battery: what it holds, what it may give, how it ages. Physics in floats, energy at the terminals in whole Wh.

Stored energy is kept as what it is worth at the terminals (Wh × discharge efficiency), so that delivering x Wh lowers what
is deliverable by exactly x, however many small deliveries there are.
"""

from dataclasses import dataclass
from typing import Final

from etp.codes import Health
from etp.units import Wh

VOLTAGE_CURVE: Final = ((0.0, 2.50), (0.1, 3.00), (0.2, 3.20), (0.4, 3.25), (0.7, 3.30), (0.9, 3.35), (1.0, 3.65))
"""Open-circuit voltage of a lithium iron phosphate cell by state of charge: the flat curve of the chemistry, V."""
CYCLE_LIMITS: Final = ((1000, Health.EXCELLENT), (3000, Health.GOOD), (5000, Health.FAIR))
"""Equivalent full cycles up to which a cell counts as such (LFP: about 6,000 to 80 % of capacity)."""
HOT_C: Final = 45.0
"""Above it a cell ages fast: health is shown one step worse, °C."""
_NOISE_WH: Final = 1e-6
"""Float noise below which a value counts as the whole Wh above it."""


@dataclass(frozen=True, slots=True)
class BatterySpec:
    """What a battery is."""

    capacity_wh: Wh
    floor_wh: Wh = Wh(0)
    """Never discharged below this stored energy."""
    discharge_kw: float = 5.0
    charge_kw: float = 5.0
    discharge_efficiency: float = 0.95
    charge_efficiency: float = 0.95
    cells: int = 16
    """In series: 16 make the usual 51 V pack."""

    def __post_init__(self) -> None:
        if not 0 <= self.floor_wh <= self.capacity_wh:
            raise ValueError(f"floor_wh is {self.floor_wh}; 0 to capacity_wh ({self.capacity_wh})")
        for name in ("discharge_efficiency", "charge_efficiency"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; above 0, at most 1")


class Battery:
    """The state of one battery."""

    def __init__(
        self, spec: BatterySpec, stored_wh: float, *, cycles: float = 0.0, temperature_c: float = 25.0
    ) -> None:
        self.spec = spec
        self.cycles = cycles
        self.temperature_c = temperature_c
        self._terminal_wh = stored_wh * spec.discharge_efficiency

    @property
    def stored_exact_wh(self) -> float:
        """Stored energy, Wh."""
        return self._terminal_wh / self.spec.discharge_efficiency

    @property
    def stored_wh(self) -> Wh:
        """Stored energy, rounded down."""
        return Wh(int(self.stored_exact_wh + _NOISE_WH))

    @property
    def soc(self) -> float:
        """State of charge, 0 to 1."""
        return self.stored_exact_wh / self.spec.capacity_wh if self.spec.capacity_wh else 0.0

    def deliverable_wh(self, for_sale_percent: float) -> Wh:
        """What may leave at the terminals: stored above (100 − P) % of capacity and above the floor, × efficiency."""
        kept = max(self.spec.capacity_wh * (100.0 - for_sale_percent) / 100.0, self.spec.floor_wh)
        return Wh(max(0, int(self._terminal_wh - kept * self.spec.discharge_efficiency + _NOISE_WH)))

    def charge(self, offered_wh: float) -> float:
        """Take energy from the charger, as far as there is room; returns what was taken at the terminals, Wh."""
        room = self.spec.capacity_wh - self.stored_exact_wh
        taken = max(0.0, min(offered_wh, room / self.spec.charge_efficiency))
        stored = taken * self.spec.charge_efficiency
        self._terminal_wh += stored * self.spec.discharge_efficiency
        self.cycles += stored / (2 * self.spec.capacity_wh) if self.spec.capacity_wh else 0.0
        return taken

    def discharge(self, wanted: Wh) -> Wh:
        """Give energy at the terminals, down to the floor; returns what was given."""
        given = min(wanted, self.deliverable_wh(100.0))
        self._terminal_wh -= given
        if self.spec.capacity_wh:
            self.cycles += given / self.spec.discharge_efficiency / (2 * self.spec.capacity_wh)
        return Wh(given)

    @property
    def voltage_v(self) -> float:
        """Open-circuit voltage by state of charge, interpolated on VOLTAGE_CURVE."""
        soc = min(max(self.soc, 0.0), 1.0)
        for (low, volts), (high, more) in zip(VOLTAGE_CURVE, VOLTAGE_CURVE[1:], strict=False):
            if soc <= high:
                return self.spec.cells * (volts + (more - volts) * (soc - low) / (high - low))
        return self.spec.cells * VOLTAGE_CURVE[-1][1]

    @property
    def health(self) -> Health:
        """From equivalent full cycles; one step worse while it is hot."""
        by_cycles = next((health for limit, health in CYCLE_LIMITS if self.cycles <= limit), Health.POOR)
        return Health(min(by_cycles + (self.temperature_c > HOT_C), Health.POOR))
