"""One chain: the runtime (LiteSVM), its slots, what its accounts were, and the transactions that landed.

It knows no JSON-RPC. LiteSVM knows neither blocks nor commitments nor more than one blockhash: its own checks of blockhashes,
signatures and repeats are off, and made here, as a cluster makes them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, TypeAlias

import msgspec
from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.sysvar import CLOCK
from solders.token import ID as TOKEN_PROGRAM
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    SimulatedTransactionInfo,
    SimulateResult,
    TransactionMetadata,
)

from contracts.addresses import PROGRAM_ID
from contracts.devnet.errors import ProgramError, ReplayError
from contracts.devnet.failures import (
    ALREADY_PROCESSED,
    BLOCKHASH_NOT_FOUND,
    INSUFFICIENT_RENT,
    Failure,
    failure_of,
)
from contracts.devnet.ledger import Genesis, Segment, Transaction
from contracts.devnet.slots import MAX_AGE, SLOTS_PER_EPOCH, Slots
from contracts.devnet.tokens import TokenBalance, mint_account, token_balance
from contracts.devnet.versions import Versions
from etp.units import WallUs

FAUCET_LAMPORTS: Final = 500_000_000 * 10**9
"""About what a cluster is born with."""
HISTORY: Final = 100_000
"""Transactions that are remembered, some 3 KB each; the oldest are forgotten, as on a node with a short ledger."""
DIGEST_SIZE: Final = 8
MINT_TAG: Final = b"ETP-DEVNET-MINT\0"
SYSTEM: Final = Pubkey.default()
NOTHING: Final = Account(0, b"", SYSTEM)
"""An account that is none."""
Look: TypeAlias = Callable[[Pubkey], Account | None]
LAMPORTS_PER_SIGNATURE: Final = 5000
PRECOMPILES: Final = frozenset(
    Pubkey.from_string(text)
    for text in (
        "Ed25519SigVerify111111111111111111111111111",
        "KeccakSecp256k11111111111111111111111111111",
        "Secp256r1SigVerify1111111111111111111111111",
    )
)
"""Each signature that they check costs as much as one of the transaction's own; their data begins with the number."""


class Landed(NamedTuple):
    """A transaction in a block."""

    slot: int
    time_s: int
    transaction: VersionedTransaction
    failure: Failure | None
    fee: int
    balances: tuple[list[int], list[int]]
    """Lamports of each of its accounts, before and after."""
    tokens: tuple[list[TokenBalance], list[TokenBalance]]
    meta: TransactionMetadata
    """Logs, inner instructions, compute units: kept as the runtime gave it, since Python's own objects take ten times as much."""


class Tried(NamedTuple):
    """What a simulation came to."""

    failure: Failure | None
    meta: TransactionMetadata | None
    """None where it did not get as far as the runtime."""
    accounts: dict[Pubkey, Account]


