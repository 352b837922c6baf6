"""The methods of the JSON-RPC, as a table: name → handler and how many parameters it takes. Their meaning is Solana's own."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN_PROGRAM

from contracts.devnet.chain import Landed, fee_of
from contracts.devnet.errors import invalid
from contracts.devnet.node import RUNTIME_VERSION, Node, in_context
from contracts.devnet.params import (
    DECODERS,
    Config,
    Params,
    is_whole,
    signature_of,
)
from contracts.devnet.sending import (
    etp_faucet,
    last_valid,
    request_airdrop,
    send_transaction,
    simulate_transaction,
)
from contracts.devnet.slots import MAX_AGE, SLOTS_PER_EPOCH, Commitment
from contracts.devnet.tokens import amount_json, decimals_of, read_token_account
from contracts.devnet.wire import (
    ACCOUNT_ENCODINGS,
    TRANSACTION_ENCODINGS,
    account_json,
    read_message,
    status_json,
    transaction_json,
)

Handler = Callable[[Node, Params], Any]

MAX_STATUSES: Final = 256
MAX_ACCOUNTS: Final = 100
MAX_FILTERS: Final = 4
MAX_MEMCMP: Final = 128
"""Bytes that a filter compares."""
MAX_MEMCMP_TEXT: Final = 176
"""Characters of 128 bytes in base58, and in base64 with room to spare."""
MAX_ACCOUNT_SIZE: Final = 10 * 1024 * 1024


class Method(NamedTuple):
    """A handler, and the least and most parameters."""

    handle: Handler
    least: int
    most: int


# -- the chain


def get_version(_node: Node, _params: Params) -> dict[str, Any]:
    """Of the runtime."""
    return {"solana-core": RUNTIME_VERSION, "feature-set": 0}


def get_genesis_hash(node: Node, _params: Params) -> str:
    """What makes this chain another than all others."""
    return str(Hash(node.chain.genesis.hash))


def get_slot(node: Node, params: Params) -> int:
    """The newest slot of a commitment; a block's height too, since no slot is skipped."""
    return node.slot(params.config(0))


def get_latest_blockhash(node: Node, params: Params) -> dict[str, Any]:
    """The blockhash of the newest slot of a commitment."""
    slot = node.slot(params.config(0))
    blockhash = Hash(node.chain.slots.blockhash(slot))
    return in_context(slot, {"blockhash": str(blockhash), "lastValidBlockHeight": last_valid(slot)})


def is_blockhash_valid(node: Node, params: Params) -> dict[str, Any]:
    """Whether a blockhash lives."""
    slot = node.slot(params.config(1))
    return in_context(slot, node.chain.slots.lives(bytes(params.blockhash(0)), slot))


def get_epoch_info(node: Node, params: Params) -> dict[str, Any]:
    """Where in its epoch the chain is."""
    slot = node.slot(params.config(0))
    return {
        "absoluteSlot": slot,
        "blockHeight": slot,
        "epoch": slot // SLOTS_PER_EPOCH,
        "slotIndex": slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": node.chain.count,
    }


def get_rent_exemption(node: Node, params: Params) -> int:
    """Lamports that an account of a size has to hold."""
    params.config(1).commitment()
    return node.chain.rent_exempt(params.number(0, "size", MAX_ACCOUNT_SIZE))


def get_fee_for_message(node: Node, params: Params) -> dict[str, Any]:
    """Lamports; None where the message's blockhash is dead."""
    slot = node.slot(params.config(1))
    message = read_message(params.text(0, "message"))
    if not node.chain.slots.lives(bytes(message.recent_blockhash), slot):
        return in_context(slot, None)
    return in_context(slot, fee_of(message))


# -- accounts


def _read(node: Node, address: Pubkey, slot: int, config: Config, default: str) -> dict[str, Any] | None:
    encoding, part = config.choice("encoding", ACCOUNT_ENCODINGS, default), config.slice()
    account = node.chain.account(address, slot)
    return account_json(account, encoding, part) if account else None


def get_account_info(node: Node, params: Params) -> dict[str, Any]:
    """One account, or None."""
    config = params.config(1)
    slot = node.slot(config)
    return in_context(slot, _read(node, params.address(0), slot, config, "base58"))


def get_multiple_accounts(node: Node, params: Params) -> dict[str, Any]:
    """Several accounts, all of one slot."""
    config = params.config(1)
    slot = node.slot(config)
    addresses = [Params([text]).address(0) for text in params.items(0, "addresses", MAX_ACCOUNTS)]
    return in_context(slot, [_read(node, address, slot, config, "base64") for address in addresses])


def get_balance(node: Node, params: Params) -> dict[str, Any]:
    """Lamports."""
    slot = node.slot(params.config(1))
    account = node.chain.account(params.address(0), slot)
    return in_context(slot, account.lamports if account else 0)


def get_token_account_balance(node: Node, params: Params) -> dict[str, Any]:
    """What a token account holds."""
    slot = node.slot(params.config(1))
    account = node.chain.account(params.address(0), slot)
    if account is None:
        raise invalid("could not find account")
    held = read_token_account(account) if account.owner == TOKEN_PROGRAM else None
    decimals = decimals_of(node.chain.account(held.mint, slot)) if held else None
    if held is None or decimals is None:
        raise invalid("not a Token account")
    return in_context(slot, amount_json(held.amount, decimals))


