"""Users, sessions, API keys, links and the audit log in the database: statements only, no decision.

Each change begins with the statement that writes, so that SQLite waits for its lock instead of failing; what must happen
once (a link's use) is one conditional UPDATE.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.access import RoleName
from gateway.tables import api_keys, audit, links, sessions, users

LONGEST_DETAIL = 300


class TakenError(Exception):
    """A name that is there already."""


class Accounts:
    """The tables behind access."""

    def __init__(self, engine: AsyncEngine, audit_lines: int = 100_000) -> None:
        self._engine, self._audit_lines = engine, audit_lines

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[AsyncConnection]:
        async with self._engine.begin() as connection:
            yield connection

    async def _one(self, statement: Any) -> Row[Any] | None:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).first()

    async def _all(self, statement: Any) -> Sequence[Row[Any]]:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).all()

    # -- users

    async def count_with_password(self) -> int:
        """Accounts that can log in by themselves."""
        found = await self._one(select(func.count()).where(users.c.password.is_not(None)))
        return int(found[0]) if found else 0

    async def count_users(self) -> int:
        """All accounts."""
        found = await self._one(select(func.count()).select_from(users))
        return int(found[0]) if found else 0

    async def user(self, name: str) -> Row[Any] | None:
        """One account."""
        return await self._one(select(users).where(users.c.name == name))

    async def all_users(self) -> Sequence[Row[Any]]:
        """By name."""
        return await self._all(select(users).order_by(users.c.name))

    async def add_user(self, name: str, role: RoleName, password: str | None, now_us: int) -> None:
        """Raises TakenError."""
        try:
            async with self._change() as connection:
                await connection.execute(
                    insert(users).values(name=name, role=role, password=password, created_us=now_us)
                )
        except IntegrityError as error:
            raise TakenError(name) from error

    async def remove_user(self, name: str) -> bool:
        """The account, its sessions and its links. Whether there was one."""
        async with self._change() as connection:
            found = await connection.execute(delete(users).where(users.c.name == name))
            await connection.execute(delete(sessions).where(sessions.c.user == name))
            await connection.execute(delete(links).where(links.c.user == name))
            return found.rowcount > 0

    # -- sessions

    async def begin_session(
        self, token: bytes, user: str, *, now_us: int, expires_us: int, most: int, before: bytes | None
    ) -> None:
        """A session in place of `before`; of one user the `most` newest are kept, and none that is over."""
        async with self._change() as connection:
            await connection.execute(
                insert(sessions).values(
                    token=token, user=user, created_us=now_us, used_us=now_us, expires_us=expires_us
                )
            )
            if before is not None:
                await connection.execute(delete(sessions).where(sessions.c.token == before))
            await connection.execute(delete(sessions).where(sessions.c.expires_us <= now_us))
            kept = (
                select(sessions.c.token)
                .where(sessions.c.user == user)
                .order_by(sessions.c.created_us.desc(), sessions.c.token)
                .limit(most)
            )
            surplus = delete(sessions).where(sessions.c.user == user, sessions.c.token.not_in(kept))
            await connection.execute(surplus)

    async def session(self, token: bytes) -> Row[Any] | None:
        """(user, role, created_us, used_us, expires_us) of a session whose user is there."""
        return await self._one(
            select(sessions.c.user, users.c.role, sessions.c.created_us, sessions.c.used_us, sessions.c.expires_us)
            .join(users, users.c.name == sessions.c.user)
            .where(sessions.c.token == token)
        )

    async def used_session(self, token: bytes, *, now_us: int, expires_us: int) -> None:
        """It was used."""
        async with self._change() as connection:
            await connection.execute(
                update(sessions).where(sessions.c.token == token).values(used_us=now_us, expires_us=expires_us)
            )

    async def end_session(self, token: bytes) -> None:
        """It is over."""
        async with self._change() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token == token))

    # -- API keys

    async def add_key(self, key_id: str, secret: bytes, name: str, scope: RoleName, now_us: int) -> None:
        """A new key."""
        async with self._change() as connection:
            values = {"key_id": key_id, "secret": secret, "name": name, "scope": scope, "created_us": now_us}
            await connection.execute(insert(api_keys).values(**values))

    async def count_keys(self) -> int:
        """Keys that are not revoked."""
        found = await self._one(select(func.count()).where(api_keys.c.revoked_us.is_(None)))
        return int(found[0]) if found else 0

    async def key(self, key_id: str) -> Row[Any] | None:
        """One key, revoked or not."""
        return await self._one(select(api_keys).where(api_keys.c.key_id == key_id))

    async def all_keys(self) -> Sequence[Row[Any]]:
        """Oldest first."""
        return await self._all(select(api_keys).order_by(api_keys.c.created_us, api_keys.c.key_id))

    async def used_key(self, key_id: str, now_us: int) -> None:
        """It was used."""
        async with self._change() as connection:
            await connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(used_us=now_us))

    async def revoke_key(self, key_id: str, now_us: int) -> bool:
        """Whether there was one that was not revoked."""
        async with self._change() as connection:
            found = await connection.execute(
                update(api_keys)
                .where(api_keys.c.key_id == key_id, api_keys.c.revoked_us.is_(None))
                .values(revoked_us=now_us)
            )
            return found.rowcount > 0

    # -- links

    async def add_link(self, token: bytes, user: str, *, now_us: int, expires_us: int) -> None:
        """A link; those that are over are forgotten."""
        async with self._change() as connection:
            await connection.execute(insert(links).values(token=token, user=user, expires_us=expires_us))
            await connection.execute(delete(links).where(links.c.expires_us <= now_us))

    async def use_link(self, token: bytes, now_us: int) -> str | None:
        """Whom it logs in, once; None: it does not."""
        async with self._change() as connection:
            found = await connection.execute(
                update(links)
                .where(links.c.token == token, links.c.used_us.is_(None), links.c.expires_us > now_us)
                .values(used_us=now_us)
            )
            if found.rowcount != 1:
                return None
            row = (await connection.execute(select(links.c.user).where(links.c.token == token))).one()
            return str(row[0])

    # -- audit

    async def note(self, *, time_us: int, who: str, address: str, what: str, detail: str = "") -> None:
        """A line of the audit log; the oldest goes where there are too many."""
        values = {"time_us": time_us, "who": who[:64], "address": address[:64], "what": what}
        async with self._change() as connection:
            line = insert(audit).values(**values, detail=detail[:LONGEST_DETAIL]).returning(audit.c.number)
            oldest = (await connection.execute(line)).scalar_one() - self._audit_lines
            if oldest > 0:
                await connection.execute(delete(audit).where(audit.c.number <= oldest))

    async def noted(self, limit: int, before: int | None) -> Sequence[Row[Any]]:
        """Lines of the audit log, newest first, before that number."""
        statement = select(audit).order_by(audit.c.number.desc()).limit(limit)
        return await self._all(statement if before is None else statement.where(audit.c.number < before))
