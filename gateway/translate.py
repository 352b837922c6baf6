"""Rows and bids of nodes → what is written to the store's tables, and the events that tell of it. Pure, and exact.

The battery's rows are the truth of lots, trades and payments; a buyer's are kept as evidence. What was stored before comes in
as `Known`, and each row adds to it, so that the next one of the same transaction finds it. A trade counts once, whatever
journal says it again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from solders.signature import Signature

from etp.record import NO_LOT
from etp.units import MicroPerKwh, Wh, money
from gateway import events
from gateway.batch import CheckedRow, Origin
from gateway.bodies import (
    Body,
    EnergyBody,
    LotBody,
    PromiseBody,
    SecurityBody,
    SettlementBody,
    TradeBody,
    clean,
)
from runtime.feed.wire import FeedBid

HOUR_US: Final = 3_600_000_000
FINAL: Final = frozenset({"settled", "refunded"})
"""Nothing follows these on the chain; a restored older journal that goes through the states again changes nothing."""
STANDING: Final = "standing"
"""The state of a bid that took part; the others say why one did not."""
_KWH: Final = 1_000

Key: TypeAlias = tuple[int, int]
"""(battery, lot_id), as the ids are."""
Values: TypeAlias = tuple[Any, ...]


class First(NamedTuple):
    """The first bid of a device that took part in a lot; sorts by order of arrival."""

    fork: int
    number: int
    price_micro_per_kwh: int


@dataclass(slots=True)
class LotFacts:
    """What a trade takes from the lot that was bid for."""

    bidders: int
    first_micro_per_kwh: int | None


@dataclass(slots=True)
class TradeFacts:
    """What a payment or delivery changes."""

    aggregator: int
    delivery: str
    settlement: str | None


class Early(NamedTuple):
    """A payment whose trade is not known."""

    fork: int
    row: CheckedRow
    body: SettlementBody


@dataclass(slots=True)
class Known:
    """What the store has of the lots and trades that a transaction is about."""

    lots: dict[Key, LotFacts] = field(default_factory=dict)
    firsts: dict[Key, dict[int, First]] = field(default_factory=dict)
    """By bidder; of the lots whose end is in this transaction."""
    trades: dict[Key, TradeFacts] = field(default_factory=dict)
    early: dict[Key, list[Early]] = field(default_factory=dict)
    """Payments whose trade is not known: it follows them in journals of older versions."""
    held: dict[Key, list[tuple[int, FeedBid]]] = field(default_factory=dict)
    """(fork, bid) of lots whose end no row has shown yet, in order of arrival: they are told with it."""


@dataclass(slots=True)
class NodeSums:
    """What is added to a node's row."""

    trades: int = 0
    energy_wh: int = 0
    paid_micro: int = 0
    settled: int = 0
    settled_micro: int = 0
    lots_bid: int = 0
    lots_won: int = 0

    def values(self) -> Values:
        """In the order of the table."""
        return (
            self.trades, self.energy_wh, self.paid_micro, self.settled, self.settled_micro, self.lots_bid, self.lots_won
        )  # fmt: skip


@dataclass(slots=True)
class Writes:
    """What one transaction adds, by table, in the order of its columns; ids as they are stored (`signed`)."""

    rows: list[Values] = field(default_factory=list)
    bids: list[Values] = field(default_factory=list)
    lots: list[Values] = field(default_factory=list)
    trades: list[Values] = field(default_factory=list)
    settlements: dict[Key, Values] = field(default_factory=dict)
    payments: dict[Key, Values] = field(default_factory=dict)
    """(settlement, signature) of a trade."""
    deliveries: dict[Key, Values] = field(default_factory=dict)
    """(delivery, delivered_wh) of a trade."""
    sums: dict[tuple[int, int, int, int], list[float]] = field(default_factory=dict)
    sellers: dict[int, NodeSums] = field(default_factory=dict)
    buyers: dict[int, NodeSums] = field(default_factory=dict)
    told: list[events.Event] = field(default_factory=list)

    def seller(self, device_id: int) -> NodeSums:
        """What a battery's sums gain."""
        return self.sellers.setdefault(device_id, NodeSums())

    def buyer(self, device_id: int) -> NodeSums:
        """What a buyer's sums gain."""
        return self.buyers.setdefault(device_id, NodeSums())


