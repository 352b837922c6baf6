"""Signed, durable bids under load: the english auction's load in records, each verified, answered by a signed one.

Open loop, 3,000 bids/s over 200 connections to a real `etp bess --profile signed` that journals every one of them; then as many as
it answers, beside the rate at which one core can verify and sign and do nothing else. The generator signs in a process of its own.
"""

import time
from pathlib import Path
from statistics import median
from typing import Final

from nacl.signing import VerifyKey

from benches import load
from benches.child import battery
from benches.english import OPEN_MARKET
from benches.job import Job
from benches.load import Phase
from benches.members import pair, signed_options
from benches.plan import Plan
from benches.report import Figure, Report

RATE: Final = 3_000
QUICK_RATE: Final = 300
CONNECTIONS: Final = 200
SECONDS: Final = 65.0
"""Past the 60 s for which answers are remembered; `--seconds 600` for ten minutes."""
P99_MS: Final = 50.0
WORST_MS: Final = 500.0
"""The reply budget."""
KEPT_SHARE: Final = 0.99
"""Of the rate that is offered, what must be answered."""
ROUNDS: Final = 5
ROUND_S: Final = 2.0
CRYPTO_SHARE_PERCENT: Final = 50.0
"""Of what one core can verify and sign, the signed bids that are answered."""
SIGNED_BYTES: Final = 191
PAIRS: Final = 2_000


def crypto_per_s(pairs: int) -> float:
    """How often one core can verify a signature and make one, over messages of a record's length."""
    key, message = pair(1), bytes(SIGNED_BYTES)
    verify, signature = VerifyKey(key.public), key.sign(message)
    began_s = time.process_time()
    for _ in range(pairs):
        verify.verify(message, signature)
        key.sign(message)
    return pairs / (time.process_time() - began_s)


def run(plan: Plan) -> Report:
    """Measure."""
    connections, rate = plan.size(CONNECTIONS, 20), plan.size(RATE, QUICK_RATE)
    with plan.scratch() as directory:
        options = (*OPEN_MARKET, *signed_options(directory, connections))
        with battery(directory, *options) as (server, address):
            job = Job(*address, connections, plan.phase_s(SECONDS), rate=rate, wire="signed")
            phase = load.run(job, server, directory)
            memory = server.memory_mib()
    bare, most = _saturated(plan, connections)
    rates = [each.answered_per_s for each in most]
    share = 100 * median(rate / limit for rate, limit in zip(rates, bare, strict=True))
    return Report(
        f"{rate:,} signed bids/s open loop over {connections} connections for {job.seconds:g} s, 1 in 10 leads; "
        f"then closed loop, {len(most)} × {_round_s(plan):g} s",
        [
            *phase.latencies("bid → answer", most_p99=P99_MS, most=WORST_MS),
            *phase.faults(),
            Figure("answered", round(phase.answered_per_s), "bids/s", least=round(rate * KEPT_SHARE)),
            Figure("memory after the run", round(memory, 1), "MiB"),
            *phase.costs(),
            Figure("one core: verify and sign", round(median(bare)), "per s"),
            Figure("verify and sign", round(1e6 / median(bare), 1), "µs"),
            Figure("closed loop: server, processor time a bid", round(load.processor_us(most), 1), "µs"),
            Figure("closed loop: answered", round(median(rates)), "bids/s"),
            Figure("of what a core can verify and sign", round(share, 1), "%", least=plan.cold(CRYPTO_SHARE_PERCENT)),
            Figure(
                "closed loop: server, share of a core", round(median(each.server_cpu_percent for each in most), 1), "%"
            ),
            Figure(
                "closed loop: generator, share of a core",
                round(median(100 * each.outcome.cpu_s / each.outcome.seconds for each in most), 1),
                "%",
            ),
        ],
        notes={"sent": phase.outcome.sent, "displaced": phase.outcome.displaced} | phase.outcome.wrong,
    )


def _round_s(plan: Plan) -> float:
    """Of a closed loop: `--seconds` can shorten it, but what is long is the open loop alone."""
    return min(ROUND_S, plan.phase_s(ROUND_S))


def _saturated(plan: Plan, connections: int) -> tuple[list[float], list[Phase]]:
    """A fresh battery as busy as it gets, in turns with the bare loop, so that both see the same machine."""
    bare, phases, begun = [], [], 0
    with plan.scratch() as directory:
        options = (*OPEN_MARKET, *signed_options(Path(directory), connections))
        with battery(directory, *options) as (server, address):
            for _ in range(plan.size(ROUNDS, 1)):
                bare.append(crypto_per_s(plan.size(PAIRS, 100)))
                job = Job(*address, connections, _round_s(plan), wire="signed", begun=begun)
                phases.append(load.run(job, server, directory))
                begun += phases[-1].outcome.sent
    return bare, phases
