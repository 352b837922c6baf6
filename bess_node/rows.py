"""The journal rows of a lot and its promise: one place that says what is written down, and under which subject."""

from bess_node.affairs import LiveBid, Reservation
from bess_node.books import OpenLot
from etp.effects import Row, Scalar
from etp.record import is_record
from etp.state import LotState
from etp.units import DeviceId, LotId, MicroPerKwh, WallUs, Wh, money


def reserved(reservation: Reservation, time_us: WallUs) -> Row:
    """RESERVED: a restart must release it."""
    row, raw = _promise(reservation, LotState.RESERVED, time_us, pending=True), reservation.live.raw
    return row._replace(body={**row.body, "bid_record": raw.hex()}) if is_record(raw) else row


def released(reservation: Reservation, time_us: WallUs, reason: str) -> Row:
    """RELEASED: the energy is free again."""
    return _promise(reservation, LotState.RELEASED, time_us, pending=False, reason=reason)


def confirmed(reservation: Reservation, time_us: WallUs, *, confirm: bytes, answer: bytes) -> tuple[Row, ...]:
    """CONFIRMED: the promise, its trade, its delivery to come and the answer to its Confirm, in one transaction."""
    r = reservation
    trade = _terms(r) | {"paid_micro": money(r.paid, r.energy)}
    delivery: dict[str, Scalar] = {"bidder": r.bidder, "energy_wh": r.energy, "price_micro_per_kwh": r.paid}
    return (
        _promise(r, LotState.CONFIRMED, time_us, pending=False),
        Row("trade", r.lot_id, LotState.CONFIRMED.value, time_us, trade, terms_subject(r.bidder, r.energy, r.paid)),
        Row("energy", r.lot_id, "pending", time_us, delivery, str(r.lot_id), pending=True),
        answered(r.lot_id, r.bidder, time_us, confirm=confirm, answer=answer),
    )


def answered(lot_id: LotId, bidder: DeviceId, time_us: WallUs, *, confirm: bytes, answer: bytes) -> Row:
    """The answer to a Confirm that decided a promise: kept for ever, found by buyer and message_id."""
    message_id = int.from_bytes(confirm[1:9], "little")
    body: dict[str, Scalar] = {"bidder": bidder, "confirm": confirm.hex(), "answer": answer.hex()}
    return Row("answer", lot_id, "answered", time_us, body, confirm_subject(bidder, message_id))


def confirm_subject(bidder: DeviceId, message_id: int) -> str:
    """Where a Confirm's answer is found."""
    return f"{bidder}:{message_id}"


def terms_subject(bidder: DeviceId, energy: Wh, paid: MicroPerKwh) -> str:
    """Where a buyer's newest trade of these terms is found."""
    return f"{bidder}:{energy}:{paid}"


def lot_closed(
    lot: OpenLot, state: LotState, time_us: WallUs, *, mechanism: str, setter: LiveBid | None, capped: bool
) -> Row:
    """How a lot ended: what was sold, the digest of its bids in order of arrival and the bid that set the price."""
    body: dict[str, Scalar] = {
        "mechanism": mechanism,
        "energy_wh": lot.terms.energy,
        "reserve_micro_per_kwh": lot.terms.reserve,
        "hidden": lot.terms.hide_reserve,
        "opened_us": lot.opened_us,
        "bids": lot.bids,
        "bidders": len(lot.bidders),
        "digest": lot.digest.digest().hex(),
        "capped": capped,
        "setter_bidder": setter.bid.bidder if setter else None,
        "setter_message_id": setter.bid.message_id if setter else None,
        "setter_price_micro_per_kwh": setter.bid.price if setter else None,
        # The seller's word on the price becomes the bidder's own: whoever has the record can verify it.
        "setter_record": setter.raw.hex() if setter and is_record(setter.raw) else None,
    }
    return Row("lot", lot.lot_id, state.value, time_us, body, str(lot.lot_id))


def _terms(r: Reservation) -> dict[str, Scalar]:
    return {
        "bidder": r.bidder,
        "message_id": r.live.bid.message_id,
        "energy_wh": r.energy,
        "price_micro_per_kwh": r.paid,
        "bid_micro_per_kwh": r.live.bid.price,
        "reserved_us": r.reserved_us,
        # The lot that was bid for: of several winners all but the first have a lot_id of their own.
        "auction_id": r.live.lot_id,
    }


def _promise(r: Reservation, state: LotState, time_us: WallUs, *, pending: bool, reason: str | None = None) -> Row:
    body = _terms(r) | ({"reason": reason} if reason else {})
    # One affair at a time: a buyer's newest promise row is the state of the lot its next Confirm can be about.
    return Row("promise", r.lot_id, state.value, time_us, body, str(r.bidder), pending)
