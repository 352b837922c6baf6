"""Signed, durable bids under load: the english auction's load in records, each verified, answered by a signed one, open loop.

3,000 bids/s over 200 connections to a real `etp bess --profile signed` that journals every one of them. The generator signs
in a process of its own.
"""

from typing import Final

from benches import load
from benches.child import battery
from benches.english import OPEN_MARKET
from benches.job import Job
from benches.members import signed_options
from benches.plan import Plan
from benches.report import Figure, Report

RATE: Final = 3_000
CONNECTIONS: Final = 200
SECONDS: Final = 30.0
P99_MS: Final = 50.0
WORST_MS: Final = 500.0
"""The reply budget."""
KEPT_SHARE: Final = 0.99
"""Of the rate that is offered, what must be answered."""


def run(plan: Plan) -> Report:
    """Measure."""
    connections = plan.size(CONNECTIONS, 20)
    with plan.scratch() as directory:
        options = (*OPEN_MARKET, *signed_options(directory, connections))
        with battery(directory, *options) as (server, (host, port)):
            job = Job(host, port, connections, plan.phase_s(SECONDS), rate=RATE, wire="signed")
            phase = load.run(job, server, directory)
            memory = server.memory_mib()
    return Report(
        f"{RATE:,} signed bids/s open loop over {connections} connections for {job.seconds:g} s, 1 in 10 leads",
        [
            *phase.latencies("bid → answer", most_p99=P99_MS, most=WORST_MS),
            *phase.faults(),
            Figure("answered", round(phase.answered_per_s), "bids/s", least=round(RATE * KEPT_SHARE)),
            Figure("memory after the run", round(memory, 1), "MiB"),
            *phase.costs(),
        ],
        notes={"sent": phase.outcome.sent, "displaced": phase.outcome.displaced} | phase.outcome.wrong,
    )
