"""A battery's settler as its daemon runs it, with a journal that loses what was not durable, and a kill -9 between any two steps.

A step is whatever a process can die between: before each effect is carried out, before and after rows are durable, before
and after an answer is heard, a deadline met, a trade taken in.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from contracts.links import Ask
from contracts.outbox import KIND, Entry, entry_of, row
from contracts.rpc import RpcFailure, SendTransactions
from contracts.settler import Settler, SettlerEffect
from contracts.settler_limits import SettlerLimits, SettlerTiming
from contracts.transactions import Signer
from etp.effects import Commit, Count, Log, Row, Write
from sim.disk import Disk
from sim.io.chain.faults import Chance, Fault
from sim.io.chain.rpc import Carried, HostileRpc
from sim.scheduler import Scheduler

LAZY_S: Final = 0.5
"""What nothing waits for is durable at the latest after this (runtime.io.journal)."""
COMMIT_S: Final = 0.004
WAY_S: Final = (0.002, 0.06)
"""One way to an RPC, s: from, to."""
SPIN: Final = 10_000
"""Turns at one instant: whoever takes more is not waiting for anything."""


class KilledError(Exception):
    """The node died here."""


class Watch:
    """What looks at everything that the node does. The real one is in `invariants`."""

    def sent(self, raw: bytes, disk: Disk) -> None:
        """Bytes leave the node."""

    def durable(self, rows: Iterable[Row]) -> None:
        """Rows became durable."""

    def said(self, rows: Iterable[Row], settler: Settler) -> None:
        """The core says so of a trade."""

    def turned(self, settler: Settler) -> None:
        """The core did something."""

    def spins(self) -> None:
        """The core's deadline does not move."""


