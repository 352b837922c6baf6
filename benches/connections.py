"""What a bid waits for its answer as connections grow: the english mix at one total rate over 1 to 1,000 of them."""

from typing import Final

from benches import load
from benches.child import battery
from benches.english import OPEN_MARKET
from benches.job import Job
from benches.load import Phase
from benches.plan import Plan
from benches.report import MS, Figure, Report, percentile

RATE: Final = 1_000
SECONDS: Final = 5.0
COUNTS: Final = (1, 10, 100, 200, 500, 1_000)
QUICK_COUNTS: Final = (1, 10)


def run(plan: Plan) -> Report:
    """Measure."""
    seconds, figures = plan.phase_s(SECONDS), []
    with plan.scratch() as directory, battery(directory, *OPEN_MARKET) as (server, (host, port)):
        begun = 0
        for count in QUICK_COUNTS if plan.quick else COUNTS:
            job = Job(host, port, count, seconds, rate=RATE, begun=begun)
            phase = load.run(job, server, directory)
            begun += phase.outcome.sent
            figures += _figures(phase)
    return Report(f"{RATE:,} bids/s open loop in total, 1 in 10 leads, {seconds:g} s for each number", figures)


def _figures(phase: Phase) -> list[Figure]:
    ordered, count = sorted(phase.answer_ms), f"{phase.job.connections:,}"
    shown = (("p50", 50.0), ("p99", 99.0), ("max", 100.0))
    lost = phase.outcome.unanswered + sum(phase.outcome.wrong.values())
    return [
        *(Figure(f"{count}: {name}", round(percentile(ordered, percent), 3), MS) for name, percent in shown),
        Figure(f"{count}: unanswered or wrong", lost, most=0),
    ]
