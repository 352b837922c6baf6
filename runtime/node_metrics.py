"""Which metrics a node exposes: names with units, what they mean, and where their values stand in its own counters and view.

Nothing here tells what an open lot's rivals may not know: no reserve, no bid, no number of bidders.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from etp.codes import MessageType
from etp.timing import REPLY_BUDGET_MS, TIMING
from runtime.exposition import SLOW_BOUNDS_MS, Family, Sample, histogram, text
from runtime.histogram import MAX_DELAYS_MS

View = Mapping[str, Any]


class Process(NamedTuple):
    """What the kernel says of this process."""

    started_s: float
    """Unix seconds."""
    cpu_s: float
    resident_bytes: int
    open_files: int


class Readings(NamedTuple):
    """All that one exposition is made of."""

    about: Mapping[str, str]
    """What does not change while the node runs: role, device_id, profile, ..."""
    snapshot: View
    """`Metrics.snapshot`."""
    view: View
    """What the node shows of itself in metrics.json."""
    fsync: View
    """`Histogram.as_dict` of the journal's transactions."""
    clock_behind_s: float
    process: Process


class Metric(NamedTuple):
    """A counter or gauge: name, label ("" without), meaning."""

    name: str
    label: str
    help: str


COUNTERS: Final[Mapping[str, Metric]] = {
    "received": Metric("etp_messages_received_total", "type", "Messages received."),
    "sent": Metric("etp_messages_sent_total", "type", "Messages handed to sessions."),
    "late_messages": Metric(
        "etp_late_messages_total", "type", "Messages dropped because they came past their max delay."
    ),
    "repeated": Metric("etp_messages_repeated_total", "type", "Messages known already, answered as before."),
    "violations": Metric("etp_violations_total", "kind", "Frames that broke a rule of the protocol."),
    "security": Metric("etp_security_events_total", "kind", "Evidence kept, and devices dismissed as revoked."),
    "sessions_refused": Metric("etp_sessions_refused_total", "", "Connections turned away for want of a place."),
    "dials_failed": Metric("etp_dials_failed_total", "", "Batteries that could not be connected to."),
    "device_failures": Metric("etp_device_failures_total", "failure", "Failures of the battery, or heard of one."),
    "temperature_unreadable": Metric("etp_temperature_unreadable_total", "", "Looks at the thermometer that failed."),
    "lots_capped": Metric("etp_lots_capped_total", "", "English lots that their longest time ended."),
    "bids": Metric("etp_bids_sent_total", "", "Bids of this aggregator."),
    "bids_put_off": Metric(
        "etp_bids_put_off_total", "", "Bids that waited because the node's clock or storage is not right."
    ),
    "bids_barred": Metric("etp_bids_barred_total", "", "Bids of devices that are barred for their lapses."),
    "bids_withdrawn": Metric(
        "etp_bids_withdrawn_total", "", "Bids that their bidder, or the end of its session, took back."
    ),
    "rejected": Metric("etp_bids_rejected_total", "code", "Rejects that this aggregator's bids got."),
    "rejects_of_older_bids": Metric("etp_rejects_unmatched_total", "", "Rejects of bids that newer ones had replaced."),
    "batteries_refused": Metric("etp_batteries_refused_total", "", "Batteries beyond what an aggregator keeps."),
    "declined": Metric("etp_accepts_declined_total", "code", "Accepts that this aggregator declined."),
    "promises": Metric("etp_promises_total", "state", "Promises by what became of them."),
    "promises_released": Metric("etp_promises_released_total", "reason", "Reservations given up."),
    "confirms_waiting": Metric("etp_confirms_waiting_total", "", "Confirms that waited for the end of another commit."),
    "confirms_unmatched": Metric("etp_confirms_unmatched_total", "", "Confirms that matched nothing in force."),
    "sold_wh": Metric("etp_sold_watt_hours_total", "", "Energy of confirmed trades of this battery."),
    "earned_micro": Metric(
        "etp_earned_micro_total", "", "What the confirmed trades of this battery are to be paid, µ."
    ),
    "trades_not_delivered": Metric(
        "etp_trades_not_delivered_total", "", "Trades that a battery said it cannot deliver."
    ),
    "commits_failed": Metric("etp_commits_failed_total", "purpose", "Promises that the journal could not write."),
    "rows_lost": Metric("etp_journal_rows_lost_total", "", "Rows that found no room in the journal."),
    "settlements": Metric("etp_settlements_total", "state", "Payments that reached a state."),
    "settlements_signed": Metric("etp_settlements_signed_total", "", "Transactions signed."),
    "settlements_refused": Metric("etp_settlements_refused_total", "reason", "Transactions that the program refused."),
    "settlements_expired": Metric("etp_settlements_expired_total", "cause", "Trades that nobody paid in time."),
    "settlements_not_journalled": Metric(
        "etp_settlements_not_journalled_total", "", "Signatures not sent because the journal could not keep them."
    ),
    "reconciled": Metric("etp_reconciliations_total", "result", "Comparisons of the journal with the chain."),
    "rpc_failures": Metric("etp_rpc_failures_total", "kind", "Questions that an RPC did not answer as it should."),
    "rpc_breaker": Metric("etp_rpc_breaker_total", "state", "Changes of the breakers of RPCs."),
    "histograms_refused": Metric("etp_histograms_refused_total", "", "Latencies not counted: their table is full."),
}
"""By the name under which a core or shell counts."""
FROM_THE_START: Final[Mapping[str, Sequence[str]]] = {
    "bess": ("rows_lost", "sessions_refused", "lots_capped", "sold_wh", "earned_micro"),
    "aggregator": ("rows_lost", "bids", "dials_failed"),
}
"""Exposed as 0 before anything is counted: Prometheus sees no increase in a series that begins with its first event."""
ANSWERS: Final = ("RESPONSE", "REJECT", "ACCEPT", "TERMINATE")
"""What the reply budget is measured by, at an aggregator."""
OTHERS: Final = Metric("etp_events_total", "event", "What is counted under a name that has no metric of its own.")

