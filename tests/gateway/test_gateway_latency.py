"""Latencies of nodes added up: the same as one histogram that saw them all, in both databases."""

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benches.postgres import PostgresServer
from gateway import schema, tables
from gateway.latency import latencies, texts
from runtime.histogram import Histogram
from tests.gateway import story


@pytest.fixture(params=["sqlite", "postgres"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty store of each kind."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.sqlite'}"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.database()
    made = create_async_engine(url)
    async with made.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    yield made
    await made.dispose()


def stored(device_id: int, what: str, message: str, times_ms: list[float]) -> dict[str, Any]:
    """A node's row."""
    histogram = Histogram()
    for each in times_ms:
        histogram.record(each, 500.0)
    text = json.dumps(histogram.as_dict())
    return {"device_id": device_id, "what": what, "message": message, "histogram": text, "time_us": 1}


async def test_nodes_together_are_one_histogram(engine: AsyncEngine) -> None:
    """Count, percentiles, worst and over budget, by type; of one node alone; strange names are left out."""
    rng = random.Random(3)
    times = {node: [rng.expovariate(1 / 100) for _ in range(200)] for node in (101, 2**64 - 1)}
    rows = [stored(node, "reply", "RESPONSE", each) for node, each in times.items()]
    rows += [stored(101, "age", "TERMINATE", [900.0]), stored(101, "age", "NO_SUCH", [1.0])]
    whole = Histogram()
    for each in (*times[101], *times[2**64 - 1]):
        whole.record(each, 500.0)
    async with engine.begin() as connection:
        await connection.execute(insert(tables.latencies), rows)
    client = story.client_of(engine)
    async with client:
        found = [schema.LatencyRow.model_validate(each, strict=True) for each in (await client.get("/latency")).json()]
        assert [(each.what, each.message, each.budget_ms) for each in found] == [
            ("age", "TERMINATE", 400.0),
            ("reply", "RESPONSE", 500.0),
        ]
        reply = found[1]
        assert (reply.node, reply.count, reply.over_budget) == (None, 400, whole.over_budget)
        assert (reply.p50_ms, reply.p90_ms, reply.p99_ms, reply.worst_ms) == tuple(
            round(each, 3) for each in (*map(whole.percentile, (50, 90, 99)), whole.worst_ms)
        )
        one = (await client.get("/latency", params={"node": str(2**64 - 1)})).json()
        assert [(each["node"], each["count"]) for each in one] == [(str(2**64 - 1), 200)]
        assert (await client.get("/latency", params={"node": "5"})).json() == []


def test_a_bucket_that_is_none_is_left_out() -> None:
    """A store that somebody wrote into by hand stops nothing."""
    wholes = [("age", "BID", 2, 0, 1.0)]
    (row,) = latencies([("age", "BID", "x", 1), ("age", "BID", "999", 1), ("age", "BID", "3", 2)], wholes, None)
    assert row["count"] == 2
    assert ":node" in texts("sqlite", of_one=True).wholes
    assert ":node" not in texts("postgresql", of_one=False).buckets
