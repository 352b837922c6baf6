"""The durable journal of one node: SQLite (WAL, synchronous=FULL), rows chained by hash, one writer thread.

Group commit: what gathers while a transaction is on its way to the disk goes into the next one, so durability costs
milliseconds, not throughput. A failed transaction fails each of its commits and leaves nothing behind.
"""

import asyncio
import contextlib
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from etp.effects import BidRow, Row
from etp.units import WallUs
from runtime.histogram import Histogram
from runtime.io.state_lock import lock_directory
from runtime.revival import boot_number

FILE: Final = "journal.sqlite3"
LOCK: Final = "journal.lock"
BID_RING: Final = 100_000
"""Bids kept; the ring bounds the file whatever is bid."""
MAX_WAITING: Final = 20_000
"""Commits waiting for the writer; beyond it nothing new is promised."""
MAX_UNAWAITED: Final = 50_000
"""Rows and bids that nothing waits for; beyond it bids are dropped, counted, and rows refused as a commit would be."""
PATIENCE_S: Final = 0.02
"""A commit that waited so long may be one whose writer does not get the interpreter, s: linger and a usual fsync are less."""
GIVE_WAY_S: Final = 0.01
"""The loop then stops for the writer, at most so long, s: longer than linger and fsync, shorter than any deadline."""
LINGER_S: Final = 0.0015
"""While several commits come at once, the writer waits so long for more to join, s: a transaction costs more than its rows."""
LAZY_FLUSH_S: Final = 0.5
"""What nothing waits for is written at the latest after this, s."""
VERIFIED_AT_START: Final = 5_000
"""Rows whose chain is checked at start; `etp export` checks all."""
CACHE_KIB: Final = 2_048
"""Of the writer, KiB: what is not in it comes from the system's own cache of the file, which any program beside it may have back."""
CHECKPOINT_PAGES: Final = 250
"""The log goes back into the file after so many pages of 4 KiB. Commits wait for it meanwhile: short and often, not long and seldom."""
SCHEMA_VERSION: Final = "2"
IDENTITY: Final = "journal"
"""Name in `meta` of what tells this journal from any other: random hex, made once and copied with the file."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, lot_id INTEGER NOT NULL, state TEXT NOT NULL, time_us INTEGER NOT NULL,
    subject TEXT NOT NULL, body BLOB NOT NULL, hash BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_subject ON rows (kind, subject, seq);
CREATE TABLE IF NOT EXISTS pending (key TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bids (last INTEGER PRIMARY KEY, chunk BLOB NOT NULL);
"""
INSERT_ROWS: Final = "INSERT INTO rows VALUES {}"
ADD_PENDING: Final = "INSERT OR REPLACE INTO pending VALUES {}"
DROP_PENDING: Final = "DELETE FROM pending WHERE key IN ({})"
INSERT_BIDS: Final = "INSERT INTO bids VALUES (?, ?)"
DROP_BIDS: Final = "DELETE FROM bids WHERE last <= ?"
SET_META: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
MOST_AT_ONCE: Final = 64
"""Rows of one statement."""
LARGEST_LOT: Final = 2**63 - 1
"""SQLite's integers have 64 bits with their sign."""
COLUMNS: Final = "kind, lot_id, state, time_us, subject, body"


class JournalError(Exception):
    """The journal cannot be opened, read or written."""


class JournalInUse(JournalError):
    """Another process has this state directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"state directory {directory} is in use by another process; give each node a directory of its own"
        )


class JournalOfAnotherNode(JournalError):
    """The journal belongs to another role or device."""

    def __init__(self, directory: Path, found: str, wanted: str) -> None:
        super().__init__(f"state directory {directory} belongs to {found}; this node is {wanted}")


class JournalRowError(JournalError):
    """A row that cannot be stored: it is refused at once, so that it takes no others with it."""

    def __init__(self, row: Row) -> None:
        super().__init__(f"a row of kind {row.kind} has lot_id {row.lot_id}; expected 0 to {LARGEST_LOT}")


class JournalFull(JournalError):
    """The writer is too far behind."""


@dataclass(slots=True, eq=False)
class _Batch:
    """What the next transaction takes."""

    rows: list[Row] = field(default_factory=list)
    lazy: list[Row] = field(default_factory=list)
    bids: list[BidRow] = field(default_factory=list)
    """Taken from the journal's own queue with the batch."""
    waiting: "list[asyncio.Future[None]]" = field(default_factory=list)
    mark: int = 0


