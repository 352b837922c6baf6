"""Real daemons tell a gateway: every row of their journals, every bid of a lot that has ended, and what is true now."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from etp import messages
from etp.codes import MessageType
from etp.frame import decode, encode
from etp.session import PREFIX
from etp.units import DeviceId, MicroPerKwh, Wh
from runtime.feed import publish
from runtime.io.journal_reader import JournalReader
from tests.feeding import Gateway, Kept, running
from tests.paying import group

ROOT = Path(__file__).parents[2]
GROUP = group()


async def start(state: Path, *options: str) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    """A daemon and its ready line."""
    with (state.parent / f"{state.name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", *options, "--state-dir", str(state), "--group", GROUP),
            *("--metrics-ms", "100"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            stdin=asyncio.subprocess.DEVNULL,
        )
    assert process.stdout is not None
    async with asyncio.timeout(15):
        return process, json.loads(await process.stdout.readline())


def published(state: Path) -> list[tuple[int, str, str, int, str]]:
    """What of a journal is to be told."""
    reader = JournalReader(state)
    newest, _ = reader.newest()
    found = [
        (seq, stored.hex(), row.kind, row.lot_id, row.state)
        for seq, stored, row in reader.hashed_rows(0, until=newest)
        if row.kind in publish.PUBLISHED
    ]
    reader.close()
    return found


def told(kept: Kept) -> list[tuple[int, str, str, int, str]]:
    """The same of what came."""
    return [(row.seq, row.hash, row.kind, row.lot_id, row.state) for row in kept.rows]


async def trading(gateway: Gateway, path: Path, trades: int) -> None:
    """A battery and a buyer trade, tell the gateway, which breaks once, and end in good order."""
    battery, line = await start(
        path / "bess",
        *("bess", "--device-id", "101", "--closing-ms", "30", "--gateway", gateway.url, "--discharge-kw", "1000"),
        *("--horizon-h", "0.001", "--feed-in", "8"),
    )
    buyer, _ = await start(
        path / "aggregator",
        *("aggregator", "--device-id", "500", "--peer", line["tcp"], "--gateway", gateway.url),
    )
    port = gateway.port

    def count() -> int:
        return sum(row.kind == "trade" for row in gateway.of(101).rows)

    await gateway.until(lambda: count() >= 1)
    await gateway.kill()
    await gateway.start(port)
    await gateway.until(lambda: count() >= trades)
    for process in (buyer, battery):
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def bid(line: dict[str, Any], device: int, price: int) -> asyncio.StreamWriter:
    """A Bid by hand; returns once it is answered."""
    host, port = line["tcp"].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    frame = messages.bid(DeviceId(device), price=MicroPerKwh(price), energy=Wh(2_000))
    writer.write(PREFIX + encode(messages.stamped(frame, time.time_ns() // 1000)))
    async with asyncio.timeout(5):
        while decode((await reader.readexactly(88))[4:]).message_type not in (MessageType.RESPONSE, MessageType.REJECT):
            continue
    return writer


async def test_a_sealed_lot_is_silent_until_it_closes(tmp_path: Path) -> None:
    """Two bids above a hidden reserve: while the lot is open no byte names bidder, price or reserve; then all but the reserve."""
    secrets = ("777000501", "777000502", "142222", "131111", "123457")
    async with running() as gateway:
        battery, line = await start(
            tmp_path / "bess",
            *("bess", "--device-id", "101", "--closing-ms", "2000", "--mechanism", "vickrey", "--hide-reserve"),
            *("--reserve", "12.3457", "--gateway", gateway.url),
        )
        await gateway.until(lambda: bool(gateway.of(101).of("lot")))
        writers = [await bid(line, 777_000_501, 142_222), await bid(line, 777_000_502, 131_111)]
        began_s = asyncio.get_running_loop().time()
        heard = len(gateway.of(101).raw)
        # Sessions came, so that a status is due: what was told after the bids is looked at, not only silence.
        await gateway.until(
            lambda: len(gateway.of(101).raw) > heard or gateway.of(101).of("status")[-1]["sessions"] == 2
        )
        before = "".join(gateway.of(101).raw)
        assert asyncio.get_running_loop().time() - began_s < 1.9, "too slow a machine to see the open lot"
        await gateway.until(lambda: any(row.kind == "lot" for row in gateway.of(101).rows))
        await gateway.until(
            lambda: any(row.state == "reserved" for row in gateway.of(101).rows if row.kind == "promise")
        )
        after = "".join(gateway.of(101).raw)
        for writer in writers:
            writer.close()
        battery.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await battery.wait() == 0
    assert [secret for secret in secrets if secret in before] == []
    assert [secret for secret in secrets if secret not in after] == ["123457"]


async def test_daemons_tell_all(tmp_path: Path) -> None:
    """Journals and what the gateway has are equal to the last row; telemetry of each kind came; no bid before its lot's end."""
    async with running() as gateway:
        await trading(gateway, tmp_path, 4)
        bess, aggregator = gateway.of(101), gateway.of(500)
    assert told(bess) == published(tmp_path / "bess")
    assert told(aggregator) == published(tmp_path / "aggregator")
    reader = JournalReader(tmp_path / "bess")
    bids = list(reader.bids())
    reader.close()
    assert [bid.number for bid in bess.bids] == list(range(1, len(bids) + 1))
    assert [(bid.bidder, bid.price_micro_per_kwh) for bid in bess.bids] == [
        (bid.bidder, bid.price_micro_per_kwh) for bid in bids
    ]
    trades = [row for row in bess.rows if row.kind == "trade"]
    assert {row.body["auction_id"] for row in trades} <= {row.lot_id for row in bess.rows if row.kind == "lot"}
    assert sum(int(str(row.body["paid_micro"])) for row in trades) == aggregator.of("status")[-1]["paid_micro"]
    assert bess.hellos[-1][1].about == {
        "mechanism": "english",
        "capacity_wh": 13_500,
        "feed_in_micro_per_kwh": 80_000,
        "for_sale_percent": 50.0,
        "hide_reserve": False,
    }
    assert aggregator.hellos[-1][1].about == {"strategy": "truthful", "demand_wh": 6750}
    assert {item.kind for item in bess.items} >= {"status", "metrics", "lot"}
    assert {item.kind for item in aggregator.items} >= {"status", "metrics", "query", "response"}
    assert None in [body["battery"] for body in aggregator.of("query")]
    assert 101 in [body["battery"] for body in aggregator.of("query")]
    assert {body["battery"] for body in aggregator.of("response")} == {101}
