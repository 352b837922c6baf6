"""One RPC of a chain by solana-py's client: requests and answers as values, every failure as RpcFailure.

The words of a failure never hold the URL: it may carry an operator's secret. `Rpc.name` is what is shown.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized
from solana.rpc.core import RPCException, RPCNoResultException
from solana.rpc.providers.async_http import AsyncHTTPProvider
from solana.rpc.types import MemcmpOpts
from solders.account import Account as SoldersAccount
from solders.commitment_config import CommitmentLevel
from solders.errors import SerdeJSONError
from solders.rpc.config import RpcSendTransactionConfig
from solders.rpc.errors import NodeUnhealthyMessage, SendTransactionPreflightFailureMessage
from solders.rpc.requests import SendRawTransaction
from solders.rpc.responses import SendTransactionResp
from solders.signature import Signature
from solders.transaction_status import (
    InstructionErrorCustom,
    TransactionConfirmationStatus,
    TransactionErrorInstructionError,
)

from contracts.program_errors import CUSTOM
from contracts.rpc import (
    Account,
    Accounts,
    Answer,
    Blockhash,
    GetAccounts,
    GetBlockhash,
    GetGenesis,
    GetHeight,
    GetStatuses,
    GetTrades,
    Refused,
    Request,
    RpcFailure,
    Sendings,
    SendTransactions,
    Sent,
    SignatureStatus,
    Statuses,
    TradeAccounts,
)
from runtime.settings import SettingsError

TIMEOUT_S: Final = 10.0
"""For one request, s: a node that takes longer is as good as down."""
BUSY: Final = frozenset({429, 503})
"""HTTP's "too many requests" and "unavailable"."""
WORDS: Final = 200
"""Characters of a node's message that are kept."""
_SEND: Final = RpcSendTransactionConfig(
    skip_preflight=False, preflight_commitment=CommitmentLevel.Confirmed, max_retries=0
)
"""We send again ourselves; a node need not."""


def shown(url: str) -> str:
    """An RPC's URL without what may be secret: no user, path or query. Raises SettingsError where it is no URL."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("rpc", "(not shown)", "expected a URL such as http://127.0.0.1:8899")
    return f"{parts.scheme}://{parts.hostname}{port}"


class Rpc:
    """See the module. Raises SettingsError for what is no URL."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.name = shown(url)
        self.client = AsyncClient(url, commitment=Finalized, timeout=timeout_s)
        self._provider = AsyncHTTPProvider(url, timeout=timeout_s)
        self._takes_many = True
        self._table: dict[type, Callable[[Any], Awaitable[Answer]]] = {
            GetGenesis: self._genesis,
            GetBlockhash: self._blockhash,
            GetHeight: self._height,
            SendTransactions: self._send,
            GetStatuses: self._statuses,
            GetAccounts: self._accounts,
            GetTrades: self._trades,
        }

    def __repr__(self) -> str:
        return f"Rpc({self.name})"

    async def close(self) -> None:
        """Let go of its connections."""
        await self.client.close()
        await self._provider.close()

    async def ask(self, request: Request) -> Answer | RpcFailure:
        """The answer, or why there is none. Raises nothing that an RPC could cause."""
        try:
            return await self._table[type(request)](request)
        except SolanaRpcException as error:
            return _http_failure(error.__cause__)
        except httpx.HTTPError as error:
            return _http_failure(error)
        except RPCException as error:
            return _refusal(error.args[0] if error.args else error)
        except (RPCNoResultException, SerdeJSONError, ValueError, TypeError, AttributeError):
            return RpcFailure("unreadable", "answered what is no answer of Solana's JSON-RPC")

    async def _genesis(self, _: GetGenesis) -> bytes:
        return bytes((await self.client.get_genesis_hash()).value)

    async def _blockhash(self, _: GetBlockhash) -> Blockhash:
        found = (await self.client.get_latest_blockhash(Confirmed)).value
        return Blockhash(bytes(found.blockhash), found.last_valid_block_height)

    async def _height(self, _: GetHeight) -> int:
        return (await self.client.get_block_height(Finalized)).value

    async def _send(self, request: SendTransactions) -> Sendings:
        if len(request.raws) > 1 and self._takes_many:
            try:
                return await self._send_many(request.raws)
            except _NoBatch:
                self._takes_many = False
        return Sendings(tuple([await self._send_one(raw) for raw in request.raws]))

    async def _send_one(self, raw: bytes) -> Sent | Refused:
        answered = await self._provider.make_request_unparsed(SendRawTransaction(raw, _SEND))
        found = _sending(answered)
        if found is None:
            raise ValueError("no answer to sendTransaction")
        return found

    async def _send_many(self, raws: tuple[bytes, ...]) -> Sendings:
        """One HTTP request for many: it costs more than a transaction. Raises _NoBatch where the node takes one at a time."""
        bodies = tuple(SendRawTransaction(raw, _SEND, number) for number, raw in enumerate(raws))
        answered = json.loads(await self._provider.make_batch_request_unparsed(bodies))
        if not isinstance(answered, list):
            raise _NoBatch
        by_number = {found.get("id"): json.dumps(found) for found in answered if isinstance(found, dict)}
        return Sendings(tuple(_sending(by_number.get(number)) for number in range(len(raws))))

    async def _statuses(self, request: GetStatuses) -> Statuses:
        signatures = [Signature(signature) for signature in request.signatures]
        found = (await self.client.get_signature_statuses(signatures, request.search_history)).value
        _as_many(found, signatures)
        return Statuses(tuple(None if status is None else _status(status) for status in found))

    async def _accounts(self, request: GetAccounts) -> Accounts:
        found = await self.client.get_multiple_accounts(list(request.addresses), Finalized)
        _as_many(found.value, request.addresses)
        accounts = tuple(None if account is None else _account(account) for account in found.value)
        return Accounts(found.context.slot, accounts)

    async def _trades(self, request: GetTrades) -> TradeAccounts:
        filters = [MemcmpOpts(offset, _base58(match)) for offset, match in request.matches]
        found = await self.client.get_program_accounts(
            request.program_id, commitment=Finalized, encoding="base64", filters=filters
        )
        return TradeAccounts(tuple((keyed.pubkey, keyed.account.data) for keyed in found.value))


