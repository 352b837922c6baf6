"""Feeds over real websockets: gateways that die, sleep, lie or flood; what a node loses by it is nothing."""

import asyncio
import gc
import random
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from etp.codes import Role
from etp.effects import BidRow, Row
from etp.io.clock import system_now
from etp.units import DeviceId, LotId, MessageId, MicroPerKwh, WallUs, Wh
from runtime.backoff import Backoff
from runtime.feed import wire
from runtime.feed.address import parse_gateways
from runtime.feed.publish import NO_AUCTIONS, Lots
from runtime.feed.session import Speaker
from runtime.feed.telemetry import MOST_ITEMS
from runtime.feed.wire import Ack, MarketTime, Refused, Resume
from runtime.io import feed as feed_module
from runtime.io import journal as journal_module
from runtime.io.feed import Feed, market_time, open_feed, report
from runtime.io.journal import Journal
from runtime.settings import DaySettings, NodeSettings, SettingsError
from tests.feeding import Gateway, greet, running, say
from tests.signing import NETWORK, pair, profile_of

QUICK = Backoff(first_s=0.01, limit_s=0.05)
OPEN_LOT = 1_000_000


def row(number: int, kind: str = "trade") -> Row:
    """A row of a trade."""
    return Row(kind, LotId(number), "confirmed", WallUs(number), {"paid_micro": number, "bidder": 500}, str(number))


def bid(number: int, lot_id: int = 1) -> BidRow:
    """A bid of a lot that has ended."""
    return BidRow(LotId(lot_id), DeviceId(500), MessageId(number), Wh(1), MicroPerKwh(5), "standing", WallUs(1))


class Node:
    """A journal and its feed."""

    def __init__(self, path: Path, urls: list[str]) -> None:
        self.journal = Journal.open(path / "state", role="bess", device_id=101)
        speaker = Speaker("bess", 101, self.journal.identity, MarketTime(0, 0, 1.0), {})
        self.closed_below = OPEN_LOT
        self.feed = Feed(
            parse_gateways(urls),
            speaker,
            self.journal,
            lots=lambda: Lots.at(closed_below=self.closed_below, wall_us=0),
            hidden=False,
            rng=random.Random(1),
            backoff=QUICK,
        )

    async def write(self, first: int, last: int) -> None:
        """Rows of these numbers, made durable."""
        for start in range(first, last + 1, 1_000):
            await self.journal.commit([row(number) for number in range(start, min(start + 999, last) + 1)])

    @property
    def link(self) -> dict[str, Any]:
        """The first gateway's view."""
        return dict(next(iter(self.feed.view().values())))


@asynccontextmanager
async def node(path: Path, *gateways: Gateway) -> AsyncIterator[Node]:
    """A node whose feed runs; at the end it stops in good order."""
    made = Node(path, [gateway.url for gateway in gateways])
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(made.feed.run())
            try:
                yield made
            finally:
                made.feed.stop()
    finally:
        made.journal.close()


def numbers(gateway: Gateway) -> list[int]:
    """The rows that a gateway has, as they came."""
    return [found.seq for found in gateway.of().rows]


async def test_rows_come_as_soon_as_they_are_durable(tmp_path: Path) -> None:
    """Connected first, then written: each is there without anybody asking; bids before the rows of their transaction."""
    async with running() as gateway, node(tmp_path, gateway) as made:
        await gateway.until(lambda: bool(gateway.of().hellos))
        for number in range(1, 6):
            made.journal.bid(bid(number))
            await made.journal.commit([row(number)])
            await gateway.until(lambda number=number: numbers(gateway)[-1:] == [number])  # type: ignore[misc]
            assert [found.number for found in gateway.of().bids] == list(range(1, number + 1))
        assert gateway.of().rows[0].body == {"paid_micro": 1, "bidder": 500}
        assert made.link["connected"] is True
    assert made.link["unacked"] == 0


