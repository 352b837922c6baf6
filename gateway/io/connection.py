"""uvicorn's connections with bounds: for a request's head, for what a websocket may cut into pieces, for who does not read.

A websocket's connection also takes frames that are made already: `Line`. Server frames are unmasked, so the same bytes go to
all clients, and the transport's own buffer is each client's queue.
"""

import asyncio
import socket
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request

from gateway.headers import HEADERS, HSTS
from gateway.io.door import Door
from gateway.limits import Limits, Timing
from gateway.problem import ProblemError, body_of, headers_of

STREAM_PATH: Final = "/ws"
LINE: Final = "etp.line"
"""Key of the `Line` in a websocket's scope."""
TRANSPORT: Final = "etp.transport"
"""Key of the transport in a request's scope."""
GOING_AWAY: Final = 1001
POLICY: Final = 1008
_TEXT: Final = 0x81
_SHORT: Final = 126
_MEDIUM: Final = 1 << 16


def text_frame(text: bytes) -> bytes:
    """An unmasked, final text frame (RFC 6455 §5.2)."""
    size = len(text)
    if size < _SHORT:
        return bytes((_TEXT, size)) + text
    if size < _MEDIUM:
        return bytes((_TEXT, _SHORT)) + size.to_bytes(2, "big") + text
    return bytes((_TEXT, _SHORT + 1)) + size.to_bytes(8, "big") + text


def answer_of(problem: ProblemError, *, tls: bool) -> bytes:
    """A whole answer, the last of its connection, with the headers that every answer has."""
    body = body_of(problem)
    common = (*HEADERS, HSTS) if tls else HEADERS
    lines = [
        f"HTTP/1.1 {problem.status} {problem.title}",
        *(f"{name}: {value}" for name, value in headers_of(problem).items()),
        *(f"{name.decode()}: {value.decode()}" for name, value in common),
    ]
    head = "\r\n".join([*lines, f"content-length: {len(body)}", "connection: close", "", ""])
    return head.encode("latin-1") + body


def _left(connection: "Requests | Websocket") -> None:
    """It is gone, and its place free."""
    if connection.door is not None and connection.client is not None:
        connection.door.left(connection.client)


