"""Accounts and transactions as JSON, in the encodings that Solana's clients ask for; transactions out of their text."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final

import based58
from solders.account import Account
from solders.instruction import CompiledInstruction
from solders.message import Message, MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token import ID as TOKEN_PROGRAM
from solders.transaction import SanitizeError, VersionedTransaction
from solders.transaction_metadata import InnerInstruction, TransactionMetadata

from contracts.devnet.chain import Landed, is_writable
from contracts.devnet.errors import UNSUPPORTED_VERSION, RpcError, invalid
from contracts.devnet.params import DECODERS
from contracts.devnet.tokens import TokenBalance, amount_json

Json = dict[str, Any]
PACKET_SIZE: Final = 1232
"""Bytes of the longest transaction (Solana: PACKET_DATA_SIZE)."""
LONGEST: Final = {"base58": 1683, "base64": 1644}
"""Characters of its text."""
MAX_BASE58_DATA: Final = 128
"""Bytes of account data that a node gives in base58."""
ZSTD_MAGIC: Final = bytes.fromhex("28b52ffd")
ZSTD_SINGLE_SEGMENT_U32: Final = b"\xa0"
ZSTD_MAX_BLOCK: Final = 128 * 1024
TOKEN_PROGRAM_TEXT: Final = str(TOKEN_PROGRAM)
ACCOUNT_ENCODINGS: Final = ("base58", "base64", "base64+zstd", "jsonParsed")
TRANSACTION_ENCODINGS: Final = ("json", "jsonParsed", "base58", "base64")


def base58(data: bytes) -> str:
    """Bytes in base58."""
    return bytes(based58.b58encode(data)).decode()


def base64(data: bytes) -> str:
    """Bytes in base64."""
    return b64encode(data).decode()


def zstd_frame(data: bytes) -> bytes:
    """Bytes as a Zstandard frame of raw blocks (RFC 8878 §3.1.1): for clients that ask for it, without its library."""
    frame = [ZSTD_MAGIC, ZSTD_SINGLE_SEGMENT_U32, len(data).to_bytes(4, "little")]
    for begin in range(0, max(1, len(data)), ZSTD_MAX_BLOCK):
        block = data[begin : begin + ZSTD_MAX_BLOCK]
        last = begin + ZSTD_MAX_BLOCK >= len(data)
        frame += [(len(block) << 3 | last).to_bytes(3, "little"), block]
    return b"".join(frame)


# -- accounts


def account_json(account: Account, encoding: str, part: tuple[int, int] | None = None) -> Json:
    """An account. `jsonParsed` is given in base64, as a node does where it has no parser. Raises RpcError."""
    data = account.data if part is None else account.data[part[0] : part[0] + part[1]]
    if encoding == "base58" and len(data) > MAX_BASE58_DATA:
        raise invalid(f"Encoded binary (base 58) data should be less than {MAX_BASE58_DATA} bytes, please use Base64")
    encoded = {
        "base58": lambda: [base58(data), "base58"],
        "base64+zstd": lambda: [base64(zstd_frame(data)), "base64+zstd"],
    }.get(encoding, lambda: [base64(data), "base64"])()
    return {
        "data": encoded,
        "executable": account.executable,
        "lamports": account.lamports,
        "owner": str(account.owner),
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
    }


# -- transactions


def read_transaction(text: str, encoding: str) -> VersionedTransaction:
    """A transaction that can be judged: decoded, whole, without lookup tables. Raises RpcError."""
    return _checked("transaction", VersionedTransaction.from_bytes, _decoded(text, encoding))


def read_message(text: str) -> Message | MessageV0:
    """A message in base64, judged like a transaction. Raises RpcError."""
    return _checked("message", _unsigned, _decoded(text, "base64")).message


def _unsigned(raw: bytes) -> VersionedTransaction:
    message = from_bytes_versioned(raw)
    return VersionedTransaction.populate(message, [Signature.default()] * message.header.num_required_signatures)


def _decoded(text: str, encoding: str) -> bytes:
    if len(text) > LONGEST[encoding]:
        sizes = f"{len(text)} bytes (max: encoded/raw {LONGEST[encoding]}/{PACKET_SIZE})"
        raise invalid(f"{encoding} encoded transaction too large: {sizes}")
    try:
        raw = DECODERS[encoding](text)
    except ValueError as error:
        raise invalid(f"invalid {encoding} encoding: {error}") from None
    if len(raw) > PACKET_SIZE:
        raise invalid(f"decoded transaction too large: {len(raw)} bytes (max: {PACKET_SIZE} bytes)")
    return raw


def _checked(what: str, read: Callable[[bytes], VersionedTransaction], raw: bytes) -> VersionedTransaction:
    try:
        transaction = read(raw)
        transaction.sanitize()
    except (ValueError, SanitizeError) as error:
        raise invalid(f"invalid {what}: {error}") from None
    if isinstance(transaction.message, MessageV0) and transaction.message.address_table_lookups:
        raise invalid(f"invalid {what}: address lookup tables are not offered here; name all accounts in it")
    return transaction


def has_valid_signatures(transaction: VersionedTransaction) -> bool:
    """Whether every signature that is needed is there and right."""
    return all(transaction.verify_with_results())


def transaction_json(
    landed: Landed, encoding: str, most_version: int | None, decimals: Callable[[Pubkey], int]
) -> Json:
    """What getTransaction answers. `decimals` of a mint. Raises RpcError where the caller does not know the version."""
    transaction = landed.transaction
    versioned = isinstance(transaction.message, MessageV0)
    if versioned and most_version is None:
        raise RpcError(
            UNSUPPORTED_VERSION,
            "Transaction version (0) is not supported by the requesting client. Please try the request again with the"
            ' following configuration parameter: "maxSupportedTransactionVersion": 0',
        )
    version = {} if most_version is None else {"version": 0 if versioned else "legacy"}
    return {
        "slot": landed.slot,
        "blockTime": landed.time_s,
        "meta": meta_json(landed, parsed=encoding == "jsonParsed", decimals=decimals),
        "transaction": _encoded(transaction, encoding),
        **version,
    }


def _encoded(transaction: VersionedTransaction, encoding: str) -> Any:
    if encoding == "base64":
        return [base64(bytes(transaction)), "base64"]
    if encoding == "base58":
        return [base58(bytes(transaction)), "base58"]
    message = _parsed_message if encoding == "jsonParsed" else _raw_message
    return {"signatures": [str(each) for each in transaction.signatures], "message": message(transaction.message)}


def _raw_message(message: Message | MessageV0) -> Json:
    header = message.header
    return {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [instruction_json(each) for each in message.instructions],
        **({"addressTableLookups": []} if isinstance(message, MessageV0) else {}),
    }


def _parsed_message(message: Message | MessageV0) -> Json:
    keys = message.account_keys
    return {
        "accountKeys": [
            {
                "pubkey": str(key),
                "signer": message.is_signer(index),
                "writable": is_writable(message, index),
                "source": "transaction",
            }
            for index, key in enumerate(keys)
        ],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [_part_parsed(each, keys) for each in message.instructions],
        **({"addressTableLookups": []} if isinstance(message, MessageV0) else {}),
    }


def instruction_json(instruction: CompiledInstruction, height: int | None = None) -> Json:
    """An instruction by the indices of its accounts."""
    return {
        "programIdIndex": instruction.program_id_index,
        "accounts": list(instruction.accounts),
        "data": base58(instruction.data),
        "stackHeight": height,
    }


def _part_parsed(instruction: CompiledInstruction, keys: Sequence[Pubkey], height: int | None = None) -> Json:
    """By addresses; no data is parsed, as a node does for programs that it does not know."""
    return {
        "programId": str(keys[instruction.program_id_index]),
        "accounts": [str(keys[index]) for index in instruction.accounts],
        "data": base58(instruction.data),
        "stackHeight": height,
    }


def return_data_json(meta: TransactionMetadata) -> Json | None:
    """What the last program returned, None where it returned nothing."""
    returned = meta.return_data()  # type: ignore[attr-defined] # the stubs have it by another name
    if not returned.data:
        return None
    return {"programId": str(returned.program_id), "data": [base64(returned.data), "base64"]}


def inner_json(meta: TransactionMetadata, keys: Sequence[Pubkey] | None = None) -> list[Json]:
    """The instructions that programs called, of each instruction that called any; by addresses where `keys` are given."""
    return [
        {"index": index, "instructions": [_inner(step, keys) for step in steps]}
        for index, steps in enumerate(meta.inner_instructions())
        if steps
    ]


def _inner(step: InnerInstruction, keys: Sequence[Pubkey] | None) -> Json:
    instruction, height = step.instruction(), step.stack_height()  # type: ignore[attr-defined] # the stubs lack it
    return instruction_json(instruction, height) if keys is None else _part_parsed(instruction, keys, height)


def meta_json(landed: Landed, *, parsed: bool, decimals: Callable[[Pubkey], int]) -> Json:
    """How a transaction ended."""
    returned = return_data_json(landed.meta)
    return {
        "err": landed.failure,
        "status": status_json(landed),
        "fee": landed.fee,
        "preBalances": landed.balances[0],
        "postBalances": landed.balances[1],
        "innerInstructions": inner_json(landed.meta, landed.transaction.message.account_keys if parsed else None),
        "logMessages": landed.meta.logs(),
        "preTokenBalances": [_token_json(each, decimals) for each in landed.tokens[0]],
        "postTokenBalances": [_token_json(each, decimals) for each in landed.tokens[1]],
        "rewards": [],
        "loadedAddresses": {"writable": [], "readonly": []},
        "computeUnitsConsumed": landed.meta.compute_units_consumed(),
        **({"returnData": returned} if returned else {}),
    }


def _token_json(balance: TokenBalance, decimals: Callable[[Pubkey], int]) -> Json:
    return {
        "accountIndex": balance.place,
        "mint": str(balance.mint),
        "owner": str(balance.owner),
        "programId": TOKEN_PROGRAM_TEXT,
        "uiTokenAmount": amount_json(balance.amount, decimals(balance.mint)),
    }


def status_json(landed: Landed) -> Json:
    """The old form of a transaction's end, which some clients still read."""
    return {"Ok": None} if landed.failure is None else {"Err": landed.failure}
