"""The sending side of a feed: handshake, window, resume, fork, and gateways that do not behave. No loop, no socket."""

import random
from typing import Any

import msgspec
import pytest

from etp.clock import Now
from etp.keys import KeyPair
from etp.units import MonotonicS, WallUs
from runtime.feed import wire
from runtime.feed.session import (
    ACK_PATIENCE_S,
    HANDSHAKE_S,
    MESSAGES_PER_S,
    READ_GAP_S,
    TELEMETRY_GAP_S,
    Check,
    FeedError,
    FeedRefusedError,
    FeedSession,
    Page,
    Read,
    Speaker,
    State,
)
from runtime.feed.telemetry import Buffer
from runtime.feed.wire import (
    Ack,
    Bids,
    Challenge,
    FeedBid,
    FeedRow,
    Fork,
    FromGateway,
    Hello,
    Item,
    MarketTime,
    Refused,
    Resume,
    Rows,
    Telemetry,
)

CHALLENGE = "5a" * wire.CHALLENGE_BYTES
AUDIENCE = "gateway.example:8080"
PAIR = KeyPair(bytes(range(32)))
NETWORK = bytes([7]) * 32


def at(second: float) -> Now:
    """An instant."""
    return Now(MonotonicS(second), WallUs(1_700_000_000_000_000 + round(second * 1e6)))


def row(seq: int) -> FeedRow:
    """Row `seq` of the journal that all tests share."""
    return FeedRow(seq, f"{seq:064x}", "trade", seq, "confirmed", 1, {"paid_micro": seq})


def bid(number: int) -> FeedBid:
    """Bid `number` of its ring."""
    return FeedBid(number, 1, 500, number, 100, 5, "standing", 1)


class Driven:
    """A session with a journal of `rows` rows and `bids` bids, `lost` of which the ring has lost; it is driven by hand."""

    def __init__(self, rows: int = 0, bids: int = 0, *, lost: int = 0, pair: KeyPair | None = None) -> None:
        self.rows, self.bids, self.lost = rows, bids, lost
        self.time_s = 0.0
        self.telemetry = Buffer()
        sign: dict[str, Any] = {"network_id": NETWORK, "public": pair.public, "sign": pair.sign} if pair else {}
        speaker = Speaker("bess", 101, "a1", MarketTime(0, 0, 1.0), {"mechanism": "english"}, **sign)
        self.session = FeedSession(speaker, AUDIENCE, self.telemetry, last_row=rows, now=at(0))

    @property
    def now(self) -> Now:
        """The instant."""
        return at(self.time_s)

    def hear(self, message: FromGateway) -> None:
        """The gateway says something."""
        self.session.receive(wire.encode(message), self.now)

    def sent(self) -> list[wire.FromNode]:
        """All that it sends until it waits, with the journal answering."""
        found: list[wire.FromNode] = []
        while True:
            message = self.session.next(self.now)
            if message is not None:
                assert len(message) <= wire.MAX_MESSAGE
                found.append(wire.from_node(message))
            elif not self.answer():
                return found

    def answer(self) -> bool:
        """The journal answers what is asked, if anything is."""
        ask = self.session.asks(self.now)
        if isinstance(ask, Check):
            known = ask.row == 0 or (ask.row <= self.rows and ask.row_hash == f"{ask.row:064x}")
            self.session.checked(known=known and ask.bid <= self.bids, now=self.now)
        elif isinstance(ask, Read):
            self.session.read(self.page(ask), self.now)
        return ask is not None

    def page(self, ask: Read) -> Page:
        """What the journal has, bids first."""
        first = max(ask.after_bid, self.lost) + 1
        bids = [bid(number) for number in range(first, min(self.bids, first + wire.ROWS_AT_ONCE - 1) + 1)]
        last_bid = bids[-1].number if bids else ask.after_bid
        room = wire.ROWS_AT_ONCE - len(bids) if last_bid == self.bids else 0
        last = min(self.rows, ask.after_row + room)
        rows = [row(seq) for seq in range(ask.after_row + 1, last + 1)]
        more = last < self.rows or last_bid < self.bids
        return Page(bids, last_bid, rows, last, last.to_bytes(32, "big"), more)

    def grow(self, rows: int = 0, bids: int = 0) -> None:
        """The journal grows."""
        self.rows, self.bids = self.rows + rows, self.bids + bids
        self.session.grown(self.rows)

    def open(self, resume: Resume | None = None) -> "Driven":
        """Through the handshake; nothing of the journal is sent yet."""
        self.hear(Challenge(CHALLENGE))
        assert self.session.next(self.now) is not None
        self.hear(resume or Resume(0, "", 0))
        assert self.answer()
        assert self.session.state is State.OPEN
        return self


