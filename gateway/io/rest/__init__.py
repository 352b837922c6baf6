"""The routes of `/api/v1` that read: one module a thing. Whoever asks is logged in, or everybody may watch."""

from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI

from gateway.io.access import viewer
from gateway.io.rest import events, latency, lots, nodes, overview, settlements, statistics, trades
from gateway.io.rest.answers import Route
from gateway.openapi import refined

PREFIX: Final = "/api/v1"


def _router() -> APIRouter:
    whole = APIRouter(prefix=PREFIX, dependencies=[Depends(viewer)], route_class=Route)
    for part in (overview, nodes, lots, trades, settlements, statistics, latency, events):
        whole.include_router(part.router)
    return whole


router: Final = _router()


def describe(app: FastAPI) -> None:
    """Have an application's OpenAPI say what its routes really take and answer."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = refined(generated())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
