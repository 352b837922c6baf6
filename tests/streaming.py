"""A gateway's stream for tests: the real hub behind a plain websocket server on loopback, fed by hand, and events to feed it."""

import asyncio
import http
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from etp.units import MonotonicS
from gateway.events import (
    AggregatorStatus,
    AuctionCompleted,
    AuctionStarted,
    BESSNodeStatus,
    BidAccepted,
    BidPlaced,
    Event,
    Latency,
    LotUpdated,
    OpenLot,
    SecurityEvent,
    Snapshot,
    SystemMetrics,
    Totals,
    TradeConfirmed,
    TradeSettled,
)
from gateway.hub import Client, Close, Hub, Send
from gateway.limits import Limits, Timing

NOON_US = 1_790_000_000_000_000
TICK_S = 0.02


def now_s() -> MonotonicS:
    return MonotonicS(time.monotonic())


def at(node: int | str, seconds: float = 0.0, **more: Any) -> dict[str, Any]:
    """What every event has."""
    us = NOON_US + round(seconds * 1e6)
    return {"node": str(node), "time_us": us, "market_us": us} | more


def battery(node: int = 101, **more: Any) -> BESSNodeStatus:
    """A battery's status."""
    said = {
        "online": True,
        "mechanism": "english",
        "capacity_wh": 13_500,
        "stored_wh": 6_750,
        "for_sale_wh": 5_000,
        "reserved_wh": 0,
        "to_deliver_wh": 0,
        "health": "good",
        "voltage_mv": 400_250,
        "discharge_w": 0,
        "temperature_mc": 21_500,
        "failure": None,
        "sessions": 2,
        "unsettled": 0,
        "oldest_unsettled_us": None,
    }
    return BESSNodeStatus(**(at(node) | said | more))


def buyer(node: int = 500, **more: Any) -> AggregatorStatus:
    """An aggregator's status."""
    said = {
        "online": True,
        "strategy": "aggressive",
        "demand_wh": 6_750,
        "bought_wh": 2_000,
        "paid_micro": 300_000,
        "exposed_wh": 500,
        "promises_open": 0,
        "batteries": 3,
    }
    return AggregatorStatus(**(at(node) | said | more))


def metrics(node: int = 500, **more: Any) -> SystemMetrics:
    """A node's times."""
    latency = Latency("reply", "ACCEPT", 500.0, 120, 1, 2.5, 3.5, 9.25, 612.5)
    said = {
        "online": True,
        "latencies": [latency],
        "late_messages": 0,
        "violations": 0,
        "journal_waiting": 0,
        "feed_unacked": 0,
        "feed_dropped": 0,
    }
    return SystemMetrics(**(at(node) | said | more))


def opened(node: int = 101, lot: int = 7001, **more: Any) -> AuctionStarted:
    """A lot opens."""
    said = {"lot_id": str(lot), "mechanism": "english", "energy_wh": 5_000, "reserve_micro_per_kwh": 120_000}
    return AuctionStarted(**(at(node) | said | more))


def leads(node: int = 101, lot: int = 7001, **more: Any) -> LotUpdated:
    """Somebody leads it."""
    said = {
        "lot_id": str(lot),
        "energy_wh": 5_000,
        "ask_micro_per_kwh": 150_500,
        "standing_micro_per_kwh": 150_000,
        "bidders": 2,
        "closes_us": NOON_US + 200_000,
    }
    return LotUpdated(**(at(node, 0.1) | said | more))


def sold(node: int = 101, lot: int = 7001, buyer_id: int = 500, **more: Any) -> list[Event]:
    """It closes, is promised, confirmed and paid."""
    common = {"lot_id": str(lot), "energy_wh": 5_000}
    bid = {"message_id": "1790000000000001", "price_micro_per_kwh": 150_000}
    trade = {"auction_id": str(lot), "bid_micro_per_kwh": 150_000, **common, **bid}
    closed = {
        "mechanism": "english",
        "reserve_micro_per_kwh": 120_000,
        "opened_us": NOON_US,
        "bids": 3,
        "bidders": 2,
        "capped": False,
        "setter": str(buyer_id),
        "setter_micro_per_kwh": 150_000,
    }
    prices = {"paid_micro": 750_000, "bidders": 2, "first_micro_per_kwh": 120_000, "feed_in_micro_per_kwh": 60_000}
    who = str(buyer_id)
    return [
        BidPlaced(**(at(node, 0.3, id=f"{node}-bid-{lot}") | common | bid | {"bidder": who} | more)),
        AuctionCompleted(**(at(node, 0.3, id=f"{node}-lot-{lot}") | common | closed | more)),
        BidAccepted(**(at(node, 0.3, id=f"{node}-acc-{lot}") | trade | {"bidder": who} | more)),
        TradeConfirmed(**(at(node, 0.4, id=f"{node}-trade-{lot}") | trade | prices | {"aggregator": who} | more)),
    ]


