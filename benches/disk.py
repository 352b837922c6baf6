"""What durability costs on this disk: a small SQLite transaction beside the load, and a bare write and fdatasync without any.

A promise waits for the disk, and how fast that is, is not the protocol's doing: so its limits are stated in the first. The second is
what nothing that is durable can beat: the same bytes, one fdatasync for each group of them that was written together.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from benches.report import MS, Figure, percentile
from runtime.io.journal import FILE, connect

PAUSE_S: Final = 0.025
"""40 commits a second: enough for a p99 in half a minute, few enough to be no load themselves."""
ROW: Final = bytes(1_200)
"""About what the rows of one trade take."""


STORED: Final = (
    "SELECT SUM(length(kind) + length(state) + length(subject) + length(body) + length(hash) + 16) FROM rows",
    "SELECT SUM(length(chunk)) FROM bids",
)
"""Bytes of what a journal holds: its columns, two of them integers of 8 bytes."""
BARE_S: Final = 1.0
"""Of the bare loop: some hundred fdatasyncs."""
BARE_SPAN: Final = 4 << 20
"""Bytes of its file, which is written before: fdatasync then has no size to keep, only the data."""


class Groups(NamedTuple):
    """What was made durable in some time, by how many transactions."""

    things: int
    """Commits, trades, events: what was counted."""
    transactions: int
    bytes: int
    """Of the things themselves, without what a database writes beside them."""
    seconds: float

    @property
    def size(self) -> int:
        """Bytes of a group."""
        return max(1, round(self.bytes / max(1, self.transactions)))

    @property
    def per_s(self) -> float:
        """Things a second."""
        return self.things / self.seconds


def journal_bytes(directory: Path) -> int:
    """Of the rows and bids in a node's journal, without its indices and free space."""
    database = connect(directory / FILE, read_only=True)
    try:
        return sum(database.execute(query).fetchone()[0] or 0 for query in STORED)
    finally:
        database.close()


def bare_ms(directory: Path, size: int, seconds: float) -> list[float]:
    """How long a write of `size` bytes and its fdatasync take in this directory, again and again, ms."""
    path, block, found = directory / "bare", os.urandom(size), []
    places = max(1, BARE_SPAN // size)
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, bytes(places * size), 0)
        os.fsync(file)
        end_s = time.perf_counter() + seconds
        while (began_s := time.perf_counter()) < end_s:
            os.pwrite(file, block, len(found) % places * size)
            os.fdatasync(file)
            found.append((time.perf_counter() - began_s) * 1000)
    finally:
        os.close(file)
        path.unlink()
    return found


def of_bare(name: str, what: str, groups: Groups, bare: Sequence[float]) -> list[Figure]:
    """What `bare_ms` gets through with groups of the same size and bytes, and which share of it was made durable."""
    things = groups.things / max(1, groups.transactions)
    bare_per_s = things * len(bare) / (sum(bare) / 1000)
    return [
        Figure(f"{name}{what} a transaction", round(things, 1)),
        Figure(f"{name}bare fdatasync of as many, p50", round(percentile(sorted(bare), 50), 3), MS),
        Figure(f"{name}{what} with bare fdatasyncs", round(bare_per_s), "per s"),
        Figure(f"{name}{what}, of those with bare fdatasyncs", round(100 * groups.per_s / bare_per_s, 1), "%"),
    ]


class Probe:
    """Commits in a thread of its own while the block runs; `commits_ms` afterwards."""

    def __init__(self, directory: Path) -> None:
        self.commits_ms: list[float] = []
        self._path = directory / "probe.sqlite3"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._probe, name="probe", daemon=True)

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _probe(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE probe (number INTEGER PRIMARY KEY, body BLOB)")
        while not self._stop.wait(PAUSE_S):
            began_s = time.perf_counter()
            database.execute("INSERT INTO probe (body) VALUES (?)", (ROW,))
            self.commits_ms.append((time.perf_counter() - began_s) * 1000)
        database.close()
