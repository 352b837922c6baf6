"""How long messages took, per type, against their budgets."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from starlette.responses import Response

from gateway import tables
from gateway.asked import LatencyAsked
from gateway.io.queries import rows_of
from gateway.io.recent import LATEST_S, recent
from gateway.io.rest.answers import JSON, NO_STORE, Route, Routes, encode, here
from gateway.latency import Latencies
from gateway.schema import LatencyRow

router = APIRouter(tags=["statistics"], route_class=Route)
routes = Routes(router)
AT_ONCE: Final = 500
"""Histograms that are added up before others have their turn: 2 ms. A thousand nodes have ten thousand."""


@routes.get("/latency", list[LatencyRow])
async def get_latency(request: Request, asked: Annotated[LatencyAsked, Query()]) -> Response:
    """Reply times and ages on arrival, per message type; at most five seconds old."""
    engine, table = here(request).store.engine, tables.latencies.c

    async def made() -> bytes:
        query = select(table.what, table.message, table.histogram)
        if asked.node is not None:
            query = query.where(table.device_id == int(asked.node))
        (rows,) = await rows_of(engine, query)
        found = Latencies()
        for start in range(0, len(rows), AT_ONCE):
            found.add(rows[start : start + AT_ONCE])
            await asyncio.sleep(
                0
            )  # others have their turn; a thread would take it from them, 5 ms at each of their awaits
        return encode(found.rows(asked.node))

    body = await recent(request).get(("latency", asked.node), made, latest_s=LATEST_S)
    return Response(body, media_type=JSON, headers=NO_STORE)
