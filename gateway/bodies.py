"""What the rows, bids and telemetry of a node may say: one struct a kind, with the range of every number.

What is outside is refused before it reaches the store, by name: a database holds 64 signed bits, a sum must not overflow, and a
browser reads integers up to 2⁵³. Unknown keys pass: they are kept with the row, as evidence, and nothing reads them.
"""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

MOST_WH: Final = 10**9
"""What a frame can carry: 1,000,000 kWh."""
MOST_MICRO_PER_KWH: Final = 10**8
"""What a frame can carry: 10,000 c/kWh."""
MOST_MICRO: Final = MOST_WH * MOST_MICRO_PER_KWH // 1000
"""The dearest trade."""
LAST_TIME_US: Final = 2**53 - 1
"""The last time that JSON's readers know exactly, µs since 1970: the year 2255."""
MOST_COUNT: Final = 2**53 - 1
LAST_U64: Final = 2**64 - 1
LAST_I64: Final = 2**63 - 1
MOST_BODY: Final = 8 * 1024
"""Characters of a row's body as JSON; the longest honest one has two records of 424 characters."""
LONGEST_TEXT: Final = 200
"""Of what is shown in a list; longer is cut."""

Wh = Annotated[int, Meta(ge=0, le=MOST_WH)]
Price = Annotated[int, Meta(ge=0, le=MOST_MICRO_PER_KWH)]
Money = Annotated[int, Meta(ge=0, le=MOST_MICRO)]
Time = Annotated[int, Meta(ge=0, le=LAST_TIME_US)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Tally = Annotated[int, Meta(ge=0, le=MOST_COUNT)]
LotNumber = Annotated[int, Meta(ge=0, le=LAST_I64)]
Device = Annotated[int, Meta(ge=0)]
"""A u64: its upper end is `oversized`'s to check, which msgspec cannot."""
Word = Annotated[str, Meta(pattern=r"\A[a-z0-9_-]{1,24}\Z")]
"""Patterns end in \\Z: a `$` would let one line break through."""
Words = Annotated[str, Meta(max_length=2_000)]
Milli = Annotated[float, Meta(ge=0, le=1e12)]


class Body(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a row or item says."""


class LotBody(Body, frozen=True, kw_only=True):
    """The end of a lot, at a battery. What rows of older versions lack has a default."""

    mechanism: Word
    bids: Count
    digest: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    capped: bool = False
    energy_wh: Wh = 0
    reserve_micro_per_kwh: Price | None = None
    hidden: bool = True
    opened_us: Time | None = None
    bidders: Count | None = None
    setter_bidder: Device | None = None
    setter_price_micro_per_kwh: Price | None = None


class PromiseBody(Body, frozen=True, kw_only=True):
    """A change of a battery's promise."""

    bidder: Device
    message_id: Device
    energy_wh: Wh
    price_micro_per_kwh: Price
    bid_micro_per_kwh: Price
    auction_id: LotNumber | None = None
    reason: Words | None = None


class TradeBody(Body, frozen=True, kw_only=True):
    """A trade, at its battery."""

    bidder: Device
    message_id: Device
    energy_wh: Wh
    price_micro_per_kwh: Price
    bid_micro_per_kwh: Price
    paid_micro: Money
    auction_id: LotNumber | None = None


class EnergyBody(Body, frozen=True, kw_only=True):
    """A delivery, at a battery."""

    bidder: Device
    energy_wh: Wh
    delivered_wh: Wh = 0


class SettlementBody(Body, frozen=True, kw_only=True):
    """Where a payment stands, at a battery."""

    bidder: Device
    amount_micro: Money
    confirmed_us: Time
    reason: Words | None = None
    signature: Annotated[str, Meta(pattern=r"\A([0-9a-f]{128})?\Z")] | None = None


class SecurityBody(Body, frozen=True, kw_only=True):
    """A broken rule about identity or promises."""

    bidder: Device = 0


class BessStatus(Body, frozen=True, kw_only=True):
    """What a battery shows of itself."""

    stored_wh: Wh
    for_sale_wh: Wh
    reserved_wh: Wh = 0
    to_deliver_wh: Wh = 0
    health: Literal["excellent", "good", "fair", "poor"] = "excellent"
    voltage_mv: Annotated[int, Meta(ge=0, le=2_000_000)] = 0
    discharge_w: Annotated[int, Meta(ge=-(10**8), le=10**8)] = 0
    temperature_mc: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] | None = None
    failure: Word | None = None
    sessions: Count = 0
    unsettled: Count | None = None
    oldest_unsettled_us: Time | None = None
    mechanism: Word | None = None


class AggregatorStatusBody(Body, frozen=True, kw_only=True):
    """What a buyer shows of itself."""

    bought_wh: Tally = 0
    paid_micro: Tally = 0
    exposed_wh: Tally = 0
    promises_open: Count = 0
    batteries: Count = 0


class OpenLotBody(Body, frozen=True, kw_only=True):
    """The lot that can be bid for now, as far as it is public."""

    lot_id: LotNumber
    mechanism: Word = "english"
    energy_wh: Wh = 0
    reserve_micro_per_kwh: Price | None = None
    ask_micro_per_kwh: Price | None = None
    standing_micro_per_kwh: Price | None = None
    bidders: Count | None = None
    opened_us: Time = 0
    closes_us: Time | None = None


class LevelBody(Body, frozen=True, kw_only=True):
    """Depleted, or charged again."""

    stored_wh: Wh = 0
    for_sale_wh: Wh = 0


class FailureBody(Body, frozen=True, kw_only=True):
    """A device failed, or works again."""

    failure: Word | None = None


class QueryBody(Body, frozen=True, kw_only=True):
    """An aggregator asks."""

    battery: Device | None = None


class ResponseBody(Body, frozen=True, kw_only=True):
    """A battery answered it."""

    battery: Device
    lot_id: LotNumber = 0
    energy_wh: Wh = 0
    ask_micro_per_kwh: Price | None = None


class HistogramBody(Body, frozen=True, kw_only=True):
    """`runtime.histogram.Histogram.as_dict`."""

    count: Tally
    p50_ms: Milli
    p90_ms: Milli
    p99_ms: Milli
    worst_ms: Milli
    over_budget: Tally
    buckets: dict[Annotated[str, Meta(pattern=r"\A[0-9]{1,3}\Z")], Tally] = {}


class Histograms(Body, frozen=True, kw_only=True):
    """By message type."""

    age_ms: dict[str, HistogramBody] = {}
    reply_ms: dict[str, HistogramBody] = {}


class MetricsBody(Body, frozen=True, kw_only=True):
    """How a node keeps its deadlines."""

    counters: dict[str, dict[str, Tally]] = {}
    histograms: Histograms = Histograms()
    journal_waiting: Tally = 0
    feed_unacked: Tally = 0
    feed_dropped: Tally = 0


class About(Body, frozen=True, kw_only=True):
    """What a node says of itself in its Hello."""

    mechanism: Word | None = None
    capacity_wh: Wh = 0
    feed_in_micro_per_kwh: Price | None = None
    for_sale_percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    hide_reserve: bool = False
    strategy: Word | None = None
    demand_wh: Wh = 0


B = TypeVar("B", bound=Body)


def read(body: Mapping[str, Any], kind: type[B]) -> B:
    """A body as its struct. Raises msgspec.ValidationError: which key, and what is expected."""
    return msgspec.convert(body, kind)


def oversized(body: Mapping[str, Any]) -> str | None:
    """The key of a number that does not fit into 64 bits; None: all do."""
    for key, value in body.items():
        if type(value) is int and not -LAST_I64 <= value <= LAST_U64:
            return key
    return None


def clean(text: str) -> str:
    """A text for a list: control and format characters replaced (an escape sequence, a NUL, a reversed line), cut to length."""
    if text.isprintable() and len(text) <= LONGEST_TEXT:
        return text
    return "".join("\ufffd" if unicodedata.category(each)[0] == "C" else each for each in text[:LONGEST_TEXT])
