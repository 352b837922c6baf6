"""Durable promises under load: each bid is sold at once, each Accept and each FINISHED waits for the disk; open loop.

The mechanism is first-above-reserve, so that a bid is a trade: Bid → RESERVED, fsync → Accept → Confirm → CONFIRMED,
fsync → Terminate(FINISHED). Confirms leave as soon as their Accept is there; no trade waits for another. The disk is probed
beside the load, and the limit counts from what it gave. Afterwards a bare write and fdatasync of the same rows, in groups of the
same size, shows what the disk alone would get through.
"""

from typing import Final

from benches import load
from benches.child import BATTERY_STATE, Child, battery
from benches.disk import BARE_S, Groups, Probe, bare_ms, journal_bytes, of_bare
from benches.job import Job
from benches.plan import Plan
from benches.report import MS, Figure, Report, percentile, spread
from benches.scrape import scraped

RATE: Final = 1_050
"""Bids a second; some more than the trades that are asked for, so that the last ones' time does not decide."""
LEAST_TRADES_PER_S: Final = 1_000
CONNECTIONS: Final = 200
SECONDS: Final = 60.0
OWN_MS: Final = 10.0
COMMITS: Final = 2
"""p99 may be OWN_MS + COMMITS × the disk's commit p99: one on its way when the row comes, and its own."""
SELL_AT_ONCE: Final = (
    *("--mechanism", "first-above-reserve", "--capacity-kwh", "1000000", "--for-sale", "100"),
    *("--discharge-kw", "100000", "--horizon-h", "168", "--bid-rate", "100000"),
)
"""950,000 kWh for sale: 60 s sell 6,300; what is sold is delivered meanwhile, 277 trades a second."""


def _transactions(server: Child) -> int:
    """Of the battery's journal so far."""
    return int(scraped(server.ready["metrics"], "etp_journal_fsync_seconds_count"))


def run(plan: Plan) -> Report:
    """Measure."""
    connections = plan.size(CONNECTIONS, 50)
    rate = plan.size(RATE, 100)
    options = (*SELL_AT_ONCE, "--metrics", "127.0.0.1:0")
    with plan.scratch() as directory, battery(directory, *options) as (server, (host, port)):
        job = Job(host, port, connections, plan.phase_s(SECONDS), rate=rate, trades=True)
        before = _transactions(server)
        with Probe(directory) as probe:
            phase = load.run(job, server, directory)
        outcome, memory = phase.outcome, server.memory_mib()
        transactions = _transactions(server) - before
        groups = Groups(
            len(outcome.finished_us), transactions, journal_bytes(directory / BATTERY_STATE), outcome.seconds
        )
        bare = bare_ms(directory, groups.size, plan.phase_s(BARE_S))
    disk_ms = sorted(probe.commits_ms)
    most = OWN_MS + COMMITS * percentile(disk_ms, 99)
    of_fsync = percentile(sorted(phase.answer_ms), 50) / percentile(sorted(bare), 50)
    trades_per_s = len(outcome.finished_us) / outcome.seconds
    return Report(
        f"{rate:,} bids/s of 0.1 kWh open loop over {connections} devices for {job.seconds:g} s, each one a trade",
        [
            Figure("confirmed trades", round(trades_per_s), "trades/s", least=plan.size(LEAST_TRADES_PER_S, 1)),
            *phase.latencies("bid → Accept", most_p99=round(most, 3)),
            *spread("Confirm → FINISHED", load.in_ms(outcome.finished_us), most_p99=round(most, 3)),
            *phase.faults(),
            Figure("disk commit p50", round(percentile(disk_ms, 50), 3), MS),
            Figure("disk commit p99", round(percentile(disk_ms, 99), 3), MS),
            Figure("disk commit max", round(percentile(disk_ms, 100), 3), MS),
            *of_bare("", "trades", groups, bare),
            Figure("bid → Accept p50, times the bare fdatasync's", round(of_fsync, 1), "×"),
            Figure("memory after the run", round(memory, 1), "MiB"),
            *phase.costs(),
        ],
        notes={"sent": outcome.sent, "finished": len(outcome.finished_us)} | outcome.wrong,
    )
