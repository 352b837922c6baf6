"""What the monitor knows of the market: the newest state of every node, and a bounded memory of what happened.

Snapshots and events in, nothing out; no clock. All collections have a maximum, and the oldest go first.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, TypeVar

from cli.monitor.things import Gap, Lot, Trade
from gateway.client import Connected, Happened, Missed, Notice, Refused, World
from gateway.events import (
    AggregatorStatus,
    AnyEvent,
    AuctionCompleted,
    AuctionStarted,
    BESSNodeStatus,
    BidAccepted,
    EnergyDelivered,
    EnergyDepleted,
    LotUpdated,
    LotVoided,
    OpenLot,
    QueryResponse,
    QuerySent,
    ReservationReleased,
    SettlementUpdated,
    Snapshot,
    SystemMetrics,
    Totals,
    TradeConfirmed,
    TradeSettled,
)

MAX_NODES: Final = 5_000
"""Batteries, aggregators and their metrics each; about 1 kB a node."""
MAX_ENDED_LOTS: Final = 1_000
MAX_TRADES: Final = 2_000
MAX_EVENTS: Final = 2_000
"""At 200 events a second the last 10 s; REST has the durable ones for ever."""
STATE: Final = (BESSNodeStatus, AggregatorStatus, SystemMetrics, LotUpdated, QuerySent, QueryResponse)
"""Events that repeat what is, or come by the second: they move the tables, and only with `all_events` the list of events."""

LotKey: TypeAlias = tuple[str, str]
"""Battery and lot_id."""
K = TypeVar("K")
V = TypeVar("V")


Entry: TypeAlias = AnyEvent | Gap


@dataclass
class Known:
    """See the module."""

    epoch: str = ""
    batteries: dict[str, BESSNodeStatus] = field(default_factory=dict)
    aggregators: dict[str, AggregatorStatus] = field(default_factory=dict)
    metrics: dict[str, SystemMetrics] = field(default_factory=dict)
    lots: dict[LotKey, Lot] = field(default_factory=dict)
    """Open ones: a battery has one at a time."""
    ended: dict[LotKey, Lot] = field(default_factory=dict)
    trades: dict[LotKey, Trade] = field(default_factory=dict)
    """Oldest first."""
    totals: Totals = field(default_factory=lambda: Totals(0, 0, 0, 0, 0))
    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    """Oldest first."""
    count: int = 0
    """Events that were heard."""
    gaps: int = 0
    newest_us: int = 0
    """When the newest event happened, by its node's clock; 0: none."""
    market_us: int = 0
    """The market time of that event."""
    all_events: bool = False
    """Whether the list of events holds also those that only repeat what is."""

    def frozen(self) -> "Known":
        """A copy that stays as it is: what is shown while paused."""
        return replace(
            self,
            batteries=dict(self.batteries),
            aggregators=dict(self.aggregators),
            metrics=dict(self.metrics),
            lots=dict(self.lots),
            ended=dict(self.ended),
            trades=dict(self.trades),
            entries=self.entries.copy(),
        )

    def take(self, notice: Notice) -> None:
        """Learn what the stream says."""
        if isinstance(notice, Happened):
            for event in notice.events:
                self._happened(event)
        elif isinstance(notice, World):
            self._replaced(notice.snapshot)
        elif isinstance(notice, Missed):
            self.gaps += 1
            self.entries.append(Gap(notice.why, notice.durable, self.newest_us))
        else:
            assert isinstance(notice, Connected | Refused)  # the screen's business

    # -- a snapshot

    def _replaced(self, snapshot: Snapshot) -> None:
        if self.epoch and self.epoch != snapshot.epoch:
            self.ended.clear()
            self.trades.clear()
        self.epoch, self.totals = snapshot.epoch, snapshot.totals
        self.batteries = {status.node: status for status in snapshot.batteries[:MAX_NODES]}
        self.aggregators = {status.node: status for status in snapshot.aggregators[:MAX_NODES]}
        self.metrics = {metrics.node: metrics for metrics in snapshot.metrics[:MAX_NODES]}
        self.lots = {(lot.battery, lot.lot_id): self._of(lot, snapshot.time_us) for lot in snapshot.lots[:MAX_NODES]}
        for confirmed in reversed(snapshot.trades):
            key = confirmed.node, confirmed.lot_id
            if key not in self.trades:
                _keep(self.trades, key, Trade(confirmed), MAX_TRADES)
        newest = max((*self.batteries.values(), *self.aggregators.values()), key=lambda one: one.time_us, default=None)
        if newest is not None and newest.time_us > self.newest_us:
            self.newest_us, self.market_us = newest.time_us, newest.market_us

    def _of(self, lot: OpenLot, time_us: int) -> Lot:
        battery = self.batteries.get(lot.battery)
        ahead_us = battery.market_us - battery.time_us if battery else 0
        return Lot(
            lot.battery,
            lot.lot_id,
            lot.mechanism,
            "open",
            lot.energy_wh,
            lot.opened_us,
            lot.opened_us,
            (lot.opened_us or time_us) + ahead_us,
            reserve_micro_per_kwh=lot.reserve_micro_per_kwh,
            ask_micro_per_kwh=lot.ask_micro_per_kwh,
            standing_micro_per_kwh=lot.standing_micro_per_kwh,
            bidders=lot.bidders,
            closes_us=lot.closes_us,
        )

    # -- events

    def _happened(self, event: AnyEvent) -> None:
        self.count += 1
        if event.time_us >= self.newest_us:
            self.newest_us, self.market_us = event.time_us, event.market_us
        if self.all_events or not isinstance(event, STATE):
            self.entries.append(event)
        if isinstance(event, BESSNodeStatus):
            _keep(self.batteries, event.node, event, MAX_NODES)
            if not event.online:
                self._withdraw(event.node)  # a promise may still end; nothing can be bid for
        elif isinstance(event, AggregatorStatus):
            _keep(self.aggregators, event.node, event, MAX_NODES)
        elif isinstance(event, SystemMetrics):
            _keep(self.metrics, event.node, event, MAX_NODES)
        elif isinstance(event, TradeConfirmed):
            self._traded(event)
        elif isinstance(event, TradeSettled | SettlementUpdated | EnergyDelivered):
            self._went_on(event)
        else:
            self._lot_changed(event)

    def _traded(self, event: TradeConfirmed) -> None:
        key = event.node, event.lot_id
        if key in self.trades:
            return
        _keep(self.trades, key, Trade(event), MAX_TRADES)
        self.totals = Totals(
            self.totals.trades + 1,
            self.totals.energy_wh + event.energy_wh,
            self.totals.paid_micro + event.paid_micro,
            self.totals.settled,
            self.totals.settled_micro,
        )
        lot = self.ended.get((event.node, event.auction_id))
        if lot is not None:
            self._end(replace(lot, state="confirmed", time_us=event.time_us, market_us=event.market_us))

    def _went_on(self, event: TradeSettled | SettlementUpdated | EnergyDelivered) -> None:
        key = event.node, event.lot_id
        trade = self.trades.get(key)
        if isinstance(event, TradeSettled):
            totals = self.totals
            settled = (totals.settled + 1, totals.settled_micro + event.amount_micro)
            self.totals = Totals(totals.trades, totals.energy_wh, totals.paid_micro, *settled)
        if trade is None:
            return
        if isinstance(event, TradeSettled):
            trade = replace(trade, payment="settled", payment_reason="", signature=event.signature)
        elif isinstance(event, SettlementUpdated):
            trade = replace(trade, payment=event.state, payment_reason=event.reason)
        else:
            trade = replace(trade, delivered_wh=event.delivered_wh, short=event.short)
        self.trades[key] = trade

    def _lot_changed(self, event: AnyEvent) -> None:
        if isinstance(event, AuctionStarted):
            self._opened(event)
        elif isinstance(event, LotUpdated):
            self._updated(event)
        elif isinstance(event, AuctionCompleted | LotVoided):
            self._closed(event)
        elif isinstance(event, BidAccepted | ReservationReleased):
            self._promised(event)
        elif isinstance(event, EnergyDepleted):
            self._withdraw(event.node)

    def _opened(self, event: AuctionStarted) -> None:
        self._withdraw(event.node)  # a battery offers one lot at a time: the one before is over, sold or not
        lot = Lot(
            event.node,
            event.lot_id,
            event.mechanism,
            "open",
            event.energy_wh,
            event.time_us,
            event.time_us,
            event.market_us,
            reserve_micro_per_kwh=event.reserve_micro_per_kwh,
        )
        _keep(self.lots, (event.node, event.lot_id), lot, MAX_NODES)

    def _withdraw(self, battery: str) -> None:
        for key in [key for key in self.lots if key[0] == battery]:
            del self.lots[key]

    def _updated(self, event: LotUpdated) -> None:
        lot = self.lots.get((event.node, event.lot_id))
        if lot is not None:
            self.lots[event.node, event.lot_id] = replace(
                lot,
                energy_wh=event.energy_wh,
                ask_micro_per_kwh=event.ask_micro_per_kwh,
                standing_micro_per_kwh=event.standing_micro_per_kwh,
                bidders=event.bidders,
                closes_us=event.closes_us,
                time_us=event.time_us,
                market_us=event.market_us,
            )

    def _closed(self, event: AuctionCompleted | LotVoided) -> None:
        self.lots.pop((event.node, event.lot_id), None)
        before = self.ended.get((event.node, event.lot_id))
        lot = before or Lot(
            event.node,
            event.lot_id,
            event.mechanism,
            "void" if isinstance(event, LotVoided) else "reserved",
            event.energy_wh,
            event.opened_us,
            event.time_us,
            event.market_us,
        )
        lot = replace(lot, mechanism=event.mechanism, energy_wh=event.energy_wh, opened_us=event.opened_us)
        lot = replace(lot, bids=event.bids, bidders=event.bidders)
        if isinstance(event, AuctionCompleted):
            lot = replace(
                lot,
                reserve_micro_per_kwh=event.reserve_micro_per_kwh,
                setter=event.setter,
                setter_micro_per_kwh=event.setter_micro_per_kwh,
                capped=event.capped,
            )
        self._end(lot)

    def _promised(self, event: BidAccepted | ReservationReleased) -> None:
        key = event.node, event.auction_id
        lot = self.ended.get(key)
        if lot is None:
            found = self.lots.pop(key, None)
            battery = self.batteries.get(event.node)
            mechanism = found.mechanism if found else battery.mechanism if battery else ""
            opened_us = found.opened_us if found else event.time_us
            energy_wh = found.energy_wh if found else event.energy_wh
            lot = Lot(*key, mechanism, "reserved", energy_wh, opened_us, event.time_us, event.market_us)
        if isinstance(event, BidAccepted):
            lot = replace(lot, winner=event.bidder, price_micro_per_kwh=event.price_micro_per_kwh)
        elif lot.state != "confirmed":
            lot = replace(lot, state="released", reason=event.reason)
        self._end(replace(lot, time_us=event.time_us, market_us=event.market_us))

    def _end(self, lot: Lot) -> None:
        _keep(self.ended, (lot.battery, lot.lot_id), lot, MAX_ENDED_LOTS)


def _keep(kept: dict[K, V], key: K, value: V, maximum: int) -> None:
    """Put or replace; the one that came first goes where there are too many."""
    kept[key] = value
    if len(kept) > maximum:
        del kept[next(iter(kept))]
