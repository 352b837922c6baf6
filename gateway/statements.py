"""The SQL of the ingest, for SQLite and PostgreSQL from one text: each statement takes any number of rows at once.

A statement begins `WITH k(columns) AS (rows)`, and works on `k`. SQLite gets the rows as VALUES, PostgreSQL as one array a
column: so a transaction of thousands of rows is a dozen statements in either.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, Table

from gateway import tables
from gateway.bodies import MOST_COUNT

MOST_HELD: Final = 5_000
"""Bids that came before their lot's row and are told with it: the lot's first ones, as many as REST shows. A node that made up
a million could otherwise have them all told in one transaction."""
_TYPES: Final = (
    (tables.U64, "bigint"),
    (BigInteger, "bigint"),
    (Integer, "integer"),
    (Boolean, "boolean"),
    (Float, "float8"),
    (LargeBinary, "bytea"),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL over rows `k`. `columns`: (name, type at PostgreSQL) of a row."""

    columns: tuple[tuple[str, str], ...]
    text: str
    reads: bool = False
    """Whether it gives rows."""

    @property
    def _head(self) -> str:
        names = ", ".join(f'"{name}"' for name, _ in self.columns)
        return f"WITH k({names}) AS "

    def sqlite(self, count: int) -> str:
        """For `count` rows, one parameter a value."""
        places = f"({', '.join('?' * len(self.columns))})"
        return f"{self._head}(VALUES {', '.join([places] * count)}) {self.text}"

    def postgres(self) -> str:
        """For any number of rows, one array a column."""
        arrays = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(self.columns, 1))
        return f"{self._head}(SELECT * FROM unnest({arrays})) {self.text}"  # noqa: S608 - our own texts


def _column(column: Column[object]) -> tuple[str, str]:
    kind = next((kind for found, kind in _TYPES if isinstance(column.type, found)), "text")
    return column.name, kind


def _of(table: Table, *names: str) -> tuple[tuple[str, str], ...]:
    return tuple(_column(column) for column in table.columns if not names or column.name in names)


def _insert(table: Table, *, conflict: str = "DO NOTHING") -> Statement:
    columns = _of(table)
    names = ", ".join(name for name, _ in columns)
    key = ", ".join(column.name for column in table.primary_key.columns)
    text = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM k WHERE true ON CONFLICT ({key}) {conflict}"  # noqa: S608
    return Statement(columns, text)


