"""Several gateways over one PostgreSQL, joined by a real Redis: one order for all, and nothing stored depends on Redis."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import replicas
from gateway.events import Event, TradeConfirmed
from gateway.io import bus as bus_module
from gateway.io import parts as parts_module
from gateway.io.bus import Bus
from gateway.io.parts import Parts
from runtime.feed.wire import Item, Telemetry
from runtime.settings import SettingsError
from tests.gateway.conftest import PostgresServer
from tests.gateway.serving import connected, eventually, hello
from tests.gateway.serving import say as feed_say
from tests.gateway.whole import Running, query, said, serving, until


class RedisServer:
    """A server of the tests' own."""

    def __init__(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self.start()

    def start(self) -> None:
        """Empty, as after a loss: nothing is written to the disk."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._directory)]
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        raise AssertionError("redis-server does not listen")

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    """A server; skips the test where Debian's Redis is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed (Debian: redis-server)")
    server = RedisServer(directory)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """One for a test, found again quickly when it is back."""
    monkeypatch.setattr(bus_module, "AGAIN_S", 0.05)
    monkeypatch.setattr(bus_module, "BLOCK_MS", 100)
    with redis_server(tmp_path) as server:
        yield server


class FakeStore:
    """As much of a store as a bus sees: durable events with their numbers, and what was told."""

    def __init__(self) -> None:
        self.epoch, self.seq = "e", 500
        self.told: list[Event] = []
        self.came = asyncio.Event()
        self.lost: list[tuple[int, Event]] = []
        self.seqs: dict[int, int] = {}
        self.reads = 0
        self.reading: Callable[[], Awaitable[None]] | None = None
        """What happens while it is read."""
        self.on_numbered: Callable[[], Any] = lambda: None

    def deliver(self, told: list[Event]) -> None:
        """Events that came."""
        self.told += told
        self.came.set()

    def numbered(self, pairs: list[tuple[int, int]]) -> None:
        """What was sent."""
        self.seqs.update(pairs)
        self.on_numbered()

    async def unnumbered(self, limit: int, after: int = 0) -> list[tuple[int, Event]]:
        """What was not."""
        self.reads += 1
        if self.reading is not None:
            await self.reading()
        return [pair for pair in self.lost if pair[0] > after and pair[0] not in self.seqs][:limit]


def durable(number: int) -> tuple[int, Event]:
    """A trade of that number."""
    trade = TradeConfirmed(
        id=f"101.0.{number}", node="101", time_us=1, market_us=1, lot_id="1", auction_id="1", aggregator="500",
        message_id="1", energy_wh=1, price_micro_per_kwh=1, bid_micro_per_kwh=1, paid_micro=1, bidders=None,
        first_micro_per_kwh=None, feed_in_micro_per_kwh=None,
    )  # fmt: skip
    return number, trade


class Joined:
    """A bus that works."""

    def __init__(self, bus: Bus, store: FakeStore) -> None:
        self.bus, self.store, self.skipped = bus, store, list[int]()
        bus.on_skipped = self.skipped.append

    async def told(self, count: int) -> list[Event]:
        """So many events, once they came."""
        async with asyncio.timeout(10):
            while len(self.store.told) < count:
                self.store.came.clear()
                await self.store.came.wait()
        return self.store.told


async def join(tasks: asyncio.TaskGroup, url: str, store: FakeStore | None = None) -> Joined:
    store = store or FakeStore()
    joined = Joined(await Bus.open(url, store), store)  # type: ignore[arg-type]
    await joined.bus.newest(100)
    tasks.create_task(joined.bus.run())
    return joined


async def test_one_order_for_all(redis: RedisServer) -> None:
    """Two gateways that publish at once hear the same events with the same numbers, without a hole; durable ones once."""
    async with asyncio.TaskGroup() as tasks:
        first, second = [await join(tasks, redis.url) for _ in range(2)]
        for number in range(50):
            await first.bus.number([durable(number), (None, query(1, number))])
            await second.bus.number([durable(number), (None, query(2, number))])
        heard = [await one.told(150) for one in (first, second)]
        assert heard[0] == heard[1]
        seqs = [event.seq for event in heard[0]]
        assert seqs == sorted(set(seqs))
        ids = [event.id for event in heard[0] if event.id]
        assert len(ids) == len(set(ids)) == 50
        assert set(first.store.seqs) == set(range(50))
        assert (first.skipped, second.skipped) == ([], [])
        late = await Bus.open(redis.url, FakeStore())  # type: ignore[arg-type]
        assert [event.seq for event in await late.newest(1_000)][-1] == seqs[-1]
        await late._client.aclose()
        for one in (first, second):
            await one.bus.close()


async def test_what_a_crash_left_is_sent(redis: RedisServer) -> None:
    """Durable events without a number, from the database, at the start."""
    async with asyncio.TaskGroup() as tasks:
        store = FakeStore()
        store.lost = [durable(7), durable(8)]
        joined = await join(tasks, redis.url, store)
        assert [event.id for event in await joined.told(2)] == ["101.0.7", "101.0.8"]
        await joined.bus.close()


async def test_redis_gone_and_back_empty(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What found no room is read again or flagged; numbers go on above all that were given; a gap is said."""
    monkeypatch.setattr(bus_module, "MOST_WAITING", 3)
    async with asyncio.TaskGroup() as tasks:
        joined = await join(tasks, redis.url)
        sent = asyncio.Event()
        joined.store.on_numbered = sent.set
        await joined.bus.number([durable(1)])
        before = (await joined.told(1))[0].seq
        await sent.wait()  # or it would wait with the others for Redis, which was killed before it answered
        redis.stop()
        await joined.bus.number([durable(2), (None, query(1, 1)), durable(3), durable(4), (None, query(1, 2))])
        joined.store.lost = [durable(4)]
        assert joined.bus.dropped == 1
        await asyncio.to_thread(redis.start)
        told = await joined.told(5)
        assert sorted(event.id for event in told if event.id) == [f"101.0.{number}" for number in (1, 2, 3, 4)]
        assert told[1].seq > before + 1
        assert joined.skipped
        await joined.bus.close()


async def test_the_order_outlives_what_finds_no_room(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Durable events come in the order of their numbers, though some had to be read again, in pages, while others came.

    One comes when there is room again before what found none is read, one while a page of several is read, one with the last.
    """
    monkeypatch.setattr(bus_module, "MOST_WAITING", 3)
    monkeypatch.setattr(bus_module, "AT_ONCE", 1)
    async with asyncio.TaskGroup() as tasks:
        joined = await join(tasks, redis.url)
        store, number = joined.store, joined.bus.number
        await number([durable(1)])
        await joined.told(1)
        store.lost = [durable(each) for each in range(2, 9)]
        later = iter([number([durable(8)])])
        store.on_numbered = lambda: [tasks.create_task(each) for each in later]

        async def meanwhile() -> None:
            if store.reads == 2:
                store.lost.append(durable(9))
                await number([durable(9)])
            elif store.reads == 3:
                await number([durable(10)])

        store.reading = meanwhile
        await number([durable(each) for each in range(2, 8)])
        told = await joined.told(10)
        assert [event.id for event in told] == [f"101.0.{each}" for each in range(1, 11)]
        assert sorted(store.seqs) == list(range(1, 11))
        assert store.reads == 3
        await joined.bus.close()


async def test_a_database_that_is_away_ends_nobody(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crash left is read again later; so are the sums of gateways that share a database."""

    class Away:
        """A database that refuses the first connection, and tells so as the operating system does."""

        def __init__(self) -> None:
            self.asked = 0

        async def refuse(self) -> None:
            """Once."""
            self.asked += 1
            if self.asked == 1:
                raise ConnectionRefusedError(111, "refused")

    async with asyncio.TaskGroup() as tasks:
        store = FakeStore()
        store.lost, store.reading = [durable(7)], Away().refuse
        joined = await join(tasks, redis.url, store)
        assert [event.id for event in await joined.told(1)] == ["101.0.7"]
        await joined.bus.close()

    monkeypatch.setattr(parts_module, "COUNT_S", 0.01)
    away, stopping = Away(), asyncio.Event()

    async def world(_: int) -> Any:
        await away.refuse()
        stopping.set()
        return SimpleNamespace(totals="counted")

    parts: Any = SimpleNamespace(store=SimpleNamespace(world=world), world=SimpleNamespace(totals=None))
    async with asyncio.timeout(5):
        await Parts.count_again(parts, stopping)
    assert parts.world.totals == "counted"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats of a tenth of a second; who misses fifteen is silent."""
    monkeypatch.setattr(bus_module, "BEAT_S", 0.1)
    monkeypatch.setattr(replicas, "SILENT_S", 1.5)
    monkeypatch.setattr(replicas, "FORGOTTEN_S", 2.0)


@pytest.mark.usefixtures("quick")
async def test_nodes_of_a_gateway_that_is_killed_are_found(redis: RedisServer) -> None:
    """Its beats stop without a word: the others learn what it held and nobody else does; then it is forgotten."""
    async with asyncio.TaskGroup() as tasks:
        survivor = await join(tasks, redis.url)
        survivor.bus.devices = lambda: [102]
        found, news = list[set[int]](), asyncio.Event()

        def orphans(devices: Iterable[int]) -> None:
            found.append(set(devices))
            news.set()

        survivor.bus.on_orphans = orphans
        killed = Bus(survivor.bus._client, FakeStore())  # type: ignore[arg-type]
        killed.devices = lambda: [101, 102, 2**64 - 1]
        beating = asyncio.create_task(killed._beat_on())
        await survivor.bus._client.hset(survivor.bus._beats, "newer", b'{"of": "another version"}')
        async with asyncio.timeout(10):
            await _gateways(survivor.bus, 3)
            assert found == []
            beating.cancel()
            await news.wait()
            assert found[0] == {101, 2**64 - 1}
            await _gateways(survivor.bus, 2)
        await survivor.bus.close()


async def test_a_node_that_comes_hurries_the_beat(
    redis: RedisServer, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others know at once whose it is, not when the next beat is due: here, in a minute."""
    monkeypatch.setattr(bus_module, "BEAT_S", 60.0)
    async with serving(tmp_path, monkeypatch, database=postgres.database(), redis=redis.url) as gateway:
        for number in (101, 102):
            async with connected(f"{gateway.host}:{gateway.port}", hello(device_id=number)):
                await told(gateway, number)


async def _gateways(bus: Bus, count: int) -> None:
    """Until so many have a beat in Redis."""
    while len(await bus._client.hgetall(bus._beats)) != count:  # noqa: ASYNC110 - what it waits for tells nobody
        await asyncio.sleep(0.01)


async def test_an_older_copy_of_redis_counts_on_above(redis: RedisServer) -> None:
    """A counter that went back gives no number twice."""
    async with asyncio.TaskGroup() as tasks:
        joined = await join(tasks, redis.url)
        await joined.bus.number([durable(number) for number in range(5)])
        newest = (await joined.told(5))[-1].seq
        await joined.bus._client.set(joined.bus._counter, newest - 3)
        await joined.bus.number([durable(9)])
        assert (await joined.told(6))[-1].seq > newest
        await joined.bus.close()


async def test_no_redis_is_a_wrong_setting() -> None:
    """At the start, with its URL but for the password."""
    with pytest.raises(SettingsError, match="expected a Redis server") as refused:
        await Bus.open("redis://user:secret@127.0.0.1:1/0", FakeStore())  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)


async def test_two_gateways_over_one_database(
    redis: RedisServer, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one publishes reaches the other's clients; who resumes there goes on where it was; a session counts at both."""
    common: dict[str, Any] = {"database": postgres.database(), "redis": redis.url}
    async with (
        serving(tmp_path / "1", monkeypatch, **common) as first,
        serving(tmp_path / "2", monkeypatch, **common) as second,
    ):
        key = await first.key()
        async with first.stream(key) as here, second.stream(key) as there:
            for one in (here, there):
                await one.send('{"verb":"subscribe"}')
                await until(one, "Subscribed")
            first.publish(3, node=101)
            second.publish(2, node=102)
            heard = [await _queries(one, 5) for one in (here, there)]
            assert heard[0] == heard[1]
            assert {event["node"] for event in heard[0]} == {"101", "102"}
        async with second.stream(key) as again:
            middle = heard[0][2]
            await again.send(f'{{"verb":"resume","epoch":"{middle["epoch"]}","seq":{middle["seq"]}}}')
            resumed = await until(again, "Resumed")
            assert (resumed["gap"], resumed["telemetry_gap"]) == (False, False)
            assert await _queries(again, 2) == heard[0][3:]


STATUS = Item("status", 5, {"stored_wh": 1, "for_sale_wh": 0})


@pytest.mark.usefixtures("quick")
async def test_nodes_follow_their_gateway_or_another(
    redis: RedisServer, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two nodes at a gateway that falls silent one dials another: that one stays online everywhere, the other goes.

    And where a node is told to be gone that is here (its gateway slept, or an older connection of it ended elsewhere), the
    gateway that has it says that it is not.
    """
    common: dict[str, Any] = {"database": postgres.database(), "redis": redis.url}
    async with (
        serving(tmp_path / "1", monkeypatch, **common) as first,
        serving(tmp_path / "2", monkeypatch, **common) as second,
    ):
        places = [f"{one.host}:{one.port}" for one in (first, second)]
        online = second.parts.world.is_online
        async with connected(places[0]) as (here, _), connected(places[0], hello(device_id=102)) as (other, _):
            for client in (here, other):
                await feed_say(client, Telemetry([STATUS], 0))
            await eventually(lambda: online(101) and online(102))
            async with connected(places[1], hello(device_id=102)) as (moved, _):
                await feed_say(moved, Telemetry([STATUS], 0))
                await told(first, 101)
                async with asleep(first, monkeypatch):
                    await eventually(lambda: not online(101))
                    assert online(102)
                await eventually(lambda: online(101))  # it is awake, and says that it has it
                second.parts.orphaned([102])
                assert online(102)
        await eventually(lambda: not online(101) and not online(102))


async def told(gateway: Running, device_id: int) -> None:
    """A beat of the gateway's has named this node."""
    bus = gateway.parts.bus
    assert bus is not None
    async with asyncio.timeout(20):
        while True:
            newest = await bus._client.hget(bus._beats, bus._replicas.own)
            if newest is not None and device_id in bus_module._beat_decoder.decode(newest).devices:
                return
            await asyncio.sleep(0.01)  # Redis tells nobody of a hash that changed


@asynccontextmanager
async def asleep(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Its process is stopped, as far as the others can see: no beats, and what comes waits."""
    bus, awake = gateway.parts.bus, asyncio.Event()
    assert bus is not None
    beat, came, newest = bus._beat, bus._came, bus.seq
    waiting: list[Event] = []

    def keep(events: Sequence[Event]) -> None:
        waiting.extend(events)
        bus.seq = waiting[-1].seq if waiting else newest

    async def late(number: int) -> Any:
        await awake.wait()
        return await beat(number)

    monkeypatch.setattr(bus, "_beat", late)
    monkeypatch.setattr(bus, "_came", keep)
    try:
        yield
    finally:
        monkeypatch.setattr(bus, "_came", came)
        bus.seq = newest
        came(waiting)
        awake.set()


async def _queries(websocket: Any, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += [one for one in await said(websocket) if one["type"] == "QuerySent"]
    return found
