"""The store: whatever way journals arrive, it holds the same; nothing counts twice, nothing is lost, and it says what it cannot do."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, text

from etp.units import MicroPerKwh, Wh, money
from gateway import tables
from gateway.batch import Batch, Position
from gateway.bodies import MOST_COUNT, MOST_MICRO, MOST_MICRO_PER_KWH, MOST_WH
from gateway.events import AuctionCompleted, BESSNodeStatus, Event, SecurityEvent, TradeConfirmed, TradeSettled
from gateway.io.database import StoreError, StoreInUseError, StoreUnavailableError, UnstorableError, parse_url
from gateway.io.store import Retention, Store
from gateway.transaction import Observation, stored_form
from runtime.feed.wire import FeedRow
from tests.gateway.journals import FEED_IN, Journal, busy_market, market
from tests.gateway.serving import eventually, pragma

CONTENT = ("rows", "lots", "bids", "trades", "settlements", "sums", "rollups")
"""Tables that the journals alone decide."""
SUMS = ("trades", "energy_wh", "paid_micro", "settled", "settled_micro", "lots_bid", "lots_won")


class Summed(float):
    """A sum of floats: the order in which its terms came may change its last digits, and nothing else."""

    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isclose(self, other, rel_tol=1e-12)


async def ship(store: Store, journal: Journal, rng: random.Random) -> None:
    """Everything, in order, as one connection does."""
    position = await store.position(journal.facts, 1)
    for batch in journal.batches(position, rng):
        await store.ingest(batch)


async def ship_badly(store: Store, journal: Journal, rng: random.Random) -> None:
    """Connections that repeat, swap and lose batches until everything is there."""
    end = journal.rows[-1].seq
    for _ in range(100):
        position = await store.position(journal.facts, 1)
        if position.row == end and position.bid == len(journal.bids):
            return
        batches = list(journal.batches(position, rng))
        for number in range(len(batches)):
            if rng.random() < 0.2:
                other = rng.randrange(len(batches))
                batches[number], batches[other] = batches[other], batches[number]
        batches += rng.choices(batches, k=2)
        done = [store.submit(batch) for batch in batches[: rng.randint(1, len(batches))]]
        await asyncio.gather(*done)
        await asyncio.sleep(0)
    raise AssertionError("it never got through")


async def content(store: Store) -> dict[str, Any]:
    """What the store holds, without when it came and in which order."""
    found: dict[str, Any] = {}
    async with store.engine.connect() as connection:
        for name in CONTENT:
            table = tables.metadata.tables[name]
            rows = (await connection.execute(select(table).order_by(*table.primary_key.columns))).all()
            found[name] = [tuple(Summed(cell) if isinstance(cell, float) else cell for cell in row) for row in rows]
        nodes = tables.nodes.c
        query = select(
            nodes.device_id, nodes.role, nodes.row, nodes.row_hash, nodes.bid, *(nodes[name] for name in SUMS)
        )
        found["nodes"] = [tuple(row) for row in await connection.execute(query.order_by(nodes.device_id))]
        told = (await connection.execute(select(tables.events.c.event))).scalars()
        found["events"] = Counter(bytes(event) for event in told)
    return found


async def fill(url: str, journals: Sequence[Journal], seed: int, *, badly: bool) -> tuple[dict[str, Any], list[Event]]:
    """A store that these journals were shipped to."""
    store = await Store.open(url)
    told: list[Event] = []
    store.on_events = told.extend
    try:
        way = ship_badly if badly else ship
        await asyncio.gather(*(way(store, journal, random.Random(seed + n)) for n, journal in enumerate(journals)))
        return await content(store), told
    finally:
        await store.close()


@pytest.mark.parametrize("mechanism", ["english", "uniform"])
async def test_any_delivery_gives_the_same_store(database: str, tmp_path: Path, mechanism: str) -> None:
    """Cut, repeated, swapped and lost batches of real journals, all nodes at once: the tables are those of one clean delivery."""
    journals = busy_market(mechanism, trades=2)
    clean, _ = await fill(f"sqlite+aiosqlite:///{tmp_path / 'clean.sqlite'}", journals, 0, badly=False)
    assert len(clean["trades"]) >= 2
    assert len(clean["bids"]) == sum(len(journal.bids) for journal in journals)
    assert len(clean["rows"]) == sum(len(journal.rows) for journal in journals)
    found, told = await fill(database, journals, 7, badly=True)
    for name, rows in clean.items():
        assert found[name] == rows, name
    assert [event.seq for event in told] == sorted({event.seq for event in told})
    assert Counter(stored_form(msgspec.structs.replace(event, seq=0, epoch="")) for event in told) == found["events"]


async def test_other_seeds_on_sqlite(tmp_path: Path) -> None:
    """The same for more ways to go wrong, where a database costs little."""
    for seed in (1, 2):
        journals = market(seed, "first-price")
        clean, _ = await fill(f"sqlite+aiosqlite:///{tmp_path / f'{seed}.clean'}", journals, 0, badly=False)
        found, _ = await fill(f"sqlite+aiosqlite:///{tmp_path / f'{seed}.bad'}", journals, seed, badly=True)
        assert found == clean


async def test_sums_are_those_of_the_journals(database: str) -> None:
    """Trades, energy, money and payments of each node, the hours' sums and the baselines, recounted from the rows."""
    journals = market(9, "uniform")
    found, told = await fill(database, journals, 3, badly=True)
    trades = [(j.device_id, row) for j in journals if j.role == "bess" for row in j.rows if row.kind == "trade"]
    assert trades
    for node in found["nodes"]:
        device, role, *_ = node
        mine = [row.body for battery, row in trades if device == (battery if role == "bess" else row.body["bidder"])]
        count, energy, paid, settled, settled_micro, lots_bid, lots_won = node[-7:]
        assert (count, energy, paid) == (
            len(mine), sum(int(str(body["energy_wh"])) for body in mine), sum(int(str(body["paid_micro"])) for body in mine)
        )  # fmt: skip
        assert (settled, settled_micro) == (count, paid)  # every one is paid in these journals
        assert lots_bid >= 1
        assert lots_won >= (1 if mine else 0)
    names = [column.name for column in tables.sums.columns]
    sums = [dict(zip(names, row, strict=True)) for row in found["sums"]]
    assert sum(row["trades"] for row in sums) == len(trades)
    assert sum(row["paid_micro"] for row in sums) == sum(int(str(row.body["paid_micro"])) for _, row in trades)
    assert sum(row["feed_in_micro"] for row in sums) == sum(
        money(MicroPerKwh(FEED_IN), Wh(int(str(row.body["energy_wh"])))) for _, row in trades
    )
    confirmed = [event for event in told if isinstance(event, TradeConfirmed)]
    firsts = [event for event in confirmed if event.first_micro_per_kwh is not None]
    assert sum(row["first_micro"] for row in sums) == sum(
        money(MicroPerKwh(event.first_micro_per_kwh or 0), Wh(event.energy_wh)) for event in firsts
    )
    assert len(firsts) == len(confirmed)  # also of further winners, whose lot_id is none that was bid for
    assert all(event.bidders for event in confirmed)
    assert sum(isinstance(event, TradeSettled) for event in told) == len(trades)


