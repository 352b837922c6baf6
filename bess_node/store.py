"""What the desk sells from: the battery, its charger, its deliveries and its reserve, moved along market time."""

from dataclasses import dataclass

from bess_node.battery import Battery
from bess_node.delivery import Delivery, DeliveryQueue
from bess_node.pricing import Context, Pricing
from bess_node.solar import Solar
from etp import messages
from etp.clock import Now
from etp.effects import Row, Scalar
from etp.frame import Frame
from etp.units import WH_PER_KWH, DeviceId, LotId, MicroPerKwh, MonotonicS, Wh
from runtime.days import MarketClock

MICRO = 1_000_000
CHARGING_STEP_S = 0.25
"""Real seconds between two looks at the charger, where there is one."""


@dataclass(frozen=True, slots=True)
class Sold:
    """Who a delivery is for."""

    bidder: DeviceId
    energy: Wh
    price: MicroPerKwh


class Store:
    """See the module."""

    def __init__(
        self,
        battery: Battery,
        *,
        pricing: Pricing,
        clock: MarketClock,
        for_sale_percent: float,
        horizon_h: float,
        solar: Solar | None = None,
        began_s: MonotonicS | None = None,
    ) -> None:
        """`began_s`: when this process began, where market time may be older: what the sun brought before is in the battery."""
        self.battery = battery
        self.pricing = pricing
        self._clock, self._solar = clock, solar
        self._for_sale_percent = for_sale_percent
        self._most_at_once = Wh(int(battery.spec.discharge_kw * horizon_h * WH_PER_KWH))
        self._deliveries = DeliveryQueue()
        self._sold: dict[LotId, Sold] = {}
        self._stepped_s = clock.origin_s if began_s is None else MonotonicS(max(clock.origin_s, began_s))
        self._looked_s = self._stepped_s
        self._next_step: MonotonicS | None = None
        self._next_step_known = False

    @property
    def held_wh(self) -> Wh:
        """Stored energy, Wh."""
        return self.battery.stored_wh

    @property
    def owed_wh(self) -> Wh:
        """Confirmed and not yet delivered, Wh."""
        return self._deliveries.outstanding_wh

    def for_sale_wh(self, reserved: Wh) -> Wh:
        """What may be offered beside `reserved` Wh (design §4, What is for sale)."""
        free = self.battery.deliverable_wh(self._for_sale_percent) - self.owed_wh - reserved
        return Wh(max(0, min(free, self._most_at_once)))

    def _context(self) -> Context:
        return Context(self.battery.soc, self._clock.at(self._stepped_s))

    def reserve(self) -> MicroPerKwh:
        """The reserve now."""
        return self.pricing.reserve(self._context())

    def sold(self, lot_id: LotId, bidder: DeviceId, energy: Wh, price: MicroPerKwh, now: Now) -> None:
        """A trade was confirmed: deliver it."""
        if not self._deliveries.outstanding_wh:
            self._idle_until(now)
        self._sold[lot_id] = Sold(bidder, energy, price)
        self._deliveries.add(lot_id, energy)
        self._next_step_known = False
        self.pricing.traded(self._context(), price)

    def _idle_until(self, now: Now) -> None:
        """With nothing to deliver, time passed for the charger only."""
        self._pass_time(now)

    def next_step(self) -> MonotonicS | None:
        """When `step` has something to do. It is asked for with each message, and changes with each delivery."""
        if not self._next_step_known:
            self._next_step, self._next_step_known = self._due_step(), True
        return self._next_step

    def _due_step(self) -> MonotonicS | None:
        done = self._deliveries.next_done_s(self.battery)
        times = [self._clock.when(self._clock.at(self._stepped_s) + done)] if done is not None else []
        if self._solar is not None:
            times.append(MonotonicS(self._looked_s + CHARGING_STEP_S))
        return min(times, default=None)

    def step(self, now: Now) -> tuple[Row, ...]:
        """Charge and deliver up to now; returns the rows of deliveries that ended."""
        self._looked_s = now.monotonic_s
        return self._rows(self._pass_time(now), now)

    def _pass_time(self, now: Now) -> list[Delivery]:
        begin, end = self._clock.at(self._stepped_s), self._clock.at(now.monotonic_s)
        self._stepped_s = now.monotonic_s
        self._next_step_known = False
        if self._solar is not None:
            limit = self.battery.spec.charge_kw * (end - begin) / 3.6
            self.battery.charge(min(self._solar.energy_wh(begin, end), limit))
        return self._deliveries.advance(self.battery, end - begin)

    def fail(self, now: Now) -> tuple[Row, ...]:
        """Nothing more is delivered: what is owed ends short."""
        ended = self._pass_time(now) + self._deliveries.fail()
        self._next_step_known = False
        return self._rows(ended, now)

    def _rows(self, ended: list[Delivery], now: Now) -> tuple[Row, ...]:
        rows = [self._row(delivery, self._sold.pop(delivery.lot_id), now) for delivery in ended]
        return (*rows, self.level(now)) if rows else ()

    @staticmethod
    def _row(delivery: Delivery, sold: Sold, now: Now) -> Row:
        body: dict[str, Scalar] = {
            "bidder": sold.bidder,
            "energy_wh": sold.energy,
            "delivered_wh": delivery.delivered,
            "price_micro_per_kwh": sold.price,
        }
        state = "short" if delivery.short else "delivered"
        return Row("energy", delivery.lot_id, state, now.wall_us, body, str(delivery.lot_id), pending=False)

    def level(self, now: Now) -> Row:
        """What the battery holds, so that a restart goes on from there.

        What has left for a trade that is still pending counts as held: the restart delivers that trade whole.
        """
        on_its_way = self._deliveries.partial_wh / self.battery.spec.discharge_efficiency
        body: dict[str, Scalar] = {
            "energy_wh": self.held_wh,
            "stored_uwh": round((self.battery.stored_exact_wh + on_its_way) * MICRO),
            "micro_cycles": round(self.battery.cycles * MICRO),
        }
        return Row("energy", LotId(0), "level", now.wall_us, body, "level")

    def restore(self, row: Row, now: Now) -> None:
        """A pending delivery from before a restart."""
        bidder, energy = DeviceId(int(str(row.body["bidder"]))), Wh(int(str(row.body["energy_wh"])))
        price = MicroPerKwh(int(str(row.body["price_micro_per_kwh"])))
        self._idle_until(now)
        self._sold[LotId(row.lot_id)] = Sold(bidder, energy, price)
        self._deliveries.add(LotId(row.lot_id), energy)
        self._next_step_known = False

    def status(self, device_id: DeviceId) -> Frame:
        """A Status of now."""
        discharging = self.battery.spec.discharge_kw if self.owed_wh else 0.0
        return messages.status(
            device_id,
            remaining=self.held_wh,
            health=self.battery.health,
            voltage_v=round(self.battery.voltage_v, 3),
            discharge_kw=discharging,
        )
