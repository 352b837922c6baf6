"""How a feed's connections end and follow each other: what others see of their node, and what they leave behind."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from etp.clock import Now
from etp.units import MonotonicS, WallUs
from gateway.access import asker
from gateway.batch import Position
from gateway.events import AuctionStarted, BESSNodeStatus, Event, LotUpdated
from gateway.ingest import Caller, Feed, FeedLimits, Observe, Rules
from gateway.io import ingest as ingest_module
from gateway.io.ingest import Ingest
from gateway.io.store import Store
from gateway.world import World
from runtime.feed import wire
from runtime.feed.wire import Item, MarketTime, Rows, Telemetry
from tests.gateway.serving import connected, eventually, hello, say, serving

STATUS = Item("status", 5, {"stored_wh": 1, "for_sale_wh": 0})
OPENED_US = 2
LOT = Item("lot", 9, {"lot_id": 7, "mechanism": "english", "energy_wh": 1_000, "opened_us": OPENED_US, "bidders": 3})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store in a file."""
    made = await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'store.sqlite'}")
    yield made
    await made.close()


def at(seconds: float) -> Now:
    """An instant."""
    return Now(MonotonicS(seconds), WallUs(round(seconds * 1e6)))


def greeted(speed: float = 1.0) -> Feed:
    """A connection that has said who it is."""
    feed = Feed(Rules(FeedLimits(), None), Caller(is_local=True, address="127.0.0.1", port=1), "ab" * 32, at(0))
    feed.receive(wire.encode(hello(market_time=MarketTime(0, 0, speed))), at(0))
    return feed


def opened(older: Feed | None = None, speed: float = 1.0) -> Feed:
    """One that publishes, in place of an older one."""
    feed = greeted(speed)
    if older is not None:
        feed.take_over(older)
    feed.located(Position(0, 0, "", 0), at(0))
    return feed


def told(feed: Feed, *items: Item) -> list[Event]:
    """What telemetry becomes."""
    effects = feed.receive(wire.encode(Telemetry(list(items), 0)), at(1))
    return [event for effect in effects if isinstance(effect, Observe) for event in effect.seen.told]


def test_a_node_goes_offline_with_its_newest_connection() -> None:
    """Though that one ended before it showed anything, or before the store had answered: what it showed last is its older ones'."""
    first = opened()
    told(first, STATUS)
    for newer in (opened(first), greeted()):
        if newer.watch is None:
            newer.take_over(first)
        newest = greeted()
        newest.take_over(newer)
        for ended in (newer, newest):
            [gone] = ended.gone(at(8))
            assert isinstance(gone, BESSNodeStatus)
            assert (gone.online, gone.stored_wh, gone.time_us) == (False, 1, 8_000_000)
    assert greeted().gone(at(8)) == []


def test_a_lot_starts_once_and_when_it_opened() -> None:
    """A newer connection is told of the open lot again: no second start. The first tells since when, not since it was heard."""
    first = opened(speed=3.0)
    started, updated = told(first, LOT)
    assert isinstance(started, AuctionStarted)
    assert (started.time_us, started.market_us) == (OPENED_US, 3 * OPENED_US)
    assert (updated.time_us, updated.market_us) == (9, 27)
    assert [type(event) for event in told(opened(first), LOT)] == [LotUpdated]
    world = World(trades=1)
    world.apply([started, updated])
    assert [lot.opened_us for lot in world.snapshot(epoch="", seq=0, now_us=0, gap=False).lots] == [OPENED_US]


@pytest.mark.parametrize(("said_us", "opened_us"), [(0, 9), (10**15, 9), (3, 3)])
def test_a_lot_opened_before_it_was_told(said_us: int, opened_us: int) -> None:
    """Whatever its node says: not after, and not at the beginning of time where it says nothing."""
    lot = Item("lot", 9, {"lot_id": 7, "energy_wh": 1, "opened_us": said_us})
    assert told(opened(), lot)[0].time_us == opened_us


def test_a_node_is_told_again_whole() -> None:
    """Where somebody took it to be gone, and forgot its lot: what it is, and what can be bid for."""
    feed = opened()
    assert feed.again(at(1)) == []
    told(feed, STATUS, LOT)
    world = World(trades=1)
    world.apply(feed.gone(at(2)))
    world.apply(feed.again(at(3)))
    shown = world.snapshot(epoch="", seq=0, now_us=0, gap=False)
    assert world.is_online(101)
    assert [(lot.lot_id, lot.bidders, lot.opened_us) for lot in shown.lots] == [("7", 3, OPENED_US)]


async def test_offline_though_the_newer_connection_said_nothing(store: Store) -> None:
    """Over real websockets."""
    world = World(trades=1)
    store.on_events = world.apply
    async with serving(Ingest(store)) as place, connected(place) as (old, _):
        await say(old, Telemetry([STATUS], 0))
        await eventually(lambda: world.is_online(101))
        async with connected(place):
            assert world.is_online(101)
        await eventually(lambda: not world.is_online(101))


async def test_what_waits_is_counted_until_it_is_durable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after its connection ended; and then it is counted off once."""
    ingest = Ingest(store)
    gate, run = asyncio.Event(), store._writer.run
    async with serving(ingest) as place:
        async with connected(place) as (client, _):

            async def slow(work: Any) -> Any:
                await gate.wait()
                return await run(work)

            monkeypatch.setattr(store._writer, "run", slow)
            message = Rows([], 1, "")
            await say(client, message)
            await eventually(lambda: ingest.held_bytes > 0)
        await eventually(lambda: ingest.nodes == 0)
        held = ingest.held_bytes
        gate.set()
        assert held == len(wire.encode(message))
        await eventually(lambda: store.counts.transactions > 1)
        await eventually(lambda: ingest.held_bytes == 0)
    assert ingest.held_bytes == 0


class Deaf:
    """A node's socket that takes its challenge and then nothing more: whoever sends waits."""

    def __init__(self) -> None:
        asked = asker("127.0.0.1", tls=False, headers={b"host": b"127.0.0.1"}, proxies=())
        self.scope = {"etp.asker": asked, "server": ("127.0.0.1", 1)}
        self.messages = [wire.encode(hello()).decode()]
        self.stuck = asyncio.Event()
        self._sent = 0

    async def accept(self) -> None:
        """The handshake."""

    async def receive(self) -> dict[str, Any]:
        """Its Hello; once somebody waits for it, what is no message."""
        if not self.messages:
            await self.stuck.wait()
            return {"type": "websocket.receive", "text": "no message"}
        return {"type": "websocket.receive", "text": self.messages.pop()}

    async def send_text(self, _: str) -> None:
        """Its buffer is full from the second message on."""
        self._sent += 1
        if self._sent > 1:
            self.stuck.set()
            await asyncio.Event().wait()

    async def close(self, _: int, __: str) -> None:
        """As any message."""
        raise AssertionError("what is before the farewell was not read")


async def test_who_does_not_read_is_left_all_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a farewell counts from when it is due, also where an earlier message is still being sent."""
    monkeypatch.setattr(ingest_module, "FAREWELL_S", 0.05)
    ingest, node = Ingest(store), Deaf()
    async with asyncio.timeout(5):
        await ingest.serve(node)  # type: ignore[arg-type]
    assert (ingest.nodes, ingest.refused) == (0, 1)