def paid(node: int = 101, lot: int = 7001, buyer_id: int = 500) -> TradeSettled:
    """A trade is settled."""
    said = {"lot_id": str(lot), "aggregator": str(buyer_id), "amount_micro": 750_000, "signature": "5" * 88}
    return TradeSettled(**at(node, 2.0, id=f"{node}-paid-{lot}"), **said)


def forged(node: int = 101, what: str = "forged Confirm") -> SecurityEvent:
    """Somebody broke a rule."""
    return SecurityEvent(**at(node, 1.0, id=f"{node}-sec-{what}"), device="999", what=what)


class Gateway:
    """The hub, who is connected to it, and what is true."""

    def __init__(self, limits: Limits | None = None, *, epoch: str = "e1") -> None:
        self.hub = Hub(limits or Limits(), Timing())
        self.hub.begin(epoch, 0)
        self.batteries: list[BESSNodeStatus] = []
        self.buyers: list[AggregatorStatus] = []
        self.metrics: list[SystemMetrics] = []
        self.lots: list[OpenLot] = []
        self.trades: list[TradeConfirmed] = []
        self.totals = Totals(0, 0, 0, 0, 0)
        self.key: str | None = None
        """Who asks must bear it; None: everybody is let in."""
        self.rest: dict[str, Any] = {}
        """By path: what REST answers."""
        self.connections: dict[Client, ServerConnection] = {}
        self.verbs: list[dict[str, Any]] = []
        self.server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def publish(self, *events: Event) -> None:
        """Events happen, each with the next number."""
        seq = self.hub.seq
        numbered = (
            msgspec.structs.replace(event, epoch=self.hub.epoch, seq=seq + number)
            for number, event in enumerate(events, 1)
        )
        self.hub.publish(list(numbered))

    def snapshot(self, gap: bool) -> bytes:
        """The message with what is true now."""
        shot = Snapshot(
            epoch=self.hub.epoch,
            seq=self.hub.seq,
            time_us=NOON_US,
            gap=gap,
            batteries=self.batteries,
            aggregators=self.buyers,
            metrics=self.metrics,
            lots=self.lots,
            trades=self.trades,
            totals=self.totals,
        )
        return msgspec.json.encode([shot])

    async def listen(self) -> None:
        """Serve, on the same port as before where there was one."""
        self.server = await serve(self._serve, "127.0.0.1", self.port, process_request=self._ask, compression=None)
        self.port = next(iter(self.server.sockets)).getsockname()[1]

    async def down(self) -> None:
        """Cut every connection and serve nobody."""
        if self.server is not None:
            self.server.close(close_connections=True)
            await self.server.wait_closed()
            self.server = None

    def _ask(self, _: ServerConnection, request: Request) -> Response | None:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _answer(http.HTTPStatus.UNAUTHORIZED, {"title": "log in"})
        if request.path == "/ws":
            return None
        found = self.rest.get(request.path)
        return _answer(http.HTTPStatus.OK if found else http.HTTPStatus.NOT_FOUND, found or {"title": "nothing"})

    async def _serve(self, connection: ServerConnection) -> None:
        client, greeting = self.hub.joined(now_s())
        self.connections[client] = connection
        try:
            await connection.send(greeting, text=True)
            async for message in connection:
                self.verbs.append(json.loads(message))
                await self._do(self.hub.heard(client, message, now_s()))
        except ConnectionClosed:
            pass
        finally:
            self.hub.left(client)
            del self.connections[client]

    async def tick(self) -> None:
        """Send what is due."""
        await self._do(self.hub.tick(now_s(), lambda _: 0, self.snapshot))

    async def _do(self, actions: list[Send | Close]) -> None:
        for action in actions:
            if isinstance(action, Close):
                await self.connections[action.client].close(action.code, action.reason)
            else:
                for client in action.to:
                    await self.connections[client].send(action.text, text=True)

    async def run(self) -> None:
        """Tick."""
        while True:
            try:
                await self.tick()
            except (ConnectionClosed, KeyError):
                continue
            finally:
                await asyncio.sleep(TICK_S)


def _answer(status: http.HTTPStatus, body: object) -> Response:
    from websockets.datastructures import Headers

    data = json.dumps(body).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(data)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, data)


@asynccontextmanager
async def running(gateway: Gateway | None = None) -> AsyncIterator[Gateway]:
    """A gateway that ticks and listens on a free port."""
    served = gateway or Gateway()
    await served.listen()
    ticking = asyncio.create_task(served.run())
    try:
        yield served
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        await served.down()
