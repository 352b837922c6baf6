"""What the routers have in common: rows → JSON or CSV, pages, problems, how a route is registered."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response, StreamingResponse

from gateway import csv, cursor
from gateway.asked import ITEMS, MOST_CSV_ROWS, MOST_ITEMS, ListAsked
from gateway.io import queries
from gateway.io.parts import Parts, parts
from gateway.listings import Listing, Wanted
from gateway.problem import ProblemError
from gateway.schema import Problem

JSON: Final = "application/json"
CSV: Final = "text/csv; charset=utf-8"
NO_STORE: Final = {"cache-control": "no-store"}
ROW_LIMIT: Final = "x-row-limit"
"""Of a csv: the most rows that it could have; as many means that there may be more."""
SHOWN: Final = 3
"""Wrong parameters that a problem names."""
LONGEST: Final = 80
encode: Final = msgspec.json.Encoder().encode
A = TypeVar("A", bound=ListAsked)


def json(value: object) -> Response:
    """An answer."""
    return Response(encode(value), media_type=JSON, headers=NO_STORE)


# -- rows


def items(listing: Listing, rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows as objects: the fields of the model, ids as texts."""
    fields, ids = listing.fields, [listing.fields[at] for at in listing.ids]
    found = [dict(zip(fields, row, strict=False)) for row in rows]  # a row may go on with its key
    for item in found:
        for name in ids:
            value = item[name]
            if value is not None:
                item[name] = str(value)
    return found


def wants_csv(request: Request, asked: ListAsked) -> bool:
    """Whether csv is asked for, by parameter or by Accept."""
    if asked.format is not None:
        return asked.format == "csv"
    return "text/csv" in request.headers.get("accept", "")


def limit_of(asked: ListAsked) -> int:
    """Items of a page of JSON. Raises ProblemError."""
    limit = asked.limit or ITEMS
    if limit > MOST_ITEMS:
        raise ProblemError(422, f"parameter `limit` is {limit}: a page of json has at most {MOST_ITEMS} items")
    return limit


def scope_of(name: str, filters: dict[str, Any]) -> str:
    """What a cursor belongs to: the list and its filters."""
    return encode([name, sorted(filters.items())]).decode()


def key_of(scope: str, asked: ListAsked, length: int) -> tuple[int, ...] | None:
    """The key that the given cursor names. Raises ProblemError."""
    if asked.cursor is None:
        return None
    try:
        return cursor.decode(scope, asked.cursor, length)
    except cursor.CursorError as error:
        raise ProblemError(422, f"parameter `cursor`: {error}") from error


Shape = Callable[[Listing, Iterable[Sequence[Any]]], list[dict[str, Any]]]


async def answer(
    request: Request, listing: Listing, asked: ListAsked, filters: dict[str, Any], *, shape: Shape = items
) -> Response:
    """A list, as JSON or CSV. `filters`: equalities by name, ids as numbers, with `from_us` and `to_us`."""
    engine = parts(request).store.engine
    scope = scope_of(listing.name, filters)
    equal = {name: value for name, value in filters.items() if name not in ("from_us", "to_us")}
    after = key_of(scope, asked, len(listing.order))
    wanted = Wanted(equal, filters.get("from_us"), filters.get("to_us"), after)
    if wants_csv(request, asked):
        return await _csv(request, listing, wanted, asked, shape)
    found = await queries.page(engine, listing, wanted, limit_of(asked))
    following = None if found.after is None else cursor.encode(scope, found.after)
    return json({"items": shape(listing, found.rows), "next_cursor": following})


async def _csv(request: Request, listing: Listing, wanted: Wanted, asked: ListAsked, shape: Shape) -> Response:
    most = asked.limit or MOST_CSV_ROWS
    headers = NO_STORE | {
        ROW_LIMIT: str(most),
        "content-disposition": f'attachment; filename="{listing.name}.csv"',
    }
    if request.method == "HEAD":
        return Response(media_type=CSV, headers=headers)
    chunks = queries.stream(parts(request).store.engine, listing, wanted, most)
    first = await anext(chunks, None)  # what is wrong with the store is said before the answer has begun
    return StreamingResponse(_lines(listing, first, chunks, shape), media_type=CSV, headers=headers)


