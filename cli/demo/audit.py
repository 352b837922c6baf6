"""Reads all journals of a demo once its daemons have stopped: for the invariants, and as one file of events."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from bess_node.supply import supply_wh
from cli.demo.chain import Ledger, fee
from cli.demo.processes import Node
from cli.demo.watch import Watch
from cli.export import lines
from etp.units import MICRO_PER_CENT, WH_PER_KWH, MicroPerKwh, Wh
from runtime.io.journal_reader import JournalReader
from sim.invariants import BatteryBooks, Books, BuyerBooks, Violation


def read_books(watch: Watch) -> tuple[Books, list[Violation]]:
    """All journals, and those that were changed by another hand."""
    broken: list[Violation] = []
    batteries, buyers = [], []
    for node in (*watch.batteries, *watch.buyers):
        reader = JournalReader(node.directory)
        row = reader.broken_at()
        if row is not None:
            said = f"row {row} does not follow from those before"
            broken.append(Violation("promise_missing", node.settings.device_id, said))
        rows = [row for _, row in reader.rows()]
        if isinstance(node.settings, BessSettings):
            batteries.append(_battery(watch, node.settings, rows, list(reader.bids())))
        elif isinstance(node.settings, AggregatorSettings):
            demand = Wh(round(node.settings.demand_kwh * WH_PER_KWH))
            buyers.append(BuyerBooks(node.settings.device_id, rows, demand))
        reader.close()
    return Books(batteries, buyers), broken


def unpaid(books: Books, ledger: Ledger | None) -> list[Violation]:
    """Batteries that the chain paid otherwise than their journals say: price × energy of each trade, less the market's fee."""
    if ledger is None:
        return [Violation("money", 0, "the chain could not be read at the end")]
    found = []
    for battery in books.batteries:
        trades = [int(str(row.body["paid_micro"])) for row in battery.rows if row.kind == "trade"]
        owed = sum(paid - fee(paid) for paid in trades)
        paid = ledger.batteries[battery.device_id]
        if (paid.earned, paid.settled) != (owed, len(trades)):
            said = f"{len(trades)} trades of {owed} µ after fees; the chain has {paid.settled} of {paid.earned} µ"
            found.append(Violation("money", battery.device_id, said))
    return found


def _battery(watch: Watch, settings: BessSettings, rows: list[Any], bids: list[Any]) -> BatteryBooks:
    start_s = watch.scenario.start_s

    def supply(time_us: int) -> Wh:
        return supply_wh(settings, start_s, watch.market_s(time_us / 1e6))

    reserve = MicroPerKwh(round(settings.reserve * MICRO_PER_CENT))
    return BatteryBooks(settings.device_id, rows, bids, reserve, settings.mechanism, supply)


def write_events(nodes: Sequence[Node], path: Path) -> int:
    """Every node's journal as `etp export` prints it, in order of time, each line with its node; returns how many."""
    events = sorted((event for node in nodes for event in _events(node)), key=lambda event: event["time_us"])
    with path.open("w") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    return len(events)


def _events(node: Node) -> Iterator[dict[str, Any]]:
    reader = JournalReader(node.directory)
    for line in lines(reader):
        yield {"node": node.settings.device_id, "role": node.role} | line
    reader.close()