GAUGES: Final[Mapping[str, Metric]] = {
    "capacity_wh": Metric("etp_battery_capacity_watt_hours", "", "Capacity of the battery."),
    "stored_wh": Metric("etp_battery_stored_watt_hours", "", "Energy stored in the battery."),
    "for_sale_wh": Metric("etp_battery_for_sale_watt_hours", "", "Energy that may be bid for now."),
    "reserved_wh": Metric("etp_battery_reserved_watt_hours", "", "Energy of promises that are not confirmed yet."),
    "to_deliver_wh": Metric("etp_battery_to_deliver_watt_hours", "", "Energy sold and not delivered yet."),
    "sessions": Metric("etp_sessions", "", "Open connections."),
    "promises_open": Metric("etp_promises_open", "", "Promises whose end is not known yet."),
    "exposed_wh": Metric("etp_exposed_watt_hours", "", "Energy of unanswered bids and promises."),
    "queues.send_frames": Metric("etp_send_queue_frames", "", "Frames waiting in all sessions' queues."),
    "queues.send_longest": Metric("etp_send_queue_longest_frames", "", "Frames waiting in the longest queue."),
    "queues.journal": Metric(
        "etp_journal_waiting_rows", "", "Rows and bids that are not on their way to the disk yet."
    ),
    "settlement.settlement_age_s": Metric(
        "etp_settlement_oldest_age_seconds", "", "Age of the oldest trade that is not on the chain yet."
    ),
    "settlement.unsettled_micro": Metric(
        "etp_settlement_unsettled_micro", "", "What buyers owe and is not on the chain, µ."
    ),
    "settlement.outbox": Metric("etp_settlement_trades", "state", "Trades in the outbox."),
}
"""By their place in the node's view."""
TOTALS: Final[Mapping[str, Metric]] = {
    "bought_wh": Metric(
        "etp_bought_watt_hours_total", "", "Energy of this aggregator's trades, since its journal began."
    ),
    "paid_micro": Metric("etp_paid_micro_total", "", "What these trades cost, µ."),
    "queues.bids_dropped": Metric(
        "etp_journal_bids_dropped_total", "", "Bids that found no room in the journal's ring."
    ),
}
"""Likewise, but they only grow."""

