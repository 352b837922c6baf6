"""Where things are on the chain: the program's derived addresses, token accounts, and the id of a market's network.

The seeds are the program's (docs/settlement.md, Program). An address is 32 bytes; `Address` shows it in base58.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final, TypeAlias

from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from contracts.errors import ContractsError
from etp import record
from etp.registry import Network

Address: TypeAlias = Pubkey

PROGRAM_ID: Final = Pubkey(sha256(b"etp-settlement").digest())
"""Where the local chain has the program; elsewhere it is wherever it was deployed."""
HASH_SIZE: Final = 32
MAX_NAME: Final = 32
"""Of a market, bytes of UTF-8."""
MAX_U64: Final = 2**64 - 1


class AddressError(ContractsError, ValueError):
    """A text or number that cannot be part of an address: which, what it was, what would be right."""

    def __init__(self, what: str, value: object, right: str) -> None:
        self.what, self.value, self.right = what, value, right
        super().__init__(f"{what} is {value!r}: {right}")


def parse_address(what: str, text: str) -> Address:
    """An address out of its base58 text. Raises AddressError."""
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise AddressError(what, text, "expected an address: 32 bytes in base58") from error


def network_id(genesis_hash: bytes, program_id: Address, admin: Address, name: str) -> bytes:
    """32 bytes that no other chain, program or market has (docs/settlement.md, Record). Raises AddressError."""
    if not 1 <= len(name.encode()) <= MAX_NAME:
        raise AddressError("market name", name, f"expected 1 to {MAX_NAME} bytes of UTF-8")
    if len(genesis_hash) != HASH_SIZE:
        raise AddressError("genesis hash", genesis_hash.hex(), f"expected {HASH_SIZE} bytes")
    return record.network_id(genesis_hash=genesis_hash, program_id=bytes(program_id), admin=bytes(admin), name=name)


def _u64(what: str, value: int) -> bytes:
    if not 0 <= value <= MAX_U64:
        raise AddressError(what, value, "expected a whole number of 0 to 2^64 - 1")
    return value.to_bytes(8, "little")


def token_account(owner: Address, mint: Address) -> Address:
    """The associated token account of `owner` for `mint` (SPL Associated Token Account program)."""
    return get_associated_token_address(owner, mint)


@lru_cache(maxsize=8192)
def derived(program_id: Address, *seeds: bytes) -> Address:
    """The program's address of some seeds; kept, since a search costs more than a signature."""
    return Pubkey.find_program_address(seeds, program_id)[0]


@dataclass(frozen=True, slots=True)
class Place:
    """One market on one chain: what every address in it is derived from."""

    genesis_hash: bytes
    program_id: Address
    network_id: bytes

    @classmethod
    def named(cls, genesis_hash: bytes, program_id: Address, admin: Address, name: str) -> "Place":
        """The market that `admin` opened as `name`. Raises AddressError."""
        return cls(genesis_hash, program_id, network_id(genesis_hash, program_id, admin, name))

    @classmethod
    def of(cls, network: Network) -> "Place":
        """The market of a registry that is on a chain."""
        return cls(network.genesis_hash, Pubkey(network.program_id), network.network_id)

    @property
    def market(self) -> Address:
        """The Market account."""
        return derived(self.program_id, b"market", self.network_id)

    def participant(self, device_id: int) -> Address:
        """The Participant account of a device. Raises AddressError."""
        return derived(self.program_id, b"participant", bytes(self.market), _u64("device_id", device_id))

    def device_key(self, authority: Address) -> Address:
        """The DeviceKey account of a key: one key is one device's."""
        return derived(self.program_id, b"key", bytes(self.market), bytes(authority))

    def escrow(self, aggregator: int) -> Address:
        """The Escrow account of an aggregator; its vault is its associated token account. Raises AddressError."""
        return derived(self.program_id, b"escrow", bytes(self.market), _u64("device_id", aggregator))

    def trade(self, battery: int, lot_id: int) -> Address:
        """The Trade account of a battery's lot: one per lot, so that no lot is paid twice. Raises AddressError."""
        seeds = (b"trade", bytes(self.market), _u64("device_id", battery), _u64("lot_id", lot_id))
        return derived(self.program_id, *seeds)
