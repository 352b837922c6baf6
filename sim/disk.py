"""A journal without a disk: what is durable survives a crash of its node, what is on its way does not, or only in part.

It keeps the promises of `runtime.io.journal` (one writer, group commit, whole transactions, what nothing waits for at the
latest half a second later, the ids' mark) and breaks them where a real one may: a commit that fails, one that takes long.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final, Protocol

from etp.effects import BidRow, Commit, Row
from runtime.revival import boot_number
from sim.scheduler import Scheduler

COMMIT_S: Final = (0.0005, 0.006)
"""Least and greatest time that a transaction takes, s."""
LAZY_FLUSH_S: Final = 0.5
"""What nothing waits for is written at the latest after this, s (runtime.io.journal)."""


class Disk:
    """Rows in the order in which they became durable, and the ring of bids."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.bids: list[BidRow] = []
        self.mark = 0
        """Ids below this may have been used."""
        self.boot: int | None = None
        self._lives: list[tuple[int, int]] = []
        """How many rows there were when a life began, and its boot; the same of each mark below."""
        self._marks: list[tuple[int, int]] = []
        self._newest: dict[tuple[str, str], Row] = {}
        self._pending: dict[tuple[str, str], Row] = {}

    def store(self, rows: Iterable[Row]) -> None:
        """Make rows durable."""
        for row in rows:
            key = (row.kind, row.subject)
            self.rows.append(row)
            self._newest[key] = row
            self.keep_mark(row.lot_id)
            if row.pending is not None:
                self._pending.pop(key, None)
                if row.pending:
                    self._pending[key] = row

    def begin_boot(self, wall_s: int) -> int:
        """The number of a new life, durable at once."""
        self.boot = boot_number(self.boot, wall_s)
        self._lives.append((len(self.rows), self.boot))
        return self.boot

    def keep_mark(self, mark: int) -> None:
        """No id up to this one is used again."""
        if mark > self.mark:
            self.mark = mark
            self._marks.append((len(self.rows), mark))

    def find(self, kind: str, subject: str) -> Row | None:
        """The newest row of a kind and subject."""
        return self._newest.get((kind, subject))

    def pending_rows(self) -> Sequence[Row]:
        """What a restart must know."""
        return tuple(self._pending.values())

    def rows_of(self, kind: str) -> Iterator[Row]:
        """All rows of a kind, in journal order."""
        return (row for row in self.rows if row.kind == kind)

    def copy(self, rows: int | None = None) -> "Disk":
        """The same as it was after so many rows: a backup, with the boot and the mark of then; None: as it is now."""
        upto = len(self.rows) if rows is None else rows
        made = Disk()
        made.store(self.rows[:upto])
        made.bids = list(self.bids)
        made._lives = [kept for kept in self._lives if kept[0] <= upto]
        made._marks = [kept for kept in self._marks if kept[0] <= upto]
        made.boot = made._lives[-1][1] if made._lives else None
        made.mark = made._marks[-1][1] if made._marks else 0
        return made


class Left(StrEnum):
    """What a crash leaves of the transaction that was on its way."""

    NOTHING = "nothing"
    """There was none."""
    LOST = "lost"
    TORN = "torn"
    """A part of it is on the disk: recovery drops what has no end, as a write-ahead log does."""
    WHOLE = "whole"
    """It is durable, and nobody was told."""


@dataclass(slots=True, eq=False)
class _Batch:
    """What one transaction takes."""

    lazy: list[Row] = field(default_factory=list)
    bids: list[BidRow] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    mark: int = 0

    @property
    def rows(self) -> list[Row]:
        """In the order in which they are written."""
        return [*self.lazy, *(row for commit in self.commits for row in commit.rows)]


class Owner(Protocol):
    """Whose disk it is."""

    def stored(self, rows: Sequence[Row], bids: Sequence[BidRow]) -> None:
        """A transaction is durable; nobody was told yet."""

    def settled(self, commit: Commit, *, durable: bool) -> None:
        """A commit ended."""

    def rested(self) -> None:
        """All commits of a transaction were told."""


