"""The feed's gateway side: who may speak, what may be said, and what becomes of those who say something else."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from etp.clock import Now
from etp.codes import Role
from etp.io.clock import system_now
from etp.registry import Registry
from etp.units import MonotonicS, WallUs
from gateway.batch import Position
from gateway.bodies import LONGEST_TEXT
from gateway.events import (
    AuctionCompleted,
    AuctionStarted,
    BESSNodeStatus,
    Event,
    LotUpdated,
    SettlementUpdated,
    TradeConfirmed,
)
from gateway.ingest import Caller, End, Feed, FeedLimits, Keep, Locate, Observe, Pause, Refork, Rules, Send, State
from gateway.io.ingest import Ingest
from gateway.io.store import Store
from gateway.world import World
from runtime.backoff import Backoff
from runtime.feed import wire
from runtime.feed.address import parse_gateways
from runtime.feed.publish import Lots
from runtime.feed.session import Speaker
from runtime.feed.wire import Ack, Bids, FeedBid, FeedRow, Fork, Item, MarketTime, Refused, Resume, Rows, Telemetry
from runtime.io.feed import Feed as NodeFeed
from runtime.io.journal import Journal
from sim.world import World as Simulated
from tests.gateway.journals import market
from tests.gateway.serving import connected, eventually, hear, hello, pragma, say, serving
from tests.signing import member, pair, registry
from tests.support import plan

LOCAL = Caller(is_local=True, address="127.0.0.1", port=8080)
AWAY = Caller(is_local=False, address="10.0.0.9", port=8443)
NAMES = frozenset({"gateway.example:443"})
CHALLENGE = "ab" * 32
BEGINNING = Position(0, 0, "", 0)


def at(seconds: float, wall_us: int = 1_000) -> Now:
    """An instant."""
    return Now(MonotonicS(seconds), WallUs(wall_us))


def core(caller: Caller = LOCAL, members: Registry | None = None, limits: FeedLimits = FeedLimits()) -> Feed:
    """A connection that has said nothing."""
    return Feed(Rules(limits, members, NAMES), caller, CHALLENGE, at(0))


def opened(**more: Any) -> Feed:
    """A plain battery that was told where to resume."""
    feed = core(**more)
    assert isinstance(feed.receive(wire.encode(hello()), at(0))[0], Locate)
    assert feed.located(BEGINNING, at(0)) == [Send(Resume(0, "", 0))]
    return feed


def refusal(feed: Feed, message: Any, now: Now | None = None) -> str:
    """Why a message ends the connection."""
    effects = feed.receive(message if isinstance(message, bytes) else wire.encode(message), now or at(1))
    said, end = effects
    assert isinstance(said, Send)
    assert isinstance(said.message, Refused)
    assert isinstance(end, End)
    assert feed.state is State.ENDED
    assert feed.receive(wire.encode(Fork()), at(1)) == []  # nothing is looked at any more
    return said.message.reason


def proven(members: Registry, *, device: int = 101, audience: str = "gateway.example:443", **more: Any) -> wire.Hello:
    """A signed Hello."""
    said = hello(device_id=device, audience=audience, key=pair(device).public.hex(), **more)
    proof = wire.proof(
        challenge=CHALLENGE, network_id=members.network.network_id, audience=audience, role=said.role,
        device_id=device, journal=said.journal,
    )  # fmt: skip
    return msgspec.structs.replace(said, signature=pair(device).sign(proof).hex())


# -- who may speak


def test_a_member_proves_itself() -> None:
    """By its registered key, over this challenge and this gateway's name."""
    members = registry()
    [locate] = core(AWAY, members).receive(wire.encode(proven(members)), at(0))
    assert isinstance(locate, Locate)
    assert (locate.node.device_id, locate.node.key) == (101, pair(101).public.hex())


