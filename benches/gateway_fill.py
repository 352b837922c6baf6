"""A gateway's store with any number of trades, made by the database itself: everything that a list, filter or statistic reads.

1,000 batteries sell to 50 aggregators, a trade every 8.64 s, so that a million are 100 days; a million lots, payments and events
with them. Values are spread by a multiplier, so that no filter finds its rows side by side.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateIndex, DropIndex

from gateway import tables
from gateway.io.database import upgrade

BATTERIES: Final = 1_000
AGGREGATORS: Final = 50
FIRST_BATTERY: Final = 100_001
FIRST_AGGREGATOR: Final = 500_001
FIRST_US: Final = 1_600_000_000_000_000
STEP_US: Final = 8_640_000
FILLED: Final = ("trades", "lots", "settlements", "events", "sums", "rollups")
SAMPLES: Final = 200
"""Of each battery."""
_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR
_SPREAD: Final = 2_654_435_761
"""Knuth's multiplier: 2^32 divided by the golden ratio."""
_MEASURES: Final = (
    *("trades", "energy_wh", "paid_micro", "feed_in_wh", "feed_in_micro", "first_wh", "first_micro"),
    *("w2", "w2p", "w2p2"),
)


class Names(NamedTuple):
    """What the two databases write differently."""

    numbers: str
    blob: str


SQLITE: Final = Names(
    "(WITH RECURSIVE g(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g WHERE n < {last}) SELECT n FROM g)",
    "CAST({} AS BLOB)",
)
POSTGRES: Final = Names("generate_series(0::bigint, {last}::bigint) AS g(n)", "convert_to({}, 'UTF8')")

_BATTERY: Final = f"{FIRST_BATTERY} + (n * {_SPREAD}) % {BATTERIES}"
_AGGREGATOR: Final = f"{FIRST_AGGREGATOR} + (n * {_SPREAD} / 4096) % {AGGREGATORS}"
_TIME: Final = f"{FIRST_US} + n * {STEP_US}"
_LOT: Final = f"{FIRST_US} + n * {STEP_US} - 2000000"
_ENERGY: Final = "500 + n % 2500"
_PRICE: Final = f"100000 + (n * {_SPREAD} / 16) % 100000"
_BIDDERS: Final = "1 + n % 4"
_STATE: Final = "CASE WHEN n % 5000 = 7 THEN 'disputed' WHEN n % 200 = 9 THEN 'settling' ELSE 'settled' END"
_DELIVERY: Final = "CASE WHEN n % 4000 = 11 THEN 'short' ELSE 'delivered' END"


def trade_key(number: int) -> tuple[int, int, int]:
    """(time_us, battery, lot_id) of the trade of this number: what a cursor after it names."""
    time_us = FIRST_US + number * STEP_US
    return time_us, FIRST_BATTERY + (number * _SPREAD) % BATTERIES, time_us - 2_000_000


def _columns(table: str) -> str:
    return ", ".join(f'"{column.name}"' for column in tables.metadata.tables[table].columns)


