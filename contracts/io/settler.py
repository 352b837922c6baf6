"""The shell around the settler: asks RPCs, makes rows durable by the daemon's journal, wakes up for what is due."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

import structlog

from contracts.io.rpc import Rpc
from contracts.links import Ask
from contracts.outbox import Entry
from contracts.settler import Settler
from contracts.work import SettlerEffect
from etp.clock import Now
from etp.effects import Commit, Count, Log, Row, Write
from runtime.histogram import Metrics
from runtime.io.journal import JournalError, JournalFull


class SettlerShell:
    """Carries out the effects of one settler. `commit` makes rows durable (it raises JournalError where it cannot);
    `write` takes rows that nothing waits for. Use `run` in a task group; it ends with `stop`.
    """

    def __init__(
        self,
        settler: Settler,
        rpcs: Sequence[Rpc],
        *,
        commit: Callable[[tuple[Row, ...]], Awaitable[None]],
        write: Callable[[tuple[Row, ...]], None],
        metrics: Metrics,
        clock: Callable[[], Now],
    ) -> None:
        self.settler, self.rpcs = settler, rpcs
        self._commit_rows, self._write_rows = commit, write
        self._metrics, self._clock = metrics, clock
        self._log = structlog.get_logger()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._stopping = False
        self._tasks: asyncio.TaskGroup | None = None
        self._started: set[asyncio.Task[None]] = set()
        self._early: list[SettlerEffect] = []
        self._table: dict[type, Callable[[Any], None]] = {
            Ask: self._ask,
            Commit: self._commit,
            Write: self._write,
            Count: self._count,
            Log: self._say,
        }

    def add(self, entry: Entry) -> None:
        """A trade whose outbox row is durable."""
        self.apply(self.settler.add(entry, self._clock()))

    def restore(self, entries: Iterable[Entry]) -> None:
        """After a restart: what the journal has pending."""
        self.apply(self.settler.restore(entries, self._clock()))

    def hurry(self) -> None:
        """Try now whatever has been put off."""
        self.apply(self.settler.hurry(self._clock()))

    async def run(self) -> None:
        """Settle until `stop`; what is on its way to an RPC then is given up: its bytes are durable."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            early, self._early = self._early, []
            self.apply(early)
            while not self._stopping:
                await self._sleep()
                self._carry_out(self.settler.advance(self._clock()))
            self._tasks = None
            for task in list(self._started):
                task.cancel()

    def stop(self) -> None:
        """No more questions."""
        self._stopping = True
        self._wake.set()

    async def until(self, done: Callable[[Settler], bool]) -> None:
        """Wait until something that answers change makes it true."""
        while not done(self.settler):
            self._changed.clear()
            await self._changed.wait()

    async def _sleep(self) -> None:
        """Until something is due, or anything changed what is due; other tasks get their turn in any case."""
        await asyncio.sleep(0)
        deadline = self.settler.next_deadline()
        left_s = None if deadline is None else max(0.0, deadline - self._clock().monotonic_s)
        try:
            async with asyncio.timeout(left_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def apply(self, effects: Iterable[SettlerEffect]) -> None:
        """Carry effects out, in order; what is due may have changed."""
        self._carry_out(effects)
        self._wake.set()  # not for what `advance` gave: `run` would wake itself, for ever

    def _carry_out(self, effects: Iterable[SettlerEffect]) -> None:
        for effect in effects:
            if self._tasks is None and isinstance(effect, Ask | Commit):
                self._early.append(effect)
            else:
                self._table[type(effect)](effect)
        self._changed.set()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        task = self._tasks.create_task(work)
        self._started.add(task)
        task.add_done_callback(self._started.discard)

    def _ask(self, ask: Ask) -> None:
        self._start(self._answer(ask))

    async def _answer(self, ask: Ask) -> None:
        answer = await self.rpcs[ask.rpc].ask(ask.request)
        self.apply(self.settler.answered(ask, answer, self._clock()))

    def _commit(self, commit: Commit) -> None:
        self._start(self._durable(commit))

    async def _durable(self, commit: Commit) -> None:
        try:
            await self._commit_rows(commit.rows)
        except JournalError as error:
            self._log.error("journal_failed", purpose=commit.purpose, error=str(error))
            self.apply(self.settler.commit_failed(commit, self._clock()))
        else:
            self.apply(self.settler.committed(commit, self._clock()))

    def _write(self, effect: Write) -> None:
        try:
            self._write_rows(effect.rows)
        except JournalFull as error:  # a restart reads it back from the chain
            self._metrics.count("rows_lost", amount=len(effect.rows))
            self._log.error("rows_lost", kind="journal_full", count=len(effect.rows), error=str(error))

    def _count(self, effect: Count) -> None:
        self._metrics.count(effect.name, effect.label, effect.amount)

    def _say(self, effect: Log) -> None:
        fields = dict(effect.fields)
        if effect.event == "rpc":
            fields["rpc"] = self.rpcs[int(str(fields["rpc"]))].name
        getattr(self._log, effect.level)(effect.event, **fields)
