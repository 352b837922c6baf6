"""Nodes of a simulated network: the cores that ship, a virtual disk, links. Decides nothing of its own."""

import random
from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

from etp.clock import Now
from etp.codes import Role
from etp.effects import Broadcast, Commit, Disconnect, Effect, Envelope, Lookup, RecordBid, Row, Send, Write
from etp.profile import DatagramProfile, Received
from etp.session import Bound, Event
from etp.units import DeviceId, MonotonicS
from sim.disk import Disk
from sim.link import End
from sim.scheduler import Scheduler

COMMIT_S = (0.0005, 0.006)
"""Least and greatest time that a commit takes, s."""


class Core(Protocol):
    """What desk and buyer have in common."""

    def receive(self, device_id: DeviceId, frame: Any, raw: bytes, now: Now, *, fresh: bool) -> list[Effect]:
        """A valid frame."""

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """Durable."""

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """What a Lookup found."""

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:
        """A session ended."""

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` is due."""

    def advance(self, now: Now) -> list[Effect]:
        """Do what is due."""


C = TypeVar("C", bound=Core)


class Node(Generic[C]):
    """One process: a core, its disk and its links."""

    def __init__(self, role: Role, core: C, profile: DatagramProfile, scheduler: Scheduler, rng: random.Random) -> None:
        self.role, self.core, self.profile = role, core, profile
        self.disk = Disk()
        self.sent: list[bytes] = []
        self._scheduler, self._rng = scheduler, rng
        self._ends: dict[DeviceId, End] = {}
        self._timer_s = float("inf")
        self._last_commit_s = 0.0

    def happened(self, end: End, event: Event) -> None:
        """An event of one of its sessions."""
        now = self._scheduler.now()
        if isinstance(event, Bound):
            before, self._ends[event.device_id] = self._ends.get(event.device_id), end
            if before is not None and before is not end:
                before.close("another session took over")
            opened = "session_bound" if self.role is Role.BESS else "session_opened"
            self.apply(getattr(self.core, opened)(event.device_id, now))
        elif isinstance(event, Received):
            peer = DeviceId(event.frame.device_id)
            self.apply(self.core.receive(peer, event.frame, event.raw, now, fresh=event.fresh))
        self.watch()

    def gone(self, end: End) -> None:
        """One of its links is down."""
        peer = end.session.peer_id
        if peer is not None and self._ends.get(peer) is end:
            del self._ends[peer]
            self.apply(self.core.session_lost(peer, self._scheduler.now()))
            self.watch()

    def apply(self, effects: Iterable[Effect]) -> None:
        """Carry effects out."""
        for effect in effects:
            if isinstance(effect, Send):
                self._send(effect.device_id, effect.envelope)
            elif isinstance(effect, Broadcast):
                for device_id in list(self._ends):
                    self._send(device_id, Envelope(effect.frame, lot_id=effect.lot_id))
            elif isinstance(effect, Commit):
                self._commit(effect)
            elif isinstance(effect, Write):
                self.disk.store(effect.rows)
            elif isinstance(effect, RecordBid):
                self.disk.bids.append(effect.row)
            elif isinstance(effect, Lookup):
                row = self.disk.find(effect.kind, effect.subject)
                self.apply(self.core.found(effect, row, self._scheduler.now()))
            elif isinstance(effect, Disconnect) and effect.device_id in self._ends:
                self._ends[effect.device_id].close("the peer said goodbye")

    def _send(self, device_id: DeviceId, envelope: Envelope) -> None:
        if device_id in self._ends:
            self._ends[device_id].send(envelope)

    def _commit(self, commit: Commit) -> None:
        # One writer: commits become durable in the order in which they were asked for.
        ready = max(self._last_commit_s, self._scheduler.time_s + self._rng.uniform(*COMMIT_S))
        self._last_commit_s = ready
        self._scheduler.at(ready, lambda: self._durable(commit))

    def _durable(self, commit: Commit) -> None:
        self.disk.store(commit.rows)
        self.apply(self.core.committed(commit, self._scheduler.now()))
        self.watch()

    def watch(self) -> None:
        """Wake up for the core's next deadline."""
        deadline = self.core.next_deadline()
        if deadline is not None and deadline < self._timer_s:
            self._timer_s = deadline
            self._scheduler.at(deadline, lambda: self._advance(deadline))

    def _advance(self, due_s: float) -> None:
        if self._timer_s != due_s:
            return
        self._timer_s = float("inf")
        self.apply(self.core.advance(self._scheduler.now()))
        self.watch()
