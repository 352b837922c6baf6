"""What of a journal a node tells gateways: a table from kinds of rows to keys, and which bids may be told yet.

Nothing is published because nobody thought of it: what is not in the table stays in the journal. What is never told:

* the reserve of a lot whose owner hides it, and the bids below it (with them a rival could close in on it, lot by lot),
* a bid, before its lot has ended,
* the messages kept as evidence (one may be a bid of the open lot): a gateway learns whom they name, and what was wrong,
* the bytes of transactions, and what a restart needs of the battery's level.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from etp.effects import BidRow, Row, Scalar
from etp.record import NO_LOT
from runtime.feed.wire import FeedBid, FeedRow

LONGEST_TEXT: Final = 2_000
"""Characters of one value; a longer one is told as null. The longest honest one is a record of 424: with it no row comes near
`wire.MAX_MESSAGE`, so that one odd row cannot stop a feed for ever."""
ID_AHEAD_US: Final = 3_600_000_000
"""Ids are times; no lot's is further ahead of the clock than this, µs. One that is was never given: its bid names no lot."""

TERMS: Final = ("bidder", "message_id", "energy_wh", "price_micro_per_kwh")
PUBLISHED: Final[Mapping[str, tuple[str, ...]]] = {
    "lot": (
        *(
            "mechanism",
            "energy_wh",
            "reserve_micro_per_kwh",
            "hidden",
            "opened_us",
            "bids",
            "bidders",
            "digest",
            "capped",
        ),
        *("setter_bidder", "setter_message_id", "setter_price_micro_per_kwh", "setter_record"),
    ),
    "promise": (
        *TERMS,
        *("bid_micro_per_kwh", "reserved_us", "auction_id", "bid_record", "reason"),
        *("battery", "accept", "confirm", "answer"),
    ),
    "trade": (*TERMS, "paid_micro", "bid_micro_per_kwh", "reserved_us", "auction_id", "battery"),
    "energy": ("bidder", "energy_wh", "price_micro_per_kwh", "delivered_wh", "battery", "terminate"),
    "settlement": (
        *TERMS,
        *("amount_micro", "buyer_key", "confirmed_us", "signed", "reason", "release_at", "act", "signature"),
    ),
    "security": ("bidder", "what"),
    "answer": ("bidder", "confirm", "answer"),
}
"""Kind → keys of its body, as in docs/export.md; a kind that is not here is not published."""
OF_A_LOT: Final = "lot"
"""Rows of this kind end a lot: they follow its bids."""
NEAR_THE_RESERVE: Final = frozenset({"below_reserve", "too_many"})
"""States of bids that say where a hidden reserve is."""


class Lots(NamedTuple):
    """Which lots have ended, at one instant: taken before the journal is read, since what has ended stays so."""

    closed_below: int
    """Every lot with a lower id has ended; none with a lower one is still to come."""
    possible_below: int
    """No lot that is open, or opens while the journal is read, has this id or a higher one."""

    @classmethod
    def at(cls, *, closed_below: int, wall_us: int) -> "Lots":
        """Of now; `closed_below`: the desk's word."""
        return cls(closed_below, max(closed_below, wall_us) + ID_AHEAD_US)

    def is_open(self, lot_id: int) -> bool:
        """Whether its bids are still secret: it is open, or may be by the time that this is read."""
        return self.closed_below <= lot_id < self.possible_below

    def is_secret(self, bid: BidRow) -> bool:
        """Whether a bid waits: its lot is open, or it came since the open one opened, whatever lot it names.

        An id is the µs in which its lot opened. Were a bid for a lot that is over told at once, it would be told later where the open
        lot has a bid before it: whoever sends one could ask for the other.
        """
        return self.is_open(bid.lot_id) or self.closed_below < bid.time_us < self.possible_below


NO_AUCTIONS: Final = Lots(0, 0)
"""Of a node that has none: an aggregator."""


def row(seq: int, stored_hash: bytes, found: Row) -> FeedRow | None:
    """A row as far as it is published; None: its kind is not."""
    keys = PUBLISHED.get(found.kind)
    if keys is None:
        return None
    body = {key: _told(found.body[key]) for key in keys if key in found.body}
    if found.kind == OF_A_LOT and body.get("hidden", True):  # rows of older versions do not say: then it is hidden
        body["reserve_micro_per_kwh"] = None
    return FeedRow(seq, stored_hash.hex(), found.kind, found.lot_id, found.state, found.time_us, body)


def bid(number: int, found: BidRow, lots: Lots, *, hidden: bool) -> FeedBid | None:
    """A bid of a lot that has ended; `hidden`: nobody is to know that lot's reserve. None: the bid says where it is."""
    if hidden and found.state in NEAR_THE_RESERVE:
        return None
    lot_id = found.lot_id if found.lot_id < lots.possible_below else NO_LOT
    return FeedBid(number, lot_id, *found[1:])


def _told(value: Scalar) -> Scalar:
    return None if isinstance(value, str) and len(value) > LONGEST_TEXT else value
