"""The program's instructions for one market, and the precompile that carries a signed record to it.

Accounts and arguments are the IDL's; this module knows which address each of them is.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.sysvar import INSTRUCTIONS as INSTRUCTIONS_SYSVAR
from spl.token.constants import TOKEN_PROGRAM_ID as TOKEN_PROGRAM
from spl.token.instructions import create_idempotent_associated_token_account

from contracts.accounts import Market, ParticipantRole
from contracts.addresses import Address, Place, token_account
from contracts.errors import TransactionError
from contracts.interface import Interface
from etp.record import KEY_SIZE, RECORD_SIZE, UNSIGNED_SIZE, signed_message

ED25519_PROGRAM: Final = Pubkey.from_string("Ed25519SigVerify111111111111111111111111111")
MESSAGE_SIZE: Final = 191
"""Bytes that a record's signature covers (docs/settlement.md, Record)."""
_PUBLIC_AT: Final = 16
_SIGNATURE_AT: Final = 48
_MESSAGE_AT: Final = 112
_THIS_INSTRUCTION: Final = 0xFFFF
OFFSETS: Final = Struct("<BB7H")
"""One signature, padding, and where signature, key and message are: all in this instruction (Ed25519 precompile)."""
PRECOMPILE_HEAD: Final = OFFSETS.pack(
    1, 0,
    _SIGNATURE_AT, _THIS_INSTRUCTION,
    _PUBLIC_AT, _THIS_INSTRUCTION,
    _MESSAGE_AT, MESSAGE_SIZE, _THIS_INSTRUCTION,
)  # fmt: skip
assert len(PRECOMPILE_HEAD) == _PUBLIC_AT


def precompile(raw: bytes, network_id: bytes, public: bytes) -> Instruction:
    """The Ed25519 precompile over a record of 212 bytes that the key `public` signed for `network_id`. Raises TransactionError."""
    for what, value, size in (("record", raw, RECORD_SIZE), ("network_id", network_id, 32), ("key", public, KEY_SIZE)):
        if len(value) != size:
            raise TransactionError(f"the {what} has {len(value)} bytes; expected {size}")
    data = PRECOMPILE_HEAD + public + raw[UNSIGNED_SIZE:] + signed_message(network_id, raw)
    return Instruction(ED25519_PROGRAM, data, [])


class Terms(NamedTuple):
    """What a market's admin sets. Times in s, `min_amount` in µ."""

    arbiter: Address
    fee_bps: int
    min_amount: int
    dispute_window: int
    settle_window: int
    withdraw_delay: int


class Parties(NamedTuple):
    """Whose trade it is."""

    battery: Address
    """The battery's key: it is paid, and pays the rent."""
    battery_id: int
    aggregator_id: int
    lot_id: int


