"""Reads all journals of a demo once its daemons have stopped: for the invariants, and as one file of events."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aggregator_node.build import portfolio_of
from aggregator_node.settings import AggregatorSettings
from bess_node.build import rules_of
from bess_node.settings import BessSettings
from bess_node.supply import supply_wh
from cli.demo.chain import ESCROW, FEE_BPS, Ledger
from cli.demo.processes import Node
from cli.demo.watch import Watch
from cli.export import lines
from etp.units import MICRO_PER_CENT, MicroPerKwh, Wh
from runtime.io.journal_reader import JournalReader
from sim.invariants import BatteryBooks, Books, BuyerBooks, Violation, payments
from sim.reading import stock_of


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
            wanted = portfolio_of(node.settings)
            buyers.append(BuyerBooks(node.settings.device_id, rows, wanted.demand, wanted.budget, signed=True))
        reader.close()
    return Books(batteries, buyers), broken


def unpaid(books: Books, ledger: Ledger | None) -> list[Violation]:
    """What the chain and the journals say otherwise of any payment, trades that are not paid, and µ that are not accounted for."""
    if ledger is None:
        return [Violation("money", 0, "the chain could not be read at the end")]
    sales = [payments.sales_of(battery.device_id, battery.rows) for battery in books.batteries]
    shown = payments.Chain(
        trades=ledger.trades,
        earned={battery: paid.earned for battery, paid in ledger.batteries.items()},
        deposits={
            buyer: payments.Deposit(ESCROW, escrow.available, escrow.held, ledger.vaults[buyer])
            for buyer, escrow in ledger.escrows.items()
        },
        fees=ledger.fees,
        fee_bps=FEE_BPS,
        settled={battery: paid.settled for battery, paid in ledger.batteries.items()},
    )
    return [*payments.payments(sales, shown), *payments.unpaid(sales)]


def _battery(watch: Watch, settings: BessSettings, rows: list[Any], bids: list[Any]) -> BatteryBooks:
    start_s = watch.scenario.start_s

    def supply(time_us: int) -> Wh:
        return supply_wh(settings, start_s, watch.market_s(time_us / 1e6))

    reserve = MicroPerKwh(round(settings.reserve * MICRO_PER_CENT))
    return BatteryBooks(
        settings.device_id,
        rows,
        bids,
        reserve,
        settings.mechanism,
        supply,
        increment=rules_of(settings).increment,
        signed=True,
        settles=True,
        stock=stock_of(settings),
    )


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
