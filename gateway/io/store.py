"""The store: what nodes published, durable, and the one pipeline through which its events are published.

One task writes. It takes all that has gathered, numbers it, commits once, and only then tells: so the order of numbers is the
order of telling, nothing durable is told before it is on the disk, and telemetry waits for one transaction at most.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import structlog
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway import events, statements, transaction
from gateway.batch import Batch, Position
from gateway.io import recall
from gateway.io.database import (
    POSTGRES,
    StoreError,
    StoreUnavailableError,
    UnstorableError,
    engine_for,
    migrate,
    parse_url,
)
from gateway.io.postgres import PostgresWriter
from gateway.io.sqlite import SqliteWriter
from gateway.io.sweep import Retention, Sweeper
from gateway.transaction import Answer, NodeFacts, Numbers, Observation, Request, Traces
from gateway.world import World
from runtime.histogram import Histogram

__all__ = ["Bus", "Counts", "Retention", "Store"]

AHEAD: Final = 100_000
"""`meta.seq_mark` is set so far beyond the newest number: one more write each so many events."""
LEAST_AHEAD: Final = 20_000
"""Nearer to the mark than this, the next transaction moves it: what a transaction and the telemetry with it can use up."""
MOST_AT_ONCE: Final = 4_000
"""Rows and bids of one transaction: it takes tens of milliseconds, which everything after it waits for."""
MOST_OBSERVED: Final = 10_000
"""Telemetry events that wait; the oldest are dropped, and counted."""
MOST_SAMPLES: Final = 50_000
"""Samples that wait while the database takes nothing."""
FLUSH_S: Final = 1.0
"""What nothing waits for is written so often, s; and so often a database that failed is tried again."""
SWEEP_S: Final = 60.0
"""How often it is looked for what is too old, s."""
LONGEST_SHOWN: Final = 300

Told: TypeAlias = Callable[[Sequence[events.Event]], None]


class Bus(Protocol):
    """What numbers events where several gateways share a database (`gateway.io.bus`)."""

    async def number(self, told: Sequence[tuple[int | None, events.Event]]) -> None:
        """Carry events to all gateways, ours too, in this order; they come back by `Store.deliver`.

        The number is the event's place in the table `events`, None for telemetry: once it has a seq, `Store.numbered` says so.
        Durable ones that got lost on the way (a crash) are in `Store.unnumbered` at the next start.
        """


@dataclass(slots=True, eq=False)
class _Job:
    """What waits for the writer, and who waits for it."""

    work: Callable[[Numbers], Generator[Request, Answer, Any]] | None
    batch: Batch | None
    done: "asyncio.Future[Any]"
    since_s: float
    """When it was given, by the loop's clock."""


@dataclass(slots=True)
class Counts:
    """What the store did since it was opened."""

    rows: int = 0
    bids: int = 0
    transactions: int = 0
    failures: int = 0
    dropped: int = 0
    """Telemetry events that found no room."""
    refused: int = 0
    """Times that the database refused what telemetry left: all that waited was dropped."""


