"""The shell around a core: carries effects out. Rows are made durable first, then the core says what to send.

Both daemons use it; the cores never see a socket, a file or a clock.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import structlog

from etp.clock import Now
from etp.codes import MessageType, TerminateCode
from etp.effects import (
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
    Settle,
    Write,
)
from etp.hub import SAID_GOODBYE
from etp.ids import Ids
from etp.io.tcp import Connection
from etp.registry import Registry
from etp.roster import Roster
from etp.session import Violation
from etp.units import MonotonicS
from runtime.histogram import Metrics
from runtime.io.journal import PATIENCE_S, Journal, JournalError


class Core(Protocol):
    """What desk and buyer have in common."""

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """The rows of a Commit are durable."""

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """The rows of a Commit are not in the journal and will not be."""

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """What a Lookup found."""

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""

    def advance(self, now: Now) -> list[Effect]:
        """Do what is due."""


class Shell:
    """Carries out the effects of one core."""

    def __init__(
        self,
        core: Core,
        *,
        journal: Journal,
        roster: Roster[Connection],
        ids: Ids,
        metrics: Metrics,
        clock: Callable[[], Now],
        settle: Callable[[Row], None] = lambda _: None,
    ) -> None:
        self._settle_row = settle
        self.core, self.journal, self.roster, self.metrics = core, journal, roster, metrics
        self._ids, self._clock = ids, clock
        self._log = structlog.get_logger()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._round_due = False
        self.after_round: Callable[[], None] | None = None
        """Called once after the turns of a round."""
        self._stopped = False
        self._open_commits = 0
        self._watching = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._changed = asyncio.Event()
        self._table: dict[type, Callable[[Any, Now], None]] = {
            Send: self._send,
            Broadcast: self._broadcast,
            Commit: self._commit,
            Write: self._write,
            RecordBid: self._record,
            Settle: self._settle,
            Lookup: self._lookup,
            Disconnect: self._disconnect,
            Count: self._count,
            Log: self._say,
        }

    def apply(self, effects: Iterable[Effect], now: Now) -> None:
        """Carry out effects in order."""
        for effect in effects:
            self._table[type(effect)](effect, now)

    def turned(self) -> None:
        """After a turn: keep the ids' mark ahead and wake up for the core's next deadline, once for all turns of a round."""
        if not self._round_due:
            self._round_due = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        self._round_due = False
        mark = self._ids.mark_due()
        if mark is not None:
            self._keep((), mark)
        if not self._stopped:
            self._arm()
        if self.after_round is not None:
            self.after_round()

    def overhear(self, heard: Callable[[Send], None]) -> None:
        """From now on call `heard` with each frame that is handed to a session."""
        send = self._table[Send]

        def both(effect: Send, now: Now) -> None:
            send(effect, now)
            heard(effect)

        self._table[Send] = both

    def queues(self) -> dict[str, int]:
        """How much waits: frames in all send queues and in the longest, rows and bids for the disk, bids that found no room."""
        waiting = [len(connection.session.queue) for connection in self.roster.bound() if connection.session]
        return {
            "send_frames": sum(waiting),
            "send_longest": max(waiting, default=0),
            "journal": self.journal.waiting,
            "bids_dropped": self.journal.dropped_bids,
        }

    def blame(self, connection: Connection, violation: Violation) -> None:
        """A peer broke a rule: counted, and said once a minute per kind."""
        self.metrics.count("violations", violation.kind)
        peer = connection.session.peer_id if connection.session else None
        said = {"peer": connection.remote, "device_id": peer, "reason": violation.reason}
        self._log.warning("violation", kind=violation.kind, **said)

    def dismiss(self, connection: Connection, code: TerminateCode, reason: str, now: Now) -> None:
        """Say Terminate to a peer and close."""
        connection.farewell(code, reason, now)
        self.metrics.sent(MessageType.TERMINATE)

    def dismiss_revoked(self, connections: Iterable[Connection], registry: Registry) -> None:
        """Tell those to go whose device is not in the registry any more, or revoked."""
        now = self._clock()
        for connection in connections:
            peer = connection.session.peer_id if connection.session else None
            if peer is not None and not registry.admits(peer, now.wall_us):
                self.metrics.count("security", "revoked")
                self.dismiss(connection, TerminateCode.NOT_AUTHORISED, "revoked", now)

    async def quiet(self) -> None:
        """Wait until no commit is on its way."""
        await self._quiet.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what commits change makes a condition true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def stop(self) -> None:
        """No more timers."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        deadline = self.core.next_deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - self._clock().monotonic_s), self._advance)

    def _advance(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = self._clock()
        self.apply(self.core.advance(now), now)
        self.turned()

    def _send(self, effect: Send, now: Now) -> None:
        connection = self.roster.get(effect.device_id)
        if connection is not None:
            connection.send(effect.envelope, now)
            self.metrics.sent(effect.envelope.frame.message_type)

    def _broadcast(self, effect: Broadcast, now: Now) -> None:
        for connection in self.roster.bound():
            connection.send(Envelope(effect.frame, lot_id=effect.lot_id), now)
        self.metrics.sent(effect.frame.message_type, len(self.roster.bound()))

    def _commit(self, effect: Commit, _: Now) -> None:
        self._open_commits += 1
        self._quiet.clear()
        if not self._watching:
            self._watching = True
            self._loop.call_later(PATIENCE_S, self._watch_writer)
        try:
            future = self.journal.commit(effect.rows, mark=self._ids.mark_due())
        except JournalError as error:
            self._log.error("journal_refused", purpose=effect.purpose, error=str(error))
            self._loop.call_soon(self._settled, effect, False)
            return
        future.add_done_callback(lambda done: self._committed(effect, done))

    def _watch_writer(self) -> None:
        """While commits are open: whatever keeps the loop busy, their writer gets its turn."""
        self._watching = self._open_commits > 0 and not self._stopped
        if self._watching:
            self.journal.give_way()
            self._loop.call_later(PATIENCE_S, self._watch_writer)

    def _committed(self, effect: Commit, done: "asyncio.Future[Any]") -> None:
        error = done.exception()
        if error is not None and not isinstance(error, JournalError):
            raise error
        if error is not None:
            self._log.error("journal_failed", purpose=effect.purpose, error=str(error))
        self._settled(effect, error is None)

    def _settled(self, effect: Commit, durable: bool) -> None:
        now = self._clock()
        outcome = self.core.committed if durable else self.core.commit_failed
        self.apply(outcome(effect, now), now)
        self.turned()
        self._open_commits -= 1
        self._changed.set()
        if self._open_commits == 0:
            self._quiet.set()

    def _write(self, effect: Write, _: Now) -> None:
        self._keep(effect.rows)

    def _keep(self, rows: tuple[Row, ...], mark: int | None = None) -> None:
        """Rows that nothing waits for: where there is no room for them, that is counted and said, and the node goes on."""
        try:
            self.journal.write(rows, mark=mark)
        except JournalError as error:
            self.metrics.count("rows_lost", amount=len(rows))
            self._log.error("rows_lost", kind="journal", count=len(rows), error=str(error))

    def _record(self, effect: RecordBid, _: Now) -> None:
        self.journal.bid(effect.row)

    def _settle(self, effect: Settle, _: Now) -> None:
        self._settle_row(effect.row)

    def _lookup(self, effect: Lookup, now: Now) -> None:
        self.apply(self.core.found(effect, self.journal.find(effect.kind, effect.subject), now), now)

    def _disconnect(self, effect: Disconnect, now: Now) -> None:
        connection = self.roster.get(effect.device_id)
        if connection is not None:
            connection.finish(SAID_GOODBYE, now)

    def _count(self, effect: Count, _: Now) -> None:
        self.metrics.count(effect.name, effect.label, effect.amount)

    def _say(self, effect: Log, _: Now) -> None:
        getattr(self._log, effect.level)(effect.event, **effect.fields)
