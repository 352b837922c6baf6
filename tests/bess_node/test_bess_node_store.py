"""The store over a restart: what is held and owed is what it was."""

from bess_node.battery import Battery, BatterySpec
from bess_node.build import desk_of, limits_of
from bess_node.pricing import Fixed
from bess_node.settings import BessSettings
from bess_node.solar import Solar
from bess_node.store import MICRO, Store
from etp.ids import Ids
from etp.profile import Plain
from runtime.days import MarketClock
from tests.support import START_US, at


def store(stored_wh: float, *, solar: Solar | None = None, second: float = 0.0) -> Store:
    """A store with a 10 kWh battery."""
    battery = Battery(BatterySpec(10_000), stored_wh)
    clock = MarketClock(at(second).monotonic_s, 36_000.0)
    return Store(battery, pricing=Fixed(1), clock=clock, for_sale_percent=100.0, horizon_h=10, solar=solar)


def test_a_restart_in_mid_delivery_loses_nothing() -> None:
    """Half of a trade has left: level and pending row together still hold it whole."""
    before = store(9_999.5)
    free = before.for_sale_wh(0)
    before.sold(7, 500, 1000, 130_000, at(0))
    before.step(at(360))
    assert 490 <= before.owed_wh <= 510
    level = before.level(at(360))
    after = store(int(str(level.body["stored_uwh"])) / MICRO, second=400)
    pending = (
        store(1)
        .level(at(0))
        ._replace(lot_id=7, body={"bidder": 500, "energy_wh": 1000, "price_micro_per_kwh": 130_000})
    )
    after.restore(pending, at(400))
    assert (after.owed_wh, after.for_sale_wh(0)) == (1000, free - 1000)


def test_the_sun_charges_while_it_delivers() -> None:
    """At noon the charger adds what the rooftop yields; the store looks again every quarter of a second."""
    sunny = store(1000.0, solar=Solar(3.0))
    assert sunny.next_step() == 0.25
    sunny.step(at(3600))
    assert sunny.held_wh > 3000


def test_a_restart_does_not_charge_again_what_the_sun_has_brought() -> None:
    """Market time that all nodes share began hours before: the battery holds what its last life wrote, and no more."""
    settings = BessSettings(
        device_id=101,
        profile="plain",
        solar_kw=5.0,
        capacity_kwh=100.0,
        day_start=1_750_060_800.0,  # eight o'clock in June
        day_origin=START_US / 1e6 - 6 * 3600,
    )
    now = at(0)
    level = store(5_000).level(now)
    desk = desk_of(settings, series=None, level=level, profile=Plain(Ids()), limits=limits_of(settings), now=now)
    desk.store.step(at(1))
    held = desk.store.held_wh
    assert 5_000 <= held <= 5_002
    desk.store.step(at(3600))
    assert 6_000 < desk.store.held_wh < 10_000
