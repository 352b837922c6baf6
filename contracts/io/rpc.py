"""One RPC of a chain by solana-py's client: requests and answers as values, every failure as RpcFailure.

The words of a failure never hold the URL: it may carry an operator's secret. `Rpc.name` is what is shown.
"""

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
from solders.rpc.config import RpcSendTransactionConfig, RpcSignatureStatusConfig
from solders.rpc.requests import Body, GetLatestBlockhash, GetSignatureStatuses, SendRawTransaction
from solders.signature import Signature

from contracts import json_rpc
from contracts.json_rpc import Fault, FaultError, InContext
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
FINAL: Final = "finalized"
"""What a node calls a transaction that stays."""
PANIC: Final = "PanicException"
"""What a panic of solders raises: a BaseException that cannot be imported."""
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


EMPTY: Final = httpx.ByteStream(b"")
UNREADABLE: Final = RpcFailure("unreadable", "answered what is no answer of Solana's JSON-RPC")


class _Provider(AsyncHTTPProvider):
    """solana-py's, but that an answer is judged before solders reads it."""

    async def make_request_unparsed(self, body: Body) -> str:
        """The text of an answer that solders can read. Raises FaultError, UnreadableError, httpx.HTTPError."""
        answer = await self.post(self._before_request(body))
        judge = json_rpc.check_blockhash if isinstance(body, GetLatestBlockhash) else json_rpc.check
        judge(answer)
        return answer.decode()

    async def ask(self, body: Body) -> bytes:
        """What the node answers to one request. Raises httpx.HTTPError."""
        return await self.post(self._before_request(body))

    async def ask_many(self, bodies: tuple[Body, ...]) -> bytes:
        """What the node answers to several at once. Raises httpx.HTTPError."""
        return await self.post(self._before_batch_request(bodies))

    async def post(self, request: dict[str, Any]) -> bytes:
        """The bytes as they came: a node may name any charset for its text, also one that is none."""
        answered = await self.session.post(**request)
        # An answer and its stream name each other, 41 objects and 14 kB that only the cycle collector would find, some day.
        answered.stream = EMPTY
        answered.raise_for_status()
        return answered.content


class _Client(AsyncClient):
    """solana-py's, over our provider."""

    def __init__(self, provider: _Provider) -> None:
        super().__init__(provider.endpoint_uri, commitment=Finalized)
        self._provider = provider


class Rpc:
    """See the module. Raises SettingsError for what is no URL."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.name = shown(url)
        self._provider = _Provider(url, timeout=timeout_s)
        self.client: AsyncClient = _Client(self._provider)
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
        await self._provider.close()

    async def ask(self, request: Request) -> Answer | RpcFailure:
        """The answer, or why there is none. Raises nothing that an RPC could cause."""
        try:
            return await self._table[type(request)](request)
        except SolanaRpcException as error:
            return _http_failure(error.__cause__)
        except httpx.HTTPError as error:
            return _http_failure(error)
        except FaultError as error:
            return _refusal(error.fault)
        except (RPCException, RPCNoResultException, SerdeJSONError, ValueError, TypeError, AttributeError):
            return UNREADABLE
        except BaseException as error:
            if type(error).__name__ != PANIC:
                raise
            return UNREADABLE  # a belt: what is known to make solders panic never reaches it

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
        answered = await self._provider.ask(SendRawTransaction(raw, _SEND))
        return _sending(json_rpc.read(answered, json_rpc.Answer[str]))

    async def _send_many(self, raws: tuple[bytes, ...]) -> Sendings:
        """One HTTP request for many: it costs more than a transaction. Raises _NoBatch where the node takes one at a time."""
        bodies = tuple(SendRawTransaction(raw, _SEND, number) for number, raw in enumerate(raws))
        answers = json_rpc.read_many(await self._provider.ask_many(bodies))
        if answers is None:
            raise _NoBatch
        by_number = {answer.id: _sending(answer) for answer in answers if isinstance(answer.id, int)}
        return Sendings(tuple(by_number.get(number) for number in range(len(raws))))

    async def _statuses(self, request: GetStatuses) -> Statuses:
        """Read here, not by solders: that knows the runtime's errors of its own day only."""
        signatures = [Signature(signature) for signature in request.signatures]
        asked = GetSignatureStatuses(signatures, RpcSignatureStatusConfig(request.search_history))
        answer = json_rpc.read(
            await self._provider.ask(asked), json_rpc.Answer[InContext[list[json_rpc.Status | None]]]
        )
        found = json_rpc.result_of(answer).value
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


def _sending(answer: json_rpc.Answer[str]) -> Sent | Refused:
    """What an RPC says to sendTransaction. Raises FaultError where it refused the request, UnreadableError."""
    refused = None if answer.error is None else json_rpc.refusal_in(answer.error)
    if refused is not None:
        return refused
    return Sent(bytes(Signature.from_string(json_rpc.result_of(answer))))


def _as_many(found: Sequence[object], asked: Sequence[object]) -> None:
    if len(found) != len(asked):
        raise ValueError(f"{len(found)} answers to {len(asked)} questions")


def _account(account: SoldersAccount) -> Account:
    return Account(account.owner, account.lamports, bytes(account.data), account.executable)


def _status(status: json_rpc.Status) -> SignatureStatus:
    error = None if status.err is None else json_rpc.refused_of(status.err)
    return SignatureStatus(status.confirmation_status == FINAL, error)


def _http_failure(cause: BaseException | None) -> RpcFailure:
    if isinstance(cause, httpx.TimeoutException):
        return RpcFailure("timeout", "did not answer in time")
    if isinstance(cause, httpx.HTTPStatusError):
        status = cause.response.status_code
        return RpcFailure("busy" if status in BUSY else "refused", f"answered with HTTP status {status}")
    return RpcFailure("unreachable", f"cannot be reached ({type(cause).__name__}); is it running, is the URL right?")


def _refusal(fault: Fault) -> RpcFailure:
    words = fault.message[: json_rpc.WORDS]
    if fault.code == json_rpc.UNHEALTHY:
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