async def test_killed_ten_times_nothing_is_lost_or_comes_twice(tmp_path: Path) -> None:
    """The gateway breaks off in the midst of 10,000 rows and 5,000 bids, again and again: all are there once, in order."""
    async with running() as gateway:
        port = gateway.port
        async with node(tmp_path, gateway) as made:
            for number in range(5_000):
                made.journal.bid(bid(number))
            for round_ in range(10):
                await made.write(round_ * 1_000 + 1, (round_ + 1) * 1_000)
                have = len(numbers(gateway))
                await gateway.until(lambda have=have: len(numbers(gateway)) > have)  # type: ignore[misc]
                await gateway.kill()
                await gateway.start(port)
            await gateway.until(lambda: numbers(gateway)[-1:] == [10_000])
        assert numbers(gateway) == list(range(1, 10_001))
        assert [found.number for found in gateway.of().bids] == list(range(1, 5_001))
        assert gateway.of().forks == 0
        assert gateway.connections >= 11


@asynccontextmanager
async def away() -> AsyncIterator[Gateway]:
    """A gateway that does not listen yet; `start(port)` makes it."""
    gateway = Gateway()
    await gateway.start()
    await gateway.kill()
    try:
        yield gateway
    finally:
        await gateway.kill()


async def test_a_gateway_that_is_away_costs_no_row_and_no_memory(tmp_path: Path) -> None:
    """50,000 rows and as many items while nobody listens: then all rows, in order, and the newest items."""
    async with away() as gateway:
        async with node(tmp_path, gateway) as made:
            now = system_now()
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for number in range(10):
                await made.write(number * 5_000 + 1, (number + 1) * 5_000)
                for index in range(5_000):
                    made.feed.tell("query", {"battery": index}, now)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert grown < 2_000_000, grown
            assert (made.link["unacked"], made.link["connected"]) == (50_000, False)
            await gateway.start(gateway.port)
            await gateway.until(lambda: numbers(gateway)[-1:] == [50_000], 30)
        assert numbers(gateway) == list(range(1, 50_001))
        assert (len(gateway.of().items), gateway.of().dropped) == (MOST_ITEMS, 50_000 - MOST_ITEMS)


