"""A daemon's life: signals ask it to stop, its tasks end with it, and what stops it becomes a line on stderr and a status."""

import asyncio
import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from etp.errors import EtpError
from runtime.io.journal import JournalError, JournalInUse, JournalOfAnotherNode
from runtime.io.lifecycle import Lifecycle, announce, raise_open_file_limit, run
from runtime.io.service import serve
from runtime.settings import SettingsError


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """`serve` sets logging up for its process: undone, so that no later test logs to a closed stream."""
    yield
    structlog.reset_defaults()


async def stopped(lifecycle: Lifecycle) -> None:
    """Wait for the wish to stop."""
    async with asyncio.timeout(5):
        await lifecycle.stopping.wait()


def test_the_status_is_what_main_returns() -> None:
    """Any number."""

    async def main(_: Lifecycle) -> int:
        return 7

    assert run(main) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_to_stop(number: signal.Signals) -> None:
    """SIGTERM and SIGINT set `stopping` and nothing else, also the second time; main ends in its own order."""

    async def main(lifecycle: Lifecycle) -> int:
        os.kill(os.getpid(), number)
        await stopped(lifecycle)
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)
        return 0

    assert run(main) == 0


def test_a_task_that_fails_ends_the_daemon() -> None:
    """No task dies unseen: its error cancels main and comes out."""
    ended: list[str] = []

    async def broken() -> None:
        raise OSError("the network is down")

    async def main(lifecycle: Lifecycle) -> int:
        lifecycle.tasks.create_task(broken())
        try:
            await stopped(lifecycle)
        finally:
            ended.append("main")
        return 0

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main)
    assert [str(error) for error in caught.value.exceptions] == ["the network is down"]
    assert ended == ["main"]


def test_tasks_may_finish_after_main() -> None:
    """What the tasks still have to write is written before `run` returns."""
    done: list[str] = []

    async def write(lifecycle: Lifecycle) -> None:
        await stopped(lifecycle)
        done.append("written")

    async def main(lifecycle: Lifecycle) -> int:
        lifecycle.tasks.create_task(write(lifecycle))
        lifecycle.stopping.set()
        return 0

    assert run(main) == 0
    assert done == ["written"]


def test_the_ready_line_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, whole, ended."""
    announce({"ready": True, "role": "bess"})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.endswith("\n")
    assert json.loads(out) == {"ready": True, "role": "bess"}


@pytest.mark.parametrize(
    ("before", "needed", "after"),
    [((256, 4096), 1264, (1264, 4096)), ((2000, 4096), 1264, (2000, 4096)), ((256, 1000), 1264, (1000, 1000))],
    ids=["raised", "enough", "as far as allowed"],
)
def test_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], needed: int, after: tuple[int, int]
) -> None:
    """Raised to what is needed, never lowered, never past the hard limit."""
    now = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: now.append(limits))
    raise_open_file_limit(needed)
    assert now[-1] == after


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SettingsError("reserve", -1, "at least 0.0001"), 2),
        (JournalOfAnotherNode(Path("state"), "bess 101", "bess 102"), 2),
        (JournalInUse(Path("state")), 1),
        (JournalError("journal in state cannot be written: disk full"), 1),
        (EtpError("the port is in use"), 1),
        (OSError(98, "Address already in use"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
@pytest.mark.parametrize("depth", [0, 1, 2], ids=["main", "task", "task of a task"])
def test_what_stops_a_daemon_is_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception, status: int, depth: int
) -> None:
    """However deep in the tasks it was raised: status 2 for settings, 1 for the rest, and its message alone on stderr."""

    async def deep(level: int) -> None:
        if level == 0:
            raise error
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deep(level - 1))

    async def main(lifecycle: Lifecycle) -> int:
        if depth:
            lifecycle.tasks.create_task(deep(depth - 1))
            await stopped(lifecycle)
        raise error

    assert serve("info", main) == status
    assert capsys.readouterr() == ("", f"etp: {error}\n")


def test_our_own_bugs_are_not_hidden() -> None:
    """An error that nobody expects keeps its traceback."""

    async def main(_: Lifecycle) -> int:
        raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup) as caught:
        serve("info", main)
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)