def signed(value: int) -> int:
    """A u64 as it is stored (`tables.U64`)."""
    return value if value < 1 << 63 else value - (1 << 64)


def unsigned(value: int) -> int:
    """A stored u64 as it is."""
    return value if value >= 0 else value + (1 << 64)


# -- what has to be known


@dataclass(slots=True)
class Questions:
    """What must be looked up before rows can be translated."""

    ended: set[Key] = field(default_factory=set)
    """Lots whose end is among them."""
    auctions: set[Key] = field(default_factory=set)
    """Lots that their trades were bid for in, and those of bids."""
    trades: set[Key] = field(default_factory=set)
    """Trades that are among them, or what is owed or delivered for them."""
    confirmed: set[Key] = field(default_factory=set)
    """Trades that are among them."""


def ask(questions: Questions, origin: Origin, rows: Iterable[CheckedRow], bids: Iterable[FeedBid] = ()) -> None:
    """Add what these rows and bids need."""
    battery = origin.device_id
    questions.auctions.update((battery, bid.lot_id) for bid in bids)
    for row in rows:
        body = row.body
        if isinstance(body, LotBody):
            questions.ended.add((battery, row.lot_id))
        elif isinstance(body, TradeBody):
            questions.auctions.add((battery, row.lot_id if body.auction_id is None else body.auction_id))
            questions.trades.add((battery, row.lot_id))
            questions.confirmed.add((battery, row.lot_id))
        elif isinstance(body, SettlementBody | EnergyBody):
            questions.trades.add((battery, row.lot_id))


# -- bids


def translate_bid(origin: Origin, bid: FeedBid, known: Known, writes: Writes) -> None:
    """A bid. It is told once its lot's row is here: the node's word alone does not say that the lot has ended."""
    battery, key = origin.device_id, (origin.device_id, bid.lot_id)
    writes.bids.append(
        (
            signed(battery), origin.fork, bid.number, bid.lot_id, signed(bid.bidder), signed(bid.message_id),
            bid.energy_wh, bid.price_micro_per_kwh, bid.state, bid.time_us,
        )
    )  # fmt: skip
    firsts = known.firsts.get(key)
    if firsts is not None and bid.state == STANDING:
        firsts.setdefault(bid.bidder, First(origin.fork, bid.number, bid.price_micro_per_kwh))
    if bid.lot_id == NO_LOT or key in known.lots:
        _tell_bid(origin, origin.fork, bid, writes)
    else:
        known.held.setdefault(key, []).append((origin.fork, bid))


def _tell_bid(origin: Origin, fork: int, bid: FeedBid, writes: Writes) -> None:
    battery, time_us = origin.device_id, bid.time_us
    told: dict[str, Any] = {
        "id": f"{battery}/{fork}/b{bid.number}",
        "node": str(battery),
        "time_us": time_us,
        "market_us": origin.market_us(time_us),
        "lot_id": str(bid.lot_id),
        "bidder": str(bid.bidder),
        "message_id": str(bid.message_id),
        "energy_wh": bid.energy_wh,
        "price_micro_per_kwh": bid.price_micro_per_kwh,
    }
    if bid.state == STANDING:
        writes.told.append(events.BidPlaced(**told))
    else:
        writes.told.append(events.BidRejected(code=bid.state, **told))


# -- rows


def translate_row(origin: Origin, row: CheckedRow, known: Known, writes: Writes) -> None:
    """A row: evidence always, and what it says where it is the truth."""
    writes.rows.append(
        (
            signed(origin.device_id), origin.fork, row.seq, row.hash, row.kind, row.lot_id, row.state, row.time_us,
            row.text,
        )
    )  # fmt: skip
    if row.body is not None:
        _TRANSLATIONS[type(row.body)](origin, row, row.body, known, writes)


def _who(origin: Origin, row: CheckedRow) -> dict[str, Any]:
    return {
        "id": f"{origin.device_id}/{origin.fork}/{row.seq}",
        "node": str(origin.device_id),
        "time_us": row.time_us,
        "market_us": origin.market_us(row.time_us),
    }


