"""What a feed hands to the store: a node's rows or bids, each checked, with the place in its journal that they follow from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from gateway.bodies import (
    LAST_I64,
    LAST_TIME_US,
    LAST_U64,
    MOST_BODY,
    MOST_MICRO_PER_KWH,
    MOST_WH,
    Body,
    EnergyBody,
    LotBody,
    PromiseBody,
    SecurityBody,
    SettlementBody,
    TradeBody,
    oversized,
    read,
)
from runtime.feed.wire import FeedBid, FeedRow, MarketTime

_WORD: Final = re.compile(r"[a-z0-9_]{1,24}", re.ASCII)
_KIND: Final = re.compile(r"[a-z0-9_]{1,12}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
LAST_SEQ: Final = LAST_TIME_US
"""Of a row or bid: JSON's readers know it exactly."""

_STATES: Final[dict[str, frozenset[str]]] = {
    "lot": frozenset({"reserved", "void"}),
    "promise": frozenset({"reserved", "confirmed", "released"}),
    "trade": frozenset({"confirmed"}),
    "energy": frozenset({"delivered", "short"}),
    "settlement": frozenset(
        {"confirmed", "settling", "refused", "defaulted", "held", "disputed", "settled", "refunded"}
    ),
}
"""Of the rows that change what is known (docs/export.md). Of others, and in other states, only the evidence is kept."""
_BODIES: Final[Mapping[str, Mapping[str, type[Body]]]] = {
    "bess": {
        "lot": LotBody,
        "promise": PromiseBody,
        "trade": TradeBody,
        "energy": EnergyBody,
        "settlement": SettlementBody,
        "security": SecurityBody,
    },
    "aggregator": {"security": SecurityBody},
}
"""The battery's rows are the truth of trades and payments; a buyer's are evidence."""


class RowError(ValueError):
    """A row or bid that cannot be stored: which, what is wrong with it, what would be right."""


class CheckedRow(NamedTuple):
    """A row that can be stored."""

    seq: int
    hash: str
    kind: str
    lot_id: int
    state: str
    time_us: int
    text: str
    """Its body, JSON."""
    body: Body | None
    """What it changes; None: nothing, it is evidence."""


class Origin(NamedTuple):
    """Whose rows they are."""

    device_id: int
    role: str
    journal: str
    fork: int
    market: MarketTime
    feed_in_micro_per_kwh: int | None

    def market_us(self, time_us: int) -> int:
        """The node's market time, within what is stored, µs."""
        return min(self.market.at(time_us), LAST_TIME_US)


class Position(NamedTuple):
    """What is durable of a node's journal. fork: how often it was another one than before."""

    fork: int
    row: int
    row_hash: str
    bid: int
    newest: FeedBid | None = None
    """The newest bid that is stored of it, where one is."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows or bids of one node that follow from `after_row` and `after_bid`: stored only where nothing is left out before."""

    origin: Origin
    after_row: int
    rows: Sequence[CheckedRow]
    last_row: int
    last_hash: str
    after_bid: int
    bids: Sequence[FeedBid]
    last_bid: int
    size: int = 0
    """Bytes of the message that it came in."""

    @property
    def count(self) -> int:
        """Rows and bids."""
        return len(self.rows) + len(self.bids)


_encode: Final = msgspec.json.Encoder().encode


def checked(row: FeedRow, role: str) -> CheckedRow:
    """The row, if it can be stored. Raises RowError."""
    seq, digest, kind, lot_id, state, time_us, body = (
        row.seq, row.hash, row.kind, row.lot_id, row.state, row.time_us, row.body
    )  # fmt: skip
    where = f"row {seq}"
    _within(where, "seq", seq, 1, LAST_SEQ)
    _within(where, "lot_id", lot_id, 0, LAST_I64)
    _within(where, "time_us", time_us, 0, LAST_TIME_US)
    if not _HASH.fullmatch(digest):
        raise RowError(f"{where}: its hash is {digest[:80]!r}; expected 64 hexadecimal digits")
    if not _KIND.fullmatch(kind):
        raise RowError(f"{where}: its kind is {kind[:80]!r}; expected 1 to 12 of a-z, 0-9 and _")
    if not _WORD.fullmatch(state):
        raise RowError(f"{where}: its state is {state[:80]!r}; expected 1 to 24 of a-z, 0-9 and _")
    large = oversized(body)
    if large is not None:
        raise RowError(f"{where}: {large[:40]!r} in its body is outside of 64 bits; expected -2^63 + 1 to 2^64 - 1")
    text = _encode(body).decode()
    if len(text) > MOST_BODY:
        raise RowError(f"{where}: its body has {len(text)} characters as JSON; expected {MOST_BODY} at most")
    return CheckedRow(seq, digest, kind, lot_id, state, time_us, text, _body(row, role))


def _body(row: FeedRow, role: str) -> Body | None:
    kind = _BODIES[role].get(row.kind)
    if kind is None or row.state not in _STATES.get(row.kind, (row.state,)):
        return None
    try:
        return read(row.body, kind)
    except msgspec.ValidationError as error:
        raise RowError(f"row {row.seq} ({row.kind} {row.state}): {error}") from None


def checked_bid(bid: FeedBid) -> FeedBid:
    """The bid, if it can be stored. Raises RowError."""
    where = f"bid {bid.number}"
    _within(where, "number", bid.number, 1, LAST_SEQ)
    _within(where, "lot_id", bid.lot_id, 0, LAST_I64)
    _within(where, "bidder", bid.bidder, 0, LAST_U64)
    _within(where, "message_id", bid.message_id, 0, LAST_U64)
    _within(where, "energy_wh", bid.energy_wh, 0, MOST_WH)
    _within(where, "price_micro_per_kwh", bid.price_micro_per_kwh, 0, MOST_MICRO_PER_KWH)
    _within(where, "time_us", bid.time_us, 0, LAST_TIME_US)
    if len(bid.state) > 16 or not _WORD.fullmatch(bid.state):  # noqa: PLR2004 - the column's width
        raise RowError(f"{where}: its state is {bid.state[:80]!r}; expected 1 to 16 of a-z, 0-9 and _")
    return bid


def _within(where: str, name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise RowError(f"{where}: {name} is {str(value)[:40]}; expected {least} to {most}")