def test_nobody_else_does() -> None:
    """Each way to be somebody else, and the words for it."""
    members = registry(member(103, Role.BESS, revoked_us=WallUs(5)))
    good = proven(members)
    edit = msgspec.structs.replace
    cases: list[tuple[wire.Hello, str]] = [
        (proven(members, device=999), "not in this gateway's registry"),
        (proven(members, device=103), "revoked"),
        (proven(members, device=500), "registered as aggregator, not as bess"),
        (edit(good, key=pair(102).public.hex()), "not the registered one"),
        (edit(good, key=""), "not the registered one"),
        (edit(good, signature=""), "signature"),
        (edit(good, signature="zz"), "signature"),
        (edit(good, signature=good.signature[:-2] + "00"), "signature"),
        (edit(good, journal="cd"), "signature"),
        (edit(good, device_id=102, key=pair(102).public.hex()), "signature"),
        (proven(members, audience="other.example:443"), "your proof is for other.example:443"),
        (edit(good, audience="other.example:443"), "your proof is for other.example:443"),
    ]
    for said, reason in cases:
        assert reason in refusal(core(AWAY, members), said), reason
    replayed = Feed(Rules(FeedLimits(), members, NAMES), AWAY, "cd" * 32, at(0))
    assert "signature" in refusal(replayed, good)


@pytest.mark.parametrize(
    ("caller", "audience", "known"),
    [
        (AWAY, "10.0.0.9:8443", True),
        (AWAY, "GATEWAY.example:443", True),
        (AWAY, "203.0.113.9:443", False),
        (AWAY, "10.0.0.9:443", False),
        (AWAY, "gateway.example:8443", False),
        (AWAY, "", False),
        (LOCAL, "127.0.0.1:8080", True),
        (LOCAL, "localhost:8080", True),
        (LOCAL, "127.0.0.1:8081", False),
        (Caller(is_local=False, address="127.0.0.1", port=8080), "127.0.0.1:8080", False),
    ],
)
def test_a_proof_for_another_gateway_is_none_here(caller: Caller, audience: str, known: bool) -> None:
    """Who has one that a node gave to another gateway cannot use it here, by whatever name they ask for us."""
    members = registry()
    said = proven(members, audience=audience)
    if known:
        assert isinstance(core(caller, members).receive(wire.encode(said), at(1))[0], Locate)
    else:
        assert "--origins" in refusal(core(caller, members), said)


def test_plain_nodes_are_this_machines_alone() -> None:
    """And a signed one is told to give the gateway a registry."""
    assert isinstance(core(LOCAL).receive(wire.encode(hello()), at(0))[0], Locate)
    assert "own machine" in refusal(core(AWAY), hello())
    assert "--registry" in refusal(core(LOCAL), proven(registry(), audience="127.0.0.1:8080"))


def test_a_member_that_is_revoked_meanwhile_is_not_heard() -> None:
    """From the moment on, and though it is connected."""
    members = registry()
    feed = core(AWAY, members)
    feed.receive(wire.encode(proven(members)), at(0))
    feed.located(BEGINNING, at(0))
    feed._rules.registry = members.revoked(101, WallUs(2_000))
    assert isinstance(feed.receive(wire.encode(Rows([], 1, "")), at(1, 1_999))[0], Keep)
    assert refusal(feed, Rows([], 2, ""), at(1, 2_000)) == "device 101 is revoked"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"version": 2}, "version is 2; this gateway speaks 1"),
        ({"device_id": -1}, "device_id is -1"),
        ({"device_id": 2**64}, "device_id is 18446744073709551616"),
        ({"journal": ""}, "journal is ''"),
        ({"journal": "x" * 100}, "journal is"),
        ({"journal": "ab\0"}, "journal is"),
        ({"market_time": MarketTime(-1, 0, 1.0)}, "market_time"),
        ({"market_time": MarketTime(0, 2**70, 1.0)}, "market_time"),
        ({"market_time": MarketTime(0, 0, 0.0)}, "speed is 0.0"),
        ({"market_time": MarketTime(0, 0, 1e7)}, "speed is 10000000.0"),
        ({"about": {"capacity_wh": -5}}, "about: Expected `int` >= 0 - at `$.capacity_wh`"),
        ({"about": {"mechanism": "<script>"}}, "about"),
        ({"about": {"mechanism": "a" * 24 + "\n"}}, "about"),
        ({"about": {"strategy": "\x1b[31m"}}, "about"),
    ],
)
def test_a_wrong_hello_is_told_why(more: dict[str, Any], reason: str) -> None:
    """Which field, and what would be right."""
    assert reason in refusal(core(), hello(**more))


