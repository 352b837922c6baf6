"""The six tables of the monitor: what is known, as rows of cells. Values only; where they go on the screen is `screen`'s."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from cli.monitor.telling import cents, kwh, told
from cli.monitor.things import Gap, Lot, Trade
from cli.monitor.words import (
    NOTHING,
    Align,
    clean,
    is_replay,
    milliseconds,
    moment,
    whole,
)
from cli.monitor.world import Entry, Known
from etp.units import WH_PER_KWH
from gateway.events import (
    AggregatorStatus,
    BESSNodeStatus,
    DeviceFailed,
    Event,
    Latency,
    LotVoided,
    ReservationReleased,
    SecurityEvent,
    SystemMetrics,
    TradeConfirmed,
    TradeSettled,
)

Tone: TypeAlias = Literal["", "good", "warn", "bad", "quiet"]
"""How a row looks, beside what it says: never the only sign of anything."""
Thing: TypeAlias = object
"""What a row is about; `details` lists all of it."""


class Column(NamedTuple):
    """A heading; `width` 0: all that is left."""

    heading: str
    width: int
    align: Align = "left"


class Row(NamedTuple):
    """One line. `key` names the thing for as long as it is listed, so that the cursor stays on it."""

    key: str
    cells: tuple[str, ...]
    thing: Thing
    tone: Tone = ""

    def matches(self, words: Sequence[str]) -> bool:
        """Whether each of these (in lower case) stands in it."""
        text = " ".join(self.cells).lower()
        return all(word in text for word in words)


class Tab(NamedTuple):
    """A table."""

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[Known, tzinfo | None], Iterator[Row]]
    empty: str
    """What to say, and where to look, where there is no row."""


# -- lots


def _lots(known: Known, zone: tzinfo | None) -> Iterator[Row]:
    for lot in sorted(known.lots.values(), key=lambda one: (-one.time_us, one.battery)):
        yield _lot(lot, zone)
    for lot in sorted(known.ended.values(), key=lambda one: (-one.time_us, one.battery)):
        yield _lot(lot, zone)


def _lot(lot: Lot, zone: tzinfo | None) -> Row:
    tones: dict[str, Tone] = {"open": "good", "reserved": "warn", "void": "quiet", "released": "quiet"}
    shown = lot.price_micro_per_kwh if lot.price_micro_per_kwh is not None else lot.standing_micro_per_kwh
    cells = (
        moment(lot.time_us, lot.market_us, zone),
        lot.battery,
        lot.state,
        clean(lot.mechanism),
        kwh(lot.energy_wh),
        cents(_asked(lot)),
        cents(shown),
        whole(lot.bidders),
        lot.winner or NOTHING,
    )
    return Row(f"lot {lot.battery} {lot.lot_id}", cells, lot, tones.get(lot.state, ""))


def _asked(lot: Lot) -> int | None:
    """What a bid had to reach: the ask while it is open and disclosed, else the reserve."""
    ask = lot.ask_micro_per_kwh if lot.state == "open" else None
    return ask or lot.reserve_micro_per_kwh


# -- nodes


def _batteries(known: Known, zone: tzinfo | None) -> Iterator[Row]:
    del zone
    for battery in sorted(known.batteries.values(), key=_by_id):
        yield Row(f"battery {battery.node}", _battery(battery), battery, _battery_tone(battery))


def _by_id(event: Event) -> int:
    return int(event.node)


def _battery(battery: BESSNodeStatus) -> tuple[str, ...]:
    share = round(100 * battery.stored_wh / battery.capacity_wh) if battery.capacity_wh > 0 else None
    return (
        battery.node,
        _state(battery),
        NOTHING if share is None else f"{share}%",
        kwh(battery.stored_wh),
        kwh(battery.for_sale_wh),
        kwh(battery.reserved_wh),
        kwh(battery.to_deliver_wh),
        f"{battery.discharge_w / WH_PER_KWH:.1f}",
        whole(battery.sessions),
        whole(battery.unsettled),
    )


def _state(battery: BESSNodeStatus) -> str:
    if not battery.online:
        return "offline"
    return clean(battery.failure).upper() if battery.failure else clean(battery.health)


def _battery_tone(battery: BESSNodeStatus) -> Tone:
    if battery.failure:
        return "bad"
    return "quiet" if not battery.online else "warn" if battery.health == "poor" else ""


def _aggregators(known: Known, zone: tzinfo | None) -> Iterator[Row]:
    del zone
    for buyer in sorted(known.aggregators.values(), key=_by_id):
        yield Row(f"aggregator {buyer.node}", _aggregator(buyer), buyer, "" if buyer.online else "quiet")


def _aggregator(buyer: AggregatorStatus) -> tuple[str, ...]:
    mean = buyer.paid_micro * WH_PER_KWH // buyer.bought_wh if buyer.bought_wh > 0 else None
    return (
        buyer.node,
        "online" if buyer.online else "offline",
        clean(buyer.strategy),
        kwh(buyer.demand_wh),
        kwh(buyer.bought_wh),
        kwh(buyer.exposed_wh),
        cents(buyer.paid_micro),
        cents(mean),
        whole(buyer.batteries),
    )


# -- trades


def _trades(known: Known, zone: tzinfo | None) -> Iterator[Row]:
    for trade in reversed(known.trades.values()):
        yield _trade(trade, zone)


def _trade(trade: Trade, zone: tzinfo | None) -> Row:
    sold = trade.confirmed
    cells = (
        moment(sold.time_us, sold.market_us, zone),
        sold.node,
        sold.aggregator,
        kwh(sold.energy_wh),
        cents(sold.price_micro_per_kwh),
        cents(sold.paid_micro),
        whole(sold.bidders),
        "short" if trade.short else kwh(trade.delivered_wh),
        clean(trade.payment) if trade.payment else NOTHING,
    )
    tones: dict[str | None, Tone] = {"settled": "good", "refused": "bad", "defaulted": "bad", "disputed": "bad"}
    return Row(
        f"trade {sold.node} {sold.lot_id}", cells, trade, tones.get(trade.payment, "warn" if trade.short else "")
    )


# -- latency


class LatencyOf(NamedTuple):
    """A line of the latency table."""

    metrics: SystemMetrics
    latency: Latency


def _latency(known: Known, zone: tzinfo | None) -> Iterator[Row]:
    del zone
    for metrics in sorted(known.metrics.values(), key=_by_id):
        for latency in metrics.latencies:
            tone: Tone = "bad" if latency.over_budget else "quiet" if not metrics.online else ""
            cells = (
                metrics.node,
                clean(latency.message),
                latency.what,
                whole(latency.count),
                milliseconds(latency.p50_ms),
                milliseconds(latency.p90_ms),
                milliseconds(latency.p99_ms),
                milliseconds(latency.worst_ms),
                f"{latency.budget_ms:,.0f}",
                whole(latency.over_budget),
            )
            key = f"latency {metrics.node} {latency.what} {clean(latency.message)}"
            yield Row(key, cells, LatencyOf(metrics, latency), tone)


# -- events


def _events(known: Known, zone: tzinfo | None) -> Iterator[Row]:
    for entry in reversed(known.entries):
        yield _entry(entry, zone)


def _entry(entry: Entry, zone: tzinfo | None) -> Row:
    if isinstance(entry, Gap):
        what = "GAP of events" if entry.durable else "GAP of telemetry"
        cells = ("", NOTHING, what, clean(entry.why))
        return Row(f"gap {entry.after_us} {entry.why}", cells, entry, "bad")
    name = type(entry).__name__
    cells = (moment(entry.time_us, entry.market_us, zone), entry.node, name, told(entry))
    return Row(f"event {entry.seq} {entry.id}", cells, entry, _event_tone(entry))


def _event_tone(event: Event) -> Tone:
    if isinstance(event, SecurityEvent):
        return "bad"
    if isinstance(event, DeviceFailed):
        return "bad" if event.failure else "good"
    if isinstance(event, TradeConfirmed | TradeSettled):
        return "good"
    return "warn" if isinstance(event, ReservationReleased | LotVoided) else ""


TABS: Final[tuple[Tab, ...]] = (
    Tab(
        "Lots",
        (
            Column("changed", 12),
            Column("battery", 7),
            Column("state", 9),
            Column("mechanism", 0),
            Column("kWh", 6, "right"),
            Column("ask", 6, "right"),
            Column("best", 6, "right"),
            Column("rivals", 6, "right"),
            Column("winner", 7, "right"),
        ),
        _lots,
        "No lot is open, and none has ended since you look.",
    ),
    Tab(
        "Batteries",
        (
            Column("battery", 0),
            Column("state", 10),
            Column("full", 4, "right"),
            Column("kWh", 6, "right"),
            Column("for sale", 8, "right"),
            Column("reserved", 8, "right"),
            Column("due", 6, "right"),
            Column("kW", 5, "right"),
            Column("sessions", 8, "right"),
            Column("unpaid", 6, "right"),
        ),
        _batteries,
        "No battery has reported. Start one with --gateway and this gateway's URL.",
    ),
    Tab(
        "Aggregators",
        (
            Column("id", 0),
            Column("state", 7),
            Column("strategy", 12),
            Column("wants", 7, "right"),
            Column("bought", 7, "right"),
            Column("in play", 7, "right"),
            Column("paid c", 8, "right"),
            Column("c/kWh", 6, "right"),
            Column("batteries", 9, "right"),
        ),
        _aggregators,
        "No aggregator has reported. Start one with --gateway and this gateway's URL.",
    ),
    Tab(
        "Trades",
        (
            Column("confirmed", 12),
            Column("battery", 9),
            Column("buyer", 0),
            Column("kWh", 7, "right"),
            Column("c/kWh", 7, "right"),
            Column("paid c", 8, "right"),
            Column("rivals", 6, "right"),
            Column("given", 6, "right"),
            Column("payment", 9, "right"),
        ),
        _trades,
        "No trade yet.",
    ),
    Tab(
        "Latency",
        (
            Column("node", 0),
            Column("message", 14),
            Column("what", 5),
            Column("count", 8, "right"),
            Column("p50 ms", 6, "right"),
            Column("p90", 6, "right"),
            Column("p99", 6, "right"),
            Column("worst", 7, "right"),
            Column("limit", 5, "right"),
            Column("over", 5, "right"),
        ),
        _latency,
        "No node has told its times yet.",
    ),
    Tab(
        "Events",
        (Column("time", 12), Column("node", 9), Column("event", 19), Column("", 0)),
        _events,
        "Nothing has happened since you look.",
    ),
)


def rows_of(tab: Tab, known: Known, zone: tzinfo | None, words: Iterable[str] = ()) -> list[Row]:
    """The rows of a table that hold all these words."""
    wanted = [word.lower() for word in words]
    found = tab.rows(known, zone)
    return [row for row in found if row.matches(wanted)] if wanted else list(found)


def as_json(thing: Thing) -> object:
    """A row's thing as plain values."""
    return msgspec.to_builtins(thing)


def in_replay(known: Known) -> bool:
    """Whether what happens now follows recorded days."""
    return known.newest_us > 0 and is_replay(known.newest_us, known.market_us)