class Requests(HttpToolsProtocol):
    """A connection of requests. A head that takes too long or is too large ends it."""

    limits: Limits
    timing: Timing
    door: Door | None = None
    """Where it came in; None: nowhere is counted."""
    _deadline: asyncio.TimerHandle | None = None
    _head = 0
    _trailer = 0
    _rest = 0
    _in_head = True
    _in_rest = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn has it so
        """A connection more; one too many is told so."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self.refuse(503, f"{self.limits.connections} connections are open already: try again later")
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._waited()
        super().connection_lost(exc)
        _left(self)

    def data_received(self, data: bytes) -> None:
        """Bytes."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head += len(data)
        elif self._in_rest:
            self._rest += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head > self.limits.head_bytes:
            self._too_large()
        elif self._in_rest and self._rest > self.limits.rest_bytes:
            self.refuse(413, f"a request's body, as it comes, is larger than {self.limits.rest_bytes} bytes")

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self.scope[TRANSPORT] = self.transport  # type: ignore[typeddict-unknown-key]
        self._trailer = 0
        if not self._in_head:
            self._in_head, self._head = True, 0
            self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. What comes after a body is none: it is dropped, since nobody judged it, and bounded like a head."""
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailer += len(name) + len(value) + 4
        if self._trailer > self.limits.head_bytes and not self.transport.is_closing():
            self._too_large()

    def on_headers_complete(self) -> None:
        """A request's head is whole."""
        self._in_head, self._in_rest, self._rest = False, True, 0
        self._waited()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.head_bytes or len(self.headers) > self.limits.headers:
            self._too_large()
        elif not self.transport.is_closing():
            super().on_headers_complete()
            if len(self.pipeline) > self.limits.pipelined:  # what we said now would be taken for another's answer
                self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """A part of a body; of a request that was refused it is nobody's."""
        if self.cycle is not None and not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._in_rest = False
        if self.cycle is not None and not self.transport.is_closing():
            super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """It is a websocket's from now on."""
        if self.door is not None and self.client is not None:
            self.door.known(self.client)
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self.refuse(400, f"{msg} Expected HTTP/1.1.")

    def refuse(self, status: int, detail: str) -> None:
        """Say why, and close: nothing that follows is read."""
        self.transport.write(answer_of(ProblemError(status, detail), tls=self.scheme == "https"))
        self.transport.close()
        self._waited()
        self.loop.call_later(self.timing.farewell_s, self.transport.abort)

    def _too_large(self) -> None:
        bounds = f"{self.limits.head_bytes} bytes and {self.limits.headers} headers"
        self.refuse(431, f"the request's head is too large: expected at most {bounds}")

    def _wait(self) -> None:
        self._waited()
        self._deadline = self.loop.call_later(self.timing.head_s, self.transport.abort)

    def _waited(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Websocket(WebSocketsSansIOProtocol):
    """A websocket's connection, and a `Line` for frames that are made already."""

    limits: Limits
    timing: Timing
    door: Door | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._ended = False

    def handle_connect(self, event: Request) -> None:
        """The handshake: the stream's clients send little."""
        if unquote(event.path.partition("?")[0]) == STREAM_PATH:
            self.conn.max_size = self.limits.message_bytes
        try:
            is_handshake = self.conn.accept(event).status_code == HTTPStatus.SWITCHING_PROTOCOLS
        except UnicodeError:  # its refusal repeats what was sent, and that may be no text
            is_handshake = False
        if not is_handshake:
            self._refuse()
            return
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            cast("dict[str, Any]", self.scope)[LINE] = self

    def _refuse(self) -> None:
        """That is no handshake (RFC 6455 §4.2.1). What was sent is not repeated."""
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        detail = "that is no websocket's handshake; expected RFC 6455, version 13"
        self.transport.write(answer_of(ProblemError(400, detail), tls=self.scheme == "wss"))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes; after a peer's mistake they are read and dropped, so that our last word is not lost in a reset."""
        if not self._ended:
            super().data_received(data)

    def handle_cont(self, event: Frame) -> None:
        """A piece of a message."""
        if len(self.frames) >= self.limits.fragments:
            self.conn.fail(POLICY, f"more than {self.limits.fragments} pieces of one message")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Is answered, unless nobody reads the answers."""
        if self.waiting() > self.limits.waiting_bytes:
            self.transport.abort()
            return
        super().handle_ping()

    def handle_parser_exception(self) -> None:
        """A peer's mistake: it is told, and gets a moment to hear it."""
        if self._ended:
            return
        self._ended = True
        sent = self.conn.close_sent
        code, reason = (sent.code, sent.reason) if sent is not None else (POLICY, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
        self._farewell()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        super().connection_lost(exc)
        _left(self)

    def eof_received(self) -> None:
        """The peer sends nothing more."""
        self.transport.close()

    def keepalive_timeout(self) -> None:
        """Nobody is there: what waits for the peer is dropped."""
        super().keepalive_timeout()
        self.loop.call_later(self.timing.farewell_s, self.transport.abort)

    def shutdown(self) -> None:
        """The gateway stops."""
        if self.transport.is_closing():  # uvloop writes to none that is closed
            return
        if self.handshake_complete:
            self.end(GOING_AWAY, "the gateway stops")
        else:
            super().shutdown()

    # -- as a Line

    def narrow(self) -> None:
        """Keep the kernel's buffer small, so that a client that does not read is known as one."""
        found = self.transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.socket_bytes)

    def waiting(self) -> int:
        """Bytes that the peer did not take yet."""
        return self.transport.get_write_buffer_size()

    def write(self, frame: bytes) -> None:
        """A whole frame, as it goes over the wire."""
        if self.handshake_complete and not (self.close_sent or self._ended or self.transport.is_closing()):
            self.transport.write(frame)

    def end(self, code: int, reason: str) -> None:
        """Close: the peer has a moment to agree, then the connection is cut."""
        if self.close_sent or self._ended or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._farewell()

    def _farewell(self) -> None:
        self.stop_keepalive()
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.timing.farewell_s, self.transport.abort)