def counted(messages: list[wire.FromNode]) -> tuple[list[int], list[int]]:
    """The numbers of rows and bids that were sent."""
    rows = [each.seq for message in messages if isinstance(message, Rows) for each in message.rows]
    bids = [each.number for message in messages if isinstance(message, Bids) for each in message.bids]
    return rows, bids


# -- handshake


def test_in_plain_nothing_is_proven() -> None:
    """The Hello says who speaks and of which journal; key and signature are empty. Nothing is said before the challenge."""
    made = Driven(rows=7)
    assert made.sent() == []
    made.hear(Challenge(CHALLENGE))
    assert made.sent() == [
        Hello(1, "bess", 101, "a1", 7, MarketTime(0, 0, 1.0), {"mechanism": "english"}, audience=AUDIENCE)
    ]


def test_in_signed_the_key_signs_the_challenge() -> None:
    """The signature is the key's, over domain, challenge, market and what is said of itself, for this gateway alone."""
    made = Driven(pair=PAIR)
    made.hear(Challenge(CHALLENGE))
    (hello,) = made.sent()
    assert isinstance(hello, Hello)
    said = wire.proof(
        challenge=CHALLENGE, network_id=NETWORK, audience=AUDIENCE, role="bess", device_id=101, journal="a1"
    )
    assert (hello.key, hello.signature) == (PAIR.public.hex(), PAIR.sign(said).hex())
    other = wire.proof(
        challenge=CHALLENGE, network_id=NETWORK, audience="other:1", role="bess", device_id=101, journal="a1"
    )
    assert PAIR.sign(other).hex() != hello.signature


@pytest.mark.parametrize("challenge", ["", "5a", "5a" * 31, "5a" * 33, "zz" * 32, "5a " * 32 + "5"])
def test_a_challenge_of_another_length_is_not_signed(challenge: str) -> None:
    """A key signs nothing but 32 bytes of a stranger behind its own words."""
    made = Driven(pair=PAIR)
    with pytest.raises(FeedError, match="32 bytes"):
        made.hear(Challenge(challenge))
    assert made.sent() == []


def test_everything_is_sent_from_the_beginning() -> None:
    """A gateway that has nothing gets all bids, then all rows, each once, in order."""
    made = Driven(rows=700, bids=900).open()
    messages = made.sent()
    assert counted(messages) == (list(range(1, 701)), list(range(1, 901)))
    first_rows = next(index for index, each in enumerate(messages) if isinstance(each, Rows))
    assert not [each for each in messages[first_rows:] if isinstance(each, Bids)]
    assert not made.session.drained
    made.hear(Ack(700, 900))
    assert made.session.drained


def test_it_goes_on_where_the_gateway_is() -> None:
    """What is durable there is not sent again."""
    made = Driven(rows=10, bids=20).open(Resume(4, f"{4:064x}", 17))
    assert counted(made.sent()) == ([5, 6, 7, 8, 9, 10], [18, 19, 20])


def test_what_the_ring_has_lost_is_seen() -> None:
    """The numbers jump: nobody takes the first one for the next one."""
    made = Driven(bids=20, lost=15).open(Resume(0, "", 3))
    (bids,) = made.sent()
    assert isinstance(bids, Bids)
    assert ([each.number for each in bids.bids], bids.last) == ([16, 17, 18, 19, 20], 20)


