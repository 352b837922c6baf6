"""The store's writer for PostgreSQL: one connection, each statement's rows as one array a column, one gateway at a time.

Several gateways may share a database: what they write is put in one order by an advisory lock that ends with the transaction,
so that what one has looked up stays true until it has written. Without a bus only one gateway may be there at all.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.io.database import StoreInUseError, StoreUnavailableError, UnstorableError, said, shown
from gateway.transaction import Answer, Request

WRITING: Final = 0x455450_02
"""Advisory lock of the transaction that writes."""
PRESENT: Final = 0x455450_03
"""Advisory lock of the gateways that are there: shared with a bus, one's own without."""
PATIENCE: Final = ("lock_timeout = '20s'", "idle_in_transaction_session_timeout = '20s'", "statement_timeout = '60s'")
"""Of the writer's session: a gateway whose machine is gone holds up the others no longer than this."""
CONNECT_S: Final = 10.0
RUN_S: Final = 60.0
"""One transaction takes milliseconds; a database that does not answer at all is given up after this, s."""

R = TypeVar("R")
_FAULTS: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_REFUSED: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)


class PostgresWriter:
    """See the module."""

    def __init__(self, engine: AsyncEngine, *, alone: bool) -> None:
        self._engine, self._alone = engine, alone
        self._name = shown(engine.url)
        self._held: AsyncConnection | None = None
        self._connection: Any = None
        self._texts: dict[int, str] = {}

    async def ready(self) -> bool:
        """Connect where there is no connection; whether it is a new one. Raises StoreInUseError, StoreUnavailableError."""
        if self._connection is not None and not self._connection.is_closed():
            return False
        await self._drop()
        try:
            async with asyncio.timeout(CONNECT_S):
                self._held = await self._engine.connect()
                self._connection = (await self._held.get_raw_connection()).driver_connection
                for setting in PATIENCE:
                    await self._connection.execute(f"SET {setting}")
                free = await self._connection.fetchval(
                    "SELECT pg_try_advisory_lock($1)" if self._alone else "SELECT pg_try_advisory_lock_shared($1)",
                    PRESENT,
                )
        except (*_FAULTS, SQLAlchemyError) as error:
            await self._drop()
            raise StoreUnavailableError(f"database {self._name} cannot be reached: {said(error)}") from error
        if not free:
            await self._drop()
            raise StoreInUseError(self._name, "start all gateways of one database with --redis, or give each its own")
        return True

    async def run(self, work: Callable[[], Generator[Request, Answer, R]]) -> R:
        """One transaction, durable when this returns. Raises StoreUnavailableError, UnstorableError."""
        connection = self._connection
        try:
            async with asyncio.timeout(RUN_S), connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", WRITING)
                return await self._drive(work())
        except (*_REFUSED, OverflowError) as error:
            raise UnstorableError(f"database {self._name} refuses what it was given: {said(error)}") from error
        except _FAULTS as error:
            await self._drop()
            raise StoreUnavailableError(f"database {self._name} cannot be written: {said(error)}") from error

    async def _drive(self, steps: Generator[Request, Answer, R]) -> R:
        try:
            request = next(steps)
            while True:
                request = steps.send(await self._ask(request))
        except StopIteration as end:
            result: R = end.value
            return result

    async def _ask(self, request: Request) -> Answer:
        statement, rows = request
        if not rows:
            return []
        text = self._texts.get(id(statement)) or self._texts.setdefault(id(statement), statement.postgres())
        columns = [list(column) for column in zip(*rows, strict=True)]
        found = await self._connection.fetch(text, *columns)
        return [tuple(row) for row in found] if statement.reads else []

    async def _drop(self) -> None:
        held, self._held, self._connection = self._held, None, None
        if held is not None:
            try:
                async with asyncio.timeout(1):
                    await held.invalidate()
                    await held.close()
            except (*_FAULTS, SQLAlchemyError):
                return

    async def close(self) -> None:
        """Let go of the database."""
        await self._drop()