def _check(rows: Sequence[Row]) -> None:
    for row in rows:
        if not 0 <= row.lot_id <= LARGEST_LOT:
            raise JournalRowError(row)


def row_hash(before: bytes, row: tuple[Any, ...]) -> bytes:
    """SHA-256 of the hash before and the row's columns."""
    return sha256(before + msgspec.msgpack.encode(row)).digest()


def to_row(stored: Sequence[Any]) -> Row:
    """The row in a result of `SELECT COLUMNS`."""
    kind, lot_id, state, time_us, subject, body = stored
    return Row(kind, lot_id, state, WallUs(time_us), msgspec.json.decode(body), subject)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to a journal's file."""
    if read_only:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)


def broken_at(rows: Iterable[tuple[Any, ...]], before: bytes) -> int | None:
    """The first seq whose hash does not follow from what stands before it; rows as (seq, hash, COLUMNS…)."""
    for seq, stored, *columns in rows:
        before = row_hash(before, tuple(columns))
        if before != stored:
            return int(seq)
    return None


def to_bids(chunks: Iterable[tuple[int, bytes]], newest: int) -> Iterator[BidRow]:
    """The ring of bids out of its chunks (number of the last one, bids), oldest first; `newest`: the last bid's number."""
    for last, chunk in chunks:
        bids = msgspec.msgpack.decode(chunk)
        for number, bid in enumerate(bids, last - len(bids) + 1):
            if number > newest - BID_RING:
                yield BidRow(*bid)


