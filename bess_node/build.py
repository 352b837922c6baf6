"""The battery's core as its settings describe it: the daemon, the simulator and the lab build the very same."""

from dataclasses import replace

from bess_node.battery import Battery, BatterySpec
from bess_node.books import LotRules
from bess_node.desk import Desk
from bess_node.pricing import ByPrices, BySoc, Fixed, Forecast, Pricing, reserve_with_wear
from bess_node.pricing_optimal import Optimal
from bess_node.settings import BessSettings
from bess_node.settlement import Settlement
from bess_node.solar import Solar
from bess_node.store import MICRO, Store
from etp.clock import Now
from etp.effects import Effect, Row
from etp.limits import Limits
from etp.profile import Profile
from etp.timing import Timing
from etp.units import MICRO_PER_CENT, WH_PER_KWH, DeviceId, MicroPerKwh, Wh
from market.mechanisms import MECHANISMS
from runtime.days import PriceSeries
from runtime.revival import Memory
from runtime.settings import SettingsError, market_clock


def limits_of(settings: BessSettings) -> Limits:
    """The node's limits; a higher bid rate brings the burst and the memory that it needs."""
    base = Limits()
    rate, burst = settings.bid_rate, max(base.bid_burst, 2 * settings.bid_rate)
    memory = max(base.bid_memory_per_device, int(rate * base.bid_memory_s) + burst)
    return replace(base, bids_per_s=rate, bid_burst=burst, bid_memory_per_device=memory)


def desk_of(
    settings: BessSettings,
    *,
    series: PriceSeries | None,
    level: Row | None,
    profile: Profile,
    limits: Limits,
    now: Now,
    settlement: Settlement | None = None,
) -> Desk:
    """The desk. `series`: the recorded prices, `level`: the battery as the journal left it. Raises SettingsError."""
    return Desk(
        DeviceId(settings.device_id),
        rules=rules_of(settings),
        store=_store(settings, series, level, now),
        profile=profile,
        limits=limits,
        timing=Timing(),
        started=now,
        settlement=settlement,
    )


def revived(
    settings: BessSettings,
    memory: Memory,
    *,
    series: PriceSeries | None,
    profile: Profile,
    limits: Limits,
    now: Now,
    settlement: Settlement | None = None,
) -> tuple[Desk, list[Effect]]:
    """The desk as its last life left it. The effects release what was RESERVED: durable before anybody is served.

    Raises SettingsError.
    """
    desk = desk_of(
        settings,
        series=series,
        level=memory.find("energy", "level"),
        profile=profile,
        limits=limits,
        now=now,
        settlement=settlement,
    )
    return desk, desk.restored(memory.pending_rows(), now)


def pricing_of(settings: BessSettings, series: PriceSeries | None) -> Pricing:
    """The reserve policy. Raises SettingsError."""
    base = MicroPerKwh(round(settings.reserve * MICRO_PER_CENT))
    if settings.pricing == "optimal":
        return Optimal(_cost(settings, base), settings.seed or 0, series)
    if settings.pricing != "prices":
        policies: dict[str, Pricing] = {"fixed": Fixed(base), "soc": BySoc(base), "forecast": Forecast(base)}
        return policies[settings.pricing]
    if series is None:
        raise SettingsError("pricing", "prices", "needs --day FILE with a price series")
    return ByPrices(base, series)


def _cost(settings: BessSettings, base: MicroPerKwh) -> MicroPerKwh:
    """What the optimal reserve is never below: the reserve that is set, and what the grid pays plus what a sale wears."""
    feed_in, wear = (MicroPerKwh(round(cents * MICRO_PER_CENT)) for cents in (settings.feed_in or 0.0, settings.wear))
    return max(base, reserve_with_wear(feed_in=feed_in, wear=wear))


def battery_spec(settings: BessSettings) -> BatterySpec:
    """The battery's limits. Raises SettingsError where floor or energy is above the capacity."""
    if settings.floor_kwh > settings.capacity_kwh:
        raise SettingsError("floor_kwh", settings.floor_kwh, f"at most capacity_kwh ({settings.capacity_kwh})")
    if settings.energy_kwh is not None and settings.energy_kwh > settings.capacity_kwh:
        raise SettingsError("energy_kwh", settings.energy_kwh, f"at most capacity_kwh ({settings.capacity_kwh})")
    return BatterySpec(
        capacity_wh=Wh(round(settings.capacity_kwh * WH_PER_KWH)),
        floor_wh=Wh(round(settings.floor_kwh * WH_PER_KWH)),
        discharge_kw=settings.discharge_kw,
        charge_kw=settings.charge_kw,
        discharge_efficiency=settings.efficiency,
        max_temperature_c=settings.max_temperature_c,
    )


def _store(settings: BessSettings, series: PriceSeries | None, level: Row | None, now: Now) -> Store:
    """The battery as the journal left it, or as the settings say at the first start."""
    spec = battery_spec(settings)
    first = settings.capacity_kwh if settings.energy_kwh is None else settings.energy_kwh
    stored = int(str(level.body["stored_uwh"])) / MICRO if level is not None else first * WH_PER_KWH
    cycles = int(str(level.body["micro_cycles"])) / MICRO if level is not None else 0.0
    return Store(
        Battery(spec, stored, cycles=cycles),
        pricing=pricing_of(settings, series),
        clock=market_clock(settings, now),
        for_sale_percent=settings.for_sale,
        horizon_h=settings.horizon_h,
        solar=Solar(settings.solar_kw) if settings.solar_kw else None,
        began_s=now.monotonic_s,
    )


def rules_of(settings: BessSettings) -> LotRules:
    """How it sells."""
    return LotRules(
        mechanism=MECHANISMS[settings.mechanism],
        increment=MicroPerKwh(round(settings.increment * MICRO_PER_CENT)),
        closing_s=settings.closing_ms / 1000,
        max_s=settings.lot_max_s,
        min_lot=Wh(round(settings.min_lot_kwh * WH_PER_KWH)),
        hide_reserve=settings.hide_reserve,
    )
