"""Durable commits a second, and what one waits, with 1, 20 and 200 of them waiting at once: group commit on the real disk.

Each commit is two rows, as the end of a lot is. Each waiter asks for its next as soon as it has the last; the latency is
from the call to the future's result on the loop. The journal's own transactions are shown beside it, and what a bare write
and fdatasync of the same rows in groups of the same size gets through.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from benches.disk import BARE_S, Groups, bare_ms, journal_bytes, of_bare
from benches.plan import Plan
from benches.report import MS, Figure, Report, percentile
from etp.effects import Row
from etp.units import WallUs
from runtime.io.journal import Journal

WAITING: Final = (1, 20, 200)
SECONDS: Final = 3.0


def rows(number: int, waiter: int) -> tuple[Row, Row]:
    """A lot's end and its promise."""
    terms = {"bidder": waiter, "message_id": number, "energy_wh": 100, "price_micro_per_kwh": 130_000}
    now = WallUs(time.time_ns() // 1000)
    lot = Row("lot", number, "reserved", now, {"mechanism": "english", "bids": 3, "digest": "0" * 64}, str(number))
    return lot, Row("promise", number, "reserved", now, terms, str(waiter), pending=True)


async def _wait_in_turn(journal: Journal, waiter: int, until_s: float, latencies_ms: list[float]) -> None:
    number = waiter
    while (began_s := time.perf_counter()) < until_s:
        number += max(WAITING)
        await journal.commit(rows(number, waiter))
        latencies_ms.append((time.perf_counter() - began_s) * 1000)


async def _measure(directory: Path, waiting: int, seconds: float, bare_s: float) -> list[Figure]:
    journal = Journal.open(directory / str(waiting), role="bess", device_id=1)
    latencies_ms: list[float] = []
    began_s = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as tasks:
            for waiter in range(waiting):
                tasks.create_task(_wait_in_turn(journal, waiter, began_s + seconds, latencies_ms))
        elapsed_s = time.perf_counter() - began_s
        transactions = journal.fsync_ms.as_dict()
    finally:
        journal.close()
    ordered = sorted(latencies_ms)
    groups = Groups(len(ordered), transactions["count"], journal_bytes(directory / str(waiting)), elapsed_s)
    waits = [
        Figure(f"{waiting} waiting: {name}", round(percentile(ordered, percent), 3), MS)
        for name, percent in (("p50", 50.0), ("p99", 99.0), ("max", 100.0))
    ]
    return [
        Figure(f"{waiting} waiting: commits", round(len(ordered) / elapsed_s), "per s"),
        *waits,
        Figure(f"{waiting} waiting: transaction p99", transactions["p99_ms"], MS),
        Figure(f"{waiting} waiting: transaction max", transactions["worst_ms"], MS),
        *of_bare(f"{waiting} waiting: ", "commits", groups, bare_ms(directory, groups.size, bare_s)),
    ]


def run(plan: Plan) -> Report:
    """Measure."""
    seconds, figures = plan.phase_s(SECONDS), []
    with plan.scratch() as directory:
        for waiting in WAITING:
            figures += asyncio.run(_measure(directory, waiting, seconds, plan.phase_s(BARE_S)))
    return Report(f"commits of 2 rows for {seconds:g} s each, SQLite WAL with synchronous=FULL", figures)
