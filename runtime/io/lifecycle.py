"""A daemon's life: one task group, signals that ask it to stop, one JSON line on stdout when it serves."""

import asyncio
import gc
import json
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping

YOUNG = 5_000
"""Objects between two looks of the collector: below 1 ms of work, and 1 MB at most."""
OLDER = 20
"""Looks at the young between two at those that outlived one: 100,000 objects, about 10 ms of work."""


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - may be missing
    except ImportError:  # no wheel for this platform: asyncio's own loop serves, more slowly
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Lifecycle:
    """What a daemon's main is given."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self.stopping = asyncio.Event()


def run(main: Callable[[Lifecycle], Awaitable[int]]) -> int:
    """Run a daemon until its main returns; SIGTERM and SIGINT set `stopping`. Returns main's status."""
    _tame_collector()
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(_supervise(main))


def _tame_collector() -> None:
    """Let Python's cycle collector run seldom: it stops the node, for longer the more it remembers.

    What the cores make is freed by reference counts; cycles come from exceptions alone. So the young generation may grow
    to `YOUNG` objects first, and what was made before serving is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, 1000)


async def _supervise(main: Callable[[Lifecycle], Awaitable[int]]) -> int:
    async with asyncio.TaskGroup() as tasks:
        lifecycle = Lifecycle(tasks)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lifecycle.stopping.set)
        return await main(lifecycle)


def announce(line: Mapping[str, object]) -> None:
    """The one line on stdout: the daemon serves."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def raise_open_file_limit(needed: int) -> None:
    """Allow at least `needed` open files, as far as the hard limit lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
