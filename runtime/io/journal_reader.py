"""Reads a journal without touching it, also beside the daemon that writes it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etp.effects import BidRow, Row
from runtime.io.journal import COLUMNS, FILE, JournalError, broken_at, connect, to_bids, to_row


class JournalReader:
    """A read-only view."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        path = directory / FILE
        if not path.is_file():
            raise JournalError(f"there is no journal in {directory}; expected the --state-dir of a node")
        try:
            self._database = connect(path, read_only=True)
            self.node = self._database.execute("SELECT value FROM meta WHERE name = 'node'").fetchone()[0]
        except (sqlite3.Error, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> JournalError:
        return JournalError(f"journal in {self._directory} cannot be read: {error}")

    def _select(self, query: str, *values: int) -> Iterator[tuple[Any, ...]]:
        """The rows of a query. Raises JournalError where the file is damaged."""
        try:
            yield from self._database.execute(query, values)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def rows(self, after: int = 0) -> Iterator[tuple[int, Row]]:
        """(seq, row) in journal order."""
        query = f"SELECT seq, {COLUMNS} FROM rows WHERE seq > ? ORDER BY seq"  # noqa: S608
        for seq, *columns in self._select(query, after):
            yield seq, to_row(columns)

    def bids(self) -> Iterator[BidRow]:
        """The ring of bids, oldest first."""
        chunks = list(self._select("SELECT last, chunk FROM bids ORDER BY last"))
        yield from to_bids(chunks, chunks[-1][0] if chunks else 0)

    def broken_at(self) -> int | None:
        """The first row that does not follow from those before it; None: the whole chain holds."""
        query = f"SELECT seq, hash, {COLUMNS} FROM rows ORDER BY seq"  # noqa: S608
        return broken_at(self._select(query), b"")

    def close(self) -> None:
        """Let go."""
        self._database.close()
