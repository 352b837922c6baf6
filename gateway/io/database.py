"""Databases by URL: the engine for reads, the migrations, and what can be wrong with them."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

SQLITE: Final = "sqlite+aiosqlite"
POSTGRES: Final = "postgresql+asyncpg"
BUSY_S: Final = 10.0
"""How long a connection to SQLite waits for the writer's transaction, which takes tens of milliseconds, s."""
POOL: Final = 8
"""Connections to PostgreSQL that are kept; at most twice as many: REST reads are short."""
MIGRATING: Final = 0x455450_01
"""PostgreSQL's advisory lock while tables are changed: two gateways may start at once."""


class StoreError(Exception):
    """The store cannot be opened, read or written."""


class StoreInUseError(StoreError):
    """Another gateway has this database."""

    def __init__(self, place: str, right: str) -> None:
        super().__init__(f"database {place} is in use by another gateway; {right}")


class StoreUnavailableError(StoreError):
    """The database does not take anything now: nothing was stored, and it may work again later."""


class UnstorableError(StoreError):
    """The database refuses these values, and would again."""


def parse_url(text: str) -> URL:
    """A database's URL. Raises StoreError: what is wrong with it, and what would be right; never says its password."""
    right = f"expected {SQLITE}:///FILE or {POSTGRES}://USER@HOST/DATABASE"
    try:
        url = make_url(text)
    except ArgumentError:
        raise StoreError(f"the database is no URL; {right}") from None
    if url.drivername not in (SQLITE, POSTGRES):
        raise StoreError(f"the database's URL begins with {url.drivername}://; {right}")
    if url.drivername == SQLITE and url.database in (None, "", ":memory:"):
        raise StoreError(f"the database's URL names no file; {right}")
    return url


def shown(url: URL) -> str:
    """The URL for people: without a password."""
    return re.sub(r":\*\*\*", "", url.render_as_string(hide_password=True))


def engine_for(url: URL) -> AsyncEngine:
    """An engine; nothing is connected yet. Its errors name no values: one may be a password's hash."""
    if url.drivername == SQLITE:
        engine = create_async_engine(url, connect_args={"timeout": BUSY_S}, hide_parameters=True)
        event.listen(engine.sync_engine, "connect", _prepare)
        return engine
    return create_async_engine(
        url, pool_size=POOL, max_overflow=POOL, pool_pre_ping=True, pool_recycle=1800, hide_parameters=True
    )


def _prepare(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -16384"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def migrate(engine: AsyncEngine) -> None:
    """Bring the tables to what this version needs. Raises StoreError."""
    try:
        async with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
            await connection.run_sync(upgrade)
    except (SQLAlchemyError, OSError) as error:
        raise StoreUnavailableError(f"database {shown(engine.url)} cannot be opened: {said(error)}") from error
    except CommandError as error:
        raise StoreError(
            f"database {shown(engine.url)} was made by a newer version ({error}); use that one, or another database"
        ) from error


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision` on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(str(files("gateway"))) / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def said(error: BaseException) -> str:
    """An error of a library in one line."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
