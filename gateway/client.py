"""Who listens to a gateway's stream, as a core: what to say on each connection, what was heard, what was missed. No sockets.

One object outlives its connections: it keeps where the stream was (`epoch`, `seq`), so that the next connection goes on
there, and the ids of durable events that it has handed over, so that none is handed over twice. What cannot be gone on
with (another store, a ring that has turned) is said as a Missed notice, followed by the state of now.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, get_args

import msgspec

from gateway.events import (
    AnyEvent,
    RequestSnapshot,
    Resume,
    Resumed,
    Said,
    Snapshot,
    StreamError,
    Subscribe,
    Subscribed,
    Verb,
    Welcome,
)

LARGEST_MESSAGE: Final = 16 << 20
"""Bytes of one message: a Snapshot of 4,000 nodes with their metrics is 10 MB; more ends the connection."""
REMEMBERED_IDS: Final = 20_000
"""Ids of durable events that are known again: twice the gateway's ring, which is all that a resume can repeat. About 2 MB."""


class StreamProtocolError(Exception):
    """What the other side said is no stream of this version: which part, and what was expected."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The gateway welcomed us."""

    epoch: str
    resuming: bool


@dataclass(frozen=True, slots=True)
class Happened:
    """Events in order, none of them handed over before."""

    events: tuple[AnyEvent, ...]


@dataclass(frozen=True, slots=True)
class World:
    """What is true now: it replaces what was known."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Missed:
    """Events are missing from here on: why. `durable`: journal events too, which REST still has; else only telemetry."""

    why: str
    durable: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway did not take a verb of ours."""

    reason: str


Notice: TypeAlias = Connected | Happened | World | Missed | Refused

_Element: TypeAlias = AnyEvent | Said
_elements = msgspec.json.Decoder(list[_Element])
_one = msgspec.json.Decoder(_Element)
_raw = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode
KNOWN: Final = frozenset(kind.__struct_config__.tag for kind in get_args(_Element))
"""Every `type` that this version can read."""


class _Tagged(msgspec.Struct):
    type: str


_tagged = msgspec.json.Decoder(_Tagged)