def test_who_says_nothing_is_gone_in_five_seconds() -> None:
    """An unproven connection costs a place among few."""
    feed = core()
    assert feed.advance(at(4.9)) == []
    assert feed.next_deadline() == 5.0
    assert isinstance(feed.advance(at(5.0))[1], End)
    assert opened().next_deadline() is None


# -- what may be said


def row(seq: int = 1, **more: Any) -> FeedRow:
    """A trade."""
    body = {
        "bidder": 500, "message_id": 1, "energy_wh": 1_000, "price_micro_per_kwh": 120_000,
        "bid_micro_per_kwh": 120_000, "paid_micro": 120_000,
    }  # fmt: skip
    said: dict[str, Any] = {
        "seq": seq, "hash": f"{seq:064x}", "kind": "trade", "lot_id": seq, "state": "confirmed", "time_us": 5, "body": body
    }  # fmt: skip
    return FeedRow(**(said | more | {"body": body | more.get("body", {})}))


def rows(*found: FeedRow) -> Rows:
    """A message of them."""
    return Rows(list(found), found[-1].seq, found[-1].hash)


def bid(number: int = 1, **more: Any) -> FeedBid:
    """A bid that took part."""
    said: dict[str, Any] = {
        "number": number, "lot_id": 1, "bidder": 500, "message_id": 1, "energy_wh": 1, "price_micro_per_kwh": 1,
        "state": "standing", "time_us": 1,
    }  # fmt: skip
    return FeedBid(**(said | more))


def wrong_rows() -> Iterator[tuple[Any, str]]:
    """Messages that must not reach the store, and what their node is told."""
    for name, value in (
        ("seq", 0),
        ("seq", 2**53),
        ("lot_id", -1),
        ("lot_id", 2**63),
        ("time_us", -1),
        ("time_us", 2**60),
    ):
        yield rows(row(**{name: value})), f"{name} is {value}"
    for name, value in (
        ("hash", "x"),
        ("hash", "A" * 64),
        ("kind", "a\0b"),
        ("kind", "<script>"),
        ("state", "\x1b[2J"),
    ):
        yield rows(row(**{name: value})), f"its {name} is"
    for name, value, right in (
        ("energy_wh", -1, ">= 0"), ("energy_wh", 10**9 + 1, "<= 1000000000"), ("energy_wh", "1", "got `str`"),
        ("energy_wh", None, "got `null`"), ("paid_micro", 2**63, "<= "), ("bidder", -5, ">= 0"), ("bidder", True, "got `bool`"),
        ("price_micro_per_kwh", 1.5, "got `float`"),
    ):  # fmt: skip
        yield rows(row(body={name: value})), right
    yield wire.encode(rows(row(body={"more": 1}))).replace(b'"more":1', b'"more":18446744073709551616'), "64 bits"
    yield rows(row(body={"more": "x" * 9_000})), "expected 8192 at most"
    yield rows(row(2), row(1)), "rising"
    yield rows(row(1), row(1)), "rising"
    yield Rows([row(5)], 4, ""), "last is 4"
    yield Rows([row(1)], 1, "cd" * 32), "last_hash"
    yield Rows([], 1, "x" * 64), "last_hash"
    yield Rows([], 2**70, ""), "last is"
    yield Rows([row(n) for n in range(1, 502)], 501, ""), "500 at most"
    for name, value in (
        ("bidder", 2**64),
        ("message_id", -1),
        ("energy_wh", -1),
        ("price_micro_per_kwh", 10**9),
        ("lot_id", 2**64),
    ):
        yield Bids([bid(**{name: value})], 1), f"{name} is {value}"
    yield Bids([bid(state="a" * 17)], 1), "state"
    yield Bids([bid(2), bid(1)], 2), "rising"
    yield wire.encode(hello()), "second Hello"
    yield b"[" * 200_000, "no message of a feed"
    yield (
        b'{"type":"telemetry","dropped":0,"items":[{"kind":"x","time_us":1,"body":' + b'{"a":' * 10_000 + b"1",
        "no message",
    )
    yield b'{"type":"nothing"}', "no message of a feed"
    yield b'{"type":"rows","rows":[[1,"a","b",' + b"9" * 5_000 + b',"s",1,{}]],"last":1,"last_hash":""}', "no message"
    yield b"\xff\xfe", "no message of a feed"
    yield b" " * (wire.MAX_MESSAGE + 1), "expected 1048576 at most"


