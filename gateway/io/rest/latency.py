"""How long messages took, per type, against their budgets."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import text
from starlette.responses import Response

from gateway.asked import LatencyAsked
from gateway.io.recent import LATEST_S, recent
from gateway.io.rest.answers import JSON, NO_STORE, Route, Routes, encode, here
from gateway.latency import latencies, texts
from gateway.schema import LatencyRow
from gateway.translate import signed

router = APIRouter(tags=["statistics"], route_class=Route)
routes = Routes(router)


@routes.get("/latency", list[LatencyRow])
async def get_latency(request: Request, asked: Annotated[LatencyAsked, Query()]) -> Response:
    """Reply times and ages on arrival, per message type; at most five seconds old."""
    engine = here(request).store.engine

    async def made() -> bytes:
        asks = texts(engine.dialect.name, of_one=asked.node is not None)
        given = {} if asked.node is None else {"node": signed(int(asked.node))}
        async with engine.connect() as connection:
            buckets, wholes = [(await connection.execute(text(each), given)).all() for each in asks]
        return encode(latencies(buckets, wholes, asked.node))

    body = await recent(request).get(("latency", asked.node), made, latest_s=LATEST_S)
    return Response(body, media_type=JSON, headers=NO_STORE)
