"""What one transaction of the ingest does: SQL asked for step by step, its answers taken in, nothing else known of databases.

Each function is a generator: it yields `Request`s and is sent their rows; whoever runs it (`gateway.io.sqlite`,
`gateway.io.postgres`) does so within one transaction, in which no other writer is at work. What it returns is true once that
transaction is durable, and was never if it fails.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from gateway import events, statements
from gateway.batch import Batch, CheckedRow, Position, RowError, checked
from gateway.bodies import SettlementBody
from gateway.rollups import rolled_up
from gateway.statements import Statement
from gateway.translate import (
    Early,
    First,
    Known,
    LotFacts,
    NodeSums,
    Questions,
    TradeFacts,
    Values,
    Writes,
    ask,
    signed,
    translate_bid,
    translate_row,
    unsigned,
)
from runtime.feed.wire import FeedBid, FeedRow

MOST_FORKS: Final = 2**31 - 2
"""What the column holds."""


class Request(NamedTuple):
    """Run a statement for these rows; with none it is not run, and gives none."""

    statement: Statement
    rows: Sequence[Values]


Answer: TypeAlias = list[tuple[Any, ...]]


@dataclass(slots=True)
class Place:
    """A node's row, as far as the ingest is concerned."""

    role: str
    journal: str
    fork: int
    row: int
    row_hash: str
    bid: int

    @property
    def position(self) -> Position:
        """What a feed resumes from."""
        return Position(self.fork, self.row, self.row_hash, self.bid)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """Who connects: what its Hello said and proved."""

    device_id: int
    role: str
    key: str | None
    about: str
    """JSON."""
    journal: str


class Numbers(NamedTuple):
    """How events of a transaction are numbered. first_seq None: a bus numbers them once they are durable."""

    epoch: str
    first_seq: int | None


class Stored(NamedTuple):
    """What a transaction did."""

    faults: list[str | None]
    """Of each batch: why it was left out; None: it is stored."""
    told: list[events.Event]
    """Durable events in order, numbered unless a bus does that."""
    numbers: list[int]
    """Where they are in the table `events`."""


class Located(NamedTuple):
    """Where a node's journal goes on."""

    fault: str | None
    position: Position | None
    told: list[events.Event]
    numbers: list[int]


_encode: Final = msgspec.json.Encoder().encode
_UNNUMBERED: Final = b'"epoch":"","seq":0,'


def stored_form(event: events.Event) -> bytes:
    """JSON of an event without epoch and seq, as the table keeps it."""
    return _encode(event).replace(_UNNUMBERED, b"", 1)


_decoder: Final = msgspec.json.Decoder(events.AnyEvent)


def from_stored(text: bytes, epoch: str, seq: int) -> events.Event:
    """An event out of the table."""
    event: events.Event = _decoder.decode(text)
    return msgspec.structs.replace(event, epoch=epoch, seq=seq)


# -- rows and bids


def store_batches(batches: Sequence[Batch], now_us: int, numbers: Numbers) -> Generator[Request, Answer, Stored]:
    """Store what follows from what is stored, once; a batch that does not follow is left out, and said so."""
    places = yield from _places(batch.origin.device_id for batch in batches)
    faults, fresh, advanced = [], [], {}
    for batch in batches:
        place = places.get(batch.origin.device_id)
        fault = _misplaced(batch, place)
        faults.append(fault)
        if fault is None and place is not None:
            fresh.append(_after(batch, place))
            if _advance(batch, place):
                advanced[batch.origin.device_id] = place
    fresh = yield from _unseen(fresh)
    writes = yield from _translated(fresh)
    yield from _put(writes, now_us)
    moved = [
        (signed(device), now_us, place.row, place.row_hash, place.bid) for device, place in sorted(advanced.items())
    ]
    yield Request(statements.ADVANCE, moved)
    told, rows = yield from _tell(writes.told, numbers)
    return Stored(faults, told, rows)


def _places(devices: Iterable[int]) -> Generator[Request, Answer, dict[int, Place]]:
    found = yield Request(statements.POSITIONS, [(signed(device),) for device in sorted(set(devices))])
    return {unsigned(device): Place(*rest) for device, *rest in found}


