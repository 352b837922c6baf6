"""The settlement program on LiteSVM (Solana's own runtime): a world of markets and devices, and what becomes of transactions.

Instructions come from the client (`contracts.instructions`) and are then altered, slot by slot, where a test has to
send what no client would. Accounts are read with layouts written down here (docs/settlement.md), not with the client's.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple, TypeVar

from anchorpy.coder.coder import Coder
from anchorpy.program.common import Event
from anchorpy.program.event import EventParser
from anchorpy_core.idl import Idl
from solders.account import Account
from solders.clock import Clock
from solders.compute_budget import ID as COMPUTE_BUDGET_PROGRAM
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.sysvar import CLOCK, RENT
from solders.sysvar import INSTRUCTIONS as INSTRUCTIONS_SYSVAR
from solders.token import ID as TOKEN_PROGRAM
from solders.token.associated import get_associated_token_address
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata
from solders.transaction_status import InstructionErrorCustom, TransactionErrorInstructionError
from spl.token.instructions import create_idempotent_associated_token_account

from contracts.accounts import Market as MarketAccount
from contracts.accounts import ParticipantRole
from contracts.addresses import PROGRAM_ID, Place
from contracts.instructions import ED25519_PROGRAM, Instructions, Parties, Terms, precompile
from contracts.io.idl import IDL_FILE, load_interface
from etp.codes import MessageType
from etp.frame import Frame, encode
from etp.record import DOMAIN, HEAD
from etp.units import DeviceId, MessageId, Micro

PROGRAM_FILE: Final = Path(__file__).resolve().parents[3] / "contracts" / "etp_settlement.so"
GENESIS: Final = bytes(range(32))
NOW: Final = 1_800_000_000
"""The chain's time when a test begins, Unix seconds."""
US: Final = 1_000_000
DAY: Final = 86_400
ARBITER_TIME: Final = 14 * DAY
MAX_AHEAD: Final = 60
MAX_PRICE: Final = 100_000_000
MAX_ENERGY: Final = 1_000_000_000
U64: Final = 2**64 - 1
SOL: Final = 10**9
FUNDS: Final = 10**12
"""Tokens that each aggregator begins with, of each mint."""

HELD, PAID, DEFAULTED, REFUNDED, DISPUTED = range(1, 6)

INTERFACE: Final = load_interface()
IDL: Final = Idl.from_json(IDL_FILE.read_text())
EVENTS: Final = EventParser(PROGRAM_ID, Coder(IDL))
ERRORS: Final = {code: name for code, (name, _) in INTERFACE.errors.items()}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


SLOTS: Final = {_snake(found.name): [_snake(account.name) for account in found.accounts] for found in IDL.instructions}
"""The names of each instruction's accounts, in order."""
SIGNERS: Final = {_snake(i.name): [_snake(a.name) for a in i.accounts if a.is_signer] for i in IDL.instructions}  # type: ignore[union-attr]
WRITABLE: Final = {_snake(i.name): [_snake(a.name) for a in i.accounts if a.is_mut] for i in IDL.instructions}  # type: ignore[union-attr]
NAMES: Final = {sha256(f"global:{name}".encode()).digest()[:8]: name for name in SLOTS}
ASSOCIATED_PROGRAM: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
TOKEN_2022: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
MEMO_PROGRAM: Final = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
_PROGRAMS: Final = (PROGRAM_ID, SYSTEM_PROGRAM, TOKEN_PROGRAM, TOKEN_2022, ASSOCIATED_PROGRAM, ED25519_PROGRAM)
FIXED: Final = frozenset({*_PROGRAMS, MEMO_PROGRAM, COMPUTE_BUDGET_PROGRAM, INSTRUCTIONS_SYSVAR, CLOCK, RENT})
"""Never touched by a transaction, and not put back after a test."""

_T = TypeVar("_T")


