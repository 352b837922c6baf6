"""A bank under virtual time, and wallets that speak to it."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from contracts.devnet.bank import Bank, Pace
from contracts.devnet.ledger import Record
from etp.clock import Now
from etp.units import MonotonicS, WallUs

BEGAN_US = 1_700_000_000_000_000
SLOT_MS = 400
FINALITY = 32
PACE = Pace(SLOT_MS, FINALITY, b"")
GENESIS = bytes(range(32))
FAUCET = Keypair.from_seed(b"f" * 32)
SOL = 10**9
PROCESSED, CONFIRMED, FINALIZED = ({"commitment": each} for each in ("processed", "confirmed", "finalized"))


def no_program(digest: bytes) -> bytes:
    """Nothing is deployed in these tests."""
    raise AssertionError(digest)


def in_slot(slot: float) -> Now:
    """A time in a slot, counted from the genesis."""
    return Now(MonotonicS(slot * SLOT_MS / 1000), WallUs(round(BEGAN_US + slot * SLOT_MS * 1000)))


def wallet(name: str) -> Keypair:
    """The same key each time."""
    return Keypair.from_seed(name.encode().ljust(32, b"."))


class Cluster:
    """A bank and the slot that it is in."""

    def __init__(self, bank: Bank | None = None) -> None:
        self.slot = 1.0
        self.bank = bank or Bank.begin(GENESIS, FAUCET, PACE, no_program, in_slot(1))
        self.records: list[Record] = self.bank.take_records()

    def ask(self, method: str, *params: Any) -> Any:
        """The whole answer."""
        answer = self.bank.handle(
            {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}, in_slot(self.slot)
        )
        self.records += self.bank.take_records()
        assert isinstance(answer, dict)
        assert answer["id"] == 7
        return answer

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call that succeeds; of those with a context, the value."""
        answer = self.ask(method, *params)
        assert "error" not in answer, answer
        result = answer["result"]
        return result["value"] if isinstance(result, dict) and "context" in result else result

    def refusal(self, method: str, *params: Any) -> dict[str, Any]:
        """The error of a call that fails."""
        answer = self.ask(method, *params)
        assert "error" in answer, answer
        error: dict[str, Any] = answer["error"]
        return error

    def blockhash(self, commitment: dict[str, str] = PROCESSED) -> Hash:
        """The newest."""
        return Hash.from_string(self.call("getLatestBlockhash", commitment)["blockhash"])

    def rich(self, name: str, lamports: int = 10 * SOL) -> Keypair:
        """A wallet with money."""
        key = wallet(name)
        self.call("requestAirdrop", str(key.pubkey()), lamports)
        return key

    def lamports(self, owner: Pubkey, commitment: dict[str, str] = PROCESSED) -> int:
        """A balance."""
        found: int = self.call("getBalance", str(owner), commitment)
        return found

    def signed(self, payer: Keypair, *instructions: Instruction, blockhash: Hash | None = None) -> VersionedTransaction:
        """A transaction of one signer."""
        message = Message.new_with_blockhash(list(instructions), payer.pubkey(), blockhash or self.blockhash())
        return VersionedTransaction(message, [payer])

    def payment(self, payer: Keypair, to: Pubkey, lamports: int, blockhash: Hash | None = None) -> VersionedTransaction:
        """A transfer."""
        return self.signed(payer, pay(payer, to, lamports), blockhash=blockhash)


def pay(payer: Keypair, to: Pubkey, lamports: int) -> Instruction:
    """The instruction of a transfer."""
    return transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))


def sent(transaction: VersionedTransaction, **config: Any) -> Sequence[Any]:
    """The parameters of sendTransaction."""
    return text(transaction), {"encoding": "base64", "preflightCommitment": "processed"} | config


def text(transaction: VersionedTransaction) -> str:
    """A transaction in base64."""
    return b64encode(bytes(transaction)).decode()
