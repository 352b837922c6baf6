"""Telemetry of one connection → events and what is kept of it. What it shows has passed no disk: it may be missing, never wrong.

Of an open sealed lot nothing is told but that it is open: also where a node said more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import msgspec
from msgspec.structs import replace

from etp.codes import MessageType
from etp.timing import REPLY_BUDGET_MS
from gateway import events
from gateway.bodies import (
    LAST_TIME_US,
    About,
    AggregatorStatusBody,
    BessStatus,
    Body,
    FailureBody,
    HistogramBody,
    LevelBody,
    MetricsBody,
    OpenLotBody,
    QueryBody,
    ResponseBody,
    oversized,
    read,
)
from gateway.events import Event, Latency
from gateway.transaction import Observation, stored_form
from runtime.feed.wire import Item, MarketTime
from runtime.histogram import BUCKETS, MAX_DELAYS_MS

SAMPLE_US: Final = 1_000_000
"""Of what a battery holds, one sample in so long is kept, µs; in a replay, where an hour is a second, each."""
ENGLISH: Final = "english"
"""The only mechanism whose open lots show who leads, and at which price."""
_AGE_BUDGETS: Final = {kind.name: MAX_DELAYS_MS[kind] for kind in MessageType}
_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Counts:
    """What one connection brought that told nothing."""

    unknown: int = 0
    """Items of a kind that this version does not know."""
    wrong: int = 0
    """Items that cannot be read."""
    late: int = 0
    """Items beyond the rate."""


@dataclass(slots=True)
class Watch:
    """One node's telemetry while it is connected."""

    device_id: int
    role: str
    about: About
    market: MarketTime
    counts: Counts = field(default_factory=Counts)
    dropped: int = 0
    """What the node says that it dropped."""
    status: events.BESSNodeStatus | events.AggregatorStatus | None = None
    """What the node showed of itself last."""
    lot: OpenLotBody = OpenLotBody(lot_id=0)
    """The one that is open."""
    closed: int = 0
    """The newest lot that has ended: what is told of it later was true earlier."""
    _sampled_us: int = -SAMPLE_US

    def see(self, item: Item, seen: Observation, now_us: int) -> None:
        """What an item tells is added to `seen`; what cannot be read is counted and left out."""
        found = self._KINDS[self.role].get(item.kind)
        if found is None:
            self.counts.unknown += 1
            return
        kind, tell = found
        try:
            body = read(item.body, kind)
        except msgspec.ValidationError:
            self.counts.wrong += 1
            return
        if oversized(item.body) is not None or not 0 <= item.time_us <= LAST_TIME_US:
            self.counts.wrong += 1
            return
        told: dict[str, Any] = {"node": str(self.device_id), **self._times(item.time_us)}
        tell(self, body, told, seen, now_us)

    def ended(self, lot_id: int) -> None:
        """A lot is closed: its row came."""
        self.closed = max(self.closed, lot_id)
        if self.lot.lot_id == lot_id:
            self.lot = OpenLotBody(lot_id=0)

    def follow(self, before: "Watch") -> None:
        """What the node's connection before this one showed is still true: nothing of it begins anew."""
        self.status, self.lot, self.closed = before.status, before.lot, before.closed

    def gone(self, now_us: int) -> list[Event]:
        """The connection ended."""
        if self.status is None:
            return []
        return [replace(self.status, online=False, **self._times(now_us))]

    def again(self, now_us: int) -> list[Event]:
        """What the node showed last, as of now: somebody took it to be gone."""
        if self.status is None:
            return []
        told: dict[str, Any] = {"node": str(self.device_id), **self._times(now_us)}
        shown: list[Event] = [replace(self.status, **self._times(now_us))]
        if self.lot.lot_id and self.lot.energy_wh:
            shown += [self._started(self.lot, told), _update(self.lot.lot_id, self.lot, told)]
        return shown

    def _times(self, time_us: int) -> dict[str, int]:
        return {"time_us": time_us, "market_us": min(self.market.at(time_us), LAST_TIME_US)}

    # -- by kind

    def _bess(self, body: BessStatus, told: dict[str, Any], seen: Observation, now_us: int) -> None:
        shown = {name: getattr(body, name) for name in BessStatus.__struct_fields__ if name != "mechanism"}
        mechanism = body.mechanism or self.about.mechanism or ""
        status = events.BESSNodeStatus(
            online=True, mechanism=mechanism, capacity_wh=self.about.capacity_wh, **shown, **told
        )
        self._shows(status, seen, now_us)
        time_us, market_us = told["time_us"], told["market_us"]
        if self.market.speed > 1 or abs(time_us - self._sampled_us) >= SAMPLE_US:
            self._sampled_us = time_us
            sample = (market_us, body.stored_wh, body.for_sale_wh, body.reserved_wh, body.to_deliver_wh)
            seen.traces.samples[self.device_id, time_us] = sample

    def _aggregator(self, body: AggregatorStatusBody, told: dict[str, Any], seen: Observation, now_us: int) -> None:
        shown = {name: getattr(body, name) for name in AggregatorStatusBody.__struct_fields__}
        strategy = self.about.strategy or ""
        status = events.AggregatorStatus(
            online=True, strategy=strategy, demand_wh=self.about.demand_wh, **shown, **told
        )
        self._shows(status, seen, now_us)

    def _shows(self, status: events.BESSNodeStatus | events.AggregatorStatus, seen: Observation, now_us: int) -> None:
        self.status = status
        seen.told.append(status)
        seen.traces.statuses[self.device_id] = (stored_form(status).decode(), now_us)

    def _metrics(self, body: MetricsBody, told: dict[str, Any], seen: Observation, now_us: int) -> None:
        latencies = []
        for what, found in (("age", body.histograms.age_ms), ("reply", body.histograms.reply_ms)):
            for message, histogram in found.items():
                budget_ms = _AGE_BUDGETS.get(message) if what == "age" else float(REPLY_BUDGET_MS)
                if message not in _AGE_BUDGETS or budget_ms is None or not _is_whole(histogram):
                    continue
                latencies.append(_latency(what, message, budget_ms, histogram))
                kept = (_encode(histogram).decode(), now_us)
                seen.traces.latencies[self.device_id, what, message] = kept
        event = events.SystemMetrics(
            online=True,
            latencies=latencies,
            late_messages=_total(body, "late_messages"),
            violations=_total(body, "violations"),
            journal_waiting=body.journal_waiting,
            feed_unacked=body.feed_unacked,
            feed_dropped=max(self.dropped, body.feed_dropped),
            **told,
        )
        seen.told.append(event)
        seen.traces.metrics[self.device_id] = stored_form(event).decode()

    def _open_lot(self, body: OpenLotBody, told: dict[str, Any], seen: Observation, now_us: int) -> None:  # noqa: ARG002
        lot_id, before = body.lot_id, self.lot
        if lot_id and lot_id <= self.closed:
            return
        if before.lot_id and lot_id != before.lot_id and before.lot_id > self.closed:
            seen.told.append(_update(before.lot_id, OpenLotBody(lot_id=before.lot_id), told))
        self.lot = body
        if not lot_id or not body.energy_wh:
            return
        if lot_id != before.lot_id:
            seen.told.append(self._started(body, told))
        seen.told.append(_update(lot_id, body, told))

    def _started(self, body: OpenLotBody, told: dict[str, Any]) -> Event:
        """A lot is open: since it opened, which a new connection or gateway hears of later."""
        opened_us = min(body.opened_us or told["time_us"], told["time_us"])
        return events.AuctionStarted(
            lot_id=str(body.lot_id),
            mechanism=body.mechanism,
            energy_wh=body.energy_wh,
            reserve_micro_per_kwh=body.reserve_micro_per_kwh,
            **(told | self._times(opened_us)),
        )

    def _depleted(self, body: LevelBody, told: dict[str, Any], seen: Observation, now_us: int) -> None:  # noqa: ARG002
        seen.told.append(events.EnergyDepleted(stored_wh=body.stored_wh, **told))

    def _recharged(self, body: LevelBody, told: dict[str, Any], seen: Observation, now_us: int) -> None:  # noqa: ARG002
        seen.told.append(events.EnergyRecharged(stored_wh=body.stored_wh, for_sale_wh=body.for_sale_wh, **told))

    def _failure(self, body: FailureBody, told: dict[str, Any], seen: Observation, now_us: int) -> None:  # noqa: ARG002
        seen.told.append(events.DeviceFailed(failure=body.failure, **told))

    def _query(self, body: QueryBody, told: dict[str, Any], seen: Observation, now_us: int) -> None:  # noqa: ARG002
        battery = None if body.battery is None else str(body.battery)
        seen.told.append(events.QuerySent(battery=battery, **told))

    def _response(self, body: ResponseBody, told: dict[str, Any], seen: Observation, now_us: int) -> None:  # noqa: ARG002
        response = events.QueryResponse(
            battery=str(body.battery),
            lot_id=str(body.lot_id),
            energy_wh=body.energy_wh,
            ask_micro_per_kwh=body.ask_micro_per_kwh,
            **told,
        )
        seen.told.append(response)

    _KINDS: ClassVar[dict[str, dict[str, tuple[type[Body], Callable[..., None]]]]] = {
        "bess": {
            "status": (BessStatus, _bess),
            "metrics": (MetricsBody, _metrics),
            "lot": (OpenLotBody, _open_lot),
            "depleted": (LevelBody, _depleted),
            "recharged": (LevelBody, _recharged),
            "failure": (FailureBody, _failure),
        },
        "aggregator": {
            "status": (AggregatorStatusBody, _aggregator),
            "metrics": (MetricsBody, _metrics),
            "query": (QueryBody, _query),
            "response": (ResponseBody, _response),
        },
    }
    """Role → kind → what it says, and what becomes of it."""