def statements(count: int, names: Names) -> Iterator[str]:
    """What fills the tables, in order."""
    numbers = names.numbers.format(last=count - 1)
    yield _nodes(names, count)
    yield from _latencies(names)
    paid = f"({_PRICE}) * ({_ENERGY}) / 1000"
    yield (
        f"INSERT INTO trades ({_columns('trades')}) SELECT {_BATTERY}, {_LOT}, {_LOT}, {_AGGREGATOR}, {_TIME} - 1000000, {_TIME},"  # noqa: S608
        f" {_TIME}, {_ENERGY}, {_PRICE}, {_PRICE}, {paid}, {_BIDDERS}, 90000 + n % 10000, 80000, {_DELIVERY}, {_ENERGY},"
        f" {_STATE}, NULL FROM {numbers}"
    )
    yield (
        f"INSERT INTO lots ({_columns('lots')}) SELECT {_BATTERY}, {_LOT},"  # noqa: S608
        " CASE WHEN n % 10 = 3 THEN 'vickrey' ELSE 'english' END, CASE WHEN n % 3000 = 5 THEN 'void' ELSE 'reserved' END,"
        f" {_ENERGY}, 100000, {_LOT}, {_TIME} - 50000, {_TIME}, 4, {_BIDDERS}, 90000, {_AGGREGATOR}, {_PRICE}, false, '{'ab' * 32}'"
        f" FROM {numbers}"
    )
    yield (
        f"INSERT INTO settlements ({_columns('settlements')}) SELECT {_BATTERY}, {_LOT}, {_AGGREGATOR}, {_STATE}, {paid}, '', NULL,"  # noqa: S608
        f" {_TIME}, {_TIME} + 14000000 FROM {numbers}"
    )
    event = (
        f'\'{{"type":"TradeConfirmed","id":"\' || ({_BATTERY}) || \'/0/\' || n || \'","node":"\' || ({_BATTERY}) ||'
        f' \'","time_us":\' || ({_TIME}) || \',"market_us":\' || ({_TIME}) || \',"lot_id":"\' || ({_LOT}) ||'
        f' \'","auction_id":"\' || ({_LOT}) || \'","aggregator":"\' || ({_AGGREGATOR}) || \'","message_id":"\' || ({_TIME}) ||'
        f' \'","energy_wh":\' || ({_ENERGY}) || \',"price_micro_per_kwh":\' || ({_PRICE}) || \',"bid_micro_per_kwh":\' || ({_PRICE})'
        f" || ',\"paid_micro\":' || ({paid}) ||"
        ' \',"bidders":2,"first_micro_per_kwh":90000,"feed_in_micro_per_kwh":80000}\''
    )
    kind = "CASE WHEN n % 20000 = 1 THEN 'SecurityEvent' ELSE 'TradeConfirmed' END"
    yield (
        f"INSERT INTO events ({_columns('events')}) SELECT n + 1, n + 1, {kind}, {_BATTERY}, {_TIME}, {_TIME},"  # noqa: S608
        f" {names.blob.format(event)} FROM {numbers}"
    )
    yield from _sums()
    samples = names.numbers.format(last=BATTERIES * SAMPLES - 1)
    yield (
        f"INSERT INTO samples ({_columns('samples')}) SELECT {FIRST_BATTERY} + n % {BATTERIES}, {FIRST_US} + n * 1000000,"  # noqa: S608
        f" {FIRST_US} + n * 1000000, 9000, 2000, 0, 500 FROM {samples}"
    )


_HISTOGRAM: Final = json.dumps(
    {
        "count": 5_000,
        "p50_ms": 2.5,
        "p90_ms": 4.5,
        "p99_ms": 9.5,
        "worst_ms": 41.0,
        "over_budget": 0,
        "sum_us": 13_000_000,
    }
    | {"buckets": {str(50 + number): 200 for number in range(25)}},
    separators=(",", ":"),
)
_MESSAGES: Final = ("QUERY", "BID", "CONFIRM", "TERMINATE", "RESPONSE", "ACCEPT", "REJECT", "STATUS")
_STATUS: Final = json.dumps(
    {"type": "BESSNodeStatus", "node": "100001", "time_us": FIRST_US, "market_us": FIRST_US, "online": True}
    | {"mechanism": "english", "capacity_wh": 13_500, "stored_wh": 9_000, "for_sale_wh": 2_000, "reserved_wh": 0}
    | {"to_deliver_wh": 500, "health": "excellent", "voltage_mv": 51_200, "discharge_w": 0, "temperature_mc": None}
    | {"failure": None, "sessions": 40, "unsettled": 0, "oldest_unsettled_us": None},
    separators=(",", ":"),
)


def _latencies(names: Names) -> Iterator[str]:
    """Of every node, eight types."""
    for message in _MESSAGES:
        what = "reply" if message in ("RESPONSE", "REJECT") else "age"
        yield (
            f"INSERT INTO latencies ({_columns('latencies')}) SELECT CASE WHEN n < {BATTERIES} THEN {FIRST_BATTERY} + n"  # noqa: S608
            f" ELSE {FIRST_AGGREGATOR} + n - {BATTERIES} END, '{what}', '{message}', '{_HISTOGRAM}', {FIRST_US}"
            f" FROM {names.numbers.format(last=BATTERIES + AGGREGATORS - 1)}"
        )