class Store:
    """See the module. Open it in the loop that uses it."""

    def __init__(self, engine: AsyncEngine, writer: SqliteWriter | PostgresWriter, retention: Retention) -> None:
        self.engine, self._writer, self._sweeper = engine, writer, Sweeper(engine, writer, retention)
        self.epoch, self.seq = "", 0
        self.counts = Counts()
        self.durable_ms = Histogram()
        """From a batch's submission to its being durable."""
        self.fault: str | None = None
        """Why nothing can be stored now; None: all is well."""
        self.on_events: Told = lambda told: None  # noqa: ARG005
        self.bus: Bus | None = None
        self._mark = 0
        self._jobs: deque[_Job] = deque()
        self._writing: list[_Job] = []
        """What the transaction of now does."""
        self._observed: deque[events.Event] = deque(maxlen=MOST_OBSERVED)
        self._traces = Traces()
        self._numbered: list[tuple[int, int]] = []
        self._wake = asyncio.Event()
        self._flush_due = self._sweep_due = self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._log = structlog.get_logger()

    @classmethod
    async def open(cls, url: str, *, retention: Retention = Retention(), shared: bool = False) -> "Store":
        """Open or make the store at a database's URL and bring its tables to this version.

        `shared`: several gateways use it, with a bus that numbers events. Raises StoreError and its kin.
        """
        parsed = parse_url(url)
        engine = engine_for(parsed)
        writer: SqliteWriter | PostgresWriter | None = None
        try:
            writer = _writer(parsed, engine, shared=shared)
            await migrate(engine)
            store = cls(engine, writer, retention)
            await store._connect()
        except BaseException:
            if writer is not None:
                await writer.close()
            await engine.dispose()
            raise
        store._task = asyncio.create_task(store._write_on(), name="store")
        store._task.add_done_callback(store._ended)
        store._arm("_flush_due", FLUSH_S)
        store._arm("_sweep_due", SWEEP_S)
        return store

    # -- what feeds ask for

    @property
    def healthy(self) -> bool:
        """Whether what is published now is stored."""
        return self.fault is None and not self._closing

    async def position(self, node: NodeFacts, now_us: int) -> Position:
        """Where a node's journal goes on. Raises StoreUnavailableError, UnstorableError (why it is not taken)."""
        return await self._locate(partial(transaction.locate, node, now_us))

    async def fork(self, node: NodeFacts, position: Position, now_us: int) -> Position:
        """The node's journal does not have the row that ends `position`: it is taken anew. Raises as `position`."""
        return await self._locate(partial(transaction.fork, node, position, now_us))

    async def _locate(self, work: Callable[[Numbers], Generator[Request, Answer, Any]]) -> Position:
        found = await self._enqueue(work, None)
        if found.fault is not None:
            raise UnstorableError(found.fault)
        position: Position = found.position
        return position

    async def ingest(self, batch: Batch) -> None:
        """Rows or bids: durable when this returns. Raises StoreUnavailableError; UnstorableError: it must come otherwise."""
        fault = await self.submit(batch)
        if fault is not None:
            raise UnstorableError(fault)

    def submit(self, batch: Batch) -> "asyncio.Future[str | None]":
        """The same for who goes on meanwhile: batches are stored in the order in which they are given.

        Its result: None, or why the batch must come otherwise; or StoreUnavailableError. Who gives them bounds them.
        """
        return self._enqueue(None, batch)

    def _enqueue(
        self, work: Callable[[Numbers], Generator[Request, Answer, Any]] | None, batch: Batch | None
    ) -> "asyncio.Future[Any]":
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._closing:
            done.set_exception(StoreUnavailableError("the store is being closed"))
            return done
        self._jobs.append(_Job(work, batch, done, done.get_loop().time()))
        self._wake.set()
        return done

    def observe(self, seen: Observation) -> None:
        """Telemetry: told in order, what of it is kept is written by and by."""
        for event in seen.told:
            if len(self._observed) == MOST_OBSERVED:
                self.counts.dropped += 1
            self._observed.append(event)
        kept, new = self._traces, seen.traces
        kept.statuses.update(new.statuses)
        kept.metrics.update(new.metrics)
        kept.latencies.update(new.latencies)
        if len(kept.samples) < MOST_SAMPLES:
            kept.samples.update(new.samples)
        self._wake.set()

    # -- what a bus asks for

    def deliver(self, told: Sequence[events.Event]) -> None:
        """Events with their numbers, of any gateway: tell them here."""
        if told:
            self.seq = max(self.seq, told[-1].seq)
            self.on_events(told)

    def numbered(self, pairs: Sequence[tuple[int, int]]) -> None:
        """(number, seq) of durable events that the bus has carried: written by and by."""
        self._numbered += pairs

    async def unnumbered(self, limit: int, after: int = 0) -> list[tuple[int, events.Event]]:
        """Durable events after a number that no bus has carried yet, oldest first."""
        return await recall.unnumbered(self.engine, self.epoch, limit, after)

    # -- what the rest of the gateway asks for

    async def newest(self, limit: int) -> list[events.Event]:
        """The newest durable events, oldest first."""
        return await recall.newest(self.engine, self.epoch, limit)

    async def forgotten(self) -> int:
        """Durable events up to this number may have been forgotten; 0: none was."""
        return await recall.forgotten(self.engine)

    async def world(self, trades: int) -> World:
        """What was true when the gateway ended, with every node offline, and the newest trades."""
        return await recall.world(self.engine, self.epoch, trades)

    async def close(self) -> None:
        """Write what waits, then let go of the database."""
        self._closing, self._flush_due = True, True
        self._wake.set()
        for timer in self._timers.values():
            timer.cancel()
        try:
            if self._task is not None:
                await self._task
        finally:
            await self._writer.close()
            await self.engine.dispose()

    # -- the writer

    def _arm(self, name: str, seconds: float) -> None:
        def ring() -> None:
            setattr(self, name, True)
            self._wake.set()
            self._arm(name, seconds)

        self._timers[name] = asyncio.get_running_loop().call_later(seconds, ring)

    async def _write_on(self) -> None:
        while not (self._closing and not self._jobs and not self._flush_due):
            await self._wake.wait()
            self._wake.clear()
            while self._jobs:
                await self._turn()
            await self._turn()
            if self._sweep_due and self.fault is None and not self._closing:
                self._sweep_due = False
                try:
                    self._sweep_due = await self._sweeper.sweep(_now_us())
                except StoreError as error:
                    self._failed([], error)
                if self._sweep_due:
                    self._wake.set()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """The writer is no more: nobody waits for it. Whatever ended it, where it was not `close`, is ours to mend."""
        if task.cancelled() or task.exception() is None:
            return
        self._closing = True
        error = StoreUnavailableError(f"the writer ended: {task.exception()!r}")
        self._failed([*self._writing], error)

    async def _turn(self) -> None:
        """One transaction where one is due, then what it and telemetry have to tell."""
        jobs = self._writing = self._take()
        flush, self._flush_due = self._flush_due, False
        told: list[tuple[int | None, events.Event]] = []
        if jobs or self._must_write(flush=flush):
            told = await self._commit(jobs, flush=flush)
        observed: list[events.Event] = list(self._observed)
        self._observed.clear()
        if self.bus is not None:
            if told or observed:
                await self.bus.number([*told, *((None, event) for event in observed)])
            return
        if self.seq + len(observed) > self._mark:  # the database does not let us count on
            self.counts.dropped += len(observed)
            observed = []
        numbered = [event for _, event in told]
        for event in observed:
            self.seq += 1
            numbered.append(msgspec.structs.replace(event, epoch=self.epoch, seq=self.seq))
        if numbered:
            self.on_events(numbered)

    def _must_write(self, *, flush: bool) -> bool:
        kept = bool(self._traces) or bool(self._numbered) or self.fault is not None
        return (flush and kept) or self.seq + len(self._observed) + LEAST_AHEAD > self._mark

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        rows = 0
        while self._jobs and rows < MOST_AT_ONCE:
            job = self._jobs.popleft()
            if job.batch is not None:
                rows += job.batch.count
            jobs.append(job)
        return jobs

    async def _commit(self, jobs: list[_Job], *, flush: bool) -> list[tuple[int | None, events.Event]]:
        try:
            return await self._together(jobs, flush=flush)
        except UnstorableError as error:
            if len(jobs) == 1 and not flush:
                _fail(jobs, error)
                return []
            if not jobs:
                self._refused(error)
                return []
            self._log.warning("transaction_split", error=str(error)[:LONGEST_SHOWN])
            told = await self._commit([], flush=True) if flush else []
            for job in jobs:  # one node's values must not hold up the others'
                told += await self._commit([job], flush=False)
            return told
        except StoreError as error:
            self._failed(jobs, error)
            return []

    def _refused(self, error: UnstorableError) -> None:
        """What telemetry left is refused, and would be again: the next of it is as good."""
        self.counts.refused += 1
        self._traces = Traces()
        self._log.error("traces_refused", error=str(error)[:LONGEST_SHOWN])

    async def _together(self, jobs: list[_Job], *, flush: bool) -> list[tuple[int | None, events.Event]]:
        await self._connect()
        traces = self._traces if flush else Traces()
        numbered = self._numbered if flush else []
        if flush:
            self._traces, self._numbered = Traces(), []
        try:
            seq, mark, told, results = await self._writer.run(partial(self._whole, jobs, traces, numbered))
        except StoreError:
            self._keep(traces, numbered)
            raise
        self.seq, self._mark = max(self.seq, seq), mark  # a bus may have delivered meanwhile
        self.counts.transactions += 1
        if self.fault is not None:
            self._log.info("store_works_again")
            self.fault = None
        now_s = asyncio.get_running_loop().time()
        for job, result in results:
            if job.batch is not None and result is None:
                self.durable_ms.record((now_s - job.since_s) * 1000)
                self.counts.rows += len(job.batch.rows)
                self.counts.bids += len(job.batch.bids)
            if not job.done.done():
                job.done.set_result(result)
        return told

    def _whole(
        self, jobs: list[_Job], traces: Traces, numbered: list[tuple[int, int]]
    ) -> Generator[Request, Answer, tuple[int, int, list[tuple[int | None, events.Event]], list[tuple[_Job, Any]]]]:
        """All that one transaction does."""
        seq, told, results = self.seq, [], []

        def numbers() -> Numbers:
            return Numbers(self.epoch, None if self.bus is not None else seq + 1)

        for job in jobs:
            if job.work is not None:
                located = yield from job.work(numbers())
                told += list(zip(located.numbers, located.told, strict=True))
                seq += len(located.told) if self.bus is None else 0
                results.append((job, located))
        batched = [(job, job.batch) for job in jobs if job.batch is not None]
        if batched:
            stored = yield from transaction.store_batches([batch for _, batch in batched], _now_us(), numbers())
            told += list(zip(stored.numbers, stored.told, strict=True))
            seq += len(stored.told) if self.bus is None else 0
            results += [(job, fault) for (job, _), fault in zip(batched, stored.faults, strict=True)]
        yield from transaction.store_traces(traces)
        yield Request(statements.NUMBERED, numbered)
        mark = self._mark
        if seq + len(self._observed) + LEAST_AHEAD > mark or self.fault is not None:
            mark = max(mark, seq + AHEAD)
            yield Request(statements.PUT_META, [("seq_mark", str(mark))])
        return seq, mark, told, results

    def _keep(self, traces: Traces, numbered: list[tuple[int, int]]) -> None:
        """The transaction failed: what nothing waits for comes again, unless there is something newer."""
        new, self._traces = self._traces, traces
        self._numbered = numbered + self._numbered
        self.observe(Observation([], new))

    def _failed(self, jobs: list[_Job], error: StoreError) -> None:
        self.counts.failures += 1
        news, self.fault = self.fault is None, str(error)
        waiting, self._jobs = [*jobs, *self._jobs], deque()
        _fail(waiting, error)
        if news:
            self._log.error("store_does_not_work", error=str(error)[:LONGEST_SHOWN])

    async def _connect(self) -> None:
        """Have a connection. A new one may find that another gateway has counted on meanwhile."""
        if not await self._writer.ready():
            return
        self.epoch, seq, self._mark = await self._writer.run(partial(_begin, self.seq))
        self.seq = max(self.seq, seq)


