"""The gateway's application: routes from the parts of `gateway.io`, every error as problem+json, the guard around all."""

from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.websockets import WebSocket

from etp.io.clock import system_now
from gateway.access import audiences
from gateway.io import auth, exporter, rest
from gateway.io.connection import STREAM_PATH
from gateway.io.database import said
from gateway.io.guard import DATABASE_AWAY, Application, Guard, Receive, Scope, Send
from gateway.io.parts import Parts, parts
from gateway.problem import ProblemError, body_of, headers_of
from runtime.feed.wire import PATH as FEED_PATH

SHOWN_ERRORS: Final = 3
DESCRIPTION: Final = (
    "What batteries and aggregators of an Energy Trading Protocol market publish: their lots, trades and settlements,"
    " with the evidence. Ids are decimal strings; money, energy and times are integers (µ, Wh, µs)."
)


def problem_response(problem: ProblemError, path: str) -> Response:
    """A ProblemError as an answer."""
    return Response(body_of(problem, path), status_code=problem.status, headers=headers_of(problem))


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error, request.url.path)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow", "")
    detail = {
        HTTPStatus.NOT_FOUND: f"there is no {request.url.path[:200]!r} here; /api/v1/openapi.json says what there is",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not for {request.url.path[:200]!r}; expected {allowed}",
    }.get(HTTPStatus(error.status_code), str(error.detail))
    response = problem_response(ProblemError(error.status_code, detail), request.url.path)
    if allowed:
        response.headers["allow"] = allowed
    return response


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Which field is wrong and what would be right; what was sent is not repeated, since it may be a password."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    texts = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found[:SHOWN_ERRORS]]
    more = f" (and {len(found) - SHOWN_ERRORS} more)" if len(found) > SHOWN_ERRORS else ""
    return problem_response(ProblemError(422, "; ".join(texts)[:1000] + more), request.url.path)


async def _on_database(request: Request, error: Exception) -> Response:
    structlog.get_logger().error("request_failed", path=request.url.path, error=said(error), kind="database")
    return problem_response(DATABASE_AWAY, request.url.path)


async def _on_failure(request: Request, error: Exception) -> Response:
    structlog.get_logger().error("request_failed", path=request.url.path, method=request.method, error=repr(error))
    detail = "the gateway failed at this request: its log says how; please report it"
    return problem_response(ProblemError(500, detail), request.url.path)


def build(with_parts: Parts) -> Application:
    """The application of one gateway."""
    app = FastAPI(
        title="ETP gateway",
        version="1",
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.parts = with_parts
    with_parts.ingest.rules.names = audiences(with_parts.settings.origins)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for kind in (SQLAlchemyError, OSError):
        app.add_exception_handler(kind, _on_database)
    app.add_exception_handler(Exception, _on_failure)
    for router in (rest.router, auth.router, auth.pages, exporter.router):
        app.include_router(router)
    rest.describe(app)
    app.add_api_route("/{path:path}", _page, methods=["GET", "HEAD"], include_in_schema=False)
    return Guard(_Websockets(app, with_parts), with_parts.settings, with_parts.limits, with_parts.timing, system_now)


async def _page(request: Request, path: str) -> Response:
    """The dashboard."""
    return parts(request).static.answer(request, path)


class _Websockets:
    """The two websockets, past the layers that only requests need."""

    def __init__(self, app: FastAPI, with_parts: Parts) -> None:
        self._app, self._parts = app, with_parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        scope["app"] = self._app
        websocket = WebSocket(scope, receive, send)
        if scope["path"] == STREAM_PATH:
            await self._parts.stream.serve(websocket)
        elif scope["path"] == FEED_PATH:
            await self._parts.ingest.serve(websocket)
        else:
            raise ProblemError(404, f"there is no websocket here; expected {STREAM_PATH}")
