"""What the monitor makes of events: lots and trades as they are now, and gaps."""

from dataclasses import dataclass

from gateway.events import TradeConfirmed


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot, open or ended."""

    battery: str
    lot_id: str
    mechanism: str
    state: str
    """open, reserved, void, released, confirmed"""
    energy_wh: int
    opened_us: int
    time_us: int
    """Of its newest change."""
    market_us: int
    reserve_micro_per_kwh: int | None = None
    ask_micro_per_kwh: int | None = None
    standing_micro_per_kwh: int | None = None
    bids: int | None = None
    bidders: int | None = None
    closes_us: int | None = None
    winner: str | None = None
    price_micro_per_kwh: int | None = None
    """What is paid, once it is sold."""
    setter: str | None = None
    setter_micro_per_kwh: int | None = None
    capped: bool | None = None
    reason: str | None = None
    """Why a promise ended without a trade."""


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade, and what became of it."""

    confirmed: TradeConfirmed
    payment: str | None = None
    """State of its settlement; None: not told."""
    payment_reason: str = ""
    signature: str | None = None
    delivered_wh: int | None = None
    short: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Events are missing here."""

    why: str
    durable: bool
    after_us: int
    """Of the last event before it, 0: none."""
