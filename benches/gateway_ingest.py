"""Journal rows and bids that a gateway makes durable and acknowledges, a second: `etp gateway` as it is, batteries in another process.

With SQLite on the checkout's disk and with PostgreSQL where temporary files are, each with its usual fsync. The batteries send
as their window lets them: the time until an Ack is that of a full window, as after an outage, not of one trade.
"""

from pathlib import Path
from typing import Final

import msgspec

from benches.child import Child, running
from benches.feeder import EVENTS_A_LOT, Found, Told
from benches.plan import Plan
from benches.postgres import postgres_server
from benches.report import Figure, Report, spread

NODES: Final = 8
LOTS: Final = 900
"""Of each node: 115,200 events, and PostgreSQL is through in 10 s at its limit."""
WARM_UP: Final = 20
LEAST_PER_S: Final = {"SQLite": 5_000.0, "PostgreSQL": 10_000.0}
PHASE_S: Final = 120.0


def phase(feeder: Child, told: Told) -> Found:
    """One phase of the batteries' process."""
    feeder.tell(msgspec.json.encode(told))
    return msgspec.convert(feeder.line(PHASE_S), Found)


def measure(plan: Plan, name: str, url: str, directory: Path) -> list[Figure]:
    """One database."""
    lots = plan.size(LOTS, 10)
    options = ("--listen", "127.0.0.1:0", "--state-dir", str(directory / name), "--log-level", "warning")
    log = directory / f"{name}.log"
    with (
        running("cli.main", ["gateway", *options, "--database", url], log) as gateway,
        running("benches.feeder", [], log) as feeder,
    ):
        host, port = gateway.line()["http"].removeprefix("http://").split(":")
        told = Told(host, int(port), NODES, plan.size(WARM_UP, 1))
        phase(feeder, told)
        before_s = gateway.cpu_s()
        found = phase(feeder, msgspec.structs.replace(told, lots=lots, first_lot=told.lots))
        cpu_s = gateway.cpu_s() - before_s
        memory_mib = gateway.memory_mib()
    least = None if plan.quick else LEAST_PER_S[name]
    return [
        Figure(f"{name}: durable", round(found.events / found.seconds), "events/s", least=least),
        *spread(f"{name}: Ack after", found.ack_ms),
        Figure(f"{name}: gateway CPU an event", round(1e6 * cpu_s / found.events, 1), "µs"),
        Figure(f"{name}: gateway's memory", round(memory_mib), "MiB"),
        Figure(f"{name}: feeder, share of a core", round(100 * found.cpu_s / found.seconds, 1), "%"),
    ]


def run(plan: Plan) -> Report:
    """Measure."""
    figures: list[Figure] = []
    with plan.scratch() as directory:
        figures += measure(plan, "SQLite", f"sqlite+aiosqlite:///{directory / 'store.sqlite'}", directory)
        with postgres_server() as server:
            if server is not None:
                figures += measure(plan, "PostgreSQL", server.database(), directory)
    events = NODES * plan.size(LOTS, 10) * EVENTS_A_LOT
    load = (
        f"{events:,} rows and bids of {NODES} batteries over websockets, from the first sent to the last acknowledged"
    )
    return Report(load if server is not None else f"{load}; PostgreSQL is not installed", figures)
