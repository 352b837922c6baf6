"""What a durable commit costs on this disk, beside the load: a small SQLite WAL transaction with synchronous=FULL.

The limits of promises are stated in it: a promise waits for the disk, and how fast that is, is not the protocol's doing.
"""

import sqlite3
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

PAUSE_S: Final = 0.025
"""40 commits a second: enough for a p99 in half a minute, few enough to be no load themselves."""
ROW: Final = bytes(1_200)
"""About what the rows of one trade take."""


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
