"""Every filter of every list is served by an index that has the order too: asked of SQLite's planner itself."""

import itertools
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from gateway.listings import ALL, SAMPLES, Listing, Wanted, query
from gateway.sums import Question
from gateway.sums import query as sums_query
from tests.gateway import story

VALUES: dict[str, Any] = {
    "battery": story.SELLER,
    "aggregator": story.BUYER,
    "node": story.SELLER,
    "device_id": story.SELLER,
    "settlement": "settled",
    "delivery": "short",
    "state": "void",
    "mechanism": "english",
    "type": "SecurityEvent",
    "min_micro_per_kwh": 5,
}


@pytest.fixture
def database(tmp_path: Path) -> sqlite3.Connection:
    """The story's tables."""
    path = tmp_path / "story.sqlite"
    path.write_bytes(story.template())
    return sqlite3.connect(path)


def plan_of(database: sqlite3.Connection, statement: Any) -> list[str]:
    """SQLite's plan of a query."""
    text = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {text}")]


def wanted(listing: Listing) -> list[Wanted]:
    """All combinations of filters, from the start and from a cursor on, with a range of time and without."""
    names = [*listing.indexed, *listing.least]
    if listing is SAMPLES:
        chosen = [{"device_id": story.SELLER}]
    else:
        sets = itertools.chain.from_iterable(itertools.combinations(names, count) for count in range(len(names) + 1))
        chosen = [{name: VALUES[name] for name in each} for each in sets]
    key = tuple(range(7, 7 + len(listing.order)))
    return [
        Wanted(filters, *times, after)
        for filters in chosen
        for times in ((None, None), (story.T, story.T + 9))
        for after in (None, key)
    ]


@pytest.mark.parametrize("listing", [*ALL.values(), SAMPLES], ids=lambda each: each.name)
def test_no_page_scans_or_sorts_a_table(database: sqlite3.Connection, listing: Listing) -> None:
    """A table is searched, or read along an index in its order; what is sorted is at most the rows that were looked at."""
    for each in wanted(listing):
        asked = query(listing, each, 101)
        for statement in (asked.rows, asked.boundary):
            if statement is None:
                continue
            plan = plan_of(database, statement)
            table = listing.table.name
            direct = [step for step in plan if step.split()[1] == table]
            assert len(direct) == 1, (each, plan)
            assert "USING" in direct[0], (each, plan)  # an index or the primary key
            sorts = [step for step in plan if "TEMP B-TREE" in step]
            inside = plan[: plan.index("SCAN looked_at")] if "SCAN looked_at" in plan else plan
            assert not [step for step in inside if "TEMP B-TREE" in step], (each, plan)
            assert len(sorts) <= (1 if asked.boundary is not None else 0), (each, plan)


def test_a_null_filter_is_served_as_well(database: sqlite3.Connection) -> None:
    """Trades of no chain."""
    plan = plan_of(database, query(ALL["trades"], Wanted({"settlement": None}, after=(1, 2, 3)), 5).rows)
    assert any("trades_by_settlement (settlement=?" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_statistics_never_read_trades(database: sqlite3.Connection) -> None:
    """Every grouping with every filter searches the sums or their rollups."""
    for by in ("all", "hour", "hour_of_day", "battery", "aggregator", "bidders"):
        for battery, aggregator, times in itertools.product(
            (None, 101), (None, 501), ((None, None), (10**15, 2 * 10**15))
        ):
            plan = plan_of(database, sums_query(Question(by, battery, aggregator, *times)))
            read = [step for step in plan if step.startswith(("SEARCH", "SCAN")) and " trades" in step]
            assert not read, plan
            assert any(step.startswith(("SEARCH sums", "SEARCH rollups")) for step in plan), plan
            assert not any(step.startswith(("SCAN sums", "SCAN rollups")) for step in plan), plan
