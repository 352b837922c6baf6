"""Clients that mean harm: each is answered or cut off, and the gateway serves the others meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.limits import Limits, Timing
from tests.gateway.whole import Running, frame, masked, said, serving, until

QUICK = Timing(head_s=1.0, request_s=3.0, farewell_s=0.3, batch_s=0.02, snapshot_s=0.05, lag_s=0.5)
"""Short for who waits, and long enough that a busy machine begins its answer."""
TIGHT = Limits(waiting_bytes=32 * 1024, chunk_bytes=16 * 1024, socket_bytes=4 * 1024)


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """One with short times."""
    async with serving(tmp_path, monkeypatch, timing=QUICK, limits=TIGHT) as running:
        yield running


async def answer(gateway: Running, data: bytes) -> bytes:
    """What a connection gets until it is closed."""
    reader, writer = await gateway.raw(data)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def alive(gateway: Running) -> bool:
    """Whether others are served."""
    async with gateway.client() as client:
        return (await client.get("/healthz")).status_code == 200


def problem(response: httpx.Response, status: int, words: str) -> None:
    """It is that problem, and says those words."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == status
    assert words in found["detail"]


async def test_pages_of_other_sites_change_nothing(gateway: Running) -> None:
    """A foreign Origin with the cookie, or none where a browser would send one, is refused; reading gives it no CORS."""
    async with gateway.admin() as client:
        for origin in ("https://evil.example", "null", f"{gateway.url}.evil.example", "http://localhost:1"):
            found = await client.post("/api/v1/keys", json={"name": "x"}, headers={"Origin": origin})
            problem(found, 403, "origin")
            read = await client.get("/api/v1/me", headers={"Origin": origin})
            assert "access-control-allow-origin" not in read.headers
        del client.headers["Origin"]
        problem(await client.post("/api/v1/keys", json={"name": "x"}), 403, "origin")
        assert (await client.get("/api/v1/keys")).json() == []


@pytest.mark.parametrize("path", ["/ws", "/feed"])
async def test_pages_of_other_sites_get_no_websocket(gateway: Running, path: str) -> None:
    """Neither the stream with the user's cookie, nor the feed of a gateway on this machine."""
    async with gateway.admin() as client:
        cookie = f"{gateway.cookie}={client.cookies[gateway.cookie]}"
    for origin, host in (("https://evil.example", None), ("http://evil.example", "evil.example")):
        headers = {"Cookie": cookie, "Origin": origin} | ({"Host": host} if host else {})
        status = await _refused(gateway, path, headers)
        assert status == (421 if host else 403)


async def _refused(gateway: Running, path: str, headers: dict[str, str]) -> int:
    lines = {"Host": f"{gateway.host}:{gateway.port}", "Upgrade": "websocket", "Connection": "Upgrade"} | headers
    lines |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13"}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    found = await answer(gateway, f"GET {path} HTTP/1.1\r\n{text}\r\n".encode())
    head, _, body = found.partition(b"\r\n\r\n")
    assert json.loads(body)["detail"]
    assert b"content-security-policy" in head
    return int(head.split()[1])


