"""`etp gateway` killed while it ingests: what it acknowledged is there, what is sent again counts once."""

import asyncio
import sqlite3
from collections import deque
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benches import feeder
from runtime.feed import wire
from runtime.feed.wire import Ack, Resume
from tests.gateway.serving import hear, hello, say
from tests.paying import Process, free_port

LOTS = 400
IN_FLIGHT = 100
"""Messages that no Ack has named: 800 rows and bids, within the window."""


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bytes]]:
    """Two small messages a lot, so that a kill finds the gateway at work."""
    monkeypatch.setattr(feeder, "LOTS_AT_ONCE", 1)
    return list(feeder.journal(0, feeder.Told("", 0, 1, LOTS)))


async def ship(place: str, messages: list[tuple[int, int, bytes]], victim: Process | None) -> Ack:
    """From where it resumes to the end, or until the gateway is killed under way; the last Ack."""
    last = Ack(0, 0)
    async with connect(f"ws://{place}{wire.PATH}", compression=None) as client:
        await hear(client)
        await say(client, hello())
        resume = await hear(client)
        assert isinstance(resume, Resume)
        unacked: deque[tuple[int, int]] = deque()
        room = asyncio.Event()

        async def send() -> None:
            for row, bid, message in messages:
                if row <= resume.row and bid <= resume.bid:
                    continue
                while len(unacked) >= IN_FLIGHT:
                    room.clear()
                    await room.wait()
                unacked.append((row, bid))
                await client.send(message.decode())

        sending = asyncio.create_task(send())
        try:
            while (last.row, last.bid) != (messages[-1][0], messages[-2][1]):
                last = await hear(client)
                assert isinstance(last, Ack), last
                while unacked and unacked[0][0] <= last.row and unacked[0][1] <= last.bid:
                    unacked.popleft()
                room.set()
                if victim is not None and last.row > resume.row + 200:
                    victim.process.kill()
        except ConnectionClosed:
            assert victim is not None
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return last


async def test_killed_it_has_each_row_once(
    tmp_path: Path, messages: list[tuple[int, int, bytes]], request: pytest.FixtureRequest
) -> None:
    """Kill -9 in mid-ingest: no gap, no double, no acknowledged row is missing, and all sums are right to the last µ."""
    port = free_port()
    words = ["gateway", "--listen", f"127.0.0.1:{port}", "--state-dir", str(tmp_path), "--log-level", "error"]
    acked = Ack(0, 0)
    for kill in (True, False):
        process = Process(tmp_path, "gateway", words)
        request.addfinalizer(process.process.kill)
        assert process.line["role"] == "gateway"
        with sqlite3.connect(tmp_path / "gateway.sqlite") as found:
            row, bid = found.execute('SELECT COALESCE(MAX("row"), 0), COALESCE(MAX(bid), 0) FROM nodes').fetchone()
        assert row >= acked.row
        assert bid >= acked.bid
        acked = await ship(f"127.0.0.1:{port}", messages, process if kill else None)
        if kill:
            await asyncio.to_thread(process.wait, 10)
        else:
            assert await asyncio.to_thread(process.end) == 0
    with sqlite3.connect(tmp_path / "gateway.sqlite") as found:
        one = found.execute
        assert one("SELECT count(*), min(seq), max(seq) FROM rows").fetchone() == (10 * LOTS, 1, 10 * LOTS)
        assert one("SELECT count(*), min(number), max(number) FROM bids").fetchone() == (6 * LOTS, 1, 6 * LOTS)
        paid = feeder.PAID_MICRO * feeder.ENERGY_WH // 1000
        wanted = (LOTS, LOTS * feeder.ENERGY_WH, LOTS * paid, LOTS, LOTS * paid)
        sums = "sum(trades), sum(energy_wh), sum(paid_micro), sum(settled), sum(settled_micro)"
        for role in ("bess", "aggregator"):
            assert one(f"SELECT {sums} FROM nodes WHERE role = ?", (role,)).fetchone() == wanted
        assert one("SELECT sum(trades), sum(energy_wh), sum(paid_micro) FROM sums").fetchone() == wanted[:3]
        events, numbers, distinct = one(
            "SELECT count(*), count(DISTINCT seq), count(DISTINCT event) FROM events"
        ).fetchone()
        assert events == numbers == distinct