def _nodes(names: Names, count: int) -> str:
    """Their sums are those of the trades, near enough for a page to show."""
    each = f"{count} / CASE WHEN n < {BATTERIES} THEN {BATTERIES} ELSE {AGGREGATORS} END"
    about = (
        f'CASE WHEN n < {BATTERIES} THEN \'{{"mechanism":"english","capacity_wh":13500}}\''
        ' ELSE \'{"strategy":"truthful","demand_wh":900000}\' END'
    )
    return (
        f"INSERT INTO nodes ({_columns('nodes')}) SELECT CASE WHEN n < {BATTERIES} THEN {FIRST_BATTERY} + n"  # noqa: S608
        f" ELSE {FIRST_AGGREGATOR} + n - {BATTERIES} END, CASE WHEN n < {BATTERIES} THEN 'bess' ELSE 'aggregator' END,"
        f" '{'ab' * 32}', {about}, {FIRST_US}, {FIRST_US}, 'bench', 0, 9, '', 9,"
        f" CASE WHEN n < {BATTERIES} THEN '{_STATUS}' END, NULL, {each}, {each} * 1750,"
        f" {each} * 262500, {each}, {each} * 262500, {each}, {each} FROM {names.numbers.format(last=BATTERIES + AGGREGATORS - 1)}"
    )


def _sums() -> Iterator[str]:
    w, p = "(energy_wh / 1000.0)", "price_micro_per_kwh"
    measures = (
        "count(*), sum(energy_wh), sum(paid_micro), sum(energy_wh), sum(80 * energy_wh), sum(energy_wh),"
        f" sum(first_micro_per_kwh * energy_wh / 1000), sum({w} * {w}), sum({w} * {w} * {p}), sum({w} * {w} * {p} * {p})"
    )
    hour = f"market_us / {_HOUR} * {_HOUR}"
    yield (
        f"INSERT INTO sums ({_columns('sums')}) SELECT {hour}, battery, aggregator, bidders, {measures}"  # noqa: S608
        f" FROM trades GROUP BY {hour}, battery, aggregator, bidders"
    )
    added = ", ".join(f"sum({name})" for name in _MEASURES)
    day = f"hour_us / {_DAY} * {_DAY}"
    levels = [("hours", "0", "hour_us", "bidders"), ("buyer_hours", "aggregator", "hour_us", "bidders")]
    for level, member in (("batteries", "battery"), ("aggregators", "aggregator")):
        levels += [(level, member, day, "-1"), (level, member, "-1", "-1")]
    for level, member, span, bidders in levels:
        yield (
            f"INSERT INTO rollups ({_columns('rollups')}) SELECT '{level}' AS l, {member} AS m, {span} AS s, {bidders} AS b, {added}"  # noqa: S608
            " FROM sums GROUP BY l, m, s, b"
        )


def _indexes(dialect: object) -> Iterator[tuple[str, str]]:
    """(drop, create): an index is made ten times faster of what is there than row by row."""
    for name in FILLED:
        for index in sorted(tables.metadata.tables[name].indexes, key=lambda each: str(each.name)):
            yield (
                str(DropIndex(index).compile(dialect=dialect)),  # type: ignore[arg-type]
                str(CreateIndex(index).compile(dialect=dialect)),  # type: ignore[arg-type]
            )


def fill_sqlite(path: Path, count: int) -> None:
    """Make a store of `count` trades."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as migrating:
        upgrade(migrating)
    engine.dispose()
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    indexes = list(_indexes(sqlite.dialect()))
    for drop, _ in indexes:
        connection.execute(drop)
    for statement in statements(count, SQLITE):
        connection.execute(statement)
    for _, create in indexes:
        connection.execute(create)
    connection.execute("COMMIT")
    connection.close()


async def fill_postgres(url: str, count: int) -> None:
    """Make a store of `count` trades in an empty database."""
    engine = create_async_engine(url)
    indexes = list(_indexes(postgresql.dialect()))
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
        for drop, _ in indexes:
            await connection.execute(text(drop))
        for statement in statements(count, POSTGRES):
            await connection.exec_driver_sql(statement)
        for _, create in indexes:
            await connection.execute(text(create))
    async with engine.connect() as connection:
        whole = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await whole.exec_driver_sql("VACUUM ANALYZE")  # what its own housekeeping does within minutes
    await engine.dispose()