async def _lines(
    listing: Listing, first: Sequence[Any] | None, chunks: AsyncIterator[Sequence[Any]], shape: Shape
) -> AsyncIterator[bytes]:
    yield csv.lines([listing.fields])
    if first is None:
        return
    yield _chunk(listing, first, shape)
    async for chunk in chunks:
        yield _chunk(listing, chunk, shape)


def _chunk(listing: Listing, rows: Sequence[Any], shape: Shape) -> bytes:
    return csv.lines(map(_values, shape(listing, rows)))


def _values(item: dict[str, Any]) -> list[object]:
    return [encode(value).decode() if isinstance(value, dict | list) else value for value in item.values()]


# -- routes


class Route(APIRoute):
    """A route whose wrong parameters become a problem that says which there are."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors made problems."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise wrong_parameters(error, self) from error
            except (SQLAlchemyError, OSError) as error:
                raise ProblemError(503, "the store does not answer; try again", retry_after_s=1) from error

        return handler


def wrong_parameters(error: RequestValidationError, route: APIRoute) -> ProblemError:
    """Which parameter is wrong, what it was, and what would be right."""
    found = error.errors()
    texts = [_wrong(one, route) for one in found[:SHOWN]]
    more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
    return ProblemError(422, "; ".join(texts) + more, title="Wrong parameter")


def _wrong(one: dict[str, Any], route: APIRoute) -> str:
    name = str(one["loc"][min(1, len(one["loc"]) - 1)])[:LONGEST]
    if one["type"] == "extra_forbidden":
        return f"there is no parameter `{name}`; expected {', '.join(_names(route)) or 'none'}"
    said = str(one["msg"]).removeprefix("Value error, ")
    if one["type"] == "string_pattern_mismatch" and "9]{0,19}" in said:
        said = "expected a u64 in decimal, 0 to 18446744073709551615, without leading zeros"
    if len(one["loc"]) == 1:
        return said
    return f"parameter `{name}` is {str(one.get('input'))[:LONGEST]!r}: {said}"


def _names(route: APIRoute) -> list[str]:
    return [
        name
        for field in route.dependant.query_params
        if isinstance(field.field_info.annotation, type) and issubclass(field.field_info.annotation, BaseModel)
        for name in field.field_info.annotation.model_fields
    ]


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Problem, "description": "nobody is logged in"},
    422: {"model": Problem, "description": "a parameter is wrong: which, what it was, what would be right"},
    503: {"model": Problem, "description": "the store does not answer, or too much is asked for"},
}
MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"model": Problem, "description": "there is no such thing"}}
AS_CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "a page; or, as csv, the whole list that the filters leave",
        "content": {"text/csv": {"schema": {"type": "string"}}},
        "headers": {ROW_LIMIT: {"schema": {"type": "integer"}, "description": "of a csv: the most rows it could have"}},
    }
}


class Routes:
    """A router's routes: GET, with HEAD and OPTIONS beside it."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router

    def get(
        self, path: str, model: Any, *, listed: bool = False, found: bool = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a function. `listed`: as csv too; `found`: answers 404 where there is nothing."""

        def register(endpoint: Callable[..., Any]) -> Callable[..., Any]:
            add = self._router.add_api_route
            responses = PROBLEMS | (MISSING if found else {}) | (AS_CSV if listed else {})
            add(
                path,
                endpoint,
                methods=["GET"],
                response_model=model,
                responses=responses,
                operation_id=getattr(endpoint, "__name__", path),
            )
            add(path, endpoint, methods=["HEAD"], include_in_schema=False, response_model=None)
            add(path, _options, methods=["OPTIONS"], include_in_schema=False)
            return endpoint

        return register


async def _options() -> Response:
    return Response(status_code=204, headers={"allow": "GET, HEAD, OPTIONS"})


def here(request: Request) -> Parts:
    """The gateway that serves this request."""
    return parts(request)
