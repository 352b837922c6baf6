"""One trade from bid to chain: the messages and journal rows that both sides published about it, put together.

The battery's rows name the lot; an aggregator's do so in `signed`, where its frames name it. In `plain` they have lot_id 0, and
are the ones whose Bid (bidder and message_id) and battery are the trade's. Nothing is judged here: whoever reads it verifies.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from etp.effects import Scalar

IDS: Final = frozenset({"bidder", "battery", "message_id", "setter_bidder", "setter_message_id", "auction_id"})
"""Keys of bodies that hold a u64, which a JavaScript number does not."""
AROUND_US: Final = 15 * 60 * 1_000_000
"""How far from a trade its buyer's rows can be in `plain`: an unanswered Confirm is given up after 10 minutes, and clocks differ."""
MOST_ROWS: Final = 2_000
"""Rows of a buyer that are looked at for one trade: 30 minutes at one a second."""

KeyOf = Callable[[int], str | None]
"""The registered public key of a device, hex."""


class Traded(NamedTuple):
    """What says which trade it is."""

    battery: int
    lot_id: int
    auction_id: int
    aggregator: int
    message_id: int


class StoredRow(NamedTuple):
    """A row of `tables.rows`, its body decoded."""

    device_id: int
    seq: int
    hash: str
    kind: str
    lot_id: int
    state: str
    time_us: int
    body: Mapping[str, Scalar]


def is_about(trade: Traded, row: StoredRow) -> bool:
    """Whether a row of one of its two sides is about this trade."""
    if row.device_id == trade.battery:
        return row.lot_id == trade.lot_id or (row.lot_id == trade.auction_id and row.kind == "lot")
    if row.device_id != trade.aggregator or row.body.get("battery") != trade.battery:
        return False
    if row.lot_id:
        return row.lot_id == trade.lot_id
    return row.body.get("bidder") == trade.aggregator and row.body.get("message_id") == trade.message_id


def _raw(row: StoredRow) -> Iterator[tuple[str, Scalar, int]]:
    """(what, hex, sender) of the messages in a row."""
    body = row.body
    if row.kind == "lot":
        setter = body.get("setter_bidder")
        yield "price_setter", body.get("setter_record"), setter if isinstance(setter, int) else _BUYER
    elif row.kind == "promise":
        yield "bid", body.get("bid_record"), _BUYER
        yield "accept", body.get("accept"), _SELLER
        yield "confirm", body.get("confirm"), _BUYER
        yield "answer", body.get("answer"), _SELLER
    elif row.kind == "answer":
        yield "confirm", body.get("confirm"), _BUYER
        yield "answer", body.get("answer"), _SELLER


_SELLER: Final = -1
_BUYER: Final = -2


def frames(trade: Traded, rows: Iterable[StoredRow], key_of: KeyOf) -> list[dict[str, Any]]:
    """The messages, in the order in which they are sent; from each side that has one, the newest row's."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    people = {_SELLER: trade.battery, _BUYER: trade.aggregator}
    for row in rows:
        for what, raw, sender in _raw(row):
            if isinstance(raw, str) and raw:
                key = key_of(people.get(sender, sender))
                found[what, row.device_id] = {"what": what, "by": str(row.device_id), "raw": raw, "key": key}
    return [found[each] for each in sorted(found, key=lambda each: (_ORDER[each[0]], each[1] != trade.battery))]


_ORDER: Final = {what: place for place, what in enumerate(("bid", "price_setter", "accept", "confirm", "answer"))}


def shown(row: StoredRow) -> dict[str, Any]:
    """The fields of `schema.Evidence`."""
    body = {name: str(value) if name in IDS and isinstance(value, int) else value for name, value in row.body.items()}
    return {
        "node": str(row.device_id),
        "seq": row.seq,
        "hash": row.hash,
        "kind": row.kind,
        "state": row.state,
        "time_us": row.time_us,
        "body": body,
    }
