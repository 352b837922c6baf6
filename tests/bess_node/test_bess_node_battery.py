"""Battery, delivery, solar and pricing: energy is conserved to the Wh, prices follow their tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bess_node.battery import Battery, BatterySpec
from bess_node.delivery import DeliveryQueue
from bess_node.pricing import ByPrices, BySoc, Context, Fixed, Forecast
from bess_node.solar import Solar
from etp.codes import Health
from runtime.days import AGILE_2020_05


@given(st.lists(st.integers(0, 900), max_size=60), st.floats(0.5, 1.0))
def test_deliveries_never_drift(parts, efficiency):
    """Whatever is taken in small parts lowers what is deliverable by exactly that."""
    battery = Battery(BatterySpec(13_500, discharge_efficiency=efficiency), 13_500)
    before = battery.deliverable_wh(100)
    taken = sum(battery.discharge(part) for part in parts)
    assert battery.deliverable_wh(100) == before - taken
    assert taken == min(sum(parts), before)


def test_floor_charge_and_health():
    """Never below the floor; a full battery takes nothing; cycles and heat age it."""
    battery = Battery(BatterySpec(1000, floor_wh=400), 1000)
    assert battery.discharge(10_000) == 570
    assert (battery.stored_wh, battery.deliverable_wh(10)) == (400, 0)
    assert battery.charge(10_000) == pytest.approx(600 / 0.95)
    assert battery.charge(100) == pytest.approx(0, abs=1e-6)
    assert (battery.health, battery.voltage_v) == (Health.EXCELLENT, pytest.approx(58.4))
    assert Battery(BatterySpec(1000), 0, cycles=9000).health is Health.POOR
    assert Battery(BatterySpec(1000), 0, temperature_c=50.0).health is Health.GOOD
    assert Battery(BatterySpec(1000), 0).voltage_v == 40.0
    for wrong in ({"floor_wh": 2000}, {"discharge_efficiency": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BatterySpec(1000, **wrong)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=20), st.lists(st.floats(0, 4000), max_size=40))
def test_delivery_conserves_energy(trades, times):
    """Owed + delivered = sold, at no more than the discharge rate, first come first served."""
    battery = Battery(BatterySpec(1_000_000, discharge_kw=5), 1_000_000)
    queue = DeliveryQueue()
    for lot, energy in enumerate(trades):
        queue.add(lot, energy)
    start, ended = battery.deliverable_wh(100), []
    for seconds in times:
        ended += queue.advance(battery, seconds)
        assert queue.outstanding_wh + (start - battery.deliverable_wh(100)) == sum(trades)
    assert [delivery.lot_id for delivery in ended] == list(range(len(ended)))
    assert start - battery.deliverable_wh(100) <= 5 / 3.6 * sum(times) + 1e-3


def test_an_empty_battery_delivers_short():
    """What is missing is said, and nothing stays owed."""
    battery, queue = Battery(BatterySpec(1000), 500), DeliveryQueue()
    queue.add(1, 400)
    queue.add(2, 400)
    assert queue.next_done_s(battery) == pytest.approx(288)
    assert [(d.lot_id, d.delivered, d.short) for d in queue.advance(battery, 3600)] == [(1, 400, False), (2, 75, True)]
    assert queue.outstanding_wh == 0
    queue.add(3, 10)
    assert [d.short for d in queue.fail()] == [True]
    assert queue.next_done_s(battery) is None


@given(st.lists(st.floats(0, 200_000), min_size=2, max_size=10))
def test_solar_adds_up(times):
    """The integral over parts is the integral over the whole; a clear day gives 2/π of peak × hours."""
    solar, times = Solar(3.0), sorted(times)
    parts = sum(solar.energy_wh(a, b) for a, b in zip(times, times[1:], strict=False))
    assert parts == pytest.approx(solar.energy_wh(times[0], times[-1]), abs=1e-6)
    assert solar.energy_wh(0, 86_400) == pytest.approx(3000 * 16 * 2 / 3.141592653589793)
    assert solar.energy_wh(0, 4 * 3600) == 0


@pytest.mark.parametrize(("soc", "price"), [(0.05, 200_000), (0.2, 150_000), (0.5, 100_000), (0.75, 90_000)])
def test_reserve_by_state_of_charge(soc, price):
    """× 2, × 1.5, × 1, × 0.9."""
    assert BySoc(100_000).reserve(Context(soc, 0.0)) == price
    BySoc(1).traded(Context(soc, 0.0), 5)


def test_reserve_policies():
    """Fixed stays, prices follow the series but not below the base, the forecast smooths by hour; none is below 1 µ."""
    night, evening = Context(0.5, AGILE_2020_05.start_s), Context(0.5, AGILE_2020_05.start_s + 3600)
    assert Fixed(0).reserve(night) == 1
    assert ByPrices(60_000, AGILE_2020_05).reserve(night) == max(60_000, AGILE_2020_05.at(AGILE_2020_05.start_s))
    assert ByPrices(99_000_000, AGILE_2020_05).reserve(night) == 99_000_000
    forecast = Forecast(60_000)
    forecast.traded(night, 100_000)
    forecast.traded(night, 200_000)
    assert (forecast.reserve(night), forecast.reserve(evening)) == (130_000, 60_000)
    Fixed(1).traded(night, 5)
    ByPrices(1, AGILE_2020_05).traded(night, 5)


def test_recorded_prices():
    """100 half-hours, some negative; before and after, the first and the last."""
    series = AGILE_2020_05
    assert (len(series.values), min(series.values) < 0) == (100, True)
    assert series.at(0) == series.values[0]
    assert series.at(series.start_s + 1800) == series.values[1]
    assert series.at(4e9) == series.values[-1]
