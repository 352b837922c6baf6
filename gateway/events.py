"""The events of the stream: one type each, with its JSON Schema. Values only; who sees which is `gateway.hub`'s business.

Ids are decimal strings, since a u64 does not fit a JavaScript number; money, energy and times are integers that do.
An event with an `id` is durable: it came from a journal, is stored, and may arrive twice (the same `id`); one without is
telemetry. The privacy rule holds by construction: a node sends bids of a lot only once that lot is closed, and of an open
one nothing but what these types carry.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}$(?!\n)", description="a u64 in decimal")]
"""Python's `$` lets a line break through; its `\\Z` is none of JSON Schema's."""
Mechanism: TypeAlias = str
LONGEST_TEXT: Final = 200


class Event(msgspec.Struct, kw_only=True, frozen=True):
    """What every event has."""

    epoch: str = ""
    """The store that counts; another one: nothing before it can be resumed."""
    seq: int = 0
    """Rises by one or more from event to event, over restarts too."""
    id: str | None = None
    """Of a durable event: the same whenever and wherever it is sent."""
    node: Id
    """Who reported it."""
    time_us: int
    """The node's clock, µs since 1970 (UTC)."""
    market_us: int
    """The node's market time: prices, sun and delivery follow it; the same as `time_us` but in replays."""


# -- lots, from their battery


class AuctionStarted(Event, tag="AuctionStarted", kw_only=True, frozen=True):
    """A lot opened, at `time_us`. It comes again when its battery was away in between."""

    lot_id: Id
    mechanism: Mechanism
    energy_wh: int
    reserve_micro_per_kwh: int | None
    """null while it is hidden."""


class LotUpdated(Event, tag="LotUpdated", kw_only=True, frozen=True):
    """An open lot changed: its energy while it has no bids, or, in an english one, who leads at what price (not who)."""

    lot_id: Id
    energy_wh: int
    ask_micro_per_kwh: int | None
    """null: not disclosed."""
    standing_micro_per_kwh: int | None
    """english: the leading bid; null: none, or a sealed lot."""
    bidders: int | None
    """english: how many devices have bid; null in a sealed lot."""
    closes_us: int | None
    """When it closes unless a better bid comes; null while there is none."""


class BidPlaced(Event, tag="BidPlaced", kw_only=True, frozen=True):
    """A bid took part. Told after its lot closed."""

    lot_id: Id
    bidder: Id
    message_id: Id
    energy_wh: int
    price_micro_per_kwh: int


class BidRejected(Event, tag="BidRejected", kw_only=True, frozen=True):
    """A bid was refused when it came. Told after its lot closed."""

    lot_id: Id
    bidder: Id
    message_id: Id
    energy_wh: int
    price_micro_per_kwh: int
    code: str
    """below_reserve, insufficient, unavailable, outbid, lot_closed, late, invalid, too_many"""


class AuctionCompleted(Event, tag="AuctionCompleted", kw_only=True, frozen=True):
    """A lot closed and is promised to its winner or winners."""

    lot_id: Id
    mechanism: Mechanism
    energy_wh: int
    reserve_micro_per_kwh: int | None
    opened_us: int
    bids: int
    bidders: int
    capped: bool
    setter: Id | None
    """Whose bid set the price; null: the reserve."""
    setter_micro_per_kwh: int | None


class LotVoided(Event, tag="LotVoided", kw_only=True, frozen=True):
    """A lot with bids ended unsold: the battery stopped or failed."""

    lot_id: Id
    mechanism: Mechanism
    energy_wh: int
    opened_us: int
    bids: int
    bidders: int


class BidAccepted(Event, tag="BidAccepted", kw_only=True, frozen=True):
    """Energy is reserved for a winner; its Confirm is awaited."""

    lot_id: Id
    auction_id: Id
    """The lot that was bid for: further winners of a divided lot have a lot_id of their own."""
    bidder: Id
    message_id: Id
    energy_wh: int
    price_micro_per_kwh: int
    """What is paid."""
    bid_micro_per_kwh: int


class ReservationReleased(Event, tag="ReservationReleased", kw_only=True, frozen=True):
    """A promise ended without a trade; its energy is for sale again."""

    lot_id: Id
    auction_id: Id
    bidder: Id
    energy_wh: int
    reason: str


