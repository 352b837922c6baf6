"""What REST answers: one model a thing, the same names as in the stream (`gateway.events`). Ids are decimal strings."""

from typing import Annotated, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Id: TypeAlias = Annotated[str, Field(pattern="^[0-9]{1,20}$", examples=["101"], description="a u64 in decimal")]
TimeUs: TypeAlias = Annotated[int, Field(examples=[1_590_000_000_000_000], description="µs since 1970 (UTC)")]
PriceMicro: TypeAlias = Annotated[int, Field(examples=[185_000], description="µ/kWh (10,000 µ are 1 c)")]
Micro: TypeAlias = Annotated[int, Field(examples=[462_500], description="µ, a millionth of the currency")]
EnergyWh: TypeAlias = Annotated[int, Field(examples=[2_500], description="Wh")]
SettlementState: TypeAlias = Literal[
    "confirmed", "settling", "refused", "defaulted", "held", "disputed", "settled", "refunded"
]
T = TypeVar("T")


class Model(BaseModel):
    """Values that never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(Model, Generic[T]):
    """A part of a list, newest first unless said otherwise.

    At most 3,000 rows are looked at for one page, so that one that few rows match can be shorter than its `limit`, or empty: the end
    is where `next_cursor` is null.
    """

    items: list[T]
    next_cursor: str | None = Field(description="give it as `cursor` for what follows; null: this is the end")


class Problem(Model):
    """RFC 9457 (problem+json): what was wrong and what would be right."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="which thing is wrong, what it was, and what would be right")
    instance: str | None = None


class Node(Model):
    """A battery or aggregator that has published something."""

    device_id: Id
    online: bool
    proven: bool = Field(description="false: its market is plain, so nobody proved who it is")
    key: str | None = Field(description="its public key, base58")
    first_seen_us: TimeUs
    last_seen_us: TimeUs
    rows: int = Field(description="the last row of its journal that is stored")


class Battery(Node):
    """A seller."""

    mechanism: str
    capacity_wh: EnergyWh
    feed_in_micro_per_kwh: PriceMicro | None
    stored_wh: EnergyWh | None = Field(description="null: it has not said yet")
    for_sale_wh: EnergyWh | None
    reserved_wh: EnergyWh | None = Field(description="promised, not confirmed")
    to_deliver_wh: EnergyWh | None = Field(description="sold, not delivered")
    health: str | None
    failure: str | None
    status_us: TimeUs | None = Field(description="when it said so")
    market_us: TimeUs | None
    trades: int
    sold_wh: EnergyWh
    earned_micro: Micro
    settled_micro: Micro


class Aggregator(Node):
    """A buyer."""

    strategy: str
    demand_wh: EnergyWh
    bought_wh: EnergyWh | None
    exposed_wh: EnergyWh | None
    status_us: TimeUs | None
    market_us: TimeUs | None
    trades: int
    paid_micro: Micro
    lots_bid: int = Field(description="closed lots in which a bid of it took part")
    lots_won: int


class Sample(Model):
    """A battery at a moment."""

    time_us: TimeUs
    market_us: TimeUs
    stored_wh: EnergyWh
    for_sale_wh: EnergyWh
    reserved_wh: EnergyWh
    to_deliver_wh: EnergyWh


class Lot(Model):
    """A lot that ended."""

    battery: Id
    lot_id: Id
    mechanism: str
    state: Literal["reserved", "void"]
    energy_wh: EnergyWh
    reserve_micro_per_kwh: PriceMicro | None = Field(description="null: its owner hides it")
    opened_us: TimeUs
    closed_us: TimeUs
    market_us: TimeUs
    bids: int
    bidders: int
    first_micro_per_kwh: PriceMicro | None = Field(description="the first bid that took part")
    setter: Id | None = Field(description="whose bid set the price; null: the reserve")
    setter_micro_per_kwh: PriceMicro | None
    capped: bool
    digest: str = Field(description="SHA-256 of its bids in order of arrival, hex")


class Bid(Model):
    """A bid and its first answer."""

    bidder: Id
    message_id: Id
    energy_wh: EnergyWh
    price_micro_per_kwh: PriceMicro
    state: str = Field(description="standing, or why it was refused")
    time_us: TimeUs


class LotDetail(Lot):
    """A lot with its bids in order of arrival."""

    progress: list[Bid]
    trades: list["Trade"]


