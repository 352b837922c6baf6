"""Reads a journal without touching it, also beside the daemon that writes it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

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

    def _select(self, query: str, *values: int | str) -> Iterator[tuple[Any, ...]]:
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

    def find(self, kind: str, subject: str) -> Row | None:
        """The newest row of a kind and subject."""
        query = f"SELECT {COLUMNS} FROM rows WHERE kind = ? AND subject = ? ORDER BY seq DESC LIMIT 1"  # noqa: S608
        found = next(self._select(query, kind, subject), None)
        return to_row(found) if found else None

    def broken_at(self) -> int | None:
        """The first row that does not follow from those before it; None: the whole chain holds."""
        query = f"SELECT seq, hash, {COLUMNS} FROM rows ORDER BY seq"  # noqa: S608
        return broken_at(self._select(query), b"")

    # -- for a feed: in steps, each from a number on

    @contextmanager
    def at_one_instant(self) -> Iterator[None]:
        """What is read within is as of one transaction of the writer. Short: the log cannot be emptied meanwhile."""
        try:
            self._database.execute("BEGIN")
            yield
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def newest(self) -> tuple[int, int]:
        """The numbers of the newest row and the newest bid; 0: none."""
        query = "SELECT COALESCE((SELECT MAX(seq) FROM rows), 0), COALESCE((SELECT MAX(last) FROM bids), 0)"
        row, bid = next(self._select(query))
        return row, bid

    def hash_of(self, seq: int) -> bytes | None:
        """The hash of a row; None: there is no such row."""
        found = next(self._select("SELECT hash FROM rows WHERE seq = ?", seq), None)
        return found[0] if found else None

    def hashed_rows(self, after: int, *, until: int) -> Iterator[tuple[int, bytes, Row]]:
        """(seq, hash, row) in journal order, read as they are asked for."""
        query = f"SELECT seq, hash, {COLUMNS} FROM rows WHERE seq > ? AND seq <= ? ORDER BY seq"  # noqa: S608
        for seq, stored, *columns in self._select(query, after, until):
            yield seq, stored, to_row(columns)

    def bids_after(self, number: int) -> list[tuple[int, BidRow]]:
        """(number, bid) of the oldest chunk that has a newer one than `number`: all of one transaction. Empty: there is none.

        Where the ring has lost bids, the first number is not the next one.
        """
        chunk = next(self._select("SELECT last, chunk FROM bids WHERE last > ? ORDER BY last LIMIT 1", number), None)
        if chunk is None:
            return []
        last, packed = chunk
        bids = msgspec.msgpack.decode(packed)
        first = last - len(bids) + 1
        return [(at, BidRow(*bid)) for at, bid in enumerate(bids[max(0, number - first + 1) :], max(first, number + 1))]

    def close(self) -> None:
        """Let go."""
        self._database.close()
