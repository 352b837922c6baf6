"""The first form of the store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SAMPLES_CHUNK_US = 7 * 86_400_000_000
"""A hypertable's chunk, µs: a week of 1,000 batteries at a sample a second is what a query of a day touches one of."""


def upgrade() -> None:
    """Make the tables, and hypertables of the samples where TimescaleDB is installed in this database."""
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("secret", sa.LargeBinary(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "bids",
        sa.Column("battery", sa.BigInteger(), nullable=False),
        sa.Column("fork", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("bidder", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("price_micro_per_kwh", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("battery", "fork", "number"),
        sqlite_with_rowid=False,
    )
    op.create_index("bids_by_lot", "bids", ["battery", "lot_id", "fork", "number"], unique=False)
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.String(length=24), nullable=False),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("market_us", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("events_by_device", "events", ["device_id", "time_us", "number"], unique=False)
    op.create_index("events_by_seq", "events", ["seq"], unique=False)
    op.create_index("events_by_time", "events", ["time_us", "number"], unique=False)
    op.create_index("events_by_type", "events", ["type", "time_us", "number"], unique=False)
    op.create_table(
        "latencies",
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(length=8), nullable=False),
        sa.Column("message", sa.String(length=24), nullable=False),
        sa.Column("histogram", sa.Text(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "what", "message"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "links",
        sa.Column("token", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_table(
        "lots",
        sa.Column("battery", sa.BigInteger(), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("mechanism", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("reserve_micro_per_kwh", sa.BigInteger(), nullable=True),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=False),
        sa.Column("market_us", sa.BigInteger(), nullable=False),
        sa.Column("bids", sa.Integer(), nullable=False),
        sa.Column("bidders", sa.Integer(), nullable=False),
        sa.Column("first_micro_per_kwh", sa.BigInteger(), nullable=True),
        sa.Column("setter", sa.BigInteger(), nullable=True),
        sa.Column("setter_micro_per_kwh", sa.BigInteger(), nullable=True),
        sa.Column("capped", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("battery", "lot_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("lots_by_battery", "lots", ["battery", "closed_us", "lot_id"], unique=False)
    op.create_index("lots_by_mechanism", "lots", ["mechanism", "closed_us", "battery", "lot_id"], unique=False)
    op.create_index("lots_by_state", "lots", ["state", "closed_us", "battery", "lot_id"], unique=False)
    op.create_index("lots_by_time", "lots", ["closed_us", "battery", "lot_id"], unique=False)
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "nodes",
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("first_seen_us", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_us", sa.BigInteger(), nullable=False),
        sa.Column("journal", sa.String(length=64), nullable=False),
        sa.Column("fork", sa.Integer(), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("row_hash", sa.String(length=64), nullable=False),
        sa.Column("bid", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("metrics", sa.Text(), nullable=True),
        sa.Column("trades", sa.BigInteger(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("paid_micro", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.Column("settled_micro", sa.BigInteger(), nullable=False),
        sa.Column("lots_bid", sa.BigInteger(), nullable=False),
        sa.Column("lots_won", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device_id"),
    )
    op.create_table(
        "rollups",
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("member", sa.BigInteger(), nullable=False),
        sa.Column("span_us", sa.BigInteger(), nullable=False),
        sa.Column("bidders", sa.Integer(), nullable=False),
        sa.Column("trades", sa.BigInteger(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("paid_micro", sa.BigInteger(), nullable=False),
        sa.Column("feed_in_wh", sa.BigInteger(), nullable=False),
        sa.Column("feed_in_micro", sa.BigInteger(), nullable=False),
        sa.Column("first_wh", sa.BigInteger(), nullable=False),
        sa.Column("first_micro", sa.BigInteger(), nullable=False),
        sa.Column("w2", sa.Float(precision=53), nullable=False),
        sa.Column("w2p", sa.Float(precision=53), nullable=False),
        sa.Column("w2p2", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("level", "member", "span_us", "bidders"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rows",
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("fork", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "fork", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_index("rows_by_lot", "rows", ["device_id", "lot_id", "time_us"], unique=False)
    op.create_table(
        "samples",
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("market_us", sa.BigInteger(), nullable=False),
        sa.Column("stored_wh", sa.BigInteger(), nullable=False),
        sa.Column("for_sale_wh", sa.BigInteger(), nullable=False),
        sa.Column("reserved_wh", sa.BigInteger(), nullable=False),
        sa.Column("to_deliver_wh", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "time_us"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sessions",
        sa.Column("token", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_index(op.f("ix_sessions_user"), "sessions", ["user"], unique=False)
    op.create_table(
        "settlements",
        sa.Column("battery", sa.BigInteger(), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("aggregator", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("signature", sa.String(length=96), nullable=True),
        sa.Column("confirmed_us", sa.BigInteger(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("battery", "lot_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "settlements_by_aggregator", "settlements", ["aggregator", "time_us", "battery", "lot_id"], unique=False
    )
    op.create_index("settlements_by_battery", "settlements", ["battery", "time_us", "lot_id"], unique=False)
    op.create_index("settlements_by_state", "settlements", ["state", "time_us", "battery", "lot_id"], unique=False)
    op.create_index("settlements_by_time", "settlements", ["time_us", "battery", "lot_id"], unique=False)
    op.create_table(
        "sums",
        sa.Column("hour_us", sa.BigInteger(), nullable=False),
        sa.Column("battery", sa.BigInteger(), nullable=False),
        sa.Column("aggregator", sa.BigInteger(), nullable=False),
        sa.Column("bidders", sa.Integer(), nullable=False),
        sa.Column("trades", sa.BigInteger(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("paid_micro", sa.BigInteger(), nullable=False),
        sa.Column("feed_in_wh", sa.BigInteger(), nullable=False),
        sa.Column("feed_in_micro", sa.BigInteger(), nullable=False),
        sa.Column("first_wh", sa.BigInteger(), nullable=False),
        sa.Column("first_micro", sa.BigInteger(), nullable=False),
        sa.Column("w2", sa.Float(precision=53), nullable=False),
        sa.Column("w2p", sa.Float(precision=53), nullable=False),
        sa.Column("w2p2", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("hour_us", "battery", "aggregator", "bidders"),
        sqlite_with_rowid=False,
    )
    op.create_index("sums_by_aggregator", "sums", ["aggregator", "hour_us"], unique=False)
    op.create_index("sums_by_battery", "sums", ["battery", "hour_us"], unique=False)
    op.create_table(
        "trades",
        sa.Column("battery", sa.BigInteger(), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("auction_id", sa.BigInteger(), nullable=False),
        sa.Column("aggregator", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("market_us", sa.BigInteger(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("price_micro_per_kwh", sa.BigInteger(), nullable=False),
        sa.Column("bid_micro_per_kwh", sa.BigInteger(), nullable=False),
        sa.Column("paid_micro", sa.BigInteger(), nullable=False),
        sa.Column("bidders", sa.Integer(), nullable=True),
        sa.Column("first_micro_per_kwh", sa.BigInteger(), nullable=True),
        sa.Column("feed_in_micro_per_kwh", sa.BigInteger(), nullable=True),
        sa.Column("delivery", sa.String(length=12), nullable=False),
        sa.Column("delivered_wh", sa.BigInteger(), nullable=True),
        sa.Column("settlement", sa.String(length=12), nullable=True),
        sa.Column("signature", sa.String(length=96), nullable=True),
        sa.PrimaryKeyConstraint("battery", "lot_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("trades_by_aggregator", "trades", ["aggregator", "time_us", "battery", "lot_id"], unique=False)
    op.create_index("trades_by_auction", "trades", ["battery", "auction_id"], unique=False)
    op.create_index("trades_by_battery", "trades", ["battery", "time_us", "lot_id"], unique=False)
    op.create_index("trades_by_delivery", "trades", ["delivery", "time_us", "battery", "lot_id"], unique=False)
    op.create_index("trades_by_settlement", "trades", ["settlement", "time_us", "battery", "lot_id"], unique=False)
    op.create_index("trades_by_time", "trades", ["time_us", "battery", "lot_id"], unique=False)
    op.create_table(
        "users",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    _make_hypertables()


def _make_hypertables() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    installed = connection.scalar(sa.text("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"))
    if installed:
        connection.execute(
            sa.text("SELECT create_hypertable('samples', 'time_us', chunk_time_interval => CAST(:chunk AS bigint))"),
            {"chunk": SAMPLES_CHUNK_US},
        )


def downgrade() -> None:
    """Not offered: a store is brought back from its backup."""
    raise NotImplementedError("a store is never brought back to an older form; restore its backup")