class TradeConfirmed(Event, tag="TradeConfirmed", kw_only=True, frozen=True):
    """A trade, durable at its battery."""

    lot_id: Id
    auction_id: Id
    aggregator: Id
    message_id: Id
    energy_wh: int
    price_micro_per_kwh: int
    bid_micro_per_kwh: int
    paid_micro: int
    bidders: int | None
    first_micro_per_kwh: int | None
    """The first bid that took part: what `first-above-reserve` would have paid for these bids."""
    feed_in_micro_per_kwh: int | None


class SettlementUpdated(Event, tag="SettlementUpdated", kw_only=True, frozen=True):
    """Where the payment of a trade stands, before it is paid."""

    lot_id: Id
    aggregator: Id
    amount_micro: int
    state: str
    """confirmed, settling, refused, defaulted, held, disputed, refunded"""
    reason: str


class TradeSettled(Event, tag="TradeSettled", kw_only=True, frozen=True):
    """The battery is paid: finalized on the chain, and read back."""

    lot_id: Id
    aggregator: Id
    amount_micro: int
    signature: str
    """Of the transaction, base58."""


class EnergyDelivered(Event, tag="EnergyDelivered", kw_only=True, frozen=True):
    """A delivery ended."""

    lot_id: Id
    aggregator: Id
    energy_wh: int
    """What was sold."""
    delivered_wh: int
    short: bool


# -- nodes


class EnergyDepleted(Event, tag="EnergyDepleted", kw_only=True, frozen=True):
    """A battery has nothing left to sell."""

    stored_wh: int


class EnergyRecharged(Event, tag="EnergyRecharged", kw_only=True, frozen=True):
    """A battery has something to sell again."""

    stored_wh: int
    for_sale_wh: int


class DeviceFailed(Event, tag="DeviceFailed", kw_only=True, frozen=True):
    """A battery's device failed (`failure` names how), or works again (null)."""

    failure: str | None


class SecurityEvent(Event, tag="SecurityEvent", kw_only=True, frozen=True):
    """Somebody broke a rule about identity or promises, or a journal is not the one that it was."""

    device: Id
    """Whom the message names; a forged one names somebody else."""
    what: str


class QuerySent(Event, tag="QuerySent", kw_only=True, frozen=True):
    """An aggregator asked what is for sale."""

    battery: Id | None
    """null: everybody, by multicast."""


class QueryResponse(Event, tag="QueryResponse", kw_only=True, frozen=True):
    """What a battery offered an aggregator."""

    battery: Id
    lot_id: Id
    """0: none, or in `plain`, which does not say."""
    energy_wh: int
    ask_micro_per_kwh: int | None


class BESSNodeStatus(Event, tag="BESSNodeStatus", kw_only=True, frozen=True):
    """What a battery shows of itself."""

    online: bool
    mechanism: Mechanism
    capacity_wh: int
    stored_wh: int
    for_sale_wh: int
    reserved_wh: int
    """Promised, not confirmed."""
    to_deliver_wh: int
    """Sold, not delivered."""
    health: Literal["excellent", "good", "fair", "poor"]
    voltage_mv: int
    discharge_w: int
    temperature_mc: int | None
    """Thousandths of °C."""
    failure: str | None
    sessions: int
    unsettled: int | None
    """Trades that are not paid yet; null: it trades on no chain."""
    oldest_unsettled_us: int | None
    """When the oldest of them was confirmed."""


class AggregatorStatus(Event, tag="AggregatorStatus", kw_only=True, frozen=True):
    """What a buyer shows of itself."""

    online: bool
    strategy: str
    demand_wh: int
    bought_wh: int
    paid_micro: int
    exposed_wh: int
    """In promises without an answer; what is in open bids is the buyer's secret."""
    promises_open: int
    batteries: int
    """Connected."""


class Latency(msgspec.Struct, frozen=True):
    """Times of one message type at one node since it started, ms."""

    what: Literal["age", "reply"]
    """age: on arrival, by the receiver's clock; reply: from a Bid or Confirm to its answer, of this type."""
    message: str
    budget_ms: float
    count: int
    over_budget: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    worst_ms: float


class SystemMetrics(Event, tag="SystemMetrics", kw_only=True, frozen=True):
    """How a node keeps its deadlines."""

    online: bool
    latencies: list[Latency]
    late_messages: int
    violations: int
    journal_waiting: int
    """Rows and bids that wait for the disk."""
    feed_unacked: int
    """Rows of the journal that the gateway did not have yet."""
    feed_dropped: int
    """Telemetry that found no room."""