async def test_the_first_price_is_that_of_the_first_bid_that_took_part(database: str) -> None:
    """In order of arrival, whatever came after it, and whether its bids came with the lot's row or before it."""
    journal = market(3, "english")[0]
    found, told = await fill(database, [journal], 1, badly=False)
    names = [column.name for column in tables.lots.columns]
    for row in found["lots"]:
        lot = dict(zip(names, row, strict=True))
        bids = [bid for bid in journal.bids if bid.lot_id == lot["lot_id"] and bid.state == "standing"]
        assert lot["first_micro_per_kwh"] == bids[0].price_micro_per_kwh
        assert lot["bidders"] == len({bid.bidder for bid in journal.bids if bid.lot_id == lot["lot_id"]})
    ended = [event for event in told if isinstance(event, AuctionCompleted)]
    assert [event.lot_id for event in ended] == [str(row[1]) for row in found["lots"]]


async def test_a_restored_journal_counts_nothing_twice(database: str) -> None:
    """An older copy that goes on otherwise: what both share is neither stored, told nor added again; what is new is."""
    whole = market(3, "english")[0]
    half = max(index for index, row in enumerate(whole.rows) if row.kind == "lot")
    half_bids = whole.bids[: whole.bids_before(half)]
    other = FeedRow(whole.rows[half].seq, "ee" * 32, "security", 0, "replay", 5, {"bidder": 500, "what": "replay"})
    restored = replace(whole, rows=(*whole.rows[:half], other), bids=half_bids)
    store = await Store.open(database)
    told: list[Event] = []
    store.on_events = told.extend
    try:
        await ship(store, whole, random.Random(1))
        before = await content(store)
        position = await store.position(whole.facts, 2)
        told.clear()
        forked = await store.fork(whole.facts, position, 3)
        assert forked == Position(1, 0, "", 0)
        with pytest.raises(UnstorableError, match="taken over"):  # the other connection's word is not taken any more
            await store.ingest(next(whole.batches(position._replace(row=0, bid=0), random.Random(1))))
        for batch in restored.batches(forked, random.Random(2)):
            await store.ingest(batch)
        after = await content(store)
        assert [type(event) for event in told] == [SecurityEvent, SecurityEvent]
        assert [event.what for event in told if isinstance(event, SecurityEvent)] == ["journal_forked", "replay"]
        for name in ("lots", "bids", "trades", "settlements", "sums", "rollups"):
            assert after[name] == before[name], name
        assert len(after["rows"]) == len(before["rows"]) + 1
        assert [node[-7:] for node in after["nodes"]] == [node[-7:] for node in before["nodes"]]
        assert (await store.position(whole.facts, 4)).row_hash == "ee" * 32
    finally:
        await store.close()


