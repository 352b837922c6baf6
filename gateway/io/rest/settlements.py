"""Payments of trades."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gateway.asked import SettlementsAsked
from gateway.io.rest.answers import Route, Routes, answer
from gateway.io.rest.filters import numbers
from gateway.listings import SETTLEMENTS
from gateway.schema import Page, Settlement

router = APIRouter(tags=["market"], route_class=Route)
routes = Routes(router)


@routes.get("/settlements", Page[Settlement], listed=True)
async def list_settlements(request: Request, asked: Annotated[SettlementsAsked, Query()]) -> Response:
    """Where payments stand, the newest change first."""
    return await answer(request, SETTLEMENTS, asked, numbers(asked.filters()))
