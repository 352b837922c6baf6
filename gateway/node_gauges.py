"""What Prometheus reads at a gateway of the nodes that it hears; of the gateway itself: `gateway.metrics`."""

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from gateway.events import BESSNodeStatus, Snapshot, SystemMetrics
from runtime.exposition import Family, Sample

Kind: TypeAlias = Literal["counter", "gauge"]
_US: Final = 1_000_000


def sample(value: float, **labels: str) -> Sample:
    """One value."""
    return Sample("", labels, value)


def one(name: str, kind: Kind, says: str, value: float) -> Family:
    """A metric with one value."""
    return Family(name, kind, says, (sample(value),))


def of_nodes(world: Snapshot) -> list[Family]:
    """Every node as it was heard last: what tells of one that is away, late, or not paid, without asking it itself."""
    return [*_of_nodes(world), *_of_settlements(world.batteries, world.time_us)]


def _of_nodes(world: Snapshot) -> list[Family]:
    role = {node.node: "bess" for node in world.batteries} | {node.node: "aggregator" for node in world.aggregators}
    online = [sample(node.online, node=node.node, role="bess") for node in world.batteries]
    online += [sample(node.online, node=node.node, role="aggregator") for node in world.aggregators]

    def each(name: str, kind: Kind, says: str, values: Iterable[float]) -> Family:
        pairs = zip(world.metrics, values, strict=True)
        samples = [sample(value, node=one.node, role=role.get(one.node, "")) for one, value in pairs]
        return Family(name, kind, says, samples)

    metrics = world.metrics
    return [
        Family("etp_node_online", "gauge", "Whether a node's feed is here.", online),
        each(
            "etp_node_late_messages_total", "counter", "Messages that came after their deadline, since the node started.",
            (one.late_messages for one in metrics),
        ),
        each(
            "etp_node_deadline_misses_total", "counter", "Answers that took longer than their budget, since the node started.",
            map(_misses, metrics),
        ),
        each(
            "etp_node_violations_total", "counter", "Messages against the rules, since the node started.",
            (one.violations for one in metrics),
        ),
        each(
            "etp_node_journal_waiting", "gauge", "Rows and bids that wait for the node's disk.",
            (one.journal_waiting for one in metrics),
        ),
        each(
            "etp_node_feed_unacked", "gauge", "Rows of the node's journal that the gateway did not have yet.",
            (one.feed_unacked for one in metrics),
        ),
        each(
            "etp_node_feed_dropped_total", "counter", "Telemetry that found no room at the node, since it started.",
            (one.feed_dropped for one in metrics),
        ),
    ]  # fmt: skip


def _misses(metrics: SystemMetrics) -> int:
    return sum(latency.over_budget for latency in metrics.latencies if latency.what == "reply")


def _of_settlements(batteries: Iterable[BESSNodeStatus], now_us: int) -> list[Family]:
    paid = [battery for battery in batteries if battery.unsettled is not None]
    unsettled = [sample(battery.unsettled or 0, node=battery.node) for battery in paid]
    ages = [
        sample(
            max(0.0, (now_us - battery.oldest_unsettled_us) / _US) if battery.oldest_unsettled_us is not None else 0.0,
            node=battery.node,
        )
        for battery in paid
    ]
    return [
        Family("etp_node_unsettled", "gauge", "Trades of a battery that are not paid yet.", unsettled),
        Family(
            "etp_node_settlement_age_seconds",
            "gauge",
            "Age of a battery's oldest trade that is not on the chain yet.",
            ages,
        ),
    ]
