"""A gateway's `/feed` for tests: the real endpoint behind uvicorn in this loop, and clients that say what they like."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect

from gateway.access import asker
from gateway.io.ingest import Ingest
from gateway.io.sqlite import SqliteWriter
from gateway.io.store import Store
from gateway.problem import ProblemError
from runtime.feed import wire
from runtime.feed.wire import Challenge, Hello, MarketTime, Resume


@asynccontextmanager
async def serving(ingest: Ingest, *, proxies: tuple[str, ...] = ()) -> AsyncIterator[str]:
    """HOST:PORT of the endpoint."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["etp.asker"] = asker(scope["client"][0], tls=False, headers=dict(scope["headers"]), proxies=proxies)
        try:
            await ingest.serve(WebSocket(scope, receive, send))
        except ProblemError as problem:
            await send({"type": "websocket.close", "code": 1013, "reason": problem.detail})

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        loop="none",
        lifespan="off",
        log_level="error",
        ws="websockets-sansio",
        ws_max_size=wire.MAX_MESSAGE,
        ws_max_queue=4,
        timeout_graceful_shutdown=5,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await server.shutdown(sockets=[listening])
        listening.close()


def hello(**more: Any) -> Hello:
    """A plain battery's."""
    said: dict[str, Any] = {
        "version": wire.VERSION, "role": "bess", "device_id": 101, "journal": "ab" * 16, "last_row": 0,
        "market_time": MarketTime(0, 0, 1.0), "about": {"mechanism": "english", "capacity_wh": 13_500},
    }  # fmt: skip
    return Hello(**(said | more))


@asynccontextmanager
async def connected(place: str, said: Hello | None = None) -> AsyncIterator[tuple[ClientConnection, Resume]]:
    """A client whose Hello is taken."""
    async with connect(f"ws://{place}{wire.PATH}", max_size=wire.MAX_MESSAGE, compression=None) as client:
        assert isinstance(await hear(client), Challenge)
        await say(client, said or hello())
        resume = await hear(client)
        assert isinstance(resume, Resume), resume
        yield client, resume


async def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what the store does by itself."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.01)


async def pragma(store: Store, setting: str) -> Any:
    """A PRAGMA of the writer's connection, in its thread: SQLite's last error is a connection's, and another thread's call changes it."""
    writer = store._writer
    assert isinstance(writer, SqliteWriter)
    connection = writer._connection
    assert connection is not None

    def run() -> Any:
        return connection.execute(f"PRAGMA {setting}").fetchone()

    return await asyncio.get_running_loop().run_in_executor(writer._thread, run)


async def say(client: ClientConnection, message: Any) -> None:
    """One message."""
    await client.send(wire.encode(message).decode())


async def hear(client: ClientConnection) -> Any:
    """The next message."""
    async with asyncio.timeout(10):
        return wire.from_gateway(await client.recv())
