"""Who is logged in: sessions, API keys and links, from the database; what a request must show. Decisions: `gateway.access`."""

import hmac
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Annotated, Any

import structlog
from fastapi import Depends
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

from etp.clock import Now
from gateway.access import (
    KEY_ID_BYTES,
    LOCAL_USER,
    LONGEST_TOKEN,
    NOBODY,
    SAFE_METHODS,
    SECRET_BYTES,
    Asker,
    Principal,
    RoleName,
    api_key,
    bearer,
    cookie_in,
    origin_allowed,
    parse_api_key,
    session_ends_us,
    stored,
    text_of,
    wrong_name,
    wrong_password,
)
from gateway.io.accounts import Accounts, TakenError
from gateway.io.database import said
from gateway.io.passwords import Passwords
from gateway.limits import Limits, Timing
from gateway.problem import ProblemError
from gateway.rates import Rates

_US = 1_000_000
LOGIN_HINT = "log in at /login, or send `Authorization: Bearer etp_KEYID_SECRET` (etp gateway key add)"


class Access:
    """The accounts of one gateway."""

    def __init__(
        self,
        engine: AsyncEngine,
        limits: Limits,
        timing: Timing,
        *,
        clock: Callable[[], Now],
        is_open: bool = False,
        origins: Iterable[str] = (),
    ) -> None:
        self.accounts = Accounts(engine, limits.audit_lines, round(timing.revoked_s * _US))
        self.passwords = Passwords(limits)
        self.is_open = is_open
        self.origins = tuple(origins)
        self._limits, self._timing, self._clock = limits, timing, clock
        most = limits.addresses
        self._by_address = Rates(per_s=limits.logins_per_s, burst=limits.login_burst, most=most)
        self._by_name = Rates(per_s=limits.name_logins_per_s, burst=limits.name_login_burst, most=most)
        self._noted = Rates(per_s=limits.noted_per_s, burst=1, most=most)
        self._touch_us = 0
        """When uses are written down again: the database took none."""
        self._log = structlog.get_logger()
        self.on_revoked: Callable[[Callable[[Principal], bool]], None] = lambda _: None
        """Told which principals are no longer: their websockets end at once."""

    async def first_link(self) -> str:
        """A login link's token for the local user, who is made if need be. For loopback without accounts only."""
        now_us = self._clock().wall_us
        if await self.accounts.user(LOCAL_USER) is None:
            await self.accounts.add_user(LOCAL_USER, "admin", None, now_us)
        return await self.new_link(LOCAL_USER, by="gateway start")

    # -- who is it

    async def principal(self, connection: HTTPConnection) -> Principal | None:
        """Who sends this request; None: nobody says so. Raises ProblemError where what is shown does not hold."""
        text = bearer(connection.headers.get("authorization"))
        if text is not None:
            found = await self._of_key(text)
            if found is None:
                raise ProblemError(401, f"the API key is unknown or revoked; {LOGIN_HINT}")
            return found
        cookie = session_cookie(connection)
        if cookie is not None and len(cookie) <= LONGEST_TOKEN:
            session = await self._of_session(stored(cookie))
            if session is not None:
                self._check_origin(connection)
                return session
        is_local = self.is_open and asker_of(connection).is_local
        return Principal("anybody", "viewer", "open") if is_local else None

    def _check_origin(self, connection: HTTPConnection) -> None:
        """A browser sends the cookie by itself: what changes something must come from a page of ours, and say so."""
        if connection.scope["type"] == "http" and connection.scope["method"] in SAFE_METHODS:
            return
        origin = connection.headers.get("origin")
        if origin is not None and origin_allowed(origin, asker_of(connection), self.origins):
            return
        if origin is None and (
            connection.headers.get("sec-fetch-site") == "same-origin" or connection.scope["type"] == "websocket"
        ):
            return  # a browser's websocket always names its Origin; what does not is a program with its own cookie
        raise ProblemError(
            403,
            f"origin is {origin!r}: with a session cookie expected a page of this gateway or of --origins; programs use"
            " an API key",
        )

    async def _of_key(self, text: str) -> Principal | None:
        parts = parse_api_key(text)
        row = await self.accounts.key(parts[0]) if parts else None
        if parts is None or row is None:
            return None
        if not hmac.compare_digest(row.secret, stored(parts[1])) or row.revoked_us is not None:
            return None
        now_us = self._clock().wall_us
        if row.used_us is None or now_us - row.used_us >= self._timing.used_s * _US:
            await self._touch(self.accounts.used_key(row.key_id, now_us))
        return Principal(row.name, row.scope, "api_key", row.key_id.encode())

    async def _of_session(self, token: bytes, *, is_use: bool = True) -> Principal | None:
        row = await self.accounts.session(token)
        now_us = self._clock().wall_us
        if row is None or now_us >= session_ends_us(row.created_us, row.used_us, self._timing):
            return None
        if is_use and now_us - row.used_us >= self._timing.used_s * _US:
            ends_us = session_ends_us(row.created_us, now_us, self._timing)
            await self._touch(self.accounts.used_session(token, now_us=now_us, expires_us=ends_us))
        return Principal(row.user, row.role, "session", token)

    async def _touch(self, write: Coroutine[Any, Any, None]) -> None:
        """Write down a use. A database that takes no writes is no reason to show nothing; it is tried again in a minute."""
        now_us = self._clock().wall_us
        if now_us < self._touch_us:
            write.close()
            return
        try:
            await write
        except (SQLAlchemyError, OSError) as error:
            self._touch_us = now_us + round(self._timing.used_s * _US)
            self._log.warning("use_not_noted", kind="database", error=said(error))

    async def of_token(self, token: str) -> Principal | None:
        """Whose session a cookie is."""
        return await self._of_session(stored(token))

    async def still(self, principal: Principal) -> bool:
        """Whether a principal of before is one now. To be looked up is no use of a session: one ends behind a forgotten page."""
        if principal.via == "open":
            return self.is_open
        if principal.via == "api_key":
            row = await self.accounts.key(principal.handle.decode())
            return row is not None and row.revoked_us is None
        return await self._of_session(principal.handle, is_use=False) is not None

    # -- logging in and out

    async def login(self, name: str, password: str, asked: Asker, before: str | None) -> str:
        """A new session's token. Raises ProblemError: 401, the same for a wrong name and a wrong password; 429; 503."""
        now_s = self._clock().monotonic_s
        for rates, key in ((self._by_address, asked.network), (self._by_name, name[:64])):
            wait_s = rates.refused_s(key, now_s)
            if wait_s is not None:
                await self._note_refused(NOBODY, asked, "login_refused", "too many attempts")
                raise ProblemError(429, "too many logins: wait before the next attempt", retry_after_s=wait_s)
        user = None if wrong_name(name) else await self.accounts.user(name)
        if not await self.passwords.matches(password, user.password if user else None) or user is None:
            # The name is not written down where it is no account: people type their password there.
            await self._note(user.name if user else NOBODY, asked.address, "login_failed", "password")
            raise ProblemError(401, "name or password is wrong")
        await self._note(user.name, asked.address, "login", "password")
        return await self._begin(user, before)

    async def redeem(self, token: str, asked: Asker, before: str | None) -> str:
        """A new session's token for a link's, which works once. Raises ProblemError.

        Nobody guesses 256 random bits, so that wrong ones take no attempt from those who log in.
        """
        user = await self.accounts.use_link(stored(token[:LONGEST_TOKEN]), self._clock().wall_us)
        if user is None:
            await self._note_refused(NOBODY, asked, "login_failed", "link")
            raise ProblemError(
                401, "the link was used already, is over, or never was: make another one with `etp gateway link`"
            )
        await self._note(user.name, asked.address, "login", "link")
        return await self._begin(user, before)

    async def _begin(self, user: Row[Any], before: str | None) -> str:
        token, now_us = text_of(os.urandom(SECRET_BYTES)), self._clock().wall_us
        begun = await self.accounts.begin_session(
            stored(token),
            user,
            now_us=now_us,
            expires_us=session_ends_us(now_us, now_us, self._timing),
            most=self._limits.sessions_per_user,
            before=stored(before[:LONGEST_TOKEN]) if before else None,
        )
        if not begun:
            raise ProblemError(401, "the account is gone")
        return token

    async def logout(self, principal: Principal, address: str) -> None:
        """End this session and its websockets."""
        if principal.via != "session":
            return
        await self.accounts.end_session(principal.handle)
        await self._note(principal.name, address, "logout")
        self.on_revoked(lambda other: other.handle == principal.handle)

    # -- accounts

    async def add_user(
        self, name: str, role: RoleName, password: str | None, *, by: str, address: str = "here"
    ) -> None:
        """Raises ProblemError: 422 for a name or password that cannot be, 409 where the name is taken or there is no room."""
        wrong = wrong_name(name) or (None if password is None else wrong_password(name, password))
        if wrong:
            raise ProblemError(422, wrong)
        if await self.accounts.count_users() >= self._limits.users:
            raise ProblemError(409, f"there are {self._limits.users} accounts already: remove one first")
        hashed = None if password is None else await self.passwords.hash(password)
        try:
            await self.accounts.add_user(name, role, hashed, self._clock().wall_us)
        except TakenError as error:
            raise ProblemError(409, f"there is an account {name!r} already: choose another name") from error
        await self._note(by, address, "user_added", f"{name} {role}")

    async def remove_user(self, name: str, *, by: str, address: str = "here") -> Sequence[Row[Any]]:
        """The account, its sessions and websockets. Raises ProblemError: 404.

        Gives the API keys that go on, where it was an admin: they belong to no account, and it may have copies of some.
        """
        role = await self.accounts.remove_user(name)
        if role is None:
            raise ProblemError(404, f"there is no account {name[:64]!r}: etp gateway user list shows them")
        self.on_revoked(lambda other: other.via == "session" and other.name == name)
        left = await self.accounts.keys_in_force() if role == "admin" else ()
        await self._note(by, address, "user_removed", f"{name} {role}, {len(left)} keys in force" if left else name)
        return left

    async def add_key(self, name: str, scope: RoleName, *, by: str, address: str = "here") -> tuple[str, str]:
        """(key id, the key, shown once). Raises ProblemError."""
        wrong = wrong_name(name)
        if wrong:
            raise ProblemError(422, wrong)
        if await self.accounts.count_keys() >= self._limits.users:
            raise ProblemError(409, f"there are {self._limits.users} keys already: revoke one first")
        key_id, secret = os.urandom(KEY_ID_BYTES), os.urandom(SECRET_BYTES)
        now_us = self._clock().wall_us
        await self.accounts.add_key(key_id.hex(), stored(text_of(secret)), name, scope, now_us)
        await self._note(by, address, "key_added", f"{key_id.hex()} {name} {scope}")
        return key_id.hex(), api_key(key_id, secret)

    async def revoke_key(self, key_id: str, *, by: str, address: str = "here") -> None:
        """The key and its websockets. Raises ProblemError: 404."""
        if not await self.accounts.revoke_key(key_id, self._clock().wall_us):
            raise ProblemError(404, f"there is no key {key_id[:16]!r} in force: etp gateway key list shows them")
        await self._note(by, address, "key_revoked", key_id)
        self.on_revoked(lambda other: other.via == "api_key" and other.handle == key_id.encode())

    async def new_link(self, user: str, *, by: str, address: str = "here") -> str:
        """A login link's token for a user. Raises ProblemError: 404."""
        token, now_us = text_of(os.urandom(SECRET_BYTES)), self._clock().wall_us
        expires_us = now_us + round(self._timing.link_s * _US)
        if not await self.accounts.add_link(stored(token), user, now_us=now_us, expires_us=expires_us):
            raise ProblemError(404, f"there is no account {user[:64]!r}: etp gateway user add makes one")
        await self._note(by, address, "link_made", user)
        return token

    async def audited(self, limit: int, before: int | None) -> list[Row[Any]]:
        """The audit log, newest first."""
        return list(await self.accounts.noted(limit, before))

    async def _note_refused(self, who: str, asked: Asker, what: str, detail: str) -> None:
        """Write down what a stranger may repeat: the first of an address in a minute; the log's limiter sees the rest."""
        if self._noted.refused_s((what, asked.network), self._clock().monotonic_s) is None:
            await self._note(who, asked.address, what, detail)
        else:
            self._log.info("access", kind=what, what=what, who=who, address=asked.address, detail=detail)

    async def _note(self, who: str, address: str, what: str, detail: str = "") -> None:
        await self.accounts.note(time_us=self._clock().wall_us, who=who, address=address, what=what, detail=detail)
        self._log.info("access", what=what, who=who, address=address, detail=detail)


# -- what a route asks for


def asker_of(connection: HTTPConnection) -> Asker:
    """Who asks, as the outermost layer found."""
    found: Asker = connection.scope["etp.asker"]
    return found


def session_cookie(connection: HTTPConnection) -> str | None:
    """The session that a browser shows; None: it shows none."""
    return cookie_in(connection.headers.getlist("cookie"), asker_of(connection).cookie)


async def viewer(connection: HTTPConnection) -> Principal:
    """Anybody who may watch. Raises ProblemError."""
    from gateway.io.parts import parts  # noqa: PLC0415 - parts hold an Access

    found = await parts(connection).access.principal(connection)
    if found is None:
        raise ProblemError(401, f"nobody is logged in: {LOGIN_HINT}")
    return found


async def admin(principal: Annotated[Principal, Depends(viewer)]) -> Principal:
    """Somebody who may change accounts. Raises ProblemError."""
    if not principal.is_admin:
        raise ProblemError(403, f"{principal.name} is a {principal.role}: this needs the role admin")
    return principal


Viewer = Annotated[Principal, Depends(viewer)]
Admin = Annotated[Principal, Depends(admin)]
