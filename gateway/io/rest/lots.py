"""Lots that ended, with their bids once they are closed."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from starlette.responses import Response

from gateway import tables
from gateway.asked import LotsAsked, NothingAsked, U64Text, lot_number
from gateway.io.queries import rows_of
from gateway.io.rest.answers import Route, Routes, answer, here, items, json
from gateway.io.rest.filters import numbers
from gateway.listings import BIDS, LOTS, TRADES
from gateway.problem import ProblemError
from gateway.schema import Lot as LotModel
from gateway.schema import LotDetail, Page

router = APIRouter(tags=["market"], route_class=Route)
routes = Routes(router)
MOST_BIDS: Final = 5_000
"""Of one lot, the first ones: about 1 MB."""
MOST_TRADES: Final = 1_000
"""Of one lot: winners of a divided lot, at least 100 Wh each."""


@routes.get("/lots", Page[LotModel], listed=True)
async def list_lots(request: Request, asked: Annotated[LotsAsked, Query()]) -> Response:
    """Lots that ended, newest first."""
    return await answer(request, LOTS, asked, numbers(asked.filters()))


@routes.get("/lots/{battery}/{lot_id}", LotDetail, found=True)
async def get_lot(request: Request, battery: U64Text, lot_id: U64Text, _: Annotated[NothingAsked, Query()]) -> Response:
    """One lot with its bids and trades."""
    number, seller = lot_number(lot_id), int(battery)
    lot, bid, trade = tables.lots.c, tables.bids.c, tables.trades.c
    missing = ProblemError(
        404, f"battery {battery} has no lot {lot_id} that ended; /api/v1/lots?battery={battery} lists those it has"
    )
    if number is None:
        raise missing
    lots, bids, trades = await rows_of(
        here(request).store.engine,
        select(*LOTS.selected).where(lot.battery == seller, lot.lot_id == number),
        select(*BIDS.selected)
        .where(bid.battery == seller, bid.lot_id == number)
        .order_by(bid.fork, bid.number)
        .limit(MOST_BIDS),
        select(*TRADES.selected)
        .where(trade.battery == seller, trade.auction_id == number)
        .order_by(trade.lot_id)
        .limit(MOST_TRADES),
    )
    if not lots:
        raise missing
    return json(items(LOTS, lots)[0] | {"progress": items(BIDS, bids), "trades": items(TRADES, trades)})
