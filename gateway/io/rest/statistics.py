"""Whether competition pays: prices by hour, battery, buyer and number of rivals, against both baselines."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from gateway import statistics
from gateway.asked import StatisticsAsked
from gateway.io.queries import rows_of
from gateway.io.recent import LATEST_S, recent
from gateway.io.rest.answers import JSON, NO_STORE, Route, Routes, encode, here
from gateway.problem import ProblemError
from gateway.schema import Statistics
from gateway.sums import MOST_GROUPS, Question, query

router = APIRouter(tags=["statistics"], route_class=Route)
routes = Routes(router)


@routes.get("/statistics", Statistics)
async def get_statistics(request: Request, asked: Annotated[StatisticsAsked, Query()]) -> Response:
    """Volume, price and both baselines, by group; at most five seconds old."""
    found = here(request)
    question = Question(
        asked.by,
        None if asked.battery is None else int(asked.battery),
        None if asked.aggregator is None else int(asked.aggregator),
        asked.from_us,
        asked.to_us,
    )
    body = await recent(request).get(question, lambda: _made(found.store.engine, question), latest_s=LATEST_S)
    return Response(body, media_type=JSON, headers=NO_STORE)


async def _made(engine: AsyncEngine, question: Question) -> bytes:
    (rows,) = await rows_of(engine, query(question))
    if len(rows) > MOST_GROUPS:
        raise ProblemError(
            422, f"there are more than {MOST_GROUPS:,} groups: narrow the time with `from_us` and `to_us`"
        )
    groups = {row[0]: statistics.of_row(row[1:]) for row in rows}
    whole = statistics.total(groups.values())
    named = sorted((key, measures) for key, measures in groups.items() if measures.trades)
    return encode(
        {
            "by": question.by,
            "total": statistics.sums(whole),
            "groups": [
                statistics.group("all" if question.by == "all" else str(key), measures) for key, measures in named
            ],
        }
    )
