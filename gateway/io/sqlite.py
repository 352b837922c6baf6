"""The store's writer for SQLite: one connection in one thread, each transaction a few large statements, durable at its end."""

import asyncio
import sqlite3
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy.engine import URL

from gateway.io.database import BUSY_S, StoreError, StoreInUseError, StoreUnavailableError, UnstorableError, shown
from gateway.transaction import Answer, Request
from runtime.io.state_lock import lock_directory

MOST_AT_ONCE: Final = 256
"""Rows of one statement: with 20 columns that is 5,120 parameters of the 32,766 that SQLite takes."""
PRAGMAS: Final = ("journal_mode = WAL", "synchronous = FULL", "cache_size = -32768", "wal_autocheckpoint = 2000")
"""A commit is on the disk when it returns; 32 MiB hold the upper levels of every index; the log is put back each 8 MiB."""

R = TypeVar("R")


class SqliteWriter:
    """See the module."""

    def __init__(self, url: URL) -> None:
        """Take the file for this process. Raises StoreInUseError, StoreError."""
        self._path = Path(str(url.database))
        self._name = shown(url)
        try:
            self._lock = lock_directory(self._path.parent, f"{self._path.name}.lock")
        except OSError as error:
            raise StoreError(f"database {self._name} cannot be used: {error.strerror}") from error
        if self._lock is None:
            raise StoreInUseError(self._name, "give each a database of its own, or all of them PostgreSQL and Redis")
        self._thread = ThreadPoolExecutor(1, "store")
        self._connection: sqlite3.Connection | None = None

    async def ready(self) -> bool:
        """Open the connection where there is none; whether it is a new one. Raises StoreUnavailableError."""
        if self._connection is not None:
            return False
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        return True

    def _open(self) -> None:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"database {self._name} cannot be opened: {error}") from error
        self._connection = connection

    async def run(self, work: Callable[[], Generator[Request, Answer, R]]) -> R:
        """One transaction, durable when this returns. Raises StoreUnavailableError, UnstorableError."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[], Generator[Request, Answer, R]]) -> R:
        connection = self._connection
        assert connection is not None
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = self._drive(connection, work())
            connection.execute("COMMIT")
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, OverflowError) as error:
            self._roll_back(connection)
            raise UnstorableError(f"database {self._name} refuses what it was given: {error}") from error
        except sqlite3.Error as error:
            self._roll_back(connection)
            raise StoreUnavailableError(f"database {self._name} cannot be written: {error}") from error
        except BaseException:
            self._roll_back(connection)
            raise
        return result

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Undo what was begun; a connection that cannot is left, and the next transaction opens another one."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection = None
            connection.close()

    def _drive(self, connection: sqlite3.Connection, steps: Generator[Request, Answer, R]) -> R:
        answer: Answer = []
        try:
            request = next(steps)
            while True:
                answer = self._ask(connection, request)
                request = steps.send(answer)
        except StopIteration as end:
            result: R = end.value
            return result

    @staticmethod
    def _ask(connection: sqlite3.Connection, request: Request) -> Answer:
        statement, rows = request
        answer: Answer = []
        done = 0
        while done < len(rows):
            # Powers of two keep the prepared statements few; one statement for many rows keeps this thread from asking
            # for the interpreter once a row.
            count = min(MOST_AT_ONCE, 1 << ((len(rows) - done).bit_length() - 1))
            found = connection.execute(statement.sqlite(count), _flat(rows[done : done + count]))
            if statement.reads:
                answer += found.fetchall()
            done += count
        return answer

    async def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.close)
        self._thread.shutdown()
        if self._lock is not None:
            self._lock.close()


def _flat(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [value for row in rows for value in row]