class Writer:
    """One life's way to its disk."""

    def __init__(self, disk: Disk, scheduler: Scheduler, rng: Random, owner: Owner) -> None:
        self.fails_until_s = self.stalls_until_s = 0.0
        self.meanwhile: Callable[[], None] | None = None
        """Called once, at some instant while the next transaction is on its way."""
        self._disk, self._scheduler, self._rng, self._owner = disk, scheduler, rng, owner
        self._gathering = _Batch()
        self._on_its_way: _Batch | None = None
        self._flush_due = False
        self._dead = False

    @property
    def quiet(self) -> bool:
        """Whether no commit is on its way."""
        return self._on_its_way is None and not self._gathering.commits

    def commit(self, commit: Commit, mark: int | None) -> None:
        """Rows that something waits for."""
        self._gathering.commits.append(commit)
        self._keep_mark(mark)
        if self._on_its_way is None:
            self._begin()

    def write(self, rows: Sequence[Row], mark: int | None = None) -> None:
        """Rows that nothing waits for."""
        self._gathering.lazy += rows
        self._keep_mark(mark)
        self._flush_soon()

    def bid(self, row: BidRow) -> None:
        """A line for the ring of bids."""
        self._gathering.bids.append(row)
        if not self._flush_due:
            self._flush_soon()

    def crash(self) -> Left:
        """The node is gone: what was on its way is durable, torn or lost; what it gathered is lost."""
        self._dead = True
        batch = self._on_its_way
        if batch is None:
            return Left.NOTHING
        left = self._rng.choice((Left.LOST, Left.TORN, Left.WHOLE))
        if left is Left.WHOLE:
            self._store(batch)
        return left

    def _keep_mark(self, mark: int | None) -> None:
        if mark is not None and mark > self._gathering.mark:
            self._gathering.mark = mark

    def _flush_soon(self) -> None:
        if not self._flush_due and self._on_its_way is None:
            self._flush_due = True
            self._scheduler.call(self._scheduler.time_s + LAZY_FLUSH_S, self._flush, None)

    def _flush(self, _: None) -> None:
        self._flush_due = False
        if not self._dead and self._on_its_way is None:
            self._begin()

    def _begin(self) -> None:
        batch = self._gathering
        if not (batch.commits or batch.lazy or batch.bids or batch.mark):
            return
        self._gathering, self._on_its_way = _Batch(), batch
        first, last = COMMIT_S
        ready_s = max(self._scheduler.time_s, self.stalls_until_s) + first + (last - first) * self._rng.random()
        self._scheduler.call(ready_s, self._end, batch)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            begun_s = self._scheduler.time_s
            self._scheduler.at(begun_s + (ready_s - begun_s) * self._rng.random(), happens)

    def _end(self, batch: _Batch) -> None:
        if self._dead:
            return
        self._on_its_way = None
        durable = self._scheduler.time_s >= self.fails_until_s
        if durable:
            self._store(batch)
        else:
            self._taken_back(batch)
        for commit in batch.commits:
            self._owner.settled(commit, durable=durable)  # it may be the last that this life hears
            if self._dead:
                return
        if self._on_its_way is None:
            if self._gathering.commits:
                self._begin()
            elif self._gathering.lazy or self._gathering.bids or self._gathering.mark:
                self._flush_soon()
        self._owner.rested()

    def _store(self, batch: _Batch) -> None:
        rows = batch.rows
        self._disk.store(rows)
        self._disk.bids += batch.bids
        self._disk.keep_mark(batch.mark)
        self._owner.stored(rows, batch.bids)

    def _taken_back(self, failed: _Batch) -> None:
        """What nothing waited for is tried again with the next transaction."""
        self._gathering.lazy[:0] = failed.lazy
        self._gathering.bids[:0] = failed.bids
        self._keep_mark(failed.mark)
