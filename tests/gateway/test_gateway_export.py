"""`etp gateway export`: the same out of a database and out of a running gateway, as lines and as CSV, whatever is in it."""

import asyncio
import csv
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.responses import JSONResponse
from typer.testing import CliRunner, Result

from cli.gateway import app
from cli.gateway_pages import EndedError, Pages
from gateway.place import parse_place
from tests.gateway import story

KINDS = {"trades": 40, "lots": 40, "bids": 3, "settlements": 40, "events": 40}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a gateway that has stored the story."""
    (tmp_path / "gateway.sqlite").write_bytes(story.template())
    return tmp_path


def run(*arguments: str, key: str | None = None) -> Result:
    """The command."""
    return CliRunner().invoke(app, ["export", *arguments], env={"ETP_GATEWAY_KEY": key} if key else {})


def lines(result: Result) -> list[dict[str, Any]]:
    """Its objects."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@asynccontextmanager
async def running(state: Path, wrap: Any = None) -> AsyncIterator[str]:
    """The story's routes behind a real server."""
    async with story.store(state) as engine:
        served = story.app_of(engine)
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(wrap(served) if wrap else served, loop="none", lifespan="off", log_level="error")
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listening])
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            await server.shutdown(sockets=[listening])
            listening.close()


async def test_a_gateway_exports_what_its_database_does(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind, in pages of 500 and of 7; as CSV too."""
    monkeypatch.setattr("gateway.io.queries.CHUNK", 9)
    monkeypatch.setattr("cli.gateway_pages.ITEMS", 17)
    async with running(state) as url:
        for kind, count in KINDS.items():
            stored = await asyncio.to_thread(run, kind, "--state-dir", str(state))
            asked = await asyncio.to_thread(run, kind, url)
            found = lines(stored)
            assert len(found) == count
            if kind == "events":  # the test's own application names another epoch than the empty one of its database
                for item in found:
                    item["event"]["epoch"] = "e"
            assert lines(asked) == found
            table = await asyncio.to_thread(run, kind, url, "--format", "csv")
            rows = list(csv.reader(io.StringIO(table.stdout, newline=""), strict=True))
            assert rows[0] == list(found[0])
            assert len(rows) == count + 1
            if kind not in ("trades", "events"):
                continue
            one = await asyncio.to_thread(run, kind, url, "--battery", str(story.LAST_SELLER))
            same = await asyncio.to_thread(run, kind, "--battery", str(story.LAST_SELLER), "--state-dir", str(state))
            assert [line["seq"] if kind == "events" else line for line in lines(one)] == [
                line["seq"] if kind == "events" else line for line in lines(same)
            ]
            assert len(lines(one)) == 20


def test_a_range_of_time(state: Path) -> None:
    """From the first, before the second."""
    begin, end = story.T + 3_000_000, story.T + 5_000_000
    result = run("trades", "--from-us", str(begin), "--to-us", str(end), "--state-dir", str(state))
    assert [line["time_us"] for line in lines(result)] == [story.T + 4_000_000, begin]


def test_a_formula_is_a_text(state: Path) -> None:
    """As in the API's CSV."""
    table = run("settlements", "--format", "csv", "--state-dir", str(state)).stdout
    assert ",'=HYPERLINK(0)," in table


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("trades", "--state-dir", "nowhere"), 1, ["nowhere/gateway.sqlite", "--state-dir"]),
        (("trades", "--battery", "x"), 2, ["battery", "'x'"]),
        (("trades", "--battery", str(2**64)), 2, ["battery", str(2**64 - 1)]),
        (("trades", "--from-us", "9", "--to-us", "9"), 2, ["from_us", "<"]),
        (("bids", "--from-us", "9"), 2, ["--battery"]),
        (("trades", "http://h/x"), 2, ["url"]),
        (("trades", "http://127.0.0.1:9", "--state-dir", "x"), 2, ["not both"]),
        (("trades", "http://127.0.0.1:9"), 1, ["127.0.0.1:9 does not answer"]),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], status: int, words: list[str]) -> None:
    """Which setting, what it was, what would be right."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert all(word in result.stderr for word in words), result.stderr


def test_a_key_does_not_leave_in_the_clear(tmp_path: Path) -> None:
    """Nor one of two words; neither is shown."""
    result = run("trades", "http://192.0.2.1:8080", key="etp_secret")
    assert result.exit_code == 2
    assert "https" in result.stderr
    two = tmp_path / "key"
    two.write_text("two words")
    result = run("trades", "http://127.0.0.1:9", "--key-file", str(two))
    assert result.exit_code == 2
    assert "words" not in result.stderr


async def test_it_waits_as_long_as_it_is_told(state: Path) -> None:
    """429 with Retry-After: the same page again, nothing left out; the key goes along."""
    seen: list[str] = []

    def busy(served: Any) -> Any:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            headers = dict(scope["headers"])
            seen.append(headers[b"authorization"].decode())
            if len(seen) % 2:
                refused = JSONResponse({"detail": "slowly"}, status_code=429, headers={"retry-after": "0"})
                await refused(scope, receive, send)
            else:
                await served(scope, receive, send)

        return answer

    async with running(state, busy) as url:
        assert len(lines(await asyncio.to_thread(run, "trades", url, key="etp_x"))) == 40
    assert seen == ["Bearer etp_x"] * 2


async def test_an_error_ends_it_with_what_the_gateway_says(state: Path) -> None:
    """Status 1, and what was printed before is whole lines."""
    async with running(state) as url, Pages(parse_place(url), None) as pages:
        with pytest.raises(EndedError, match=r"answers 422.*`limit`"):
            async for _ in pages.walk("trades", {"limit": 9_999}):
                pass
        with pytest.raises(EndedError, match="answers 404"):
            await pages.bids({"battery": "5", "lot_id": "6"})