def test_what_is_wrong_is_refused_in_words() -> None:
    """Every wrong row, bid and message: named, short, printable; nothing of it is stored."""
    for message, reason in wrong_rows():
        said = refusal(opened(), message)
        assert reason in said, (said, reason)
        assert len(said) <= LONGEST_TEXT
        assert said.isprintable()


def test_an_aggregator_publishes_no_bids() -> None:
    """They are their battery's to tell, once the lot has ended."""
    feed = core()
    feed.receive(wire.encode(hello(role="aggregator")), at(0))
    feed.located(BEGINNING, at(0))
    assert "battery's" in refusal(feed, Bids([bid()], 1))


def test_kinds_of_later_versions_are_kept() -> None:
    """As evidence: a node that is newer than its gateway loses nothing."""
    [keep] = opened().receive(wire.encode(rows(row(kind="novelty", state="begun"))), at(1))
    assert isinstance(keep, Keep)
    assert keep.batch.rows[0].body is None


def test_nothing_is_taken_before_resume() -> None:
    """Rows before a Hello, or while the store is asked."""
    assert "out of turn" in refusal(core(), rows(row()))
    feed = core()
    feed.receive(wire.encode(hello()), at(0))
    assert "out of turn" in refusal(feed, rows(row()))


def test_batches_follow_each_other_and_acks_name_what_is_durable() -> None:
    """Each batch says what it follows; an Ack comes once the store has it."""
    feed = opened()
    [first] = feed.receive(wire.encode(Bids([bid(1), bid(2)], 4)), at(1))
    [second] = feed.receive(wire.encode(rows(row(3))), at(1))
    assert isinstance(first, Keep)
    assert isinstance(second, Keep)
    assert (first.batch.after_bid, first.batch.last_bid, second.batch.after_row, second.batch.after_bid) == (0, 4, 0, 4)
    assert feed.unacked_rows == 3
    assert feed.kept(first.batch) == [Send(Ack(0, 4))]
    assert feed.kept(second.batch) == [Send(Ack(3, 4))]
    assert (feed.unacked_rows, feed.unacked_bytes) == (0, 0)


def test_the_window_is_bounded() -> None:
    """Rows by number, bytes by waiting: what is not durable takes no more memory than that."""
    feed = opened()
    for last in range(500, 5_001, 500):
        message = Rows([row(n) for n in range(last - 499, last + 1)], last, f"{last:064x}")
        assert isinstance(feed.receive(wire.encode(message), at(1))[0], Keep)
    assert "unacknowledged" in refusal(feed, rows(row(5_001)))
    feed = opened()
    for last in (1, 2):
        assert not feed.full
        feed.receive(wire.encode(Rows([], last, "")) + b" " * 1_048_000, at(1))
    assert feed.full or feed.unacked_bytes > 2_000_000


