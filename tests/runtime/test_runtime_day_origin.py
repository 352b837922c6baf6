"""When market time begins, asked on stdout and answered on stdin: only where that is wanted, and only by a time."""

import asyncio
import json
import os
from collections.abc import Iterator

import pytest

from runtime.io.day_origin import told_origin
from runtime.settings import NodeSettings, SettingsError

TOLD = NodeSettings(device_id=101, day_told=True)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where the answer is written: stdin's other end. Closed by the test."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield writing


def answer(writing: int, text: bytes) -> None:
    """Write it and say no more."""
    os.write(writing, text)
    os.close(writing)


async def test_nobody_is_asked_unless_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """The settings as they are, at once, and not a word on stdout."""
    settings = NodeSettings(device_id=101, day_origin=5.0)
    assert await told_origin(settings, "bess", asyncio.Event()) is settings
    assert capsys.readouterr().out == ""


async def test_it_asks_and_waits(answers: int, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says who asks; nothing goes on before the answer, which is taken to the last digit."""
    waiting = asyncio.ensure_future(told_origin(TOLD, "bess", asyncio.Event()))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    assert json.loads(capsys.readouterr().out) == {"asks": "day_origin", "role": "bess", "device_id": 101}
    answer(answers, b"1795280752.2163981\n")
    assert (await waiting).day_origin == 1795280752.2163981


@pytest.mark.parametrize("text", [b"", b"soon\n", b"nan\n", b"inf\n", b"1" * 100, b"\xff\n"])
async def test_what_is_no_time_is_refused(answers: int, text: bytes) -> None:
    """Words, nothing, a number that is none, a line without an end: which setting, and what would be right."""
    answer(answers, text)
    with pytest.raises(SettingsError, match=r"day_origin is .*expected unix seconds"):
        await told_origin(TOLD, "bess", asyncio.Event())


async def test_who_waits_can_be_stopped(answers: int) -> None:
    """The wish to stop ends the waiting; no time is made up."""
    stopping = asyncio.Event()
    waiting = asyncio.ensure_future(told_origin(TOLD, "aggregator", stopping))
    await asyncio.wait([waiting], timeout=0.02)
    stopping.set()
    assert (await waiting).day_origin is None
    os.close(answers)


async def test_without_a_pipe_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is none: it would be read before the question was asked."""
    with open(os.devnull) as stdin:  # noqa: PTH123, ASYNC230 - what a daemon without stdin has
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(SettingsError, match="day_told is True: needs a pipe"):
            await told_origin(TOLD, "bess", asyncio.Event())
