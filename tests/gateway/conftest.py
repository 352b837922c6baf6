"""Databases for tests: a file, or a PostgreSQL of the tests' own, which is skipped where Debian's is not installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benches.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of a process."""
    with postgres_server() as server:
        if server is None:
            pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'store.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.database()
