"""The stream's client on real sockets of loopback: it dials again, resumes, and says why it is not let in."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.client import Connected, Happened, Missed, World
from gateway.io.client import AccessDeniedError, GatewayClient, Lost, Report, UnreachableError
from gateway.place import PlaceError, parse_place
from runtime.backoff import Backoff
from tests.streaming import Gateway, battery, opened, running, sold

QUICK = Backoff(first_s=0.02, limit_s=0.05)


class Listener:
    """A client that runs, and what it heard."""

    def __init__(self, gateway: Gateway, api_key: str | None = None) -> None:
        self.heard: list[Report] = []
        self.changed = asyncio.Event()
        self.proofs = 0
        self.client = GatewayClient(
            parse_place(gateway.url), api_key=api_key, on_report=self._take, rng=random.Random(1), backoff=QUICK
        )
        self.client.on_heard = self._proven

    def _take(self, report: Report) -> None:
        self.heard.append(report)
        self.changed.set()

    def _proven(self) -> None:
        self.proofs += 1
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what is heard to make it true."""
        async with asyncio.timeout(30):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def count(self, kind: type) -> int:
        """Reports of a kind."""
        return sum(isinstance(report, kind) for report in self.heard)

    def seqs(self) -> list[int]:
        """Of all events, in the order in which they were handed over."""
        return [event.seq for report in self.heard if isinstance(report, Happened) for event in report.events]


@asynccontextmanager
async def listening(gateway: Gateway, api_key: str | None = None) -> AsyncIterator[Listener]:
    listener = Listener(gateway, api_key)
    task = asyncio.create_task(listener.client.run())
    try:
        await listener.until(lambda: listener.count(World) == 1)
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await listener.client.close()


async def test_it_listens() -> None:
    """State first, then events; and the heartbeat proves that there is nothing newer."""
    async with running() as gateway, listening(gateway) as listener:
        gateway.publish(opened(), *sold())
        await listener.until(lambda: listener.seqs() == [1, 2, 3, 4, 5])
        proven = listener.proofs
        assert proven >= 2


async def test_it_dials_again_and_resumes() -> None:
    """A gateway that goes down and comes back: nothing lost, nothing twice, and the loss of connection is said."""
    async with running() as gateway, listening(gateway) as listener:
        gateway.publish(opened())
        await listener.until(lambda: listener.seqs() == [1])
        await gateway.down()
        await listener.until(lambda: listener.count(Lost) >= 2)
        gateway.publish(*sold())
        await gateway.listen()
        await listener.until(lambda: len(listener.seqs()) == 5)
        assert listener.seqs() == [1, 2, 3, 4, 5]
        assert listener.count(World) == 1
        assert listener.count(Missed) == 0
        assert [report.resuming for report in listener.heard if isinstance(report, Connected)] == [False, True]


async def test_a_key_lets_in() -> None:
    """And is sent in a header, never in the URL."""
    gateway = Gateway()
    gateway.key = "etp_0011223344556677_secret"
    gateway.rest["/api/v1/overview"] = {"version": "1"}
    async with running(gateway), listening(gateway, gateway.key) as listener:
        answer = await listener.client.get("overview")
        assert answer.json() == {"version": "1"}


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_who_is_not_let_in_is_told_what_to_do(key: str | None) -> None:
    """And does not try for ever. The key itself is not in the message."""
    gateway = Gateway()
    gateway.key = "right"
    async with running(gateway):
        listener = Listener(gateway, key)
        with pytest.raises(AccessDeniedError) as caught:
            await listener.client.run()
        assert "--key-file" in str(caught.value)
        assert "etp gateway link" in str(caught.value)
        assert "wrong" not in str(caught.value)
        with pytest.raises(AccessDeniedError):
            await listener.client.get("overview")
        await listener.client.close()


async def test_where_nobody_listens() -> None:
    """Once: an error. For ever: tried again, and said each time."""
    gateway = Gateway()
    await gateway.listen()
    await gateway.down()
    listener = Listener(gateway)
    with pytest.raises(UnreachableError, match=str(gateway.port)):
        await listener.client.listen_once()
    with pytest.raises(UnreachableError):
        await listener.client.get("overview")
    task = asyncio.create_task(listener.client.run())
    await listener.until(lambda: listener.count(Lost) >= 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await listener.client.close()


async def test_nonsense_ends_the_connection_not_the_client() -> None:
    """What is no stream is said, and the next connection serves."""
    async with running() as gateway, listening(gateway) as listener:
        for connection in list(gateway.connections.values()):
            await connection.send('[{"type": "AuctionStarted"}]', text=True)
        await listener.until(lambda: listener.count(Lost) == 1)
        (lost,) = [report for report in listener.heard if isinstance(report, Lost)]
        assert "event that is none" in lost.why
        gateway.publish(battery())
        await listener.until(lambda: listener.seqs() == [1])


@pytest.mark.parametrize(
    ("text", "base", "stream", "private"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws", True),
        ("ws://127.0.0.1:8080/", "http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws", True),
        ("localhost:9", "http://localhost:9", "ws://localhost:9/ws", True),
        ("https://market.example", "https://market.example:443", "wss://market.example:443/ws", True),
        ("http://market.example", "http://market.example:80", "ws://market.example:80/ws", False),
        ("http://[::1]:80", "http://[::1]:80", "ws://[::1]:80/ws", True),
    ],
)
def test_places(text: str, base: str, stream: str, private: bool) -> None:
    """A base URL however it is written; loopback and TLS keep a key private."""
    place = parse_place(text)
    assert (place.base, place.stream, place.is_private, place.token) == (base, stream, private, None)


def test_a_login_link_is_a_place() -> None:
    """Its token is kept out of what is shown."""
    place = parse_place("http://127.0.0.1:8080/login?token=s3cret")
    assert place.token == "s3cret"
    assert "s3cret" not in f"{place} {place.name} {place.stream}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://x",
        "http://",
        "http://a b",
        "http://x:99999",
        "http://x/path",
        "http://x/login?token=a&token=b",
        "http://name:word@x",
        "http://x/\x1b[31m",
        "http://x/?key=etp_1",
        "x" * 3000,
    ],
)
def test_what_is_no_place(text: str) -> None:
    """Says what would be right, and repeats nothing that could be secret or could act on a terminal."""
    with pytest.raises(PlaceError) as caught:
        parse_place(text)
    assert "word" not in str(caught.value).replace("password", "")
    assert "\x1b" not in str(caught.value)
