"""HTTP around a bank: one ASGI function on uvicorn, and the bounds that keep a bad client from hurting others."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

import msgspec
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from contracts.devnet.bank import Bank, refusal
from contracts.devnet.errors import PARSE_ERROR
from contracts.devnet.io.store import Store
from etp.io.clock import system_now

MAX_BODY: Final = 1024 * 1024
"""A batch of 256 transactions is about 500 KB."""
MAX_HEAD: Final = 16 * 1024
"""Bytes of a request's head: what no client needs."""
REQUEST_S: Final = 10.0
"""From a connection, or the first byte of its next request, to the end of the request."""
KEEP_ALIVE_S: Final = 75
"""An idle connection is kept so long: longer than the 60 s after which clients stop to use one."""
MAX_CONNECTIONS: Final = 512
GRACE_S: Final = 2
"""Answers that are under way at SIGTERM get so long."""
JSON_HEADERS: Final = [(b"content-type", b"application/json")]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class App:
    """The ASGI application: a POST to / is JSON-RPC, a GET of /health says ok."""

    def __init__(self, bank: Bank, store: Store) -> None:
        self._bank, self._store = bank, store
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        try:
            status, body = await self._answer(scope, receive)
        except ConnectionAbortedError:
            return
        headers = [*JSON_HEADERS, (b"content-length", b"%d" % len(body))]
        if status not in (200, 404):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        headers = dict(scope["headers"])
        if (scope["method"], scope["path"]) == ("GET", "/health"):
            return 200, b'"ok"'
        if scope["path"] != "/":
            return 404, b'"there is only /, for JSON-RPC by POST, and /health"'
        if scope["method"] != "POST":
            return 405, b'"JSON-RPC is by POST"'
        if not _is_json(headers):
            # Also against web pages: a browser asks first before it sends JSON elsewhere, and is never told yes.
            return 415, b'"expected content-type application/json"'
        body = await _body(headers, receive)
        if body is None:
            return 413, b'"a request has at most %d bytes"' % MAX_BODY
        return 200, await self._respond(body)

    async def _respond(self, body: bytes) -> bytes:
        try:
            request = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return msgspec.json.encode(refusal(None, PARSE_ERROR, "Parse error"))
        try:
            answer = self._bank.handle(request, system_now())
        finally:  # what has happened is kept, even if a bug of ours spoils the answer
            self._store.append(self._bank.take_records())
        await self._store.durable()
        return b"" if answer is None else msgspec.json.encode(answer)


def _is_json(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-type", b"").split(b";")[0].strip().lower() == b"application/json"


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes | None:
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > MAX_BODY:
        return None
    parts, size, more = [], 0, True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            raise ConnectionAbortedError  # half a request is none
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        more = event.get("more_body", False)
    return b"".join(parts)


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which waits for requests without end, with a deadline and a bound for the head."""

    _deadline: asyncio.TimerHandle | None = None
    _head = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn has it so
        """A connection more; one too many is not served."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._waited()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes; the head of a request may not go on for ever."""
        super().data_received(data)
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > MAX_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._wait()

    def on_headers_complete(self) -> None:
        """A request's head is whole."""
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        """A request is whole."""
        super().on_message_complete()
        self._waited()

    def _wait(self) -> None:
        self._waited()
        self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _waited(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """uvicorn, whose signals are our lifecycle's, and which says when it listens."""

    def __init__(self, app: App) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None."""
        yield

    async def startup(self, sockets: Any = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self.listening.set()