def _lot(origin: Origin, row: CheckedRow, body: LotBody, known: Known, writes: Writes) -> None:
    key = (origin.device_id, row.lot_id)
    if key in known.lots:
        return
    for fork, bid in known.held.pop(key, ()):
        _tell_bid(origin, fork, bid, writes)
    firsts = known.firsts.get(key, {})
    bidders = len(firsts) if body.bidders is None else body.bidders
    first = min(firsts.values()).price_micro_per_kwh if firsts else None
    known.lots[key] = LotFacts(bidders, first)
    opened_us = row.time_us if body.opened_us is None else body.opened_us
    reserve = None if body.hidden else body.reserve_micro_per_kwh
    setter = body.setter_bidder
    writes.lots.append(
        (
            signed(origin.device_id), row.lot_id, body.mechanism, row.state, body.energy_wh, reserve, opened_us,
            row.time_us, origin.market_us(row.time_us), body.bids, bidders, first,
            None if setter is None else signed(setter), body.setter_price_micro_per_kwh, body.capped, body.digest,
        )
    )  # fmt: skip
    seller = writes.seller(origin.device_id)
    seller.lots_bid += 1
    for bidder in firsts:
        writes.buyer(bidder).lots_bid += 1
    told = _who(origin, row) | {
        "lot_id": str(row.lot_id),
        "mechanism": body.mechanism,
        "energy_wh": body.energy_wh,
        "opened_us": opened_us,
        "bids": body.bids,
        "bidders": bidders,
    }
    if row.state == "void":
        writes.told.append(events.LotVoided(**told))
        return
    seller.lots_won += 1
    writes.told.append(
        events.AuctionCompleted(
            reserve_micro_per_kwh=reserve,
            capped=body.capped,
            setter=None if setter is None else str(setter),
            setter_micro_per_kwh=body.setter_price_micro_per_kwh,
            **told,
        )
    )


def _promise(origin: Origin, row: CheckedRow, body: PromiseBody, known: Known, writes: Writes) -> None:  # noqa: ARG001
    auction = row.lot_id if body.auction_id is None else body.auction_id
    told = _who(origin, row) | {
        "lot_id": str(row.lot_id),
        "auction_id": str(auction),
        "bidder": str(body.bidder),
        "energy_wh": body.energy_wh,
    }
    if row.state == "reserved":
        writes.buyer(body.bidder).lots_won += 1
        accepted = events.BidAccepted(
            message_id=str(body.message_id),
            price_micro_per_kwh=body.price_micro_per_kwh,
            bid_micro_per_kwh=body.bid_micro_per_kwh,
            **told,
        )
        writes.told.append(accepted)
    elif row.state == "released":
        writes.told.append(events.ReservationReleased(reason=clean(body.reason or ""), **told))


