"""uvicorn around the gateway's application: one socket, our connections, our signals."""

import os
import socket
import ssl
from typing import Any

import uvicorn

from gateway.io.connection import Requests, Websocket
from gateway.limits import Limits, Timing
from gateway.settings import GatewaySettings
from runtime.feed.wire import MAX_MESSAGE
from runtime.settings import SettingsError

BACKLOG = 2_048


def listener(settings: GatewaySettings, address: tuple[str, int]) -> socket.socket:
    """The socket. Raises SettingsError where the address cannot be had."""
    try:
        return socket.create_server(address, backlog=BACKLOG)
    except OSError as error:
        right = f"cannot be listened at: {os.strerror(error.errno or 0)}; port 0 picks a free one"
        raise SettingsError("listen", settings.listen, right) from error


class Server(uvicorn.Server):
    """One gateway's server. uvicorn's own loop of signals and ticks is not used."""

    def __init__(self, app: Any, settings: GatewaySettings, limits: Limits, timing: Timing) -> None:
        """Raises SettingsError where certificate and key cannot be used."""
        bounds = {"limits": limits, "timing": timing}
        config = uvicorn.Config(
            app,
            http=type("Requests", (Requests,), bounds),
            ws=type("Websocket", (Websocket,), bounds),
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
        config.ssl = tls(settings)
        super().__init__(config)
        self.lifespan = config.lifespan_class(config)

    async def start(self, listening: socket.socket) -> None:
        """Serve from now on."""
        await self.startup(sockets=[listening])

    async def stop(self, listening: socket.socket) -> None:
        """Take nothing new, end websockets (1001), let answers that are under way finish."""
        await self.shutdown(sockets=[listening])


def tls(settings: GatewaySettings) -> ssl.SSLContext | None:
    """The gateway's own TLS; None: it has none. Raises SettingsError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except ssl.SSLError as error:
        right = f"certificate and key cannot be used together: {error.reason or error}"
        raise SettingsError("tls_cert", str(settings.tls_cert), right) from error
    except OSError as error:
        where = settings.tls_cert if not settings.tls_cert.is_file() else settings.tls_key
        raise SettingsError("tls_cert", str(where), f"cannot be read: {error.strerror}") from error
    return context
