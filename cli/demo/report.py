"""The summary of a demo: what was sold, what it earned beside the baselines, how fast the answers were, what broke."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.demo.chain import ESCROW, Ledger
from cli.demo.screen import BAD, GOOD, QUIET, cents, kwh, replies_line
from cli.demo.watch import Watch
from etp.codes import MessageType
from etp.timing import TIMING
from etp.units import Wh
from lab.income import Sales, income_micro_per_kwh, sales_of
from sim.invariants import Books, Violation

BASELINES = {
    "ours": "competing aggregators",
    "first_above_reserve": "first bid above the reserve",
    "single_buyer": "one buyer alone",
    "feed_in": "all fed into the grid",
}
BAR = 24


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the summary is made of."""

    watch: Watch
    books: Books
    offered: Wh
    ledger: Ledger | None
    """What the chain says; None: it could not be read."""
    baselines: Mapping[str, Sales]
    """By name, as in BASELINES: what the same days bring otherwise."""
    violations: Sequence[Violation]
    faults: Sequence[str]
    """Daemons that did not end as they should."""
    seconds: float
    first_trade_s: float | None
    """From the start of the command to the first trade on the screen."""
    interrupted: bool

    @property
    def sales(self) -> Sales:
        """What the batteries' journals hold as sold."""
        return sales_of(row for battery in self.books.batteries for row in battery.rows if row.kind == "trade")

    @property
    def incomes(self) -> dict[str, int]:
        """Income per kWh offered, µ/kWh, of each way to sell."""
        sales = {"ours": self.sales, **self.baselines}
        return {name: income_micro_per_kwh(sales[name], self.offered, self.watch.scenario) for name in BASELINES}

    @property
    def promises(self) -> dict[str, int]:
        """How many Accepts were made, and how they ended."""
        ends = [rows[-1].state for lots in self.books.promises.values() for rows in lots.values()]
        return {state: ends.count(state) for state in ("confirmed", "released", "reserved")}

    @property
    def status(self) -> int:
        """The exit status: 1 where an invariant broke or a daemon failed."""
        return 1 if self.violations or self.faults else 0


def summary(report: Report) -> dict[str, Any]:
    """The summary as one object of integers, strings and milliseconds."""
    watch, sales, promises = report.watch, report.sales, report.promises
    scenario, replies = watch.scenario, watch.replies()
    return {
        "trades": sales.trades,
        "energy_offered_wh": report.offered,
        "energy_sold_wh": sales.energy,
        "paid_micro": sales.paid,
        "price_micro": sales.price,
        "income_micro_per_kwh": report.incomes,
        "worst_reply_ms": _worst(watch.latencies(watch.buyers, "reply_ms")),
        "reply_ms": {key: value for key, value in replies.as_dict().items() if key != "buckets"},
        "worst_age_ms": _worst(watch.latencies([*watch.batteries, *watch.buyers], "age_ms")),
        "promises": sum(promises.values()),
        "settled": len(watch.payments) - watch.unsettled,
        "unsettled": watch.unsettled,
        "chain": _chain(report),
        "promises_by_end": promises,
        "trades_by_aggregator": _by_buyer(report),
        "violations": [violation._asdict() for violation in report.violations],
        "faults": list(report.faults),
        "bess": len(scenario.batteries),
        "aggregators": len(scenario.buyers),
        "mechanism": scenario.batteries[0].mechanism,
        "strategies": [buyer.strategy for buyer in scenario.buyers],
        "slots": scenario.slots,
        "feed_in_micro_per_kwh": scenario.feed_in,
        "wear_micro_per_kwh": scenario.wear,
        "reserve_micro_per_kwh": scenario.reserve,
        "seed": scenario.seed,
        "seconds": round(report.seconds, 3),
        "first_trade_s": None if report.first_trade_s is None else round(report.first_trade_s, 3),
        "interrupted": report.interrupted,
    }


def _chain(report: Report) -> dict[str, Any] | None:
    ledger = report.ledger
    if ledger is None:
        return None
    return {
        "earned_micro": {str(battery): paid.earned for battery, paid in ledger.batteries.items()},
        "journal_micro": {str(battery): amount for battery, amount in _owed(report).items()},
        "fees_micro": ledger.fees,
        "escrow_micro": {str(buyer): escrow.available for buyer, escrow in ledger.escrows.items()},
        "held_micro": sum(escrow.held for escrow in ledger.escrows.values()),
        "disputes": ledger.disputed,
        "defaults": ledger.defaulted,
    }


def _owed(report: Report) -> dict[int, int]:
    """By battery: what its trades cost by its journal, µ."""
    return {
        battery.device_id: sum(int(str(row.body["paid_micro"])) for row in battery.rows if row.kind == "trade")
        for battery in report.books.batteries
    }


def _worst(histograms: Mapping[str, Any]) -> dict[str, float]:
    return {wire_name(kind): round(histogram.worst_ms, 3) for kind, histogram in sorted(histograms.items())}


def wire_name(kind: str) -> str:
    """A message type as the protocol writes it."""
    return kind.title().replace("_", "")