@pytest.mark.parametrize(
    "resume", [Resume(11, f"{11:064x}", 0), Resume(4, "00" * 32, 0), Resume(0, "", 21), Resume(10, "", 20)]
)
def test_another_journal_is_a_fork(resume: Resume) -> None:
    """A row beyond its end, another hash, a bid beyond its end: Fork, and from the beginning once the gateway says so."""
    made = Driven(rows=10, bids=20)
    made.hear(Challenge(CHALLENGE))
    made.hear(resume)
    assert [type(each) for each in made.sent()] == [Hello, Fork]
    made.hear(Resume(0, "", 0))
    assert counted(made.sent()) == (list(range(1, 11)), list(range(1, 21)))


def test_a_gateway_that_insists_is_left() -> None:
    """After a Fork it names what is not there once more."""
    made = Driven(rows=10)
    made.hear(Challenge(CHALLENGE))
    made.hear(Resume(11, "", 0))
    made.sent()
    made.hear(Resume(11, "", 0))
    assert made.session.next(made.now) is None
    with pytest.raises(FeedError, match="row 11, which this journal does not have, again"):
        made.answer()


# -- the window


def test_the_window_bounds_what_is_on_its_way() -> None:
    """50,000 rows and no Ack: at most WINDOW are sent; each Ack lets more follow; all come, in order."""
    made = Driven(rows=50_000).open()
    rows, _ = counted(made.sent())
    assert wire.WINDOW - wire.ROWS_AT_ONCE <= len(rows) <= wire.WINDOW
    while len(rows) < 50_000:
        before = len(rows)
        made.hear(Ack(rows[-1], 0))
        rows += counted(made.sent())[0]
        assert before < len(rows) <= before + wire.WINDOW
    assert rows == list(range(1, 50_001))


def test_an_ack_in_the_middle_moves_the_window_by_whole_messages() -> None:
    """A part of a message is not enough for another page."""
    made = Driven(rows=50_000).open()
    sent = len(counted(made.sent())[0])
    made.hear(Ack(wire.ROWS_AT_ONCE - 1, 0))
    assert counted(made.sent()) == ([], [])
    made.hear(Ack(wire.ROWS_AT_ONCE, 0))
    assert counted(made.sent())[0] == list(range(sent + 1, sent + wire.ROWS_AT_ONCE + 1))


@pytest.mark.parametrize("seed", range(5))
def test_acks_in_any_order_lose_nothing(seed: int) -> None:
    """Repeated, older and partial Acks: every row and bid is sent once, in order, and never more than the window waits."""
    rng = random.Random(seed)
    made = Driven(rows=3_000, bids=9_000).open()
    rows, bids = counted(made.sent())
    for _ in range(20_000):
        if len(rows) == 3_000 and len(bids) == 9_000:
            break
        made.hear(Ack(rng.choice(rows) if rows else 0, rng.choice(bids) if bids else 0))
        made.hear(Ack(rows[-1] if rows and rng.random() < 0.3 else 0, bids[-1] if bids and rng.random() < 0.3 else 0))
        more = counted(made.sent())
        rows, bids = rows + more[0], bids + more[1]
        behind = len(rows) + len(bids) - made.session.acked_row - made.session.acked_bid
        assert behind <= wire.WINDOW + 2 * wire.ROWS_AT_ONCE
    assert (rows, bids) == (list(range(1, 3_001)), list(range(1, 9_001)))


@pytest.mark.parametrize(
    "ack", [Ack(11, 0), Ack(0, 21), Ack(-1, 0), Ack(0, -1), Ack(2**63, 0), Ack(2**64 - 1, 2**64 - 1)]
)
def test_an_ack_of_what_was_never_sent_is_a_lie(ack: Ack) -> None:
    """It ends the connection: believed, it would cost rows."""
    made = Driven(rows=10, bids=20).open()
    made.sent()
    with pytest.raises(FeedError, match="10 and 20 were the last ones sent"):
        made.hear(ack)
    assert (made.session.acked_row, made.session.acked_bid) == (0, 0)