def test_a_flood_waits_in_its_socket() -> None:
    """Beyond its share of bytes a node is not read for a while."""
    feed = opened()
    message = wire.encode(Telemetry([], 0)) + b" " * 1_000_000
    pauses = [effect.seconds for _ in range(20) for effect in feed.receive(message, at(1)) if isinstance(effect, Pause)]
    assert pauses[-1] > 2
    assert feed.receive(wire.encode(Telemetry([], 0)), at(10)) == []


def test_a_fork_is_asked_once_and_seldom() -> None:
    """Right after Resume; and a node whose journal is another one all the time is told to wait."""
    rules = Rules(FeedLimits(), None)

    def fresh() -> Feed:
        feed = Feed(rules, LOCAL, CHALLENGE, at(0))
        feed.receive(wire.encode(hello()), at(0))
        feed.located(Position(0, 9, "aa", 3), at(0))
        return feed

    feed = fresh()
    [refork] = feed.receive(wire.encode(Fork()), at(1))
    assert refork == Refork(feed._facts, Position(0, 9, "aa", 3))
    assert feed.located(Position(1, 0, "", 0), at(1)) == [Send(Resume(0, "", 0))]
    assert "said once" in refusal(feed, Fork())
    late = fresh()
    late.receive(wire.encode(rows(row(10))), at(1))
    assert "right after a Resume" in refusal(late, Fork())
    for _ in range(9):
        assert isinstance(fresh().receive(wire.encode(Fork()), at(1))[0], Refork)
    assert "too often" in refusal(fresh(), Fork())
    assert isinstance(fresh().receive(wire.encode(Fork()), at(120))[0], Refork)
    moved = Feed(rules, LOCAL, CHALLENGE, at(121))
    assert isinstance(moved.receive(wire.encode(hello(journal="cd")), at(121))[0], Locate)
    again = Feed(rules, LOCAL, CHALLENGE, at(121))
    assert "too often" in refusal(again, hello(journal="ef"), at(121))


# -- telemetry


def told(feed: Feed, *items: Item, now: Now | None = None) -> list[Event]:
    """What telemetry becomes."""
    effects = feed.receive(wire.encode(Telemetry(list(items), 3)), now or at(1))
    return [event for effect in effects if isinstance(effect, Observe) for event in effect.seen.told]


def open_lot(lot_id: int, mechanism: str = "english", **more: Any) -> Item:
    """A lot with bids, of a node that says everything."""
    body = {
        "lot_id": lot_id, "mechanism": mechanism, "energy_wh": 1_000, "reserve_micro_per_kwh": None,
        "ask_micro_per_kwh": 90_000, "standing_micro_per_kwh": 85_000, "bidders": 3, "opened_us": 1, "closes_us": 9,
    }  # fmt: skip
    return Item("lot", 5, body | more)


def test_an_open_lot_is_told_as_far_as_it_is_public() -> None:
    """English: who leads at what price. Sealed: nothing that says whether there are bids, whatever the node says."""
    english = told(opened(), open_lot(7))
    assert [type(event) for event in english] == [AuctionStarted, LotUpdated]
    assert isinstance(english[1], LotUpdated)
    assert (english[1].standing_micro_per_kwh, english[1].bidders, english[1].closes_us) == (85_000, 3, 9)
    sealed = told(opened(), open_lot(7, "vickrey"))[1]
    assert isinstance(sealed, LotUpdated)
    assert (sealed.standing_micro_per_kwh, sealed.bidders, sealed.closes_us) == (None, None, None)


@pytest.mark.parametrize(
    ("mechanism", "reserve", "standing", "ask"),
    [
        ("english", 80_000, 85_000, 90_000),
        ("english", None, 85_000, 90_000),
        ("english", None, None, None),
        ("vickrey", 80_000, 85_000, 80_000),
        ("vickrey", None, 85_000, None),
    ],
)
def test_an_ask_tells_no_secret(mechanism: str, reserve: int | None, standing: int | None, ask: int | None) -> None:
    """A sealed lot's is its reserve, whatever the node says; a hidden reserve is none before somebody leads."""
    prices = {"reserve_micro_per_kwh": reserve, "standing_micro_per_kwh": standing}
    updated = told(opened(), open_lot(7, mechanism, **prices))[1]
    assert isinstance(updated, LotUpdated)
    assert updated.ask_micro_per_kwh == ask