class Market(NamedTuple):
    """The account's fields (contracts' interface); addresses as bytes."""

    bump: int
    network_id: bytes
    admin: bytes
    arbiter: bytes
    mint: bytes
    fee_account: bytes
    fee_bps: int
    min_amount: int
    dispute_window: int
    settle_window: int
    withdraw_delay: int
    paused_at: int
    settles_from: int


class Participant(NamedTuple):
    """Likewise."""

    bump: int
    market: bytes
    device_id: int
    authority: bytes
    role: int
    revoked_at: int
    settled: int
    defaulted: int
    disputed: int
    lost: int


class DeviceKey(NamedTuple):
    """Likewise."""

    bump: int
    market: bytes
    device_id: int


class Escrow(NamedTuple):
    """Likewise."""

    bump: int
    market: bytes
    device_id: int
    available: int
    held: int
    withdrawal_amount: int
    withdrawal_since: int


class Trade(NamedTuple):
    """Likewise."""

    bump: int
    market: bytes
    battery: int
    lot_id: int
    aggregator: int
    message_id: int
    energy_wh: int
    price: int
    amount: int
    fee: int
    status: int
    release_at: int
    disputed_at: int
    payer: bytes
    record_hash: bytes


LAYOUTS: Final[dict[type, Struct]] = {
    Market: Struct("<8xB32s32s32s32s32sHQIIIqq"),
    Participant: Struct("<8xB32sQ32sBqQQQQ"),
    DeviceKey: Struct("<8xB32sQ"),
    Escrow: Struct("<8xB32sQQQQq"),
    Trade: Struct("<8xB32sQQQQIIQQBqq32s32s"),
}
MINT: Final = Struct("<I32sQBBI32s")
TOKENS: Final = Struct("<32s32sQI32sBIQQI32s")
"""Mint, owner, amount, delegate (tag, key), state, native (tag, value), delegated amount, close authority (tag, key)."""
_PRECOMPILE: Final = Struct("<BB7H")


