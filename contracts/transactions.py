"""Signed transactions of the settler: compute budget, the precompile over a Confirm where it takes one, the instruction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message
from solders.transaction import Transaction

from contracts.accounts import Market
from contracts.addresses import Address
from contracts.errors import TransactionError
from contracts.instructions import Instructions, Parties, precompile
from contracts.outbox import Act, Attempt
from contracts.rpc import Blockhash

Sign: TypeAlias = Callable[[bytes], bytes]

MAX_TRANSACTION: Final = 1232
"""Bytes of a transaction: a packet of IPv6's least MTU less its headers (Solana)."""
COMPUTE_UNITS: Final[dict[Act, int]] = {Act.SETTLE: 120_000, Act.RECORD_DEFAULT: 80_000, Act.RELEASE: 80_000}
"""Limits asked for: what the program takes with the worst bumps of its addresses, and room (tests measure it)."""
CREATE_UNITS: Final = 60_000
"""More, where the battery's token account is created on the way."""


def signed(
    instructions: Sequence[Instruction], payer: Address, blockhash: bytes, signers: Sequence[tuple[Address, Sign]]
) -> tuple[bytes, bytes]:
    """(the transaction's bytes, its signature): signed by the payer first, then by the others. Raises TransactionError."""
    message = Message.new_with_blockhash(list(instructions), payer, Hash(blockhash))
    wanted = message.account_keys[: message.header.num_required_signatures]
    by_address = dict(signers)
    missing = [str(address) for address in wanted if address not in by_address]
    if missing:
        raise TransactionError(f"the transaction must be signed by {', '.join(missing)} too")
    plain = bytes(message)
    signatures = [by_address[address](plain) for address in wanted]
    raw = bytes([len(signatures)]) + b"".join(signatures) + plain
    if len(raw) > MAX_TRANSACTION:
        raise TransactionError(f"the transaction has {len(raw)} bytes; at most {MAX_TRANSACTION} fit")
    return raw, signatures[0]


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes the transactions of one battery; its key pays for all of them."""

    instructions: Instructions
    battery: Address
    battery_id: int
    sign: Sign
    unit_price: int = 0
    """Priority fee, millionths of a lamport per compute unit."""

    def __repr__(self) -> str:
        return f"Signer(battery={self.battery})"

    def parties(self, buyer: int, lot_id: int) -> Parties:
        """Whose trade a lot is."""
        return Parties(self.battery, self.battery_id, buyer, lot_id)

    def attempt(
        self,
        act: Act,
        parties: Parties,
        *,
        market: Market,
        record: bytes,
        buyer_key: bytes,
        blockhash: Blockhash,
        create_payout: bool = False,
    ) -> Attempt:
        """A signed transaction that does `act` for a trade. Raises TransactionError, InterfaceError."""
        body = self._body(act, parties, market, record, buyer_key)
        units = COMPUTE_UNITS[act] + (CREATE_UNITS if create_payout else 0)
        head = [set_compute_unit_limit(units)]
        if self.unit_price:
            head.append(set_compute_unit_price(self.unit_price))
        if create_payout:
            head.append(self.instructions.create_payout(parties, market))
        raw, signature = signed([*head, *body], self.battery, blockhash.hash, [(self.battery, self.sign)])
        return Attempt(act, raw, signature, blockhash.hash, blockhash.last_valid_height)

    def _body(self, act: Act, parties: Parties, market: Market, record: bytes, buyer_key: bytes) -> list[Instruction]:
        make = self.instructions
        if act is Act.RELEASE:
            return [make.release(parties, market)]
        spoken = precompile(record, make.place.network_id, buyer_key)
        if act is Act.RECORD_DEFAULT:
            return [spoken, make.record_default(parties)]
        return [spoken, make.settle(parties, market)]


def parsed(raw: bytes) -> Transaction:
    """The transaction in its bytes. Raises TransactionError."""
    try:
        return Transaction.from_bytes(raw)
    except ValueError as error:
        raise TransactionError(f"{len(raw)} bytes are no transaction ({error})") from error
