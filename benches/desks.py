"""One aggregator process that trades with 300 desks at once: what its bids wait for their answers, by its own clock.

A real `etp aggregator` finds real battery daemons by multicast (two processes full of them), bids at each whenever that
has energy for sale, confirms what it wins and writes all of it into its journal. Each desk sells 0.2 kWh at a time and has
the next ready as that is delivered, so the trade goes on for as long as it is let.
"""

import time
from pathlib import Path
from typing import Any, Final

from benches.child import Child, ChildError, group, running
from benches.fleet import batteries
from benches.plan import Plan
from benches.report import MS, Figure, Report
from etp.timing import REPLY_BUDGET_MS
from runtime.io.metrics_file import read_metrics

DESKS: Final = 300
PROCESSES: Final = 2
SECONDS: Final = 20.0
QUICK_S: Final = 3.0
"""Even a smoke needs a lot's closing time."""
DEVICE: Final = 500
ASKED: Final = {"TERMINATE": "Accept"}
"""What the time of an answer counts from, where that is no bid: from Accept to FINISHED each side commits once."""
SETTINGS: Final[dict[str, Any]] = {
    # 0.2 kWh every 2 s: the horizon is one lot, and a desk sells anew what it has delivered.
    "capacity_kwh": 10_000.0,
    "for_sale": 100.0,
    "discharge_kw": 360.0,
    "horizon_h": 0.2 / 360,
    "min_lot_kwh": 0.1,
    "closing_ms": 1100,
    "metrics_ms": 600_000,
}


def _trade(directory: Path, where: str, seconds: float) -> tuple[dict[str, Any], float]:
    """The aggregator's counters after so long a trade, and its share of a core, %."""
    state = directory / "aggregator"
    arguments = (
        "aggregator",
        "--device-id",
        str(DEVICE),
        "--state-dir",
        str(state),
        "--group",
        where,
        "--profile",
        "plain",
    )
    demand = ("--demand-kwh", "1000000", "--max-price", "18.5", "--log-level", "error")
    with running("cli.main", [*arguments, *demand], directory / "aggregator.log") as aggregator:
        aggregator.line()
        used = _cpu_s(aggregator, seconds)
        if aggregator.stop() != 0:
            raise ChildError("the aggregator did not end in order")
    return read_metrics(state), 100 * used / seconds


def _cpu_s(child: Child, seconds: float) -> float:
    """Let it trade, but not longer than it lives; processor time meanwhile, s."""
    before_s, end_s = child.cpu_s(), time.monotonic() + seconds
    if child.ended_before(end_s):
        raise ChildError("the aggregator ended by itself")
    return child.cpu_s() - before_s


def run(plan: Plan) -> Report:
    """Measure."""
    count, where = plan.size(DESKS, 5), group()
    seconds = QUICK_S if plan.quick else plan.phase_s(SECONDS)
    with plan.scratch() as directory, batteries(count, PROCESSES, directory, where, SETTINGS):
        metrics, share = _trade(directory, where, seconds)
    replies: dict[str, dict[str, float]] = metrics["histograms"].get("reply_ms", {})
    promises = metrics["counters"].get("promises", {})
    refused = sum(metrics["counters"].get("rejected", {}).values())
    node = metrics["node"]
    return Report(
        f"one aggregator process trades with {count} desks in {PROCESSES} processes for {seconds:g} s",
        [
            *_replies(replies),
            Figure("answers", sum(reply["count"] for reply in replies.values()), least=count),
            Figure("trades", promises.get("finished", 0) / seconds, "per s", least=count / seconds),
            Figure("promises released or unresolved", sum(promises.values()) - promises.get("finished", 0), most=0),
            Figure("bids refused", refused, most=0),
            Figure("bought", round(node["bought_wh"] / 1000, 1), "kWh"),
            Figure("aggregator, share of a core", round(share, 1), "%"),
        ],
    )


def _replies(replies: dict[str, dict[str, float]]) -> list[Figure]:
    """Bid sent → its answer, Accept taken → FINISHED, and the worst of all."""
    worst = max((reply["worst_ms"] for reply in replies.values()), default=float("nan"))
    over = sum(reply["over_budget"] for reply in replies.values())
    return [
        *(Figure(f"{ASKED.get(kind, 'bid')} → {kind} p99", reply["p99_ms"], MS) for kind, reply in replies.items()),
        Figure("any answer, worst", worst, MS, most=float(REPLY_BUDGET_MS)),
        Figure("answers over budget", over, most=0),
    ]
