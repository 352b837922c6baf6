"""What a buyer's owner lets gateways know of it beside its journal: what it asks and hears, never what it bids.

A bid of a lot that is open is the bidder's secret. So the answers to Bids are left out, and what is exposed counts promises alone.
"""

from typing import Any, Final

from aggregator_node.buyer import Buyer
from etp import messages
from etp.frame import Frame
from etp.record import NO_LOT, lot_of
from etp.units import MICRO_PER_CENT

LARGEST_LOT: Final = 2**63 - 1
"""A battery may say any u64; no journal has a lot with a higher id."""


def response(frame: Frame, raw: bytes) -> dict[str, Any] | None:
    """What a battery offers, out of its Response (`raw`: empty where only the frame is known); None: it answers a Bid."""
    if frame.bid_price:
        return None
    lot_id = (lot_of(raw) if raw else None) or NO_LOT
    return {
        "battery": frame.device_id,
        "lot_id": lot_id if lot_id <= LARGEST_LOT else NO_LOT,
        "energy_wh": messages.offer(frame).for_sale,
        "ask_micro_per_kwh": round(frame.sale_price * MICRO_PER_CENT) or None,
    }


def status(buyer: Buyer) -> dict[str, Any]:
    """What the buyer shows of itself."""
    portfolio = buyer.portfolio
    return {
        "bought_wh": portfolio.bought,
        "paid_micro": portfolio.paid,
        "exposed_wh": buyer.promised_wh,
        "promises_open": buyer.open_promises,
        "batteries": sum(battery.connected for battery in buyer.directory),
    }
