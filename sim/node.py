"""A process and the machine it runs on: a core that ships, its disk, its clocks, its links. It decides nothing of its own.

A node lives, may die at any effect that it carries out, and lives again from what its disk has kept; `life` counts. Whatever
was asked for in an earlier life is not heard any more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Generic, Protocol, TypeVar

from bess_node.settlement import Settlement
from etp import hub
from etp.clock import Now
from etp.codes import Role
from etp.discovery_limits import Address
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
    Settle,
    Write,
)
from etp.limits import Limits
from etp.profile import Received
from etp.roster import Roster
from etp.session import PREFIX_SIZE, Event, Session, Violation
from etp.signed import AnyProfile
from etp.units import DeviceId, MonotonicS
from sim.air import Station
from sim.clock import Clock
from sim.disk import Disk, Left, Writer
from sim.link import End
from sim.network import Host
from sim.scheduler import Scheduler

LOOK: Final = 32
"""Messages that a core is handed between two looks at the sizes of its node's tables: no burst of more goes unseen."""


class Core(Protocol):
    """What desk and buyer have in common."""

    def receive(self, device_id: Any, frame: Any, raw: bytes, now: Now, *, fresh: bool) -> list[Effect]:
        """A valid frame of a device_id."""

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """Durable."""

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """Not in the journal."""

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """What a Lookup found."""

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:
        """A session ended."""

    def blamed(self, violation: Violation, now: Now) -> list[Effect]:
        """A message against the rules."""

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` is due."""

    def advance(self, now: Now) -> list[Effect]:
        """Do what is due."""


class Payment(Protocol):
    """Who sees to a battery's money in one life (sim.io.payment)."""

    settlement: Settlement
    """What the desk asks about it."""

    @property
    def settler(self) -> object:
        """Whose tables are bounded."""

    def began(self) -> None:
        """The life has begun."""

    def settle(self, row: Row) -> None:
        """A trade whose outbox row is durable."""

    def ended(self, commit: Commit, *, durable: bool) -> bool:
        """A commit ended; False: it was not the settler's."""

    def crashed(self) -> None:
        """The life that it belonged to is over."""


class Watcher(Protocol):
    """Who looks on: told of all that a node decides, makes durable and says (sim.invariants.Watch)."""

    def turn(  # noqa: PLR0917 - for each frame: names would cost a tenth of it
        self, device_id: int, raw: bytes | None, peer: int, fresh: bool, effects: Sequence[Effect], now: Now
    ) -> None:
        """A core decided: about a frame of a peer, about its lost session (`raw` is empty), or by itself (`raw` is None)."""

    def durable(self, device_id: int, rows: Sequence[Row], bids: Sequence[BidRow]) -> None:
        """What one transaction made durable; nobody who waits for it was told yet."""

    def failed(self, device_id: int, rows: Sequence[Row]) -> None:
        """A commit that is not in the journal, and will not be; its node was not told yet."""

    def wire(self, sender: int, receiver: int, raw: bytes, time_s: float) -> None:
        """A message left a node by TCP, or by UDP for another one; its bytes without the length prefix, true time."""

    def restart(self, device_id: int) -> None:
        """A node is about to be built anew from its disk."""

    def sizes(self, device_id: int, core: object) -> None:
        """How much a core, or what it uses, holds may be looked at now."""


@dataclass(slots=True, eq=False)
class Tally:
    """What a world counts."""

    messages: int = 0
    """Frames that a core was handed, by TCP or UDP."""
    crashes: int = 0
    links: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    """What was done to nodes, links and the chain, by kind: each once, whatever came of it."""
    losses: Counter[str] = field(default_factory=Counter)
    """What came of it on the way, by kind: datagrams, connections, transactions of a disk, answers of RPCs."""


@dataclass(slots=True, eq=False)
class Yard:
    """What all nodes of a world have in common."""

    scheduler: Scheduler
    rng: Random
    tally: Tally
    watch: Watcher | None = None


C = TypeVar("C", bound=Core)


class Node(Generic[C]):
    """See the module. `host`: its machine's number; `ended`: called when one of its links is gone."""

    bends = False
    """Whether `leaving`, `shouting` and `carry` are asked: a hostile node bends what the shipped core does."""

    core: C
    profile: AnyProfile
    limits: Limits
    roster: Roster[End]
    writer: Writer

    def __init__(self, role: Role, device_id: DeviceId, host: Host, yard: Yard, *, clock: Clock, disk: Disk) -> None:
        self.role, self.device_id, self.host, self.clock, self.disk = role, device_id, host, clock, disk
        self.yard, self.scheduler, self.tally = yard, yard.scheduler, yard.tally
        self.alive = self.serving = False
        self.watched = True
        """Whether who looks on is told of its turns and rows: not of those of a twin."""
        self.life = 0
        self.payment: Payment | None = None
        self.station: Station | None = None
        self.dirty: list[End] = []
        """Ends with something to send at the end of this turn."""
        self.open_ends: dict[End, None] = {}
        """In the order in which they came."""
        self.ghosts: list[End] = []
        """Peers' ends of connections whose end here went without a word: they learn of it once this machine is up again."""
        self.ended: Callable[[End, Now], None] | None = None
        self.on_quiet: Callable[[], None] | None = None
        """Called once when no commit is on its way."""
        self.beside: list[object] = []
        """What this life has beside its core, and what of it is bounded: its dials."""
        self._watch: Watcher | None = None
        self._timer_s = float("inf")
        self.late_s = 0.0
        """Its timers fire up to this late, s."""
        self._fuse: int | None = None
        self._on_fall: Callable[[Left], None] = lambda _: None
        self._in_recovery: tuple[int, Callable[[Left], None]] | None = None
        """What `_fuse` and `_on_fall` are when the next life begins."""
        self._messages = 0
        self._table: dict[type, Callable[[Any, Now], None]] = {
            Send: self._send,
            Broadcast: self._broadcast,
            Commit: self._commit,
            Write: self._write,
            RecordBid: self._record,
            Settle: self._settle,
            Lookup: self._lookup,
            Disconnect: self._disconnect,
            Count: self._ignore,
            Log: self._ignore,
        }

    def now(self) -> Now:
        """What its clocks read."""
        return self.clock.now()

    # -- lives

    def begin(self, core: C, profile: AnyProfile, limits: Limits) -> None:
        """A life begins."""
        self.core, self.profile, self.limits, self.roster = core, profile, limits, Roster(limits)
        self._opens = getattr(core, "session_bound" if self.role is Role.BESS else "session_opened")
        self.writer = Writer(self.disk, self.scheduler, self.yard.rng, self)
        self._watch = self.yard.watch if self.watched else None
        self.life += 1
        self.alive = True
        self._timer_s = float("inf")
        self.dirty, self.beside = [], []
        for end in self.ghosts:
            end.link.network.hang_up(end)
        self.ghosts = []
        if self._in_recovery is not None:
            (self._fuse, self._on_fall), self._in_recovery = self._in_recovery, None

    def crash(self, *, silently: bool = False) -> Left:
        """What was on its way to the disk may be there, torn or lost; nothing else is kept.

        `silently`: the machine is gone, too, so that nobody closes its connections.
        """
        self.tally.crashes += 1
        return self.vanish(silently=silently)

    def vanish(self, *, silently: bool = False) -> Left:
        """The life that it has is over."""
        self.alive = self.serving = False
        self.life += 1
        self._fuse = None
        self.on_quiet = None
        left = self.writer.crash()
        for end in self.open_ends:
            end.vanish()
            if silently:
                self.ghosts.append(end.peer)
            else:
                end.link.network.hang_up(end.peer)
        self.open_ends.clear()
        self.dirty = []
        if self.station is not None:
            self.station.close()
            self.station = None
        if self.payment is not None:
            self.payment.crashed()
        return left

    def crash_at_effect(self, count: int, fell: Callable[[Left], None]) -> None:
        """Crash after so many more effects, before the next one; then call `fell`."""
        self._fuse, self._on_fall = count, fell

    def crash_in_recovery(self, count: int, fell: Callable[[Left], None]) -> None:
        """The same of the next life, counted from its beginning."""
        self._in_recovery = count, fell

    def falls(self) -> bool:
        """Whether it crashes now, before the effect that is about to be carried out."""
        if self._fuse is None:
            return False
        if self._fuse == 0:
            self._on_fall(self.crash())
            return True
        self._fuse -= 1
        return False

    def heal(self, now_s: float) -> None:
        """Its disk works, it reads what comes, and it will not crash."""
        self._in_recovery = None
        if not self.alive:
            return
        self._fuse = self.writer.meanwhile = None
        self.writer.fails_until_s = self.writer.stalls_until_s = now_s
        for end in list(self.open_ends):
            if end.slow:
                end.read_on()

    # -- what its links tell

    def opened(self, end: End) -> None:
        """A link is up."""
        self.open_ends[end] = None

    def happened(self, end: End, event: Event, now: Now) -> None:
        """An event of one of its sessions."""
        effects = hub.happened(self.core, self.roster, self._opens, end, event, now)
        if type(event) is not Received:
            self.decided(effects, now)
            return
        self.tally.messages += 1
        if self._watch is None:
            self.apply(effects, now)
            return
        self._watch.turn(self.device_id, event.raw, event.frame.device_id, event.fresh, effects, now)
        self.apply(effects, now)
        self.looked_after()

    def looked_after(self) -> None:
        """A message was taken: now and then somebody looks at what it made of the tables."""
        self._messages += 1
        if not self._messages % LOOK:
            self.look()

    def look(self) -> None:
        """Let who looks on see how much each of its tables holds."""
        if self._watch is None or not self.alive:
            return
        tables: list[object] = [self.core, self.profile, self.roster, *self.beside]
        if self.station is not None:
            tables.append(self.station.core)
        if self.payment is not None:
            tables.append(self.payment.settler)
        for table in tables:
            self._watch.sizes(self.device_id, table)

    def overfull(self, session: Session) -> None:
        """A session's queue holds more than it may."""
        if self._watch is not None:
            self._watch.sizes(self.device_id, session)

    def gone(self, end: End, now: Now) -> None:
        """One of its links is down."""
        self.open_ends.pop(end, None)
        if end.address:
            self.roster.leave(end.address)
        peer = end.session.peer_id
        effects = hub.lost(self.core, self.roster, end, peer, now)
        if peer is not None and effects is not None:
            if self._watch is not None:
                self._watch.turn(self.device_id, b"", peer, True, effects, now)
            self.apply(effects, now)
        if self.ended is not None and self.alive:
            self.ended(end, now)

    def turned(self, now: Now) -> None:
        """A turn is over: what was asked for leaves, and the node wakes up for what comes."""
        if not self.alive:
            return
        while self.dirty:
            ends, self.dirty = self.dirty, []
            for end in ends:
                end.dirty = False
                end.flush(now)
        mark = self.profile.ids.mark_due()
        if mark is not None:
            self.writer.write((), mark)
        deadline = self.core.next_deadline()
        if deadline is not None and deadline < self._timer_s:
            self._timer_s = deadline
            due_s = self.clock.true_s(deadline)
            if self.late_s:
                due_s += self.late_s * self.yard.rng.random()
            self.scheduler.call(due_s, self._wake, (self.life, deadline))

    def _wake(self, asked: tuple[int, float]) -> None:
        if asked != (self.life, self._timer_s):
            return
        self._timer_s = float("inf")
        now = self.clock.now()
        self.decided(self.core.advance(now), now)
        self.turned(now)

    # -- what its disk tells

    def stored(self, rows: Sequence[Row], bids: Sequence[BidRow]) -> None:
        """A transaction is durable."""
        if self._watch is not None:
            self._watch.durable(self.device_id, rows, bids)

    def settled(self, commit: Commit, *, durable: bool) -> None:
        """A commit ended."""
        if self.payment is not None and self.payment.ended(commit, durable=durable):
            return
        if self._watch is not None and not durable:
            self._watch.failed(self.device_id, commit.rows)
        now = self.clock.now()
        outcome = self.core.committed if durable else self.core.commit_failed
        self.decided(outcome(commit, now), now)

    def rested(self) -> None:
        """All commits of a transaction were told."""
        if self.on_quiet is not None and self.writer.quiet:
            told, self.on_quiet = self.on_quiet, None
            told()
        self.turned(self.clock.now())

    # -- effects

    def decided(self, effects: list[Effect], now: Now) -> None:
        """What its core decided of its own accord is seen, and carried out."""
        if self._watch is not None:
            self._watch.turn(self.device_id, None, 0, True, effects, now)
        self.apply(effects, now)

    def apply(self, effects: Iterable[Effect], now: Now) -> None:
        """Carry effects out, in order; a node that is to crash does so between two of them."""
        if self._fuse is not None or self.bends:
            self._apply_carefully(effects, now)
            return
        table = self._table
        for effect in effects:
            table[type(effect)](effect, now)

    def _apply_carefully(self, effects: Iterable[Effect], now: Now) -> None:
        life = self.life
        for planned in effects:
            for effect in self.carry(planned) if self.bends else (planned,):
                if self.life != life:
                    return
                if self.falls():
                    return
                self._table[type(effect)](effect, now)

    def _send(self, effect: Send, now: Now) -> None:
        end = self.roster.get(effect.device_id)
        if end is not None:
            end.send(effect.envelope, now)

    def _broadcast(self, effect: Broadcast, now: Now) -> None:
        for end in self.roster.bound():
            end.send(Envelope(effect.frame, lot_id=effect.lot_id), now)

    def _commit(self, effect: Commit, _: Now) -> None:
        self.writer.commit(effect, self.profile.ids.mark_due())

    def _write(self, effect: Write, _: Now) -> None:
        self.writer.write(effect.rows)

    def _record(self, effect: RecordBid, _: Now) -> None:
        self.writer.bid(effect.row)

    def _settle(self, effect: Settle, _: Now) -> None:
        if self.payment is not None:
            self.payment.settle(effect.row)

    def _lookup(self, effect: Lookup, now: Now) -> None:
        found = self.core.found(effect, self.disk.find(effect.kind, effect.subject), now)
        if self._watch is not None:
            self._watch.turn(self.device_id, effect.raw, effect.device_id, False, found, now)
        self.apply(found, now)

    def _disconnect(self, effect: Disconnect, now: Now) -> None:
        end = self.roster.get(effect.device_id)
        if end is not None:
            end.finish(hub.SAID_GOODBYE, now)

    def _ignore(self, effect: Effect, now: Now) -> None:
        """For the operator only."""

    # -- for hostile nodes

    def leaving(self, end: End, data: bytes) -> bytes:  # noqa: ARG002 - for those that look at the receiver
        """All bytes that are about to leave by a link: what leaves instead."""
        return data

    def shouting(self, data: bytes, source: Address) -> Iterable[tuple[bytes, Address]]:
        """A datagram that is about to leave from its own address: what leaves instead, and whence it seems to come."""
        return ((data, source),)

    def caught(self, data: bytes) -> None:
        """A datagram has come."""

    def carry(self, effect: Effect) -> Iterable[Effect]:
        """What is carried out in place of an effect of the core."""
        return (effect,)

    def say(self, peer: DeviceId, raw: bytes) -> None:
        """One message, ready-made, to a connected peer, behind all that left before."""
        end = self.roster.get(peer)
        if end is not None and end.up:
            end.put(len(raw).to_bytes(PREFIX_SIZE, "little") + raw)

    def later(self, delay_s: float, function: Callable[[Any], None], argument: Any) -> None:
        """Call after a while, if this life lasts."""
        self.scheduler.call(self.scheduler.time_s + delay_s, self._still, (self.life, function, argument))

    def _still(self, asked: tuple[int, Callable[[Any], None], Any]) -> None:
        life, function, argument = asked
        if life == self.life:
            function(argument)
