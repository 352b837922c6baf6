"""A small market as a store has it: two batteries, two buyers, lots, trades, payments, evidence. For tests of what reads it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI, Request
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.responses import Response

from gateway import tables
from gateway.access import Principal
from gateway.io import rest
from gateway.io.access import viewer
from gateway.io.recent import Recent
from gateway.problem import ProblemError, body_of, headers_of
from gateway.rollups import HOUR_US, rolled_up
from gateway.statistics import Measures
from gateway.translate import signed
from gateway.world import World

SELLER, LAST_SELLER = 101, 2**64 - 1
BUYER, OTHER_BUYER = 501, 2**63
T = 1_600_000_000_000_000
HOUR = T // HOUR_US * HOUR_US
HOSTILE = "<script>alert(1)</script>\x1b[31m"
KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
HASH = "ab" * 32


def trade(number: int, **other: Any) -> dict[str, Any]:
    """The trade of this number: one a second, prices and buyers in turn."""
    battery = (SELLER, LAST_SELLER)[number % 2]
    energy, price = 1_000 + 10 * number, 150_000 + 1_000 * (number % 7)
    return {
        "battery": battery,
        "lot_id": 1_000 + number,
        "auction_id": 1_000 + number,
        "aggregator": (BUYER, OTHER_BUYER)[number % 3 == 0],
        "message_id": 2**64 - 1 - number,
        "time_us": T + number * 1_000_000,
        "market_us": T + number * 600_000_000,
        "energy_wh": energy,
        "price_micro_per_kwh": price,
        "bid_micro_per_kwh": price,
        "paid_micro": price * energy // 1000,
        "bidders": 1 + number % 3,
        "first_micro_per_kwh": 120_000 if number % 2 else None,
        "feed_in_micro_per_kwh": 80_000,
        "delivery": ("pending", "delivered", "short")[number % 3],
        "delivered_wh": None if number % 3 == 0 else energy,
        "settlement": (None, "settled", "disputed")[number % 3],
        "signature": None,
    } | other


def sums_of(trades: list[dict[str, Any]]) -> dict[tuple[int, int, int, int], list[float]]:
    """`tables.sums` of trades, ids as they are stored."""
    found: dict[tuple[int, int, int, int], list[float]] = {}
    for one in trades:
        energy, w, p = one["energy_wh"], one["energy_wh"] / 1000, one["price_micro_per_kwh"]
        hour = one["market_us"] // HOUR_US * HOUR_US
        key = (hour, signed(one["battery"]), signed(one["aggregator"]), one["bidders"] or 0)
        first, feed_in = one["first_micro_per_kwh"], one["feed_in_micro_per_kwh"]
        added: list[float] = [1, energy, one["paid_micro"]]
        for baseline in (feed_in, first):
            added += [0, 0] if baseline is None else [energy, baseline * energy // 1000]
        added += [w * w, w * w * p, w * w * p * p]
        before = found.setdefault(key, [0] * 10)
        found[key] = [a + b for a, b in zip(before, added, strict=True)]
    return found


def sum_rows(trades: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `sums` and of `rollups`."""
    sums = sums_of(trades)
    native = [
        dict(zip(tables.sums.c.keys(), (hour, b % 2**64, a % 2**64, n, *measures), strict=True))
        for (hour, b, a, n), measures in sums.items()
    ]
    rolled = [
        dict(zip(tables.rollups.c.keys(), (k.level, k.member % 2**64, k.span_us, k.bidders, *measures), strict=True))
        for k, measures in rolled_up(sums).items()
    ]
    return native, rolled