def _trade(origin: Origin, row: CheckedRow, body: TradeBody, known: Known, writes: Writes) -> None:
    battery, key = origin.device_id, (origin.device_id, row.lot_id)
    if key in known.trades:
        return
    auction = row.lot_id if body.auction_id is None else body.auction_id
    lot = known.lots.get((battery, auction))
    bidders, first = (lot.bidders, lot.first_micro_per_kwh) if lot is not None else (None, None)
    known.trades[key] = TradeFacts(body.bidder, "pending", None)
    market_us, feed_in = origin.market_us(row.time_us), origin.feed_in_micro_per_kwh
    writes.trades.append(
        (
            signed(battery), row.lot_id, auction, signed(body.bidder), signed(body.message_id), row.time_us, market_us,
            body.energy_wh, body.price_micro_per_kwh, body.bid_micro_per_kwh, body.paid_micro, bidders, first, feed_in,
            "pending", None, None, None,
        )
    )  # fmt: skip
    for sums in (writes.seller(battery), writes.buyer(body.bidder)):
        sums.trades += 1
        sums.energy_wh += body.energy_wh
        sums.paid_micro += body.paid_micro
    hour = (market_us // HOUR_US * HOUR_US, signed(battery), signed(body.bidder), bidders or 0)
    _add(writes.sums.setdefault(hour, [0] * 10), body, first=first, feed_in=feed_in)
    writes.told.append(
        events.TradeConfirmed(
            lot_id=str(row.lot_id),
            auction_id=str(auction),
            aggregator=str(body.bidder),
            message_id=str(body.message_id),
            energy_wh=body.energy_wh,
            price_micro_per_kwh=body.price_micro_per_kwh,
            bid_micro_per_kwh=body.bid_micro_per_kwh,
            paid_micro=body.paid_micro,
            bidders=bidders,
            first_micro_per_kwh=first,
            feed_in_micro_per_kwh=feed_in,
            **_who(origin, row),
        )
    )
    for early in known.early.pop(key, ()):
        _settlement(origin._replace(fork=early.fork), early.row, early.body, known, writes)


def _add(sums: list[float], body: TradeBody, *, first: int | None, feed_in: int | None) -> None:
    """One trade more in its hour: as the columns of `tables.sums` after its key."""
    energy, weight, price = body.energy_wh, body.energy_wh / _KWH, body.price_micro_per_kwh
    added: list[float] = [1, energy, body.paid_micro]
    for baseline in (feed_in, first):
        added += [0, 0] if baseline is None else [energy, money(MicroPerKwh(baseline), Wh(energy))]
    added += [weight * weight, weight * weight * price, (weight * price) ** 2]
    sums[:] = map(sum, zip(sums, added, strict=True))


def _energy(origin: Origin, row: CheckedRow, body: EnergyBody, known: Known, writes: Writes) -> None:
    key = (origin.device_id, row.lot_id)
    trade = known.trades.get(key)
    if trade is None or trade.delivery != "pending" or trade.aggregator != body.bidder:
        return
    trade.delivery = row.state
    writes.deliveries[key] = (row.state, body.delivered_wh)
    writes.told.append(
        events.EnergyDelivered(
            lot_id=str(row.lot_id),
            aggregator=str(body.bidder),
            energy_wh=body.energy_wh,
            delivered_wh=body.delivered_wh,
            short=row.state == "short",
            **_who(origin, row),
        )
    )


def _settlement(origin: Origin, row: CheckedRow, body: SettlementBody, known: Known, writes: Writes) -> None:
    key = (origin.device_id, row.lot_id)
    trade = known.trades.get(key)
    if trade is None:
        known.early.setdefault(key, []).append(Early(origin.fork, row, body))
        return
    if trade.settlement in FINAL or trade.aggregator != body.bidder:
        return
    trade.settlement = row.state
    signature = str(Signature.from_bytes(bytes.fromhex(body.signature))) if body.signature else None
    reason = clean(body.reason or "")
    writes.payments[key] = (row.state, signature)
    writes.settlements[key] = (
        signed(origin.device_id), row.lot_id, signed(body.bidder), row.state, body.amount_micro, reason, signature,
        body.confirmed_us, row.time_us,
    )  # fmt: skip
    told = _who(origin, row) | {
        "lot_id": str(row.lot_id),
        "aggregator": str(body.bidder),
        "amount_micro": body.amount_micro,
    }
    if row.state != "settled":
        writes.told.append(events.SettlementUpdated(state=row.state, reason=reason, **told))
        return
    for sums in (writes.seller(origin.device_id), writes.buyer(body.bidder)):
        sums.settled += 1
        sums.settled_micro += body.amount_micro
    writes.told.append(events.TradeSettled(signature=signature or "", **told))


def _security(origin: Origin, row: CheckedRow, body: SecurityBody, known: Known, writes: Writes) -> None:  # noqa: ARG001
    writes.told.append(events.SecurityEvent(device=str(body.bidder), what=row.state, **_who(origin, row)))


_TRANSLATIONS: Final[dict[type[Body], Callable[[Origin, CheckedRow, Any, Known, Writes], None]]] = {
    LotBody: _lot,
    PromiseBody: _promise,
    TradeBody: _trade,
    EnergyBody: _energy,
    SettlementBody: _settlement,
    SecurityBody: _security,
}
