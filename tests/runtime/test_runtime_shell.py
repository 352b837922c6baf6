"""The shell around a core: effects in order, rows on the disk before what depends on them, timers where the core wants them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, TerminateCode
from etp.effects import (
    BidRow,
    Broadcast,
    Commit,
    Count,
    Disconnect,
    Effect,
    Envelope,
    Log,
    Lookup,
    RecordBid,
    Row,
    Send,
    Write,
)
from etp.ids import Ids
from etp.io.clock import system_now
from etp.io.tcp import Connection
from etp.limits import Limits
from etp.roster import Roster
from etp.units import DeviceId, LotId, MessageId, MicroPerKwh, MonotonicS, WallUs, Wh
from runtime.histogram import Metrics
from runtime.io import journal as journal_module
from runtime.io.journal import Journal, JournalError
from runtime.io.journal_reader import JournalReader
from runtime.io.shell import Shell

BUYER = DeviceId(500)
FRAME = messages.terminate(DeviceId(101), TerminateCode.FINISHED)
ROW = Row("promise", LotId(1), "reserved", WallUs(1), {"energy_wh": 1}, "500")
BID = BidRow(LotId(1), BUYER, MessageId(1), Wh(100), MicroPerKwh(5), "standing", WallUs(1))
SOON_S = 0.005


@dataclass
class FakeCore:
    """Writes down what it is told, and says what it was given to say."""

    told: list[tuple[str, Any]] = field(default_factory=list)
    then: list[Effect] = field(default_factory=list)
    """What a durable commit brings about."""
    due: list[float] = field(default_factory=list)
    """Deadlines still to come; the first is the next."""
    look: Callable[[], Any] = lambda: None
    """What the test wants to know at the moment the core is told."""
    advanced: asyncio.Event = field(default_factory=asyncio.Event)

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """Durable."""
        self.told.append(("committed", self.look() or commit.purpose))
        assert now.monotonic_s >= commit.asked_s
        return self.then

    def commit_failed(self, commit: Commit, _: Now) -> list[Effect]:
        """Not durable."""
        self.told.append(("failed", commit.purpose))
        return []

    def found(self, lookup: Lookup, row: Row | None, _: Now) -> list[Effect]:
        """What the journal knew."""
        self.told.append((f"found {lookup.subject}", row))
        return []

    def next_deadline(self) -> MonotonicS | None:
        """The first of `due`."""
        return MonotonicS(self.due[0]) if self.due else None

    def advance(self, now: Now) -> list[Effect]:
        """Passes what is due."""
        self.told.append(("advanced", now.monotonic_s))
        while self.due and self.due[0] <= now.monotonic_s:
            self.due.pop(0)
        self.advanced.set()
        return [Count("advanced")]


@dataclass(eq=False)
class FakeConnection:
    """Writes down what is sent."""

    device_id: DeviceId
    acts: list[str]
    session: None = None

    def send(self, envelope: Envelope, _: Now) -> None:
        """A frame."""
        self.acts.append(f"{self.device_id} {MessageType(envelope.frame.message_type).name}")

    def finish(self, _: str, __: Now) -> None:
        """The end."""
        self.acts.append(f"{self.device_id} finish")


class Node:
    """A shell with everything around it; `acts` is what it did, in order."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = Journal.open(directory, role="bess", device_id=101)
        self.core, self.metrics, self.ids = FakeCore(), Metrics(), Ids()
        self.acts: list[str] = []
        self.roster: Roster[FakeConnection] = Roster(Limits())
        for device in (BUYER, DeviceId(501)):
            self.roster.bind(device, FakeConnection(device, self.acts))
        self.shell = Shell(
            self.core,
            journal=self.journal,
            roster=cast("Roster[Connection]", self.roster),
            ids=self.ids,
            metrics=self.metrics,
            clock=system_now,
        )

    def apply(self, *effects: Effect) -> None:
        """Carry effects out now."""
        self.shell.apply(effects, system_now())

    def stored(self) -> list[Row]:
        """What another process finds in the journal."""
        reader = JournalReader(self.directory)
        rows = [row for _, row in reader.rows()]
        reader.close()
        return rows

    async def quiet(self) -> None:
        """No commit is on its way."""
        async with asyncio.timeout(5):
            await self.shell.quiet()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A shell and its journal."""
    made = Node(tmp_path / "state")
    yield made
    made.shell.stop()
    made.journal.close()


def commit(purpose: str = "reserve", *rows: Row) -> Commit:
    """A commit asked for now."""
    return Commit(rows or (ROW,), purpose, (1,), system_now().monotonic_s)


def send(device_id: DeviceId = BUYER) -> Send:
    """A frame for a device."""
    return Send(device_id, Envelope(FRAME))


def fail_next_transaction(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes nothing."""
    monkeypatch.setattr(journal, "_transact", lambda _: JournalError("journal cannot be written: disk is full"))