def get_program_accounts(node: Node, params: Params) -> Any:
    """All accounts of a program that pass the filters."""
    config = params.config(1)
    slot = node.slot(config)
    encoding, part = config.choice("encoding", ACCOUNT_ENCODINGS, "base58"), config.slice()
    with_context = config.flag("withContext")
    tests = _filters(config)
    found = [
        {"pubkey": str(address), "account": account_json(account, encoding, part)}
        for address, account in node.chain.owned(params.address(0), slot)
        if all(test(account) for test in tests)
    ]
    return in_context(slot, found) if with_context else found


def _filters(config: Config) -> list[Callable[[Account], bool]]:
    wanted = config.values.get("filters")
    if wanted is None:
        return []
    if not isinstance(wanted, list) or not all(isinstance(each, dict) and len(each) == 1 for each in wanted):
        raise invalid("filters: expected a list of {dataSize: n} and {memcmp: {offset, bytes}}")
    if len(wanted) > MAX_FILTERS:
        raise invalid(f"Too many filters provided; max {MAX_FILTERS}")
    return [_filter(*next(iter(each.items()))) for each in wanted]


def _filter(kind: str, value: Any) -> Callable[[Account], bool]:
    if kind == "dataSize" and is_whole(value):
        return lambda account: len(account.data) == value
    if kind == "memcmp" and isinstance(value, dict) and is_whole(value.get("offset")):
        offset, wanted = value["offset"], _compared(value)
        return lambda account: account.data[offset : offset + len(wanted)] == wanted
    raise invalid(f"filter {kind!r:.40}: expected dataSize: n, or memcmp: {{offset, bytes}}")


def _compared(value: Mapping[str, Any]) -> bytes:
    given = value.get("bytes")
    try:
        if isinstance(given, list):
            wanted = bytes(given)
        elif isinstance(given, str) and len(given) <= MAX_MEMCMP_TEXT:
            wanted = DECODERS[Config(dict(value)).choice("encoding", tuple(DECODERS), "base58")](given)
        else:
            raise invalid(f"memcmp: expected bytes of at most {MAX_MEMCMP} bytes, in base58 or base64")
    except (ValueError, TypeError) as error:
        raise invalid(f"memcmp: bytes cannot be read: {error}") from None
    if len(wanted) > MAX_MEMCMP:
        raise invalid(f"memcmp: {len(wanted)} bytes, expected at most {MAX_MEMCMP}")
    return wanted


# -- transactions


def get_signature_statuses(node: Node, params: Params) -> dict[str, Any]:
    """How far transactions are; those of the last 150 slots, or all that are remembered."""
    slots, search = node.chain.slots, params.config(1).flag("searchTransactionHistory")
    found = [node.chain.landed.get(signature_of(text)) for text in params.items(0, "signatures", MAX_STATUSES)]
    seen = [each if each and (search or slots.processed - each.slot <= MAX_AGE) else None for each in found]
    return in_context(slots.processed, [_status(node, each) if each else None for each in seen])


def _status(node: Node, landed: Landed) -> dict[str, Any]:
    slots = node.chain.slots
    commitment = slots.commitment_of(landed.slot)
    return {
        "slot": landed.slot,
        "confirmations": None if commitment is Commitment.FINALIZED else slots.processed - landed.slot,
        "err": landed.failure,
        "status": status_json(landed),
        "confirmationStatus": commitment.value,
    }


def get_transaction(node: Node, params: Params) -> dict[str, Any] | None:
    """A transaction and how it ended; None where there is none at that commitment."""
    config = params.config(1)
    encoding = config.choice("encoding", TRANSACTION_ENCODINGS, "json")
    commitment = config.commitment()
    if commitment is Commitment.PROCESSED:
        raise invalid("Method does not support commitment below `confirmed`")
    most_version = config.number("maxSupportedTransactionVersion", 255)
    landed = node.chain.landed.get(signature_of(params.text(0, "signature")))
    if landed is None or landed.slot > node.chain.slots.at(commitment):
        return None
    return transaction_json(landed, encoding, most_version, lambda mint: _decimals(node, mint))


def _decimals(node: Node, mint: Pubkey) -> int:
    return decimals_of(node.chain.account(mint, node.chain.slots.processed)) or 0


METHODS: Final[Mapping[str, Method]] = {
    "getHealth": Method(lambda _node, _params: "ok", 0, 0),
    "getVersion": Method(get_version, 0, 0),
    "getGenesisHash": Method(get_genesis_hash, 0, 0),
    "getSlot": Method(get_slot, 0, 1),
    "getBlockHeight": Method(get_slot, 0, 1),
    "getEpochInfo": Method(get_epoch_info, 0, 1),
    "getLatestBlockhash": Method(get_latest_blockhash, 0, 1),
    "isBlockhashValid": Method(is_blockhash_valid, 1, 2),
    "getMinimumBalanceForRentExemption": Method(get_rent_exemption, 1, 2),
    "getFeeForMessage": Method(get_fee_for_message, 1, 2),
    "getAccountInfo": Method(get_account_info, 1, 2),
    "getMultipleAccounts": Method(get_multiple_accounts, 1, 2),
    "getProgramAccounts": Method(get_program_accounts, 1, 2),
    "getBalance": Method(get_balance, 1, 2),
    "getTokenAccountBalance": Method(get_token_account_balance, 1, 2),
    "sendTransaction": Method(send_transaction, 1, 2),
    "simulateTransaction": Method(simulate_transaction, 1, 2),
    "getSignatureStatuses": Method(get_signature_statuses, 1, 2),
    "getTransaction": Method(get_transaction, 1, 2),
    "requestAirdrop": Method(request_airdrop, 2, 3),
    "etp_faucet": Method(etp_faucet, 2, 2),
}