def _update(lot_id: int, body: OpenLotBody, told: dict[str, Any]) -> events.LotUpdated:
    shown = body.mechanism == ENGLISH
    return events.LotUpdated(
        lot_id=str(lot_id),
        energy_wh=body.energy_wh,
        ask_micro_per_kwh=_ask(body),
        standing_micro_per_kwh=body.standing_micro_per_kwh if shown else None,
        bidders=body.bidders if shown else None,
        closes_us=body.closes_us if shown else None,
        **told,
    )


def _ask(body: OpenLotBody) -> int | None:
    """What a bid must reach, as far as everybody may know it: an ask that says more than that is not told.

    A sealed lot's ask is its reserve, whatever is bid; behind a hidden reserve there is an ask once somebody leads.
    """
    hidden = body.reserve_micro_per_kwh is None and body.standing_micro_per_kwh is None
    return body.reserve_micro_per_kwh if hidden or body.mechanism != ENGLISH else body.ask_micro_per_kwh


def _is_whole(histogram: HistogramBody) -> bool:
    """Whether its buckets exist: whoever adds histograms up takes their numbers as places in a list."""
    return all(int(number) < BUCKETS for number in histogram.buckets)


def _latency(what: Any, message: str, budget_ms: float, found: HistogramBody) -> Latency:
    return Latency(
        what=what,
        message=message,
        budget_ms=budget_ms,
        count=found.count,
        over_budget=found.over_budget,
        p50_ms=found.p50_ms,
        p90_ms=found.p90_ms,
        p99_ms=found.p99_ms,
        worst_ms=found.worst_ms,
    )


def _total(body: MetricsBody, name: str) -> int:
    return min(sum(body.counters.get(name, {}).values()), LAST_TIME_US)
