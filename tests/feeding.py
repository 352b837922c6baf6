"""A gateway for tests: speaks the feed as its module says, keeps what it is told, and can misbehave."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from runtime.feed import wire
from runtime.feed.wire import (
    Ack,
    Bids,
    Challenge,
    FeedBid,
    FeedRow,
    Fork,
    FromNode,
    Hello,
    Item,
    Resume,
    Rows,
    Telemetry,
)


@dataclass
class Kept:
    """What a gateway has durably of one node: it outlives its connections."""

    hellos: list[tuple[str, Hello]] = field(default_factory=list)
    """(challenge, answer)"""
    rows: list[FeedRow] = field(default_factory=list)
    bids: list[FeedBid] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    row: int = 0
    row_hash: str = ""
    bid: int = 0
    forks: int = 0
    dropped: int = 0
    raw: list[str] = field(default_factory=list)
    """Every text as it came."""
    order: list[tuple[str, int]] = field(default_factory=list)
    """(lot, lot_id) of ends and (bid, lot_id) of bids, as they came."""

    def take(self, message: FromNode) -> None:
        """Keep it, each number once: what comes again after a lost Ack is known."""
        if isinstance(message, Rows):
            for row in message.rows:
                if row.seq > self.row:
                    self.rows.append(row)
                    if row.kind == "lot":
                        self.order.append(("lot", row.lot_id))
            if message.last > self.row:
                self.row, self.row_hash = message.last, message.last_hash
        elif isinstance(message, Bids):
            fresh = [bid for bid in message.bids if bid.number > self.bid]
            self.bids += fresh
            self.order += [("bid", bid.lot_id) for bid in fresh]
            self.bid = max(self.bid, message.last)
        elif isinstance(message, Telemetry):
            self.items += message.items
            self.dropped = message.dropped

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The bodies of the telemetry of a kind."""
        return [item.body for item in self.items if item.kind == kind]


Behaviour = Callable[["Gateway", ServerConnection], Any]


class Gateway:
    """A websocket server that serves `/feed`. `port` 0: any."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.nodes: dict[int, Kept] = {}
        self.connections = 0
        self.acking = True
        self.changed = asyncio.Event()
        self._behaviour = behaviour or honest
        self._server: Server | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen."""
        self._server = await serve(self._serve, "127.0.0.1", port, max_size=wire.MAX_MESSAGE, close_timeout=0.2)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def kill(self) -> None:
        """Every connection breaks, nothing listens."""
        assert self._server is not None
        for connection in list(self._server.connections):
            connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """For --gateway."""
        return f"ws://127.0.0.1:{self.port}"

    def of(self, device_id: int = 101) -> Kept:
        """What is kept of a node."""
        return self.nodes.setdefault(device_id, Kept())

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        self.changed.set()
        try:
            await self._behaviour(self, connection)
        except ConnectionClosed:
            return

    async def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Wait for what messages bring about."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


async def say(connection: ServerConnection, message: wire.FromGateway) -> None:
    """Send a message."""
    await connection.send(wire.encode(message), text=True)


async def greet(gateway: Gateway, connection: ServerConnection) -> Kept:
    """Challenge, Hello, Resume; a Fork begins anew."""
    challenge = secrets.token_hex(wire.CHALLENGE_BYTES)
    await say(connection, Challenge(challenge))
    hello = wire.from_node(await connection.recv())
    assert isinstance(hello, Hello)
    kept = gateway.of(hello.device_id)
    kept.hellos.append((challenge, hello))
    await say(connection, Resume(kept.row, kept.row_hash, kept.bid))
    gateway.changed.set()
    return kept


async def honest(gateway: Gateway, connection: ServerConnection) -> None:
    """What a gateway does."""
    kept = await greet(gateway, connection)
    async for text in connection:
        assert isinstance(text, str)
        kept.raw.append(text)
        message = wire.from_node(text)
        if isinstance(message, Fork):
            kept.row, kept.row_hash, kept.bid, kept.forks = 0, "", 0, kept.forks + 1
            kept.rows.clear()
            kept.bids.clear()
            await say(connection, Resume(0, "", 0))
        else:
            kept.take(message)
            if isinstance(message, Rows | Bids) and gateway.acking:
                await say(connection, Ack(kept.row, kept.bid))
        gateway.changed.set()


@asynccontextmanager
async def running(behaviour: Behaviour | None = None) -> AsyncIterator[Gateway]:
    """A gateway that listens until the end of the block."""
    gateway = Gateway(behaviour)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()
