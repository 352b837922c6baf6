"""The tables of docs/operations.md: the metrics of nodes and gateway, and the alerts, from the code and deploy/."""

from typing import Any, Final

import yaml

from gateway.events import Snapshot, Totals
from gateway.metrics import METRICS
from gateway.node_gauges import of_nodes
from runtime.node_metrics import COUNTERS, DERIVED, GAUGES, HISTOGRAMS, OTHERS, OVER_BUDGET, TOTALS, Metric
from tools.generated import ROOT, main, table

PAGE: Final = ROOT / "docs" / "operations.md"
ALERTS: Final = ROOT / "deploy" / "prometheus" / "alerts.yml"


def node_metrics() -> str:
    """Every metric of a node."""
    kinds: list[tuple[str, Metric]] = [("counter", metric) for metric in (*COUNTERS.values(), OTHERS)]
    kinds += [("counter", metric) for metric in (*TOTALS.values(), *OVER_BUDGET.values())]
    kinds += [("gauge", metric) for metric in GAUGES.values()]
    kinds += [("histogram", metric) for metric in HISTOGRAMS.values()]
    kinds += list(DERIVED.values())
    rows = [
        (f"`{metric.name}`", f"`{metric.label}`" if metric.label else "", kind, metric.help)
        for kind, metric in sorted(kinds, key=lambda each: each[1].name)
    ]
    return table(("metric", "label", "kind", "meaning"), rows)


def gateway_metrics() -> str:
    """What a gateway says of itself, and of the nodes that it hears."""
    none: dict[str, Any] = {name: [] for name in ("batteries", "aggregators", "metrics", "lots", "trades")}
    totals = Totals(trades=0, energy_wh=0, paid_micro=0, settled=0, settled_micro=0)
    heard = of_nodes(Snapshot(epoch="", seq=0, time_us=0, gap=False, totals=totals, **none))
    rows = [(f"`{name}`", kind, text) for name, (kind, text) in METRICS.items()]
    rows += [(f"`{family.name}`", family.kind, family.help) for family in heard]
    return table(("metric", "kind", "meaning"), rows)


def alerts() -> str:
    """Every alert: when, how grave."""
    groups: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    rows = [
        (f"`{rule['alert']}`", rule["labels"]["severity"], f"`{rule['expr']}`", rule.get("for", "at once"))
        for rule in rules
    ]
    return table(("alert", "severity", "when", "for"), rows)


PARTS: Final = {"node-metrics": node_metrics, "gateway-metrics": gateway_metrics, "alerts": alerts}


def draw(arguments: tuple[str, ...] = ()) -> int:
    """Draw the page, or check it."""
    return main(PAGE, PARTS, arguments)
