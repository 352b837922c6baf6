"""Journal rows and bids that a gateway makes durable and acknowledges, a second: `etp gateway` as it is, batteries in another process.

With SQLite on the checkout's disk and with PostgreSQL where temporary files are, each with its usual fsync. The batteries send
as their window lets them: the time until an Ack is that of a full window, as after an outage, not of one trade. Afterwards a
bare write and fdatasync of the messages' bytes, as many at a time as the gateway's transactions took, where the database is.
"""

import tempfile
from pathlib import Path
from typing import Final

import msgspec

from benches.child import Child, running
from benches.disk import BARE_S, Groups, bare_ms, of_bare
from benches.feeder import EVENTS_A_LOT, Found, Told
from benches.plan import Plan
from benches.postgres import postgres_server
from benches.report import Figure, Report, spread
from benches.scrape import scraped

NODES: Final = 8
LOTS: Final = 900
"""Of each node: 115,200 events, and PostgreSQL is through in 10 s at its limit."""
WARM_UP: Final = 20
LEAST_PER_S: Final = {"SQLite": 5_000.0, "PostgreSQL": 10_000.0}
PHASE_S: Final = 120.0
TRANSACTIONS: Final = "etp_gateway_transactions_total"


def phase(feeder: Child, told: Told) -> Found:
    """One phase of the batteries' process."""
    feeder.tell(msgspec.json.encode(told))
    return msgspec.convert(feeder.line(PHASE_S), Found)


def measure(plan: Plan, name: str, url: str, directory: Path, disk: Path) -> list[Figure]:
    """One database, which keeps its files on the disk of `disk`."""
    lots = plan.size(LOTS, 10)
    options = ("--listen", "127.0.0.1:0", "--state-dir", str(directory / name), "--log-level", "warning")
    log = directory / f"{name}.log"
    with (
        running("cli.main", ["gateway", *options, "--database", url], log) as gateway,
        running("benches.feeder", [], log) as feeder,
    ):
        address = gateway.line()["http"].removeprefix("http://")
        host, port = address.split(":")
        told = Told(host, int(port), NODES, plan.size(WARM_UP, 1))
        phase(feeder, told)
        before, before_s = scraped(address, TRANSACTIONS), gateway.cpu_s()
        found = phase(feeder, msgspec.structs.replace(told, lots=lots, first_lot=told.lots))
        cpu_s = gateway.cpu_s() - before_s
        transactions, memory_mib = round(scraped(address, TRANSACTIONS) - before), gateway.memory_mib()
    groups = Groups(found.events, transactions, found.bytes, found.seconds)
    least = None if plan.quick else LEAST_PER_S[name]
    return [
        Figure(f"{name}: durable", round(groups.per_s), "events/s", least=least),
        *of_bare(f"{name}: ", "events", groups, bare_ms(disk, groups.size, plan.phase_s(BARE_S))),
        *spread(f"{name}: Ack after", found.ack_ms),
        Figure(f"{name}: gateway CPU an event", round(1e6 * cpu_s / found.events, 1), "µs"),
        Figure(f"{name}: gateway's memory", round(memory_mib), "MiB"),
        Figure(f"{name}: feeder, share of a core", round(100 * found.cpu_s / found.seconds, 1), "%"),
    ]


def run(plan: Plan) -> Report:
    """Measure."""
    figures: list[Figure] = []
    with plan.scratch() as directory:
        url = f"sqlite+aiosqlite:///{directory / 'store.sqlite'}"
        figures += measure(plan, "SQLite", url, directory, directory)
        with postgres_server() as server, tempfile.TemporaryDirectory() as beside:
            if server is not None:
                figures += measure(plan, "PostgreSQL", server.database(), directory, Path(beside))
    events = NODES * plan.size(LOTS, 10) * EVENTS_A_LOT
    load = (
        f"{events:,} rows and bids of {NODES} batteries over websockets, from the first sent to the last acknowledged"
    )
    return Report(load if server is not None else f"{load}; PostgreSQL is not installed", figures)
