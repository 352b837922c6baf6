"""The disk under a journal: group commit, what a crash leaves of it, what a full disk does not take."""

from collections.abc import Sequence
from random import Random

import pytest

from etp.effects import BidRow, Commit, Row
from etp.units import DeviceId, LotId, MessageId, MicroPerKwh, MonotonicS, WallUs, Wh
from sim.disk import Disk, Left, Writer
from sim.scheduler import Scheduler


def row(number: int, *, pending: bool | None = None) -> Row:
    """A row of a subject of its own."""
    return Row("promise", number, "reserved", WallUs(0), {"n": number}, str(number), pending)


def commit(*numbers: int) -> Commit:
    """A commit of such rows."""
    return Commit(tuple(row(number) for number in numbers), "reserve", numbers, MonotonicS(0.0))


BID = BidRow(LotId(1), DeviceId(500), MessageId(1), Wh(1), MicroPerKwh(1), "standing", WallUs(0))


class Bench:
    """A disk with its writer, and all that it said."""

    def __init__(self, seed: int = 0) -> None:
        self.scheduler, self.disk = Scheduler(), Disk()
        self.writer = Writer(self.disk, self.scheduler, Random(seed), self)
        self.said: list[object] = []
        self.bids: list[BidRow] = []

    def stored(self, rows: Sequence[Row], bids: Sequence[BidRow]) -> None:
        """A transaction."""
        self.said.append([each.lot_id for each in rows])
        self.bids += bids

    def settled(self, commit: Commit, *, durable: bool) -> None:
        """A commit."""
        self.said.append((commit.keys, durable))

    def rested(self) -> None:
        """All told."""


def test_what_gathers_meanwhile_goes_together() -> None:
    """The first commit goes at once; the next two share a transaction, with the rows that nothing waits for before them."""
    bench = Bench()
    bench.writer.commit(commit(1), 100)
    bench.writer.commit(commit(2), None)
    bench.writer.write([row(9)], 500)
    bench.writer.commit(commit(3), None)
    bench.writer.bid(BID)
    assert not bench.writer.quiet
    bench.scheduler.run(0.1)
    assert bench.said == [[1], ((1,), True), [9, 2, 3], ((2,), True), ((3,), True)]
    assert bench.writer.quiet
    assert bench.disk.bids == bench.bids == [BID]
    assert bench.disk.mark == 500


def test_what_nothing_waits_for_is_written_within_half_a_second() -> None:
    """Bids, rows and the mark alike."""
    bench = Bench()
    bench.writer.bid(BID)
    bench.writer.write([row(1)], 7)
    bench.scheduler.run(0.49)
    assert bench.disk.rows == []
    bench.scheduler.run(0.52)
    assert (bench.disk.rows, bench.disk.bids, bench.disk.mark) == ([row(1)], [BID], 7)


def test_a_crash_leaves_all_of_a_transaction_or_nothing() -> None:
    """Lost, torn (and dropped by recovery), or whole with nobody told; what had only gathered is lost."""
    left = set()
    for seed in range(40):
        bench = Bench(seed)
        bench.writer.commit(commit(1, 2), None)
        bench.writer.commit(commit(3), None)
        how = bench.writer.crash()
        bench.scheduler.run(1.0)
        assert [each.lot_id for each in bench.disk.rows] == ([1, 2] if how is Left.WHOLE else [])
        assert not any(isinstance(each, tuple) for each in bench.said)
        left.add(how)
    assert left == {Left.LOST, Left.TORN, Left.WHOLE}
    assert Bench().writer.crash() is Left.NOTHING


def test_a_full_disk_fails_commits_and_keeps_the_rest_for_later() -> None:
    """A commit is its caller's to try again; what nothing waited for is tried again here."""
    bench = Bench()
    bench.writer.fails_until_s = 1.0
    bench.writer.write([row(9)], 3)
    bench.writer.commit(commit(1), None)
    bench.scheduler.run(0.9)
    assert bench.said[0] == ((1,), False)
    assert bench.disk.rows == []
    bench.scheduler.run(3.0)
    assert [each.lot_id for each in bench.disk.rows] == [9]
    assert bench.disk.mark >= 3


def test_a_slow_disk_ends_when_it_does() -> None:
    """A stall holds a commit back."""
    bench = Bench()
    bench.writer.stalls_until_s = 2.0
    bench.writer.commit(commit(1), None)
    bench.scheduler.run(1.99)
    assert bench.said == []
    bench.scheduler.run(2.1)
    assert bench.said == [[1], ((1,), True)]


def test_a_backup_has_the_boot_and_the_mark_of_then() -> None:
    """So that the life that begins on it has a lower boot than the last one, where no clock says otherwise."""
    disk = Disk()
    for boot in (50, 60, 70):
        disk.begin_boot(boot)
        disk.keep_mark(100 * boot)
        disk.store([row(boot)])
    backup = disk.copy(1)
    assert (backup.boot, backup.mark) == (60, 6000)
    assert backup.begin_boot(7) == 61
    assert backup.copy(0).mark == 5000


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_an_older_copy_forgets_what_came_after(rows: int) -> None:
    """Rows, what is pending, and the boot."""
    disk = Disk()
    disk.store([row(1, pending=True), row(2, pending=True), row(1, pending=False)])
    disk.begin_boot(50)
    older = disk.copy(rows)
    assert older.rows == disk.rows[:rows]
    assert [each.lot_id for each in older.pending_rows()] == {0: [], 1: [1], 3: [2]}[rows]
    assert (older.boot, older.mark) == {0: (None, 0), 1: (None, 1), 3: (50, 2)}[rows]
    same = disk.copy()
    assert (same.boot, same.mark, same.find("promise", "1")) == (50, 2, row(1, pending=False))
    assert disk.begin_boot(7) == 51
