"""Where the store comes to an end: of what is kept, of what numbers hold, of what the database takes; and how long it takes."""

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, select, text

from gateway import rollups, tables
from gateway.batch import Batch, Position, checked, checked_bid
from gateway.bodies import MOST_COUNT
from gateway.events import Event
from gateway.io.database import StoreUnavailableError
from gateway.io.store import Retention, Store
from gateway.sums import Question, capped_sum, query
from gateway.transaction import Observation
from runtime.feed.wire import FeedBid, FeedRow
from tests.gateway import whole
from tests.gateway.journals import Journal, market
from tests.gateway.serving import eventually
from tests.gateway.whole import query as queried

FUTURE_US = 2**53 - 1
FOREVER = Retention(samples_days=None, events_days=None)
FILE = "gateway.sqlite"


def notes(*times_us: int, after: int = 0) -> list[FeedRow]:
    """Security events at these times: each is one durable event."""
    return [
        FeedRow(seq, f"{seq:064x}", "security", 0, "replay", time_us, {"bidder": 500})
        for seq, time_us in enumerate(times_us, after + 1)
    ]


async def write(store: Store, rows: Sequence[FeedRow]) -> None:
    """Rows of a battery, in their order."""
    journal = Journal("bess", 101, "ab", (), ())
    position = await store.position(journal.facts, 1)
    batch = [checked(row, "bess") for row in rows]
    await store.ingest(Batch(journal.origin(), position.row, batch, rows[-1].seq, rows[-1].hash, 0, [], 0))


async def swept(url: str, times_us: Sequence[int], left: int) -> int:
    """Sweep these events but for so many; the highest number that is forgotten."""
    store = await Store.open(url, retention=FOREVER)
    await write(store, notes(*times_us))
    assert await store.forgotten() == 0
    await store.close()
    store = await Store.open(url, retention=Retention(samples_days=None, events_days=1))
    try:
        async with asyncio.timeout(10):
            while len(await store.newest(100)) > left:  # noqa: ASYNC110 - what it waits for tells nobody
                await asyncio.sleep(0.01)
        return await store.forgotten()
    finally:
        await store.close()


@pytest.fixture
def sweeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """All the time, a few at once."""
    monkeypatch.setattr("gateway.io.sweep.SWEPT_AT_ONCE", 4)
    monkeypatch.setattr("gateway.io.store.SWEEP_S", 0.01)


@pytest.mark.usefixtures("sweeping")
async def test_a_clock_that_is_ahead_stops_no_retention(database: str) -> None:
    """Events of the future, more than are looked at at once, stay; those behind them go, and the highest of them is known."""
    forgotten = await swept(database, [*[FUTURE_US] * 9, *range(1, 10), FUTURE_US], left=10)
    store = await Store.open(database, retention=FOREVER)
    try:
        numbers = [event.seq for event in await store.newest(100)]
        assert len(numbers) == 10
        assert numbers[8] < forgotten == numbers[9] - 1
        assert await store.forgotten() == forgotten
        async with store.engine.begin() as connection:  # as a version that did not write it down
            await connection.execute(text("DELETE FROM meta WHERE name = 'forgotten'"))
    finally:
        await store.close()
    store = await Store.open(database, retention=FOREVER)
    try:
        assert await store.forgotten() >= numbers[-1]
    finally:
        await store.close()