def _begin(seq: int) -> Generator[Request, Answer, tuple[str, int, int]]:
    """(epoch, newest number, mark): no number up to the mark was ever given, and ours begin there."""
    found: dict[str, str] = dict(
        (yield Request(statements.META, [("epoch",), ("seq_mark",), (transaction.FORGOTTEN,)]))
    )
    epoch = found.get("epoch") or secrets.token_hex(8)
    last = (yield Request(statements.LAST_NUMBER, [(0,)]))[0][0]
    seq = max(seq, int(found.get("seq_mark", "0")), last)
    # An older version's store does not say what it has forgotten: then it may be anything.
    forgotten = found.get(transaction.FORGOTTEN) or (str(seq) if "epoch" in found else "0")
    yield Request(
        statements.PUT_META,
        [("epoch", epoch), ("seq_mark", str(seq + AHEAD)), (transaction.FORGOTTEN, forgotten)],
    )
    return epoch, seq, seq + AHEAD


def _writer(url: URL, engine: AsyncEngine, *, shared: bool) -> SqliteWriter | PostgresWriter:
    if url.drivername == POSTGRES:
        return PostgresWriter(engine, alone=not shared)
    if shared:
        raise StoreError(
            "several gateways share a PostgreSQL database, not an SQLite file; leave --redis out, or give --database"
        )
    return SqliteWriter(url)


def _fail(jobs: Sequence[_Job], error: StoreError) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error)


def _now_us() -> int:
    return time.time_ns() // 1000
