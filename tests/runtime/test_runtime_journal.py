"""The journal: what was acknowledged is there, in order, chained; what failed is not."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from etp.effects import BidRow, Row
from runtime.io import journal as journal_module
from runtime.io.journal import FILE, Journal, JournalError, JournalInUse, JournalOfAnotherNode
from runtime.io.journal_reader import JournalReader

ROOT = Path(__file__).parents[2]


def row(number: int, *, pending: bool | None = None, kind: str = "promise") -> Row:
    """A row with a u64 in its body."""
    return Row(
        kind, number, "reserved", 1000 + number, {"bidder": 2**64 - 1, "energy_wh": number}, str(number % 7), pending
    )


def open_journal(path: Path) -> Journal:
    """Node 101's journal."""
    return Journal.open(path / "state", role="bess", device_id=101)


async def test_rows_come_back_in_order_and_verified(tmp_path: Path) -> None:
    """Commits and lazy rows: in the order of their transactions, found by subject, pending kept apart, the chain whole."""
    journal = open_journal(tmp_path)
    await asyncio.gather(*(journal.commit([row(number, pending=number % 2 == 0)]) for number in range(50)))
    journal.write([row(50)], mark=12_345)
    journal.close()
    again = open_journal(tmp_path)
    assert again.mark == 12_345
    assert again.find("promise", "3") == row(45)
    assert again.find("promise", "nobody") is None
    assert sorted(found.lot_id for found in again.pending_rows()) == [44, 46, 48]
    again.close()
    reader = JournalReader(tmp_path / "state")
    assert [found.lot_id for _, found in reader.rows()] == list(range(51))
    assert reader.node == "bess 101"
    assert reader.broken_at() is None
    reader.close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_commits_share_transactions(tmp_path: Path) -> None:
    """500 commits at once need far fewer transactions."""
    journal = open_journal(tmp_path)
    await asyncio.gather(*(journal.commit([row(number)]) for number in range(500)))
    assert journal.fsync_ms.count < 50
    journal.close()


async def test_a_tampered_row_is_found(tmp_path: Path) -> None:
    """A changed energy breaks the chain there: at start and for the reader."""
    journal = open_journal(tmp_path)
    await journal.commit([row(1), row(2), row(3)])
    journal.close()
    with sqlite3.connect(tmp_path / "state" / FILE) as database:
        database.execute("UPDATE rows SET state = 'confirmed' WHERE seq = 2")
    database.close()
    reader = JournalReader(tmp_path / "state")
    assert reader.broken_at() == 2
    reader.close()
    with pytest.raises(JournalError, match="row 2"):
        open_journal(tmp_path)


async def test_one_process_and_one_node(tmp_path: Path) -> None:
    """A second opener is refused while the first lives; another device or role always."""
    journal = open_journal(tmp_path)
    with pytest.raises(JournalInUse, match="in use"):
        open_journal(tmp_path)
    journal.close()
    with pytest.raises(JournalOfAnotherNode, match="belongs to bess 101; this node is aggregator 101"):
        Journal.open(tmp_path / "state", role="aggregator", device_id=101)
    with pytest.raises(JournalError, match="no journal"):
        JournalReader(tmp_path)


async def test_a_failed_transaction_leaves_nothing_and_hurts_nobody_later(tmp_path: Path) -> None:
    """A full file fails its commits; lazy rows are kept; once there is room it goes on and the chain is whole."""
    journal = open_journal(tmp_path)
    await journal.commit([row(1)])
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages}")
    big = Row("promise", 2, "reserved", 1, {"text": "x" * 100_000}, "2")
    journal.write([row(9)])
    with pytest.raises(JournalError, match="cannot be written"):
        await journal.commit([big])
    journal._database.execute("PRAGMA max_page_count = 1000000")
    await journal.commit([row(3)])
    journal.close()
    reader = JournalReader(tmp_path / "state")
    assert [found.lot_id for _, found in reader.rows()] == [1, 9, 3]
    assert reader.broken_at() is None
    reader.close()


async def test_the_ring_of_bids_wraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest bids are kept, oldest first, also over a restart."""
    monkeypatch.setattr(journal_module, "BID_RING", 10)
    for start in (0, 13):
        journal = open_journal(tmp_path)
        for number in range(start, start + 13):
            journal.bid(BidRow(1, 2**64 - 1, number, 100, 5, "standing", 1))
        journal.close()
    reader = JournalReader(tmp_path / "state")
    assert [bid.message_id for bid in reader.bids()] == list(range(16, 26))
    reader.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from etp.effects import Row
from runtime.io.journal import Journal

async def main():
    journal = Journal.open(Path(sys.argv[1]), role="bess", device_id=101)
    for number in range(1_000_000):
        await journal.commit([Row("promise", number, "reserved", 1, {}, str(number))])
        print(number, flush=True)

asyncio.run(main())
"""


