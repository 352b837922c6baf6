"""What a buyer writes down: a promise, how it ended, the trade that came of it, what was not delivered."""

from aggregator_node.affair import Affair, Promise
from etp import messages
from etp.clock import Now
from etp.effects import Row, Scalar
from etp.frame import Frame
from etp.record import NO_LOT, lot_of
from etp.units import DeviceId, LotId, MicroPerKwh, Wh, money


def confirming(bidder: DeviceId, affair: Affair, accept: Frame, raw: bytes, *, confirm: bytes, now: Now) -> Row:
    """A promise: the Accept `raw` of the live bid is about to be confirmed by these bytes."""
    terms, battery = messages.terms(accept), affair.battery.device_id
    body: dict[str, Scalar] = {
        "battery": battery,
        "bidder": bidder,
        "message_id": affair.bid_id,
        "energy_wh": terms.energy,
        "price_micro_per_kwh": terms.paid,
        "confirm": confirm.hex(),
        "accept": raw.hex(),
    }
    return Row("promise", lot_of(raw) or NO_LOT, "confirming", now.wall_us, body, str(battery), pending=True)


def ended(promise: Promise, *, finished: bool, answer: bytes, now: Now) -> tuple[Row, ...]:
    """How a promise ended, what its battery said of it, and its trade."""
    state = "finished" if finished else "released"
    body = dict(promise.row.body) | {"answer": answer.hex()}
    end = promise.row._replace(state=state, time_us=now.wall_us, body=body, pending=False)
    if not finished:
        return (end,)
    kept = {key: value for key, value in promise.row.body.items() if key not in ("confirm", "accept")}
    trade = kept | {"paid_micro": money(promise.paid, promise.energy)}
    lot_id = LotId(promise.row.lot_id)
    subject = trade_subject(DeviceId(int(str(kept["battery"]))), lot_id) if lot_id else str(kept["message_id"])
    return (end, Row("trade", lot_id, "confirmed", now.wall_us, trade, subject))


def undelivered(bidder: DeviceId, battery: DeviceId, terminate: bytes, now: Now) -> Row:
    """A battery's word that it cannot deliver what it sold; a record says which trade, and is the buyer's refund."""
    body: dict[str, Scalar] = {"battery": battery, "bidder": bidder, "terminate": terminate.hex()}
    return Row("energy", lot_of(terminate) or NO_LOT, "short", now.wall_us, body, str(battery))


def terms_of(row: Row) -> tuple[DeviceId, Wh, MicroPerKwh]:
    """Battery, energy and price of a promise or a trade."""
    body = row.body
    return (
        DeviceId(int(str(body["battery"]))),
        Wh(int(str(body["energy_wh"]))),
        MicroPerKwh(int(str(body["price_micro_per_kwh"]))),
    )


def trade_subject(battery: DeviceId, lot_id: LotId) -> str:
    """Where the trade of a battery's lot is found."""
    return f"{battery}:{lot_id}"
