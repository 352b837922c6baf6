"""The exporter over real sockets: what it answers, and that no client takes more than its share."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from runtime.io import exporter
from runtime.io.exporter import MAX_CONNECTIONS, MAX_REQUEST, Exporter, _listening, open_exporter, process
from runtime.settings import SettingsError

GET = b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n"


@asynccontextmanager
async def serving(
    render: Callable[[], str] = lambda: "etp_x 1\n", unhealthy: Callable[[], str | None] = lambda: None
) -> AsyncIterator[tuple[Exporter, int]]:
    """An exporter on a free port, and that port."""
    made = Exporter(_listening("127.0.0.1:0"), render, unhealthy)
    task = asyncio.create_task(made.run())
    try:
        yield made, int(made.address.rpartition(":")[2])
    finally:
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)


async def ask(port: int, request: bytes, *, at_once: int | None = None) -> bytes:
    """The whole answer; `at_once`: bytes sent in one go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    step = at_once or len(request)
    try:
        for begin in range(0, len(request), step):
            writer.write(request[begin : begin + step])
            await writer.drain()
            await asyncio.sleep(0)
        return await reader.read()
    finally:
        writer.close()


async def test_metrics_and_health() -> None:
    """The metrics with their type and length; health, and its loss with the reason; then the connection ends."""
    reason: list[str | None] = [None]
    async with serving(unhealthy=lambda: reason[0]) as (_, port):
        for request in (GET, b"GET /metrics?x=1 HTTP/1.0\r\n\r\n"):
            head, _, body = (await ask(port, request)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
            assert b"Content-Length: 8\r\n" in head
            assert body == b"etp_x 1\n"
        assert (await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\nok\n")
        reason[0] = "stopping"
        answer = await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"stopping\n")


@pytest.mark.parametrize("at_once", [1, 7, None])
async def test_a_request_in_pieces(at_once: int | None) -> None:
    """However it comes in, it is one request."""
    async with serving() as (_, port):
        assert (await ask(port, GET, at_once=at_once)).endswith(b"etp_x 1\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../journal HTTP/1.1\r\n\r\n", 404),
        (b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"y" * MAX_REQUEST, 431),
        (b"G" * (4 << 10) + b" /metrics HTTP/1.1\r\n\r\n", 405),
    ],
)
async def test_what_is_not_served(request_: bytes, status: int) -> None:
    """Another method, target, protocol, or too much: its status, in words of ours only."""
    async with serving() as (_, port):
        answer = await ask(port, request_)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"etp_x" not in answer
        assert b"elsewhere" not in answer


async def test_metrics_are_put_together_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks, and how often: the same text is given out while it is fresh, and a new one afterwards."""
    made: list[int] = []

    def render() -> str:
        made.append(1)
        return f"etp_x {len(made)}\n"

    async with serving(render) as (_, port):
        answers = [await ask(port, GET) for _ in range(5)]
        assert {answer.rpartition(b"\n\r\n")[2] for answer in answers} == {b"etp_x 1\n"}
        monkeypatch.setattr(exporter, "FRESH_S", 0.0)
        assert (await ask(port, GET)).endswith(b"etp_x 2\n")


async def test_silent_and_stalled_clients_lose_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """All places taken by clients that say nothing, half of a request, or do not read: an honest one is served after them."""
    monkeypatch.setattr(exporter, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(exporter, "ACCEPT_INTERVAL_S", 0.001)
    huge = "# " + "x" * (8 << 20) + "\n"
    async with serving(lambda: huge) as (made, port):
        hostile = []
        loop = asyncio.get_running_loop()
        for index in range(MAX_CONNECTIONS + exporter.BACKLOG // 2):
            client = socket.socket()
            hostile.append(client)
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, (b"", GET[:-2], GET)[index % 3])
        async with asyncio.timeout(5):
            answer = await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")
        assert answer.endswith(b"ok\n")
        assert len(made.connections) <= MAX_CONNECTIONS
        for client in hostile:
            client.close()


async def test_a_flood_does_not_delay_the_loop() -> None:
    """While 30 clients connect as fast as they can and send garbage, other work of the loop waits for milliseconds at most."""
    worst_s = 0.0
    ended = False

    def flood(port: int) -> int:
        refused = 0
        end_s = time.monotonic() + 0.6
        while time.monotonic() < end_s:
            clients = [socket.socket() for _ in range(30)]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
                try:
                    client.send(os.urandom(16 << 10))
                except OSError:
                    refused += 1
            time.sleep(0.002)
            for client in clients:
                client.close()
        return refused

    async with serving() as (made, port):
        flooding = asyncio.get_running_loop().run_in_executor(None, flood, port)
        while not ended:
            began_s = time.monotonic()
            await asyncio.sleep(0.001)
            worst_s = max(worst_s, time.monotonic() - began_s)
            ended = flooding.done()
            assert len(made.connections) <= MAX_CONNECTIONS
        await flooding
        async with asyncio.timeout(10):
            assert (await ask(port, GET)).endswith(b"etp_x 1\n")
    assert worst_s < 0.2


async def test_places_are_bounded_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than the places; each is free again once its client has gone."""
    monkeypatch.setattr(exporter, "ACCEPT_INTERVAL_S", 0.0)
    async with serving() as (made, port):
        for _ in range(3):
            clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
            for reader, writer in clients:
                writer.write(GET)
                assert len(made.connections) <= MAX_CONNECTIONS
                async with asyncio.timeout(5):
                    assert (await reader.read()).endswith(b"etp_x 1\n")
            for _, writer in clients:
                writer.close()
                await writer.wait_closed()
        assert (await ask(port, GET)).endswith(b"etp_x 1\n")


async def test_out_of_file_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that cannot be taken is waited out, said in the log, and the next one is served."""
    monkeypatch.setattr(exporter, "RETRY_S", 0.01)
    loop = asyncio.get_running_loop()
    real, failed = loop.sock_accept, []

    async def accept(sock: socket.socket) -> object:
        if not failed:
            failed.append(1)
            raise OSError(24, "Too many open files")
        return await real(sock)

    monkeypatch.setattr(loop, "sock_accept", accept)
    async with serving() as (_, port):
        assert (await ask(port, GET)).endswith(b"etp_x 1\n")
    assert failed


async def test_an_address_that_cannot_be_used() -> None:
    """It ends the start, and the message names the setting, what it was, and what would be right."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for wrong in (address, "localhost:9101", "127.0.0.1:70000", "192.0.2.1:9101"):
            with pytest.raises(SettingsError, match=r"metrics is .*expected") as caught:
                _listening(wrong)
            assert wrong in str(caught.value)


def test_none_without_an_address() -> None:
    """Who does not ask for an exporter has no socket."""
    assert open_exporter(None, **dict.fromkeys(("about", "metrics", "journal", "ids", "view", "unhealthy"))) is None


def test_the_process_is_this_one() -> None:
    """Memory, CPU time and files are the kernel's figures."""
    found = process()
    assert found.cpu_s > 0
    assert found.started_s <= time.time()
    assert found.resident_bytes > 1 << 20
    assert found.open_files >= 3