def _misplaced(batch: Batch, place: Place | None) -> str | None:
    origin = batch.origin
    if place is None or place.journal != origin.journal or place.fork != origin.fork:
        return "its journal was taken over by another connection; connect again"
    if batch.after_row > place.row or batch.after_bid > place.bid:
        return (
            f"it follows row {batch.after_row} and bid {batch.after_bid}, and what is stored ends with row {place.row}"
            f" and bid {place.bid}; connect again"
        )
    return None


def _after(batch: Batch, place: Place) -> Batch:
    """What of it is not stored yet."""
    if batch.after_row == place.row and batch.after_bid == place.bid:
        return batch
    rows = [row for row in batch.rows if row.seq > place.row]
    bids = [bid for bid in batch.bids if bid.number > place.bid]
    return _with(batch, rows, bids)


def _with(batch: Batch, rows: Sequence[Any], bids: Sequence[Any]) -> Batch:
    return Batch(
        batch.origin, batch.after_row, rows, batch.last_row, batch.last_hash, batch.after_bid, bids, batch.last_bid
    )


def _advance(batch: Batch, place: Place) -> bool:
    moved = False
    if batch.last_row > place.row:
        place.row, place.row_hash, moved = batch.last_row, batch.last_hash, True
    if batch.last_bid > place.bid:
        place.bid, moved = batch.last_bid, True
    return moved


def _unseen(batches: list[Batch]) -> Generator[Request, Answer, list[Batch]]:
    """Leave out what an earlier copy of the same journal has said: a restored one says again what it shares."""
    forked = [batch for batch in batches if batch.origin.fork]
    if not forked:
        return batches
    rows = yield Request(
        statements.SEEN_ROWS,
        [(signed(b.origin.device_id), b.origin.fork, row.seq, row.hash) for b in forked for row in b.rows],
    )
    bids = yield Request(
        statements.SEEN_BIDS,
        [
            (
                signed(b.origin.device_id), b.origin.fork, bid.number, bid.lot_id, signed(bid.bidder),
                signed(bid.message_id), bid.time_us,
            )
            for b in forked
            for bid in b.bids
        ],
    )  # fmt: skip
    seen_rows, seen_bids = set(rows), set(bids)
    return [
        _with(
            batch,
            [row for row in batch.rows if (signed(batch.origin.device_id), row.seq) not in seen_rows],
            [bid for bid in batch.bids if (signed(batch.origin.device_id), bid.number) not in seen_bids],
        )
        if batch.origin.fork
        else batch
        for batch in batches
    ]


def _translated(batches: Sequence[Batch]) -> Generator[Request, Answer, Writes]:
    questions = Questions()
    for batch in batches:
        ask(questions, batch.origin, batch.rows, batch.bids)
    known = yield from _known(questions)
    writes = Writes()
    for batch in batches:
        for bid in batch.bids:
            translate_bid(batch.origin, bid, known, writes)
        for row in batch.rows:
            translate_row(batch.origin, row, known, writes)
    return writes


def _known(questions: Questions) -> Generator[Request, Answer, Known]:
    known = Known()
    ended, auctions, trades = (
        sorted((signed(battery), lot_id) for battery, lot_id in keys)
        for keys in (questions.ended, questions.ended | questions.auctions, questions.trades)
    )
    for battery, lot_id, bidders, first in (yield Request(statements.KNOWN_LOTS, auctions)):
        known.lots[unsigned(battery), lot_id] = LotFacts(bidders, first)
    for battery, lot_id, aggregator, delivery, settlement in (yield Request(statements.KNOWN_TRADES, trades)):
        known.trades[unsigned(battery), lot_id] = TradeFacts(unsigned(aggregator), delivery, settlement)
    fresh = sorted((signed(key[0]), key[1]) for key in questions.confirmed - known.trades.keys())
    for battery, fork, *columns in sorted((yield Request(statements.OWED_EARLY, fresh))):
        row = _restored(columns)
        if row is not None and isinstance(row.body, SettlementBody):
            known.early.setdefault((unsigned(battery), row.lot_id), []).append(Early(fork, row, row.body))
    known.firsts = {key: {} for key in questions.ended if key not in known.lots}
    wanted = [key for key in ended if (unsigned(key[0]), key[1]) in known.firsts]
    for battery, lot_id, bidder, fork, number, price in sorted((yield Request(statements.FIRST_BIDS, wanted))):
        # Sorted: of a bidder's bids in two copies of a journal the first one stands.
        known.firsts[unsigned(battery), lot_id].setdefault(unsigned(bidder), First(fork, number, price))
    for battery, fork, number, lot_id, bidder, message_id, *terms in sorted(
        (yield Request(statements.HELD_BIDS, wanted))
    ):
        bid = FeedBid(number, lot_id, unsigned(bidder), unsigned(message_id), *terms)
        known.held.setdefault((unsigned(battery), lot_id), []).append((fork, bid))
    return known


