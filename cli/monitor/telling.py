"""What an event says, in one line of words."""

from collections.abc import Callable
from typing import Final

from cli.monitor.words import brief, clean
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from gateway.events import (
    AggregatorStatus,
    AuctionCompleted,
    AuctionStarted,
    BESSNodeStatus,
    BidAccepted,
    BidPlaced,
    BidRejected,
    DeviceFailed,
    EnergyDelivered,
    EnergyDepleted,
    EnergyRecharged,
    Event,
    LotUpdated,
    LotVoided,
    QueryResponse,
    QuerySent,
    ReservationReleased,
    SecurityEvent,
    SettlementUpdated,
    SystemMetrics,
    TradeConfirmed,
    TradeSettled,
)


def cents(micro: int | None) -> str:
    """A price in c/kWh or an amount in c, briefly."""
    return brief(micro, MICRO_PER_CENT)


def kwh(energy_wh: int | None) -> str:
    """An energy in kWh, briefly."""
    return brief(energy_wh, WH_PER_KWH)


def _amount(energy_wh: int, micro: int | None) -> str:
    return f"{kwh(energy_wh)} kWh" + ("" if micro is None else f" at {cents(micro)} c/kWh")


TOLD: Final[dict[type, Callable[..., str]]] = {
    AuctionStarted: lambda e: f"{_amount(e.energy_wh, e.reserve_micro_per_kwh)}, {e.mechanism}",
    LotUpdated: lambda e: (
        f"{kwh(e.energy_wh)} kWh, ask {cents(e.ask_micro_per_kwh)}, best {cents(e.standing_micro_per_kwh)}"
    ),
    BidPlaced: lambda e: f"{e.bidder} bids {_amount(e.energy_wh, e.price_micro_per_kwh)}",
    BidRejected: lambda e: f"{e.bidder} {e.code}: {_amount(e.energy_wh, e.price_micro_per_kwh)}",
    AuctionCompleted: lambda e: f"{kwh(e.energy_wh)} kWh, {e.bids} bids of {e.bidders}",
    LotVoided: lambda e: f"{kwh(e.energy_wh)} kWh unsold, {e.bids} bids of {e.bidders}",
    BidAccepted: lambda e: f"{e.bidder}: {_amount(e.energy_wh, e.price_micro_per_kwh)}",
    ReservationReleased: lambda e: f"{e.bidder}: {kwh(e.energy_wh)} kWh, {e.reason}",
    TradeConfirmed: lambda e: f"{e.aggregator} buys {_amount(e.energy_wh, e.price_micro_per_kwh)}",
    SettlementUpdated: lambda e: f"{e.aggregator}: {cents(e.amount_micro)} c {e.state} {e.reason}",
    TradeSettled: lambda e: f"{e.aggregator} paid {cents(e.amount_micro)} c",
    EnergyDelivered: lambda e: f"{e.aggregator}: {kwh(e.delivered_wh)} of {kwh(e.energy_wh)} kWh",
    EnergyDepleted: lambda e: f"nothing left to sell, {kwh(e.stored_wh)} kWh stored",
    EnergyRecharged: lambda e: f"{kwh(e.for_sale_wh)} kWh for sale, {kwh(e.stored_wh)} stored",
    DeviceFailed: lambda e: f"failed: {e.failure}" if e.failure else "works again",
    SecurityEvent: lambda e: f"{e.what} by or about {e.device}",
    QuerySent: lambda e: f"asks {e.battery or 'everybody'}",
    QueryResponse: lambda e: f"{e.battery} offers {_amount(e.energy_wh, e.ask_micro_per_kwh)}",
    BESSNodeStatus: lambda e: f"{'online' if e.online else 'offline'}, {kwh(e.stored_wh)} kWh stored",
    AggregatorStatus: lambda e: f"{'online' if e.online else 'offline'}, {kwh(e.bought_wh)} kWh bought",
    SystemMetrics: lambda e: f"{e.late_messages} late, {e.violations} violations, {e.journal_waiting} rows waiting",
}


def told(event: Event) -> str:
    """What an event says, in one line."""
    return clean(TOLD[type(event)](event)).strip()