class Trade(Model):
    """A confirmed lot."""

    battery: Id
    lot_id: Id
    auction_id: Id
    aggregator: Id
    time_us: TimeUs
    market_us: TimeUs
    energy_wh: EnergyWh
    price_micro_per_kwh: PriceMicro
    bid_micro_per_kwh: PriceMicro
    paid_micro: Micro
    bidders: int | None
    first_micro_per_kwh: PriceMicro | None
    feed_in_micro_per_kwh: PriceMicro | None
    settlement: SettlementState | None = Field(description="null: its market is on no chain")
    delivery: Literal["pending", "delivered", "short"]
    delivered_wh: EnergyWh | None
    signature: str | None = Field(description="of the transaction that settled it, base58")


class Frame(Model):
    """A message of a trade as it was sent."""

    what: Literal["bid", "price_setter", "accept", "confirm", "answer"]
    by: Id = Field(description="who published it")
    raw: str = Field(description="84 bytes, or a signed record of 212, hex")
    key: str | None = Field(description="the registered public key of its sender, hex; null: plain")


class Evidence(Model):
    """A row of a journal."""

    node: Id
    seq: int
    hash: str = Field(description="of the row and all before it, hex")
    kind: str
    state: str
    time_us: TimeUs
    body: dict[str, int | str | bool | None] = Field(
        description="as published (docs/export.md says what is in it); ids and message_ids are decimal strings here too"
    )


class TradeDetail(Trade):
    """One trade from bid to chain."""

    network_id: str | None = Field(description="what every signature of this market covers, hex; null: plain")
    frames: list[Frame]
    rows: list[Evidence] = Field(description="every journal row about it, of both sides, in order of time")


class Settlement(Model):
    """Where the payment of a trade stands. A list is by the newest change: what changes meanwhile moves to its front."""

    battery: Id
    lot_id: Id
    aggregator: Id
    state: SettlementState
    amount_micro: Micro
    reason: str
    signature: str | None
    confirmed_us: TimeUs
    time_us: TimeUs = Field(description="of its newest change")


class Sums(Model):
    """Trades together."""

    trades: int
    energy_wh: EnergyWh
    paid_micro: Micro
    price_micro_per_kwh: PriceMicro | None = Field(description="weighted by volume; null: no trade")
    feed_in_micro_per_kwh: PriceMicro | None = Field(
        description="what the grid would have paid, weighted likewise; over those trades whose battery says its feed-in tariff"
    )
    first_micro_per_kwh: PriceMicro | None = Field(
        description="what the first bid above the reserve of each lot would have paid, weighted likewise; over those trades whose"
        " lot's bids are stored"
    )


class Group(Sums):
    """Trades that have something in common."""

    key: str = Field(
        description="the hour (µs since 1970, market time), the hour of the day, a device id, a number of rivals"
    )
    low_micro_per_kwh: float | None = Field(
        description="95 % confidence interval of the price (ratio estimator over trades, Student's t); null: under 3 trades"
    )
    high_micro_per_kwh: float | None


class Statistics(Model):
    """Whether competition pays. Groups in order: hours by time, numbers by size, devices by id."""

    by: Literal["all", "hour", "hour_of_day", "battery", "aggregator", "bidders"]
    total: Sums
    groups: list[Group]


class LatencyRow(Model):
    """Times of one message type, over nodes since each started."""

    what: Literal["age", "reply"]
    message: str
    node: Id | None = Field(description="null: all together")
    budget_ms: float
    count: int
    over_budget: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    worst_ms: float


class StoredEvent(Model):
    """An event of the stream that came from a journal."""

    seq: int
    type: str
    node: Id
    time_us: TimeUs
    market_us: TimeUs
    event: dict[str, object] = Field(description="as in the stream")


class Overview(Model):
    """Everything in a few numbers."""

    version: str
    epoch: str
    seq: int
    batteries: int
    batteries_online: int
    aggregators: int
    aggregators_online: int
    lots: int
    trades: int
    sold_wh: EnergyWh
    paid_micro: Micro
    settled: int
    settled_micro: Micro
    unsettled: int
    security_events: int
    network_id: str | None


class Me(Model):
    """Who asks."""

    name: str
    role: Literal["viewer", "admin"]
    via: Literal["session", "api_key", "open"]