def node(device_id: int, role: str, trades: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    """A node that made these trades."""
    about = {"mechanism": "english", "capacity_wh": 13_500} if role == "bess" else {"strategy": HOSTILE, "demand_wh": 9}
    return {
        "device_id": device_id,
        "role": role,
        "key": KEY,
        "about": json.dumps(about),
        "first_seen_us": T,
        "last_seen_us": T + 1,
        "journal": "j",
        "row": 7,
        "trades": len(trades),
        "energy_wh": sum(each["energy_wh"] for each in trades),
        "paid_micro": sum(each["paid_micro"] for each in trades),
        "settled": 1,
        "settled_micro": 2,
        "lots_bid": 5,
        "lots_won": 4,
    } | other


def lot(number: int) -> dict[str, Any]:
    """The lot that trade `number` was bid for."""
    sold = trade(number)
    return {
        "battery": sold["battery"],
        "lot_id": sold["lot_id"],
        "mechanism": ("english", "vickrey")[number % 2],
        "state": ("reserved", "void")[number % 5 == 4],
        "energy_wh": sold["energy_wh"],
        "reserve_micro_per_kwh": None,
        "opened_us": sold["time_us"] - 10,
        "closed_us": sold["time_us"] - 5,
        "market_us": sold["market_us"],
        "bids": 1,
        "bidders": 1,
        "first_micro_per_kwh": None,
        "setter": OTHER_BUYER,
        "setter_micro_per_kwh": 5,
        "capped": False,
        "digest": HASH,
    }


def settlement(number: int) -> dict[str, Any]:
    """The payment of trade `number`."""
    sold = trade(number)
    return {
        "battery": sold["battery"],
        "lot_id": sold["lot_id"],
        "aggregator": sold["aggregator"],
        "state": ("settled", "disputed")[number % 3 == 2],
        "amount_micro": sold["paid_micro"],
        "reason": "=HYPERLINK(0)" if number % 2 else HOSTILE,
        "signature": None,
        "confirmed_us": sold["time_us"],
        "time_us": sold["time_us"] + 5,
    }


def event(number: int) -> dict[str, Any]:
    """A stored event."""
    who = (SELLER, LAST_SELLER)[number % 2]
    body = {"type": "SecurityEvent", "id": f"{who}/0/{number}", "node": str(who), "what": HOSTILE, "device": "0"}
    return {
        "seq": number + 1,
        "type": "SecurityEvent" if number % 2 else "LotVoided",
        "device_id": who,
        "time_us": T + number,
        "market_us": T,
        "event": json.dumps(body | {"type": "SecurityEvent" if number % 2 else "LotVoided"}).encode(),
    }


async def fill(engine: AsyncEngine, count: int = 40) -> list[dict[str, Any]]:
    """Make the tables and the story; returns its trades, oldest first."""
    trades = [trade(number) for number in range(count)]
    sums, rollups = sum_rows(trades)
    sold = {seller: [each for each in trades if each["battery"] == seller] for seller in (SELLER, LAST_SELLER)}
    bought = {buyer: [each for each in trades if each["aggregator"] == buyer] for buyer in (BUYER, OTHER_BUYER)}
    nodes = [node(each, "bess", made) for each, made in sold.items()]
    nodes += [node(each, "aggregator", made) for each, made in bought.items()]
    samples = [
        dict(zip(tables.samples.c.keys(), (SELLER, T + each, T + each, 9, 8, 7, 6), strict=True)) for each in range(9)
    ]
    filled = [
        (tables.nodes, nodes),
        (tables.trades, trades),
        (tables.sums, sums),
        (tables.rollups, rollups),
        (tables.lots, [lot(number) for number in range(count)]),
        (tables.settlements, [settlement(number) for number in range(count)]),
        (tables.events, [event(number) for number in range(count)]),
        (tables.samples, samples),
        (tables.bids, [bid(number) for number in range(3)]),
    ]
    async with engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
        for table, rows in filled:
            await connection.execute(insert(table), rows)
    return trades


def bid(number: int) -> dict[str, Any]:
    """A bid of the first lot."""
    sold = trade(0)
    return {
        "battery": sold["battery"],
        "fork": 0,
        "number": number,
        "lot_id": sold["lot_id"],
        "bidder": OTHER_BUYER,
        "message_id": 2**64 - 1,
        "energy_wh": 5,
        "price_micro_per_kwh": number,
        "state": "standing",
        "time_us": T,
    }


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return Response(body_of(error, request.url.path), status_code=error.status, headers=headers_of(error))


@cache
def _app() -> FastAPI:
    app = FastAPI(openapi_url="/api/v1/openapi.json")
    app.include_router(rest.router)
    app.add_exception_handler(ProblemError, _on_problem)
    app.dependency_overrides[viewer] = lambda: Principal("tester", "viewer", "open")
    rest.describe(app)
    return app


def app_of(engine: AsyncEngine | None, **parts: Any) -> FastAPI:
    """The routes over a store, for somebody who is logged in. One application, since making it takes longer than a test."""
    app, world = _app(), World(trades=5)
    given = {"store": SimpleNamespace(engine=engine, epoch="e", seq=9), "world": world, "registry": None}
    app.state.parts = SimpleNamespace(**given | parts)
    app.state.recent = Recent()
    return app


@cache
def template() -> bytes:
    """The story's database, made once."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "story.sqlite"

        async def make() -> None:
            engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
            await fill(engine)
            await engine.dispose()

        thread = Thread(target=lambda: asyncio.run(make()))  # a test has a loop of its own
        thread.start()
        thread.join()
        return path.read_bytes()


@asynccontextmanager
async def store(directory: Path) -> AsyncIterator[AsyncEngine]:
    """A copy of the story's store."""
    path = directory / "story.sqlite"
    path.write_bytes(template())
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    try:
        yield engine
    finally:
        await engine.dispose()


def client_of(engine: AsyncEngine, **parts: Any) -> httpx.AsyncClient:
    """A client of the routes over a store."""
    transport = httpx.ASGITransport(app_of(engine, **parts))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1")


@asynccontextmanager
async def serving(directory: Path, **parts: Any) -> AsyncIterator[tuple[httpx.AsyncClient, AsyncEngine]]:
    """A client of the story's routes, and the store."""
    async with store(directory) as engine, client_of(engine, **parts) as client:
        yield client, engine


def measures(found: dict[tuple[int, int, int, int], list[float]]) -> list[Measures]:
    """Sums as values."""
    return [Measures(*values) for values in found.values()]  # type: ignore[arg-type]


async def replace_sums(engine: AsyncEngine, trades: list[dict[str, Any]]) -> None:
    """Have the sums of these trades, and no others."""
    sums, rollups = sum_rows(trades)
    async with engine.begin() as connection:
        for table, rows in ((tables.sums, sums), (tables.rollups, rollups)):
            await connection.execute(table.delete())
            await connection.execute(insert(table), rows)
