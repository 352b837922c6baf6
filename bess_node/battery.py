"""The battery: what it holds, what it may give, how it ages. Knows nothing of time, trades or prices.

Energy is kept in whole µWh of what it is worth at the terminals (stored × discharge efficiency). Delivering x Wh is then an
integer subtraction: what is deliverable falls by exactly x, however many small deliveries there are. A µWh is finer than any
sale and coarser than the float noise of a battery of the largest legal size (10⁹ Wh: 0.12 µWh).
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from etp.codes import Health
from etp.frame import MAX_ENERGY_KWH, MAX_RATE_KW, MAX_VOLTAGE
from etp.units import WH_PER_KWH, Wh

UWH_PER_WH: Final = 1_000_000
VOLTAGE_CURVE: Final = ((0.0, 2.50), (0.1, 3.00), (0.2, 3.20), (0.4, 3.25), (0.7, 3.30), (0.9, 3.35), (1.0, 3.65))
"""Open-circuit voltage of a lithium iron phosphate cell by state of charge: the flat curve of the chemistry, V."""
CYCLE_LIMITS: Final = ((1000, Health.EXCELLENT), (3000, Health.GOOD), (5000, Health.FAIR))
"""Equivalent full cycles up to which a cell counts as such (LFP: about 6,000 to 80 % of capacity)."""
COOLED_BY_C: Final = 5.0
"""A battery that was too hot is used again once it is so much below its limit, °C: not on and off at the limit."""
HOT_C: Final = 45.0
"""Above it a cell ages fast: health is shown one step worse, °C."""


@dataclass(frozen=True, slots=True)
class BatterySpec:
    """What a battery is. Raises ValueError naming the field, its value and what would pass."""

    capacity_wh: Wh
    """Stored energy when full, Wh; 0 is a battery that never sells."""
    floor_wh: Wh = Wh(0)
    """Never discharged below this stored energy."""
    discharge_kw: float = 5.0
    """At the terminals; above 0, since a promise must end."""
    charge_kw: float = 5.0
    """At the terminals; 0: never charged. Kept by whoever charges, who knows the time."""
    discharge_efficiency: float = 0.95
    """Energy at the terminals per energy taken from the cells."""
    charge_efficiency: float = 0.95
    """Energy into the cells per energy at the terminals."""
    cells: int = 16
    """In series: 16 make the usual 51 V pack."""
    max_temperature_c: float = 60.0
    """At this it must not be discharged any more: what data sheets of LFP cells allow, °C."""

    def __post_init__(self) -> None:
        # `not (low <= value <= high)` is also true of NaN.
        self._check("capacity_wh", 0 <= self.capacity_wh <= MAX_ENERGY_KWH * WH_PER_KWH, "0 to 10⁹ (the wire's limit)")
        self._check("floor_wh", 0 <= self.floor_wh <= self.capacity_wh, f"0 to capacity_wh ({self.capacity_wh})")
        self._check("discharge_kw", 0.0 < self.discharge_kw <= MAX_RATE_KW, f"above 0, at most {MAX_RATE_KW:g}")
        self._check("charge_kw", 0.0 <= self.charge_kw < inf, "finite and at least 0")
        self._check("discharge_efficiency", 0.0 < self.discharge_efficiency <= 1.0, "above 0, at most 1")
        self._check("charge_efficiency", 0.0 < self.charge_efficiency <= 1.0, "above 0, at most 1")
        most = int(MAX_VOLTAGE / VOLTAGE_CURVE[-1][1])
        self._check("cells", 1 <= self.cells <= most, f"1 to {most} (the wire's {MAX_VOLTAGE:g} V)")

    def _check(self, name: str, passes: bool, right: str) -> None:
        if not passes:
            raise ValueError(f"{name} is {getattr(self, name)}; {right}")


class Battery:
    """The state of one battery. Raises ValueError where `stored_wh` is negative or not finite.

    More than the capacity counts as full: a journal may tell of a larger battery than the settings now do, and what does
    not fit must not be sold.
    """

    def __init__(
        self, spec: BatterySpec, stored_wh: float, *, cycles: float = 0.0, temperature_c: float = 25.0
    ) -> None:
        if not 0.0 <= stored_wh < inf:
            raise ValueError(f"stored_wh is {stored_wh}; finite and at least 0")
        self.spec = spec
        self.cycles = cycles
        """Equivalent full cycles: energy through the cells, in and out, per twice the capacity."""
        self.temperature_c = temperature_c
        self._full_uwh = self._at_terminals_uwh(spec.capacity_wh)
        self._terminal_uwh = min(self._at_terminals_uwh(stored_wh), self._full_uwh)
        self._kept_uwh: dict[float, int] = {}
        """What may not be sold, by the percentage that may: two are asked for."""
        self._part_uwh = 0.0  # charged, and less than a whole µWh: carried, so that tiny steps add up

    def _at_terminals_uwh(self, stored_wh: float) -> int:
        """To the nearest µWh, which takes the float noise away."""
        return round(stored_wh * self.spec.discharge_efficiency * UWH_PER_WH)

    @property
    def stored_exact_wh(self) -> float:
        """Stored energy, Wh."""
        return self._terminal_uwh / UWH_PER_WH / self.spec.discharge_efficiency

    @property
    def stored_wh(self) -> Wh:
        """Stored energy, rounded down; less than a µWh at the terminals short of a whole Wh still counts as it."""
        return Wh(int((self._terminal_uwh + 1) / UWH_PER_WH / self.spec.discharge_efficiency))

    @property
    def soc(self) -> float:
        """State of charge, 0 to 1."""
        return min(1.0, self.stored_exact_wh / self.spec.capacity_wh) if self.spec.capacity_wh else 0.0

    def deliverable_wh(self, for_sale_percent: float) -> Wh:
        """What may leave at the terminals: stored above (100 − P) % of capacity and above the floor, × efficiency.

        Rounded down (design §4, What is for sale).
        """
        kept_uwh = self._kept_uwh.get(for_sale_percent)
        if kept_uwh is None:
            kept_wh = max(self.spec.capacity_wh * (100.0 - for_sale_percent) / 100.0, self.spec.floor_wh)
            kept_uwh = self._kept_uwh[for_sale_percent] = self._at_terminals_uwh(kept_wh)
        return Wh(max(0, self._terminal_uwh - kept_uwh) // UWH_PER_WH)

    def charge(self, offered_wh: float) -> float:
        """Take energy from the charger, as far as there is room; returns what was taken at the terminals, Wh."""
        room_wh = self.spec.capacity_wh - self.stored_exact_wh
        taken_wh = max(0.0, min(offered_wh, room_wh / self.spec.charge_efficiency))
        stored_wh = taken_wh * self.spec.charge_efficiency
        gained_uwh = stored_wh * self.spec.discharge_efficiency * UWH_PER_WH + self._part_uwh
        self._part_uwh = gained_uwh % 1.0
        self._terminal_uwh = min(self._terminal_uwh + int(gained_uwh), self._full_uwh)
        self._wear(stored_wh)
        return taken_wh

    def discharge(self, wanted: Wh) -> Wh:
        """Give energy at the terminals, down to the floor; returns what was given. Raises ValueError where wanted < 0."""
        if wanted < 0:
            raise ValueError(f"wanted is {wanted} Wh; at least 0 (charge() takes energy in)")
        given = Wh(min(wanted, self.deliverable_wh(100.0)))
        self._terminal_uwh -= given * UWH_PER_WH
        self._wear(given / self.spec.discharge_efficiency)
        return given

    def _wear(self, through_cells_wh: float) -> None:
        if self.spec.capacity_wh:
            self.cycles += through_cells_wh / (2 * self.spec.capacity_wh)

    @property
    def overheated(self) -> bool:
        """Too hot to be discharged."""
        return self.temperature_c >= self.spec.max_temperature_c

    @property
    def cooled(self) -> bool:
        """Well below that."""
        return self.temperature_c <= self.spec.max_temperature_c - COOLED_BY_C

    @property
    def voltage_v(self) -> float:
        """Open-circuit voltage of the pack."""
        return self.spec.cells * cell_voltage_v(self.soc)

    @property
    def health(self) -> Health:
        """From equivalent full cycles; one step worse while it is hot."""
        by_cycles = next((health for limit, health in CYCLE_LIMITS if self.cycles <= limit), Health.POOR)
        return Health(min(by_cycles + (self.temperature_c > HOT_C), Health.POOR))


def cell_voltage_v(soc: float) -> float:
    """Open-circuit voltage of one cell at a state of charge of 0 to 1, interpolated on VOLTAGE_CURVE."""
    above = next(index for index, (limit, _) in enumerate(VOLTAGE_CURVE) if index and soc <= limit)
    (low, volts), (high, more) = VOLTAGE_CURVE[above - 1], VOLTAGE_CURVE[above]
    return volts + (more - volts) * (soc - low) / (high - low)