HISTOGRAMS: Final[Mapping[str, Metric]] = {
    "age_ms": Metric("etp_message_age_seconds", "type", "Age of messages as they arrive, by the sender's stamp."),
    "reply_ms": Metric("etp_reply_seconds", "type", "From a Bid or Confirm sent to its answer."),
}
OVER_BUDGET: Final[Mapping[str, Metric]] = {
    "age_ms": Metric(
        "etp_message_age_over_budget_total", "type", "Messages older than their max delay as they arrived."
    ),
    "reply_ms": Metric("etp_reply_over_budget_total", "type", "Answers that took longer than the reply budget."),
}
DERIVED: Final[Mapping[str, tuple[Literal["counter", "gauge", "histogram"], Metric]]] = {
    "info": ("gauge", Metric("etp_node_info", "", "1; its labels say which node this is.")),
    "budget": ("gauge", Metric("etp_message_budget_seconds", "type", "Max delay of a message type.")),
    "reply_budget": ("gauge", Metric("etp_reply_budget_seconds", "", "The reply budget.")),
    "fsync": (
        "histogram",
        Metric("etp_journal_fsync_seconds", "", "Journal transactions, until they are on the disk."),
    ),
    "settled": ("histogram", Metric("etp_settlement_seconds", "", "From a trade's Confirm to its payment.")),
    "behind": (
        "gauge",
        Metric("etp_clock_behind_seconds", "", "By how much the clock is behind what the node said; 0: right."),
    ),
    "failed": ("gauge", Metric("etp_battery_failed", "", "1 while the battery has failed.")),
    "alarm": ("gauge", Metric("etp_settlement_alarm", "", "1 while payment needs its operator.")),
    "rpc": ("gauge", Metric("etp_rpc_up", "rpc", "1 while the RPC of that number is asked.")),
    "known": (
        "gauge",
        Metric("etp_batteries_known", "", "Batteries in the directory that are shown: the first 64 of up to 4,096."),
    ),
    "connected": ("gauge", Metric("etp_batteries_connected", "", "Those of them with a session.")),
    "offset": (
        "gauge",
        Metric("etp_battery_clock_offset_seconds", "battery", "Estimated offset of a battery's clock."),
    ),
    "feed_up": ("gauge", Metric("etp_feed_connected", "gateway", "1 while the gateway takes this node's feed.")),
    "feed_unacked": (
        "gauge",
        Metric("etp_feed_unacked_rows", "gateway", "Journal rows that the gateway has not stored."),
    ),
    "feed_dropped": (
        "counter",
        Metric("etp_feed_dropped_telemetry_total", "gateway", "Telemetry that found no room in the feed's buffer."),
    ),
    "started": ("gauge", Metric("process_start_time_seconds", "", "When the process started, unix seconds.")),
    "cpu": ("counter", Metric("process_cpu_seconds_total", "", "CPU time used.")),
    "resident": ("gauge", Metric("process_resident_memory_bytes", "", "Resident memory.")),
    "files": ("gauge", Metric("process_open_fds", "", "Open file descriptors.")),
}
"""What is put together from several values."""


def exposition(readings: Readings) -> str:
    """All metrics of a node in Prometheus' text format."""
    role = readings.about.get("role", "")
    counters = _counters(readings.snapshot["counters"], role)
    latencies = _latencies(readings.snapshot["histograms"], role)
    return text([*_own(readings), *counters, *latencies, *_views(readings.view)])


def _derived(key: str, values: Sequence[tuple[str, float]]) -> Family:
    kind, metric = DERIVED[key]
    return Family(metric.name, kind, metric.help, [_sample(metric, label, value) for label, value in values])


def _sample(metric: Metric, label: str, value: float) -> Sample:
    return Sample("", {metric.label: label} if metric.label else {}, value)


def _own(readings: Readings) -> Iterator[Family]:
    kind, info = DERIVED["info"]
    yield Family(info.name, kind, info.help, [Sample("", readings.about, 1)])
    yield _derived("behind", [("", readings.clock_behind_s)])
    yield _derived(
        "budget", [(t.name, limit_ms / 1000) for t, limit_ms in zip(MessageType, MAX_DELAYS_MS, strict=True)]
    )
    yield _derived("reply_budget", [("", REPLY_BUDGET_MS / 1000)])
    kind, fsync = DERIVED["fsync"]
    yield Family(fsync.name, kind, fsync.help, histogram(readings.fsync, {}))
    yield from of_process(readings.process)


def of_process(process: Process) -> Iterator[Family]:
    """The metrics that every process has."""
    yield _derived("started", [("", process.started_s)])
    yield _derived("cpu", [("", process.cpu_s)])
    yield _derived("resident", [("", process.resident_bytes)])
    yield _derived("files", [("", process.open_files)])


