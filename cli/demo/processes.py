"""Starts and ends the daemons of a demo: each in a process and a session of its own, ended by its process id."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from runtime.settings import NodeSettings

READY_S = 20.0
"""A daemon is ready within 1 s on an idle machine; this is for one with much else to do, s."""
ENDING_S = 10.0
"""After its signal a daemon sees its promises through (5 s at most) and ends, s."""


class NodeError(Exception):
    """A daemon that did not start, or ended before it should: which, its status, and where its log is."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        self.name, self.what, self.log = name, what, log
        tail = log.read_text(errors="replace").strip().splitlines()[-1:] if log.is_file() else []
        super().__init__(f"{name} {what}; its log is {log}" + (f", and ends: {tail[0]}" if tail else ""))


@dataclass(eq=False)
class Daemon:
    """One process: where its files are, what it said when it was ready."""

    role: str
    directory: Path
    """Its state directory: journal and metrics."""
    process: asyncio.subprocess.Process
    log: IO[bytes]
    line: Mapping[str, object] = field(default_factory=dict, kw_only=True)
    """Its ready line; empty until then."""

    @property
    def name(self) -> str:
        """As in its directory's name."""
        return self.directory.name

    @property
    def log_path(self) -> Path:
        """What it wrote to stderr."""
        return Path(self.log.name)


@dataclass(eq=False)
class Node(Daemon):
    """A battery or an aggregator: what it was told."""

    settings: NodeSettings


def flags(settings: NodeSettings) -> list[str]:
    """The command line that gives a daemon these settings."""
    line: list[str] = []
    for name, value in settings.model_dump(mode="json", exclude_defaults=True).items():
        flag = f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, list) else [value]:
            line += [flag] if item is True else [flag, str(item)]
    return line


async def start(role: str, settings: NodeSettings, directory: Path, before: Sequence[str] = ()) -> Node:
    """Start a battery or an aggregator; `before`: words in front of its command line."""
    name = f"{role}-{settings.device_id}"
    told = settings.model_copy(update={"state_dir": directory / name})
    made = await launch(role, name, flags(told), directory, before, is_told=told.day_told)
    return Node(made.role, made.directory, made.process, made.log, told)


async def launch(
    role: str, name: str, words: Sequence[str], directory: Path, before: Sequence[str] = (), *, is_told: bool = False
) -> Daemon:
    """Start a daemon. Its settings are those given and no others: the environment's ETP_ variables are not passed on.

    `is_told`: `tell` will say when its market time begins.
    """
    state, log = directory / name, (directory / f"{name}.log").open("ab")
    given = words if "--state-dir" in words else [*words, "--state-dir", str(state)]
    process = await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-m", "cli.main", role, *given),
        stdin=asyncio.subprocess.PIPE if is_told else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        env={name: value for name, value in os.environ.items() if not name.startswith("ETP_")},
        start_new_session=True,  # Ctrl-C is the demo's: it ends its daemons in order
    )
    return Daemon(role, state, process, log)


async def asked(node: Daemon) -> None:
    """Wait until the node is loaded and asks when market time begins. Raises NodeError."""
    if (await _line(node)).get("asks") != "day_origin":
        raise NodeError(node.name, "ended before it was loaded", node.log_path)


def tell(node: Daemon, origin_s: float) -> None:
    """Answer a node that asked: market time begins then, unix seconds."""
    assert node.process.stdin is not None
    node.process.stdin.write(f"{origin_s!r}\n".encode())
    node.process.stdin.close()


async def ready(node: Daemon) -> None:
    """Wait for the daemon's line, and keep it. Raises NodeError."""
    node.line = await _line(node)
    if not node.line.get("ready"):
        raise NodeError(node.name, "ended before it was ready", node.log_path)


async def _line(node: Daemon) -> Mapping[str, object]:
    """What it says next on stdout; empty: it has ended."""
    assert node.process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            line = await node.process.stdout.readline()
    except TimeoutError as error:
        raise NodeError(node.name, f"was not ready within {READY_S:g} s", node.log_path) from error
    found: Mapping[str, object] = json.loads(line) if line else {}
    return found


def ended(nodes: Sequence[Daemon]) -> Daemon | None:
    """A daemon that is not running any more."""
    return next((node for node in nodes if node.process.returncode is not None), None)


async def stop(nodes: Sequence[Daemon]) -> list[str]:
    """SIGTERM to all, and wait; SIGKILL for who does not end. Returns what did not end as it should."""
    for node in nodes:
        _signal(node, signal.SIGTERM)
    return [fault for fault in await asyncio.gather(*(_ended(node) for node in nodes)) if fault]


async def _ended(node: Daemon) -> str | None:
    try:
        async with asyncio.timeout(ENDING_S):
            status = await node.process.wait()
    except TimeoutError:
        _signal(node, signal.SIGKILL)
        await node.process.wait()
        status = None
    node.log.close()
    if status is None:
        return f"{node.name} did not end within {ENDING_S:g} s of SIGTERM"
    return f"{node.name} ended with status {status}; its log is {node.log_path}" if status else None


def _signal(node: Daemon, number: signal.Signals) -> None:
    if node.process.returncode is None:
        node.process.send_signal(number)