class Chain:
    """See the module. `programs` gives a program's bytes by their SHA-256."""

    def __init__(self, genesis: Genesis, first: Segment, programs: Callable[[bytes], bytes]) -> None:
        self.genesis = genesis
        self.faucet = Pubkey(genesis.faucet)
        self.mint = Pubkey(sha256(MINT_TAG + genesis.hash).digest())
        self.landed: dict[Signature, Landed] = {}
        self.count = 0
        """Of all transactions since genesis."""
        self.slots = Slots(genesis.hash, first)
        self._svm = LiteSVM().with_blockhash_check(False).with_sigverify(False).with_transaction_history(0)
        self._programs, self._program = programs, b""
        self._versions = Versions()
        self._owned: dict[Pubkey, set[Pubkey]] = {}
        self._recent: dict[Hash, int] = {}
        self._plant(self.faucet, Account(FAUCET_LAMPORTS, b"", SYSTEM))
        mint = mint_account(self.faucet)
        self._plant(self.mint, Account(self.rent_exempt(len(mint)), mint, TOKEN_PROGRAM))
        self.begin(first)

    def _plant(self, address: Pubkey, account: Account) -> None:
        self._svm.set_account(address, account)
        self._owned.setdefault(account.owner, set()).add(address)

    # -- time

    def begin(self, segment: Segment) -> None:
        """A start of the daemon, or a step back of its clock. Raises ProgramError."""
        self.slots.begin(segment)
        if segment.program != self._program:
            try:
                self._svm.add_program(PROGRAM_ID, self._programs(segment.program))
            except BaseException as error:
                raise ProgramError(
                    f"the program {segment.program.hex()} is none that the runtime takes: {error}"
                ) from error
            self._program = segment.program
        self._entered()

    def advance(self, now_us: WallUs) -> None:
        """Let time come to `now_us`."""
        due = self.slots.due(now_us)
        if due > self.slots.processed:
            self.enter(due)

    def enter(self, slot: int) -> None:
        """Go on to a slot."""
        self.slots.enter(slot)
        self._entered()

    def _entered(self) -> None:
        slot = self.slots.processed
        self._svm.set_clock(self._clock(slot))
        self._versions.forget(self.slots.finalized)
        while self._recent and slot - next(iter(self._recent.values())) > MAX_AGE:
            del self._recent[next(iter(self._recent))]

    def _clock(self, slot: int) -> Clock:
        epoch = slot // SLOTS_PER_EPOCH
        begun_s = self.slots.time_s(epoch * SLOTS_PER_EPOCH)
        return Clock(slot, begun_s, epoch, epoch + 1, self.slots.time_s(slot))

    # -- reading

    def account(self, address: Pubkey, slot: int) -> Account | None:
        """An account as it was at the end of a slot, finalized or newer; None where there is none."""
        found = self._versions.at(slot, address, self._existing(address))
        if found is not None and address == CLOCK:
            return Account(found.lamports, bytes(self._clock(slot)), found.owner, found.executable, found.rent_epoch)
        return found

    def owned(self, program: Pubkey, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """All accounts that belonged to a program at a slot, in order of address."""
        for address in sorted(self._owned.get(program, ()), key=bytes):
            account = self.account(address, slot)
            if account is not None and account.owner == program:
                yield address, account

    def rent_exempt(self, size: int) -> int:
        """Lamports that an account of a size has to hold."""
        return self._svm.minimum_balance_for_rent_exemption(size)

    # -- transactions

    def reason_against(self, transaction: VersionedTransaction, slot: int) -> Failure | None:
        """Why a transaction cannot land at all, seen from a slot: repeated, or its blockhash unknown or dead."""
        if transaction.message.hash() in self._recent:
            return ALREADY_PROCESSED
        if not self.slots.lives(bytes(transaction.message.recent_blockhash), slot):
            return BLOCKHASH_NOT_FOUND
        return None

    def try_out(self, transaction: VersionedTransaction) -> Tried:
        """Simulate; nothing changes."""
        result: SimulateResult = self._svm.simulate_transaction(transaction)
        if not isinstance(result, SimulatedTransactionInfo):
            return Tried(failure_of(result), result.meta(), {})
        after = dict(result.post_accounts())
        return Tried(self._unpaid_rent(transaction.message, self._existing, after.get), result.meta(), after)

    def land(self, transaction: VersionedTransaction, *, or_nothing: bool = False) -> tuple[Tried, Transaction | None]:
        """Carry out a transaction that nothing stands against in the present slot; `or_nothing`: a failure changes nothing.

        That is preflight and sending in one: a simulation first would cost as much again. Returns what it came to and what
        the ledger has to keep: None where it is in no block, since it cannot even pay its fee, or failed and should not.
        """
        slot, message = self.slots.processed, transaction.message
        keys = message.account_keys
        writable = [key for index, key in enumerate(keys) if is_writable(message, index)]
        before = [self._existing(key) for key in writable]
        lamports = self._lamports(keys)
        tried = self._carry_out(transaction, dict(zip(writable, before, strict=True)), or_nothing=or_nothing)
        after = [self._existing(key) for key in writable]
        lamports_after = self._lamports(keys)
        fee = sum(lamports) - sum(lamports_after)  # nothing else leaves the accounts of a transaction
        if fee == 0 or tried.meta is None:
            return tried, None
        for key, old, new in zip(writable, before, after, strict=True):
            self._versions.keep(slot, key, old)
            if new is not None:
                self._owned.setdefault(new.owner, set()).add(key)
        self._recent[message.hash()] = slot
        balances, time_s = (lamports, lamports_after), self.slots.time_s(slot)
        tokens = (self._tokens(keys, writable, before), self._tokens(keys, writable, after))
        self._remember(Landed(slot, time_s, transaction, tried.failure, fee, balances, tokens, tried.meta))
        return tried, Transaction(slot, bytes(transaction), _digest(tried.failure, after))

    def _carry_out(
        self, transaction: VersionedTransaction, before: Mapping[Pubkey, Account | None], *, or_nothing: bool
    ) -> Tried:
        result = self._svm.send_transaction(transaction)
        meta = result.meta() if isinstance(result, FailedTransactionMetadata) else result
        failure = failure_of(result)
        unpaid = self._unpaid_rent(transaction.message, before.get, self._existing) if failure is None else None
        if unpaid is not None or (failure is not None and or_nothing):
            self._put_back(before)
        if unpaid is not None and not or_nothing:
            self._charge(transaction.message)
        self._purge(before)
        return Tried(failure or unpaid, meta, {})

    def _unpaid_rent(self, message: Message | MessageV0, before: Look, after: Look) -> Failure | None:
        """What Solana refuses and LiteSVM lets pass: an account left with less than it needs to be exempt from rent.

        One that had too little before may keep as much or less, as on a cluster (Solana: RentState).
        """
        for index, key in enumerate(message.account_keys):
            if not is_writable(message, index):
                continue
            now = after(key)
            if now is None or not 0 < now.lamports < self.rent_exempt(len(now.data)):
                continue
            was = before(key)
            if was is None or not now.lamports <= was.lamports < self.rent_exempt(len(was.data)):
                return {INSUFFICIENT_RENT: {"account_index": index}}
        return None

    def _put_back(self, before: Mapping[Pubkey, Account | None]) -> None:
        for key, account in before.items():
            if self._existing(key) != account:
                self._svm.set_account(key, account or NOTHING)

    def _charge(self, message: Message | MessageV0) -> None:
        payer = message.account_keys[0]
        account = self._existing(payer) or NOTHING
        left = account.lamports - fee_of(message)
        self._svm.set_account(payer, Account(left, account.data, account.owner, account.executable, account.rent_epoch))

    def _purge(self, addresses: Iterable[Pubkey]) -> None:
        """An account without lamports is none, whatever a program left in it; LiteSVM would show that to the next one."""
        for address in addresses:
            account = self._svm.get_account(address)
            if account is not None and account.lamports == 0 and (account.data or account.owner != SYSTEM):
                self._svm.set_account(address, NOTHING)

    def _existing(self, address: Pubkey) -> Account | None:
        account = self._svm.get_account(address)
        return account if account is not None and account.lamports else None

    def replay(self, record: Transaction) -> None:
        """Let a transaction of the ledger happen again. Raises ReplayError where it comes to something else."""
        self.enter(record.slot)
        transaction = VersionedTransaction.from_bytes(record.raw)
        _, again = self.land(transaction)
        if again is None or again.outcome != record.outcome:
            raise ReplayError(
                f"transaction {transaction.signatures[0]} in slot {record.slot} ends otherwise than when it was written:"
                " the ledger is of another version of the runtime; begin with another --state-dir"
            )

    def _lamports(self, keys: Sequence[Pubkey]) -> list[int]:
        return [self._svm.get_balance(key) or 0 for key in keys]

    def _tokens(
        self, keys: list[Pubkey], writable: list[Pubkey], accounts: Sequence[Account | None]
    ) -> list[TokenBalance]:
        found = (
            token_balance(keys.index(key), account)
            for key, account in zip(writable, accounts, strict=True)
            if account is not None and account.owner == TOKEN_PROGRAM
        )
        return [balance for balance in found if balance is not None]

    def _remember(self, landed: Landed) -> None:
        self.count += 1
        self.landed[landed.transaction.signatures[0]] = landed
        if len(self.landed) > HISTORY:
            del self.landed[next(iter(self.landed))]


def is_writable(message: Message | MessageV0, index: int) -> bool:
    """Whether a transaction may write an account: what its header says (programs and sysvars that it names so included)."""
    header, last = message.header, len(message.account_keys)
    if index < header.num_required_signatures:
        return index < header.num_required_signatures - header.num_readonly_signed_accounts
    return index < last - header.num_readonly_unsigned_accounts


def fee_of(message: Message | MessageV0) -> int:
    """Lamports that a transaction costs. This runtime charges no priority fee."""
    keys = message.account_keys
    checked = sum(
        each.data[0] for each in message.instructions if keys[each.program_id_index] in PRECOMPILES and each.data
    )
    return LAMPORTS_PER_SIGNATURE * (message.header.num_required_signatures + checked)


def _digest(failure: Failure | None, accounts: Sequence[Account | None]) -> bytes:
    parts = [msgspec.json.encode(failure), *(bytes(account) if account else b"" for account in accounts)]
    return sha256(b"".join(parts)).digest()[:DIGEST_SIZE]
