"""What nodes and gateways expose to Prometheus, whole: what tests of exposition, alerts and dashboards share."""

from typing import Any

from msgspec.structs import replace

from etp.codes import MessageType
from gateway import metrics as gateway_metrics
from gateway.events import BESSNodeStatus, Snapshot, SystemMetrics, Totals
from gateway.node_gauges import of_nodes
from runtime.exposition import text
from runtime.histogram import Histogram, Metrics
from runtime.node_metrics import COUNTERS, Process, Readings, exposition

PROCESS = Process(1_700_000_000.5, 1.25, 4096, 7)
SETTLEMENT = {
    "settlement_age_s": 12.5,
    "outbox": {"confirmed": 2, "settling": 1},
    "unsettled_micro": 123_456_789,
    "settled_ms": Histogram().as_dict(),
    "rpcs": [{"state": "closed"}, {"state": "open"}],
    "alarm": None,
}
BESS = {
    "stored_wh": 12_000,
    "for_sale_wh": 2_500,
    "reserved_wh": 0,
    "to_deliver_wh": 100,
    "reserve_micro_per_kwh": 125_001,
    "bidders": 3,
    "best_bidder": 500,
    "best_micro_per_kwh": 130_002,
    "failure": "INVERTER",
    "capacity_wh": 13_500,
    "sessions": 4,
    "promises_open": 1,
    "queues": {"send_frames": 3, "send_longest": 2, "journal": 5, "bids_dropped": 6},
    "settlement": SETTLEMENT,
    "feeds": {"gateway.example:8080": {"connected": True, "unacked": 9, "dropped": 8}},
}


def readings(metrics: Metrics, view: dict[str, object], fsync: Histogram | None = None) -> Readings:
    """Of a node with these counters."""
    about = {"role": "bess", "device_id": "101"}
    return Readings(about, metrics.snapshot(), view, (fsync or Histogram()).as_dict(), 0.5, PROCESS)


AGGREGATOR = {
    "bought_wh": 6_000,
    "paid_micro": 700_001,
    "exposed_wh": 10,
    "sessions": 2,
    "promises_open": 0,
    "queues": BESS["queues"],
    "batteries": [
        {"device_id": 2**64 - 1, "connected": True, "clock_offset_ms": -1.5},
        {"device_id": 102, "connected": False, "clock_offset_ms": None},
    ],
}


def nodes() -> list[str]:
    """The expositions of a battery and an aggregator that have counted all there is to count."""
    metrics = Metrics()
    for name in COUNTERS:
        metrics.count(name, "x")
    for kind in MessageType:
        metrics.observe("age_ms", kind.name, 1.0)
    metrics.observe("reply_ms", "RESPONSE", 1.0)
    found = [readings(metrics, BESS), readings(metrics, AGGREGATOR)]
    return [
        exposition(one._replace(about={"role": role})) for one, role in zip(found, ("bess", "aggregator"), strict=True)
    ]


def gateway(*, ready: bool = True) -> str:
    """The exposition of a gateway that has stored a few trades of two batteries, one of them away."""
    heard: dict[str, Any] = {"epoch": "e", "time_us": 1, "market_us": 1, "online": True}
    battery = BESSNodeStatus(
        seq=1,
        node="101",
        mechanism="english",
        **dict.fromkeys(("capacity_wh", "stored_wh", "for_sale_wh", "reserved_wh", "to_deliver_wh"), 1),
        **dict.fromkeys(("voltage_mv", "discharge_w", "sessions"), 1),
        **dict.fromkeys(("temperature_mc", "failure")),
        health="good",
        unsettled=2,
        oldest_unsettled_us=1_000_000,
        **heard,
    )
    counted = dict.fromkeys(("late_messages", "violations", "journal_waiting", "feed_unacked", "feed_dropped"), 1)
    metrics = SystemMetrics(seq=2, node="101", latencies=[], **counted, **heard)
    away = replace(battery, node="102", online=False)
    snapshot = Snapshot(
        epoch="e",
        seq=12,
        time_us=31_000_000,
        gap=False,
        totals=Totals(trades=3, energy_wh=7_500, paid_micro=2**60, settled=2, settled_micro=5),
        batteries=[battery, away],
        metrics=[metrics],
        **{name: [] for name in ("aggregators", "lots", "trades")},
    )
    counts = {"rows": 1, "bids": 2, "transactions": 3, "failures": 4, "dropped": 5}
    durable = Histogram()
    for milliseconds in (2.0, 8.0):
        durable.record(milliseconds)
    shown = {"clients": 6, "feeds": 7, "durable": durable.as_dict(), "process": PROCESS}
    own = gateway_metrics.Readings(ready=ready, snapshot=snapshot, **shown, **counts)
    return gateway_metrics.exposition(own) + text(of_nodes(snapshot))
