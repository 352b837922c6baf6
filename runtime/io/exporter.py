"""The Prometheus exporter of a node: GET /metrics and /healthz over HTTP on the node's own loop, and nothing else.

It serves who may be hostile beside bids that may not wait, so everything is bounded: places, connections a second, bytes and
seconds of a request, and how often the metrics are put together. It says nothing of open lots; that it is read by nobody
else is still for its address (loopback, or a network of one's own) to see to.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, cast

import structlog

from etp.ids import Ids
from etp.io.clock import system_now
from runtime.exposition import CONTENT_TYPE
from runtime.histogram import Metrics
from runtime.io.journal import Journal
from runtime.node_metrics import Process, Readings, exposition
from runtime.settings import SettingsError, parse_address

MAX_REQUEST: Final = 8 * 1024
"""Bytes of request line and headers; Prometheus sends about 300."""
MAX_CONNECTIONS: Final = 16
"""At once. A Prometheus takes one; who waits for a place waits in the kernel, at no cost to the node."""
TIMEOUT_S: Final = 5.0
"""From the connection to the end of the answer, s: less than Prometheus' own 10, and a silent client keeps a place no longer."""
ACCEPT_INTERVAL_S: Final = 0.02
"""Between two connections, s: 50 a second cost about 1 % of one core, whatever is asked of them."""
FRESH_S: Final = 1.0
"""An exposition is given out again within this time, s: to put it together takes about a millisecond."""
BACKLOG: Final = 16
RETRY_S: Final = 1.0
"""After a connection could not be taken for want of a file descriptor, s."""
REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
HINT: Final = "GET /metrics or GET /healthz\n"
_PROC: Final = Path("/proc/self")
_STARTED_S: Final = time.time()
"""When this module came in, which is when the node starts; unix seconds."""


def process() -> Process:
    """What the kernel says of this process. Where there is no /proc, memory and files are 0."""
    times = os.times()
    try:
        resident = int((_PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        files = len(os.listdir(_PROC / "fd"))  # noqa: PTH208 - the names are not needed as paths
    except OSError:
        resident, files = 0, 0
    return Process(_STARTED_S, times.user + times.system, resident, files)


class Exporter:
    """Serves what `render` gives; `unhealthy` tells why the node does not serve, None where it does."""

    def __init__(self, sock: socket.socket, render: Callable[[], str], unhealthy: Callable[[], str | None]) -> None:
        self._socket, self._render, self._unhealthy = sock, render, unhealthy
        host, port = sock.getsockname()[:2]
        self.address = f"{host}:{port}"
        """HOST:PORT, with the real port."""
        self.connections: set[_Client] = set()
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._rendered = ""
        self._rendered_s = float("-inf")

    async def run(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._places.acquire()
                accepted = await self._accept(loop)
                await loop.connect_accepted_socket(lambda: _Client(self), accepted)
                await asyncio.sleep(ACCEPT_INTERVAL_S)
        finally:
            self._socket.close()
            for client in list(self.connections):
                client.abort()

    async def _accept(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                structlog.get_logger().warning("metrics_not_accepted", kind="exporter", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return accepted

    def left(self, client: "_Client") -> None:
        """A connection is over: its place is free."""
        self.connections.discard(client)
        self._places.release()

    def answer(self, head: bytes) -> bytes:
        """The whole answer to a request's head."""
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        target, _, version = rest.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not target.startswith(b"/"):
            return _response(400, HINT)
        path = target.partition(b"?")[0]
        if path not in (b"/metrics", b"/healthz"):
            return _response(404, HINT)
        if method != b"GET":
            return _response(405, HINT, "Allow: GET\r\n")
        if path == b"/metrics":
            return _response(200, self._fresh(), content_type=CONTENT_TYPE)
        reason = self._unhealthy()
        return _response(503, f"{reason}\n") if reason else _response(200, "ok\n")

    def _fresh(self) -> str:
        now_s = time.monotonic()
        if now_s - self._rendered_s >= FRESH_S:
            self._rendered, self._rendered_s = self._render(), now_s
        return self._rendered


def _response(status: int, body: str, headers: str = "", *, content_type: str = "text/plain; charset=utf-8") -> bytes:
    payload = body.encode()
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(payload)}\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n{headers}\r\n"
    )
    return head.encode() + payload


class _Client(asyncio.Protocol):
    """One connection: one request, one answer, the end."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._head = bytearray()
        self._answered = False
        self._transport: asyncio.Transport | None = None
        self._limit = asyncio.get_running_loop().call_later(TIMEOUT_S, self.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's, so this is a cast and not a check
        self._transport = cast("asyncio.Transport", transport)
        self._exporter.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._answered or self._transport is None:
            return  # what a client says beyond its request is not kept
        self._head += data[: MAX_REQUEST + 1 - len(self._head)]
        end = self._head.find(b"\r\n\r\n")
        if end >= 0:
            self._finish(self._exporter.answer(bytes(self._head[:end])))
        elif len(self._head) > MAX_REQUEST:
            self._finish(_response(431, f"at most {MAX_REQUEST} bytes\n"))

    def _finish(self, answer: bytes) -> None:
        assert self._transport is not None
        self._answered = True
        self._transport.write(answer)
        self._transport.close()  # once it is written; the time limit ends a reader that stalls

    def abort(self) -> None:
        """End it, whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._limit.cancel()
        self._exporter.left(self)


def open_exporter(
    address: str | None,
    *,
    about: Mapping[str, str],
    metrics: Metrics,
    journal: Journal,
    ids: Ids,
    view: Callable[[], Mapping[str, Any]],
    unhealthy: Callable[[], str | None],
) -> Exporter | None:
    """The exporter of a node, listening; None where none is wanted. Raises SettingsError, OSError."""
    if address is None:
        return None

    def render() -> str:
        behind_s = ids.behind_s(system_now().wall_us) or 0.0
        return exposition(Readings(about, metrics.snapshot(), view(), journal.fsync_ms.as_dict(), behind_s, process()))

    exporter = Exporter(_listening(address), render, unhealthy)
    if not ip_address(exporter.address.rpartition(":")[0]).is_loopback:
        structlog.get_logger().warning(
            "metrics_for_all", address=exporter.address, consequence="whoever reaches it reads them"
        )
    return exporter


def _listening(address: str) -> socket.socket:
    host, port = parse_address("metrics", address)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        right = f"cannot be listened on ({error.strerror}); expected a free port of an address of this machine"
        raise SettingsError("metrics", address, right) from error
    sock.setblocking(False)
    return sock