EVENTS: Final[dict[str, type[Event]]] = {
    kind.__name__: kind
    for kind in (
        AuctionStarted,
        LotUpdated,
        BidPlaced,
        BidRejected,
        AuctionCompleted,
        LotVoided,
        BidAccepted,
        ReservationReleased,
        TradeConfirmed,
        SettlementUpdated,
        TradeSettled,
        EnergyDelivered,
        EnergyDepleted,
        EnergyRecharged,
        DeviceFailed,
        SecurityEvent,
        QuerySent,
        QueryResponse,
        BESSNodeStatus,
        AggregatorStatus,
        SystemMetrics,
    )
}
"""By name: the tag `type` in JSON."""


# -- what the stream says beside events; each is an element of an array as they are


class Welcome(msgspec.Struct, tag="Welcome", frozen=True):
    """The first element of a connection. Nothing else comes before the first `subscribe` or `resume`."""

    epoch: str
    seq: int
    """Of the newest event."""
    types: list[str]


class Subscribed(msgspec.Struct, tag="Subscribed", frozen=True):
    """What is sent from now on. null: all of them."""

    types: list[str] | None
    nodes: list[Id] | None
    seq: int
    without_nodes: list[Id] = []
    """Nodes that `unsubscribe` left out of all."""


class OpenLot(msgspec.Struct, frozen=True):
    """A lot that can be bid for, as far as it is public."""

    battery: Id
    lot_id: Id
    mechanism: Mechanism
    energy_wh: int
    reserve_micro_per_kwh: int | None
    ask_micro_per_kwh: int | None
    standing_micro_per_kwh: int | None
    bidders: int | None
    opened_us: int
    closes_us: int | None


class Totals(msgspec.Struct, frozen=True):
    """Of everything that is stored."""

    trades: int
    energy_wh: int
    paid_micro: int
    settled: int
    settled_micro: int


class Snapshot(msgspec.Struct, tag="Snapshot", frozen=True):
    """What is true at `seq`: events up to it are in here, those after it follow."""

    epoch: str
    seq: int
    time_us: int
    """The gateway's clock."""
    gap: bool
    """True: events were left out before it, because the client read too slowly or resumed too late."""
    batteries: list[BESSNodeStatus]
    aggregators: list[AggregatorStatus]
    metrics: list[SystemMetrics]
    lots: list[OpenLot]
    trades: list[TradeConfirmed]
    """The newest, newest first."""
    totals: Totals


class Resumed(msgspec.Struct, tag="Resumed", frozen=True):
    """The answer to `resume`, before the events that were missed."""

    epoch: str
    seq: int
    """Where it goes on."""
    gap: bool
    """True: durable events in between are no longer held; a Snapshot follows, and REST has them all."""
    telemetry_gap: bool
    """True: telemetry in between may be missing, since the gateway was restarted."""


class StreamError(msgspec.Struct, tag="Error", frozen=True):
    """A verb that was not understood: which thing is wrong, and what would be right."""

    reason: str


# -- verbs


class Subscribe(msgspec.Struct, tag_field="verb", tag="subscribe", frozen=True, forbid_unknown_fields=True):
    """From now on send these types of these nodes, and nothing else. null: all."""

    types: list[str] | None = None
    nodes: list[Id] | None = None


class Unsubscribe(msgspec.Struct, tag_field="verb", tag="unsubscribe", frozen=True, forbid_unknown_fields=True):
    """Leave these types and nodes out. Both null: everything."""

    types: list[str] | None = None
    nodes: list[Id] | None = None


class RequestSnapshot(
    msgspec.Struct, tag_field="verb", tag="request_snapshot", frozen=True, forbid_unknown_fields=True
):
    """What is true now?"""


class Resume(msgspec.Struct, tag_field="verb", tag="resume", frozen=True, forbid_unknown_fields=True):
    """Go on after this event; with no subscription yet, with all types."""

    epoch: str
    seq: int


Verb: TypeAlias = Subscribe | Unsubscribe | RequestSnapshot | Resume
Said: TypeAlias = Welcome | Subscribed | Snapshot | Resumed | StreamError
AnyEvent: TypeAlias = (
    AuctionStarted
    | LotUpdated
    | BidPlaced
    | BidRejected
    | AuctionCompleted
    | LotVoided
    | BidAccepted
    | ReservationReleased
    | TradeConfirmed
    | SettlementUpdated
    | TradeSettled
    | EnergyDelivered
    | EnergyDepleted
    | EnergyRecharged
    | DeviceFailed
    | SecurityEvent
    | QuerySent
    | QueryResponse
    | BESSNodeStatus
    | AggregatorStatus
    | SystemMetrics
)
