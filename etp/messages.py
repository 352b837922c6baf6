"""The ten messages made from integers: which fields a type carries stands here and nowhere else (design §3).

`message_id` is 0 until the frame is stamped (`stamped`).
"""

from typing import Final, NamedTuple

from etp.codes import FailureCode, Health, MessageType, RejectCode, TerminateCode
from etp.frame import DEFAULT_TTL, Frame
from etp.units import (
    DeviceId,
    MicroPerKwh,
    Wh,
    energy_from_wire,
    energy_to_wire,
    price_from_wire,
    price_to_wire,
    telemetry_from_wire,
)

_REJECT: Final = MessageType.REJECT


class Offer(NamedTuple):
    """What a battery holds and how much of it may be bid for now, both in Wh."""

    held: Wh
    for_sale: Wh

    @property
    def percentage(self) -> float:
        """`percentage_for_sale`: held × percentage / 100, to the nearest Wh, is for_sale."""
        return 100.0 * self.for_sale / self.held if self.held else 0.0


def stamped(frame: Frame, message_id: int) -> Frame:
    """The same frame with its id."""
    return frame._replace(message_id=message_id)


def register(device_id: DeviceId) -> Frame:
    """Register: here I am."""
    return Frame(MessageType.REGISTER, device_id=device_id)


def query(device_id: DeviceId) -> Frame:
    """Query: who sells?"""
    return Frame(MessageType.QUERY, device_id=device_id)


def response(device_id: DeviceId, *, offer: Offer, ask: MicroPerKwh, bid_price: MicroPerKwh = MicroPerKwh(0)) -> Frame:
    """Response: what is for sale at which ask (0: not disclosed); `bid_price` names the Bid it answers."""
    return Frame(
        MessageType.RESPONSE,
        device_id=device_id,
        bid_price=price_to_wire(bid_price),
        sale_price=price_to_wire(ask),
        energy_total=energy_to_wire(offer.held),
        percentage_for_sale=offer.percentage,
    )


def bid(device_id: DeviceId, *, price: MicroPerKwh, energy: Wh) -> Frame:
    """Bid: `energy` Wh wanted at `price` µ/kWh."""
    return Frame(
        MessageType.BID,
        device_id=device_id,
        bid_price=price_to_wire(price),
        required_energy_amount=energy_to_wire(energy),
    )


def accept(device_id: DeviceId, *, energy: Wh, paid: MicroPerKwh, bid_price: MicroPerKwh, offer: Offer) -> Frame:
    """Accept: `energy` Wh awarded, `paid` µ/kWh to pay for a bid of `bid_price`."""
    return Frame(
        MessageType.ACCEPT,
        device_id=device_id,
        bid_price=price_to_wire(bid_price),
        sale_price=price_to_wire(paid),
        energy_total=energy_to_wire(offer.held),
        percentage_for_sale=offer.percentage,
        required_energy_amount=energy_to_wire(energy),
    )


def confirm(device_id: DeviceId, accepted: Frame) -> Frame:
    """Confirm: the Accept's terms, under the buyer's id."""
    return accepted._replace(message_type=MessageType.CONFIRM, device_id=device_id, message_id=0)


def reject(
    device_id: DeviceId,
    code: RejectCode,
    *,
    refused: float = 0.0,
    ask: MicroPerKwh = MicroPerKwh(0),
    available: Wh = Wh(0),
) -> Frame:
    """Reject: `refused` is the Bid's own bid_price in c/kWh (0 where it has no legal one)."""
    # By position, since most bids are answered by it: with names it takes thrice as long.
    return Frame(
        _REJECT,
        0,  # message_id: when it is stamped
        device_id,
        DEFAULT_TTL,
        refused,
        price_to_wire(ask),
        energy_to_wire(available),
        0.0,  # percentage_for_sale
        0.0,  # required_energy_amount
        code,
    )


def terminate(device_id: DeviceId, code: TerminateCode) -> Frame:
    """Terminate."""
    return Frame(MessageType.TERMINATE, device_id=device_id, termination_code=code)


def device_failure(device_id: DeviceId, code: FailureCode) -> Frame:
    """DeviceFailure."""
    return Frame(MessageType.DEVICE_FAILURE, device_id=device_id, termination_code=code)


def status(device_id: DeviceId, *, remaining: Wh, health: Health, voltage_v: float, discharge_kw: float) -> Frame:
    """Status: telemetry of the battery; `discharge_kw` ≥ 0, discharge positive."""
    return Frame(
        MessageType.STATUS,
        device_id=device_id,
        remaining_battery_energy=energy_to_wire(remaining),
        battery_health_status_code=health,
        battery_voltage=voltage_v,
        discharge_rate=discharge_kw,
    )


class Terms(NamedTuple):
    """What a Bid, Accept or Confirm trades, in integers."""

    energy: Wh
    bid_price: MicroPerKwh
    paid: MicroPerKwh


def terms(frame: Frame) -> Terms:
    """The integers of a valid Bid, Accept or Confirm. Raises UnitError for one that `invalid` would refuse."""
    return Terms(
        energy=energy_from_wire(frame.required_energy_amount),
        bid_price=price_from_wire(frame.bid_price),
        paid=price_from_wire(frame.sale_price),
    )


def offer(frame: Frame) -> Offer:
    """What a Response says is held and for sale, to the nearest Wh."""
    held = telemetry_from_wire(frame.energy_total)
    return Offer(held=held, for_sale=Wh(round(frame.energy_total * frame.percentage_for_sale * 10)))
