"""Methods that carry transactions: preflight, sending, simulation, the faucet."""

from typing import Any, Final

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from contracts.devnet.chain import Tried
from contracts.devnet.errors import PREFLIGHT_FAILURE, SIGNATURE_FAILURE, RpcError, invalid
from contracts.devnet.failures import Failure, in_words
from contracts.devnet.ledger import Transaction
from contracts.devnet.node import Node, in_context
from contracts.devnet.params import Config, Params, address_of
from contracts.devnet.slots import MAX_AGE, Commitment
from contracts.devnet.wire import (
    account_json,
    has_valid_signatures,
    inner_json,
    read_transaction,
    return_data_json,
)

TEXT_ENCODINGS: Final = ("base58", "base64")
SIMULATED_ENCODINGS: Final = ("base64", "base64+zstd", "jsonParsed")


def send_transaction(node: Node, params: Params) -> str:
    """The signature, as soon as the transaction is in the present slot.

    Without preflight a transaction that cannot land is dropped in silence, as a cluster drops it.
    """
    config = params.config(1)
    encoding = config.choice("encoding", TEXT_ENCODINGS, "base58")
    transaction = read_transaction(params.text(0, "transaction"), encoding)
    node.slot(config)
    if not config.flag("skipPreflight"):
        _need_signatures(transaction)
        _send_checked(node, transaction, config.commitment("preflightCommitment"))
    elif has_valid_signatures(transaction) and not _reason_now(node, transaction):
        _keep(node, node.chain.land(transaction)[1])
    return str(transaction.signatures[0])


def simulate_transaction(node: Node, params: Params) -> dict[str, Any]:
    """What a transaction would come to; nothing changes."""
    config = params.config(1)
    encoding = config.choice("encoding", TEXT_ENCODINGS, "base58")
    transaction = read_transaction(params.text(0, "transaction"), encoding)
    slot = node.slot(config)
    fresh = config.flag("replaceRecentBlockhash")
    if config.flag("sigVerify"):
        if fresh:
            raise invalid("sigVerify may not be used with replaceRecentBlockhash")
        _need_signatures(transaction)
    addresses, account_encoding = _wanted_accounts(config)
    failure = None if fresh else node.chain.reason_against(transaction, slot)
    tried = node.chain.try_out(transaction) if failure is None else Tried(failure, None, {})
    value = _result(tried)
    if addresses is not None:
        found = [tried.accounts.get(address) or node.chain.account(address, slot) for address in addresses]
        value["accounts"] = [account and account_json(account, account_encoding) for account in found]
    if fresh:
        hash_ = Hash(node.chain.slots.blockhash(slot))
        value["replacementBlockhash"] = {"blockhash": str(hash_), "lastValidBlockHeight": last_valid(slot)}
    if config.flag("innerInstructions") and tried.meta is not None:
        value["innerInstructions"] = inner_json(tried.meta)
    return in_context(slot, value)


def request_airdrop(node: Node, params: Params) -> str:
    """[address, lamports]: the signature of the faucet's transfer."""
    owner, lamports = params.address(0), params.number(1, "lamports")
    return _from_faucet(node, node.faucet.lamports(owner, lamports, *_stamp(node)))


def etp_faucet(node: Node, params: Params) -> str:
    """[owner, amount_micro]: the signature of the transaction that mints test USDC for the owner."""
    owner, amount_micro = params.address(0, "owner"), params.number(1, "amount_micro")
    return _from_faucet(node, node.faucet.usdc(owner, amount_micro, *_stamp(node)))


def _stamp(node: Node) -> tuple[Hash, int]:
    return Hash(node.chain.slots.blockhash(node.chain.slots.processed)), node.chain.count


def _from_faucet(node: Node, transaction: VersionedTransaction) -> str:
    _send_checked(node, transaction, Commitment.PROCESSED)
    return str(transaction.signatures[0])


def last_valid(slot: int) -> int:
    """The last block height in which a transaction with the blockhash of a slot can land."""
    return slot + MAX_AGE


def _need_signatures(transaction: VersionedTransaction) -> None:
    if not has_valid_signatures(transaction):
        raise RpcError(SIGNATURE_FAILURE, "Transaction signature verification failure")


def _send_checked(node: Node, transaction: VersionedTransaction, commitment: Commitment) -> None:
    """Preflight as of a commitment, and land. Raises RpcError where the preflight fails; nothing has changed then."""
    reason = node.chain.reason_against(transaction, node.chain.slots.at(commitment))
    if reason is not None:
        tried = Tried(reason, None, {})
    elif _reason_now(node, transaction):  # its blockhash lived in the slot of the commitment, and is dead by now
        tried = node.chain.try_out(transaction)
    else:
        tried, record = node.chain.land(transaction, or_nothing=True)
        _keep(node, record)
    if tried.failure is not None:
        raise RpcError(PREFLIGHT_FAILURE, f"Transaction simulation failed: {in_words(tried.failure)}", _result(tried))


def _reason_now(node: Node, transaction: VersionedTransaction) -> Failure | None:
    return node.chain.reason_against(transaction, node.chain.slots.processed)


def _keep(node: Node, record: Transaction | None) -> None:
    if record is not None:
        node.records.append(record)


def _result(tried: Tried) -> dict[str, Any]:
    meta = tried.meta
    return {
        "err": tried.failure,
        "logs": meta.logs() if meta else [],
        "accounts": None,
        "unitsConsumed": meta.compute_units_consumed() if meta else 0,
        "returnData": return_data_json(meta) if meta else None,
        "innerInstructions": None,
        "replacementBlockhash": None,
    }


def _wanted_accounts(config: Config) -> tuple[list[Pubkey] | None, str]:
    wanted = config.values.get("accounts")
    if wanted is None:
        return None, "base64"
    if not isinstance(wanted, dict) or not isinstance(wanted.get("addresses"), list):
        raise invalid("accounts: expected {addresses: [...], encoding}")
    addresses = [address_of(text, "address") for text in wanted["addresses"]]
    return addresses, Config(wanted).choice("encoding", SIMULATED_ENCODINGS, "base64")
