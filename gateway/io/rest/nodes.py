"""Batteries and aggregators: who is there, what they show of themselves, a battery's samples.

A market has thousands of nodes at most, so a page reads the ids of all and the rows of its own: ids are in their order as u64,
and who is online is what this gateway sees now.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from starlette.responses import Response, StreamingResponse

from gateway import csv, cursor, nodes, tables
from gateway.asked import (
    MOST_CSV_ROWS,
    AggregatorsAsked,
    BatteriesAsked,
    ListAsked,
    NothingAsked,
    SamplesAsked,
    U64Text,
)
from gateway.io.queries import rows_of
from gateway.io.rest.answers import (
    CSV,
    NO_STORE,
    ROW_LIMIT,
    Route,
    Routes,
    answer,
    here,
    json,
    key_of,
    limit_of,
    scope_of,
    wants_csv,
)
from gateway.listings import SAMPLES
from gateway.problem import ProblemError
from gateway.schema import Aggregator, Battery, Page, Sample
from gateway.translate import signed, unsigned

router = APIRouter(tags=["nodes"], route_class=Route)
routes = Routes(router)
CHUNK: Final = 500
"""Nodes whose rows are read at a time."""


class Kind(NamedTuple):
    """A role and how its nodes look."""

    name: str
    singular: str
    role: str
    fields: tuple[str, ...]
    shape: Callable[..., dict[str, Any]]


BATTERIES: Final = Kind("batteries", "battery", "bess", tuple(Battery.model_fields), nodes.battery)
AGGREGATORS: Final = Kind("aggregators", "aggregator", "aggregator", tuple(Aggregator.model_fields), nodes.aggregator)


async def _ids(request: Request, kind: Kind, online: bool | None) -> list[int]:
    found = here(request)
    table = tables.nodes.c
    (rows,) = await rows_of(found.store.engine, select(table.device_id).where(table.role == kind.role))
    ids = sorted(row[0] for row in rows)
    return ids if online is None else [each for each in ids if found.world.is_online(each) is online]


async def _shown(request: Request, kind: Kind, ids: Sequence[int]) -> list[dict[str, Any]]:
    found, table = here(request), tables.nodes
    (rows,) = await rows_of(
        found.store.engine, select(*table.c).where(table.c.device_id.in_(ids), table.c.role == kind.role)
    )
    by_id = {row.device_id: row._mapping for row in rows}  # noqa: SLF001 - SQLAlchemy's public name
    return [kind.shape(by_id[each], online=found.world.is_online(each)) for each in ids if each in by_id]


async def _list(request: Request, kind: Kind, asked: ListAsked, online: bool | None) -> Response:
    scope = scope_of(kind.name, asked.filters())
    after = key_of(scope, asked, 1)
    ids = await _ids(request, kind, online)
    if after is not None:
        ids = [each for each in ids if each > unsigned(after[0])]
    if wants_csv(request, asked):
        return _csv(request, kind, ids[: asked.limit or MOST_CSV_ROWS], asked)
    limit = limit_of(asked)
    following = cursor.encode(scope, (signed(ids[limit - 1]),)) if len(ids) > limit else None
    return json({"items": await _shown(request, kind, ids[:limit]), "next_cursor": following})


def _csv(request: Request, kind: Kind, ids: Sequence[int], asked: ListAsked) -> Response:
    headers = NO_STORE | {
        ROW_LIMIT: str(asked.limit or MOST_CSV_ROWS),
        "content-disposition": f'attachment; filename="{kind.name}.csv"',
    }
    if request.method == "HEAD":
        return Response(media_type=CSV, headers=headers)

    async def lines() -> Any:
        yield csv.lines([kind.fields])
        for start in range(0, len(ids), CHUNK):
            shown = await _shown(request, kind, ids[start : start + CHUNK])
            yield csv.lines([each[name] for name in kind.fields] for each in shown)

    return StreamingResponse(lines(), media_type=CSV, headers=headers)


async def _one(request: Request, kind: Kind, device_id: str) -> Response:
    found = await _shown(request, kind, [int(device_id)])
    if not found:
        raise ProblemError(
            404,
            f"there is no {kind.singular} {device_id} that has published something; /api/v1/{kind.name} lists those that have",
        )
    return json(found[0])


@routes.get("/batteries", Page[Battery], listed=True)
async def list_batteries(request: Request, asked: Annotated[BatteriesAsked, Query()]) -> Response:
    """Batteries that have published something, by id."""
    return await _list(request, BATTERIES, asked, asked.online)


@routes.get("/batteries/{device_id}", Battery, found=True)
async def get_battery(request: Request, device_id: U64Text, _: Annotated[NothingAsked, Query()]) -> Response:
    """One battery."""
    return await _one(request, BATTERIES, device_id)


@routes.get("/batteries/{device_id}/samples", Page[Sample], listed=True, found=True)
async def list_samples(request: Request, device_id: U64Text, asked: Annotated[SamplesAsked, Query()]) -> Response:
    """What a battery stored and promised, oldest first."""
    await _one(request, BATTERIES, device_id)
    return await answer(request, SAMPLES, asked, asked.filters() | {"device_id": int(device_id)})


@routes.get("/aggregators", Page[Aggregator], listed=True)
async def list_aggregators(request: Request, asked: Annotated[AggregatorsAsked, Query()]) -> Response:
    """Aggregators that have published something or won a trade, by id."""
    return await _list(request, AGGREGATORS, asked, asked.online)


@routes.get("/aggregators/{device_id}", Aggregator, found=True)
async def get_aggregator(request: Request, device_id: U64Text, _: Annotated[NothingAsked, Query()]) -> Response:
    """One aggregator."""
    return await _one(request, AGGREGATORS, device_id)