async def test_another_journal_begins_anew_and_says_so(database: str) -> None:
    """The state directory was made anew: its rows are taken from the first one, and the same trade still counts once."""
    journal = market(3, "english")[0]
    store = await Store.open(database)
    told: list[Event] = []
    store.on_events = told.extend
    try:
        await ship(store, journal, random.Random(1))
        before = await content(store)
        moved = replace(
            journal,
            identity="cd" * 16,
            rows=tuple(msgspec.structs.replace(row, hash=f"{row.seq:064x}") for row in journal.rows),
        )
        told.clear()
        assert await store.position(moved.facts, 9) == Position(1, 0, "", 0)
        assert [event.what for event in told if isinstance(event, SecurityEvent)] == ["journal_replaced"]
        await ship(store, moved, random.Random(2))
        after = await content(store)
        assert after["trades"] == before["trades"]
        assert after["sums"] == before["sums"]
        assert len(after["rows"]) == 2 * len(before["rows"])
        # It says again that energy was promised, under other hashes; what was traded and paid is as it was.
        assert [node[-7:-1] for node in after["nodes"]] == [node[-7:-1] for node in before["nodes"]]
    finally:
        await store.close()


async def test_a_batch_that_leaves_something_out_is_refused(database: str) -> None:
    """Its node is told what is stored; nothing of the batch is."""
    journal = market(3, "english")[0]
    store = await Store.open(database)
    try:
        position = await store.position(journal.facts, 1)
        batches = list(journal.batches(position, random.Random(4)))
        with pytest.raises(UnstorableError, match="what is stored ends with row 0"):
            await store.ingest(batches[-1])
        assert await store.position(journal.facts, 1) == position
    finally:
        await store.close()


async def test_a_device_keeps_its_role(database: str) -> None:
    """What was counted for a buyer is not added to a battery of that id, and a battery is no buyer later."""
    journal = market(3, "english")[0]
    store = await Store.open(database)
    try:
        await ship(store, journal, random.Random(1))
        buyer = next(int(str(row.body["bidder"])) for row in journal.rows if row.kind == "trade")
        await store.position(replace(journal.facts, device_id=buyer), 2)
        async with store.engine.connect() as connection:
            query = select(tables.nodes.c.role, tables.nodes.c.trades).where(tables.nodes.c.device_id == buyer)
            assert (await connection.execute(query)).one() == ("bess", 0)
        with pytest.raises(UnstorableError, match="stored as a bess, not as a aggregator"):
            await store.position(replace(journal.facts, role="aggregator"), 3)
    finally:
        await store.close()


async def test_numbers_rise_over_restarts_and_the_newest_come_back(database: str) -> None:
    """No number is given twice, the epoch stays, and what is durable can be resumed."""
    journals = market(3, "english")
    _, told = await fill(database, journals[:1], 1, badly=False)
    store = await Store.open(database)
    try:
        assert store.seq >= told[-1].seq
        assert {event.epoch for event in told} == {store.epoch}
        newest = await store.newest(5)
        assert newest == told[-5:]
        later: list[Event] = []
        store.on_events = later.extend
        await ship(store, journals[1], random.Random(1))
        assert later[0].seq > told[-1].seq
        world = await store.world(3)
        snapshot = world.snapshot(epoch=store.epoch, seq=store.seq, now_us=1, gap=False)
        assert snapshot.totals.trades == sum(row.kind == "trade" for j in journals[:2] for row in j.rows)
        trades = [event for event in [*told, *later] if isinstance(event, TradeConfirmed)]
        assert snapshot.trades == sorted(trades, key=lambda event: event.time_us, reverse=True)[:3]
    finally:
        await store.close()


