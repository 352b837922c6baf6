"""A whole gateway in the test's own loop: the daemon as it is, on a port of its own, and clients that speak raw bytes to it."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from gateway import events
from gateway.io import daemon
from gateway.io.parts import Parts
from gateway.limits import Limits, Timing
from gateway.settings import GatewaySettings
from gateway.transaction import Observation

Headers = dict[str, str]


class Life:
    """What `runtime.io.lifecycle` gives a daemon."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.tasks, self.stopping = tasks, asyncio.Event()


class Running:
    """A gateway that serves."""

    def __init__(self, ready: dict[str, Any], parts: Parts, life: Life) -> None:
        self.url, self.login = ready["http"], ready["login"]
        self.host, port = self.url.partition("://")[2].split(":")
        self.port = int(port)
        self.cookie = f"etp_session_{self.port}"
        """The name of a session's cookie."""
        self.parts, self.life = parts, life

    @asynccontextmanager
    async def client(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody who asks."""
        async with httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False) as client:
            yield client

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody with an admin's session, on a page of the gateway."""
        async with self.client(Origin=self.url) as client:
            token = await self.parts.access.new_link("local", by="test")
            assert (await client.post("/api/v1/login/link", json={"token": token})).status_code == 200
            yield client

    async def key(self, scope: str = "viewer") -> Headers:
        """The header of a new API key."""
        _, key = await self.parts.access.add_key("test", scope, by="test")  # type: ignore[arg-type]
        return {"Authorization": f"Bearer {key}"}

    @asynccontextmanager
    async def stream(self, headers: Headers | None = None, **options: Any) -> AsyncIterator[ClientConnection]:
        """A websocket of the stream, past its Welcome."""
        shown = headers if headers is not None else await self.key()
        url = f"ws://{self.host}:{self.port}/ws"
        async with connect(url, additional_headers=shown, compression=None, proxy=None, **options) as websocket:
            assert (await said(websocket))[0]["type"] == "Welcome"
            yield websocket

    async def raw(self, data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that says whatever it likes."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(data)
        return reader, writer

    async def upgraded(self, headers: Headers, path: str = "/ws") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A websocket of the stream without a library between it and its bytes, past its Welcome."""
        lines = {
            "Host": f"{self.host}:{self.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
        } | headers
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        reader, writer = await self.raw(head.encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        await frame(reader)
        return reader, writer

    def publish(self, count: int, node: int = 101) -> None:
        """Telemetry of a node, through the store's pipeline."""
        told: list[events.Event] = [query(node, number) for number in range(count)]
        self.parts.store.observe(Observation(told))


def query(node: int, number: int) -> events.QuerySent:
    """The smallest event there is."""
    return events.QuerySent(node=str(node), time_us=number, market_us=number, battery=None)


async def said(websocket: ClientConnection) -> list[dict[str, Any]]:
    """The next message."""
    async with asyncio.timeout(10):
        found: list[dict[str, Any]] = json.loads(await websocket.recv())
    return found


async def until(websocket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next element of that type; those before it are dropped."""
    while True:
        for element in await said(websocket):
            if element["type"] == kind:
                return element


async def frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """(opcode, payload) of the next frame of a server."""
    async with asyncio.timeout(10):
        opcode, size = await reader.readexactly(2)
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        return opcode & 0x0F, await reader.readexactly(size)


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A client's frame of less than 64 KiB, masked with zeros."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((opcode | (0x80 if final else 0),)) + length + bytes(4) + payload


@asynccontextmanager
async def serving(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    limits: Limits | None = None,
    timing: Timing | None = None,
    **settings: Any,
) -> AsyncIterator[Running]:
    """A gateway, until the block ends; then it stops as by SIGTERM."""
    ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    found: list[Parts] = []
    build = daemon.build

    def built(parts: Parts) -> Any:
        found.append(parts)
        return build(parts)

    with monkeypatch.context() as patch:
        patch.setattr(daemon, "announce", ready.set_result)
        patch.setattr(daemon, "build", built)
        patch.setattr(daemon, "Limits", lambda: limits or Limits())
        patch.setattr(daemon, "Timing", lambda: timing or Timing())
        chosen = GatewaySettings(**{"listen": "127.0.0.1:0", "state_dir": directory / "gateway", **settings})
        async with asyncio.TaskGroup() as tasks:
            life = Life(tasks)
            task = tasks.create_task(daemon.run(chosen, life))  # type: ignore[arg-type]
            try:
                async with asyncio.timeout(20):
                    await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    task.result()
                yield Running(await ready, found[0], life)
            finally:
                life.stopping.set()
        assert task.result() == 0
