"""What is too old is forgotten little by little: a transaction of some rows at a time, between those of the ingest."""

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway import tables, transaction
from gateway.io.database import StoreUnavailableError, said
from gateway.io.postgres import PostgresWriter
from gateway.io.sqlite import SqliteWriter

SWEPT_AT_ONCE: Final = 1_000
"""Rows forgotten in one transaction: nobody waits long for it."""
DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is not evidence is kept, days; None: for ever. Rows, bids, lots, trades and payments are never dropped."""

    samples_days: float | None = 365.0
    """A battery's samples: 31 million a year at one a second."""
    events_days: float | None = 90.0
    """The stream's durable events: all of it can be had from the other tables, but for the order."""


class Sweeper:
    """See the module."""

    def __init__(self, engine: AsyncEngine, writer: SqliteWriter | PostgresWriter, retention: Retention) -> None:
        self._engine, self._writer, self._retention = engine, writer, retention
        self._devices: deque[int] = deque()
        """Nodes whose samples are still to be looked at."""

    async def sweep(self, now_us: int) -> bool:
        """Forget some; whether there is more. Raises StoreUnavailableError."""
        kept, more = self._retention, False
        if kept.events_days is not None:
            before_us = now_us - round(kept.events_days * DAY_US)
            dropped = await self._writer.run(partial(transaction.drop_old_events, before_us, SWEPT_AT_ONCE))
            more = dropped == SWEPT_AT_ONCE
        if kept.samples_days is not None:
            more |= await self._samples(now_us - round(kept.samples_days * DAY_US))
        return more

    async def _samples(self, before_us: int) -> bool:
        if not self._devices:
            try:
                async with self._engine.connect() as connection:
                    self._devices.extend((await connection.execute(select(tables.nodes.c.device_id))).scalars())
            except (SQLAlchemyError, OSError) as error:
                raise StoreUnavailableError(f"the nodes cannot be read: {said(error)}") from error
        if self._devices:
            work = partial(transaction.drop_old_samples, self._devices[0], before_us, SWEPT_AT_ONCE)
            if await self._writer.run(work) < SWEPT_AT_ONCE:
                self._devices.popleft()
        return bool(self._devices)
