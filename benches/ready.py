"""From the start of the process to the line that says it serves: a fresh node, and one after kill -9 with 100,000 rows.

The rows are what 25,000 trades leave, among them promises that were open when it died and that it must release first.
"""

import asyncio
import os
import time
from pathlib import Path
from statistics import median
from typing import Final

from benches import load
from benches.child import DEVICE, battery
from benches.job import Job
from benches.plan import Plan
from benches.promises import SELL_AT_ONCE
from benches.report import Figure, Report
from etp.effects import Row
from etp.units import WallUs
from runtime.io.journal import Journal

ROWS: Final = 100_000
STARTS: Final = 5
OPEN: Final = 50
"""Promises that are neither confirmed nor released when it dies."""
BUYERS: Final = 1_000
AT_ONCE: Final = 5_000
"""Trades a transaction while the journal is filled."""
FRESH_S: Final = 1.0
RESTART_S: Final = 2.0
TRADES_PER_S: Final = 200
TRADING_S: Final = 0.5
"""Trades right before the kill, so that the journal's log is not written back yet."""


def _trade(number: int, lot: int) -> list[Row]:
    """What a trade leaves, each promise under its buyer."""
    now, buyer = WallUs(lot), str(number % BUYERS)
    terms = {"bidder": number % BUYERS, "message_id": lot, "energy_wh": 100, "price_micro_per_kwh": 130_000}
    return [
        Row("lot", lot, "reserved", now, {"mechanism": "english", "bids": 1, "digest": "0" * 64}, str(lot)),
        Row("promise", lot, "reserved", now, terms, buyer, pending=True),
        Row("promise", lot, "confirmed", now, terms, buyer, pending=False),
        Row("trade", lot, "confirmed", now, terms | {"paid_micro": 13_000}, str(lot)),
    ]


async def _fill(directory: Path, rows: int) -> None:
    """Ended trades, then for some buyers a promise that is still open."""
    journal = Journal.open(directory, role="bess", device_id=DEVICE)
    trades = rows // len(_trade(0, 0))
    first_lot = time.time_ns() // 1000 - rows
    try:
        for begin in range(0, trades, AT_ONCE):
            numbers = range(begin, min(begin + AT_ONCE, trades))
            await journal.commit([row for number in numbers for row in _trade(number, first_lot + number)])
        still_open = [row for buyer in range(OPEN) for row in _trade(buyer, first_lot + trades + buyer)[:2]]
        await journal.commit(still_open)
    finally:
        journal.close()


def _start_s(directory: Path) -> float:
    """A start, timed, then kill -9."""
    began_s = time.monotonic()
    with battery(directory, *SELL_AT_ONCE) as (child, _):
        ready_s = time.monotonic() - began_s
        child.kill()
    return ready_s


def _killed_while_trading(directory: Path) -> None:
    with battery(directory, *SELL_AT_ONCE) as (child, (host, port)):
        load.run(Job(host, port, 20, TRADING_S, rate=TRADES_PER_S, trades=True), child, directory)
        child.kill()


def run(plan: Plan) -> Report:
    """Measure."""
    starts, rows = plan.size(STARTS, 1), plan.size(ROWS, 1_000)
    fresh = []
    for _ in range(starts):
        with plan.scratch() as directory:
            fresh.append(_start_s(directory))
    with plan.scratch() as directory:
        asyncio.run(_fill(directory / "bess", rows))
        _killed_while_trading(directory)
        again = [_start_s(directory) for _ in range(starts)]
        size_mib = sum(file.stat().st_size for file in os.scandir(directory / "bess")) / 2**20
    return Report(
        f"{starts} starts of each, to the ready line; the restarts with {rows:,} journal rows and more",
        [
            Figure("fresh, median", round(median(fresh), 3), "s"),
            Figure("fresh, worst", round(max(fresh), 3), "s", most=FRESH_S),
            Figure("after kill -9, median", round(median(again), 3), "s"),
            Figure("after kill -9, worst", round(max(again), 3), "s", most=RESTART_S),
            Figure("journal", round(size_mib, 1), "MiB"),
        ],
    )
