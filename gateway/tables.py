"""The store's tables, for SQLite and PostgreSQL alike. What fills them is `gateway.translate`; migrations are beside.

Money and energy are exact integers. A u64 id is kept whole in 64 signed bits (`U64`); lot_ids fit as they are. Whatever a
query sorts by ends with its key, so that a cursor names one place. In SQLite a table with a key of several columns is stored by it
(`WITHOUT ROWID`): one tree less to write.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_HALF: Final = 1 << 63


class U64(TypeDecorator[int]):
    """A u64 as the signed 64 bits of the same pattern: what is below 2^63 reads in the database as it is."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """To the database."""
        return value if value is None or value < _HALF else value - 2 * _HALF

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """From the database."""
        return value if value is None or value >= 0 else int(value) + 2 * _HALF


metadata = MetaData()

meta = Table("meta", metadata, Column("name", String(40), primary_key=True), Column("value", Text, nullable=False))
"""`epoch`: random, of this store. `seq_mark`: no event was ever given a higher number; `forgotten`: the highest one that was swept."""

nodes = Table(
    "nodes",
    metadata,
    Column("device_id", U64, primary_key=True),
    Column("role", String(10), nullable=False),
    Column("key", String(64)),  # hex; null: plain
    Column("about", Text, nullable=False),  # JSON of Hello.about
    Column("first_seen_us", BigInteger, nullable=False),
    Column("last_seen_us", BigInteger, nullable=False),
    # The journal that is stored now, and how far.
    Column("journal", String(64), nullable=False),
    Column("fork", Integer, nullable=False, default=0),
    Column("row", BigInteger, nullable=False, default=0),
    Column("row_hash", String(64), nullable=False, default=""),
    Column("bid", BigInteger, nullable=False, default=0),
    # What it said last, JSON of its status and metrics events.
    Column("status", Text),
    Column("metrics", Text),
    # Sums, kept with each transaction. At a battery of its sales, at an aggregator of its purchases.
    Column("trades", BigInteger, nullable=False, default=0),
    Column("energy_wh", BigInteger, nullable=False, default=0),
    Column("paid_micro", BigInteger, nullable=False, default=0),
    Column("settled", BigInteger, nullable=False, default=0),
    Column("settled_micro", BigInteger, nullable=False, default=0),
    Column("lots_bid", BigInteger, nullable=False, default=0),
    Column("lots_won", BigInteger, nullable=False, default=0),
)

rows = Table(
    "rows",
    metadata,
    Column("device_id", U64, primary_key=True),
    Column("fork", Integer, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("lot_id", BigInteger, nullable=False),
    Column("state", String(24), nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("rows_by_lot", "device_id", "lot_id", "time_us"),
    sqlite_with_rowid=False,
)
"""The journals as published: the evidence."""

lots = Table(
    "lots",
    metadata,
    Column("battery", U64, primary_key=True),
    Column("lot_id", BigInteger, primary_key=True),
    Column("mechanism", String(24), nullable=False),
    Column("state", String(12), nullable=False),
    Column("energy_wh", BigInteger, nullable=False),
    Column("reserve_micro_per_kwh", BigInteger),
    Column("opened_us", BigInteger, nullable=False),
    Column("closed_us", BigInteger, nullable=False),
    Column("market_us", BigInteger, nullable=False),
    Column("bids", Integer, nullable=False),
    Column("bidders", Integer, nullable=False),
    Column("first_micro_per_kwh", BigInteger),
    Column("setter", U64),
    Column("setter_micro_per_kwh", BigInteger),
    Column("capped", Boolean, nullable=False),
    Column("digest", String(64), nullable=False),
    Index("lots_by_time", "closed_us", "battery", "lot_id"),
    Index("lots_by_battery", "battery", "closed_us", "lot_id"),
    Index("lots_by_state", "state", "closed_us", "battery", "lot_id"),
    Index("lots_by_mechanism", "mechanism", "closed_us", "battery", "lot_id"),
    sqlite_with_rowid=False,
)

bids = Table(
    "bids",
    metadata,
    Column("battery", U64, primary_key=True),
    Column("fork", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("lot_id", BigInteger, nullable=False),
    Column("bidder", U64, nullable=False),
    Column("message_id", U64, nullable=False),
    Column("energy_wh", BigInteger, nullable=False),
    Column("price_micro_per_kwh", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Index("bids_by_lot", "battery", "lot_id", "fork", "number"),
    sqlite_with_rowid=False,
)

trades = Table(
    "trades",
    metadata,
    Column("battery", U64, primary_key=True),
    Column("lot_id", BigInteger, primary_key=True),
    Column("auction_id", BigInteger, nullable=False),
    Column("aggregator", U64, nullable=False),
    Column("message_id", U64, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("market_us", BigInteger, nullable=False),
    Column("energy_wh", BigInteger, nullable=False),
    Column("price_micro_per_kwh", BigInteger, nullable=False),
    Column("bid_micro_per_kwh", BigInteger, nullable=False),
    Column("paid_micro", BigInteger, nullable=False),
    Column("bidders", Integer),
    Column("first_micro_per_kwh", BigInteger),
    Column("feed_in_micro_per_kwh", BigInteger),
    Column("delivery", String(12), nullable=False, default="pending"),
    Column("delivered_wh", BigInteger),
    Column("settlement", String(12)),
    Column("signature", String(96)),
    Index("trades_by_time", "time_us", "battery", "lot_id"),
    Index("trades_by_battery", "battery", "time_us", "lot_id"),
    Index("trades_by_aggregator", "aggregator", "time_us", "battery", "lot_id"),
    Index("trades_by_settlement", "settlement", "time_us", "battery", "lot_id"),
    Index("trades_by_delivery", "delivery", "time_us", "battery", "lot_id"),
    Index("trades_by_auction", "battery", "auction_id"),
    sqlite_with_rowid=False,
)

settlements = Table(
    "settlements",
    metadata,
    Column("battery", U64, primary_key=True),
    Column("lot_id", BigInteger, primary_key=True),
    Column("aggregator", U64, nullable=False),
    Column("state", String(12), nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("signature", String(96)),
    Column("confirmed_us", BigInteger, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Index("settlements_by_time", "time_us", "battery", "lot_id"),
    Index("settlements_by_state", "state", "time_us", "battery", "lot_id"),
    Index("settlements_by_battery", "battery", "time_us", "lot_id"),
    Index("settlements_by_aggregator", "aggregator", "time_us", "battery", "lot_id"),
    sqlite_with_rowid=False,
)


def _measures() -> tuple[Column[Any], ...]:
    return (
        Column("trades", BigInteger, nullable=False),
        Column("energy_wh", BigInteger, nullable=False),
        Column("paid_micro", BigInteger, nullable=False),
        # Trades that have such a price alone: energy and what it would have paid.
        Column("feed_in_wh", BigInteger, nullable=False),
        Column("feed_in_micro", BigInteger, nullable=False),
        Column("first_wh", BigInteger, nullable=False),
        Column("first_micro", BigInteger, nullable=False),
        # Moments for the ratio estimator: Σw², Σw²p, Σw²p² (w in kWh, p in µ/kWh), floats since they are only statistics.
        Column("w2", Float(53), nullable=False),
        Column("w2p", Float(53), nullable=False),
        Column("w2p2", Float(53), nullable=False),
    )


sums = Table(
    "sums",
    metadata,
    Column("hour_us", BigInteger, primary_key=True),  # market time
    Column("battery", U64, primary_key=True),
    Column("aggregator", U64, primary_key=True),
    Column("bidders", Integer, primary_key=True),  # 0: not known
    *_measures(),
    Index("sums_by_battery", "battery", "hour_us"),
    Index("sums_by_aggregator", "aggregator", "hour_us"),
    sqlite_with_rowid=False,
)
"""Trades of an hour of market time, added up as they come, so that statistics never read all trades."""

rollups = Table(
    "rollups",
    metadata,
    Column("level", String(16), primary_key=True),  # gateway.rollups says which there are
    Column("member", U64, primary_key=True),
    Column("span_us", BigInteger, primary_key=True),  # where the hour or day of market time begins; -1: all time
    Column("bidders", Integer, primary_key=True),
    *_measures(),
    sqlite_with_rowid=False,
)
"""`sums` added up once more: a store of a million trades has almost as many sums, and only some of these."""

samples = Table(
    "samples",
    metadata,
    Column("device_id", U64, primary_key=True),
    Column("time_us", BigInteger, primary_key=True),
    Column("market_us", BigInteger, nullable=False),
    Column("stored_wh", BigInteger, nullable=False),
    Column("for_sale_wh", BigInteger, nullable=False),
    Column("reserved_wh", BigInteger, nullable=False),
    Column("to_deliver_wh", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

latencies = Table(
    "latencies",
    metadata,
    Column("device_id", U64, primary_key=True),
    Column("what", String(8), primary_key=True),
    Column("message", String(24), primary_key=True),
    Column("histogram", Text, nullable=False),  # JSON of runtime.histogram.Histogram.as_dict, since the node started
    Column("time_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("seq", BigInteger),  # null: stored, and not yet in the stream (several gateways)
    Column("type", String(24), nullable=False),
    Column("device_id", U64, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("market_us", BigInteger, nullable=False),
    Column("event", LargeBinary, nullable=False),  # JSON as in the stream, but for epoch and seq
    Index("events_by_seq", "seq"),
    Index("events_by_time", "time_us", "number"),
    Index("events_by_type", "type", "time_us", "number"),
    Index("events_by_device", "device_id", "time_us", "number"),
)

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(8), nullable=False),
    Column("password", Text),  # argon2id; null: by link only
    Column("created_us", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token", LargeBinary(32), primary_key=True),  # SHA-256 of the cookie
    Column("user", String(64), nullable=False, index=True),
    Column("created_us", BigInteger, nullable=False),
    Column("used_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("secret", LargeBinary(32), nullable=False),  # SHA-256 of 32 random bytes: nothing to guess, so no slow hash
    Column("name", String(64), nullable=False),
    Column("scope", String(8), nullable=False),  # a role
    Column("created_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Column("revoked_us", BigInteger),
)

links = Table(
    "links",
    metadata,
    Column("token", LargeBinary(32), primary_key=True),  # SHA-256
    Column("user", String(64), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
)
"""One-time login links."""

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("time_us", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("what", String(40), nullable=False),
    Column("detail", Text, nullable=False),
)