def test_it_holds_one_page() -> None:
    """While one waits to be sent, nothing is read; what was sent is not kept."""
    made = Driven(rows=5_000).open()
    made.answer()
    assert made.session.asks(made.now) is None
    assert made.session.next(made.now) is not None
    assert made.session.asks(made.now) is not None


def test_growth_is_read_at_once_and_then_paced() -> None:
    """The first look is at once, the next one READ_GAP_S later, though rows come all the time; nothing is forgotten."""
    made = Driven().open()
    assert made.sent() == []
    made.time_s = 1.0
    made.grow(rows=1)
    assert counted(made.sent())[0] == [1]
    made.grow(rows=1)
    assert made.sent() == []
    assert made.session.next_deadline() == pytest.approx(1.0 + READ_GAP_S)
    made.time_s += READ_GAP_S
    assert counted(made.sent())[0] == [2]


def test_growth_during_a_read_is_read_again() -> None:
    """A row that became durable after the thread had looked is not forgotten."""
    made = Driven(rows=1).open()
    ask = made.session.asks(made.now)
    assert isinstance(ask, Read)
    page = made.page(ask)
    made.grow(rows=1)
    made.session.read(page, made.now)
    made.time_s += READ_GAP_S
    assert counted(made.sent())[0] == [1, 2]


# -- telemetry


def item(number: int) -> Item:
    """Something that happened."""
    return Item("query", number, {"battery": number})


def test_telemetry_waits_until_the_gateway_is_known() -> None:
    """Nothing is told before Resume; then at once, then gathered."""
    made = Driven()
    made.telemetry.put(item(1))
    made.hear(Challenge(CHALLENGE))
    assert [type(each) for each in made.sent()] == [Hello]
    made.hear(Resume(0, "", 0))
    assert made.sent() == [Telemetry([item(1)], 0)]
    made.telemetry.put(item(2))
    assert made.sent() == []
    made.time_s += TELEMETRY_GAP_S
    made.telemetry.put(item(3))
    assert made.sent() == [Telemetry([item(2), item(3)], 0)]


def test_telemetry_is_not_kept_waiting_by_the_journal() -> None:
    """In the midst of 5,000 rows, and while the window is closed, what is true now is still told."""
    made = Driven(rows=50_000).open()
    made.sent()
    made.time_s += 1
    made.telemetry.put(item(1))
    assert made.sent() == [Telemetry([item(1)], 0)]


# -- a gateway's faults


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (0, Resume(0, "", 0)),
        (0, Ack(0, 0)),
        (1, Challenge(CHALLENGE)),
        (1, Ack(0, 0)),
        (2, Challenge(CHALLENGE)),
        (2, Resume(0, "", 0)),
    ],
)
def test_a_message_out_of_turn_ends_it(before: int, message: FromGateway) -> None:
    """The full product of what is awaited and what may not come then."""
    made = Driven(rows=3)
    if before >= 1:
        made.hear(Challenge(CHALLENGE))
    if before >= 2:
        made.hear(Resume(0, "", 0))
        made.sent()
    with pytest.raises(FeedError, match="out of turn"):
        made.hear(message)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[" * 100_000,
        b'{"type":"challenge"}',
        b'{"type":"ack","row":1.5,"bid":0}',
        b'{"type":"resume","row":"1","row_hash":"","bid":0}',
        b'{"type":"rows","rows":[],"last":0,"last_hash":""}',
        b'{"type":"challenge","challenge":"\xff"}',
        b'{"type":"ack","row":' + b"9" * 5_000 + b',"bid":0}',
        b'{"x":' * 50_000,
    ],
)
def test_what_is_no_message_ends_it(data: bytes) -> None:
    """Garbage, other types, depth and huge numbers: a FeedError with a short text, and nothing else."""
    made = Driven()
    with pytest.raises(FeedError) as found:
        made.session.receive(data, made.now)
    assert len(str(found.value)) <= 300