def test_a_lot_that_has_ended_does_not_open_again() -> None:
    """Telemetry that was overtaken by the row of the lot's end says nothing; a lot that is just gone is told as empty."""
    feed = opened()
    told(feed, open_lot(7))
    lot = {"mechanism": "english", "bids": 1, "digest": "", "capped": False}
    feed.receive(wire.encode(rows(row(kind="lot", state="reserved", lot_id=7, body=lot))), at(1))
    assert told(feed, open_lot(7)) == []
    assert [type(event) for event in told(feed, open_lot(8))] == [AuctionStarted, LotUpdated]
    gone = told(feed, Item("lot", 6, {"lot_id": 0}))
    assert [(event.lot_id, event.energy_wh) for event in gone if isinstance(event, LotUpdated)] == [("8", 0)]
    world = World(trades=3)
    world.apply([*told(feed, open_lot(9)), *told(feed, Item("lot", 6, {"lot_id": 0}))])
    assert world.snapshot(epoch="", seq=0, now_us=0, gap=False).lots == []


def test_telemetry_that_cannot_be_read_is_counted_and_costs_nothing_else() -> None:
    """Unknown kinds, wrong bodies, histograms whose buckets do not exist, floods."""
    feed = opened()
    bad_histogram = {
        "count": 1,
        "p50_ms": 1,
        "p90_ms": 1,
        "p99_ms": 1,
        "worst_ms": 1,
        "over_budget": 0,
        "buckets": {"999": 1},
    }
    items = [
        Item("novelty", 1, {}), Item("status", 1, {"stored_wh": -1, "for_sale_wh": 0}),
        Item("status", -1, {"stored_wh": 1, "for_sale_wh": 0}),
        Item("failure", 1, {"failure": "<script>"}), Item("depleted", 1, {"stored_wh": 2**70}), Item("query", 1, {}),
        Item("metrics", 1, {"histograms": {"age_ms": {"BID": bad_histogram, "\x1b": bad_histogram}}}),
    ]  # fmt: skip
    events = told(feed, *items)
    assert [type(event).__name__ for event in events] == ["SystemMetrics"]
    assert getattr(events[0], "latencies") == []  # noqa: B009 - of one of many types
    assert feed.watch is not None
    assert (feed.watch.counts.unknown, feed.watch.counts.wrong) == (2, 4)
    many = told(feed, *(Item("depleted", 1, {"stored_wh": 1}) for _ in range(4_000)))
    assert len(many) < 3_100
    assert feed.watch.counts.late > 900


def test_samples_are_kept_once_a_second_but_in_replays() -> None:
    """In a replay an hour is a second: each one counts there."""

    def samples(speed: float) -> int:
        feed = core()
        feed.receive(wire.encode(hello(market_time=MarketTime(0, 0, speed))), at(0))
        feed.located(BEGINNING, at(0))
        kept = set()
        for n in range(11):
            body = {"stored_wh": n, "for_sale_wh": 0}
            for effect in feed.receive(wire.encode(Telemetry([Item("status", n * 250_000, body)], 0)), at(1)):
                if isinstance(effect, Observe):
                    kept |= set(effect.seen.traces.samples)
        return len(kept)

    assert samples(1.0) == 3
    assert samples(3_600.0) == 11