@dataclass(frozen=True, slots=True)
class Instructions:
    """Makes the instructions of one market. All of them raise InterfaceError where the IDL is of another program."""

    interface: Interface
    place: Place

    def _make(self, name: str, accounts: dict[str, Address], /, **arguments: object) -> Instruction:
        market = {"market": self.place.market}
        return self.interface.instruction(self.place.program_id, name, market | accounts, **arguments)

    # -- the admin's

    def open_market(self, admin: Address, name: str, mint: Address, fee_account: Address, terms: Terms) -> Instruction:
        """Open the market; the admin pays its rent."""
        accounts = {"admin": admin, "mint": mint, "fee_account": fee_account, "system_program": SYSTEM_PROGRAM}
        identity = {
            "genesis_hash": list(self.place.genesis_hash),
            "name": name,
            "network_id": list(self.place.network_id),
        }
        return self._make("open_market", accounts, **identity, **terms._asdict())

    def set_market(self, admin: Address, fee_account: Address, terms: Terms, *, paused: bool) -> Instruction:
        """Change the market's rules."""
        return self._make("set_market", {"admin": admin, "fee_account": fee_account}, **terms._asdict(), paused=paused)

    def register(self, admin: Address, authority: Address, device_id: int, role: ParticipantRole) -> Instruction:
        """Bind a device_id to a key; device and admin sign, the admin pays."""
        accounts = {
            "admin": admin,
            "authority": authority,
            "participant": self.place.participant(device_id),
            "device_key": self.place.device_key(authority),
            "system_program": SYSTEM_PROGRAM,
        }
        return self._make("register", accounts, device_id=device_id, role=int(role))

    def revoke(self, admin: Address, device_id: int) -> Instruction:
        """What the device signs from now on does not settle."""
        return self._make("revoke", {"admin": admin, "participant": self.place.participant(device_id)})

    # -- the buyer's

    def _vault(self, device_id: int, mint: Address) -> dict[str, Address]:
        escrow = self.place.escrow(device_id)
        return {"escrow": escrow, "vault": token_account(escrow, mint)}

    def create_vault(self, payer: Address, device_id: int, mint: Address) -> Instruction:
        """Create the escrow's token account where there is none."""
        return create_idempotent_associated_token_account(payer, self.place.escrow(device_id), mint)

    def deposit(self, authority: Address, device_id: int, mint: Address, source: Address, amount: int) -> Instruction:
        """Put `amount` µ into the escrow."""
        accounts = {
            "authority": authority,
            "participant": self.place.participant(device_id),
            **self._vault(device_id, mint),
            "source": source,
            "mint": mint,
            "token_program": TOKEN_PROGRAM,
            "system_program": SYSTEM_PROGRAM,
        }
        return self._make("deposit", accounts, amount=amount)

    def request_withdraw(self, authority: Address, device_id: int, amount: int) -> Instruction:
        """Ask for `amount` µ back; 0 takes the request back."""
        accounts = {
            "authority": authority,
            "participant": self.place.participant(device_id),
            "escrow": self.place.escrow(device_id),
        }
        return self._make("request_withdraw", accounts, amount=amount)

    def withdraw(self, authority: Address, device_id: int, mint: Address, destination: Address) -> Instruction:
        """Take out what was asked for, once the delay is over."""
        accounts = {
            "authority": authority,
            "participant": self.place.participant(device_id),
            **self._vault(device_id, mint),
            "destination": destination,
            "mint": mint,
            "token_program": TOKEN_PROGRAM,
        }
        return self._make("withdraw", accounts)

    # -- a trade's

    def _trade(self, parties: Parties) -> dict[str, Address]:
        return {
            "battery_participant": self.place.participant(parties.battery_id),
            "aggregator_participant": self.place.participant(parties.aggregator_id),
            "trade": self.place.trade(parties.battery_id, parties.lot_id),
        }

    def _payment(self, parties: Parties, market: Market) -> dict[str, Address]:
        return {
            **self._trade(parties),
            **self._vault(parties.aggregator_id, market.mint),
            "payout": token_account(parties.battery, market.mint),
            "fee_account": market.fee_account,
            "mint": market.mint,
            "token_program": TOKEN_PROGRAM,
        }

    def create_payout(self, parties: Parties, market: Market) -> Instruction:
        """Create the account that the battery is paid to where there is none."""
        return create_idempotent_associated_token_account(parties.battery, parties.battery, market.mint)

    def settle(self, parties: Parties, market: Market) -> Instruction:
        """Pay what the Confirm says; the precompile over it must be the instruction before."""
        others = {
            "battery": parties.battery,
            "system_program": SYSTEM_PROGRAM,
            "instructions": INSTRUCTIONS_SYSVAR,
        }
        return self._make("settle", self._payment(parties, market) | others)

    def record_default(self, parties: Parties) -> Instruction:
        """Say that the escrow cannot pay what the Confirm says; the precompile over it must be the instruction before."""
        accounts = {
            "battery": parties.battery,
            "escrow": self.place.escrow(parties.aggregator_id),
            **self._trade(parties),
            "system_program": SYSTEM_PROGRAM,
            "instructions": INSTRUCTIONS_SYSVAR,
        }
        return self._make("record_default", accounts)

    def release(self, parties: Parties, market: Market) -> Instruction:
        """Pay out what is held, after its time."""
        return self._make("release", self._payment(parties, market))

    def refund(self, parties: Parties) -> Instruction:
        """Give held money back; the precompile over the battery's Terminate must be the instruction before."""
        escrow = {"escrow": self.place.escrow(parties.aggregator_id), "instructions": INSTRUCTIONS_SYSVAR}
        return self._make("refund", self._trade(parties) | escrow)

    def dispute(self, authority: Address, parties: Parties) -> Instruction:
        """The buyer says that it did not get what it pays for."""
        return self._make("dispute", {"authority": authority} | self._trade(parties))

    def resolve(self, arbiter: Address, parties: Parties, market: Market, *, to_battery: bool) -> Instruction:
        """The arbiter decides a dispute."""
        accounts = {"arbiter": arbiter} | self._payment(parties, market)
        return self._make("resolve", accounts, to_battery=to_battery)

    def close_trade(self, payer: Address, battery_id: int, lot_id: int) -> Instruction:
        """Give the rent of a trade that is over back to who paid it."""
        return self._make("close_trade", {"trade": self.place.trade(battery_id, lot_id), "payer": payer})