@pytest.mark.usefixtures("sweeping")
async def test_a_gateway_says_what_was_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To who resumes from before it, though less than a ring is left; what is left and what came after it is whole."""
    (tmp_path / "gateway").mkdir()
    url = f"sqlite+aiosqlite:///{tmp_path / 'gateway' / FILE}"
    forgotten = await swept(url, [1, 2, 3, FUTURE_US], left=1)
    async with whole.serving(tmp_path, monkeypatch, keep_events_days=0) as gateway:
        assert gateway.parts.store.epoch
        for seq, gap in ((forgotten - 1, True), (forgotten, False)):
            async with gateway.stream() as client:
                await client.send(f'{{"verb":"resume","epoch":"{gateway.parts.store.epoch}","seq":{seq}}}')
                assert (await whole.until(client, "Resumed"))["gap"] is gap


async def test_sums_over_many_made_up_nodes_end_too(database: str) -> None:
    """A thousand nodes whose sums are at their cap: reads stop there as well, and other sums are exact."""
    store = await Store.open(database)
    try:
        node = {"role": "bess", "about": "{}", "first_seen_us": 1, "last_seen_us": 1, "journal": "ab"}
        sums = dict.fromkeys(("trades", "energy_wh", "paid_micro", "settled", "settled_micro"), MOST_COUNT)
        zeros = dict.fromkeys(("lots_bid", "lots_won"), 0)
        measures = {column.name: 1 for column in tables.rollups.c if not column.primary_key}
        span = {"level": rollups.HOURS, "member": rollups.NOBODY, "bidders": 0} | measures
        async with store.engine.begin() as connection:
            nodes = [{"device_id": n, **node, **sums, **zeros} for n in range(1_100)]
            await connection.execute(insert(tables.nodes), nodes)
            hours = [{**span, "span_us": n, "paid_micro": MOST_COUNT, "energy_wh": 2**33 + 5} for n in range(1_100)]
            await connection.execute(insert(tables.rollups), hours)
        assert (await store.world(1)).totals.paid_micro == MOST_COUNT
        columns = tables.rollups.c
        async with store.engine.connect() as connection:
            [row] = (await connection.execute(query(Question("all", None, None, None, None)))).all()
            [none] = (await connection.execute(select(capped_sum(columns.trades)).where(columns.member == 7))).all()
        assert (row.trades, row.paid_micro, row.energy_wh) == (1_100, MOST_COUNT, 1_100 * (2**33 + 5))
        assert none[0] == 0
    finally:
        await store.close()


async def test_traces_that_are_refused_cost_nobody_else(database: str) -> None:
    """Should telemetry leave what the database does not take, it is dropped, and said so; a batch beside it is stored."""
    store = await Store.open(database)
    try:
        await store.position(Journal("bess", 101, "ab", (), ()).facts, 1)
        bad, good = Observation(), Observation()
        bad.traces.statuses[101] = ("{}", 2**70)
        good.traces.statuses[101] = ('{"good": 1}', 77)
        store.observe(bad)
        store._flush_due = True
        await write(store, notes(1))
        assert store.counts.refused == 1
        assert (store.counts.rows, store.healthy) == (1, True)
        store.observe(good)
        store._flush_due = True
        await write(store, notes(2, after=1))
        async with store.engine.connect() as connection:
            assert (await connection.execute(select(tables.nodes.c.status))).scalar_one() == '{"good": 1}'
        assert store.counts.refused == 1
    finally:
        await store.close()


async def test_a_connection_that_cannot_be_rolled_back_is_left(tmp_path: Path) -> None:
    """The batch fails, the writer goes on with another connection."""

    class Broken:
        """A connection whose disk is gone."""

        in_transaction = True

        def execute(self, statement: str) -> Any:
            """Whatever is asked."""
            raise sqlite3.OperationalError(f"disk I/O error: {statement}")

        def close(self) -> None:
            """It is let go of."""

    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path / FILE}")
    try:
        real = store._writer._connection
        store._writer._connection = Broken()  # type: ignore[assignment]
        with pytest.raises(StoreUnavailableError, match="disk I/O error"):
            await write(store, notes(1))
        await eventually(lambda: store.healthy)
        assert real is not None
        real.close()
        await write(store, notes(1))
        assert store.durable_ms.count == store.counts.rows == 1
        assert 0 < store.durable_ms.worst_ms < 10_000
    finally:
        await store.close()


async def test_a_bus_sets_no_number_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it delivers while a transaction is on its way stays the newest; what it has not numbered has none yet."""

    class Silent:
        """A bus whose events never come back."""

        async def number(self, told: Sequence[tuple[int | None, Event]]) -> None:
            """Taken."""

    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path / FILE}")
    try:
        store.bus = Silent()
        newest, run = store.seq + 900, store._writer.run

        async def meanwhile(work: Any) -> Any:
            found = await run(work)
            store.deliver([msgspec.structs.replace(queried(101, 1), seq=newest)])
            return found

        monkeypatch.setattr(store._writer, "run", meanwhile)
        await write(store, notes(1, 2, 3))
        assert store.seq == newest
        monkeypatch.undo()
        await write(store, notes(4, 5, 6, after=3))
        assert store.seq == newest
    finally:
        await store.close()


async def test_where_a_journal_goes_on_names_its_newest_bid(database: str) -> None:
    """As it was told, of this copy of the journal alone: so that a copy that has others under these numbers is found out."""
    journal = market(3, "english")[0]
    store = await Store.open(database)
    try:
        position = await store.position(journal.facts, 1)
        assert position.newest is None
        bids = [checked_bid(FeedBid(n, 7, 2**64 - 1, 2**64 - n, 1, 2, "late", 9)) for n in (1, 2, 3)]
        await store.ingest(Batch(journal.origin(), 0, [], 0, "", 0, bids, 5))
        resumed = await store.position(journal.facts, 1)
        assert resumed == Position(0, 0, "", 5, bids[-1])
        forked = await store.fork(journal.facts, resumed, 1)
        assert forked == Position(1, 0, "", 0)
        for batch in journal.batches(forked, random.Random(1)):
            await store.ingest(batch)
        assert (await store.position(journal.facts, 1)).newest == journal.bids[-1]
    finally:
        await store.close()
