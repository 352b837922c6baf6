"""The live table: batteries, leading bids, trades and reply times while the days go by. Draws what `Watch` saw."""

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from cli.demo.processes import Node
from cli.demo.watch import Trade, Watch
from etp.timing import REPLY_BUDGET_MS
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from runtime.histogram import Histogram

TRADES_SHOWN = 5
GOOD, BAD, QUIET = "green", "bold red", "dim"


def draw(watch: Watch, now_s: float) -> RenderableType:
    """The whole screen at a wall time (unix seconds)."""
    return Group(
        _heading(watch, now_s),
        _batteries(watch),
        _buyers(watch),
        _trades(watch.trades[-TRADES_SHOWN:]),
        replies_line(watch.replies()),
        paid_line(watch),
    )


def cents(micro: int | None) -> str:
    """A price, c/kWh."""
    return "–" if micro is None else f"{micro / MICRO_PER_CENT:.2f}"


def kwh(energy_wh: int | None) -> str:
    """An energy, kWh."""
    return "–" if energy_wh is None else f"{energy_wh / WH_PER_KWH:.2f}"


def clock(market_s: float) -> str:
    """Market time, UTC."""
    return f"{datetime.fromtimestamp(market_s, UTC):%a %d %b %Y %H:%M} UTC"


def _heading(watch: Watch, now_s: float) -> RenderableType:
    scenario, slot = watch.scenario, watch.slot(now_s)
    line = Table.grid(padding=(0, 2))
    worth = Text(f"a kWh is worth {cents(scenario.series.values[slot])} c, reserve {cents(scenario.reserve)} c")
    bar = ProgressBar(total=scenario.slots, completed=slot + 1, width=20)
    line.add_row(Text(clock(watch.market_s(now_s)), style="bold"), worth, bar, f"{slot + 1}/{scenario.slots}")
    return line


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1), pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True, header_style=QUIET)
    return table


def _batteries(watch: Watch) -> Table:
    table = _table(
        "Batteries", "id", "stored", "kWh", "for sale", "best bid", "from", "bidders", "trades", "sold kWh", "earned c"
    )
    for node in watch.batteries:
        table.add_row(*_battery(watch, node))
    return table


def _battery(watch: Watch, node: Node) -> tuple[RenderableType, ...]:
    assert isinstance(node.settings, BessSettings)
    view, device_id = watch.view(node), node.settings.device_id
    stored, best, bidder = view.get("stored_wh"), view.get("best_micro_per_kwh"), view.get("best_bidder")
    sold = [trade for trade in watch.trades if trade.battery == device_id]
    return (
        str(device_id),
        ProgressBar(total=node.settings.capacity_kwh * WH_PER_KWH, completed=stored or 0, width=12),
        kwh(stored),
        kwh(view.get("for_sale_wh")),
        Text(cents(best), style=GOOD if best else QUIET),
        str(bidder or "–"),
        str(view.get("bidders", "–")),
        *_sums(sold),
    )


def _sums(trades: list[Trade]) -> tuple[str, str, str]:
    paid = sum(trade.paid for trade in trades)
    return str(len(trades)), kwh(sum(trade.energy for trade in trades)), f"{paid / MICRO_PER_CENT:.1f}"


def _buyers(watch: Watch) -> Table:
    table = _table(
        "Aggregators", "id", "strategy", "bids", "outbid", "in play kWh", "trades", "bought kWh", "paid c", "c/kWh"
    )
    for node in watch.buyers:
        assert isinstance(node.settings, AggregatorSettings)
        device_id = node.settings.device_id
        counters = watch.views.get(device_id, {}).get("counters", {})
        mine = [trade for trade in watch.trades if trade.buyer == device_id]
        energy, paid = sum(trade.energy for trade in mine), sum(trade.paid for trade in mine)
        table.add_row(
            str(device_id),
            node.settings.strategy,
            str(counters.get("bids", {}).get("", 0)),
            str(counters.get("rejected", {}).get("OUTBID", 0)),
            kwh(watch.view(node).get("exposed_wh")),
            *_sums(mine),
            cents(paid * WH_PER_KWH // energy if energy else None),
        )
    return table


def _trades(trades: list[Trade]) -> Table:
    table = _table("Last trades", "market time", "battery", "buyer", "kWh", "c/kWh")
    for trade in reversed(trades):
        table.add_row(
            clock(trade.market_s), str(trade.battery), str(trade.buyer), kwh(trade.energy), cents(trade.price)
        )
    return table


def trade_line(trade: Trade) -> str:
    """A trade as one line of text, where there is no terminal to draw on."""
    sold = f"{trade.battery} sells {kwh(trade.energy)} kWh to {trade.buyer} at {cents(trade.price)} c"
    return f"{clock(trade.market_s)}  {sold}"


def paid_line(watch: Watch) -> Text:
    """How many of the trades are paid, by their batteries' journals: finalized, and read back."""
    owed, paid = len(watch.payments), len(watch.payments) - watch.unsettled
    return Text(f"{paid} of {owed} trades paid on the chain", style=GOOD if paid == owed else "")


def replies_line(replies: Histogram) -> Text:
    """Percentiles of the time from a Bid (or Confirm) to its answer, against the budget."""
    if not replies.count:
        return Text("no answers yet", style=QUIET)
    points = "  ".join(f"p{percent} {replies.percentile(percent):.1f}" for percent in (50, 90, 99))
    worst = Text(f"worst {replies.worst_ms:.1f} ms", style=BAD if replies.over_budget else GOOD)
    return Text.assemble(f"{replies.count} answers: {points}  ", worst, f" of {REPLY_BUDGET_MS:g} ms allowed")
