"""Accounts in the database: a name is not a person, what was revoked is forgotten, and the audit log says who it was."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.io.accounts import REVOKED_US, Accounts
from gateway.io.database import engine_for, migrate, parse_url
from gateway.limits import Timing
from gateway.tables import sessions
from tests.gateway.whole import serving, until

SESSION: dict[str, Any] = {"now_us": 5, "expires_us": 9, "most": 5, "before": None}


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """A database with its tables."""
    found = engine_for(parse_url(database))
    await migrate(found)
    yield found
    await found.dispose()


async def test_a_namesake_inherits_nothing(engine: AsyncEngine) -> None:
    """Neither a session that was begun as its account was removed, nor a link of before."""
    accounts = Accounts(engine)
    await accounts.add_user("ada", "admin", None, 1)
    before = await accounts.user("ada")
    assert before is not None
    assert await accounts.add_link(b"l" * 32, "ada", now_us=1, expires_us=9)
    assert await accounts.remove_user("ada") == "admin"
    assert not await accounts.begin_session(b"a" * 32, before, **SESSION)
    assert not await accounts.add_link(b"m" * 32, "ada", now_us=1, expires_us=9)
    await accounts.add_user("ada", "viewer", None, 2)
    assert not await accounts.begin_session(b"b" * 32, before, **SESSION)
    assert await accounts.use_link(b"l" * 32, 3) is None
    now = await accounts.user("ada")
    assert now is not None
    assert await accounts.begin_session(b"c" * 32, now, **SESSION)
    assert [await accounts.session(token * 32) is not None for token in (b"a", b"b", b"c")] == [False, False, True]


async def test_no_session_outlives_its_account(engine: AsyncEngine) -> None:
    """However the two statements fall: whoever comes second sees the other."""
    accounts = Accounts(engine)
    for number in range(10):
        await accounts.add_user("ada", "viewer", None, number)
        ada = await accounts.user("ada")
        assert ada is not None
        tokens = [bytes((number, place)) * 16 for place in range(4)]
        begun = [accounts.begin_session(token, ada, **SESSION) for token in tokens]
        await asyncio.gather(*begun[:2], accounts.remove_user("ada"), *begun[2:])
    async with engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(sessions))).scalar_one() == 0


async def test_revoked_keys_are_forgotten(engine: AsyncEngine) -> None:
    """After ninety days, when another one is made or revoked; those in force never."""
    accounts = Accounts(engine)
    for key_id in ("old", "new", "used"):
        await accounts.add_key(key_id, b"s" * 32, "test", "viewer", 1)
    assert await accounts.revoke_key("old", 2)
    assert await accounts.revoke_key("new", 1 + REVOKED_US)
    assert [row.key_id for row in await accounts.all_keys()] == ["new", "old", "used"]
    await accounts.add_key("later", b"s" * 32, "test", "viewer", 2 + REVOKED_US)
    assert [row.key_id for row in await accounts.all_keys()] == ["new", "used", "later"]
    assert [row.key_id for row in await accounts.keys_in_force()] == ["used", "later"]


async def test_the_audit_log_tells_a_key_from_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the key's id; strangers and the gateway itself have no name that an account could have."""
    async with serving(tmp_path, monkeypatch) as gateway:
        headers = await gateway.key("admin")
        key_id = headers["Authorization"].split("_")[1]
        async with gateway.client(**headers) as client:
            assert (await client.post("/api/v1/keys", json={"name": "x"})).status_code == 201
            assert (await client.post("/api/v1/login", json={"name": "start", "password": "x"})).status_code == 401
            assert (await client.get("/login?token=x", headers={"Authorization": ""})).status_code == 401
            lines = (await client.get("/api/v1/audit")).json()["items"][::-1]
        who = {line["what"]: line["who"] for line in lines}
        assert who["key_added"] == f"key:{key_id} test"
        assert {line["who"] for line in lines if line["what"] == "login_failed"} == {"-"}
        assert who["link_made"] == "gateway start"


async def test_keys_outlive_the_admin_that_made_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that is said: by the command, and in the audit log."""
    async with serving(tmp_path, monkeypatch) as gateway:
        access = gateway.parts.access
        for name, role in (("ada", "admin"), ("bob", "viewer")):
            await access.add_user(name, role, None, by="test")  # type: ignore[arg-type]
        key_id, _ = await access.add_key("grafana", "viewer", by="ada")
        assert [row.key_id for row in await access.remove_user("ada", by="test")] == [key_id]
        assert list(await access.remove_user("bob", by="test")) == []
        noted = [line.detail for line in await access.audited(2, None)]
        assert noted == ["bob", "ada admin, 1 keys in force"]


async def test_a_forgotten_page_keeps_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open websocket is no use of it: the session ends as if nobody were there, and the websocket with it."""
    timing = Timing(recheck_s=0.05, used_s=0.0, session_idle_s=0.6)
    async with serving(tmp_path, monkeypatch, timing=timing) as gateway, gateway.admin() as client:
        cookie = {"Cookie": f"{gateway.cookie}={client.cookies[gateway.cookie]}"}
        async with gateway.stream(cookie) as watching, asyncio.timeout(5):
            with pytest.raises(ConnectionClosed):
                await watching.recv()
        assert watching.close_code == 1008


# -- a database that is away


def away(*_: object, **__: object) -> Any:
    """What a statement does then."""
    raise OperationalError("SELECT … FROM sessions", {"token": b"secret"}, Exception("database is locked\nand more"))


async def test_without_its_database_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 for requests and websockets alike, with the headers of every answer."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:
        headers = await gateway.key()
        monkeypatch.setattr(Accounts, "key", away)
        found = await client.get("/api/v1/me", headers=headers)
        assert (found.status_code, found.headers["content-type"]) == (503, "application/problem+json")
        assert "locked" not in found.text
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.stream(headers):
                pass
        response = refused.value.response
        assert (response.status_code, "content-security-policy" in response.headers) == (503, True)


async def test_uses_that_cannot_be_noted_are_tried_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try may wait ten seconds for a lock: one in `used_s`, for all sessions and keys together."""
    tried = list[str]()

    async def failing(_: Accounts, key_id: str, __: int) -> None:
        tried.append(key_id)
        away()

    async with serving(tmp_path, monkeypatch, timing=Timing(used_s=30.0)) as gateway, gateway.client() as client:
        keys = [await gateway.key() for _ in range(3)]
        monkeypatch.setattr(Accounts, "used_key", failing)
        for headers in keys:
            assert (await client.get("/api/v1/me", headers=headers)).status_code == 200
    assert len(tried) == 1


async def test_a_look_at_accounts_that_fails_ends_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says why in a line of its own, without what was asked for."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.stream() as watching:
        monkeypatch.setattr(Accounts, "key", away)
        with capture_logs() as lines:
            await gateway.parts.stream._recheck()
        assert [(line["event"], line["error"]) for line in lines] == [("accounts_not_rechecked", "database is locked")]
        await watching.send('{"verb":"subscribe"}')
        await until(watching, "Subscribed")
