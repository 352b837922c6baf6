"""What a battery's owner lets gateways know of it beside its journal, and when something of that has changed.

Nothing here may tell of bids before their lot has ended: of an open sealed lot not even that there are any.
"""

from typing import Any, Final

from bess_node.books import LotRules
from bess_node.desk import Desk
from etp.clock import Now
from etp.codes import MessageType
from runtime.feed.telemetry import metrics_body
from runtime.histogram import Metrics

BIDS: Final = MessageType.BID.name
Told = tuple[str, dict[str, Any]]
"""Kind and body of an item (`runtime.feed.telemetry.KINDS`)."""


class Watch:
    """See the module. `thermometer`: the temperature is measured, not assumed."""

    def __init__(self, desk: Desk, metrics: Metrics, *, rules: LotRules, thermometer: bool) -> None:
        self._desk, self._metrics, self._thermometer = desk, metrics, thermometer
        self._sealed = rules.mechanism.sealed
        self._sight = desk.sight()
        self._lot: dict[str, Any] | None = None
        self._failure: str | None = None
        self._depleted = False
        self._bid_ages: dict[str, Any] | None = None
        """Ages of Bids, as of when no bid was in the open lot."""

    def glance(self) -> bool:
        """Whether something may have changed since the last look: cheap enough for each turn."""
        return not self._sight.same(self._desk.sight())

    def look(self, now: Now) -> list[Told]:
        """What has changed since the last look."""
        self._sight = self._desk.sight()
        self._keep_ages()
        told = [*self._failure_now(), *self._level_now()]
        lot = self._desk.public_lot(now)
        if lot != self._lot:
            self._lot = lot
            told.append(("lot", dict(lot)))
        return told

    def _failure_now(self) -> list[Told]:
        failure = self._desk.failure
        name = failure.name.lower() if failure is not None else None
        if name == self._failure:
            return []
        self._failure = name
        return [("failure", {"failure": name})]

    def _level_now(self) -> list[Told]:
        """Depleted: it would sell, and has nothing left that is not promised either."""
        desk = self._desk
        for_sale = desk.offer().for_sale
        depleted = for_sale == 0 and (self._depleted or (desk.selling and desk.reserved_wh == 0))
        if depleted == self._depleted:
            return []
        self._depleted = depleted
        return [("depleted" if depleted else "recharged", {"stored_wh": desk.store.held_wh, "for_sale_wh": for_sale})]

    def status(self, *, sessions: int, unsettled: tuple[int, int | None] | None) -> dict[str, Any]:
        """What the battery shows of itself; `unsettled`: how many trades, since when, where trades are paid."""
        desk, battery = self._desk, self._desk.store.battery
        shown = desk.store.status(desk.device_id)
        count, oldest_us = unsettled if unsettled is not None else (None, None)
        return {
            "stored_wh": desk.store.held_wh,
            "for_sale_wh": desk.offer().for_sale,
            "reserved_wh": desk.reserved_wh,
            "to_deliver_wh": desk.store.owed_wh,
            "health": battery.health.name.lower(),
            "voltage_mv": round(shown.battery_voltage * 1000),
            "discharge_w": round(shown.discharge_rate * 1000),
            "temperature_mc": round(battery.temperature_c * 1000) if self._thermometer else None,
            "failure": self._failure,
            "sessions": sessions,
            "unsettled": count,
            "oldest_unsettled_us": oldest_us,
        }

    def metrics(self, journal_waiting: int) -> dict[str, Any]:
        """How it keeps its deadlines. While a sealed lot has bids, Bids are counted as they were before it had any."""
        body = metrics_body(self._metrics, journal_waiting=journal_waiting)
        self._keep_ages()
        ages = body["histograms"].get("age_ms", {})
        if self._hides_bids and BIDS in ages:
            del ages[BIDS]
            ages |= {} if self._bid_ages is None else {BIDS: self._bid_ages}
        return body

    @property
    def _hides_bids(self) -> bool:
        return self._sealed and self._desk.sight().bids > 0

    def _keep_ages(self) -> None:
        found = self._metrics.histograms.get(("age_ms", BIDS))
        if found is not None and self._sealed and not self._hides_bids:
            self._bid_ages = found.as_dict()
