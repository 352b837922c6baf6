"""The battery: a ledger that never drifts, and physics that conserve energy."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bess_node.battery import CYCLE_LIMITS, HOT_C, VOLTAGE_CURVE, Battery, BatterySpec, cell_voltage_v
from etp.codes import Health
from etp.units import Wh

SPEC = BatterySpec(Wh(13_500))
LARGEST_WH = 1_000_000_000
CHARGE_TOLERANCE_WH = 1e-5
"""A few µWh: the ledger's unit."""
EFFICIENCIES = st.floats(0.1, 1.0)


@st.composite
def batteries(draw: st.DrawFn) -> Battery:
    """Any battery of legal size, at any state of charge."""
    capacity = draw(st.integers(1, LARGEST_WH))
    spec = BatterySpec(
        Wh(capacity),
        floor_wh=Wh(draw(st.integers(0, capacity))),
        discharge_efficiency=draw(EFFICIENCIES),
        charge_efficiency=draw(EFFICIENCIES),
    )
    return Battery(spec, draw(st.floats(0, capacity)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capacity_wh", -1),
        ("capacity_wh", LARGEST_WH + 1),
        ("floor_wh", -1),
        ("floor_wh", 13_501),
        ("discharge_kw", 0.0),
        ("discharge_kw", 100_001.0),
        ("discharge_kw", float("nan")),
        ("charge_kw", -1.0),
        ("charge_kw", float("inf")),
        ("discharge_efficiency", 0.0),
        ("discharge_efficiency", 1.01),
        ("charge_efficiency", float("nan")),
        ("cells", 0),
        ("cells", 548),
    ],
)
def test_impossible_battery_is_refused(field: str, value: float) -> None:
    """A field out of range is refused by name and value."""
    change: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=rf"{field} is {value}; "):
        replace(SPEC, **change)


@pytest.mark.parametrize("stored", [-1.0, float("nan"), float("inf")])
def test_impossible_store_is_refused(stored: float) -> None:
    """A battery holds a finite energy, at least none."""
    with pytest.raises(ValueError, match="stored_wh is"):
        Battery(SPEC, stored)


def test_more_than_the_capacity_is_full() -> None:
    """A larger battery's journal does not make energy that a smaller one could sell."""
    battery = Battery(SPEC, 20_000.0)
    assert (battery.stored_wh, battery.soc, battery.deliverable_wh(100)) == (13_500, 1.0, 12_825)


def test_battery_of_no_capacity_has_nothing() -> None:
    """0 Wh of capacity: empty, nothing for sale, and charging or discharging it changes nothing."""
    battery = Battery(BatterySpec(Wh(0)), 0.0)
    assert (battery.soc, battery.deliverable_wh(100), battery.charge(5.0), battery.discharge(Wh(5))) == (0.0, 0, 0.0, 0)
    assert battery.cycles == 0.0


@pytest.mark.parametrize(("percent", "deliverable"), [(0, 0), (10, 1282), (50, 6412), (100, 12_825)])
def test_for_sale_is_what_is_stored_above_the_rest(percent: float, deliverable: int) -> None:
    """(Stored above (100 − P) % of capacity) × efficiency, rounded down."""
    assert Battery(SPEC, 13_500.0).deliverable_wh(percent) == deliverable


def test_floor_is_never_for_sale() -> None:
    """The floor counts where it is above what P leaves."""
    battery = Battery(BatterySpec(Wh(10_000), floor_wh=Wh(4_000), discharge_efficiency=1.0), 10_000.0)
    assert [battery.deliverable_wh(percent) for percent in (50, 60, 100)] == [5_000, 6_000, 6_000]
    assert (battery.discharge(Wh(9_999)), battery.stored_wh) == (6_000, 4_000)


def test_below_the_floor_nothing_is_deliverable() -> None:
    """A battery found below its floor gives nothing and sells nothing."""
    battery = Battery(BatterySpec(Wh(10_000), floor_wh=Wh(4_000)), 3_000.0)
    assert (battery.deliverable_wh(100), battery.discharge(Wh(1))) == (0, 0)


def test_negative_discharge_is_refused() -> None:
    """Energy does not come into being by taking out less than none."""
    with pytest.raises(ValueError, match="wanted is -5 Wh"):
        Battery(SPEC, 1_000.0).discharge(Wh(-5))


@given(batteries(), st.lists(st.integers(0, 300), max_size=80), st.floats(0, 100))
def test_deliverable_falls_by_exactly_what_was_delivered(battery: Battery, wanted: list[int], percent: float) -> None:
    """Many small deliveries drift by no Wh, at every share for sale and every size of battery."""
    everything, for_sale = battery.deliverable_wh(100.0), battery.deliverable_wh(percent)
    delivered = 0
    for wh in wanted:
        given_wh = battery.discharge(Wh(wh))
        assert given_wh == min(wh, everything - delivered)
        delivered += given_wh
        assert battery.deliverable_wh(100.0) == everything - delivered
        assert battery.deliverable_wh(percent) == max(0, for_sale - delivered)


