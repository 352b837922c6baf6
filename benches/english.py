"""An english auction under load: one bid in ten leads, the others are answered Reject(OUTBID); open loop.

2,000 bids/s over 200 connections to a real `etp bess`. One lot stays open for the whole run and its ask rises by the
least step there is, so every bid is judged against a moving market and none ends it. Latency: from the instant a bid
was scheduled to the Response or Reject that names its price; a displaced leader's Reject is no answer to a new bid.
"""

from typing import Final

from benches import load
from benches.child import battery
from benches.job import Job
from benches.plan import Plan
from benches.report import Figure, Report

RATE: Final = 2_000
CONNECTIONS: Final = 200
SECONDS: Final = 65.0
"""Past the 60 s for which answers are remembered: from then on the node holds as much as it ever will."""
P99_MS: Final = 10.0
WORST_MS: Final = 500.0
"""The reply budget."""
OPEN_MARKET: Final = (
    *("--mechanism", "english", "--increment", "0.0001", "--closing-ms", "600000", "--lot-max-s", "86400"),
    *("--capacity-kwh", "1000000", "--discharge-kw", "100000", "--for-sale", "100", "--bid-rate", "100000"),
)
"""One lot for the whole run, and a bid rate that no generator exceeds."""


def run(plan: Plan) -> Report:
    """Measure."""
    connections = plan.size(CONNECTIONS, 20)
    with plan.scratch() as directory, battery(directory, *OPEN_MARKET) as (server, (host, port)):
        job = Job(host, port, connections, plan.phase_s(SECONDS), rate=RATE)
        phase = load.run(job, server, directory)
        memory = server.memory_mib()
    outcome = phase.outcome
    return Report(
        f"{RATE:,} bids/s open loop over {connections} connections for {job.seconds:g} s, 1 in 10 leads",
        [
            *phase.latencies("bid → answer", most_p99=P99_MS, most=WORST_MS),
            *phase.faults(),
            Figure("answered", round(phase.answered_per_s), "bids/s"),
            Figure("leading", round(100 * outcome.leading / max(1, outcome.sent), 1), "%"),
            Figure("memory after the run", round(memory, 1), "MiB"),
            *phase.costs(),
        ],
        notes={"sent": outcome.sent, "displaced": outcome.displaced} | outcome.wrong,
    )
