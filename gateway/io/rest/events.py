"""Stored events, and what the stream can say."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gateway.asked import EventsAsked, NothingAsked
from gateway.io.rest.answers import JSON, Route, Routes, answer, encode, here, items
from gateway.io.rest.filters import numbers
from gateway.listings import EVENTS, Listing
from gateway.schema import Page, StoredEvent
from gateway.stream_schema import document

router = APIRouter(tags=["events"], route_class=Route)
routes = Routes(router)
_SCHEMAS: Final = encode(document())
_TAG: Final = f'"{sha256(_SCHEMAS).hexdigest()[:32]}"'


@routes.get("/events", Page[StoredEvent], listed=True)
async def list_events(request: Request, asked: Annotated[EventsAsked, Query()]) -> Response:
    """Events of the stream that came from journals, newest first by their node's clock."""
    epoch = here(request).store.epoch

    def shape(listing: Listing, rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
        found = items(listing, rows)
        for item in found:
            item["event"] = whole(item["event"], epoch, item["seq"])
        return found

    return await answer(request, EVENTS, asked, numbers(asked.filters()), shape=shape)


def whole(stored: bytes, epoch: str, seq: int) -> dict[str, Any]:
    """A stored event as the stream has it."""
    event: dict[str, Any] = msgspec.json.decode(stored)
    return {"type": event.pop("type"), "epoch": epoch, "seq": seq} | event


@routes.get("/schemas/events", dict[str, object])
async def get_event_schemas(request: Request, _: Annotated[NothingAsked, Query()]) -> Response:
    """JSON Schemas of everything that the stream says and understands."""
    headers = {"etag": _TAG, "cache-control": "no-cache"}
    if _TAG in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(_SCHEMAS, media_type=JSON, headers=headers)