class StreamClient:
    """See the module. `subscription`: what is asked for; all types of all nodes by default."""

    def __init__(self, subscription: Subscribe | None = None, *, remembered: int = REMEMBERED_IDS) -> None:
        self.epoch: str | None = None
        """Of the store that was heard last; None: nothing was heard yet."""
        self.seq = 0
        """Of the newest event that was handed over or is in the newest snapshot."""
        self.unknown = 0
        """Elements of types that this version does not know: a newer gateway's. Passed over."""
        self._subscription = subscription or Subscribe()
        self._ids: dict[str, None] = {}
        self._remembered = remembered
        self._outgoing: list[bytes] = []
        self._welcomed = self._in_step = False
        self._awaits_world = True

    @property
    def in_step(self) -> bool:
        """Whether this connection has told what is true now, or has gone on where the last one ended."""
        return self._in_step

    def connected(self) -> None:
        """A connection was opened: nothing of the one before holds."""
        self._outgoing.clear()
        self._welcomed = self._in_step = False

    def data_to_send(self) -> list[bytes]:
        """Messages to send now, in order."""
        leaving, self._outgoing = self._outgoing, []
        return leaving

    def request_snapshot(self) -> None:
        """Ask what is true now."""
        self._say(RequestSnapshot())

    def receive(self, message: bytes | str) -> list[Notice]:
        """What a message of the gateway says. Raises StreamProtocolError."""
        notices: list[Notice] = []
        happened: list[AnyEvent] = []
        for element in self._read(message):
            if not self._welcomed and not isinstance(element, Welcome):
                raise StreamProtocolError(f"the stream began with {type(element).__name__}; expected Welcome")
            if isinstance(element, Said):
                notices += _flushed(happened)
                notices += self._said(element)
            elif self._is_new(element):
                happened.append(element)
        return notices + _flushed(happened)

    def _read(self, message: bytes | str) -> Iterator[_Element]:
        try:
            yield from _elements.decode(message)
        except msgspec.ValidationError:
            yield from self._read_one_by_one(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StreamProtocolError(f"the stream sent no JSON: {error}") from error

    def _read_one_by_one(self, message: bytes | str) -> Iterator[_Element]:
        """A message with something in it that is not of this version: what is new is passed over, what is wrong is refused."""
        try:
            for raw in _raw.decode(message):
                if _tagged.decode(raw).type in KNOWN:
                    yield _one.decode(raw)
                else:
                    self.unknown += 1
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StreamProtocolError(f"the stream sent an event that is none: {error}") from error

    # -- what the gateway says beside events

    def _said(self, said: Said) -> list[Notice]:
        if isinstance(said, Welcome):
            return self._greeted(said)
        if isinstance(said, Snapshot):
            return self._shown(said)
        if isinstance(said, Resumed):
            return self._resumed(said)
        if isinstance(said, StreamError):
            return [Refused(said.reason)]
        assert isinstance(said, Subscribed)
        return []

    def _greeted(self, welcome: Welcome) -> list[Notice]:
        self._welcomed = True
        known = self.epoch
        going_on = known == welcome.epoch and not self._awaits_world
        notices: list[Notice] = [Connected(welcome.epoch, going_on)]
        if known is not None and known != welcome.epoch:
            notices.append(Missed("the gateway has another store", durable=True))
            self._ids.clear()
        self.epoch = welcome.epoch
        if going_on:
            # Resumed first: were it subscribed before, something new could come ahead of what was missed.
            self._say(Resume(welcome.epoch, self.seq))
            if self._subscription != Subscribe():
                self._say(self._subscription)
        else:
            self.seq, self._awaits_world = 0, True
            self._say(self._subscription)
            self._say(RequestSnapshot())
        return notices

    def _shown(self, snapshot: Snapshot) -> list[Notice]:
        notices: list[Notice] = []
        if snapshot.gap and not self._awaits_world:
            notices.append(Missed("left out, since we read too slowly", durable=True))
        if snapshot.epoch != self.epoch:  # another one counts since, and its numbers say nothing about those before
            self.epoch, self.seq = snapshot.epoch, snapshot.seq
            self._ids.clear()
        self.seq = max(self.seq, snapshot.seq)
        self._awaits_world, self._in_step = False, True
        return [*notices, World(snapshot)]

    def _resumed(self, resumed: Resumed) -> list[Notice]:
        self._in_step = True
        if resumed.gap:
            # Its Snapshot follows by itself, and says the rest.
            self._awaits_world = True
            return [Missed("away for longer than the ring holds", durable=True)]
        if resumed.telemetry_gap:
            self._say(RequestSnapshot())
            return [Missed("telemetry of before its restart", durable=False)]
        return []

    # -- events

    def _is_new(self, event: AnyEvent) -> bool:
        """Whether it was not handed over yet; a durable one may come again, also under a later number."""
        if event.seq <= self.seq:
            return False
        self.seq = event.seq
        if not self._is_wanted(event):
            return False
        if event.id is None:
            return True
        if event.id in self._ids:
            return False
        self._ids[event.id] = None
        if len(self._ids) > self._remembered:
            del self._ids[next(iter(self._ids))]
        return True

    def _is_wanted(self, event: AnyEvent) -> bool:
        # A resume brings all types until the subscription after it is read.
        types, nodes = self._subscription.types, self._subscription.nodes
        return (types is None or type(event).__name__ in types) and (nodes is None or event.node in nodes)

    def _say(self, verb: Verb) -> None:
        self._outgoing.append(_encode(verb))


def _flushed(happened: list[AnyEvent]) -> list[Notice]:
    if not happened:
        return []
    notice = Happened(tuple(happened))
    happened.clear()
    return [notice]
