"""What a gateway reads of its store when it starts: the newest events for the ring, and the world as it was."""

from contextlib import suppress

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway import events, tables
from gateway.sums import capped_sum
from gateway.transaction import FORGOTTEN, from_stored
from gateway.world import World


async def newest(engine: AsyncEngine, epoch: str, limit: int) -> list[events.Event]:
    """The newest durable events, oldest first."""
    table = tables.events
    query = select(table.c.seq, table.c.event).where(table.c.seq.is_not(None)).order_by(table.c.seq.desc())
    async with engine.connect() as connection:
        found = (await connection.execute(query.limit(limit))).all()
    return [from_stored(bytes(event), epoch, seq) for seq, event in reversed(found)]


async def forgotten(engine: AsyncEngine) -> int:
    """The highest number of a durable event that retention has swept; 0: none was."""
    table = tables.meta.c
    async with engine.connect() as connection:
        found = (await connection.execute(select(table.value).where(table.name == FORGOTTEN))).scalar()
    return int(found or 0)


async def unnumbered(engine: AsyncEngine, epoch: str, limit: int, after: int) -> list[tuple[int, events.Event]]:
    """Durable events after a number that no bus has carried yet, oldest first, with their place in the table."""
    table = tables.events
    query = select(table.c.number, table.c.event).where(table.c.seq.is_(None), table.c.number > after)
    query = query.order_by(table.c.number).limit(limit)
    async with engine.connect() as connection:
        found = (await connection.execute(query)).all()
    return [(number, from_stored(bytes(event), epoch, 0)) for number, event in found]


async def world(engine: AsyncEngine, epoch: str, trades: int) -> World:
    """What was true when the gateway ended, with every node offline, and the newest trades."""
    nodes, table = tables.nodes.c, tables.events.c
    sums = (nodes.trades, nodes.energy_wh, nodes.paid_micro, nodes.settled, nodes.settled_micro)
    totals = select(*(capped_sum(column) for column in sums)).where(nodes.role == "bess")
    confirmed = (
        select(table.seq, table.event)
        .where(table.type == "TradeConfirmed")
        .order_by(
            table.time_us.desc(),
            table.number.desc(),  # as its index is: of a million trades only these are read
        )
    )
    async with engine.connect() as connection:
        shown = (await connection.execute(select(nodes.status, nodes.metrics))).all()
        total = (await connection.execute(totals)).one()
        traded = (await connection.execute(confirmed.limit(trades))).all()
    found = World(trades=trades, totals=events.Totals(*(int(value) for value in total)))
    for said in (text for row in shown for text in row if text is not None):
        with suppress(msgspec.MsgspecError):  # of an older version: the node says it again
            found.remember(from_stored(said.encode(), epoch, 0))
    for seq, event in reversed(traded):
        found.remember(from_stored(bytes(event), epoch, seq or 0))
    return found