def status(time_us: int, stored_wh: int = 1_000) -> BESSNodeStatus:
    """What a battery shows."""
    return BESSNodeStatus(
        node="101", time_us=time_us, market_us=time_us, online=True, mechanism="english", capacity_wh=13_500,
        stored_wh=stored_wh, for_sale_wh=0, reserved_wh=0, to_deliver_wh=0, health="good", voltage_mv=0,
        discharge_w=0, temperature_mc=None, failure=None, sessions=0, unsettled=None, oldest_unsettled_us=None,
    )  # fmt: skip


def observed(time_us: int) -> Observation:
    """The same with what of it is kept."""
    seen = Observation([status(time_us)])
    seen.traces.statuses[101] = (stored_form(status(time_us)).decode(), time_us)
    seen.traces.latencies[101, "age", "BID"] = ("{}", time_us)
    seen.traces.samples[101, time_us] = (time_us, 1_000, 0, 0, 0)
    return seen


async def test_telemetry_is_told_in_order_and_kept(database: str) -> None:
    """Between durable events, with rising numbers; samples, statuses and latencies are there after a restart."""
    journal = market(3, "english")[0]
    store = await Store.open(database)
    told: list[Event] = []
    store.on_events = told.extend
    await store.position(journal.facts, 1)
    for time_us in (10, 20, 30):
        store.observe(observed(time_us))
    await ship(store, journal, random.Random(1))
    await store.close()
    assert [event.seq for event in told] == sorted({event.seq for event in told})
    assert [event.time_us for event in told if isinstance(event, BESSNodeStatus)] == [10, 20, 30]
    store = await Store.open(database)
    try:
        async with store.engine.connect() as connection:
            samples = (await connection.execute(select(tables.samples.c.time_us))).scalars().all()
            latencies = (await connection.execute(select(tables.latencies))).all()
        assert samples == [10, 20, 30]
        assert len(latencies) == 1
        snapshot = (await store.world(3)).snapshot(epoch="", seq=0, now_us=1, gap=False)
        assert snapshot.batteries == [msgspec.structs.replace(status(30), online=False, epoch=store.epoch)]
    finally:
        await store.close()


