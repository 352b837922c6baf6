"""The stream's core: who gets which events when. It knows no socket and no clock; `gateway.io.stream` carries out what it says.

Each event is encoded once, each batch once per distinct subscription. Nobody waits for a slow client:

    IDLE      has subscribed to nothing
    LIVE      gets each batch
    CATCHING  gets what the ring holds after its cursor, a chunk at a time, as fast as it reads; then it is LIVE
    LAGGING   did not read in time: gets nothing until its buffer is empty, then a Snapshot with gap: true; then it is LIVE

A client that makes no progress for `lag_s` is closed (1013). Events come in order of seq and are sent in that order.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

import msgspec

from etp.units import MonotonicS
from gateway.events import (
    EVENTS,
    Event,
    RequestSnapshot,
    Resume,
    Resumed,
    Said,
    StreamError,
    Subscribe,
    Unsubscribe,
    Verb,
    Welcome,
)
from gateway.limits import Limits, Timing
from gateway.rates import Bucket
from gateway.subscription import EVERYTHING, NOTHING, Subscription, SubscriptionError, subscribed, unsubscribed

VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013
LONGEST_REASON: Final = 400
_verbs: Final = msgspec.json.Decoder(Verb)
_encode: Final = msgspec.json.Encoder().encode


class State(Enum):
    """Of a client."""

    IDLE = auto()
    LIVE = auto()
    CATCHING = auto()
    LAGGING = auto()


class Client:
    """One connection, as the hub sees it."""

    __slots__ = ("allowance", "cursor", "since_s", "snapshot_at_s", "state", "subscription")

    def __init__(self, allowance: Bucket) -> None:
        self.state = State.IDLE
        self.subscription = NOTHING
        self.allowance = allowance
        self.cursor = 0
        """CATCHING: the newest event that it was sent, or wants nothing before."""
        self.since_s = MonotonicS(0.0)
        """CATCHING and LAGGING: when it last made progress."""
        self.snapshot_at_s = MonotonicS(float("-inf"))
        """When its last Snapshot left."""


class Send(NamedTuple):
    """A text for some clients."""

    text: bytes
    to: Sequence[Client]


class Close(NamedTuple):
    """The end of a connection."""

    client: Client
    code: int
    reason: str


Action: TypeAlias = Send | Close


class Entry(NamedTuple):
    """An event in the ring."""

    seq: int
    kind: str
    node: str
    text: bytes


def array(texts: Iterable[bytes]) -> bytes:
    """A message: an array of what is encoded already."""
    return b"[" + b",".join(texts) + b"]"


def said(*elements: Said) -> bytes:
    """A message that is no batch of events."""
    return _encode(elements)


class Hub:
    """Clients, their subscriptions and the ring."""

    def __init__(self, limits: Limits, timing: Timing) -> None:
        self.epoch, self.seq, self.sent_seq = "", 0, 0
        self._limits, self._timing = limits, timing
        self._ring: list[Entry] = []
        self._floor = self._telemetry_floor = 0
        self._live: dict[Subscription, dict[Client, None]] = {}
        self._slow: dict[Client, None] = {}
        self._clients: dict[Client, None] = {}
        self._asking: dict[Client, None] = {}
        self.lagged = self.closed_slow = 0

    def __len__(self) -> int:
        """Clients connected."""
        return len(self._clients)

    def begin(self, epoch: str, seq: int) -> None:
        """Whose numbers they are; `seq`: of the newest event that was ever published, of which telemetry is not held."""
        self.epoch, self.seq, self.sent_seq = epoch, seq, seq
        self._floor = self._telemetry_floor = seq

    def fill(self, events: Sequence[Event], *, whole: bool, forgotten: int = 0, telemetry: bool = False) -> None:
        """Events of before the start, oldest first. `whole`: there are no other durable ones; `telemetry`: it is among them.

        `forgotten`: up to this number some are missing all the same.
        """
        self._ring = [_entry(event) for event in events[-self._limits.ring :]]
        if whole and len(events) <= self._limits.ring:
            self._floor = forgotten
        elif self._ring:
            self._floor = max(self._ring[0].seq - 1, forgotten)
        if telemetry:
            self._telemetry_floor = self._floor

    def publish(self, events: Iterable[Event]) -> None:
        """Newer events, in order. What is not newer is left out: it was published before."""
        for event in events:
            if event.seq > self.seq:
                self._ring.append(_entry(event))
                self.seq = event.seq

    def skipped(self, seq: int, now_s: MonotonicS) -> None:
        """Events up to this one were missed (the bus was gone): everybody is told of a gap at the next tick."""
        self._ring.clear()
        self.seq = self.sent_seq = self._floor = self._telemetry_floor = max(seq, self.seq)
        for clients in list(self._live.values()):
            for client in list(clients):
                self._slow_down(client, State.LAGGING, now_s)

    @property
    def waits(self) -> bool:
        """Whether a tick has something to do."""
        return self.seq > self.sent_seq or bool(self._slow) or bool(self._asking)

    # -- clients

    def joined(self, now_s: MonotonicS) -> tuple[Client, bytes]:
        """A client, and what it is greeted with."""
        client = Client(Bucket(self._limits.messages_per_s, self._limits.message_burst, now_s))
        self._clients[client] = None
        return client, said(Welcome(self.epoch, self.sent_seq, list(EVENTS)))

    def left(self, client: Client) -> None:
        """It is gone."""
        self._unlist(client)
        self._clients.pop(client, None)
        self._asking.pop(client, None)
        client.state = State.IDLE

    def heard(self, client: Client, data: bytes | str, now_s: MonotonicS) -> list[Action]:
        """A client's message."""
        if not client.allowance.take(now_s):
            per_s = self._limits.messages_per_s
            return [Close(client, VIOLATION, f"more than {per_s:g} messages per second")]
        try:
            verb = _verbs.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            right = "expected an object whose verb is subscribe, unsubscribe, request_snapshot or resume"
            return [self._error(client, f"{error}; {right}")]
        try:
            return self._obey(client, verb, now_s)
        except SubscriptionError as error:
            return [self._error(client, str(error))]

    def _error(self, client: Client, reason: str) -> Send:
        return Send(said(StreamError(reason[:LONGEST_REASON])), (client,))

    def _obey(self, client: Client, verb: Verb, now_s: MonotonicS) -> list[Action]:
        most = self._limits.subscribed_nodes
        match verb:
            case Subscribe(types, nodes):
                return [self._change(client, subscribed(types, nodes, most))]
            case Unsubscribe(types, nodes):
                return [self._change(client, unsubscribed(client.subscription, types, nodes, most))]
            case Resume(epoch, seq):
                return [self._resume(client, epoch, seq, now_s)]
            case RequestSnapshot():
                self._asking[client] = None
        return []

    def _change(self, client: Client, subscription: Subscription) -> Send:
        slow = client.state in (State.CATCHING, State.LAGGING)
        if subscription.is_empty:
            self._unlist(client)
            client.subscription, client.state = subscription, State.IDLE
        elif slow:
            client.subscription = subscription
        else:
            self._unlist(client)
            client.subscription = subscription
            self._go_live(client)
        return Send(said(subscription.said(self.sent_seq)), (client,))

    def _resume(self, client: Client, epoch: str, seq: int, now_s: MonotonicS) -> Send:
        subscription = EVERYTHING if client.subscription.is_empty else client.subscription
        gap = epoch != self.epoch or not self._floor <= seq <= self.seq
        self._unlist(client)
        client.subscription = subscription
        client.cursor = seq
        self._slow_down(client, State.LAGGING if gap else State.CATCHING, now_s)
        answer = Resumed(
            epoch=self.epoch,
            seq=self.sent_seq if gap else seq,
            gap=gap,
            telemetry_gap=gap or seq < self._telemetry_floor,
        )
        return Send(said(answer), (client,))

    def _go_live(self, client: Client) -> None:
        self._slow.pop(client, None)
        client.state = State.LIVE
        self._live.setdefault(client.subscription, {})[client] = None

    def _slow_down(self, client: Client, state: State, now_s: MonotonicS) -> None:
        self._unlist(client)
        client.state, client.since_s = state, now_s
        self._slow[client] = None

    def _unlist(self, client: Client) -> None:
        self._slow.pop(client, None)
        clients = self._live.get(client.subscription)
        if clients is not None and clients.pop(client, self) is None and not clients:
            del self._live[client.subscription]

    # -- the tick

    def tick(
        self, now_s: MonotonicS, waiting: Callable[[Client], int], snapshot: Callable[[bool], bytes]
    ) -> list[Action]:
        """What is to be sent now.

        `waiting`: bytes in a client's send buffer. `snapshot`: a message with the Snapshot at `seq`, by its `gap`.
        """
        shots = _Shots(snapshot)
        actions = self._batches(now_s, waiting)
        self.sent_seq = self.seq
        chunks: dict[tuple[Subscription, int], tuple[bytes, int]] = {}
        for client in list(self._slow):
            if client.state is State.CATCHING and client.cursor >= self._floor:
                actions += self._catch_up(client, now_s, waiting(client), chunks)
            else:
                actions += self._bring_back(client, now_s, waiting(client), shots)
        actions += self._answer_snapshots(now_s, shots)
        self._trim()
        return actions

    def _batches(self, now_s: MonotonicS, waiting: Callable[[Client], int]) -> list[Action]:
        entries, actions = self._after(self.sent_seq), list[Action]()
        for subscription, clients in list(self._live.items()) if entries else ():
            texts = [entry.text for entry in entries if subscription.wants(entry.kind, entry.node)]
            if not texts:
                continue
            if sum(map(len, texts)) > self._limits.chunk_bytes:
                for client in list(clients):
                    client.cursor = self.sent_seq
                    self._slow_down(client, State.CATCHING, now_s)
                continue
            full = [client for client in clients if waiting(client) > self._limits.waiting_bytes]
            for client in full:
                self.lagged += 1
                self._slow_down(client, State.LAGGING, now_s)
            if clients:
                actions.append(Send(array(texts), list(clients)))
        return actions

    def _catch_up(
        self,
        client: Client,
        now_s: MonotonicS,
        waiting: int,
        chunks: dict[tuple[Subscription, int], tuple[bytes, int]],
    ) -> list[Action]:
        if waiting > self._limits.chunk_bytes:
            return self._patience(client, now_s)
        key = client.subscription, client.cursor
        if key not in chunks:
            chunks[key] = self._chunk(*key)
        text, client.cursor = chunks[key]
        client.since_s = now_s
        if client.cursor >= self.seq:
            self._go_live(client)
        return [Send(text, (client,))] if text else []

    def _chunk(self, subscription: Subscription, cursor: int) -> tuple[bytes, int]:
        """What follows the cursor, as much as is given at a time, and the cursor after it."""
        texts, size = list[bytes](), 0
        for entry in self._after(cursor):
            if subscription.wants(entry.kind, entry.node):
                if texts and size + len(entry.text) > self._limits.chunk_bytes:
                    return array(texts), cursor
                texts.append(entry.text)
                size += len(entry.text) + 1
            cursor = entry.seq
        return (array(texts) if texts else b""), max(cursor, self.seq)

    def _bring_back(self, client: Client, now_s: MonotonicS, waiting: int, shots: "_Shots") -> list[Action]:
        if waiting > self._limits.waiting_bytes // 8:
            return self._patience(client, now_s)
        if now_s - client.snapshot_at_s < self._timing.snapshot_s:
            return []
        self._go_live(client)
        return [self._shot(client, now_s, shots, gap=True)]

    def _patience(self, client: Client, now_s: MonotonicS) -> list[Action]:
        if now_s - client.since_s < self._timing.lag_s:
            return []
        self.closed_slow += 1
        self._unlist(client)
        client.state = State.IDLE
        return [Close(client, TRY_AGAIN_LATER, f"nothing was read for {self._timing.lag_s:g} s")]

    def _answer_snapshots(self, now_s: MonotonicS, shots: "_Shots") -> list[Action]:
        return [
            self._shot(client, now_s, shots, gap=False)
            for client in list(self._asking)
            if client.state in (State.IDLE, State.LIVE) and now_s - client.snapshot_at_s >= self._timing.snapshot_s
        ]

    def _shot(self, client: Client, now_s: MonotonicS, shots: "_Shots", *, gap: bool) -> Send:
        client.snapshot_at_s = now_s
        self._asking.pop(client, None)
        return Send(shots.of(gap=gap), (client,))

    def _after(self, seq: int) -> list[Entry]:
        if not self._ring or self._ring[-1].seq <= seq:
            return []
        return self._ring[bisect_right(self._ring, seq, key=_seq) :]

    def _trim(self) -> None:
        excess = len(self._ring) - self._limits.ring
        if excess > 0:
            self._floor = max(self._floor, self._ring[excess - 1].seq)
            self._telemetry_floor = max(self._telemetry_floor, self._floor)
            del self._ring[:excess]


class _Shots:
    """The Snapshots of one tick: each made at most once, and only if somebody needs it."""

    def __init__(self, make: Callable[[bool], bytes]) -> None:
        self._make, self._made = make, dict[bool, bytes]()

    def of(self, *, gap: bool) -> bytes:
        """The message."""
        if gap not in self._made:
            self._made[gap] = self._make(gap)
        return self._made[gap]


def _seq(entry: Entry) -> int:
    return entry.seq


def _entry(event: Event) -> Entry:
    return Entry(event.seq, type(event).__name__, event.node, _encode(event))
