"""The sending side of one connection to a gateway, as a core: messages and instants in; messages and questions to the journal out.

    CHALLENGE → RESUME → CHECKING → OPEN          CHECKING → RESUME once, where the journal is not the one that was resumed

It holds one page of the journal at most: what is sent and not acknowledged is read again after the next Resume. What the
gateway says is not trusted: a wrong message, an Ack of what was never sent, silence or a flood is a FeedError, and its end.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, NamedTuple

import msgspec

from etp.bucket import Bucket
from etp.clock import Now
from etp.effects import Scalar
from etp.units import MonotonicS
from runtime.feed import wire
from runtime.feed.telemetry import Buffer
from runtime.feed.wire import Ack, Bids, Challenge, FeedBid, FeedRow, Fork, Hello, MarketTime, Resume, Rows

HANDSHAKE_S: Final = 10.0
"""A gateway that has not said what is next by then is not one, s."""
ACK_PATIENCE_S: Final = 60.0
"""Without an Ack for so long the connection is begun anew: longer than a database that is being moved or checked, s."""
TELEMETRY_GAP_S: Final = 0.05
"""Telemetry gathers so long between two messages, s: a fifth of the age that an event may have when it is shown."""
READ_GAP_S: Final = 0.02
"""Between two looks into a journal that had nothing more, s: at most 50 a second, whatever is traded. The first is at once."""
MESSAGES_PER_S: Final = 500.0
"""A gateway says one Ack a message, and we send fewer; a flood would cost the node more than its feed is worth."""
LONGEST_REASON: Final = 200
LAST_NUMBER: Final = 2**63 - 1
"""SQLite's integers have 64 bits with their sign."""


class FeedError(Exception):
    """What ends a connection: the gateway's fault, in words for the operator."""


class FeedRefusedError(FeedError):
    """The gateway does not take this node's word."""


