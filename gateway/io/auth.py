"""The routes of access: log in and out, accounts, API keys, the audit log."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.account_schema import AuditLine, Key, LinkToken, Login, MadeKey, NewKey, NewUser, User
from gateway.io.access import Admin, Viewer, asker_of, session_cookie
from gateway.io.parts import Parts, parts
from gateway.problem import ProblemError
from gateway.schema import Me, Page

router = APIRouter(prefix="/api/v1", tags=["access"])
pages = APIRouter(include_in_schema=False)
LONGEST_PAGE: Final = 500
REFUSED: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ETP gateway: log in</title></head>
<body><h1>This link does not log in</h1>
<p>It was used already, is older than an hour, or never was. Make another one where the gateway runs:
<code>etp gateway link</code>, or <a href="/login">log in with a password</a>.</p></body></html>
"""


def _with_session(response: Response, request: Request, token: str) -> Response:
    asked = asker_of(request)
    response.set_cookie(
        asked.cookie,
        token,
        max_age=round(parts(request).timing.session_s),
        path="/",
        secure=asked.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


async def _me(request: Request, token: str) -> Response:
    found = await parts(request).access.of_token(token)
    if found is None:
        raise ProblemError(401, "the account is gone")
    body = Me(name=found.name, role=found.role, via=found.via).model_dump_json()
    return _with_session(Response(body, media_type="application/json"), request, token)


@router.post("/login", response_model=Me)
async def login(given: Login, request: Request) -> Response:
    """Log in: sets the session's cookie. At most ten attempts at once of one address."""
    access = parts(request).access
    return await _me(
        request, await access.login(given.name, given.password, asker_of(request), session_cookie(request))
    )


@router.post("/login/link", response_model=Me)
async def login_by_link(given: LinkToken, request: Request) -> Response:
    """Log in with a one-time link's token: sets the session's cookie."""
    access = parts(request).access
    return await _me(request, await access.redeem(given.token, asker_of(request), session_cookie(request)))


@router.post("/logout", status_code=204)
async def logout(principal: Viewer, request: Request) -> Response:
    """End this session and its websockets."""
    asked = asker_of(request)
    await parts(request).access.logout(principal, asked.address)
    response = Response(status_code=204)
    secure = asked.scheme == "https"
    response.delete_cookie(asked.cookie, path="/", secure=secure, httponly=True, samesite="strict")
    return response


@router.get("/me")
async def me(principal: Viewer) -> Me:
    """Who asks."""
    return Me(name=principal.name, role=principal.role, via=principal.via)


@pages.get("/login")
async def open_link(request: Request, token: str | None = None) -> Response:
    """A login link: exchanges it at once and goes on to a URL without it, so that none is left to copy or replay."""
    found: Parts = parts(request)
    if token is None:
        return found.static.answer(request, "/login")
    if "prefetch" in f"{request.headers.get('sec-purpose', '')}{request.headers.get('purpose', '')}":
        raise ProblemError(503, "a login link is opened, not fetched ahead")
    if request.headers.get("sec-fetch-dest", "document") != "document":
        raise ProblemError(403, "a login link is opened as a page, not loaded into one")
    try:
        session = await found.access.redeem(token, asker_of(request), session_cookie(request))
    except ProblemError as problem:
        if problem.status != 401:  # noqa: PLR2004 - Unauthorized
            raise
        return HTMLResponse(REFUSED, status_code=401)
    return _with_session(RedirectResponse("/", status_code=303), request, session)


# -- accounts, for admins


def _user(row: object) -> User:
    return User(
        name=row.name,  # type: ignore[attr-defined]
        role=row.role,  # type: ignore[attr-defined]
        has_password=row.password is not None,  # type: ignore[attr-defined]
        created_us=row.created_us,  # type: ignore[attr-defined]
    )


@router.get("/users")
async def users(_: Admin, request: Request) -> list[User]:
    """The accounts, by name."""
    return [_user(row) for row in await parts(request).access.accounts.all_users()]


@router.post("/users", status_code=201)
async def add_user(given: NewUser, principal: Admin, request: Request) -> User:
    """Make an account."""
    access, address = parts(request).access, asker_of(request).address
    await access.add_user(given.name, given.role, given.password, by=principal.noted, address=address)
    row = await access.accounts.user(given.name)
    if row is None:
        raise ProblemError(409, "the account was removed again meanwhile")
    return _user(row)


@router.delete("/users/{name}", status_code=204)
async def remove_user(name: Annotated[str, Path(max_length=64)], principal: Admin, request: Request) -> Response:
    """Remove an account: its sessions and websockets end. API keys go on, also those that an admin made."""
    await parts(request).access.remove_user(name, by=principal.noted, address=asker_of(request).address)
    return Response(status_code=204)


@router.get("/keys")
async def keys(_: Admin, request: Request) -> list[Key]:
    """The API keys, oldest first, without their secrets."""
    rows = await parts(request).access.accounts.all_keys()
    return [Key(**{name: getattr(row, name) for name in Key.model_fields}) for row in rows]


@router.post("/keys", status_code=201)
async def add_key(given: NewKey, principal: Admin, request: Request) -> MadeKey:
    """Make an API key; it is shown this once."""
    access, address = parts(request).access, asker_of(request).address
    key_id, key = await access.add_key(given.name, given.scope, by=principal.noted, address=address)
    return MadeKey(key_id=key_id, key=key)


@router.delete("/keys/{key_id}", status_code=204)
async def revoke_key(key_id: Annotated[str, Path(max_length=16)], principal: Admin, request: Request) -> Response:
    """Revoke an API key: its websockets end."""
    await parts(request).access.revoke_key(key_id, by=principal.noted, address=asker_of(request).address)
    return Response(status_code=204)


@router.get("/audit")
async def audit(
    _: Admin,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="next_cursor of the page before")] = None,
) -> Page[AuditLine]:
    """Logins and changes of accounts, newest first."""
    rows = await parts(request).access.audited(limit + 1, cursor)
    items = [AuditLine(**{name: getattr(row, name) for name in AuditLine.model_fields}) for row in rows[:limit]]
    return Page(items=items, next_cursor=str(items[-1].number) if len(rows) > limit else None)