# -- over real websockets


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store in a file."""
    made = await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'store.sqlite'}")
    yield made
    await made.close()


class Watched:
    """What a store tells."""

    def __init__(self, store: Store) -> None:
        self.told: list[Event] = []
        self._news = asyncio.Event()
        store.on_events = self._hear

    def _hear(self, told: Any) -> None:
        self.told += told
        self._news.set()

    async def until(self, kind: type[Event], count: int = 1) -> list[Any]:
        """The first `count` events of a kind."""
        async with asyncio.timeout(10):
            while len(found := [event for event in self.told if isinstance(event, kind)]) < count:
                self._news.clear()
                await self._news.wait()
        return found


async def test_a_real_nodes_journal_arrives_whole(store: Store, tmp_path: Path) -> None:
    """Rows and bids of a simulated day through the node's own journal, feed and websocket, signed: every trade is told."""
    simulated = Simulated(plan(3, "english"))
    simulated.run()
    desk = simulated.batteries[0]
    device = desk.core.device_id
    watched = Watched(store)
    members = registry()
    ingest = Ingest(store, registry=members)
    journal = Journal.open(tmp_path / "node", role="bess", device_id=device)
    async with serving(ingest) as place:
        speaker = Speaker(
            "bess", device, journal.identity, MarketTime(0, 0, 1.0), {"mechanism": "english"},
            members.network.network_id, pair(device).public, pair(device).sign,
        )  # fmt: skip
        feed = NodeFeed(
            parse_gateways([f"ws://{place}"]), speaker, journal, lots=lambda: Lots(2**62, 2**62), hidden=False,
            rng=random.Random(1), backoff=Backoff(first_s=0.01, limit_s=0.05),
        )  # fmt: skip
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed.run())
            for record in desk.disk.bids:
                journal.bid(record)
            for each in desk.disk.rows:
                await journal.commit([each])
            trades = sum(each.kind == "trade" for each in desk.disk.rows)
            found = await watched.until(TradeConfirmed, trades)
            feed.stop()
    journal.close()
    assert trades >= 2
    assert [event.bidders for event in found] == [event.bidders for event in found if event.bidders]
    assert store.counts.bids == len(desk.disk.bids)
    assert not [event for event in watched.told if isinstance(event, SettlementUpdated)]
    assert ingest.nodes == 0


async def test_a_feed_that_ends_is_told(store: Store) -> None:
    """Its node is offline from then on, and its place is free."""
    watched = Watched(store)
    ingest = Ingest(store)
    async with serving(ingest) as place:
        async with connected(place) as (client, _):
            await say(client, Telemetry([Item("status", 5, {"stored_wh": 1, "for_sale_wh": 0})], 0))
            await watched.until(BESSNodeStatus, 1)
            assert ingest.nodes == 1
        here, away = await watched.until(BESSNodeStatus, 2)
    assert (here.online, away.online) == (True, False)
    assert ingest.nodes == 0


async def test_the_newer_connection_of_a_device_has_it(store: Store) -> None:
    """The older one is told so and ends; the node stays online."""
    watched = Watched(store)
    async with serving(Ingest(store)) as place, connected(place) as (old, _):
        await say(old, Telemetry([Item("status", 5, {"stored_wh": 1, "for_sale_wh": 0})], 0))
        await watched.until(BESSNodeStatus)
        async with connected(place) as (new, _):
            said = await hear(old)
            assert said == Refused("another connection of this device took over")
            with pytest.raises(ConnectionClosed):
                await hear(old)
            await say(new, rows(row()))
            assert await hear(new) == Ack(1, 0)
            assert all(event.online for event in watched.told if isinstance(event, BESSNodeStatus))


async def test_strangers_are_few_and_soon_gone(store: Store) -> None:
    """Connections that say nothing fill their own places, not those of nodes; one too many is refused, the rest end in time."""
    ingest = Ingest(store, limits=FeedLimits(unproven=5, hello_s=0.3))
    async with serving(ingest) as place:
        async with connected(place):
            silent = [await connect(f"ws://{place}{wire.PATH}") for _ in range(5)]
            with pytest.raises(Exception, match=r"403|503"):
                await connect(f"ws://{place}{wire.PATH}")
            for client in silent:
                await hear(client)
                said = await hear(client)
                assert said == Refused("no Hello within 0.3 s")
                await client.close()
        async with connected(place, hello(device_id=102)):
            assert ingest.nodes == 1


