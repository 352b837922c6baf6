"""uvicorn around the gateway's application: one socket, our connections, our signals."""

import asyncio
import logging
import os
import socket
import ssl
from functools import partial
from typing import Any

import structlog
import uvicorn

from gateway.io.connection import Requests, Websocket
from gateway.io.door import Door
from gateway.limits import Limits, Timing
from gateway.settings import GatewaySettings
from runtime.feed.wire import MAX_MESSAGE
from runtime.settings import SettingsError

BACKLOG = 2_048
LONGEST_LINE = 200


def listener(settings: GatewaySettings, address: tuple[str, int]) -> socket.socket:
    """The socket. Raises SettingsError where the address cannot be had."""
    try:
        return socket.create_server(address, backlog=BACKLOG)
    except OSError as error:
        right = f"cannot be listened at: {os.strerror(error.errno or 0)}; port 0 picks a free one"
        raise SettingsError("listen", settings.listen, right) from error


class _Said(logging.Handler):
    """What uvicorn says goes into our log, where a line that repeats comes once a minute: strangers make it say one at will."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        structlog.get_logger().log(
            record.levelno,
            "http_server",
            kind=str(record.msg)[:LONGEST_LINE],
            message=record.getMessage()[:LONGEST_LINE],
            exc_info=record.exc_info,
        )


class Server(uvicorn.Server):
    """One gateway's server. uvicorn's own loop of signals and ticks is not used."""

    def __init__(self, app: Any, settings: GatewaySettings, limits: Limits, timing: Timing) -> None:
        """Raises SettingsError where certificate and key cannot be used."""
        bounds = {"limits": limits, "timing": timing}
        self._limits, self._timing, self._proxies = limits, timing, tuple(settings.behind_proxy)
        self._websockets: Any = type("Websocket", (Websocket,), bounds)
        config = uvicorn.Config(
            app,
            http=type("Requests", (Requests,), bounds),
            ws=self._websockets,
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            ws_max_size=MAX_MESSAGE,
            ws_ping_interval=timing.ping_s,
            ws_ping_timeout=timing.ping_s,
            ws_per_message_deflate=False,
            timeout_keep_alive=timing.keep_alive_s,
            timeout_graceful_shutdown=timing.grace_s,
            backlog=BACKLOG,
        )
        config.load()
        said = logging.getLogger("uvicorn")
        said.handlers, said.propagate = [_Said()], False
        config.ssl = tls(settings)
        super().__init__(config)
        self.lifespan = config.lifespan_class(config)

    async def start(self, listening: socket.socket) -> None:
        """Serve from now on: through a door of our own, and with a handshake that must be as quick as a head."""
        config, timing, loop = self.config, self._timing, asyncio.get_running_loop()
        begin_s, end_s = (timing.head_s, timing.farewell_s) if config.ssl else (None, None)
        protocol: Any = config.http_protocol_class

        async def serve(found: socket.socket) -> None:
            await loop.connect_accepted_socket(
                partial(protocol, config, self.server_state, self.lifespan.state),
                found,
                ssl=config.ssl,
                ssl_handshake_timeout=begin_s,
                ssl_shutdown_timeout=end_s,
            )

        self._door = protocol.door = self._websockets.door = Door(listening, serve, self._limits, self._proxies)
        self._door.open()
        self.servers, self.started = [], True

    async def stop(self, listening: socket.socket) -> None:
        """Take nothing new, end websockets (1001), let answers that are under way finish."""
        self._door.shut()
        await self.shutdown(sockets=[listening])


def tls(settings: GatewaySettings) -> ssl.SSLContext | None:
    """The gateway's own TLS; None: it has none. Raises SettingsError, also for a key that only a person could unlock."""
    locked = list[bool]()

    def passphrase() -> str:  # without it OpenSSL asks on the terminal, and a daemon waits for ever
        locked.append(True)
        return ""

    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=passphrase)
    except ssl.SSLError as error:
        if locked:
            right = (
                "has a passphrase, and nobody is here to type it: write it without one (openssl pkey -in KEY -out NEW)"
            )
            raise SettingsError("tls_key", str(settings.tls_key), right) from error
        right = f"certificate and key cannot be used together: {error.reason or error}"
        raise SettingsError("tls_cert", str(settings.tls_cert), right) from error
    except OSError as error:
        where = settings.tls_cert if not settings.tls_cert.is_file() else settings.tls_key
        raise SettingsError("tls_cert", str(where), f"cannot be read: {error.strerror}") from error
    return context