# -- effects


async def test_effects_are_carried_out_in_order(node: Node) -> None:
    """What the core lists first happens first, whatever its kind."""
    with capture_logs() as logged:
        node.apply(
            send(), Broadcast(FRAME), Disconnect(BUYER), Log("short", {"lot": 1}, "warning"), send(DeviceId(501))
        )
    assert node.acts == ["500 TERMINATE", "500 TERMINATE", "501 TERMINATE", "500 finish", "501 TERMINATE"]
    assert logged == [{"event": "short", "lot": 1, "log_level": "warning"}]


async def test_what_is_sent_is_counted(node: Node) -> None:
    """Each frame for a session, by type; nothing for a device that has none."""
    node.apply(send(), send(DeviceId(999)), Broadcast(FRAME), Disconnect(DeviceId(999)), Count("lots_capped", "", 2))
    assert node.metrics.counters == {("sent", "TERMINATE"): 3, ("lots_capped", ""): 2}


async def test_a_broadcast_gives_each_session_its_own_copy(node: Node) -> None:
    """A stamp on one copy is none on the other: each session gives its own id."""
    envelopes: list[Envelope] = []
    for connection in node.roster.bound():
        connection.send = lambda envelope, _: envelopes.append(envelope)  # type: ignore[method-assign]
    node.apply(Broadcast(FRAME))
    assert len({id(envelope) for envelope in envelopes}) == 2


async def test_a_lookup_tells_what_the_journal_knows(node: Node) -> None:
    """The newest row of the kind and subject, or None, at once."""
    await node.journal.commit([ROW])
    for subject in ("500", "501"):
        node.apply(Lookup("promise", subject, BUYER, FRAME, b""))
    assert node.core.told == [("found 500", ROW), ("found 501", None)]


async def test_rows_nobody_waits_for_are_written_too(node: Node) -> None:
    """Write and RecordBid are in the journal once it is closed, at the latest."""
    node.apply(Write((ROW,)), RecordBid(BID))
    assert node.shell.queues()["journal"] == 2
    node.journal.close()
    reader = JournalReader(node.directory)
    assert ([row for _, row in reader.rows()], list(reader.bids())) == ([ROW], [BID])
    reader.close()
    node.journal = Journal.open(node.directory, role="bess", device_id=101)


# -- durable first


async def test_the_core_is_told_once_the_rows_are_on_the_disk(node: Node) -> None:
    """When `committed` is called another process already reads the row; nothing was sent before."""
    node.core.look = lambda: (node.stored(), list(node.acts))
    node.core.then = [send()]
    node.apply(commit())
    assert node.acts == []
    await node.quiet()
    assert node.core.told == [("committed", ([ROW], []))]
    assert node.acts == ["500 TERMINATE"]


async def test_commits_are_told_in_their_order(node: Node) -> None:
    """The first asked for is the first told, also within one transaction."""
    node.apply(*(commit(f"number {number}") for number in range(50)))
    await node.quiet()
    assert node.core.told == [("committed", f"number {number}") for number in range(50)]


async def test_a_failing_journal_reaches_commit_failed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk took nothing: `commit_failed`, never `committed`, a line in the log, and the next commit is as good as any."""
    with monkeypatch.context() as broken, capture_logs() as logged:
        fail_next_transaction(node.journal, broken)
        node.apply(commit("reserve"))
        await node.quiet()
    node.apply(commit("release"))
    await node.quiet()
    assert node.core.told == [("failed", "reserve"), ("committed", "release")]
    assert [(line["event"], line["purpose"], line["log_level"]) for line in logged] == [
        ("journal_failed", "reserve", "error")
    ]
    assert node.stored() == [ROW]


async def test_a_full_journal_reaches_commit_failed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many wait for the disk: `commit_failed`, on a later turn, so that no core is called back from within its call."""
    monkeypatch.setattr(journal_module, "MAX_WAITING", 0)
    node.apply(commit("reserve"), send())
    assert node.core.told == []
    assert node.acts == ["500 TERMINATE"]
    await node.quiet()
    assert node.core.told == [("failed", "reserve")]


async def test_until_waits_for_what_commits_change(node: Node) -> None:
    """A condition that no commit has made true yet is waited for."""
    waiting = asyncio.create_task(node.shell.until(lambda: len(node.core.told) == 2))
    node.apply(commit("first"))
    await node.quiet()
    assert not waiting.done()
    node.apply(commit("second"))
    async with asyncio.timeout(5):
        await waiting