async def test_a_stranger_cannot_hold_all_places(store: Store) -> None:
    """From one address beyond this machine only some of them."""
    ingest = Ingest(store, limits=FeedLimits(unproven=5, unproven_per_address=2), registry=registry())
    async with serving(ingest, proxies=("127.0.0.1",)) as place:
        head = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
        url = f"ws://{place}{wire.PATH}"
        clients = [await connect(url, additional_headers=head) for _ in range(2)]
        with pytest.raises(Exception, match=r"403|503"):
            await connect(url, additional_headers=head)
        clients.append(await connect(url, additional_headers=head | {"X-Forwarded-For": "203.0.113.8"}))
        for client in clients:
            await client.close()


async def test_hostile_messages_end_their_connection_alone(store: Store) -> None:
    """Every wrong message over a real websocket: its node hears why, others are served, and nothing of it is stored."""
    ingest = Ingest(store)
    async with serving(ingest) as place, connected(place, hello(device_id=7, journal="77")) as (neighbour, _):
        device = 1_000
        for message, reason in wrong_rows():
            device += 1
            async with connected(place, hello(device_id=device, journal=secrets.token_hex(4))) as (client, _):
                try:
                    await client.send(
                        (message if isinstance(message, bytes) else wire.encode(message)).decode("latin-1")
                    )
                    said = await hear(client)
                except ConnectionClosedError:  # too large for the server to read at all
                    assert "1048576" in reason
                    continue
                assert isinstance(said, Refused), (message, said)
        await say(neighbour, rows(row()))
        assert await hear(neighbour) == Ack(1, 0)
    assert (store.counts.rows, store.counts.bids, store.healthy) == (1, 0, True)
    assert ingest.held_bytes == 0


async def test_a_store_that_takes_nothing_acknowledges_nothing(store: Store) -> None:
    """The node is told to come again later; when the database is back, so is its journal."""
    journal = market(3, "english")[0]
    said = hello(device_id=journal.device_id, journal=journal.identity)
    watched = Watched(store)
    async with serving(Ingest(store)) as place:
        async with connected(place, said) as (client, _):
            await pragma(store, "query_only = ON")  # as a disk that became read-only
            await say(client, Bids(list(journal.bids), len(journal.bids)))
            with pytest.raises(ConnectionClosedError) as ended:
                await hear(client)
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1013
        assert not store.healthy
        await pragma(store, "query_only = OFF")
        await eventually(lambda: store.healthy)
        async with connected(place, said) as (client, resume):
            assert resume == Resume(0, "", 0)
            await say(client, Bids(list(journal.bids), len(journal.bids)))
            assert await hear(client) == Ack(0, len(journal.bids))
            await say(client, Rows(list(journal.rows), journal.rows[-1].seq, journal.rows[-1].hash))
            assert await hear(client) == Ack(journal.rows[-1].seq, len(journal.bids))
            await watched.until(AuctionCompleted)


async def test_a_revoked_node_is_gone_at_once(store: Store) -> None:
    """When the registry changes, without a word of its own."""
    members = registry()
    ingest = Ingest(store, registry=members)
    async with serving(ingest) as place, connect(f"ws://{place}{wire.PATH}") as client:
        challenge = await hear(client)
        said = proven(members, audience=place)
        proof = wire.proof(
            challenge=challenge.challenge, network_id=members.network.network_id, audience=place, role="bess",
            device_id=101, journal=said.journal,
        )  # fmt: skip
        await say(client, msgspec.structs.replace(said, signature=pair(101).sign(proof).hex()))
        assert isinstance(await hear(client), Resume)
        ingest.registered(members.revoked(101, WallUs(system_now().wall_us)))
        assert await hear(client) == Refused("device 101 is revoked")


def test_limits_leave_room_for_a_message() -> None:
    """A bound below one message would stop every feed."""
    with pytest.raises(ValueError, match="expected room"):
        replace(FeedLimits(), unacked_bytes=10)