class Journal:
    """See the module. Open it in the loop's thread; all methods belong to that thread."""

    def __init__(self, directory: Path, lock: IO[bytes], database: sqlite3.Connection) -> None:
        self.directory = directory
        self.fsync_ms = Histogram()
        self._dropped_by_loop = self._dropped_by_writer = 0  # one each, since neither thread waits for the other
        self._lock_file, self._database = lock, database
        self._reader = connect(directory / FILE)
        meta = dict(database.execute("SELECT name, value FROM meta"))
        last = database.execute("SELECT seq, hash FROM rows ORDER BY seq DESC LIMIT 1").fetchone()
        self.identity: str = meta[IDENTITY]
        self._seq: int = last[0] if last else 0
        self._hash: bytes = last[1] if last else b""
        self._bid_number = database.execute("SELECT COALESCE(MAX(last), 0) FROM bids").fetchone()[0]
        self.mark = int(meta.get("mark", "0"))
        self.mark = max(self.mark, database.execute("SELECT COALESCE(MAX(lot_id), 0) FROM rows").fetchone()[0])
        self._batch = _Batch()
        self._on_its_way = _Batch()
        """What the writer thread has taken: it comes back where the transaction fails, so its room is not free."""
        self._bids: deque[BidRow] = deque()
        self._waiting_since_s: float | None = None
        self._done = threading.Event()
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._write_on, name="journal", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watcher: tuple[asyncio.AbstractEventLoop, Callable[[], None]] | None = None
        self._thread.start()

    @classmethod
    def open(cls, directory: Path, *, role: str, device_id: int) -> "Journal":
        """Open or begin a node's journal. Raises JournalInUse, JournalOfAnotherNode, JournalError."""
        try:
            lock = lock_directory(directory, LOCK)
        except OSError as error:
            raise JournalError(f"state directory {directory} cannot be used: {error.strerror}") from error
        if lock is None:
            raise JournalInUse(directory)
        try:
            database = _prepare(directory, f"{role} {device_id}")
        except sqlite3.Error as error:
            lock.close()
            raise JournalError(f"journal in {directory} cannot be opened: {error}") from error
        except JournalError:
            lock.close()
            raise
        return cls(directory, lock, database)

    def begin_boot(self, wall_s: int) -> int:
        """The number of this life of the node, u32: greater than every one before, and durable when this returns.

        Raises JournalError. To be called once, before anything is served.
        """
        before = self._reader.execute("SELECT value FROM meta WHERE name = 'boot'").fetchone()
        boot = boot_number(int(before[0]) if before else None, wall_s)
        try:
            self._database.execute(SET_META, ("boot", str(boot)))
        except sqlite3.Error as error:
            raise JournalError(f"journal in {self.directory} cannot be written: {error}") from error
        return boot

    # -- writing

    @property
    def dropped_bids(self) -> int:
        """Bids that found no room in the ring's queue."""
        return self._dropped_by_loop + self._dropped_by_writer

    @property
    def waiting(self) -> int:
        """Rows and bids that the writer thread has not taken yet."""
        batch = self._batch
        return len(batch.rows) + len(batch.lazy) + len(self._bids)

    @property
    def waiting_rows(self) -> int:
        """The same without the bids."""
        batch = self._batch
        return len(batch.rows) + len(batch.lazy)

    @property
    def last_row(self) -> int:
        """The number of the newest row that is on the disk; 0: none."""
        return self._seq

    def watch(self, grown: Callable[[], None]) -> None:
        """Call `grown` in this loop after each transaction that put rows or bids on the disk. One watcher at a time."""
        self._watcher = asyncio.get_running_loop(), grown

    def commit(self, rows: Sequence[Row], mark: int | None = None) -> "asyncio.Future[None]":
        """Rows that something waits for: done once they are on the disk, or failed with JournalError.

        Raises JournalFull, JournalRowError.
        """
        _check(rows)
        self._loop = asyncio.get_running_loop()
        future = self._loop.create_future()
        with self._wake:
            self._batch.mark = max(self._batch.mark, mark or 0)  # first: what is refused is not asked for again
            if len(self._batch.waiting) >= MAX_WAITING:
                raise JournalFull(f"{MAX_WAITING} commits are waiting for the disk")
            self._batch.rows += rows
            self._batch.waiting.append(future)
            if self._waiting_since_s is None:
                self._waiting_since_s = time.monotonic()
            self._wake.notify()
        return future

    def write(self, rows: Sequence[Row], mark: int | None = None) -> None:
        """Rows that nothing waits for: in the next transaction, at the latest after LAZY_FLUSH_S.

        Raises JournalFull, JournalRowError.
        """
        _check(rows)
        with self._wake:
            self._batch.mark = max(self._batch.mark, mark or 0)
            if len(self._batch.lazy) + len(self._on_its_way.lazy) + len(rows) > MAX_UNAWAITED:
                raise JournalFull(f"{MAX_UNAWAITED} rows are waiting for the disk")
            self._batch.lazy += rows
            self._wake.notify()

    def bid(self, row: BidRow) -> None:
        """A line for the ring of bids; dropped, counted, where too many wait."""
        bids = self._bids
        if len(bids) >= MAX_UNAWAITED:
            self._dropped_by_loop += 1
            return
        bids.append(row)  # atomic, as is the writer's popleft: a lock for each bid would cost more than the bid
        if len(bids) == 1:
            with self._wake:
                self._wake.notify()

    def _write_on(self) -> None:
        busy = False
        while True:
            if busy:
                time.sleep(LINGER_S)
            batch = self._next_batch()
            if batch is None:
                return
            began = time.perf_counter()
            busy = len(batch.waiting) > 1
            error = self._transact(batch)
            self.fsync_ms.record((time.perf_counter() - began) * 1000)
            self._taken_back(batch if error is not None and not self._closing else _Batch())
            if batch.waiting and self._loop is not None:
                self._tell(self._loop, batch.waiting, error)
            if self._watcher is not None and error is None and (batch.rows or batch.lazy or batch.bids):
                self._call(*self._watcher)
            self._done.set()

    def give_way(self) -> None:
        """To be called by a busy loop between its rounds: lets the writer thread run where it has waited too long.

        A loop that never sleeps gives the interpreter back only for the instant of each poll, and takes it again before the
        other thread is awake: under a flood no commit would ever end.
        """
        since_s = self._waiting_since_s
        if since_s is not None and time.monotonic() - since_s > PATIENCE_S:
            self._done.clear()
            self._done.wait(GIVE_WAY_S)

    def _taken_back(self, failed: _Batch) -> None:
        """What nothing waited for is tried again with the next transaction; commits are the caller's to try again."""
        with self._wake:
            self._on_its_way = _Batch()
            self._waiting_since_s = time.monotonic() if self._batch.waiting else None
            self._batch.lazy[:0] = failed.lazy
            room = max(0, MAX_UNAWAITED - len(self._bids))
            kept = failed.bids[len(failed.bids) - room :] if room < len(failed.bids) else failed.bids
            self._dropped_by_writer += len(failed.bids) - len(kept)
            self._bids.extendleft(reversed(kept))
            self._batch.mark = max(self._batch.mark, failed.mark)

    def _next_batch(self) -> _Batch | None:
        with self._wake:
            flush_at = float("inf")
            while not self._batch.waiting and not self._closing:
                if self._batch.lazy or self._bids or self._batch.mark:
                    # From the first row on: one that is added does not put off those before it.
                    flush_at = min(flush_at, time.monotonic() + LAZY_FLUSH_S)
                    if not self._wake.wait(max(0.0, flush_at - time.monotonic())) or time.monotonic() >= flush_at:
                        break
                else:
                    self._wake.wait()
            batch, self._batch = self._batch, _Batch()
            self._on_its_way = batch
        batch.bids += [self._bids.popleft() for _ in range(len(self._bids))]
        empty = not (batch.lazy or batch.bids or batch.waiting or batch.mark)
        return None if empty and self._closing else batch

    def _transact(self, batch: _Batch) -> JournalError | None:
        number = self._bid_number
        try:
            seq, chain, rows, pending = self._prepared(batch)
            self._database.execute("BEGIN IMMEDIATE")
            self._many(INSERT_ROWS, rows)
            self._many(DROP_PENDING, [(key,) for key, at in pending.items() if at is None])
            self._many(ADD_PENDING, [(key, at) for key, at in pending.items() if at is not None])
            if batch.bids:
                self._insert_bids(batch.bids)
            if batch.mark:
                self._database.execute(SET_META, ("mark", str(batch.mark)))
            self._database.execute("COMMIT")
        except (sqlite3.Error, OverflowError, TypeError) as error:
            self._bid_number = number
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            return JournalError(f"journal in {self.directory} cannot be written: {error}")
        self._seq, self._hash = seq, chain
        return None

    def _prepared(self, batch: _Batch) -> tuple[int, bytes, list[tuple[Any, ...]], dict[str, int | None]]:
        """Last seq and hash, the rows as stored, and what is pending by subject: the row's seq, None: no longer."""
        seq, chain, stored = self._seq, self._hash, []
        pending: dict[str, int | None] = {}
        for row in (*batch.lazy, *batch.rows):
            seq += 1
            columns = (row.kind, row.lot_id, row.state, row.time_us, row.subject, msgspec.json.encode(row.body))
            chain = row_hash(chain, columns)
            stored.append((seq, *columns, chain))
            if row.pending is not None:
                pending[f"{row.kind}:{row.subject}"] = seq if row.pending else None
        return seq, chain, stored, pending

    def _many(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        """A statement for many values at once.

        Each statement hands the interpreter to the other thread, which under load gives it back only after the switch
        interval; so a transaction has few statements, not one a row. Powers of two keep the prepared ones few.
        """
        done = 0
        while done < len(values):
            count = min(MOST_AT_ONCE, 1 << ((len(values) - done).bit_length() - 1))
            part = values[done : done + count]
            places = ", ".join([f"({', '.join('?' * len(part[0]))})"] * count)
            self._database.execute(statement.format(places), [value for row in part for value in row])
            done += count

    def _insert_bids(self, bids: list[BidRow]) -> None:
        # One row of the file for all bids of a transaction: thousands a second cost next to nothing.
        self._bid_number += len(bids)
        self._database.execute(INSERT_BIDS, (self._bid_number, msgspec.msgpack.encode(bids)))
        self._database.execute(DROP_BIDS, (self._bid_number - BID_RING,))

    @staticmethod
    def _tell(
        loop: asyncio.AbstractEventLoop, waiting: "list[asyncio.Future[None]]", error: JournalError | None
    ) -> None:
        def settle() -> None:
            for future in waiting:
                if not future.done():
                    if error is None:
                        future.set_result(None)
                    else:
                        future.set_exception(error)

        Journal._call(loop, settle)

    @staticmethod
    def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # a loop may close at any moment: nobody waits there any more
            loop.call_soon_threadsafe(function)

    # -- reading

    def find(self, kind: str, subject: str) -> Row | None:
        """The newest row of a kind and subject."""
        query = f"SELECT {COLUMNS} FROM rows WHERE kind = ? AND subject = ? ORDER BY seq DESC LIMIT 1"  # noqa: S608
        found = self._reader.execute(query, (kind, subject)).fetchone()
        return to_row(found) if found else None

    def rows_of(self, kind: str) -> Iterator[Row]:
        """All rows of a kind, in journal order."""
        query = f"SELECT {COLUMNS} FROM rows WHERE kind = ? ORDER BY seq"  # noqa: S608
        return map(to_row, self._reader.execute(query, (kind,)))

    def pending_rows(self) -> list[Row]:
        """What a restart must know, in journal order."""
        columns = ", ".join(f"rows.{name}" for name in COLUMNS.split(", "))
        query = f"SELECT {columns} FROM pending JOIN rows USING (seq) ORDER BY seq"  # noqa: S608
        return [to_row(found) for found in self._reader.execute(query)]

    def close(self) -> None:
        """Write what waits, then let go of the file."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._reader.close()
        self._database.close()
        self._lock_file.close()


def _prepare(directory: Path, node: str) -> sqlite3.Connection:
    database = connect(directory / FILE)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    database.executescript(SCHEMA)
    for name, value in (("node", node), ("schema", SCHEMA_VERSION), (IDENTITY, secrets.token_hex(16))):
        database.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
    meta = dict(database.execute("SELECT name, value FROM meta"))
    if meta["node"] != node:
        raise JournalOfAnotherNode(directory, meta["node"], node)
    if meta["schema"] != SCHEMA_VERSION:
        raise JournalError(f"journal in {directory} has schema {meta['schema']}; this program reads {SCHEMA_VERSION}")
    _verify_tail(database, directory)
    return database


def _verify_tail(database: sqlite3.Connection, directory: Path) -> None:
    first = database.execute("SELECT COALESCE(MAX(seq), 0) FROM rows").fetchone()[0] - VERIFIED_AT_START
    before = database.execute("SELECT hash FROM rows WHERE seq = ?", (first,)).fetchone()
    tail = database.execute(f"SELECT seq, hash, {COLUMNS} FROM rows WHERE seq > ? ORDER BY seq", (first,))  # noqa: S608
    broken = broken_at(tail, before[0] if before else b"")
    if broken is not None:
        raise JournalError(
            f"journal in {directory} was changed by another hand: row {broken} does not follow from those before"
        )