async def test_what_is_old_is_forgotten_little_by_little(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples and events past their age; what is evidence stays."""
    monkeypatch.setattr("gateway.io.sweep.SWEPT_AT_ONCE", 4)
    monkeypatch.setattr("gateway.io.store.SWEEP_S", 0.01)
    journal = market(3, "english")[0]
    store = await Store.open(database, retention=Retention(samples_days=None, events_days=None))
    await ship(store, journal, random.Random(1))
    for time_us in range(10):
        store.observe(observed(time_us))
    await store.close()
    store = await Store.open(database, retention=Retention(samples_days=1, events_days=1))
    try:
        async with asyncio.timeout(10):
            while await store.newest(1) or await _samples(store):  # noqa: ASYNC110 - what it waits for tells nobody
                await asyncio.sleep(0.01)
        found = await content(store)
        assert len(found["rows"]) == len(journal.rows)
        assert found["trades"]
    finally:
        await store.close()


async def _samples(store: Store) -> int:
    async with store.engine.connect() as connection:
        found = (await connection.execute(text("SELECT count(*) FROM samples"))).scalar_one()
        return int(found)


def dear(lot_id: int, paid_micro: int = MOST_MICRO) -> list[FeedRow]:
    """A trade at the highest price that a frame can carry."""
    terms = {
        "bidder": 2**64 - 1,
        "message_id": 2**64 - 1,
        "energy_wh": MOST_WH,
        "price_micro_per_kwh": MOST_MICRO_PER_KWH,
    }
    body = terms | {"bid_micro_per_kwh": MOST_MICRO_PER_KWH, "paid_micro": paid_micro}
    return [FeedRow(lot_id, f"{lot_id:064x}", "trade", lot_id, "confirmed", 2**53 - 1, body)]


async def test_sums_of_made_up_trades_stop_where_numbers_end(database: str) -> None:
    """Ten thousand trades of 100,000,000 $ each: the sums stop at 2⁵³ − 1, and everybody else goes on. Ids of 64 bits stay whole."""
    journal = market(3, "english")[0]
    liar = replace(
        journal, device_id=2**64 - 1, identity="ff", rows=tuple(row for n in range(1, 201) for row in dear(n)), bids=()
    )
    found, told = await fill(database, [liar, journal], 1, badly=False)
    nodes = {node[0]: node[-7:] for node in found["nodes"]}
    assert nodes[2**64 - 1][:3] == (200, 200 * MOST_WH, MOST_COUNT)
    assert nodes[101][0] == sum(row.kind == "trade" for row in journal.rows)
    trade = next(event for event in told if isinstance(event, TradeConfirmed) and event.node == str(2**64 - 1))
    assert trade.aggregator == trade.message_id == str(2**64 - 1)


async def test_one_nodes_values_do_not_hold_up_the_others(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should something pass the checks that the database refuses, only its own batch fails."""
    monkeypatch.setattr("gateway.batch.MOST_BODY", 10**9)
    good, bad = market(3, "english")[:2]
    store = await Store.open(database)
    try:
        first = {journal.device_id: await store.position(journal.facts, 1) for journal in (good, bad)}
        wrong = next(b for b in bad.batches(first[102], random.Random(2)) if b.rows)
        wrong = replace(wrong, after_bid=0, last_bid=0, rows=[row._replace(lot_id=2**70) for row in wrong.rows])
        done = [store.submit(batch) for batch in (wrong, *good.batches(first[101], random.Random(1)))]
        results = await asyncio.gather(*done, return_exceptions=True)
        assert isinstance(results[0], UnstorableError)
        assert results[1:] == [None] * (len(done) - 1)
        assert store.healthy
    finally:
        await store.close()


async def test_a_full_disk_costs_nothing_but_time(tmp_path: Path) -> None:
    """Nothing is acknowledged, the store says so, telemetry is still shown; with room again everything goes on by itself."""
    path = tmp_path / "store.sqlite"
    journal = market(3, "english")[0]
    store = await Store.open(f"sqlite+aiosqlite:///{path}")
    told: list[Event] = []
    store.on_events = told.extend
    try:
        position = await store.position(journal.facts, 1)
        [pages] = await pragma(store, "page_count")
        await pragma(store, f"max_page_count = {pages}")
        batches = list(journal.batches(position, random.Random(1)))
        done = await asyncio.gather(*(store.submit(batch) for batch in batches), return_exceptions=True)
        assert all(isinstance(found, StoreUnavailableError) for found in done)
        assert not store.healthy
        assert "full" in str(store.fault)
        seen = len(told)
        store.observe(Observation([status(77)]))
        await eventually(lambda: len(told) > seen)
        await pragma(store, "max_page_count = 1000000")
        await eventually(lambda: store.healthy)
        await ship_badly(store, journal, random.Random(2))
    finally:
        await store.close()
    clean, _ = await fill(f"sqlite+aiosqlite:///{tmp_path / 'clean'}", [journal], 1, badly=False)
    store = await Store.open(f"sqlite+aiosqlite:///{path}")
    assert await content(store) == clean
    await store.close()


async def test_a_database_is_one_gateways(database: str) -> None:
    """A second one is refused, in words, as long as the first one is there."""
    store = await Store.open(database)
    with pytest.raises(StoreInUseError, match="in use by another gateway"):
        await Store.open(database)
    await store.close()
    store = await Store.open(database)
    await store.close()


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("nothing", "expected sqlite"),
        ("sqlite:///x", "begins with sqlite://"),
        ("sqlite+aiosqlite://", "names no file"),
        ("mysql://root:secret@host/x", "begins with mysql://"),
    ],
)
def test_a_wrong_url_is_said_without_its_password(url: str, right: str) -> None:
    """What it is, and what would be right."""
    with pytest.raises(StoreError, match=right) as found:
        parse_url(url)
    assert "secret" not in str(found.value)


async def test_a_batch_after_the_end_fails(tmp_path: Path) -> None:
    """The store is closed: nothing is stored, nothing hangs."""
    journal = market(3, "english")[0]
    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'x'}")
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.ingest(Batch(journal.origin(), 0, [], 1, "", 0, [], 0))