class _NoBatch(Exception):
    """The node does not take several requests at once."""


def _sending(answered: str | None) -> Sent | Refused | None:
    """What an RPC says to sendTransaction; None where it gave no verdict. Raises RPCException where it refused the request."""
    if answered is None:
        return None
    found = SendTransactionResp.from_json(answered)
    if isinstance(found, SendTransactionResp):
        return Sent(bytes(found.value))
    if isinstance(found, SendTransactionPreflightFailureMessage) and found.data.err is not None:
        return refused_of(found.data.err, found.message)
    raise RPCException(found)


def _as_many(found: Sequence[object], asked: Sequence[object]) -> None:
    if len(found) != len(asked):
        raise ValueError(f"{len(found)} answers to {len(asked)} questions")


def _account(account: SoldersAccount) -> Account:
    return Account(account.owner, account.lamports, bytes(account.data), account.executable)


def _status(status: Any) -> SignatureStatus:
    finalized = status.confirmation_status == TransactionConfirmationStatus.Finalized
    return SignatureStatus(finalized, None if status.err is None else refused_of(status.err, ""))


def refused_of(error: Any, words: str) -> Refused:
    """A TransactionError of solders as a value: the runtime's name for it, and the program's code where that refused."""
    if isinstance(error, TransactionErrorInstructionError):
        if isinstance(error.err, InstructionErrorCustom):
            return Refused(CUSTOM, error.err.code, words[:WORDS])
        error = error.err
    name = str(error).rpartition(".")[2] if "." in str(error) else type(error).__name__
    return Refused(name.removeprefix("TransactionError").removeprefix("InstructionError"), None, words[:WORDS])


def _http_failure(cause: BaseException | None) -> RpcFailure:
    if isinstance(cause, httpx.TimeoutException):
        return RpcFailure("timeout", "did not answer in time")
    if isinstance(cause, httpx.HTTPStatusError):
        status = cause.response.status_code
        return RpcFailure("busy" if status in BUSY else "refused", f"answered with HTTP status {status}")
    return RpcFailure("unreachable", f"cannot be reached ({type(cause).__name__}); is it running, is the URL right?")


def _refusal(message: Any) -> RpcFailure:
    words = str(getattr(message, "message", message))[:WORDS]
    if isinstance(message, NodeUnhealthyMessage):
        return RpcFailure("busy", f"is not healthy: {words}")
    return RpcFailure("refused", f"refused the request: {words}")


def _base58(data: bytes) -> str:
    """Base58 of any bytes (Bitcoin's alphabet), as getProgramAccounts takes them; solders has it for 32 and 64 bytes only."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text
