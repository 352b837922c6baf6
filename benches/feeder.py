"""Batteries that ship their journals to a gateway as fast as it takes them: one process, a websocket each, a line of JSON a phase.

What they ship is made and encoded before the clock starts. Each lot has six bids, a winner who confirms, a delivery and a payment that
goes through three states: 16 events, with records of the length that `signed` has.
"""

import asyncio
import contextlib
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import websockets

from etp.record import RECORD_SIZE
from runtime.feed import wire
from runtime.feed.wire import Ack, Bids, Challenge, FeedBid, FeedRow, Hello, MarketTime, Resume, Rows

FIRST_BATTERY: Final = 1_000
BUYERS: Final = tuple(range(500, 506))
ENERGY_WH: Final = 2_500
PAID_MICRO: Final = 131_000
EVENTS_A_LOT: Final = 16
LOTS_AT_ONCE: Final = 30
"""Of one pair of messages: 180 bids and 300 rows, near what a node's page holds."""
BEGAN_US: Final = 1_760_000_000_000_000
BETWEEN_LOTS_US: Final = 60_000_000


class Told(msgspec.Struct):
    """What the bench tells this process."""

    host: str
    port: int
    nodes: int
    lots: int
    """Of each node."""
    first_lot: int = 0
    """How many of them were shipped in earlier phases."""


class Found(msgspec.Struct):
    """What came of it."""

    events: int
    seconds: float
    """From the first message to the last acknowledgement."""
    ack_ms: list[float]
    """Of each message: from when it was sent to when all of it was durable."""
    cpu_s: float
    bytes: int
    """Of all messages, as they were sent."""


def journal(node: int, told: Told) -> Iterator[tuple[int, int, bytes]]:
    """(last row, last bid, message) of a node's messages, in order; 0: it has none."""
    rng = random.Random(node)
    record = rng.randbytes(RECORD_SIZE).hex()
    number = told.first_lot * 10
    bid_number = told.first_lot * len(BUYERS)
    for first in range(told.first_lot, told.first_lot + told.lots, LOTS_AT_ONCE):
        bids: list[FeedBid] = []
        rows: list[FeedRow] = []
        for lot in range(first, min(first + LOTS_AT_ONCE, told.first_lot + told.lots)):
            at_us = BEGAN_US + lot * BETWEEN_LOTS_US + node
            for buyer in BUYERS:
                bid_number += 1
                price = PAID_MICRO - 1_000 * rng.randrange(10)
                bids.append(
                    FeedBid(bid_number, at_us, buyer, at_us + buyer, ENERGY_WH, price, "standing", at_us + buyer)
                )
            for kind, state, body in _lot(at_us, record, BUYERS[lot % len(BUYERS)]):
                number += 1
                digest = f"{node:032x}{number:032x}"
                rows.append(FeedRow(number, digest, kind, at_us, state, at_us + number, body))
        yield 0, bid_number, wire.encode(Bids(bids, bid_number))
        yield number, 0, wire.encode(Rows(rows, number, rows[-1].hash))


def _lot(lot_id: int, record: str, buyer: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    paid = PAID_MICRO * ENERGY_WH // 1000
    terms = {"bidder": buyer, "message_id": lot_id + buyer, "energy_wh": ENERGY_WH, "price_micro_per_kwh": PAID_MICRO}
    promise = terms | {"bid_micro_per_kwh": PAID_MICRO, "reserved_us": lot_id, "auction_id": lot_id}
    setter = {"setter_bidder": buyer, "setter_message_id": lot_id + buyer, "setter_price_micro_per_kwh": PAID_MICRO}
    owed = terms | {"amount_micro": paid, "buyer_key": record[:64], "confirmed_us": lot_id, "signed": 1, "reason": ""}
    attempt = {"act": "settle", "signature": record[:128], "release_at": 0}
    yield (
        "lot",
        "reserved",
        {"mechanism": "english", "energy_wh": ENERGY_WH, "reserve_micro_per_kwh": 125_000, "hidden": False}
        | {"opened_us": lot_id, "bids": len(BUYERS), "bidders": len(BUYERS), "digest": record[:64], "capped": False}
        | setter
        | {"setter_record": record},
    )
    yield "promise", "reserved", promise | {"bid_record": record}
    yield "promise", "confirmed", promise
    yield "trade", "confirmed", promise | {"paid_micro": paid}
    yield "energy", "pending", {key: terms[key] for key in ("bidder", "energy_wh", "price_micro_per_kwh")}
    yield "answer", "answered", {"bidder": buyer, "confirm": record, "answer": record}
    yield "settlement", "confirmed", owed
    yield "energy", "delivered", {"bidder": buyer, "energy_wh": ENERGY_WH, "delivered_wh": ENERGY_WH}
    yield "settlement", "settling", owed | attempt
    yield "settlement", "settled", owed | attempt


class Node:
    """One battery and its connection."""

    def __init__(self, node: int, told: Told) -> None:
        self.node, self._told = node, told
        self.messages = list(journal(node, told))
        self.ack_ms: list[float] = []
        self._unacked: deque[tuple[int, int, float]] = deque()
        self._room = asyncio.Event()

    async def connect(self) -> None:
        """Until the gateway says where it resumes."""
        url = f"ws://{self._told.host}:{self._told.port}{wire.PATH}"
        self._socket = await websockets.connect(url, max_size=wire.MAX_MESSAGE, compression=None)
        assert isinstance(wire.from_gateway(await self._socket.recv()), Challenge)
        about = {"mechanism": "english", "capacity_wh": 13_500, "feed_in_micro_per_kwh": 50_000}
        market = MarketTime(BEGAN_US, BEGAN_US, 1.0)
        hello = Hello(wire.VERSION, "bess", FIRST_BATTERY + self.node, f"{self.node:032x}", 0, market, about)
        await self._socket.send(wire.encode(hello).decode())
        resume = wire.from_gateway(await self._socket.recv())
        assert isinstance(resume, Resume), resume
        assert resume.bid == self._told.first_lot * len(BUYERS), resume

    async def ship(self) -> None:
        """Everything, within the window, until all of it is acknowledged."""
        acks = asyncio.create_task(self._hear())
        in_window = wire.WINDOW // wire.ROWS_AT_ONCE
        for row, bid, message in self.messages:
            while len(self._unacked) >= in_window:
                self._room.clear()
                await self._room.wait()
            self._unacked.append((row, bid, time.perf_counter()))
            await self._socket.send(message.decode())
        await acks
        await self._socket.close()

    async def _hear(self) -> None:
        heard = 0
        async for text in self._socket:
            ack = wire.from_gateway(text)
            assert isinstance(ack, Ack), ack
            now_s = time.perf_counter()
            while self._unacked and self._unacked[0][0] <= ack.row and self._unacked[0][1] <= ack.bid:
                self.ack_ms.append((now_s - self._unacked.popleft()[2]) * 1000)
                heard += 1
            self._room.set()
            if heard == len(self.messages):
                return


async def phase(told: Told) -> Found:
    """Ship, and measure."""
    nodes = [Node(number, told) for number in range(told.nodes)]
    for node in nodes:
        await node.connect()
    began_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(node.ship() for node in nodes))
    seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    sent = sum(len(message) for node in nodes for _, _, message in node.messages)
    ack_ms = [ms for node in nodes for ms in node.ack_ms]
    return Found(told.nodes * told.lots * EVENTS_A_LOT, seconds, ack_ms, cpu_s, sent)


def main() -> None:
    """A phase a line of stdin."""
    for line in sys.stdin.buffer:
        found = asyncio.run(phase(msgspec.json.decode(line, type=Told)))
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
