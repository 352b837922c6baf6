"""Who may come in at all: connections of one address, before TLS and after it, and keys that a daemon can use."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from gateway.io import door
from gateway.io.door import Door
from gateway.io.server import tls
from gateway.limits import Limits, Timing
from gateway.settings import GatewaySettings
from runtime.settings import SettingsError
from tests.gateway.whole import Running, serving

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HELD: list[asyncio.StreamWriter] = []
"""Connections that a test keeps open."""


async def let_go() -> None:
    """They end."""
    while HELD:
        writer = HELD.pop()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture(autouse=True)
async def held() -> AsyncIterator[None]:
    """They end with the test."""
    yield
    await let_go()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) of this machine."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


async def served(gateway: Running) -> bool:
    """Whether one more connection is answered; it stays open."""
    reader, writer = await gateway.raw(HEAD)
    found = await ended(reader)
    HELD.append(writer)
    return found.startswith(b"HTTP/1.1 200")


async def ended(reader: asyncio.StreamReader) -> bytes:
    """The first thing that a connection hears; nothing: it is over."""
    async with asyncio.timeout(5):
        try:
            return await reader.read(100)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_one_address_takes_not_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """In the loop that the tests have, and in that of a daemon."""
    with asyncio.Runner(loop_factory=loop) as runner:
        try:
            runner.run(_places(tmp_path, monkeypatch))
        finally:
            runner.run(let_go())


async def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its own it is closed at once; who leaves or becomes a websocket makes room. This machine is not counted."""
    limits = Limits(connections_per_address=3)
    async with serving(tmp_path, monkeypatch, limits=limits) as gateway:
        headers = await gateway.key()
        for _ in range(5):
            assert await served(gateway)
        with monkeypatch.context() as patch:
            patch.setattr(door, "is_loopback_address", lambda _: False)
            idle = [await gateway.raw() for _ in range(2)]
            HELD.extend(writer for _, writer in idle)
            async with gateway.stream(headers):
                assert await served(gateway)
                assert not await served(gateway)
                idle[0][1].close()
                async with asyncio.timeout(5):
                    while not await served(gateway):  # noqa: ASYNC110 - the gateway hears of it in its own time
                        await asyncio.sleep(0.01)
                assert not await served(gateway)


async def test_a_known_proxy_speaks_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections are not counted by address."""
    monkeypatch.setattr(door, "is_loopback_address", lambda _: False)
    async with serving(tmp_path, monkeypatch, limits=Limits(connections_per_address=1)) as gateway:
        assert await served(gateway)
        assert not await served(gateway)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        opened = Door(listening, _nobody, Limits(), ["127.0.0.0/8"])
        assert opened._network(("127.0.0.1", 1)) is None
        assert opened._network(("::ffff:10.0.0.9", 1)) == "10.0.0.9"


async def _nobody(_: socket.socket) -> None:
    raise ConnectionAbortedError


async def test_there_are_places_to_be_told_that_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then not even those: the files of the process are for the store, too."""
    monkeypatch.setattr(door, "TOLD", 1)
    async with serving(tmp_path, monkeypatch, limits=Limits(connections=1)) as gateway:
        assert await served(gateway)
        told, writer = await gateway.raw(HEAD)
        HELD.append(writer)
        assert (await ended(told)).startswith(b"HTTP/1.1 503")
        assert not await served(gateway)


async def test_a_handshake_has_as_long_as_a_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]
) -> None:
    """Silence, or a first byte and nothing else, is cut; who does shake hands is served."""
    cert, key = certificate
    timing = Timing(head_s=0.3)
    async with serving(tmp_path, monkeypatch, timing=timing, tls_cert=cert, tls_key=key) as gateway:
        began_s = time.monotonic()
        for data in (b"", b"\x16\x03\x01"):
            reader, writer = await gateway.raw(data)
            HELD.append(writer)
            assert await ended(reader) == b""
        assert time.monotonic() - began_s < 4
        trust = ssl.create_default_context(cafile=str(cert))
        reader, writer = await asyncio.open_connection(gateway.host, gateway.port, ssl=trust)
        HELD.append(writer)
        writer.write(HEAD)
        assert (await ended(reader)).startswith(b"HTTP/1.1 200")


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """Nobody is there to type it: which file it is, and what would be right."""
    cert, key = certificate
    locked = tmp_path / "locked.pem"
    command = ["openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(SettingsError, match="passphrase") as refused:
        tls(GatewaySettings(tls_cert=cert, tls_key=locked))
    assert "locked.pem" in str(refused.value)