def test_kill_9_keeps_all_that_was_acknowledged(tmp_path: Path) -> None:
    """Whatever the process said is durable is there after kill -9."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "state")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(200)]
        os.kill(process.pid, signal.SIGKILL)
        said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    reader = JournalReader(tmp_path / "state")
    kept = [found.lot_id for _, found in reader.rows()]
    assert kept[: len(said)] == said
    assert reader.broken_at() is None
    reader.close()


async def test_lazy_rows_are_not_put_off_by_those_behind_them(tmp_path: Path) -> None:
    """Rows that come one after the other, with nobody waiting for a commit, are on the disk in LAZY_FLUSH_S all the same."""
    journal = Journal.open(tmp_path, role="bess", device_id=1)
    reader = JournalReader(tmp_path)
    deadline = asyncio.get_running_loop().time() + 10
    while not list(reader.rows()):
        assert asyncio.get_running_loop().time() < deadline
        journal.write((row(1),))
        await asyncio.sleep(0.01)
    reader.close()
    journal.close()


class Closing(asyncio.SelectorEventLoop):
    """A loop that closes between a question whether it has and what is asked of it then."""

    late = True

    def is_closed(self) -> bool:
        """Not as long as it is late to tell."""
        return not self.late and super().is_closed()


def test_a_loop_that_closes_costs_no_row(tmp_path: Path) -> None:
    """Its waiters are gone; the writer goes on, and what was given to it later is on the disk."""
    journal, loop = open_journal(tmp_path), Closing()
    loop.close()
    Journal._call(loop, lambda: None)
    loop.late = False
    journal.write([row(1)])
    journal.close()
    reader = JournalReader(tmp_path / "state")
    assert [found.lot_id for _, found in reader.rows()] == [1]
    reader.close()


async def test_a_watcher_is_told_of_what_is_on_the_disk(tmp_path: Path) -> None:
    """Once per transaction with rows or bids, after it, lazy ones too; a mark alone is nothing to read, nor is a failure."""
    journal = open_journal(tmp_path)
    reader = JournalReader(tmp_path / "state")
    told: asyncio.Queue[tuple[int, int, int]] = asyncio.Queue()
    journal.watch(lambda: told.put_nowait((*reader.newest(), journal.last_row)))
    await journal.commit([row(1), row(2)])
    assert await asyncio.wait_for(told.get(), 5) == (2, 0, 2)
    journal.bid(BidRow(1, 500, 7, 100, 5, "standing", 1))
    assert await asyncio.wait_for(told.get(), 5) == (2, 1, 2)
    await journal.commit([], mark=9)
    with pytest.raises(JournalError):
        await journal.commit([Row("x", 1, "x", 1, {"bad": object()}, "")])  # type: ignore[dict-item]
    journal.write([row(3)])
    assert await asyncio.wait_for(told.get(), 5) == (3, 1, 3)
    assert told.empty()
    journal.close()
    reader.close()


async def test_a_journal_has_an_identity(tmp_path: Path) -> None:
    """Made with the file, kept with it, given to a file of an older version at its first start; no two are the same."""
    identities = []
    for directory in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        journal = Journal.open(directory, role="bess", device_id=101)
        identities.append(journal.identity)
        journal.close()
    assert identities[0] == identities[1] != identities[2]
    assert len(bytes.fromhex(identities[0])) == 16
    with sqlite3.connect(tmp_path / "a" / FILE) as database:
        database.execute("DELETE FROM meta WHERE name = 'journal'")
    database.close()
    journal = Journal.open(tmp_path / "a", role="bess", device_id=101)
    assert len(bytes.fromhex(journal.identity)) == 16
    journal.close()


async def test_a_reader_goes_on_from_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows after a seq with their hashes; bids after a number in chunks, from any place in one, with a gap where some are lost."""
    monkeypatch.setattr(journal_module, "BID_RING", 8)
    journal = open_journal(tmp_path)
    for first in (1, 5, 9, 13):
        for number in range(first, first + 4):
            journal.bid(BidRow(1, 500, number, 100, 5, "standing", 1))
        await journal.commit([row(first)])
    reader = JournalReader(tmp_path / "state")
    assert reader.newest() == (4, 16)
    assert [(seq, found.lot_id) for seq, _, found in reader.hashed_rows(1, until=3)] == [(2, 5), (3, 9)]
    assert [stored for _, stored, _ in reader.hashed_rows(3, until=9)] == [reader.hash_of(4)]
    assert reader.hash_of(5) is None
    for number, wanted in (
        (0, [9, 10, 11, 12]),
        (8, [9, 10, 11, 12]),
        (10, [11, 12]),
        (12, [13, 14, 15, 16]),
        (16, []),
    ):
        found_bids = reader.bids_after(number)
        assert [at for at, _ in found_bids] == wanted
        assert [bid.message_id for _, bid in found_bids] == wanted
    with reader.at_one_instant():
        before = reader.newest()
        await journal.commit([row(99)])
        assert reader.newest() == before
    assert reader.newest() == (5, 16)
    reader.close()
    journal.close()