def test_a_hundred_thousand_deliveries_drift_by_nothing() -> None:
    """1 Wh at a time until it is empty gives exactly what was deliverable."""
    battery = Battery(BatterySpec(Wh(100_000), discharge_efficiency=0.9137), 99_999.9)
    deliverable = battery.deliverable_wh(100.0)
    assert sum(battery.discharge(Wh(1)) for _ in range(100_000)) == deliverable
    assert battery.deliverable_wh(100.0) == 0


@given(st.integers(1, LARGEST_WH), st.floats(0.01, 1.0))
def test_whole_stored_energy_reads_back_whole(stored: int, efficiency: float) -> None:
    """What is stored in whole Wh is read as that, not one less, at every efficiency: a journal's level survives."""
    assert Battery(BatterySpec(Wh(LARGEST_WH), discharge_efficiency=efficiency), stored).stored_wh == stored


STEPS = st.lists(st.one_of(st.floats(0, 5_000).map(lambda wh: ("charge", wh)), st.integers(0, 5_000)), max_size=40)


@given(st.floats(0, 20_000), EFFICIENCIES, EFFICIENCIES, STEPS)
def test_energy_is_conserved(
    stored: float, charging: float, discharging: float, steps: list[tuple[str, float] | int]
) -> None:
    """Charged × efficiency − delivered / efficiency is the change in what is stored, and both ends hold."""
    spec = BatterySpec(Wh(20_000), charge_efficiency=charging, discharge_efficiency=discharging)
    battery = Battery(spec, stored)
    before, change = battery.stored_exact_wh, 0.0
    for step in steps:
        if isinstance(step, int):
            change -= battery.discharge(Wh(step)) / discharging
        else:
            change += battery.charge(step[1]) * charging
        assert 0.0 <= battery.soc <= 1.0
    tolerance_wh = CHARGE_TOLERANCE_WH * (1 + len(steps)) / discharging
    assert battery.stored_exact_wh - before == pytest.approx(change, abs=tolerance_wh)


def test_tiny_charges_add_up() -> None:
    """Charges of less than the ledger's unit are carried, not lost."""
    battery = Battery(BatterySpec(Wh(1_000), charge_efficiency=1.0, discharge_efficiency=1.0), 0.0)
    taken = sum(battery.charge(3e-7) for _ in range(100_000))
    assert taken == pytest.approx(0.03)
    assert battery.stored_exact_wh == pytest.approx(0.03, abs=CHARGE_TOLERANCE_WH)


def test_charging_stops_when_full() -> None:
    """What does not fit is not taken."""
    battery = Battery(SPEC, 13_405.0)
    assert battery.charge(500.0) == pytest.approx(100.0)
    assert battery.charge(500.0) == pytest.approx(0.0, abs=CHARGE_TOLERANCE_WH)
    assert battery.stored_wh == 13_500


@pytest.mark.parametrize("offered", [0.0, -5.0, float("nan")])
def test_nothing_offered_charges_nothing(offered: float) -> None:
    """A charger cannot take energy away."""
    battery = Battery(SPEC, 1_000.0)
    assert (battery.charge(offered), battery.stored_wh, battery.cycles) == (0.0, 1_000, 0.0)


def test_a_full_cycle_is_counted_once() -> None:
    """Filled and emptied: the energy through the cells is one equivalent full cycle."""
    battery = Battery(BatterySpec(Wh(9_500), discharge_efficiency=0.95), 0.0)
    battery.charge(20_000.0)
    battery.discharge(Wh(9_500))
    assert battery.cycles == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("soc", "volts"), VOLTAGE_CURVE)
def test_voltage_meets_its_table(soc: float, volts: float) -> None:
    """The curve goes through every point of its table, for each cell in series."""
    assert cell_voltage_v(soc) == pytest.approx(volts)
    assert Battery(SPEC, 13_500 * soc).voltage_v == pytest.approx(16 * volts)


@given(st.floats(0, 1), st.floats(0, 1))
def test_voltage_rises_with_charge(one: float, other: float) -> None:
    """A fuller cell never shows less."""
    low, high = sorted((one, other))
    assert 2.5 <= cell_voltage_v(low) <= cell_voltage_v(high) + 1e-12
    assert cell_voltage_v(high) <= 3.65 + 1e-12


@pytest.mark.parametrize(
    ("cycles", "temperature_c", "health"),
    [
        (0, 25, Health.EXCELLENT),
        *((limit, 25, health) for limit, health in CYCLE_LIMITS),
        (1_001, 25, Health.GOOD),
        (3_001, 25, Health.FAIR),
        (5_001, 25, Health.POOR),
        (0, HOT_C, Health.EXCELLENT),
        (0, HOT_C + 0.1, Health.GOOD),
        (5_001, HOT_C + 0.1, Health.POOR),
    ],
)
def test_health_is_by_cycles_and_heat(cycles: float, temperature_c: float, health: Health) -> None:
    """By equivalent full cycles, one step worse while hot, never beyond POOR."""
    assert Battery(SPEC, 0.0, cycles=cycles, temperature_c=temperature_c).health is health
