"""What a battery could sell over a time at most, whoever buys: the measure that incomes are compared by."""

from bess_node.battery import Battery
from bess_node.build import battery_spec
from bess_node.settings import BessSettings
from bess_node.solar import Solar
from etp.units import WH_PER_KWH, Wh


def supply_wh(settings: BessSettings, start_s: float, end_s: float) -> Wh:
    """What could be sold from `start_s` to `end_s` (market time, unix s), Wh at the terminals; rounded down.

    What is for sale at the beginning, and the sun's yield less what charging and discharging lose: a boundless battery could
    sell it all. A real one that is full cannot take the rest. Raises SettingsError where the settings make no battery.
    """
    spec = battery_spec(settings)
    stored_kwh = settings.capacity_kwh if settings.energy_kwh is None else settings.energy_kwh
    first = Battery(spec, stored_kwh * WH_PER_KWH).deliverable_wh(settings.for_sale)
    yield_wh = Solar(settings.solar_kw).energy_wh(start_s, end_s)
    return Wh(first + int(yield_wh * spec.charge_efficiency * spec.discharge_efficiency))
