"""The program's accounts as values: what stands on the chain about a market, its participants, escrows and trades."""

from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from contracts.addresses import Address
from contracts.errors import AccountError
from contracts.interface import Interface
from contracts.rpc import Account
from etp.units import DeviceId, LotId, Micro, MicroPerKwh, Wh


class ParticipantRole(IntEnum):
    """What a participant may do."""

    BATTERY = 1
    AGGREGATOR = 2


class TradeStatus(IntEnum):
    """Where a trade stands on the chain."""

    HELD = 1
    PAID = 2
    DEFAULTED = 3
    REFUNDED = 4
    DISPUTED = 5


class Market(NamedTuple):
    """A market's rules. Windows and delays in s of the chain's clock."""

    network_id: bytes
    admin: Address
    arbiter: Address
    mint: Address
    fee_account: Address
    fee_bps: int
    min_amount: Micro
    dispute_window: int
    settle_window: int
    withdraw_delay: int
    paused_at: int
    settles_from: int


class Participant(NamedTuple):
    """A device in a market, and how its trades went."""

    device_id: DeviceId
    authority: Address
    role: int
    revoked_at: int
    settled: int
    defaulted: int
    disputed: int
    lost: int


class Escrow(NamedTuple):
    """What an aggregator has put aside, µ."""

    device_id: DeviceId
    available: Micro
    held: Micro
    withdrawal_amount: Micro
    withdrawal_since: int


class Trade(NamedTuple):
    """A lot's settlement."""

    battery: DeviceId
    lot_id: LotId
    aggregator: DeviceId
    message_id: int
    energy_wh: Wh
    price: MicroPerKwh
    amount: Micro
    fee: Micro
    status: TradeStatus
    release_at: int
    disputed_at: int
    payer: Address
    record_hash: bytes


KINDS: dict[type, str] = {Market: "Market", Participant: "Participant", Escrow: "Escrow", Trade: "Trade"}
T = TypeVar("T", Market, Participant, Escrow, Trade)


def read(interface: Interface, program_id: Address, kind: type[T], account: Account) -> T:
    """An account of the program. Raises AccountError where another program owns it, InterfaceError where it is of another kind."""
    if account.owner != program_id:
        right = f"the program {program_id} must own it: is this the right chain and program?"
        raise AccountError(f"the {KINDS[kind]} account", f"belongs to {account.owner}", right)
    return decode(interface, kind, account.data)


def decode(interface: Interface, kind: type[T], data: bytes) -> T:
    """The account in `data`. Raises InterfaceError; AccountError where a trade has a status that nobody knows."""
    fields = interface.decode(KINDS[kind], data)
    values: dict[str, Any] = {name: _value(getattr(fields, name)) for name in kind._fields}
    if kind is Trade:
        try:
            values["status"] = TradeStatus(values["status"])
        except ValueError as error:
            right = f"expected {', '.join(f'{status.value} {status.name}' for status in TradeStatus)}"
            raise AccountError("the Trade account", f"has status {values['status']}", right) from error
    return kind(**values)


def _value(value: object) -> object:
    return bytes(value) if isinstance(value, list) else value  # a [u8; N] comes as a list
