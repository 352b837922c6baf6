"""`python -m benches.tellers`: batteries that tell a gateway how they are, open loop, over the feed as nodes speak it.

Each event's time is the instant at which it was due: one that leaves late counts as old, whoever was in its way.
"""

import asyncio
import sys
import time
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from runtime.feed.wire import PATH, Ack, Challenge, Hello, Item, MarketTime, Resume, Telemetry, encode, from_gateway

FIRST_BATTERY: Final = 10_000
CONNECT_S: Final = 30.0


class Telling(msgspec.Struct):
    """What the process does: `rate` events a second, from so many batteries in turn."""

    host: str
    port: int
    batteries: int
    rate: float


def _status(number: int, now_us: int) -> Item:
    body: dict[str, object] = {
        "mechanism": "english", "stored_wh": 13_500 - number % 1_000, "for_sale_wh": 6_000 - number % 500, "reserved_wh": 0,
        "to_deliver_wh": number % 700, "health": "good", "voltage_mv": 400_000 + number % 5_000, "discharge_w": number % 5_000,
        "temperature_mc": 25_000 + number % 3_000, "failure": None, "sessions": 12, "unsettled": 3,
        "oldest_unsettled_us": now_us - 2_000_000,
    }  # fmt: skip
    return Item("status", now_us, body)  # type: ignore[arg-type] # JSON as it is


async def _joined(job: Telling, device_id: int) -> ClientConnection:
    connection = await connect(
        f"ws://{job.host}:{job.port}{PATH}", compression=None, open_timeout=CONNECT_S, proxy=None
    )
    challenge = from_gateway(await connection.recv())
    assert isinstance(challenge, Challenge)
    about = {"mechanism": "english", "capacity_wh": 13_500, "for_sale_percent": 50.0, "hide_reserve": False}
    clock = MarketTime(0, 0, 1.0)
    hello = Hello(1, "bess", device_id, f"{device_id:064x}", 0, clock, about, f"{job.host}:{job.port}")
    await connection.send(encode(hello).decode())
    resume = from_gateway(await connection.recv())
    if not isinstance(resume, Resume):
        raise ConnectionError(f"the gateway said {resume}")
    return connection


async def _listen(connection: ClientConnection) -> None:
    async for message in connection:
        assert isinstance(from_gateway(message), Ack)


async def tell(job: Telling) -> None:
    """Tell, until the bench ends this process."""
    connections = [await _joined(job, FIRST_BATTERY + index) for index in range(job.batteries)]
    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(_listen(connection))
        sys.stdout.write('{"ready": true}\n')
        sys.stdout.flush()
        began_s, began_us, number = time.monotonic(), time.time_ns() // 1000, 0
        while True:
            due_s = number / job.rate
            await asyncio.sleep(began_s + due_s - time.monotonic())
            item = _status(number, began_us + round(due_s * 1e6))
            await connections[number % len(connections)].send(encode(Telemetry([item], 0)).decode())
            number += 1


if __name__ == "__main__":
    asyncio.run(tell(msgspec.json.decode(sys.stdin.readline(), type=Telling)))
