"""Users, sessions, API keys, links and the audit log in the database: statements only, no decision.

Each change begins with the statement that writes, so that SQLite waits for its lock instead of failing; what must happen
once (a link's use) is one conditional UPDATE.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Row, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.access import RoleName
from gateway.tables import api_keys, audit, links, sessions, users

LONGEST_DETAIL = 300
REVOKED_US = 90 * 86_400_000_000


class TakenError(Exception):
    """A name that is there already."""


class Accounts:
    """The tables behind access."""

    def __init__(self, engine: AsyncEngine, audit_lines: int = 100_000, revoked_us: int = REVOKED_US) -> None:
        """`audit_lines` are kept; a revoked key is forgotten after `revoked_us`."""
        self._engine, self._audit_lines, self._revoked_us = engine, audit_lines, revoked_us

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

    async def remove_user(self, name: str) -> RoleName | None:
        """The account, its sessions and its links. What it was; None: there was none."""
        async with self._change() as connection:
            found = await connection.execute(delete(users).where(users.c.name == name).returning(users.c.role))
            role: RoleName | None = found.scalar_one_or_none()
            await connection.execute(delete(sessions).where(sessions.c.user == name))
            await connection.execute(delete(links).where(links.c.user == name))
            return role

    # -- sessions

    async def begin_session(
        self, token: bytes, account: Row[Any], *, now_us: int, expires_us: int, most: int, before: bytes | None
    ) -> bool:
        """A session in place of `before`; of one user the `most` newest are kept, and none that is over.

        Whether the account is there: one that was removed meanwhile has none, nor has its namesake that was made since.
        """
        user = account.name
        holder = (
            select(literal(token, sessions.c.token.type), users.c.name, *map(literal, (now_us, now_us, expires_us)))
            .where(users.c.name == user, users.c.created_us == account.created_us)
            .with_for_update(
                read=True, key_share=True
            )  # PostgreSQL: who removes the account waits, and sees the session
        )
        names = ["token", "user", "created_us", "used_us", "expires_us"]
        async with self._change() as connection:
            if (await connection.execute(insert(sessions).from_select(names, holder))).rowcount != 1:
                return False
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
            return True

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
            await self._forget_keys(connection, now_us)

    async def _forget_keys(self, connection: AsyncConnection, now_us: int) -> None:
        await connection.execute(delete(api_keys).where(api_keys.c.revoked_us <= now_us - self._revoked_us))

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

    async def keys_in_force(self) -> Sequence[Row[Any]]:
        """Those that are not revoked, oldest first."""
        return [row for row in await self.all_keys() if row.revoked_us is None]

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
            await self._forget_keys(connection, now_us)
            return found.rowcount > 0

    # -- links

    async def add_link(self, token: bytes, user: str, *, now_us: int, expires_us: int) -> bool:
        """A link; those that are over are forgotten. Whether there is such an account."""
        holder = (
            select(literal(token, links.c.token.type), users.c.name, literal(expires_us))
            .where(users.c.name == user)
            .with_for_update(read=True, key_share=True)
        )
        async with self._change() as connection:
            found = await connection.execute(insert(links).from_select(["token", "user", "expires_us"], holder))
            await connection.execute(delete(links).where(links.c.expires_us <= now_us))
            return found.rowcount == 1

    async def use_link(self, token: bytes, now_us: int) -> Row[Any] | None:
        """The account that it logs in, once; None: it does not."""
        async with self._change() as connection:
            found = await connection.execute(
                update(links)
                .where(links.c.token == token, links.c.used_us.is_(None), links.c.expires_us > now_us)
                .values(used_us=now_us)
            )
            if found.rowcount != 1:
                return None
            holder = select(users).join(links, links.c.user == users.c.name).where(links.c.token == token)
            return (await connection.execute(holder)).first()

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
