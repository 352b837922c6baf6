"""The migrations make exactly the tables that the code reads, in both databases, once, whoever starts them."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from gateway.io.database import StoreError, engine_for, migrate, parse_url
from gateway.tables import metadata


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


async def test_they_make_the_tables_of_the_code(database: str) -> None:
    """Nothing lacks, nothing is left over, no type differs; and a second run changes nothing."""
    engine = engine_for(parse_url(database))
    try:
        await migrate(engine)
        await migrate(engine)
        async with engine.connect() as connection:
            assert await connection.run_sync(_differences) == []
    finally:
        await engine.dispose()


async def test_two_gateways_that_start_at_once(database: str) -> None:
    """Each finds the tables made."""
    engines = [engine_for(parse_url(database)) for _ in range(2)]
    try:
        if database.startswith("postgresql"):
            await asyncio.gather(*(migrate(engine) for engine in engines))
        else:  # the second process on a file is refused before it gets here
            await migrate(engines[0])
        async with engines[1].connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 1
    finally:
        for engine in engines:
            await engine.dispose()


async def test_a_store_of_a_newer_version_is_refused(database: str) -> None:
    """In words, and untouched."""
    engine = engine_for(parse_url(database))
    try:
        await migrate(engine)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreError, match="made by a newer version"):
            await migrate(engine)
    finally:
        await engine.dispose()