class Node:
    """See the module. `dies_at`: the step at which it does, counted from its last start; else by chance."""

    def __init__(
        self,
        scheduler: Scheduler,
        rpcs: list[HostileRpc],
        signer: Signer,
        *,
        rng: random.Random,
        chance: Chance,
        watch: Watch,
        timing: SettlerTiming | None = None,
        limits: SettlerLimits | None = None,
    ) -> None:
        self.scheduler, self.rpcs, self.disk = scheduler, rpcs, Disk()
        self.lives = 0
        self.steps = 0
        self.dies_at: int | None = None
        self.down_s = (0.05, 90.0)
        """It is up again after so long, s: from, to."""
        self.deaths: Counter[str] = Counter()
        """By the step before which it died."""
        self.counted: Counter[str] = Counter()
        self.settler: Settler | None = None
        self._signer, self._rng, self._chance, self._watch = signer, rng, chance, watch
        self._timing, self._limits = timing, limits
        self._lazy: list[Row] = []
        self._flush_s: float | None = None
        self._flying: list[tuple[Row, ...]] = []
        self._wake_s: float | None = None
        self._turns = (0.0, 0)
        self._carry: dict[type, Callable[[Any], None]] = {
            Ask: self._ask,
            Commit: self._commit,
            Write: self._write,
            Count: self._count,
            Log: lambda _: None,
        }

    # -- life and death

    def start(self) -> None:
        """Up, from what the journal has."""
        self.lives += 1
        self.steps, self._wake_s = 0, None
        rng = random.Random(self._rng.random())
        self.settler = Settler(self._signer, rpcs=len(self.rpcs), rng=rng, timing=self._timing, limits=self._limits)
        pending = [entry_of(_as_stored(each)) for each in self.disk.pending_rows() if each.kind == KIND]
        self._guarded("restored", lambda settler: self._do(settler.restore(pending, self.scheduler.now())))

    def _step(self, name: str) -> None:
        self.steps += 1
        if self.steps == self.dies_at or (self.dies_at is None and self._chance.strikes(Fault.CRASH)):
            self.deaths[name] += 1
            raise KilledError(name)

    def _guarded(self, name: str, work: Callable[[Settler], None]) -> None:
        assert self.settler is not None
        try:
            self._step(name)
            work(self.settler)
            self._watch.turned(self.settler)
            self._wake()
        except KilledError:
            self.kill()

    def kill(self) -> None:
        """What is in memory is gone; what was on its way to the disk may or may not have arrived."""
        self.settler, self.dies_at = None, None
        self.lives += 1
        for rows in self._flying:
            if self._rng.random() < 0.5:
                self._store(rows)
        self._flying, self._lazy, self._flush_s = [], [], None
        low, high = self.down_s
        self.scheduler.after(low + (high - low) * self._rng.random() ** 3, self.start)

    def _later(self, delay_s: float, name: str, work: Callable[[Settler], None]) -> None:
        life = self.lives
        self.scheduler.after(delay_s, lambda: self._guarded(name, work) if life == self.lives else None)

    # -- trades

    def confirm(self, entry: Entry) -> None:
        """A Confirm arrives. A buyer repeats it until it is answered, so it comes again where the node is down or dies."""
        if self.disk.find(KIND, str(entry.lot_id)) is not None:
            return
        self.scheduler.after(5.0, lambda: self.confirm(entry))
        if self.settler is not None:
            self._guarded("confirm", lambda _: self._make_durable((row(entry),), "confirm", self._took_in(entry)))

    def _took_in(self, entry: Entry) -> Callable[[Settler, bool], list[SettlerEffect]]:
        return lambda settler, done: settler.add(entry, self.scheduler.now()) if done else []

    # -- effects

    def _do(self, effects: Iterable[SettlerEffect]) -> None:
        for effect in effects:
            self._step(f"{type(effect).__name__} {getattr(effect, 'purpose', '')}".strip())
            self._carry[type(effect)](effect)
        self._step("all done")

    def _ask(self, ask: Ask) -> None:
        if isinstance(ask.request, SendTransactions):
            for raw in ask.request.raws:
                self._watch.sent(raw, self.disk)
        there_s, back_s = (WAY_S[0] + (WAY_S[1] - WAY_S[0]) * self._rng.random() ** 2 for _ in range(2))
        life = self.lives

        def arrive() -> None:  # what has left the node arrives, even if the node dies
            carried = self.rpcs[ask.rpc].ask(ask.request)
            if life == self.lives:
                self._later(back_s + carried.late_s, f"answer {ask.purpose}", lambda _: self._hear(ask, carried))

        self.scheduler.after(there_s, arrive)

    def _hear(self, ask: Ask, carried: Carried) -> None:
        assert self.settler is not None
        kind = "failure" if isinstance(carried.answer, RpcFailure) else "answer"
        self.counted[f"{kind} {ask.purpose}"] += 1
        self._do(self.settler.answered(ask, carried.answer, self.scheduler.now()))

    def _count(self, count: Count) -> None:
        self.counted[f"{count.name} {count.label}"] += count.amount

    # -- the journal

    def _commit(self, commit: Commit) -> None:
        def done(settler: Settler, durable: bool) -> list[SettlerEffect]:
            now = self.scheduler.now()
            return settler.committed(commit, now) if durable else settler.commit_failed(commit, now)

        self._make_durable(commit.rows, commit.purpose, done)

    def _make_durable(
        self, rows: tuple[Row, ...], purpose: str, then: Callable[[Settler, bool], list[SettlerEffect]]
    ) -> None:
        self._flying.append(rows)

        def written(_: Settler) -> None:
            self._flying.remove(rows)
            durable = not self._chance.strikes(Fault.JOURNAL)
            if durable:
                self._flush()
                self._store(rows)
            self._later(0.0, f"durable {purpose}", lambda settler: self._do(then(settler, durable)))

        self._later(COMMIT_S * (0.5 + self._rng.random()), f"fsync {purpose}", written)

    def _write(self, effect: Write) -> None:
        assert self.settler is not None
        self._watch.said(effect.rows, self.settler)
        self._lazy += effect.rows
        if self._flush_s is None:
            self._flush_s = self.scheduler.time_s + LAZY_S
            self._later(LAZY_S, "flush", lambda _: self._flush())

    def _flush(self) -> None:
        rows, self._lazy, self._flush_s = self._lazy, [], None
        self._store(rows)

    def _store(self, rows: Iterable[Row]) -> None:
        rows = tuple(rows)
        self._watch.durable(rows)
        self.disk.store(rows)

    # -- time

    def _wake(self) -> None:
        assert self.settler is not None
        due_s = self.settler.next_deadline()
        if due_s is None or (self._wake_s is not None and self._wake_s <= due_s):
            return
        self._wake_s, life = due_s, self.lives

        def wake() -> None:
            if life == self.lives and self._wake_s == due_s:  # else an earlier one has taken its place
                self._wake_s = None
                self._guarded("deadline", self._advance)

        self.scheduler.at(due_s, wake)

    def _advance(self, settler: Settler) -> None:
        now_s = self.scheduler.time_s
        at, turns = self._turns
        self._turns = (now_s, turns + 1 if at == now_s else 1)
        if self._turns[1] > SPIN:
            self._watch.spins()
        due_s = settler.next_deadline()
        if due_s is not None and due_s <= now_s:
            self._do(settler.advance(self.scheduler.now()))


def _as_stored(each: Row) -> Row:
    """A row as the journal's file gives it back."""
    return each._replace(body=json.loads(json.dumps(dict(each.body))))