def _by_buyer(report: Report) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = {}
    for buyer in report.watch.buyers:
        device_id = buyer.settings.device_id
        mine = [trade for trade in report.watch.trades if trade.buyer == device_id]
        sums[str(device_id)] = {
            "trades": len(mine),
            "energy_wh": sum(trade.energy for trade in mine),
            "paid_micro": sum(trade.paid for trade in mine),
        }
    return sums


# -- for people


def draw(report: Report, files: Mapping[str, str]) -> RenderableType:
    """The summary on a terminal. `files`: what was written, and where."""
    sales, sold = report.sales, report.sales.energy * 100 // report.offered if report.offered else 0
    heading = Text.assemble(
        (f"{sales.trades} trades", "bold"),
        f": {kwh(sales.energy)} of {kwh(report.offered)} kWh offered sold ({sold} %), {cents(sales.price)} c/kWh",
    )
    parts: list[RenderableType] = [
        heading,
        _incomes(report),
        _latencies(report),
        replies_line(report.watch.replies()),
        _promises(report),
        *_settlements(report),
    ]
    parts += [Text(str(broken), style=BAD) for broken in (*report.violations, *report.faults)]
    parts += [Text(f"{what:12} {where}", style=QUIET) for what, where in files.items()]
    return Padding(Group(*parts), (1, 0, 0, 0))


def _incomes(report: Report) -> Table:
    scenario = report.watch.scenario
    note = f"unsold at {cents(scenario.feed_in)} c, wear {cents(scenario.wear)} c deducted"
    table = Table(title=f"Income per kWh offered, c ({note})", title_justify="left", title_style="bold", box=None)
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)
    table.show_header = False
    incomes = report.incomes
    most = max(*incomes.values(), 1)
    for name, label in BASELINES.items():
        bar = "█" * max(0, round(BAR * incomes[name] / most))
        above = "" if name == "ours" else f"{100 * incomes['ours'] / incomes[name] - 100:+.0f} %"
        table.add_row(label, cents(incomes[name]), Text(bar, style=GOOD if name == "ours" else QUIET), above)
    return table


def _latencies(report: Report) -> Table:
    """Worst age on arrival of each message type, against its deadline."""
    watch = report.watch
    ages = watch.latencies([*watch.batteries, *watch.buyers], "age_ms")
    replies = watch.latencies(watch.buyers, "reply_ms")
    table = Table(title="Worst times, ms", title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for column in ("message", "received", "on its way", "allowed", "as an answer", "allowed"):
        table.add_column(column, justify="left" if column == "message" else "right", header_style=QUIET, no_wrap=True)
    for kind in MessageType:
        if kind.name in ages:
            age, reply = ages[kind.name], replies.get(kind.name)
            table.add_row(
                wire_name(kind.name),
                str(age.count),
                Text(f"{age.worst_ms:.1f}", style=BAD if age.over_budget else ""),
                f"{TIMING[kind].max_delay_ms:g}",
                Text(f"{reply.worst_ms:.1f}", style=BAD if reply.over_budget else GOOD) if reply else "",
                "500" if reply else "",
            )
    return table


def _promises(report: Report) -> Text:
    ends, broken = report.promises, len(report.violations)
    said = (
        f"{sum(ends.values())} promises: {ends['confirmed']} became trades, {ends['released']} were given back in time"
    )
    left = f", {ends['reserved']} are open" if ends["reserved"] else ""
    verdict = (f"; {broken} invariants broke", BAD) if broken else ("; none broken, by all journals", GOOD)
    return Text.assemble(said + left, verdict)


def _settlements(report: Report) -> list[RenderableType]:
    """What the chain paid, beside the journals; what the buyers' escrows hold."""
    ledger, watch = report.ledger, report.watch
    if ledger is None:
        return [Text("the chain could not be read at the end", style=BAD)]
    table = Table(title="Paid on the chain, USDC", title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for column in ("battery", "trades", "by its journal", "fee", "earned on chain"):
        table.add_column(column, justify="left" if column == "battery" else "right", header_style=QUIET, no_wrap=True)
    for battery, owed in _owed(report).items():
        paid = ledger.batteries[battery]
        table.add_row(str(battery), str(paid.settled), usdc(owed), usdc(owed - paid.earned), usdc(paid.earned))
    spent = {buyer: ESCROW - escrow.available - escrow.held for buyer, escrow in ledger.escrows.items()}
    said = ", ".join(f"{buyer} {usdc(amount)}" for buyer, amount in spent.items())
    unsettled = watch.unsettled
    ends = f"{len(watch.payments) - unsettled} settled, {unsettled} unsettled, {ledger.disputed} disputed, {ledger.defaulted} defaulted"
    return [
        table,
        Text(f"escrows paid: {said}; fees of the market: {usdc(ledger.fees)}"),
        Text(ends, style=GOOD if not unsettled else BAD),
    ]


def usdc(micro: int) -> str:
    """An amount, USDC, to the micro-USDC."""
    return f"{micro // 1_000_000}.{micro % 1_000_000:06}"
