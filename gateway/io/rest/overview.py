"""Everything in a few numbers."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from sqlalchemy import func, select
from starlette.responses import Response

from gateway import tables
from gateway.asked import NothingAsked
from gateway.io.parts import Parts
from gateway.io.queries import rows_of
from gateway.io.recent import recent
from gateway.io.rest.answers import JSON, NO_STORE, Route, Routes, encode, here
from gateway.schema import Overview
from gateway.sums import capped_sum

router = APIRouter(tags=["market"], route_class=Route)
routes = Routes(router)
UNSETTLED: Final = ("confirmed", "settling", "refused", "defaulted", "held", "disputed")
_SUMS: Final = ("lots_bid", "trades", "energy_wh", "paid_micro", "settled", "settled_micro")


def _version() -> str:
    try:
        return version("etp-suite")
    except PackageNotFoundError:
        return "unknown"


VERSION: Final = _version()


@routes.get("/overview", Overview)
async def get_overview(request: Request, _: Annotated[NothingAsked, Query()]) -> Response:
    """How many nodes, lots and trades, how much was sold and paid; at most a second old."""
    found = here(request)
    body = await recent(request).get("overview", lambda: _made(found))
    return Response(body, media_type=JSON, headers=NO_STORE)


async def _made(found: Parts) -> bytes:
    nodes, settlements, events = tables.nodes.c, tables.settlements.c, tables.events.c
    counted = [capped_sum(nodes[name]) for name in _SUMS]
    roles, sums, unsettled, security = await rows_of(
        found.store.engine,
        select(nodes.role, func.count()).group_by(nodes.role),
        select(*counted).where(nodes.role == "bess"),
        select(func.count()).select_from(tables.settlements).where(settlements.state.in_(UNSETTLED)),
        select(func.count()).select_from(tables.events).where(events.type == "SecurityEvent"),
    )
    count: dict[str, Any] = dict(tuple(row) for row in roles)
    lots, trades, energy_wh, paid_micro, settled, settled_micro = (int(each) for each in sums[0])
    batteries_online, aggregators_online = found.world.online()
    network = found.registry.network if found.registry is not None else None
    return encode(
        {
            "version": VERSION,
            "epoch": found.store.epoch,
            "seq": found.store.seq,
            "batteries": count.get("bess", 0),
            "batteries_online": batteries_online,
            "aggregators": count.get("aggregator", 0),
            "aggregators_online": aggregators_online,
            "lots": lots,
            "trades": trades,
            "sold_wh": energy_wh,
            "paid_micro": paid_micro,
            "settled": settled,
            "settled_micro": settled_micro,
            "unsettled": unsettled[0][0],
            "security_events": security[0][0],
            "network_id": network.network_id.hex() if network is not None else None,
        }
    )
