"""The gateway's side of a feed, as a core: a node's messages and instants in; what to do, as values, out.

    HELLO → LOCATING → OPEN → ENDED        OPEN → LOCATING once, where the node's journal is another one

Who speaks is proved before anything else is looked at: by the registry's key, over a challenge of this connection and the name under
which the node dialled us. In `plain` there is nothing to prove with, so only this machine's own nodes are taken, and only by a
gateway without a registry. What a proven node says is not trusted either: each row and bid is checked before it is stored, and
a wrong one ends the connection with words that its owner finds in its log.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite
from typing import Final, NamedTuple, TypeAlias

import msgspec
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from etp.clock import Now
from etp.registry import Registry
from etp.units import MonotonicS
from gateway.access import is_loopback_host
from gateway.batch import LAST_SEQ, Batch, Origin, Position, RowError, checked, checked_bid
from gateway.bodies import LAST_TIME_US, LAST_U64, About, clean, read
from gateway.events import Event
from gateway.observe import Watch
from gateway.rates import Bucket, Rates
from gateway.transaction import NodeFacts, Observation
from runtime.feed import wire
from runtime.feed.wire import Ack, Bids, Challenge, Fork, Hello, Refused, Resume, Rows, Telemetry

GOING_AWAY: Final = 1001
VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013
_JOURNAL: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
FASTEST: Final = 1_000_000
"""Market seconds per second at most (`runtime.settings.DaySettings`)."""


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Bounds of all feeds of one gateway."""

    nodes: int = 2_000
    """Proven connections: one a node."""
    unproven: int = 64
    """Connections that have not said who they are; one more gets 503. A node needs milliseconds for it."""
    unproven_per_address: int = 8
    """The same of one address beyond this machine: a stranger cannot hold all of them."""
    hello_s: float = 5.0
    """From a connection to its Hello, s."""
    rows: int = wire.WINDOW + 2 * wire.ROWS_AT_ONCE
    """Rows and bids of one node that are not durable yet; a node stops at its own window before."""
    unacked_bytes: int = 2 * 1024 * 1024
    """Of messages of one node that are not durable yet; then it is not read until they are."""
    held_bytes: int = 32 * 1024 * 1024
    """The same of all nodes; decoded they take several times as much."""
    bytes_per_s: float = 4.0 * 1024 * 1024
    """Of one node, sustained: 8,000 rows a second, when it was away for long. What comes faster waits in its socket."""
    items_per_s: float = 300.0
    """Telemetry of one node, sustained: a buyer hears 100 Responses a second. More is dropped, and counted."""
    item_burst: int = 3_000
    forks_per_s: float = 1 / 60
    """How often a node's journal may be another one, sustained: each makes it all be sent again."""
    fork_burst: int = 10

    def __post_init__(self) -> None:
        if not self.unacked_bytes >= wire.MAX_MESSAGE <= self.held_bytes:
            raise ValueError(f"expected room for one message of {wire.MAX_MESSAGE} bytes: {self}")


class State(Enum):
    """What is awaited."""

    HELLO = "who it is"
    LOCATING = "the store"
    OPEN = "rows, bids and telemetry"
    ENDED = "nothing"


class Send(NamedTuple):
    """A message to the node."""

    message: Challenge | Resume | Refused | Ack


class Locate(NamedTuple):
    """Ask the store where this node's journal goes on, then call `located`."""

    node: NodeFacts


class Refork(NamedTuple):
    """The same for a journal that does not have what was resumed."""

    node: NodeFacts
    position: Position


class Keep(NamedTuple):
    """Store a batch, then call `kept`."""

    batch: Batch


class Observe(NamedTuple):
    """Tell what the node shows of itself."""

    seen: Observation


class Pause(NamedTuple):
    """Read nothing for so long, s: the node sends more than its share."""

    seconds: float


class End(NamedTuple):
    """Close the connection; nothing more is read."""

    code: int
    reason: str


Effect: TypeAlias = Send | Locate | Refork | Keep | Observe | Pause | End


@dataclass(slots=True)
class Rules:
    """What all feeds of a gateway have in common. `registry` may be replaced at any time."""

    limits: FeedLimits
    registry: Registry | None
    names: frozenset[str] = frozenset()
    """HOST:PORT under which others know this gateway, as it was told; its own socket's address is one without being told."""
    _forks: Rates = field(init=False)
    _journals: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._forks = Rates(per_s=self.limits.forks_per_s, burst=self.limits.fork_burst, most=10 * self.limits.nodes)

    def refuses_journal(self, device_id: int, journal: str, now: Now) -> str | None:
        """Why a node may not come with this journal: it was another one too often, lately."""
        before = self._journals.pop(device_id, journal)
        if len(self._journals) >= 10 * self.limits.nodes:
            del self._journals[next(iter(self._journals))]
        self._journals[device_id] = journal
        return None if before == journal else self.refuses_fork(device_id, now)

    def refuses_fork(self, device_id: int, now: Now) -> str | None:
        """Why a journal may not begin anew: each time all of it is sent and looked at again."""
        wait_s = self._forks.refused_s(device_id, now.monotonic_s)
        if wait_s is None:
            return None
        return f"the journal of device {device_id} was another one too often; try again in {wait_s:.0f} s"


