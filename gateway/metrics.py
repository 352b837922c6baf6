"""Which metrics a gateway exposes to Prometheus, from plain values."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from gateway.events import Snapshot
from runtime.exposition import Family, Sample, histogram, text
from runtime.node_metrics import Process, of_process


class Readings(NamedTuple):
    """All that one exposition is made of."""

    ready: bool
    """Whether what nodes publish is stored."""
    snapshot: Snapshot
    """What is true now: the nodes with their state, and the sums of all trades."""
    clients: int
    """Of the stream."""
    feeds: int
    """Nodes that are connected."""
    rows: int
    bids: int
    transactions: int
    failures: int
    dropped: int
    durable: Mapping[str, Any]
    """A `runtime.histogram.Histogram.as_dict`: how long batches took to become durable."""
    process: Process


METRICS: Final[Mapping[str, tuple[Literal["counter", "gauge", "histogram"], str]]] = {
    "etp_gateway_ready": ("gauge", "1 while what nodes publish is stored."),
    "etp_gateway_nodes": ("gauge", "Nodes that the gateway knows, by role, and whether they are connected."),
    "etp_gateway_feeds": ("gauge", "Connections of nodes."),
    "etp_gateway_stream_clients": ("gauge", "Connections that watch the stream."),
    "etp_gateway_events_total": (
        "counter",
        "Events published, since the database began; numbers may be skipped at a start.",
    ),
    "etp_gateway_rows_stored_total": ("counter", "Journal rows stored."),
    "etp_gateway_bids_stored_total": ("counter", "Bids stored."),
    "etp_gateway_transactions_total": ("counter", "Transactions of the database."),
    "etp_gateway_store_failures_total": ("counter", "Transactions that failed, and were tried again."),
    "etp_gateway_durable_seconds": ("histogram", "From a message of rows or bids to its being durable."),
    "etp_gateway_telemetry_dropped_total": ("counter", "Telemetry that found no room before the database."),
    "etp_gateway_trades_total": ("counter", "Trades of the whole market, since the database began."),
    "etp_gateway_traded_watt_hours_total": ("counter", "Their energy."),
    "etp_gateway_traded_micro_total": ("counter", "What they cost, µ."),
    "etp_gateway_settled_total": ("counter", "Those of them that are paid."),
    "etp_gateway_settled_micro_total": ("counter", "What was paid, µ."),
}
"""By name: kind and meaning."""


def exposition(readings: Readings) -> str:
    """All metrics of a gateway in Prometheus' text format."""
    plain = [_family(name, [Sample("", {}, value)]) for name, value in _values(readings).items()]
    nodes = _family("etp_gateway_nodes", list(_nodes(readings.snapshot)))
    durable = _family("etp_gateway_durable_seconds", histogram(readings.durable, {}))
    return text([nodes, *plain, durable, *of_process(readings.process)])


def _family(name: str, samples: list[Sample]) -> Family:
    kind, meaning = METRICS[name]
    return Family(name, kind, meaning, samples)


def _nodes(snapshot: Snapshot) -> Iterator[Sample]:
    for role, nodes in (("bess", snapshot.batteries), ("aggregator", snapshot.aggregators)):
        online = sum(node.online for node in nodes)
        yield Sample("", {"role": role, "online": "true"}, online)
        yield Sample("", {"role": role, "online": "false"}, len(nodes) - online)


def _values(readings: Readings) -> dict[str, int]:
    totals = readings.snapshot.totals
    return {
        "etp_gateway_ready": int(readings.ready),
        "etp_gateway_feeds": readings.feeds,
        "etp_gateway_stream_clients": readings.clients,
        "etp_gateway_events_total": readings.snapshot.seq,
        "etp_gateway_rows_stored_total": readings.rows,
        "etp_gateway_bids_stored_total": readings.bids,
        "etp_gateway_transactions_total": readings.transactions,
        "etp_gateway_store_failures_total": readings.failures,
        "etp_gateway_telemetry_dropped_total": readings.dropped,
        "etp_gateway_trades_total": totals.trades,
        "etp_gateway_traded_watt_hours_total": totals.energy_wh,
        "etp_gateway_traded_micro_total": totals.paid_micro,
        "etp_gateway_settled_total": totals.settled,
        "etp_gateway_settled_micro_total": totals.settled_micro,
    }
