"""Trades, and one trade from bid to chain."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from gateway import tables
from gateway.asked import NothingAsked, TradesAsked, U64Text, lot_number
from gateway.evidence import AROUND_US, MOST_ROWS, StoredRow, Traded, frames, is_about, shown
from gateway.io.parts import Parts
from gateway.io.queries import rows_of
from gateway.io.rest.answers import Route, Routes, answer, here, items, json
from gateway.io.rest.filters import numbers
from gateway.listings import TRADES
from gateway.problem import ProblemError
from gateway.schema import Page, Trade, TradeDetail

router = APIRouter(tags=["market"], route_class=Route)
routes = Routes(router)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@routes.get("/trades", Page[Trade], listed=True)
async def list_trades(request: Request, asked: Annotated[TradesAsked, Query()]) -> Response:
    """Trades, newest first."""
    return await answer(request, TRADES, asked, numbers(asked.filters()))


@routes.get("/trades/{battery}/{lot_id}", TradeDetail, found=True)
async def get_trade(
    request: Request, battery: U64Text, lot_id: U64Text, _: Annotated[NothingAsked, Query()]
) -> Response:
    """One trade with its evidence: the signed messages, and every journal row about it of both sides."""
    found, number = here(request), lot_number(lot_id)
    engine, table = found.store.engine, tables.trades.c
    if number is not None:
        trade = select(*TRADES.selected, table.message_id).where(table.battery == int(battery), table.lot_id == number)
        (rows,) = await rows_of(engine, trade)
        if rows:
            return json(await _detail(found, engine, rows[0]))
    raise ProblemError(
        404, f"battery {battery} has no trade {lot_id}; /api/v1/trades?battery={battery} lists those it has"
    )


async def _detail(found: Parts, engine: AsyncEngine, row: Any) -> dict[str, Any]:
    trade = Traded(row.battery, row.lot_id, row.auction_id, row.aggregator, row.message_id)
    sold, bought, bought_in_plain = await rows_of(engine, *_about(trade, row.time_us))
    # Newest last of each side: what `frames` takes where a restored journal said it again.
    rows = sorted(
        (each for each in map(_stored, (*sold, *bought, *bought_in_plain)) if is_about(trade, each)),
        key=lambda each: (each.time_us, each.device_id, each.seq),
    )
    registry = found.registry

    def key_of(device_id: int) -> str | None:
        member = registry.get(device_id) if registry is not None else None
        return member.key.hex() if member is not None else None

    return items(TRADES, [row])[0] | {
        "network_id": registry.network.network_id.hex() if registry is not None else None,
        "frames": frames(trade, rows, key_of),
        "rows": [shown(each) for each in rows],
    }


def _about(trade: Traded, time_us: int) -> Sequence[Select[Any]]:
    """The rows that can be about it: the battery's, its buyer's by lot, its buyer's around that time."""
    table = tables.rows.c
    columns = (table.device_id, table.seq, table.hash, table.kind, table.lot_id, table.state, table.time_us, table.body)
    order = (table.time_us, table.fork, table.seq)
    near = (table.time_us >= time_us - AROUND_US, table.time_us <= time_us + AROUND_US)
    conditions = (
        (table.device_id == trade.battery, or_(table.lot_id == trade.lot_id, table.lot_id == trade.auction_id)),
        (table.device_id == trade.aggregator, table.lot_id == trade.lot_id),
        (table.device_id == trade.aggregator, table.lot_id == 0, *near),
    )
    return [select(*columns).where(*each).order_by(*order).limit(MOST_ROWS) for each in conditions]


def _stored(row: Sequence[Any]) -> StoredRow:
    return StoredRow._make((*row[:-1], _decode(row[-1])))