class State(Enum):
    """What is awaited."""

    CHALLENGE = "a challenge"
    RESUME = "where to resume"
    CHECKING = "our own journal"
    OPEN = "acknowledgements"


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks, and how it proves that."""

    role: Literal["bess", "aggregator"]
    device_id: int
    journal: str
    market_time: MarketTime
    about: Mapping[str, Scalar | float]
    network_id: bytes = bytes(32)
    public: bytes = b""
    """Its key; empty in `plain`."""
    sign: Callable[[bytes], bytes] | None = None

    def hello(self, challenge: str, audience: str, last_row: int) -> Hello:
        """The answer to a challenge of `CHALLENGE_BYTES` in hex."""
        hello = Hello(
            wire.VERSION, self.role, self.device_id, self.journal, last_row, self.market_time, self.about, audience
        )
        if self.sign is None:
            return hello
        said = wire.proof(
            challenge=challenge,
            network_id=self.network_id,
            audience=audience,
            role=self.role,
            device_id=self.device_id,
            journal=self.journal,
        )
        return msgspec.structs.replace(hello, key=self.public.hex(), signature=self.sign(said).hex())


class Check(NamedTuple):
    """Has the journal this row, with this hash, and this bid; and `newest`, if its ring of bids still goes back so far?"""

    row: int
    row_hash: str
    bid: int
    newest: FeedBid | None = None


class Read(NamedTuple):
    """What comes after, at most `wire.ROWS_AT_ONCE` rows and bids together."""

    after_row: int
    after_bid: int


Ask = Check | Read


class Page(NamedTuple):
    """What a Read found: bids before the rows that follow them, as far as they are published."""

    bids: list[FeedBid]
    last_bid: int
    rows: list[FeedRow]
    last_row: int
    last_hash: bytes
    more: bool
    """There is more that can be told now."""


class FeedSession:
    """See the module. `last_row`: the newest of the journal; `telemetry`: what waits for this gateway, also while it is away."""

    def __init__(self, speaker: Speaker, audience: str, telemetry: Buffer, *, last_row: int, now: Now) -> None:
        self.state = State.CHALLENGE
        self.acked_row = self.acked_bid = 0
        self.progressed = False
        """An Ack said that something new is durable: this gateway works."""
        self._speaker, self._audience, self._telemetry, self._last_row = speaker, audience, telemetry, last_row
        self._outgoing: deque[bytes] = deque()
        self._ask: Ask | None = None
        self._asked = False
        self._forked = False
        self._sent_row = self._sent_bid = 0
        self._unacked: deque[tuple[int, int, int]] = deque()
        """(row, bid, how many) of each message on its way."""
        self._on_its_way = 0
        self._grown = False
        self._read_at_s = self._tell_at_s = float("-inf")
        self._heard_s = now.monotonic_s
        self._flood = Bucket(rate=MESSAGES_PER_S, burst=2 * MESSAGES_PER_S, now_s=now.monotonic_s)

    # -- in

    def receive(self, data: bytes | str, now: Now) -> None:
        """A message of the gateway. Raises FeedError."""
        if not self._flood.take(now.monotonic_s):
            raise FeedError(f"the gateway sends more than {MESSAGES_PER_S:g} messages a second")
        try:
            message = wire.from_gateway(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise FeedError(readable(f"the gateway sent what is no message of a feed: {error}")) from error
        if isinstance(message, Challenge):
            self._challenged(message, now)
        elif isinstance(message, Resume):
            self._resumed(message, now)
        elif isinstance(message, Ack):
            self._acknowledged(message, now)
        else:
            raise FeedRefusedError(readable(message.reason))

    def _expect(self, state: State, what: str) -> None:
        if self.state is not state:
            raise FeedError(f"the gateway sent {what} out of turn: {self.state.value} was expected")

    def _challenged(self, message: Challenge, now: Now) -> None:
        self._expect(State.CHALLENGE, "a challenge")
        try:
            size = len(bytes.fromhex(message.challenge))
        except ValueError:
            size = -1
        if size != wire.CHALLENGE_BYTES:
            raise FeedError(f"the gateway's challenge is not {wire.CHALLENGE_BYTES} bytes in hex")
        hello = self._speaker.hello(message.challenge, self._audience, self._last_row)
        self._outgoing.append(wire.encode(hello))
        self.state, self._heard_s = State.RESUME, now.monotonic_s

    def _resumed(self, message: Resume, now: Now) -> None:
        self._expect(State.RESUME, "where to resume")
        if not (0 <= message.row <= LAST_NUMBER and 0 <= message.bid <= LAST_NUMBER):
            raise FeedError(f"the gateway resumes at row {message.row} and bid {message.bid}: no such numbers")
        newest = message.newest
        if newest is not None and not 0 < newest.number <= message.bid:
            raise FeedError(f"the gateway resumes at bid {message.bid}, and names bid {newest.number} as its newest")
        self.state, self._heard_s = State.CHECKING, now.monotonic_s
        self._ask, self._asked = Check(message.row, message.row_hash, message.bid, newest), False

    def _acknowledged(self, message: Ack, now: Now) -> None:
        """Numbers that were acknowledged before say nothing new; what was never sent, nobody can have."""
        self._expect(State.OPEN, "an acknowledgement")
        if not (0 <= message.row <= self._sent_row and 0 <= message.bid <= self._sent_bid):
            raise FeedError(
                f"the gateway acknowledges row {message.row} and bid {message.bid}:"
                f" {self._sent_row} and {self._sent_bid} were the last ones sent"
            )
        if message.row > self.acked_row or message.bid > self.acked_bid:
            self.progressed, self._heard_s = True, now.monotonic_s
        self.acked_row, self.acked_bid = max(self.acked_row, message.row), max(self.acked_bid, message.bid)
        while self._unacked and self._unacked[0][0] <= self.acked_row and self._unacked[0][1] <= self.acked_bid:
            self._on_its_way -= self._unacked.popleft()[2]

    def checked(self, *, known: bool, now: Now) -> None:
        """The answer to Check. Raises FeedError where the gateway resumes what is not there a second time."""
        assert isinstance(self._ask, Check)
        ask, self._ask = self._ask, None
        if not known:
            if self._forked:
                raise FeedError(f"the gateway resumes at row {ask.row}, which this journal does not have, again")
            self._forked = True
            self._outgoing.append(wire.encode(Fork()))
            self.state = State.RESUME
            return
        self.state, self._heard_s, self._grown = State.OPEN, now.monotonic_s, True
        self.acked_row = self._sent_row = ask.row
        self.acked_bid = self._sent_bid = ask.bid
        self._telemetry.connected(now.wall_us)

    def grown(self, last_row: int) -> None:
        """The journal has more."""
        self._last_row, self._grown = last_row, True

    def read(self, page: Page, now: Now) -> None:
        """The answer to Read."""
        assert isinstance(self._ask, Read)
        self._ask = None
        self._grown = self._grown or page.more
        self._read_at_s = now.monotonic_s + (0.0 if page.more else READ_GAP_S)
        if page.last_bid > self._sent_bid:
            self._sent_bid = page.last_bid
            self._ship(wire.encode(Bids(page.bids, page.last_bid)), (0, page.last_bid, len(page.bids)), now)
        if page.last_row > self._sent_row:
            self._sent_row = page.last_row
            rows = Rows(page.rows, page.last_row, page.last_hash.hex())
            self._ship(wire.encode(rows), (page.last_row, 0, len(page.rows)), now)

    def _ship(self, message: bytes, what: tuple[int, int, int], now: Now) -> None:
        row, bid, count = what
        if not self._unacked:
            self._heard_s = now.monotonic_s
        self._outgoing.append(message)
        self._unacked.append((row, bid, count + 1))  # an empty one counts too, so that their number is bounded
        self._on_its_way += count + 1

    # -- out

    def next(self, now: Now) -> bytes | None:
        """The next message to send; None: nothing is to be sent now."""
        if self.state is State.OPEN and self._telemetry and now.monotonic_s >= self._tell_at_s:
            self._tell_at_s = now.monotonic_s + TELEMETRY_GAP_S
            return wire.encode(wire.Telemetry(self._telemetry.take(), self._telemetry.dropped))
        return self._outgoing.popleft() if self._outgoing else None

    def asks(self, now: Now) -> Ask | None:
        """What it wants to know of the journal, once; to be answered by `checked` or `read`."""
        if isinstance(self._ask, Check) and not self._asked:
            self._asked = True
            return self._ask
        if self._ask is not None or not self._may_read or now.monotonic_s < self._read_at_s:
            return None
        self._grown = False
        self._ask = Read(self._sent_row, self._sent_bid)
        return self._ask

    @property
    def _may_read(self) -> bool:
        """One page at a time, and only where the window has room for a whole one: two messages."""
        room = self._on_its_way + wire.ROWS_AT_ONCE + 2 <= wire.WINDOW
        return self.state is State.OPEN and self._grown and room and not self._outgoing

    @property
    def is_open(self) -> bool:
        """Whether the gateway knows us and where it resumes."""
        return self.state is State.OPEN

    @property
    def drained(self) -> bool:
        """Whether the gateway has durably all that can be told, and nothing waits."""
        idle = not (self._grown or self._ask or self._outgoing or self._unacked or self._telemetry)
        return self.state is State.OPEN and idle

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When there is something to do, though nothing happens."""
        times = [] if self._patience_s is None else [self._heard_s + self._patience_s]
        if self.state is State.OPEN and self._telemetry:
            times.append(self._tell_at_s)
        if self._may_read and self._ask is None:
            times.append(self._read_at_s)
        return MonotonicS(min(times)) if times else None

    @property
    def _patience_s(self) -> float | None:
        if self.state is State.CHECKING:
            return None
        if self.state is not State.OPEN:
            return HANDSHAKE_S
        return ACK_PATIENCE_S if self._unacked else None

    def advance(self, now: Now) -> None:
        """Raises FeedError where the gateway has been silent for too long."""
        if self._patience_s is not None and now.monotonic_s >= self._heard_s + self._patience_s:
            raise FeedError(f"the gateway was silent for {self._patience_s:g} s: {self.state.value} was expected")


def readable(text: str) -> str:
    """A stranger's words for a log: short, one line, no control characters."""
    return "".join(each if each.isprintable() else "?" for each in text[:LONGEST_REASON])