async def test_bids_that_the_ring_has_lost_leave_a_gap_that_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away for longer than the ring holds: the newest bids come under their own numbers."""
    monkeypatch.setattr(journal_module, "BID_RING", 1_000)
    async with away() as gateway:
        async with node(tmp_path, gateway) as made:
            for number in range(50):
                for index in range(100):
                    made.journal.bid(bid(number * 100 + index + 1))
                await made.journal.commit([row(number + 1)])
            await gateway.start(gateway.port)
            await gateway.until(lambda: numbers(gateway)[-1:] == [50])
        kept = [(found.number, found.message_id) for found in gateway.of().bids]
        assert kept == [(number, number) for number in range(4_001, 5_001)]


async def test_a_gateway_that_acknowledges_nothing_gets_a_window(tmp_path: Path) -> None:
    """It is connected and reads, but stores nothing: the node sends no more than WINDOW, and goes on once it acknowledges."""
    async with running() as gateway:
        gateway.acking = False
        async with node(tmp_path, gateway) as made:
            await made.write(1, 20_000)
            await gateway.until(lambda: len(numbers(gateway)) >= wire.WINDOW - wire.ROWS_AT_ONCE)
            made.feed.tell("query", {"battery": 1}, system_now())
            await gateway.until(lambda: bool(gateway.of().items))
            assert len(numbers(gateway)) <= wire.WINDOW
            assert made.link["unacked"] == 20_000
            gateway.acking = True
            for connection in list(gateway._server.connections):  # type: ignore[union-attr]
                await say(connection, Ack(gateway.of().row, 0))
            await gateway.until(lambda: numbers(gateway)[-1:] == [20_000])
    assert numbers(gateway) == list(range(1, 20_001))


async def test_a_gateway_that_sleeps_holds_nobody_up(tmp_path: Path) -> None:
    """One reads nothing after its Resume: the other has everything, the node stops within a second or so."""
    asleep = asyncio.Event()

    async def sleeper(gateway: Gateway, connection: ServerConnection) -> None:
        await greet(gateway, connection)
        connection.transport.pause_reading()
        await asleep.wait()

    async with running(sleeper) as lazy, running() as good:
        loop = asyncio.get_running_loop()
        try:
            async with node(tmp_path, lazy, good) as made:
                await made.write(1, 20_000)
                await good.until(lambda: numbers(good)[-1:] == [20_000])
                began_s = loop.time()
            assert loop.time() - began_s < 2.0
        finally:
            asleep.set()  # its gateway's end waits for it


async def test_a_link_that_is_given_up_while_it_closes_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gateway refuses it and does not answer its farewell; then the node is cancelled: no socket is left open."""
    released, closing, real = asyncio.Event(), asyncio.Event(), ClientConnection.close
    links: list[ClientConnection] = []

    async def close(link: ClientConnection, code: int = 1000, reason: str = "") -> None:
        links.append(link)
        closing.set()
        await real(link, code, reason)

    async def mute(gateway: Gateway, connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await refuse(gateway, connection)
        await released.wait()

    monkeypatch.setattr(ClientConnection, "close", close)
    monkeypatch.setattr(feed_module, "CLOSE_S", 30.0)
    async with running(mute) as gateway:
        made = Node(tmp_path, [gateway.url])
        serving = asyncio.create_task(made.feed.run())
        try:
            await closing.wait()
            assert not links[0].transport.is_closing()
            serving.cancel()
            await asyncio.wait([serving])
            assert links[0].transport.is_closing()
        finally:
            made.journal.close()
            released.set()  # its gateway's end waits for it


async def test_a_copy_of_an_older_journal_is_a_fork(tmp_path: Path) -> None:
    """The gateway knows rows that this journal does not have: it is told so, and gets what there is."""
    async with running() as gateway:
        gateway.of().row, gateway.of().row_hash, gateway.of().bid = 500, "ab" * 32, 3
        async with node(tmp_path, gateway) as made:
            await made.write(1, 10)
            await gateway.until(lambda: numbers(gateway)[-1:] == [10])
        assert (gateway.of().forks, numbers(gateway)) == (1, list(range(1, 11)))


async def refuse(_: Gateway, connection: ServerConnection) -> None:
    """Never takes anybody."""
    await say(connection, Refused("device 101 is not in the registry"))


async def garble(_: Gateway, connection: ServerConnection) -> None:
    """Says what is no message."""
    await connection.send("[" * 10_000)


async def boast(_: Gateway, connection: ServerConnection) -> None:
    """Sends ten megabytes."""
    await connection.send("x" * 10_000_000)


async def lie(gateway: Gateway, connection: ServerConnection) -> None:
    """Acknowledges what was never sent."""
    await greet(gateway, connection)
    await say(connection, Ack(10**6, 10**6))
    await connection.wait_closed()


async def insist(gateway: Gateway, connection: ServerConnection) -> None:
    """Resumes where nothing is, for ever."""
    gateway.of().row = 77
    await greet(gateway, connection)
    for _ in range(3):
        await say(connection, Resume(77, "", 0))
    await connection.wait_closed()


async def flood(gateway: Gateway, connection: ServerConnection) -> None:
    """Acknowledges nothing, twenty thousand times."""
    await greet(gateway, connection)
    for _ in range(20_000):
        await say(connection, Ack(0, 0))


async def vanish(_: Gateway, connection: ServerConnection) -> None:
    """Closes at once."""
    await connection.close(1013, "try again later \x1b[31m")


@pytest.mark.parametrize("behaviour", [refuse, garble, boast, lie, insist, flood, vanish])
async def test_a_bad_gateway_harms_nobody(tmp_path: Path, behaviour: Any) -> None:
    """It is tried again and again, said in the log without its escape sequences; the good one beside it has everything."""
    with capture_logs() as logged:
        async with running(behaviour) as bad, running() as good, node(tmp_path, bad, good) as made:
            await made.write(1, 2_000)
            await good.until(lambda: numbers(good)[-1:] == [2_000])
            await bad.until(lambda: bad.connections >= 3)
            assert dict(made.feed.view()[bad.url])["unacked"] == 2_000
    lost = [line for line in logged if line["event"] == "gateway_lost"]
    assert {line["kind"] for line in lost} == {bad.url}
    assert all(line["reason"].isprintable() and len(line["reason"]) <= 300 for line in lost)


async def test_nothing_is_told_of_an_open_lot(tmp_path: Path) -> None:
    """Its bids and what is after them wait in the journal until it has ended; then they come before its end."""
    async with running() as gateway, node(tmp_path, gateway) as made:
        for number, lot_id in ((1, 5), (2, OPEN_LOT), (3, OPEN_LOT), (4, 5)):
            made.journal.bid(bid(number, lot_id))
        await made.journal.commit([row(1)])
        await gateway.until(lambda: numbers(gateway) == [1])
        assert [found.number for found in gateway.of().bids] == [1]
        await made.journal.commit([row(OPEN_LOT, "lot")])
        made.feed.tell("query", {"battery": 1}, system_now())
        await gateway.until(lambda: bool(gateway.of().items))
        assert numbers(gateway) == [1]
        made.closed_below = OPEN_LOT + 1
        await made.journal.commit([row(3)])
        await gateway.until(lambda: numbers(gateway) == [1, 2, 3])
        assert gateway.of().order == [("bid", 5), ("bid", OPEN_LOT), ("bid", OPEN_LOT), ("bid", 5), ("lot", OPEN_LOT)]


async def test_what_is_left_is_told_at_the_end(tmp_path: Path) -> None:
    """The last row is written, and the node stops at once: the gateway has it."""
    async with running() as gateway:
        async with node(tmp_path, gateway) as made:
            await gateway.until(lambda: bool(gateway.of().hellos))
            await made.write(1, 3_000)
        assert numbers(gateway) == list(range(1, 3_001))


async def test_the_hello_names_the_journal(tmp_path: Path) -> None:
    """The same over restarts, another one for another journal."""
    async with running() as gateway:
        for directory in ("a", "a", "b"):
            (tmp_path / directory).mkdir(exist_ok=True)
            async with node(tmp_path / directory, gateway):
                count = len(gateway.of().hellos)
                await gateway.until(lambda count=count: len(gateway.of().hellos) > count)  # type: ignore[misc]
        journals = [hello.journal for _, hello in gateway.of().hellos]
        assert journals[0] == journals[1] != journals[2]
        assert {hello.audience for _, hello in gateway.of().hellos} == {f"127.0.0.1:{gateway.port}"}


async def test_in_signed_a_node_proves_itself(tmp_path: Path) -> None:
    """The registered key has signed this gateway's challenge, for this gateway and this market; another's verifies nothing."""
    async with running() as gateway:
        journal = Journal.open(tmp_path / "state", role="bess", device_id=101)
        settings = NodeSettings(device_id=101, gateway=[gateway.url])
        feed = open_feed(
            settings,
            Role.BESS,
            profile_of(101, Role.BESS),
            journal,
            about={"mechanism": "english"},
            lots=lambda: NO_AUCTIONS,
            hidden=False,
            rng=random.Random(1),
        )
        assert feed is not None
        feeding = asyncio.create_task(feed.run())
        await gateway.until(lambda: bool(gateway.of().hellos))
        feed.stop()
        await feeding
        ((challenge, hello),) = gateway.of().hellos
        said = wire.proof(
            challenge=challenge,
            network_id=NETWORK.network_id,
            audience=f"127.0.0.1:{gateway.port}",
            role="bess",
            device_id=101,
            journal=journal.identity,
        )
        journal.close()
    assert bytes.fromhex(hello.key) == pair(101).public
    assert crypto_sign_open(bytes.fromhex(hello.signature) + said, pair(101).public) == said
    with pytest.raises(BadSignatureError):
        crypto_sign_open(bytes.fromhex(hello.signature) + said[:-1] + b"x", pair(101).public)


async def test_without_a_gateway_there_is_no_feed(tmp_path: Path) -> None:
    """Nothing is opened, read or watched; a wrong URL ends the start."""
    journal = Journal.open(tmp_path / "state", role="bess", device_id=101)
    rest: dict[str, Any] = {"about": {}, "lots": lambda: NO_AUCTIONS, "hidden": False, "rng": random.Random(1)}
    profile = profile_of(101, Role.BESS)
    assert open_feed(NodeSettings(device_id=101), Role.BESS, profile, journal, **rest) is None
    with pytest.raises(SettingsError, match="gateway is 'gateway:1'"):
        open_feed(NodeSettings(device_id=101, gateway=["gateway:1"]), Role.BESS, profile, journal, **rest)
    assert journal._watcher is None
    journal.close()


async def test_reports_are_told_when_they_say_something_new(tmp_path: Path) -> None:
    """Status each period, if it changed; metrics not as often, and with how far this gateway is behind."""
    async with running() as gateway, node(tmp_path, gateway) as made:
        ended, calls = asyncio.Event(), count()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                report(
                    made.feed,
                    ended,
                    period_s=0.005,
                    status=lambda _: {"sessions": min(next(calls) // 5, 3)},
                    metrics=lambda: {"journal_waiting": 7},
                )
            )
            await gateway.until(lambda: {"sessions": 3} in gateway.of().of("status"))
            ended.set()
        told = [body["sessions"] for body in gateway.of().of("status")]
        assert told == sorted(set(told))
        assert gateway.of().of("metrics") == [{"journal_waiting": 7, "feed_unacked": 0, "feed_dropped": 0}]


def test_market_time() -> None:
    """Where no day is replayed it is the wall's, also for rows from before this start; else as the settings say."""
    now = system_now()
    assert market_time(DaySettings(), now).at(17) == 17
    replayed = market_time(DaySettings(day_start=1_000.0, day_speed=60.0, day_origin=2_000.0), now)
    assert replayed == MarketTime(2_000_000_000, 1_000_000_000, 60.0)
    assert replayed.at(2_001_000_000) == 1_060_000_000
    assert market_time(DaySettings(day_start=1_000.0), now).at(now.wall_us) == 1_000_000_000


async def test_a_fault_in_the_feed_ends_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody thought of, once, while a page is read: said in the log, and the next connection has everything."""
    async with running() as gateway, node(tmp_path, gateway) as made:
        real, faults = made.feed._pages.read, []

        async def read(*asked: Any) -> Any:
            if not faults:
                faults.append(1)
                raise KeyError("nobody thought of it")
            return await real(*asked)

        monkeypatch.setattr(made.feed._pages, "read", read)
        await made.write(1, 10)
        await gateway.until(lambda: numbers(gateway)[-1:] == [10])
    assert faults
    assert numbers(gateway) == list(range(1, 11))


async def test_a_feed_that_is_cancelled_ends(tmp_path: Path) -> None:
    """Also where its connection breaks in the same instant, at whichever turn of the loop."""
    for rounds in range(12):
        async with running() as gateway:
            made = Node(tmp_path / str(rounds), [gateway.url])
            task = asyncio.create_task(made.feed.run())
            await gateway.until(lambda gateway=gateway: bool(gateway.of().hellos))  # type: ignore[misc]
            for connection in list(gateway._server.connections):  # type: ignore[union-attr]
                connection.transport.abort()
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            async with asyncio.timeout(10):
                await asyncio.wait({task})
            made.journal.close()