@lru_cache(maxsize=4096)
def associated(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """Of the Associated Token Account program; kept, since it is asked for all the time."""
    return get_associated_token_address(owner, mint)


def mint_account(authority: Pubkey, *, decimals: int = 6, supply: int = 0, initialised: bool = True) -> Account:
    """A mint of the SPL Token program; `authority` may freeze."""
    data = MINT.pack(1, bytes(authority), supply, decimals, initialised, 1, bytes(authority))
    return Account(SOL, data, TOKEN_PROGRAM)


def token_data(mint: Pubkey, owner: Pubkey, amount: int = 0, *, state: int = 1) -> bytes:
    """A token account's data. State: 1 usable, 2 frozen."""
    return TOKENS.pack(bytes(mint), bytes(owner), amount, 0, bytes(32), state, 0, 0, 0, 0, bytes(32))


def key_of(name: str) -> Keypair:
    """The same key each time."""
    return Keypair.from_seed(sha256(name.encode()).digest())


def amount_of(price: int, energy_wh: int) -> int:
    """µ, rounded half to even (docs/settlement.md, Program): Python's own rule for fractions."""
    return round(Fraction(price * energy_wh, 1000))


@dataclass(frozen=True)
class Device:
    """A registered device: its key, id and role."""

    key: Keypair = field(compare=False)
    device_id: int
    role: ParticipantRole

    @cached_property
    def address(self) -> Pubkey:
        """Its authority."""
        return self.key.pubkey()


@dataclass(frozen=True)
class Deal:
    """What a Confirm says. `stamp_us` is its message_id."""

    seller: Device
    buyer: Device
    lot_id: int = 1
    price: int = 250_001
    energy_wh: int = 1_500
    stamp_us: int = NOW * US

    @property
    def amount(self) -> int:
        """µ. The default's is a half, 375 001.5, and so 375 002."""
        return amount_of(self.price, self.energy_wh)

    def with_(self, **changes: Any) -> "Deal":
        """The same with other values."""
        return replace(self, **changes)


def unsigned(
    kind: int,
    *,
    sender: int,
    recipient: bytes,
    lot_id: int,
    price: int = 0,
    energy_wh: int = 0,
    message_id: int = NOW * US,
    code: int = 0,
    counter: int = 1,
) -> bytes:
    """The first 148 bytes of a record, by its table (docs/settlement.md, Record); the frame's floats say nothing here."""
    frame = bytearray(encode(Frame(MessageType.CONFIRM, MessageId(0), DeviceId(0))))
    frame[0] = kind
    frame[1:9] = message_id.to_bytes(8, "little")
    frame[9:17] = sender.to_bytes(8, "little")
    frame[58] = code
    return bytes(frame) + HEAD + Struct("<QQII32s").pack(counter, lot_id, price, energy_wh, recipient)


def sealed(body: bytes, key: Keypair, network: bytes) -> bytes:
    """A record of 212 bytes: signed."""
    return body + bytes(key.sign_message(DOMAIN + network + body))


def ed25519(
    public: bytes,
    signature: bytes,
    message: bytes,
    *,
    number: int = 1,
    padding: int = 0,
    indices: tuple[int, int, int] = (0xFFFF, 0xFFFF, 0xFFFF),
    tail: bytes = b"",
) -> Instruction:
    """The precompile over any message, its data laid out as the program wants it, but for what is given otherwise."""
    spots = (48, indices[0], 16, indices[1], 112, len(message), indices[2])
    data = _PRECOMPILE.pack(number, padding, *spots) + public + signature + message + tail
    return Instruction(ED25519_PROGRAM, data, [])


def name_of(instruction: Instruction) -> str:
    """Which of the program's instructions it is."""
    return NAMES[bytes(instruction.data)[:8]]


def _altered(
    instructions: Sequence[Instruction], metas: Callable[[str, AccountMeta], AccountMeta]
) -> list[Instruction]:
    *before, last = instructions
    slots = SLOTS[name_of(last)]
    changed = [metas(slot, meta) for slot, meta in zip(slots, last.accounts, strict=True)]
    return [*before, Instruction(last.program_id, bytes(last.data), changed)]


def swapped(instructions: Sequence[Instruction], /, **accounts: Pubkey) -> list[Instruction]:
    """The same with other accounts in some slots of the last instruction."""
    unknown = set(accounts) - set(SLOTS[name_of(instructions[-1])])
    assert not unknown, unknown
    return _altered(
        instructions,
        lambda slot, meta: AccountMeta(accounts.get(slot, meta.pubkey), meta.is_signer, meta.is_writable),
    )


def unsigned_by(instructions: Sequence[Instruction], slot: str) -> list[Instruction]:
    """The same, one slot of the last instruction not signing."""
    return _altered(
        instructions, lambda name, meta: AccountMeta(meta.pubkey, meta.is_signer and name != slot, meta.is_writable)
    )


def read_only(instructions: Sequence[Instruction], slot: str) -> list[Instruction]:
    """The same, one slot of the last instruction read-only."""
    return _altered(
        instructions, lambda name, meta: AccountMeta(meta.pubkey, meta.is_signer, meta.is_writable and name != slot)
    )


def reshaped(
    instructions: Sequence[Instruction], *, data: bytes | None = None, accounts: Sequence[AccountMeta] | None = None
) -> list[Instruction]:
    """The same, the last instruction with other data or a list of other accounts."""
    *before, last = instructions
    metas = list(last.accounts) if accounts is None else list(accounts)
    return [*before, Instruction(last.program_id, bytes(last.data) if data is None else data, metas)]


def address_in(instructions: Sequence[Instruction], slot: str) -> Pubkey:
    """What is in a slot of the last instruction."""
    last = instructions[-1]
    return last.accounts[SLOTS[name_of(last)].index(slot)].pubkey


class Refused(AssertionError):
    """A transaction failed that was to succeed."""


class Chain:
    """LiteSVM with the program. Every transaction's fee is paid by an account of its own, so that all else adds up."""

    def __init__(self, *, check_signatures: bool = True) -> None:
        self.svm = LiteSVM().with_sigverify(check_signatures)
        self.svm.add_program_from_file(PROGRAM_ID, PROGRAM_FILE)
        self.payer = key_of("payer")
        self.keys: dict[Pubkey, Keypair] = {}
        self.sent = 0
        self._touched: set[Pubkey] = set()
        self._kept: dict[Pubkey, Account | None] = {}
        self._kept_at = NOW
        self._marked: dict[Pubkey, Account | None] = {}
        self.add_key(self.payer)
        self.put(self.payer.pubkey(), Account(10**6 * SOL, b"", SYSTEM_PROGRAM))
        self.now = NOW

    # -- time

    @property
    def now(self) -> int:
        """The chain's clock, Unix seconds."""
        return self.svm.get_clock().unix_timestamp

    @now.setter
    def now(self, seconds: int) -> None:
        old = self.svm.get_clock()
        self.svm.set_clock(Clock(old.slot, seconds, old.epoch, old.leader_schedule_epoch, seconds))

    # -- accounts

    def add_key(self, key: Keypair) -> Keypair:
        """Signs from now on wherever its address has to."""
        self.keys[key.pubkey()] = key
        return key

    def put(self, address: Pubkey, account: Account | None) -> None:
        """Write an account past all programs; None: there is none."""
        assert address not in FIXED
        self._touched.add(address)
        self.svm.set_account(address, account or Account(0, b"", SYSTEM_PROGRAM))

    def account(self, address: Pubkey) -> Account | None:
        """What is at an address; None: nothing, not even lamports."""
        found = self.svm.get_account(address)
        return None if found is None or (found.lamports == 0 and not found.data) else found

    def data(self, address: Pubkey) -> bytes:
        """Of an account that exists."""
        found = self.account(address)
        assert found is not None, address
        return bytes(found.data)

    def lamports(self, address: Pubkey) -> int:
        """0 where there is no account."""
        return self.svm.get_balance(address) or 0

    def tokens(self, address: Pubkey) -> int:
        """Balance of a token account."""
        return int.from_bytes(self.data(address)[64:72], "little")

    def read(self, kind: type[_T], address: Pubkey) -> _T:
        """An account of the program."""
        data = self.data(address)
        assert data[:8] == sha256(f"account:{kind.__name__}".encode()).digest()[:8]
        return kind(*LAYOUTS[kind].unpack(data))

    def edit(self, kind: type[Any], address: Pubkey, **changes: Any) -> None:
        """Write other values into an account of the program, past its rules."""
        found = self.account(address)
        assert found is not None
        values = self.read(kind, address)._replace(**changes)
        data = bytearray(found.data)
        data[8:] = LAYOUTS[kind].pack(*values)[8:]
        self.put(address, Account(found.lamports, bytes(data), found.owner))

    def edit_tokens(self, address: Pubkey, at: int, value: bytes) -> None:
        """Write bytes into a token account: 0 mint, 32 owner, 64 amount, 108 state."""
        found = self.account(address)
        assert found is not None
        data = bytearray(found.data)
        data[at : at + len(value)] = value
        self.put(address, Account(found.lamports, bytes(data), found.owner))

    def add_tokens(self, address: Pubkey, mint: Pubkey, owner: Pubkey, amount: int = 0) -> Pubkey:
        """A token account out of nothing, and its supply."""
        self.put(address, Account(SOL, token_data(mint, owner, amount), TOKEN_PROGRAM))
        found = self.account(mint)
        assert found is not None
        data = bytearray(found.data)
        data[36:44] = (int.from_bytes(data[36:44], "little") + amount).to_bytes(8, "little")
        self.put(mint, Account(found.lamports, bytes(data), found.owner))
        return address

    # -- going back

    def keep(self) -> None:
        """Remember all accounts and the clock as they are."""
        self._kept = {address: self.account(address) for address in self._touched}
        self._kept_at = self.now

    def restore(self) -> None:
        """Back to what `keep` remembered."""
        for address in self._touched:
            self.put(address, self._kept.get(address))
        self._touched = set(self._kept)
        self.now = self._kept_at

    def keep_also(self) -> None:
        """Remember all as it is now, for `undo`, until the next `restore`."""
        self._marked = {address: self.account(address) for address in self._touched}

    def undo(self) -> None:
        """Back to `keep_also`; the clock stays."""
        for address in self._touched:
            self.put(address, self._marked.get(address))

    # -- transactions

    def send(self, instructions: Sequence[Instruction]) -> TransactionMetadata | FailedTransactionMetadata:
        """Sign for every signer that an instruction names, in a transaction that never was before, and send."""
        self.sent += 1
        self.svm.expire_blockhash()
        message = Message.new_with_blockhash(list(instructions), self.payer.pubkey(), self.svm.latest_blockhash())
        self._touched.update(key for key in message.account_keys if key not in FIXED)
        wanted = message.account_keys[: message.header.num_required_signatures]
        plain = bytes(message)
        signatures = [self.keys[key].sign_message(plain) if key in self.keys else Signature.default() for key in wanted]
        return self.svm.send_transaction(Transaction.populate(message, signatures))

    def events(self, instructions: Sequence[Instruction]) -> list[Event]:
        """Send what has to succeed; the events of its logs."""
        result = self.send(instructions)
        if isinstance(result, FailedTransactionMetadata):
            raise Refused(self.reason(result, instructions), result.meta().logs())
        found: list[Event] = []
        if result.logs():  # which the parser takes for granted
            EVENTS.parse_logs(result.logs(), found.append)
        return found

    def do(self, instructions: Sequence[Instruction]) -> Any:
        """Send what has to succeed, and return the data of its one event."""
        (event,) = self.events(instructions)
        return event.data

    def refused(self, instructions: Sequence[Instruction], *reasons: str) -> str:
        """Send what has to fail for one of these reasons (any, where none is given), and leave every account as it was."""
        touched = {meta.pubkey for each in instructions for meta in each.accounts} - {self.payer.pubkey()}
        before = {key: self.svm.get_account(key) for key in touched}
        result = self.send(instructions)
        assert isinstance(result, FailedTransactionMetadata), (
            f"succeeded; expected {' or '.join(reasons) or 'a refusal'}"
        )
        reason = self.reason(result, instructions)
        assert not reasons or reason in reasons, f"{reason}; expected {' or '.join(reasons)}\n{result.meta().logs()}"
        changed = [str(key) for key in touched if self.svm.get_account(key) != before[key]]
        assert not changed, changed
        return reason

    def reason(self, result: FailedTransactionMetadata, instructions: Sequence[Instruction]) -> str:
        """The program's error by name; else the runtime's, "Custom(n)" or "Ed25519(n)" for those of other programs."""
        error = result.err()
        if not isinstance(error, TransactionErrorInstructionError):
            return str(error).rpartition(".")[2]
        if not isinstance(error.err, InstructionErrorCustom):
            return str(error.err).rpartition(".")[2]
        if instructions[error.index].program_id == ED25519_PROGRAM:
            return f"Ed25519({error.err.code})"
        return ERRORS.get(error.err.code, f"Custom({error.err.code})")


class Bazaar:
    """One market on a chain: its legal instructions, each as the list that a transaction takes."""

    def __init__(
        self, chain: Chain, admin: Keypair, name: str, mint: Pubkey, terms: Terms, *, fees: Pubkey | None = None
    ) -> None:
        self.chain, self.admin, self.name, self.mint, self.terms = chain, admin, name, mint, terms
        self.place = Place.named(GENESIS, PROGRAM_ID, admin.pubkey(), name)
        self.make = Instructions(INTERFACE, self.place)
        self.address = self.place.market
        self.fees = fees or associated(admin.pubkey(), mint)
        self._lots = count(1)

    # -- addresses and accounts

    @property
    def network(self) -> bytes:
        """Its network_id."""
        return self.place.network_id

    def wallet(self, owner: Device | Pubkey) -> Pubkey:
        """The associated token account of a device or address."""
        return associated(owner.address if isinstance(owner, Device) else owner, self.mint)

    def vault(self, buyer: Device) -> Pubkey:
        """The token account of a buyer's Escrow."""
        return associated(self.place.escrow(buyer.device_id), self.mint)

    def state(self) -> Market:
        """The Market account."""
        return self.chain.read(Market, self.address)

    def participant(self, device: Device) -> Participant:
        """A device's Participant account."""
        return self.chain.read(Participant, self.place.participant(device.device_id))

    def escrow(self, buyer: Device) -> Escrow:
        """A buyer's Escrow account."""
        return self.chain.read(Escrow, self.place.escrow(buyer.device_id))

    def key_at(self, authority: Pubkey) -> Pubkey:
        """Where it says which device a key has."""
        return self.place.device_key(authority)

    def trade_at(self, deal: Deal) -> Pubkey:
        """Where a deal's Trade account is."""
        return self.place.trade(deal.seller.device_id, deal.lot_id)

    def trade(self, deal: Deal) -> Trade:
        """A deal's Trade account."""
        return self.chain.read(Trade, self.trade_at(deal))

    def fee(self, deal: Deal) -> int:
        """µ that the market keeps, by the rules of `terms`."""
        return deal.amount * self.terms.fee_bps // 10_000

    # -- records

    def confirm(self, deal: Deal, *, network: bytes | None = None, key: Keypair | None = None, **changes: Any) -> bytes:
        """The buyer's Confirm of a deal."""
        said: dict[str, Any] = {
            "sender": deal.buyer.device_id,
            "recipient": bytes(deal.seller.address),
            "lot_id": deal.lot_id,
            "price": deal.price,
            "energy_wh": deal.energy_wh,
            "message_id": deal.stamp_us,
        }
        kind = changes.pop("kind", MessageType.CONFIRM)
        return sealed(unsigned(kind, **said | changes), key or deal.buyer.key, network or self.network)

    def terminate(
        self, deal: Deal, code: int = 2, *, network: bytes | None = None, key: Keypair | None = None, **changes: Any
    ) -> bytes:
        """The seller's Terminate of a deal."""
        said: dict[str, Any] = {
            "sender": deal.seller.device_id,
            "recipient": bytes(deal.buyer.address),
            "lot_id": deal.lot_id,
            "code": code,
            "message_id": deal.stamp_us,
        }
        kind = changes.pop("kind", MessageType.TERMINATE)
        return sealed(unsigned(kind, **said | changes), key or deal.seller.key, network or self.network)

    def spoken(self, raw: bytes, by: Device, *, network: bytes | None = None) -> Instruction:
        """The precompile over a record."""
        return precompile(raw, network or self.network, bytes(by.address))

    # -- instructions

    def _account(self) -> MarketAccount:
        terms = self.terms._replace(min_amount=Micro(self.terms.min_amount))._asdict()
        return MarketAccount(
            network_id=self.network,
            admin=self.admin.pubkey(),
            mint=self.mint,
            fee_account=self.fees,
            paused_at=0,
            settles_from=0,
            **terms,
        )

    @staticmethod
    def _parties(deal: Deal) -> Parties:
        return Parties(deal.seller.address, deal.seller.device_id, deal.buyer.device_id, deal.lot_id)

    def open(self, **changes: Any) -> list[Instruction]:
        """Open it with its terms, or others."""
        terms = self.terms._replace(**changes)
        return [self.make.open_market(self.admin.pubkey(), self.name, self.mint, self.fees, terms)]

    def set(self, *, paused: bool = False, fees: Pubkey | None = None, **changes: Any) -> list[Instruction]:
        """Set its terms again, some of them changed."""
        terms = self.terms._replace(**changes)
        return [self.make.set_market(self.admin.pubkey(), fees or self.fees, terms, paused=paused)]

    def change(self, *, paused: bool = False, fees: Pubkey | None = None, **changes: Any) -> Any:
        """Set its terms on the chain and here; the event."""
        self.terms = self.terms._replace(**changes)
        self.fees = fees or self.fees
        return self.chain.do(self.set(paused=paused))

    def register(self, device: Device) -> list[Instruction]:
        """Register a device."""
        return [self.make.register(self.admin.pubkey(), device.address, device.device_id, device.role)]

    def revoke(self, device: Device) -> list[Instruction]:
        """Revoke a device."""
        return [self.make.revoke(self.admin.pubkey(), device.device_id)]

    def deposit(self, buyer: Device, amount: int, source: Pubkey | None = None) -> list[Instruction]:
        """Pay in, from the buyer's associated token account."""
        return [self.make.deposit(buyer.address, buyer.device_id, self.mint, source or self.wallet(buyer), amount)]

    def request_withdraw(self, buyer: Device, amount: int) -> list[Instruction]:
        """Ask for money back."""
        return [self.make.request_withdraw(buyer.address, buyer.device_id, amount)]

    def withdraw(self, buyer: Device, to: Pubkey | None = None) -> list[Instruction]:
        """Take it."""
        return [self.make.withdraw(buyer.address, buyer.device_id, self.mint, to or self.wallet(buyer))]

    def settle(self, deal: Deal, raw: bytes | None = None) -> list[Instruction]:
        """Settle a deal by its Confirm, or by another record of the buyer."""
        instruction = self.make.settle(self._parties(deal), self._account())
        return [self.spoken(raw or self.confirm(deal), deal.buyer), instruction]

    def record_default(self, deal: Deal, raw: bytes | None = None) -> list[Instruction]:
        """Likewise."""
        return [self.spoken(raw or self.confirm(deal), deal.buyer), self.make.record_default(self._parties(deal))]

    def release(self, deal: Deal) -> list[Instruction]:
        """Pay what is held."""
        return [self.make.release(self._parties(deal), self._account())]

    def refund(self, deal: Deal, raw: bytes | None = None) -> list[Instruction]:
        """Give it back by the seller's Terminate, or by another record of the seller."""
        return [self.spoken(raw or self.terminate(deal), deal.seller), self.make.refund(self._parties(deal))]

    def dispute(self, deal: Deal) -> list[Instruction]:
        """Dispute a deal."""
        return [self.make.dispute(deal.buyer.address, self._parties(deal))]

    def resolve(self, deal: Deal, *, to_battery: bool) -> list[Instruction]:
        """Decide a dispute."""
        make = partial(self.make.resolve, self.terms.arbiter, self._parties(deal), self._account())
        return [make(to_battery=to_battery)]

    def close_trade(self, deal: Deal, payer: Pubkey | None = None) -> list[Instruction]:
        """Give a trade's rent back."""
        return [self.make.close_trade(payer or deal.seller.address, deal.seller.device_id, deal.lot_id)]

    def closes_at(self, deal: Deal) -> int:
        """The first second at which a deal's trade may be closed."""
        return deal.stamp_us // US + self.terms.settle_window + self.terms.dispute_window + DAY

    def furnish(self, devices: Iterable[Device], deposits: int) -> None:
        """Open it, register devices, give each a token account, and each aggregator a vault with money in it."""
        chain = self.chain
        chain.do(self.open())
        for device in devices:
            chain.do(self.register(device))
            if chain.account(self.wallet(device)) is None:
                funds = FUNDS if device.role is ParticipantRole.AGGREGATOR else 0
                chain.add_tokens(self.wallet(device), self.mint, device.address, funds)
            if device.role is ParticipantRole.AGGREGATOR:
                escrow = self.place.escrow(device.device_id)
                chain.events([create_idempotent_associated_token_account(chain.payer.pubkey(), escrow, self.mint)])
                if deposits:
                    chain.do(self.deposit(device, deposits))


class World(Chain):
    """Two mints; three markets; in each the same two batteries and three aggregators, and a battery with a buyer's key.

    A `variant` has other keys, and so other addresses.
    """

    DEPOSIT: Final = 10**9
    DISPUTE_WINDOW: Final = 3_600

    def __init__(self, *, check_signatures: bool = True, variant: str = "") -> None:
        super().__init__(check_signatures=check_signatures)
        names = ("admin", "arbiter", "stranger", "other admin")
        self.admin, self.arbiter, self.stranger, self.other_admin = (self.add_key(key_of(n + variant)) for n in names)
        battery, aggregator = ParticipantRole.BATTERY, ParticipantRole.AGGREGATOR
        self.batteries = [Device(key_of(f"battery {n}{variant}"), 11 + n, battery) for n in range(2)]
        self.aggregators = [Device(key_of(f"aggregator {n}{variant}"), U64 - n, aggregator) for n in range(3)]
        self.seller, self.buyer = self.batteries[0], self.aggregators[0]
        self.twin = Device(self.buyer.key, 13, battery)
        """A battery that has the first aggregator's key, which the program lets nobody register."""
        self.devices = [*self.batteries, *self.aggregators, self.twin]
        wallets = [self.admin, self.arbiter, self.stranger, self.other_admin, *(device.key for device in self.devices)]
        for key in wallets:
            self.add_key(key)
            self.put(key.pubkey(), Account(100 * SOL, b"", SYSTEM_PROGRAM))
        self.usdc, self.sol = key_of("usdc").pubkey(), key_of("sol").pubkey()
        self.put(self.usdc, mint_account(self.admin.pubkey()))
        self.put(self.sol, mint_account(self.other_admin.pubkey(), decimals=9))
        self.add_tokens(associated(self.admin.pubkey(), self.usdc), self.usdc, self.admin.pubkey())
        self.add_tokens(associated(self.other_admin.pubkey(), self.sol), self.sol, self.other_admin.pubkey())
        terms = Terms(
            arbiter=self.arbiter.pubkey(),
            fee_bps=50,
            min_amount=1_000,
            dispute_window=self.DISPUTE_WINDOW,
            settle_window=7 * DAY,
            withdraw_delay=8 * DAY,
        )
        self.main = Bazaar(self, self.admin, "main", self.usdc, terms)
        self.instant = Bazaar(self, self.admin, "instant", self.usdc, terms._replace(dispute_window=0))
        self.other = Bazaar(self, self.other_admin, "main", self.sol, terms._replace(fee_bps=0))
        self.bazaars = (self.main, self.instant, self.other)
        self._terms = [(bazaar, bazaar.terms, bazaar.fees) for bazaar in self.bazaars]
        for bazaar in self.bazaars:
            bazaar.furnish(self.devices[:-1], self.DEPOSIT)
            self.do(bazaar.register(Device(self.stranger, self.twin.device_id, battery)))
            place = bazaar.place.participant(self.twin.device_id)
            self.edit(Participant, place, authority=bytes(self.twin.address))
            self.put(bazaar.key_at(self.stranger.pubkey()), None)
        self.keep()

    def restore(self) -> None:
        """Back to the beginning."""
        super().restore()
        for bazaar, terms, fees in self._terms:
            bazaar.terms, bazaar.fees = terms, fees

    def deal(self, lot_id: int = 1, **changes: Any) -> Deal:
        """Between the first battery and the first aggregator, unless said otherwise."""
        return Deal(self.seller, self.buyer, lot_id).with_(**changes)

    def fund(self, key: Keypair) -> Keypair:
        """A new wallet with lamports."""
        self.add_key(key)
        self.put(key.pubkey(), Account(100 * SOL, b"", SYSTEM_PROGRAM))
        return key

    def total_lamports(self, addresses: Collection[Pubkey]) -> int:
        """Of these accounts together."""
        return sum(self.lamports(address) for address in addresses)