@pytest.mark.parametrize(
    "resume", [Resume(-1, "", 0), Resume(0, "", -1), Resume(2**63, "", 0), Resume(0, "", 2**64 - 1)]
)
def test_numbers_that_no_journal_has(resume: Resume) -> None:
    """They would not fit the query."""
    made = Driven()
    made.hear(Challenge(CHALLENGE))
    with pytest.raises(FeedError, match="no such numbers"):
        made.hear(resume)


@pytest.mark.parametrize("number", [0, -1, 4, 2**63])
def test_a_newest_bid_that_cannot_be(number: int) -> None:
    """It is one of those that the gateway has."""
    made = Driven(bids=9)
    made.hear(Challenge(CHALLENGE))
    with pytest.raises(FeedError, match=f"resumes at bid 3, and names bid {number}"):
        made.hear(Resume(0, "", 3, bid(number)))


def test_a_newest_bid_is_looked_up() -> None:
    """The journal says whether it is this one."""
    made = Driven(bids=9)
    made.hear(Challenge(CHALLENGE))
    made.session.next(made.now)
    made.hear(Resume(0, "", 3, bid(2)))
    assert made.session.asks(made.now) == Check(0, "", 3, bid(2))


def test_a_refusal_is_told_in_its_words() -> None:
    """Cut and without control characters, since it goes to the operator's terminal."""
    made = Driven()
    with pytest.raises(FeedRefusedError) as found:
        made.hear(Refused("device 101 is \x1b[31mnot registered\n" + "x" * 5_000))
    assert str(found.value).startswith("device 101 is ?[31mnot registered?xxx")
    assert len(str(found.value)) == 200


def test_a_flood_ends_it() -> None:
    """More messages than any honest gateway has to say."""
    made = Driven(rows=1).open()
    made.sent()
    for _ in range(int(2 * MESSAGES_PER_S) - 2):
        made.hear(Ack(1, 0))
    with pytest.raises(FeedError, match="a second"):
        made.hear(Ack(1, 0))


@pytest.mark.parametrize("steps", [0, 1])
def test_silence_in_the_handshake_ends_it(steps: int) -> None:
    """Neither a challenge nor a Resume within HANDSHAKE_S."""
    made = Driven()
    if steps:
        made.time_s = 5
        made.hear(Challenge(CHALLENGE))
        made.sent()
    assert made.session.next_deadline() == made.time_s + HANDSHAKE_S
    made.session.advance(at(made.time_s + HANDSHAKE_S - 0.1))
    with pytest.raises(FeedError, match="silent"):
        made.session.advance(at(made.time_s + HANDSHAKE_S))


def test_silence_about_rows_ends_it() -> None:
    """No Ack for ACK_PATIENCE_S of what was sent; with nothing on its way a gateway may be silent for ever."""
    made = Driven(rows=1).open()
    made.sent()
    made.time_s = ACK_PATIENCE_S - 1
    made.session.advance(made.now)
    made.hear(Ack(1, 0))
    made.time_s = 10_000
    made.session.advance(made.now)
    made.grow(rows=1)
    made.sent()
    made.time_s += ACK_PATIENCE_S
    with pytest.raises(FeedError, match="acknowledgements was expected"):
        made.session.advance(made.now)


def test_hello_is_as_documented() -> None:
    """The text on the wire, byte for byte."""
    made = Driven(rows=2)
    made.hear(Challenge(CHALLENGE))
    raw = made.session.next(made.now)
    assert raw is not None
    assert msgspec.json.decode(raw) == {
        "type": "hello",
        "version": 1,
        "role": "bess",
        "device_id": 101,
        "journal": "a1",
        "last_row": 2,
        "market_time": {"origin_us": 0, "start_us": 0, "speed": 1.0},
        "about": {"mechanism": "english"},
        "audience": AUDIENCE,
        "key": "",
        "signature": "",
    }