def _counters(counters: View, role: str) -> Iterator[Family]:
    others: list[Sample] = []
    zeros: dict[str, dict[str, int]] = {name: {"": 0} for name in FROM_THE_START.get(role, ())}
    zeros["late_messages"] = {kind.name: 0 for kind in MessageType if TIMING[kind].droppable}
    for name in {**zeros, **counters}:
        by_label = {**zeros.get(name, {}), **counters.get(name, {})}
        metric = COUNTERS.get(name)
        if metric is None:
            others += [_sample(OTHERS, f"{name} {label}".strip(), value) for label, value in by_label.items()]
        elif metric.label:
            samples = [_sample(metric, label, value) for label, value in by_label.items()]
            yield Family(metric.name, "counter", metric.help, samples)
        else:
            yield Family(metric.name, "counter", metric.help, [Sample("", {}, sum(by_label.values()))])
    yield Family(OTHERS.name, "counter", OTHERS.help, others)


def _latencies(histograms: View, role: str) -> Iterator[Family]:
    for name, metric in HISTOGRAMS.items():
        by_label, over = histograms.get(name, {}), OVER_BUDGET[name]
        samples = [
            sample
            for label, found in by_label.items()
            for sample in histogram(found, {metric.label: label}, _budget_ms(name, label))
        ]
        yield Family(metric.name, "histogram", metric.help, samples)
        exceeded = dict.fromkeys(_measured(name, role), 0)
        exceeded |= {label: found["over_budget"] for label, found in by_label.items()}
        yield Family(
            over.name, "counter", over.help, [_sample(over, label, value) for label, value in exceeded.items()]
        )


def _measured(name: str, role: str) -> Sequence[str]:
    """Whose count begins with 0: every type has an age, and an aggregator's answers a reply time."""
    if name == "age_ms":
        return [kind.name for kind in MessageType]
    return ANSWERS if role == "aggregator" else ()


def _budget_ms(name: str, label: str) -> float | None:
    if name == "reply_ms":
        return float(REPLY_BUDGET_MS)
    return MAX_DELAYS_MS[MessageType[label]] if label in MessageType.__members__ else None


def _views(view: View) -> Iterator[Family]:
    for place, metric in GAUGES.items():
        yield Family(metric.name, "gauge", metric.help, _samples_at(view, place, metric))
    for place, metric in TOTALS.items():
        yield Family(metric.name, "counter", metric.help, _samples_at(view, place, metric))
    if "failure" in view:
        yield _derived("failed", [("", view["failure"] is not None)])
    if "settlement" in view:
        yield from _settlement(view["settlement"])
    if "batteries" in view:
        yield from _batteries(view["batteries"])
    yield from _feeds(view.get("feeds", {}))


def _samples_at(view: View, place: str, metric: Metric) -> list[Sample]:
    found: Any = view
    for key in place.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        return [_sample(metric, label, value) for label, value in found.items()]
    return [] if found is None else [_sample(metric, "", found)]


def _settlement(settlement: View) -> Iterator[Family]:
    kind, settled = DERIVED["settled"]
    yield Family(settled.name, kind, settled.help, histogram(settlement["settled_ms"], {}, bounds_ms=SLOW_BOUNDS_MS))
    yield _derived("alarm", [("", settlement["alarm"] is not None)])
    yield _derived("rpc", [(str(n), rpc["state"] == "closed") for n, rpc in enumerate(settlement["rpcs"], 1)])


def _batteries(batteries: Sequence[View]) -> Iterator[Family]:
    yield _derived("known", [("", len(batteries))])
    yield _derived("connected", [("", sum(bool(battery["connected"]) for battery in batteries))])
    offsets = [(str(b["device_id"]), b["clock_offset_ms"]) for b in batteries]
    yield _derived("offset", [(device_id, ms / 1000) for device_id, ms in offsets if ms is not None])


def _feeds(feeds: View) -> Iterator[Family]:
    """`feeds`: by gateway {connected, unacked, dropped}."""
    yield _derived("feed_up", [(gateway, feed["connected"]) for gateway, feed in feeds.items()])
    yield _derived("feed_unacked", [(gateway, feed["unacked"]) for gateway, feed in feeds.items()])
    yield _derived("feed_dropped", [(gateway, feed["dropped"]) for gateway, feed in feeds.items()])
