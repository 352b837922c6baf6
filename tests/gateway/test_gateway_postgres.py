"""PostgreSQL as it is in the world: it goes away and comes back, and several gateways share it."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from benches.postgres import PostgresServer
from gateway import tables
from gateway.events import Event, TradeConfirmed
from gateway.io.database import StoreInUseError, StoreUnavailableError
from gateway.io.store import Store
from gateway.transaction import Observation
from tests.gateway.journals import market
from tests.gateway.serving import eventually
from tests.gateway.test_gateway_store import content, fill, ship, ship_badly, status


async def test_a_database_that_goes_away_comes_back(postgres: PostgresServer) -> None:
    """Killed in mid-flight: nothing is acknowledged that is not there, telemetry goes on, and later so does everything."""
    journal = market(3, "english")[0]
    url = postgres.database()
    store = await Store.open(url)
    told: list[Event] = []
    store.on_events = told.extend
    try:
        position = await store.position(journal.facts, 1)
        batches = list(journal.batches(position, random.Random(1)))
        await store.ingest(batches[0])
        await asyncio.to_thread(postgres.stop, "immediate")
        with pytest.raises(StoreUnavailableError):
            await store.ingest(batches[1])
        assert not store.healthy
        store.observe(Observation([status(77)]))
        await asyncio.to_thread(postgres.start)
        await eventually(lambda: store.healthy)
        found = await store.position(journal.facts, 2)
        assert (found.row, found.bid) == (batches[0].last_row, batches[0].last_bid)
        await ship_badly(store, journal, random.Random(2))
        assert [event.seq for event in told] == sorted({event.seq for event in told})
        assert any(event.time_us == 77 for event in told)
        after = await content(store)
    finally:
        await store.close()
    clean, _ = await fill(postgres.database(), [journal], 1, badly=False)
    assert after == clean


class Numbering:
    """Two gateways' bus: what Redis does, in this process."""

    def __init__(self) -> None:
        self.stores: list[Store] = []
        self.seq = 0

    async def number(self, told: Sequence[tuple[int | None, Event]]) -> None:
        """One order for all."""
        numbered = []
        for number, event in told:
            self.seq += 1
            numbered.append((number, replace(event, seq=self.seq, epoch="one")))
        for store in self.stores:
            store.deliver([event for _, event in numbered])
        self.stores[0].numbered([(number, event.seq) for number, event in numbered if number is not None])


async def test_two_gateways_share_a_database(postgres: PostgresServer) -> None:
    """The same journals come to both at once: each row and trade is stored and told once, in one order."""
    journals = market(3, "english")
    clean, _ = await fill(postgres.database(), journals, 1, badly=False)
    url = postgres.database()
    stores = [await Store.open(url, shared=True), await Store.open(url, shared=True)]
    bus, heard = Numbering(), ([], [])  # type: ignore[var-annotated]
    bus.stores = stores
    for store, told in zip(stores, heard, strict=True):
        store.bus, store.on_events = bus, told.extend
    try:
        with pytest.raises(StoreInUseError, match="--redis"):
            await Store.open(url)
        work = [
            ship_badly(store, journal, random.Random(n))
            for n, (store, journal) in enumerate((store, journal) for journal in journals for store in stores)
        ]
        await asyncio.gather(*work)
        found = await content(stores[0])
        for name, rows in clean.items():
            assert found[name] == rows, name
        assert heard[0] == heard[1]
        assert sum(isinstance(event, TradeConfirmed) for event in heard[0]) == len(clean["trades"])
    finally:
        for store in reversed(stores):
            await store.close()
    store = await Store.open(url, shared=True)
    try:
        assert await store.unnumbered(10) == []
        async with store.engine.connect() as connection:
            numbers = (await connection.execute(select(tables.events.c.seq).order_by(tables.events.c.seq))).scalars()
            assert set(numbers) == {event.seq for event in heard[0] if event.id is not None}
    finally:
        await store.close()


async def test_what_no_bus_carried_is_found_again(postgres: PostgresServer) -> None:
    """A gateway that ended between its commit and its bus: the next one is told what was not numbered, in order."""

    class Broken(Numbering):
        async def number(self, told: Sequence[tuple[int | None, Event]]) -> None:  # noqa: ARG002 - lost
            return

    journal = market(3, "english")[0]
    url = postgres.database()
    store = await Store.open(url, shared=True)
    store.bus = Broken()
    await ship(store, journal, random.Random(1))
    await store.close()
    store = await Store.open(url, shared=True)
    try:
        lost = await store.unnumbered(1_000)
        assert [number for number, _ in lost] == sorted({number for number, _ in lost})
        assert sum(isinstance(event, TradeConfirmed) for _, event in lost) == sum(
            r.kind == "trade" for r in journal.rows
        )
        assert await store.newest(10) == []
    finally:
        await store.close()


async def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    """Which, and why."""
    with pytest.raises(StoreUnavailableError, match="cannot be opened") as found:
        await Store.open("postgresql+asyncpg://etp:secret@127.0.0.1:1/etp")
    assert "secret" not in str(found.value)
