"""What is true now, from the events in their order: the state of every node, the lots that can be bid for, sums, newest trades.

It holds one status and one lot a node, so its size is that of the market; beyond `MOST_NODES` the node that has been away for
longest is forgotten.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, TypeVar

from msgspec.structs import replace

from gateway import events
from gateway.events import (
    AggregatorStatus,
    BESSNodeStatus,
    Event,
    OpenLot,
    Snapshot,
    SystemMetrics,
    Totals,
    TradeConfirmed,
)

MOST_NODES: Final = 20_000
"""Ten times the nodes that a gateway is built for."""

E = TypeVar("E", BESSNodeStatus, AggregatorStatus, SystemMetrics)


class World:
    """See the module. `trades`: how many of the newest are kept; `totals`: what was before."""

    def __init__(self, *, trades: int, totals: Totals | None = None) -> None:
        self.totals = totals or Totals(trades=0, energy_wh=0, paid_micro=0, settled=0, settled_micro=0)
        self._batteries: dict[str, BESSNodeStatus] = {}
        self._aggregators: dict[str, AggregatorStatus] = {}
        self._metrics: dict[str, SystemMetrics] = {}
        self._lots: dict[str, OpenLot] = {}
        """By battery."""
        self._trades: deque[TradeConfirmed] = deque(maxlen=trades)
        """Newest first."""

    def apply(self, told: Iterable[Event]) -> None:
        """Events in the order of their numbers."""
        for event in told:
            change = self._CHANGES.get(type(event))
            if change is not None:
                change(self, event)

    def remember(self, event: Event) -> None:
        """Something from before this gateway started: its node is offline until it says more, and `totals` have it."""
        if isinstance(event, BESSNodeStatus | AggregatorStatus | SystemMetrics):
            self.apply([replace(event, online=False)])
        elif isinstance(event, TradeConfirmed):
            self._trades.appendleft(event)

    def is_online(self, device_id: int) -> bool:
        """Whether a node's feed is here, and it has said how it is."""
        node = str(device_id)
        status = self._batteries.get(node) or self._aggregators.get(node)
        return status is not None and status.online

    def online(self) -> tuple[int, int]:
        """How many (batteries, aggregators) are."""
        return (
            sum(status.online for status in self._batteries.values()),
            sum(status.online for status in self._aggregators.values()),
        )

    def status(self, device_id: int) -> BESSNodeStatus | AggregatorStatus | None:
        """What a node showed of itself last."""
        node = str(device_id)
        return self._batteries.get(node) or self._aggregators.get(node)

    def snapshot(self, *, epoch: str, seq: int, now_us: int, gap: bool) -> Snapshot:
        """Everything."""
        return Snapshot(
            epoch=epoch,
            seq=seq,
            time_us=now_us,
            gap=gap,
            batteries=list(self._batteries.values()),
            aggregators=list(self._aggregators.values()),
            metrics=list(self._metrics.values()),
            lots=list(self._lots.values()),
            trades=list(self._trades),
            totals=self.totals,
        )

    # -- changes

    def _battery(self, event: BESSNodeStatus) -> None:
        _put(self._batteries, event)
        if not event.online:
            self._gone(event.node)

    def _aggregator(self, event: AggregatorStatus) -> None:
        _put(self._aggregators, event)
        if not event.online:
            self._gone(event.node)

    def _system(self, event: SystemMetrics) -> None:
        _put(self._metrics, event)

    def _gone(self, node: str) -> None:
        self._lots.pop(node, None)
        metrics = self._metrics.get(node)
        if metrics is not None:
            self._metrics[node] = replace(metrics, online=False)

    def _started(self, event: events.AuctionStarted) -> None:
        if event.node not in self._lots and len(self._lots) >= MOST_NODES:
            return
        self._lots[event.node] = OpenLot(
            battery=event.node,
            lot_id=event.lot_id,
            mechanism=event.mechanism,
            energy_wh=event.energy_wh,
            reserve_micro_per_kwh=event.reserve_micro_per_kwh,
            ask_micro_per_kwh=None,
            standing_micro_per_kwh=None,
            bidders=None,
            opened_us=event.time_us,
            closes_us=None,
        )

    def _updated(self, event: events.LotUpdated) -> None:
        lot = self._lots.get(event.node)
        if lot is None or lot.lot_id != event.lot_id:
            return
        if event.energy_wh == 0:
            del self._lots[event.node]
            return
        self._lots[event.node] = replace(
            lot,
            energy_wh=event.energy_wh,
            ask_micro_per_kwh=event.ask_micro_per_kwh,
            standing_micro_per_kwh=event.standing_micro_per_kwh,
            bidders=event.bidders,
            closes_us=event.closes_us,
        )

    def _ended(self, event: events.AuctionCompleted | events.LotVoided) -> None:
        lot = self._lots.get(event.node)
        if lot is not None and lot.lot_id == event.lot_id:
            del self._lots[event.node]

    def _traded(self, event: TradeConfirmed) -> None:
        self._trades.appendleft(event)
        sums = self.totals
        self.totals = replace(
            sums,
            trades=sums.trades + 1,
            energy_wh=sums.energy_wh + event.energy_wh,
            paid_micro=sums.paid_micro + event.paid_micro,
        )

    def _settled(self, event: events.TradeSettled) -> None:
        sums = self.totals
        self.totals = replace(sums, settled=sums.settled + 1, settled_micro=sums.settled_micro + event.amount_micro)

    _CHANGES: ClassVar[dict[type[Event], Callable[[Any, Any], None]]] = {
        BESSNodeStatus: _battery,
        AggregatorStatus: _aggregator,
        SystemMetrics: _system,
        events.AuctionStarted: _started,
        events.LotUpdated: _updated,
        events.AuctionCompleted: _ended,
        events.LotVoided: _ended,
        TradeConfirmed: _traded,
        events.TradeSettled: _settled,
    }


def _put(kept: dict[str, E], event: E) -> None:
    """The newest of a node, in the order in which they came: so the first one that is offline is away for longest."""
    kept.pop(event.node, None)
    if len(kept) >= MOST_NODES:
        away = next((node for node, other in kept.items() if not other.online), None)
        if away is None:
            return
        del kept[away]
    kept[event.node] = event