def _restored(columns: Sequence[Any]) -> CheckedRow | None:
    """A payment out of the table."""
    seq, digest, lot_id, state, time_us, text = columns
    with suppress(RowError):  # an older version took what this one does not
        return checked(FeedRow(seq, digest, "settlement", lot_id, state, time_us, msgspec.json.decode(text)), "bess")
    return None


def _put(writes: Writes, now_us: int) -> Generator[Request, Answer, None]:
    yield Request(statements.INSERT_ROWS, writes.rows)
    yield Request(statements.INSERT_BIDS, writes.bids)
    yield Request(statements.INSERT_LOTS, writes.lots)
    yield Request(statements.INSERT_TRADES, writes.trades)
    yield Request(statements.PUT_SETTLEMENTS, list(writes.settlements.values()))
    for statement, changes in ((statements.PAY, writes.payments), (statements.DELIVER, writes.deliveries)):
        yield Request(statement, [(signed(battery), lot, *values) for (battery, lot), values in changes.items()])
    yield Request(statements.ADD_SUMS, [(*key, *values) for key, values in sorted(writes.sums.items())])
    rollups = [(*key, *values) for key, values in sorted(rolled_up(writes.sums).items())]
    yield Request(statements.ADD_ROLLUPS, rollups)
    yield Request(statements.ADD_SELLERS, _sums(writes.sellers, ()))
    yield Request(statements.ADD_BUYERS, _sums(writes.buyers, (now_us,)))


def _sums(nodes: dict[int, NodeSums], more: Values) -> list[Values]:
    return [(signed(device), *more, *sums.values()) for device, sums in sorted(nodes.items())]


def _tell(
    told: Sequence[events.Event], numbers: Numbers
) -> Generator[Request, Answer, tuple[list[events.Event], list[int]]]:
    """Number events and write them down."""
    if not told:
        return [], []
    first = numbers.first_seq
    if first is None:
        first = (yield Request(statements.LAST_NUMBER, [(0,)]))[0][0] + 1
    rows: list[Values] = []
    for number, event in enumerate(told, first):
        seq = None if numbers.first_seq is None else number
        rows.append(
            (
                number, seq, type(event).__name__, signed(int(event.node)), event.time_us, event.market_us,
                stored_form(event),
            )
        )  # fmt: skip
    yield Request(statements.INSERT_EVENTS, rows)
    if numbers.first_seq is not None:
        told = [msgspec.structs.replace(event, epoch=numbers.epoch, seq=seq) for seq, event in enumerate(told, first)]
    return list(told), list(range(first, first + len(rows)))


# -- nodes


def locate(node: NodeFacts, now_us: int, numbers: Numbers) -> Generator[Request, Answer, Located]:
    """Where the journal of a node goes on; the node is known from now on. Another journal than before begins anew."""
    places = yield from _places([node.device_id])
    place = places.get(node.device_id)
    what = None
    if place is None or not place.journal:
        if place is not None and place.role != node.role:
            yield Request(statements.EMPTY_SUMS, [(signed(node.device_id),)])
        place = Place(node.role, node.journal, 0, 0, "", 0)
    elif place.role != node.role:
        fault = f"device {node.device_id} is stored as a {place.role}, not as a {node.role}; give each node an id of its own"
        return Located(fault, None, [], [])
    elif place.journal != node.journal:
        what, place = "journal_replaced", Place(node.role, node.journal, place.fork + 1, 0, "", 0)
    return (yield from _begin(node, place, what, now_us, numbers))


def fork(node: NodeFacts, position: Position, now_us: int, numbers: Numbers) -> Generator[Request, Answer, Located]:
    """The journal is not the one that ended at `position`: it is taken from its first row on."""
    place = (yield from _places([node.device_id])).get(node.device_id)
    if place is None or place.position != position._replace(newest=None) or place.journal != node.journal:
        return Located("its journal was taken over by another connection; connect again", None, [], [])
    place = Place(node.role, node.journal, place.fork + 1, 0, "", 0)
    return (yield from _begin(node, place, "journal_forked", now_us, numbers))


