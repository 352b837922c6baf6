"""Reads of the store: lists page by page, single rows, sums. Each answer is a few short queries on one connection.

Rows come as tuples in the order of a `Listing`; what they look like in JSON or CSV is `gateway.io.rest.answers`' business.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.listings import Listing, Wanted, query
from gateway.translate import signed

CHUNK: Final = 1_000
"""Rows that a stream holds at a time."""


class Rows(NamedTuple):
    """A page."""

    rows: Sequence[Sequence[Any]]
    after: tuple[int, ...] | None
    """The key behind which the list goes on; None: this is the end."""


async def page(engine: AsyncEngine, listing: Listing, wanted: Wanted, limit: int) -> Rows:
    """Up to `limit` rows; fewer before the end where few of those looked at match."""
    async with engine.connect() as connection:
        return await page_on(connection, listing, wanted, limit)


async def page_on(connection: AsyncConnection, listing: Listing, wanted: Wanted, limit: int) -> Rows:
    """As `page`, on a connection."""
    asked = query(listing, wanted, limit + 1)
    rows = (await connection.execute(asked.rows)).all()
    if len(rows) > limit:
        return Rows(rows[:limit], listing.key_of(rows[limit - 1]))
    if asked.boundary is None:
        return Rows(rows, None)
    boundary = (await connection.execute(asked.boundary)).first()
    if boundary is None:
        return Rows(rows, None)
    # A row that came in between the two queries moves the boundary forward, never what has been given already.
    places = [_key(boundary), *([listing.key_of(rows[-1])] if rows else [])]
    return Rows(rows, max(places) if listing.ascending else min(places))


def _key(values: Sequence[Any]) -> tuple[int, ...]:
    """A key that was selected alone, as a cursor keeps it."""
    return tuple(map(signed, values))


async def stream(
    engine: AsyncEngine, listing: Listing, wanted: Wanted, limit: int | None
) -> AsyncIterator[Sequence[Any]]:
    """All rows that are wanted, `limit` at most (None: no end), in chunks: one connection for a chunk, none while the reader is slow."""
    left = limit
    while left is None or left > 0:
        count = CHUNK if left is None else min(CHUNK, left)
        found = await page(engine, listing, wanted, count)
        if found.rows:
            yield found.rows
        if found.after is None:
            return
        wanted = replace(wanted, after=found.after)
        left = left if left is None else left - len(found.rows)


async def rows_of(engine: AsyncEngine, *asked: Select[Any]) -> list[Sequence[Any]]:
    """The rows of a few short queries, one list each, on one connection."""
    async with engine.connect() as connection:
        return [(await connection.execute(each)).all() for each in asked]