def _replace(table: Table) -> Statement:
    values = [column.name for column in table.columns if not column.primary_key]
    return _insert(table, conflict="DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in values))


def _grown(table: str, name: str, added: str) -> str:
    """A sum that stops at what JSON's readers know exactly: only made-up trades get there, and they must not stop the rest."""
    return f"{name} = CASE WHEN {table}.{name} > {MOST_COUNT} - {added} THEN {MOST_COUNT} ELSE {table}.{name} + {added} END"


_MOMENTS: Final = ("w2", "w2p", "w2p2")
_NODE_SUMS: Final = ("trades", "energy_wh", "paid_micro", "settled", "settled_micro", "lots_bid", "lots_won")
_KEY: Final = (("battery", "bigint"), ("lot_id", "bigint"))


def _sums(table: Table) -> Statement:
    grown = [
        f"{column.name} = {table.name}.{column.name} + excluded.{column.name}"
        if column.name in _MOMENTS
        else _grown(table.name, column.name, f"excluded.{column.name}")
        for column in table.columns
        if not column.primary_key
    ]
    return _insert(table, conflict="DO UPDATE SET " + ", ".join(grown))


def _sellers() -> Statement:
    grown = ", ".join(_grown("nodes", name, f"k.{name}") for name in _NODE_SUMS)
    text = f"UPDATE nodes SET {grown} FROM k WHERE nodes.device_id = k.device_id AND nodes.role = 'bess'"  # noqa: S608
    return Statement(_of(tables.nodes, "device_id", *_NODE_SUMS), text)


def _buyers() -> Statement:
    """A buyer that has published nothing has a row too, with an empty journal: its sums are there when it comes."""
    names = ", ".join(_NODE_SUMS)
    grown = ", ".join(_grown("nodes", name, f"excluded.{name}") for name in _NODE_SUMS)
    text = (
        f'INSERT INTO nodes (device_id, role, about, first_seen_us, last_seen_us, journal, fork, "row", row_hash, bid, {names})'  # noqa: S608
        f" SELECT device_id, 'aggregator', '{{}}', first_seen_us, first_seen_us, '', 0, 0, '', 0, {names} FROM k WHERE true"
        f" ON CONFLICT (device_id) DO UPDATE SET {grown} WHERE nodes.role = 'aggregator'"
    )
    return Statement(_of(tables.nodes, "device_id", "first_seen_us", *_NODE_SUMS), text)


INSERT_ROWS: Final = _insert(tables.rows)
INSERT_BIDS: Final = _insert(tables.bids)
INSERT_LOTS: Final = _insert(tables.lots)
INSERT_TRADES: Final = _insert(tables.trades)
INSERT_EVENTS: Final = _insert(tables.events)
INSERT_SAMPLES: Final = _insert(tables.samples)
PUT_SETTLEMENTS: Final = _replace(tables.settlements)
PUT_LATENCIES: Final = _replace(tables.latencies)
PUT_META: Final = _replace(tables.meta)
ADD_SUMS: Final = _sums(tables.sums)
ADD_ROLLUPS: Final = _sums(tables.rollups)
ADD_SELLERS: Final = _sellers()
ADD_BUYERS: Final = _buyers()
PAY: Final = Statement(
    (*_KEY, ("settlement", "text"), ("signature", "text")),
    "UPDATE trades SET settlement = k.settlement, signature = k.signature FROM k"
    " WHERE trades.battery = k.battery AND trades.lot_id = k.lot_id",
)
DELIVER: Final = Statement(
    (*_KEY, ("delivery", "text"), ("delivered_wh", "bigint")),
    "UPDATE trades SET delivery = k.delivery, delivered_wh = k.delivered_wh FROM k"
    " WHERE trades.battery = k.battery AND trades.lot_id = k.lot_id",
)
ADVANCE: Final = Statement(
    _of(tables.nodes, "device_id", "last_seen_us", "row", "row_hash", "bid"),
    'UPDATE nodes SET last_seen_us = k.last_seen_us, "row" = k."row", row_hash = k.row_hash, bid = k.bid FROM k'
    " WHERE nodes.device_id = k.device_id",
)
PUT_STATUS: Final = Statement(
    (("device_id", "bigint"), ("status", "text"), ("last_seen_us", "bigint")),
    "UPDATE nodes SET status = k.status, last_seen_us = k.last_seen_us FROM k WHERE nodes.device_id = k.device_id",
)
PUT_METRICS: Final = Statement(
    (("device_id", "bigint"), ("metrics", "text")),
    "UPDATE nodes SET metrics = k.metrics FROM k WHERE nodes.device_id = k.device_id",
)
PUT_NODE: Final = Statement(
    _of(
        tables.nodes,
        *(
            "device_id",
            "role",
            "key",
            "about",
            "first_seen_us",
            "last_seen_us",
            "journal",
            "fork",
            "row",
            "row_hash",
            "bid",
        ),
    ),
    'INSERT INTO nodes (device_id, role, "key", about, first_seen_us, last_seen_us, journal, fork, "row", row_hash, bid,'
    " trades, energy_wh, paid_micro, settled, settled_micro, lots_bid, lots_won)"
    ' SELECT device_id, role, "key", about, first_seen_us, last_seen_us, journal, fork, "row", row_hash, bid,'
    " 0, 0, 0, 0, 0, 0, 0 FROM k WHERE true"
    ' ON CONFLICT (device_id) DO UPDATE SET role = excluded.role, "key" = excluded."key", about = excluded.about,'
    " last_seen_us = excluded.last_seen_us, journal = excluded.journal, fork = excluded.fork,"
    ' "row" = excluded."row", row_hash = excluded.row_hash, bid = excluded.bid',
)
"""A node that has said who it is; its sums stay."""
EMPTY_SUMS: Final = Statement(
    (("device_id", "bigint"),),
    f"UPDATE nodes SET {', '.join(f'{name} = 0' for name in _NODE_SUMS)} FROM k WHERE nodes.device_id = k.device_id",  # noqa: S608
)
"""What was counted for a buyer of this id, which turns out to be a battery."""

POSITIONS: Final = Statement(
    (("device_id", "bigint"),),
    'SELECT k.device_id, n.role, n.journal, n.fork, n."row", n.row_hash, n.bid FROM k'
    " CROSS JOIN nodes n WHERE n.device_id = k.device_id",
    reads=True,
)
KNOWN_LOTS: Final = Statement(
    _KEY,
    "SELECT l.battery, l.lot_id, l.bidders, l.first_micro_per_kwh FROM k CROSS JOIN lots l"
    " WHERE l.battery = k.battery AND l.lot_id = k.lot_id",
    reads=True,
)
KNOWN_TRADES: Final = Statement(
    _KEY,
    "SELECT t.battery, t.lot_id, t.aggregator, t.delivery, t.settlement FROM k CROSS JOIN trades t"
    " WHERE t.battery = k.battery AND t.lot_id = k.lot_id",
    reads=True,
)
FIRST_BIDS: Final = Statement(
    _KEY,
    ", f AS (SELECT b.battery, b.lot_id, b.bidder, b.fork, MIN(b.number) AS number FROM k CROSS JOIN bids b"
    " WHERE b.battery = k.battery AND b.lot_id = k.lot_id AND b.state = 'standing'"
    " GROUP BY b.battery, b.lot_id, b.bidder, b.fork)"
    " SELECT f.battery, f.lot_id, f.bidder, f.fork, f.number, p.price_micro_per_kwh FROM f CROSS JOIN bids p"
    " WHERE p.battery = f.battery AND p.fork = f.fork AND p.number = f.number",
    reads=True,
)
HELD_BIDS: Final = Statement(
    _KEY,
    ", h AS (SELECT b.*, ROW_NUMBER() OVER (PARTITION BY b.battery, b.lot_id ORDER BY b.fork, b.number) AS place"  # noqa: S608
    " FROM k CROSS JOIN bids b WHERE b.battery = k.battery AND b.lot_id = k.lot_id)"
    " SELECT battery, fork, number, lot_id, bidder, message_id, energy_wh, price_micro_per_kwh, state, time_us FROM h"
    f" WHERE place <= {MOST_HELD}",
    reads=True,
)
"""Bids of a lot that came before its row did."""
SEEN_ROWS: Final = Statement(
    (("device_id", "bigint"), ("fork", "integer"), ("seq", "bigint"), ("hash", "text")),
    "SELECT DISTINCT k.device_id, k.seq FROM k CROSS JOIN rows r WHERE r.device_id = k.device_id AND r.fork < k.fork"
    " AND r.seq = k.seq AND r.hash = k.hash",
    reads=True,
)
"""Rows that a copy of the same journal has said before."""
SEEN_BIDS: Final = Statement(
    (
        *(("battery", "bigint"), ("fork", "integer"), ("number", "bigint"), ("lot_id", "bigint")),
        *(("bidder", "bigint"), ("message_id", "bigint"), ("time_us", "bigint")),
    ),
    "SELECT DISTINCT k.battery, k.number FROM k CROSS JOIN bids b WHERE b.battery = k.battery AND b.fork < k.fork"
    " AND b.number = k.number AND b.lot_id = k.lot_id AND b.bidder = k.bidder AND b.message_id = k.message_id"
    " AND b.time_us = k.time_us",
    reads=True,
)
OWED_EARLY: Final = Statement(
    _KEY,
    "SELECT r.device_id, r.fork, r.seq, r.hash, r.lot_id, r.state, r.time_us, r.body FROM k CROSS JOIN rows r"
    " WHERE r.device_id = k.battery AND r.lot_id = k.lot_id AND r.kind = 'settlement'",
    reads=True,
)
"""Payments that came before their trades: journals of older versions say so."""
NEWEST_BID: Final = Statement(
    (("device_id", "bigint"), ("fork", "integer"), ("bid", "bigint")),
    "SELECT b.number, b.lot_id, b.bidder, b.message_id, b.energy_wh, b.price_micro_per_kwh, b.state, b.time_us FROM bids b"
    " WHERE b.battery = (SELECT device_id FROM k) AND b.fork = (SELECT fork FROM k) AND b.number <= (SELECT bid FROM k)"
    " ORDER BY b.number DESC LIMIT 1",
    reads=True,
)
META: Final = Statement(
    (("name", "text"),), "SELECT m.name, m.value FROM k CROSS JOIN meta m WHERE m.name = k.name", reads=True
)
LAST_NUMBER: Final = Statement((("nothing", "integer"),), "SELECT COALESCE(MAX(e.number), 0) FROM events e", reads=True)
NUMBERED: Final = Statement(
    (("number", "bigint"), ("seq", "bigint")),
    "UPDATE events SET seq = k.seq FROM k WHERE events.number = k.number AND events.seq IS NULL",
)
"""What a bus has numbered."""
OLD_EVENTS: Final = Statement(
    (("before_us", "bigint"), ("most", "bigint")),
    "SELECT e.number, e.seq FROM events e WHERE e.time_us < (SELECT before_us FROM k) AND e.seq IS NOT NULL"
    " ORDER BY e.time_us, e.number LIMIT (SELECT most FROM k)",
    reads=True,
)
"""By time, not by number: events of a node whose clock is ahead hold up no others. What a bus has not told yet stays."""
DROP_EVENTS: Final = Statement((("number", "bigint"),), "DELETE FROM events WHERE number IN (SELECT number FROM k)")
OLD_SAMPLES: Final = Statement(
    (("device_id", "bigint"), ("before_us", "bigint"), ("most", "bigint")),
    "SELECT s.time_us FROM samples s WHERE s.device_id = (SELECT device_id FROM k)"
    " AND s.time_us < (SELECT before_us FROM k) ORDER BY s.time_us LIMIT (SELECT most FROM k)",
    reads=True,
)
DROP_SAMPLES: Final = Statement(
    (("device_id", "bigint"), ("time_us", "bigint")),
    "DELETE FROM samples WHERE (device_id, time_us) IN (SELECT device_id, time_us FROM k)",
)
NODE_IDS: Final = Statement((("nothing", "integer"),), "SELECT device_id FROM nodes ORDER BY device_id", reads=True)
