"""Journals of older versions say what is owed before they say for which trade: it is kept, and counts from the trade on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from gateway import tables
from gateway.batch import Batch, checked
from gateway.events import Event, SettlementUpdated, TradeConfirmed
from gateway.io.store import Store
from runtime.feed.wire import FeedRow
from tests.gateway.journals import Journal, busy_market


def owed(*, first: bool) -> Journal:
    """A journal whose trades are owed and not yet paid; what is owed stands before its trade, or after it."""
    whole = busy_market("uniform", trades=3)[0]
    rows = [row for row in whole.rows if row.kind != "settlement" or row.state == "confirmed"]
    for row in [row for row in rows if row.kind == "settlement" and first]:
        rows.remove(row)
        trade = next(n for n, other in enumerate(rows) if (other.kind, other.lot_id) == ("trade", row.lot_id))
        rows.insert(trade - 1, row)
    return replace(whole, rows=tuple(msgspec.structs.replace(row, seq=seq) for seq, row in enumerate(rows, 1)), bids=())


def cut(journal: Journal, size: int) -> Iterator[Sequence[FeedRow]]:
    """Its rows, so many at a time."""
    for begin in range(0, len(journal.rows), size):
        yield journal.rows[begin : begin + size]


async def stored(database: str, journal: Journal, size: int) -> tuple[dict[str, Any], list[Event]]:
    """What a store has of it that came so many rows at a time."""
    store = await Store.open(database)
    told: list[Event] = []
    store.on_events = told.extend
    found: dict[str, Any] = {}
    try:
        position = await store.position(journal.facts, 1)
        after = position.row
        for rows in cut(journal, size):
            batch = [checked(row, "bess") for row in rows]
            await store.ingest(Batch(journal.origin(), after, batch, rows[-1].seq, rows[-1].hash, 0, [], 0))
            after = rows[-1].seq
        async with store.engine.connect() as connection:
            for table in (tables.trades, tables.settlements):
                query = select(table).order_by(*table.primary_key.columns)
                found[table.name] = [tuple(row) for row in await connection.execute(query)]
    finally:
        await store.close()
    return found, told


@pytest.mark.parametrize("size", [1, 10_000])
async def test_what_is_owed_before_its_trade_is_owed(database: str, tmp_path: Any, size: int) -> None:
    """In one transaction or in several: the tables are those of the right order, and it is told after its trade."""
    right, _ = await stored(f"sqlite+aiosqlite:///{tmp_path / 'right.sqlite'}", owed(first=False), 10_000)
    assert len(right["settlements"]) == len(right["trades"]) >= 3
    journal = owed(first=True)
    kinds = [(row.kind, row.lot_id) for row in journal.rows if row.kind in ("trade", "settlement")]
    assert kinds[0][0] == "settlement"
    found, told = await stored(database, journal, size)
    assert found == right
    said = [(type(event), event.lot_id) for event in told if isinstance(event, TradeConfirmed | SettlementUpdated)]
    lots = [str(lot_id) for kind, lot_id in kinds if kind == "trade"]
    assert said == [(kind, lot_id) for lot_id in lots for kind in (TradeConfirmed, SettlementUpdated)]


async def test_a_payment_without_a_trade_changes_nothing(database: str) -> None:
    """It is evidence; and another buyer's is none of the trade's."""
    journal = owed(first=True)
    early = next(row for row in journal.rows if row.kind == "settlement")
    edit = msgspec.structs.replace
    alone = replace(journal, rows=(edit(early, seq=1),))
    assert (await stored(database, alone, 1))[0]["settlements"] == []
    trade = next(row for row in journal.rows if (row.kind, row.lot_id) == ("trade", early.lot_id))
    other = edit(trade, seq=2, body=trade.body | {"bidder": 999})
    store = await Store.open(database)
    try:
        batch = [checked(other, "bess")]
        await store.ingest(Batch(journal.origin(), 1, batch, 2, other.hash, 0, [], 0))
        async with store.engine.connect() as connection:
            assert (await connection.execute(select(tables.trades.c.settlement))).scalars().all() == [None]
    finally:
        await store.close()