def _begin(
    node: NodeFacts, place: Place, what: str | None, now_us: int, numbers: Numbers
) -> Generator[Request, Answer, Located]:
    if place.fork > MOST_FORKS:
        return Located(f"the journal of device {node.device_id} was replaced too often", None, [], [])
    yield Request(
        statements.PUT_NODE,
        [
            (
                signed(node.device_id), node.role, node.key, node.about, now_us, now_us, node.journal, place.fork,
                place.row, place.row_hash, place.bid,
            )
        ],
    )  # fmt: skip
    told: list[events.Event] = []
    if what is not None:
        device = str(node.device_id)
        told.append(
            events.SecurityEvent(
                id=f"{device}/{place.fork}/journal",
                node=device,
                time_us=now_us,
                market_us=now_us,
                device=device,
                what=what,
            )
        )
    told, rows = yield from _tell(told, numbers)
    newest = yield from _newest_bid(node.device_id, place)
    return Located(None, place.position._replace(newest=newest), told, rows)


def _newest_bid(device_id: int, place: Place) -> Generator[Request, Answer, FeedBid | None]:
    """The last bid that is stored of this very copy of the journal: those that it shares with earlier ones stand under them."""
    found = yield Request(statements.NEWEST_BID, [(signed(device_id), place.fork, place.bid)])
    for number, lot_id, bidder, message_id, *rest in found:
        return FeedBid(number, lot_id, unsigned(bidder), unsigned(message_id), *rest)
    return None


# -- what nodes show of themselves


@dataclass(slots=True)
class Traces:
    """Telemetry that is kept: the newest of each node, and its samples."""

    statuses: dict[int, Values] = field(default_factory=dict)
    """device_id → (JSON, when)."""
    metrics: dict[int, str] = field(default_factory=dict)
    latencies: dict[tuple[int, str, str], Values] = field(default_factory=dict)
    """(device_id, what, message) → (JSON, when)."""
    samples: dict[tuple[int, int], Values] = field(default_factory=dict)
    """(device_id, when) → the rest of the row."""

    def __bool__(self) -> bool:
        return bool(self.statuses or self.metrics or self.latencies or self.samples)


@dataclass(slots=True)
class Observation:
    """Telemetry of a node: what is told now, and what of it is kept."""

    told: list[events.Event] = field(default_factory=list)
    traces: Traces = field(default_factory=Traces)


def store_traces(traces: Traces) -> Generator[Request, Answer, None]:
    """Write them down."""
    yield Request(statements.PUT_STATUS, [(signed(device), *rest) for device, rest in sorted(traces.statuses.items())])
    yield Request(statements.PUT_METRICS, [(signed(device), text) for device, text in sorted(traces.metrics.items())])
    yield Request(
        statements.PUT_LATENCIES,
        [(signed(device), *names, *rest) for (device, *names), rest in sorted(traces.latencies.items())],
    )
    yield Request(
        statements.INSERT_SAMPLES,
        [(signed(device), time_us, *rest) for (device, time_us), rest in sorted(traces.samples.items())],
    )


# -- what is old


FORGOTTEN: Final = "forgotten"
"""In `meta`: the highest seq of an event that is forgotten. Who resumes from before it may have missed something."""


def drop_old_events(before_us: int, most: int) -> Generator[Request, Answer, int]:
    """Forget up to `most` events of before an instant. How many there were."""
    found = yield Request(statements.OLD_EVENTS, [(before_us, most)])
    yield Request(statements.DROP_EVENTS, [(number,) for number, _ in found])
    newest = max((seq for _, seq in found if seq is not None), default=0)
    if newest:
        before = max([int(value) for _, value in (yield Request(statements.META, [(FORGOTTEN,)]))], default=0)
        yield Request(statements.PUT_META, [(FORGOTTEN, str(max(newest, before)))])
    return len(found)


def drop_old_samples(device_id: int, before_us: int, most: int) -> Generator[Request, Answer, int]:
    """Forget up to `most` samples of a node from before an instant. How many there were."""
    found = yield Request(statements.OLD_SAMPLES, [(signed(device_id), before_us, most)])
    yield Request(statements.DROP_SAMPLES, [(signed(device_id), time_us) for (time_us,) in found])
    return len(found)