async def test_names_that_somebody_points_at_us(gateway: Running) -> None:
    """DNS rebinding: the page's name is in Host. None or two of them are no request."""
    async with gateway.client() as client:
        problem(await client.get("/", headers={"Host": "evil.example"}), 421, "evil.example")
    assert b" 400 " in await answer(gateway, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert b" 400 " in await answer(gateway, two)


async def test_keys_in_urls_are_refused(gateway: Running) -> None:
    """They would be in logs and histories: also where the key is a good one."""
    key = (await gateway.key())["Authorization"].removeprefix("Bearer ")
    async with gateway.client() as client:
        for url in (f"/api/v1/me?key={key}", f"/api/v1/me?x={key}", "/api/v1/me?token=abc", f"/api/v1/lots/{key}/1"):
            problem(await client.get(url), 400, "revoke")
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{gateway.host}:{gateway.port}/ws?access_token={key}", proxy=None):
            pass
    assert refused.value.response.status_code == 400


async def test_links_that_are_stolen_or_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replayed, expired or made-up link logs nobody in; one fetched ahead is not used up."""
    async with serving(tmp_path, monkeypatch) as gateway, gateway.client() as client:
        access = gateway.parts.access
        ahead = await client.get(gateway.login, headers={"Sec-Purpose": "prefetch;prerender"})
        assert ahead.status_code == 503
        assert (await client.get(gateway.login)).status_code == 303
        assert (await client.get(gateway.login)).status_code == 401
        old = await access.new_link("local", by="test")
        await _expire_links(gateway)
        assert (await client.post("/api/v1/login/link", json={"token": old})).status_code == 401
        assert (await client.post("/api/v1/login/link", json={"token": "a" * 43})).status_code == 401
        token = await access.new_link("local", by="test")
        codes = await asyncio.gather(*(client.post("/api/v1/login/link", json={"token": token}) for _ in range(3)))
        assert sorted(one.status_code for one in codes) == [200, 401, 401], "of three at once, one"


async def _expire_links(gateway: Running) -> None:
    from sqlalchemy import update

    from gateway.tables import links

    async with gateway.parts.store.engine.begin() as connection:
        await connection.execute(update(links).values(expires_us=1))


async def test_heads_without_end(gateway: Running) -> None:
    """Too long, too many headers, or byte by byte: refused or cut off."""
    long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000
    assert b" 431 " in await answer(gateway, long)
    many = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: 1\r\n" % one for one in range(200)) + b"\r\n"
    assert b" 431 " in await answer(gateway, many)
    assert b" 400 " in await answer(gateway, b"\x16\x03\x01 this is TLS\r\n\r\n")
    began_s = time.monotonic()
    assert await answer(gateway, b"GET / HTTP/1.1\r\nHost: loc") == b""
    assert await answer(gateway, b"") == b""
    assert time.monotonic() - began_s < 2 * QUICK.head_s + 3
    assert await alive(gateway)


async def test_bodies_without_end(gateway: Running) -> None:
    """Too large by its own word, too large in chunks, never complete."""
    async with gateway.client() as client:
        problem(await client.post("/api/v1/login", content=b"x" * (1 << 20) + b"x"), 413, "larger")
    head = b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunks = head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b"a" * 4_096 + b"\r\n") * 5
    assert b" 413 " in await answer(gateway, chunks)
    assert b" 408 " in await answer(gateway, head + b"Content-Length: 100\r\n\r\nabc")
    assert await alive(gateway)


async def test_bodies_of_strangers_are_small(gateway: Running) -> None:
    """They are held before anybody is asked who they are: 16 KiB each, and none for probes, which no rate counts."""
    async with gateway.client() as client:
        problem(await client.post("/api/v1/login", content=b"x" * 16_385), 413, "larger")
        found = await client.request("GET", "/healthz", content=b"x")
        problem(found, 413, "0 bytes")
        assert found.headers["connection"] == "close"


async def test_trailers(gateway: Running) -> None:
    """What comes after a body is no header: it logs nobody in, and is bounded."""
    head = b"POST /api/v1/logout HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    found = await answer(gateway, head + b"0\r\nAuthorization: Bearer etp_0\r\n\r\n")
    assert b"nobody is logged in" in found
    found = await answer(gateway, head + b"0\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1_000) for n in range(40)))
    assert b" 431 " in found
    assert b"x-content-type-options: nosniff" in found
    assert await alive(gateway)


@pytest.mark.parametrize("end", [b"0\r\nX: ", b"0\r\nX", b"5;"])
async def test_what_follows_a_head_has_an_end(gateway: Running, end: bytes) -> None:
    """A trailer's value or name, or a chunk's extension, that goes on and on, as the parser would hold it."""
    head = b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await gateway.raw(head + end)
    found = b""
    with suppress(ConnectionError):  # what it says may be lost in a reset
        async with asyncio.timeout(5):
            for _ in range(100):
                writer.write(b"a" * 10_000)
                await writer.drain()
            found = await reader.read(100)
    assert not found or b" 413 " in found
    writer.close()
    assert await alive(gateway)


async def test_requests_that_wait_behind_one(gateway: Running) -> None:
    """A few are answered in turn; thousands in one packet would all be held, and end their connection instead."""
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    few = await answer(gateway, one * 8 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert few.count(b" 200 OK") == 9
    assert (await answer(gateway, one * 5_000)).count(b" 200 OK") < 2
    assert await alive(gateway)


async def test_urls_without_end(gateway: Running) -> None:
    """Each parameter is looked at, before anybody is asked who they are."""
    async with gateway.client() as client:
        problem(await client.get("/api/v1/me?" + "a&" * 50), 400, "parameters")
        assert (await client.get("/api/v1/me?" + "&" * 49)).status_code == 401


async def test_what_the_server_says_is_said_once_a_minute(gateway: Running) -> None:
    """Whoever sends garbage, or asks for other protocols, has it say a line: it is marked as one that repeats."""
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: foo\r\nConnection: upgrade, close\r\n\r\n"
    with capture_logs() as lines:
        for data in (b"garbage\r\n\r\n", upgrade):
            await answer(gateway, data)
    assert [(line["event"], line["kind"]) for line in lines] == [
        ("http_server", "Invalid HTTP request received."),
        ("http_server", "Unsupported upgrade request."),
    ]


async def test_what_is_no_handshake_is_told_like_all(gateway: Running) -> None:
    """With the headers of every answer, and without what was sent."""
    lines = f"Host: {gateway.host}:{gateway.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    found = await answer(gateway, f"GET /ws HTTP/1.1\r\n{lines}Sec-WebSocket-Version: <b>\r\n\r\n".encode())
    assert b" 400 " in found
    assert b"content-security-policy" in found
    assert b"<b>" not in found


async def test_a_handshake_that_is_no_text_leaves_nothing_behind(gateway: Running) -> None:
    """Its refusal cannot repeat it; its place is free again, and the gateway ends in order."""
    lines = f"Host: {gateway.host}:{gateway.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".encode()
    for name in (b"Sec-WebSocket-Version", b"Sec-WebSocket-Key"):
        found = await answer(gateway, b"GET /ws HTTP/1.1\r\n" + lines + name + b": \xb7\r\n\r\n")
        assert b" 400 " in found
    assert await alive(gateway)


async def test_json_without_end(gateway: Running) -> None:
    """Depth 10,000 in a body and in a verb: told what is wrong, and nothing else happens."""
    deep = b"[" * 10_000
    async with gateway.client() as client:
        for body in (deep, b'{"name":' + deep, b'{"name":' * 2_000, b"\xff", b'{"name":"\\ud800","password":"x"}'):
            found = await client.post("/api/v1/login", content=body, headers={"Content-Type": "application/json"})
            assert found.status_code in (400, 401, 422), found.text
            assert found.headers["content-type"] == "application/problem+json"
    async with gateway.stream() as watching:
        for text in (deep.decode(), '{"verb":"subscribe","types":' + deep.decode(), '{"a":' * 9_000):
            await watching.send(text)
            assert (await until(watching, "Error"))["reason"]


async def test_frames_without_end(gateway: Running) -> None:
    """10 MB in one frame, in many, and in none at all: 1009 or 1008, before it is all here."""
    async with gateway.stream() as watching:
        with pytest.raises(ConnectionClosed):  # noqa: PT012 - at whichever of the two it is noticed
            await watching.send("x" * 10_000_000)
            await watching.recv()
        assert watching.close_code in (1009, 1006)
    reader, writer = await gateway.upgraded(await gateway.key(), path="/%77s")
    writer.write(b"\x81\xff" + (100_000).to_bytes(8, "big") + bytes(4) + b"x" * 1_000)
    assert (await frame(reader))[1][:2] == (1009).to_bytes(2, "big")
    writer.close()
    reader, writer = await gateway.upgraded(await gateway.key())
    writer.write(b"\x81\xff" + (10_000_000).to_bytes(8, "big") + bytes(4) + b"x" * 1_000)
    assert (await frame(reader))[1][:2] == (1009).to_bytes(2, "big")
    writer.close()
    reader, writer = await gateway.upgraded(await gateway.key())
    writer.write(masked(1, b"", final=False) + masked(0, b"", final=False) * 1_001)
    assert (await frame(reader))[1][:2] == (1008).to_bytes(2, "big")
    writer.close()
    assert await alive(gateway)


async def test_floods_of_messages_and_pings(gateway: Running) -> None:
    """1008 for the one; for the other, who does not read our pongs is cut off."""
    async with gateway.stream() as watching:
        with pytest.raises(ConnectionClosed):  # noqa: PT012 - at whichever it is noticed
            for _ in range(100):
                await watching.send("{}")
            while True:
                await watching.recv()
        assert watching.close_code == 1008
    reader, writer = await gateway.upgraded(await gateway.key())
    ping = masked(9, b"p" * 125) * 1_000
    with pytest.raises((ConnectionError, TimeoutError)):  # noqa: PT012
        async with asyncio.timeout(10):
            while True:
                writer.write(ping)
                await writer.drain()
                if reader.at_eof():
                    raise ConnectionError
                reader._limit = 1  # type: ignore[attr-defined] # stop reading from the socket
    writer.close()
    assert await alive(gateway)


async def test_a_stalled_reader_holds_nobody_up(gateway: Running) -> None:
    """It is closed (1013, or cut where it does not even read that); the others get every event, in time."""
    reader, writer = await gateway.upgraded(await gateway.key())
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(masked(1, b'{"verb":"subscribe"}'))
    async with gateway.stream() as watching:
        await watching.send('{"verb":"subscribe"}')
        await until(watching, "Subscribed")
        seen, hub = list[int](), gateway.parts.stream.hub
        for _ in range(60):
            gateway.publish(100)
            while len(seen) < 100:
                seen += [one["seq"] for one in await said(watching) if one["type"] == "QuerySent"]
            assert seen == list(range(seen[0], seen[0] + 100))
            seen.clear()
            if hub.closed_slow:
                break
            await asyncio.sleep(0.02)
        async with asyncio.timeout(5):
            while len(hub) > 1:  # noqa: ASYNC110 - the connection is cut by a timer of its own
                await asyncio.sleep(0.02)
        assert (hub.lagged, hub.closed_slow) == (1, 1)
    del reader
    writer.close()


async def test_a_request_that_nobody_reads_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers wait for their reader as long as a request may take."""
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_bytes(b"x" * 20_000_000)
    monkeypatch.setattr("gateway.io.daemon.DIRECTORY", static)
    async with serving(tmp_path, monkeypatch, timing=QUICK) as gateway:
        reader, writer = await gateway.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(QUICK.request_s + 1)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(20):
                got = len(await reader.read())
        except ConnectionResetError:
            got = 0
        assert got < 60_000_000
        writer.close()
        assert await alive(gateway)


async def test_one_client_cannot_ask_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its rate 429 with Retry-After; another is answered. This machine's own programs are not counted."""
    limits = Limits(requests_per_s=1, request_burst=3)
    async with serving(tmp_path, monkeypatch, limits=limits) as gateway, gateway.client() as client:
        for _ in range(5):
            assert (await client.get("/api/v1/me")).status_code == 401
        gateway.parts.settings.behind_proxy.append("127.0.0.1")
        proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"}
        codes = [(await client.get("/api/v1/me", headers=proxied)) for _ in range(4)]
        assert [one.status_code for one in codes] == [401, 401, 401, 429]
        assert int(codes[-1].headers["retry-after"]) >= 1
        other = await client.get("/api/v1/me", headers=proxied | {"X-Forwarded-For": "9.9.9.8"})
        assert other.status_code == 401
        assert "strict-transport-security" in other.headers
