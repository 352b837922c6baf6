"""The outermost layer around every request and websocket: who asks by which name, bounds, and the headers of all answers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from email.utils import formatdate
from typing import Any, Final, TypeAlias

import structlog
from sqlalchemy.exc import SQLAlchemyError

from etp.clock import Now
from gateway.access import (
    SAFE_METHODS,
    Asker,
    asker,
    host_allowed,
    is_exposed,
    is_forwarded,
    is_loopback_address,
    is_proxy,
    names_a_secret,
    origin_allowed,
)
from gateway.headers import HEADERS, HSTS
from gateway.io.connection import TRANSPORT
from gateway.io.database import said
from gateway.limits import Limits, Timing
from gateway.problem import ProblemError, body_of, headers_of
from gateway.rates import Rates
from gateway.settings import GatewaySettings

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Asked by whatever watches processes, by whatever name and way."""
DATABASE_AWAY: Final = ProblemError(503, "the database does not answer now: try again later", retry_after_s=5)
CORS_METHODS: Final = b"GET, POST, DELETE"
CORS_HEADERS: Final = b"authorization, content-type"


class Guard:
    """An ASGI application around another."""

    def __init__(
        self, app: Application, settings: GatewaySettings, limits: Limits, timing: Timing, clock: Callable[[], Now]
    ) -> None:
        self._app, self._settings, self._limits, self._timing, self._clock = app, settings, limits, timing, clock
        self._rates = Rates(per_s=limits.requests_per_s, burst=limits.request_burst, most=limits.addresses)
        self._loopback = not is_exposed(settings)
        self._tls = settings.tls_cert is not None
        self.requests = self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or websocket."""
        headers = dict(scope["headers"])
        answer = _Answer(scope, send)
        try:
            self._judge(scope, headers, answer)
            if scope["type"] == "websocket":
                await self._app(scope, receive, answer)
                return
            self.requests += 1
            if _is_preflight(scope, headers):
                await answer.preflight()
                return
            receive = await self._body(scope, headers, receive)
            await self._timed(scope, receive, answer)
        except ProblemError as problem:
            self.refused += 1
            await answer.problem(problem)
        except Exception as error:
            if answer.started:
                raise
            structlog.get_logger().error(
                "request_failed", path=scope["path"], error=said(error), kind=type(error).__name__
            )
            await answer.problem(_failure(error))

    def _judge(self, scope: Scope, headers: dict[bytes, bytes], answer: "_Answer") -> None:
        answer.tls = self._tls
        peer = scope["client"][0] if scope.get("client") else ""
        is_probe = scope["path"] in PROBES
        try:
            asked = scope["etp.asker"] = asker(
                peer, tls=self._tls, headers=headers, proxies=self._settings.behind_proxy
            )
        except ValueError as error:
            if is_probe:
                return
            raise ProblemError(400, str(error)) from error
        if is_probe:
            return
        answer.tls = asked.scheme == "https"
        self._check_rate(asked)
        self._check_place(scope, headers, asked)
        self._check_origin(scope, headers, asked, answer)
        parameters = scope["query_string"].count(b"&") + 1
        if parameters > self._limits.parameters:
            raise ProblemError(400, f"the URL has {parameters} parameters: expected {self._limits.parameters} at most")
        secret = names_a_secret(scope["path"], scope["query_string"].decode("latin-1"))
        if secret is not None:
            raise ProblemError(
                400,
                f"the URL has {secret}: URLs are logged and shared, so take it as known and revoke it; send"
                " `Authorization: Bearer etp_KEYID_SECRET` instead",
            )

    def _check_rate(self, asked: Asker) -> None:
        """Before anything is looked at that a client may make as long as it likes."""
        if asked.is_local:  # who is on this machine needs no gateway to keep it busy
            return
        wait_s = self._rates.refused_s(asked.network, self._clock().monotonic_s)
        if wait_s is not None:
            right = f"at most {self._limits.requests_per_s:g} requests per second of one client are answered"
            raise ProblemError(429, right, retry_after_s=wait_s)

    def _check_place(self, scope: Scope, headers: dict[bytes, bytes], asked: Asker) -> None:
        if sum(name == b"host" for name, _ in scope["headers"]) != 1:
            raise ProblemError(400, "expected one Host header")
        peer, own = (scope[end][0] if scope.get(end) else "" for end in ("client", "server"))
        proxied = is_proxy(peer, self._settings.behind_proxy)
        if self._loopback and not proxied and is_forwarded(headers):
            raise ProblemError(403, "a proxy is in front of this gateway: tell it so by --behind-proxy ADDRESS")
        from_here = is_loopback_address(peer) and not proxied
        origins = self._settings.origins
        if not host_allowed(asked.host, loopback=self._loopback, origins=origins, from_here=from_here, own=own):
            right = "127.0.0.1 or localhost" if self._loopback else "its own address"
            raise ProblemError(
                421,
                f"host is {asked.host[:100]!r}: this gateway answers to {right}; other names are given by --origins, and"
                " a proxy in front by --behind-proxy",
            )
        direct = asked.scheme == "http" and not asked.is_local
        if self._settings.behind_proxy and direct:
            raise ProblemError(403, "this way is not encrypted: ask the proxy in front of this gateway, by https")
        if b"transfer-encoding" in headers and b"content-length" in headers:
            raise ProblemError(400, "expected Content-Length or Transfer-Encoding, not both")

    def _check_origin(self, scope: Scope, headers: dict[bytes, bytes], asked: Asker, answer: "_Answer") -> None:
        origin = headers.get(b"origin")
        if origin is None:
            return
        text = origin.decode("latin-1")
        allowed = origin_allowed(text, asked, self._settings.origins)
        if allowed and text.lower() != asked.own_origin:
            answer.cors = origin
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if not allowed and changes:
            raise ProblemError(
                403,
                f"origin is {text[:100]!r}: only pages of {asked.own_origin} may do this; others are given by --origins",
            )

    async def _body(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """The whole body is here before anybody works on it. Probes, which no rate counts, have none."""
        most = self._limits.body_bytes if scope["path"] not in PROBES else 0
        length = headers.get(b"content-length", b"0")
        too_large = ProblemError(413, f"the body is larger than {most} bytes")
        if not length.isdigit():
            raise ProblemError(400, "Content-Length is no number")
        if int(length) > most:
            raise too_large
        parts, size, more = list[bytes](), 0, True
        try:
            async with asyncio.timeout(self._timing.request_s):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise ProblemError(400, "the request ended before its body did")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise too_large
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise ProblemError(408, f"the body did not come within {self._timing.request_s:g} s") from error
        return _replay(b"".join(parts), receive)

    async def _timed(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            async with asyncio.timeout(self._timing.request_s):
                await self._app(scope, receive, answer)
        except TimeoutError as error:
            if answer.started:  # somebody who does not read: what is left waits no longer
                scope[TRANSPORT].abort()
                return
            raise ProblemError(
                503, f"the answer took longer than {self._timing.request_s:g} s: ask for less", retry_after_s=5
            ) from error


class _Answer:
    """`send` with the headers that every answer has."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self.started = False
        self.tls = False
        self.cors: bytes | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.started = True
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.started = True
            given = list(message.get("headers", ()))
            if self.cors is not None:  # of a packed file it varies by what is accepted, too
                varies = [value for name, value in given if name == b"vary"]
                given = [pair for pair in given if pair[0] != b"vary"]
                given.append((b"vary", b", ".join([*varies, b"Origin"])))
            names = {name for name, _ in given}
            message["headers"] = [*given, *(pair for pair in self._common() if pair[0] not in names)]
        await self._send(message)

    def _common(self) -> Iterable[tuple[bytes, bytes]]:
        yield from HEADERS
        yield b"date", formatdate(usegmt=True).encode()
        if not self._scope["path"].startswith("/assets/"):
            yield b"cache-control", b"no-store"
        if self.tls:
            yield HSTS
        if self.cors is not None:
            yield b"access-control-allow-origin", self.cors
            yield b"access-control-allow-credentials", b"true"

    async def problem(self, problem: ProblemError) -> None:
        """An answer that says what is wrong."""
        if self.started:
            return
        body = body_of(problem, self._scope["path"])
        kind = "http" if self._scope["type"] == "http" else "websocket.http"
        headers = {**headers_of(problem), "content-length": str(len(body))}
        if problem.status in (408, 413):
            headers["connection"] = "close"
        pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self({"type": f"{kind}.response.start", "status": problem.status, "headers": pairs})
        if self._scope.get("method") == "HEAD":
            body = b""
        await self({"type": f"{kind}.response.body", "body": body})

    async def preflight(self) -> None:
        """What a page of another origin may ask."""
        headers = list[tuple[bytes, bytes]]()
        if self.cors is not None:
            headers = [
                (b"access-control-allow-methods", CORS_METHODS),
                (b"access-control-allow-headers", CORS_HEADERS),
                (b"access-control-max-age", b"600"),
            ]
        await self({"type": "http.response.start", "status": 204, "headers": headers})
        await self({"type": "http.response.body", "body": b""})


def _failure(error: Exception) -> ProblemError:
    if isinstance(error, SQLAlchemyError | OSError):  # asyncpg lets the system's own errors through
        return DATABASE_AWAY
    return ProblemError(500, "the gateway failed at this request: its log says how; please report it")


def _is_preflight(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    return scope["method"] == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body at once, then what really comes."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