async def test_the_mark_of_the_ids_goes_with_the_next_rows(node: Node) -> None:
    """Ids that were given out stay below the durable mark, so that a restart never gives one twice."""
    given = node.ids.next(system_now().wall_us)
    node.apply(commit())
    await node.quiet()
    node.journal.close()
    node.journal = Journal.open(node.directory, role="bess", device_id=101)
    assert node.journal.mark > given


async def test_a_refused_commit_does_not_lose_the_mark(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark that the journal had no room for is offered again with the next rows."""
    given = node.ids.next(system_now().wall_us)
    with monkeypatch.context() as full:
        full.setattr(journal_module, "MAX_WAITING", 0)
        node.apply(commit())
        await node.quiet()
    node.apply(commit())
    await node.quiet()
    node.journal.close()
    node.journal = Journal.open(node.directory, role="bess", device_id=101)
    assert node.journal.mark > given


async def test_a_refused_write_stops_nothing_behind_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that nothing waits for find no room: what is listed behind them still happens."""
    monkeypatch.setattr(journal_module, "MAX_UNAWAITED", 0)
    node.apply(Write((ROW,)), send())
    assert node.acts == ["500 TERMINATE"]


async def test_what_waits_for_a_failing_disk_is_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bids that come while each transaction fails are dropped, counted, beyond the bound, however often it fails."""
    monkeypatch.setattr(journal_module, "MAX_UNAWAITED", 10)

    def fail_slowly(_: object) -> JournalError:
        for _number in range(20):
            node.journal.bid(BID)
        return JournalError("journal cannot be written: disk is full")

    with monkeypatch.context() as full:
        full.setattr(node.journal, "_transact", fail_slowly)
        for _number in range(10):
            node.apply(commit())
            await node.quiet()
        assert node.journal.waiting <= 20
    assert node.journal.dropped_bids > 0


async def test_a_loop_that_never_sleeps_lets_the_writer_work(node: Node) -> None:
    """Rounds without a pause, as in a flood: commits are durable within the 400 ms in which an Accept may leave.

    The median of 20, since a disk may stall; without its turn the writer is late nearly every time.
    """
    took_s = []
    for _ in range(20):
        began = system_now().monotonic_s
        node.apply(commit())
        while not node.shell._quiet.is_set():
            sum(range(2000))
            await asyncio.sleep(0)
        took_s.append(system_now().monotonic_s - began)
    assert sorted(took_s)[10] < 0.4, took_s


# -- time


async def advanced(node: Node) -> None:
    """Wait until the core was woken."""
    async with asyncio.timeout(5):
        await node.core.advanced.wait()
    node.core.advanced.clear()


async def test_the_core_is_woken_at_each_deadline(node: Node) -> None:
    """Not before it, and again for the next without being asked."""
    now = system_now()
    node.core.due = deadlines = [now.monotonic_s + SOON_S * number for number in (1, 2, 4)]
    wanted = list(deadlines)
    node.shell.turned()
    while node.core.due:
        await advanced(node)
    woken = [when for _, when in node.core.told]
    assert all(when > due - 0.002 for when, due in zip(woken, wanted, strict=False))
    assert woken[-1] >= wanted[-1]
    assert node.metrics.counters["advanced", ""] == len(woken)


async def test_an_earlier_deadline_moves_the_timer(node: Node) -> None:
    """What is due sooner than what was is not waited for in vain."""
    now = system_now()
    node.core.due = [now.monotonic_s + 600]
    node.shell.turned()
    node.core.due = [now.monotonic_s + SOON_S]
    node.shell.turned()
    await advanced(node)
    assert node.core.due == []


async def test_a_later_deadline_is_looked_at_again(node: Node) -> None:
    """A timer that fires too early is set anew: the later deadline is not forgotten."""
    now = system_now()
    node.core.due = [now.monotonic_s + SOON_S]
    node.shell.turned()
    node.core.due = [now.monotonic_s + 3 * SOON_S]
    while node.core.due:
        await advanced(node)
    assert node.core.told[-1][1] >= now.monotonic_s + 3 * SOON_S


async def test_a_commit_sets_the_timer(node: Node) -> None:
    """What became due by a durable row wakes the core without another turn."""
    node.apply(commit())
    node.core.due = [system_now().monotonic_s + SOON_S]
    await node.quiet()
    await advanced(node)
    assert node.core.due == []


async def test_after_stop_nothing_wakes(node: Node) -> None:
    """The timer is gone with the shell."""
    now = system_now()
    node.core.due = [now.monotonic_s + SOON_S]
    node.shell.turned()
    node.shell.stop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4 * SOON_S):
            await node.core.advanced.wait()