class Caller(NamedTuple):
    """Where a connection comes from."""

    is_local: bool
    """This machine, by a name of this machine, not through a proxy."""
    address: str
    port: int
    """Of our end of its connection: what we know of ourselves, whatever the client calls us."""

    def knows(self, audience: str, names: frozenset[str]) -> bool:
        """Whether a proof for `audience` (HOST:PORT) is for this gateway.

        The client's Host says nothing about that: who has a proof that was meant for another gateway writes that one's name
        there. On loopback, which every machine has, only what comes from this one counts.
        """
        host, _, port = audience.rpartition(":")
        if audience in names:
            return True
        if port != str(self.port):
            return False
        if is_loopback_host(host):
            return self.is_local
        return host == self.address


class Feed:
    """See the module. `challenge`: 32 fresh random bytes, hex."""

    def __init__(self, rules: Rules, caller: Caller, challenge: str, now: Now) -> None:
        self.state = State.HELLO
        self.origin: Origin | None = None
        self.watch: Watch | None = None
        self.position: Position | None = None
        """What is durable, as this connection knows it."""
        self.unacked_rows = self.unacked_bytes = 0
        self._rules, self._limits, self._caller, self._challenge = rules, rules.limits, caller, challenge
        self._hello: Hello | None = None
        self._facts: NodeFacts | None = None
        self._about = About()
        self._forked = False
        self._row = self._bid = 0
        self.heritage: Watch | None = None
        """What the node's connection before this one showed of it."""
        self._began_s = now.monotonic_s
        self._items = Bucket(self._limits.items_per_s, self._limits.item_burst, now.monotonic_s)
        self._spent_bytes, self._spent_at_s = 0.0, now.monotonic_s

    # -- in

    def begin(self) -> list[Effect]:
        """The first thing that is said."""
        return [Send(Challenge(self._challenge))]

    def receive(self, data: bytes | str, now: Now) -> list[Effect]:
        """A message of the node."""
        if self.state is State.ENDED:
            return []
        size = len(data)
        if size > wire.MAX_MESSAGE:
            return self._refuse(f"a message has {size} bytes; expected {wire.MAX_MESSAGE} at most")
        try:
            message = wire.from_node(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
            return self._refuse(f"that is no message of a feed: {error}")
        pause = self._spend(size, now)
        if isinstance(message, Hello):
            return self._greeted(message, now)
        if self.state is not State.OPEN:
            return self._refuse(f"a {type(message).__name__} came out of turn: {self.state.value} was awaited")
        stranger = self._stranger(now)
        if stranger is not None:
            return self._refuse(stranger)
        if isinstance(message, Fork):
            return self._other_journal(now)
        if isinstance(message, Telemetry):
            return [*self._telemetry(message, now), *pause]
        try:
            return [self._checked(message, size), *pause]
        except RowError as error:
            return self._refuse(str(error))

    def _spend(self, size: int, now: Now) -> list[Effect]:
        """What a node sends is counted down at its rate; how long it must wait after this message."""
        rate = self._limits.bytes_per_s
        left = max(0.0, self._spent_bytes - (now.monotonic_s - self._spent_at_s) * rate)
        self._spent_bytes, self._spent_at_s = left + size, now.monotonic_s
        over = self._spent_bytes - 2 * rate
        return [Pause(over / rate)] if over > 0 else []

    def _refuse(self, reason: str) -> list[Effect]:
        self.state = State.ENDED
        reason = clean(reason)
        return [Send(Refused(reason)), End(VIOLATION, "refused")]

    # -- who it is

    def _greeted(self, hello: Hello, now: Now) -> list[Effect]:
        if self.state is not State.HELLO:
            return self._refuse("a second Hello; a connection is one node's")
        fault = (
            self._fault(hello)
            or self._unproven(hello, now)
            or self._rules.refuses_journal(hello.device_id, hello.journal, now)
        )
        if fault is not None:
            return self._refuse(fault)
        try:
            self._about = read(dict(hello.about), About)
        except msgspec.ValidationError as error:
            return self._refuse(f"about: {error}")
        self._hello, self.state = hello, State.LOCATING
        about = msgspec.json.encode(self._about).decode()
        self._facts = NodeFacts(hello.device_id, hello.role, hello.key or None, about, hello.journal)
        return [Locate(self._facts)]

    @staticmethod
    def _fault(hello: Hello) -> str | None:
        market = hello.market_time
        if hello.version != wire.VERSION:
            return f"version is {hello.version}; this gateway speaks {wire.VERSION}"
        if not 0 <= hello.device_id <= LAST_U64:
            return f"device_id is {str(hello.device_id)[:40]}; expected 0 to 2^64 - 1"
        if not _JOURNAL.fullmatch(hello.journal):
            return f"journal is {hello.journal[:80]!r}; expected 1 to 64 hexadecimal digits"
        if not (0 <= market.origin_us <= LAST_TIME_US and 0 <= market.start_us <= LAST_TIME_US):
            return f"market_time: origin_us and start_us must be 0 to {LAST_TIME_US}"
        if not (isfinite(market.speed) and 0 < market.speed <= FASTEST):
            return f"market_time: speed is {market.speed}; expected more than 0, and {FASTEST} at most"
        return None

    def _unproven(self, hello: Hello, now: Now) -> str | None:
        registry = self._rules.registry
        if registry is None:
            if hello.key or hello.signature:
                return "this gateway has no registry to look up your key in; start it with --registry"
            if not self._caller.is_local:
                return (
                    "this gateway has no registry, so it takes only nodes of its own machine; start it with --registry"
                )
            return None
        member = registry.get(hello.device_id)
        if member is None:
            return f"device {hello.device_id} is not in this gateway's registry"
        if member.is_revoked(now.wall_us):
            return f"device {hello.device_id} is revoked"
        if member.role.value != hello.role:
            return f"device {hello.device_id} is registered as {member.role.value}, not as {hello.role}"
        if hello.key.lower() != member.key.hex():
            return f"the key of device {hello.device_id} is not the registered one"
        if not self._caller.knows(hello.audience.lower(), self._rules.names):
            known = ", ".join(sorted(self._rules.names)[:3]) or "only by its address"
            return (
                f"your proof is for {hello.audience[:80]}; this gateway knows itself as {known[:160]}; other names are"
                " given by --origins"
            )
        said = wire.proof(
            challenge=self._challenge,
            network_id=registry.network.network_id,
            audience=hello.audience,
            role=hello.role,
            device_id=hello.device_id,
            journal=hello.journal,
        )
        return (
            None if _is_signed(member.key, said, hello.signature) else "the signature is not that of the registered key"
        )

    def _stranger(self, now: Now) -> str | None:
        """A member may be revoked while it is connected."""
        registry, facts = self._rules.registry, self._facts
        if registry is None or facts is None or registry.admits(facts.device_id, now.wall_us):
            return None
        return f"device {facts.device_id} is revoked"

    @property
    def device_id(self) -> int | None:
        """Who it is, once that is proved."""
        return None if self._facts is None else self._facts.device_id

    def located(self, position: Position, now: Now) -> list[Effect]:  # noqa: ARG002 - as all inputs
        """Where the node's journal goes on."""
        hello = self._hello
        if self.state is not State.LOCATING or hello is None:
            return []
        self.state = State.OPEN
        self.position, self._row, self._bid = position, position.row, position.bid
        self.origin = Origin(
            hello.device_id, hello.role, hello.journal, position.fork, hello.market_time,
            self._about.feed_in_micro_per_kwh,
        )  # fmt: skip
        if self.watch is None:
            self.watch = Watch(hello.device_id, hello.role, self._about, hello.market_time)
            if self.heritage is not None:
                self.watch.follow(self.heritage)
        return [Send(Resume(position.row, position.row_hash, position.bid, position.newest))]

    def _other_journal(self, now: Now) -> list[Effect]:
        facts, position = self._facts, self.position
        if facts is None or position is None:
            return []
        if self._forked or self._row != position.row or self._bid != position.bid or self.unacked_rows:
            return self._refuse("a Fork is said once, right after a Resume")
        fault = self._rules.refuses_fork(facts.device_id, now)
        if fault is not None:
            return self._refuse(fault)
        self._forked, self.state = True, State.LOCATING
        return [Refork(facts, position)]

    # -- what it publishes

    def _checked(self, message: Rows | Bids, size: int) -> Keep:
        """The batch of a message. Raises RowError."""
        count = len(message.rows) if isinstance(message, Rows) else len(message.bids)
        if count > wire.ROWS_AT_ONCE:
            raise RowError(f"a message has {count} rows or bids; expected {wire.ROWS_AT_ONCE} at most")
        if self.unacked_rows + count > self._limits.rows:
            raise RowError(f"{self.unacked_rows + count} rows are unacknowledged; expected {wire.WINDOW} at most")
        batch = self._rows(message, size) if isinstance(message, Rows) else self._bids(message, size)
        self.unacked_rows += count
        self.unacked_bytes += size
        return Keep(batch)

    def _rows(self, message: Rows, size: int) -> Batch:
        origin, after = self._origin, self._row
        rows = [checked(row, origin.role) for row in message.rows]
        _rising("row", after, [row.seq for row in rows], message.last)
        if rows and rows[-1].seq == message.last and rows[-1].hash != message.last_hash:
            raise RowError(f"row {message.last}: last_hash is not its hash")
        if not (len(message.last_hash) <= 64 and set(message.last_hash) <= set("0123456789abcdef")):  # noqa: PLR2004 - SHA-256
            raise RowError(f"last_hash is {message.last_hash[:80]!r}; expected hexadecimal digits")
        self._row = message.last
        if self.watch is not None:
            for row in rows:
                if row.kind == "lot":
                    self.watch.ended(row.lot_id)
        return Batch(origin, after, rows, message.last, message.last_hash, self._bid, [], self._bid, size)

    def _bids(self, message: Bids, size: int) -> Batch:
        origin, after = self._origin, self._bid
        bids = [checked_bid(bid) for bid in message.bids]
        _rising("bid", after, [bid.number for bid in bids], message.last)
        if bids and origin.role != "bess":
            raise RowError("bids are a battery's to publish")
        self._bid = message.last
        return Batch(origin, self._row, [], self._row, "", after, bids, message.last, size)

    @property
    def _origin(self) -> Origin:
        if self.origin is None:
            raise RowError("nothing was resumed yet")
        return self.origin

    def _telemetry(self, message: Telemetry, now: Now) -> list[Effect]:
        watch = self.watch
        if watch is None:
            return []
        watch.dropped = min(max(message.dropped, 0), LAST_SEQ)
        seen = Observation()
        for item in message.items:
            if self._items.take(now.monotonic_s):
                watch.see(item, seen, now.wall_us)
            else:
                watch.counts.late += 1
        return [Observe(seen)] if seen.told else []

    def kept(self, batch: Batch) -> list[Effect]:
        """A batch is durable; called in the order in which they were given out."""
        self.unacked_rows -= batch.count
        self.unacked_bytes -= batch.size
        if self.state is State.ENDED or self.position is None:
            return []
        self.position = Position(
            self.position.fork,
            max(self.position.row, batch.last_row),
            batch.last_hash or self.position.row_hash,
            max(self.position.bid, batch.last_bid),
        )
        return [Send(Ack(self.position.row, self.position.bid))]

    @property
    def full(self) -> bool:
        """Whether nothing more of it should be read now."""
        return self.unacked_bytes >= self._limits.unacked_bytes

    # -- ends

    def take_over(self, older: "Feed") -> list[Effect]:
        """The node is ours from now on, and what others see of it; what its older connection is to do."""
        self.heritage = older.watch or older.heritage
        return older.taken_over()

    def gone(self, now: Now) -> list[Event]:
        """What others see of a node whose connection ended: what it showed last, also by the connection before."""
        watch = self.watch or self.heritage
        return watch.gone(now.wall_us) if watch is not None else []

    def again(self, now: Now) -> list[Event]:
        """What this connection's node showed last: to be told where somebody took it to be gone."""
        return self.watch.again(now.wall_us) if self.watch is not None else []

    def taken_over(self) -> list[Effect]:
        """Another connection has proved to be this node: it has it from now on."""
        return self._refuse("another connection of this device took over") if self.state is not State.ENDED else []

    def unavailable(self) -> list[Effect]:
        """The store takes nothing now."""
        self.state = State.ENDED
        return [End(TRY_AGAIN_LATER, "the store does not take anything now")]

    def unstorable(self, reason: str) -> list[Effect]:
        """The store does not take this, and says why."""
        return self._refuse(reason) if self.state is not State.ENDED else []

    def next_deadline(self) -> MonotonicS | None:
        """When there is something to do though nothing comes."""
        return MonotonicS(self._began_s + self._limits.hello_s) if self.state is State.HELLO else None

    def advance(self, now: Now) -> list[Effect]:
        """Who has not said who it is in time goes."""
        deadline = self.next_deadline()
        if deadline is None or now.monotonic_s < deadline:
            return []
        return self._refuse(f"no Hello within {self._limits.hello_s:g} s")


def _rising(what: str, after: int, numbers: Iterable[int], last: int) -> None:
    before = after
    for number in numbers:
        if number <= before:
            raise RowError(f"{what} {number} comes after {what} {before}; expected rising numbers")
        before = number
    if not before <= last <= LAST_SEQ:
        raise RowError(f"{what}s up to {before}, and last is {str(last)[:40]}; expected {before} to {LAST_SEQ}")


def _is_signed(key: bytes, message: bytes, signature: str) -> bool:
    try:
        crypto_sign_open(bytes.fromhex(signature) + message, key)
    except (BadSignatureError, ValueError):
        return False
    return True
