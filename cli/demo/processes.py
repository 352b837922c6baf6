"""Starts and ends the daemons of a demo: each in a process and a session of its own, ended by its process id."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
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
class Node:
    """One daemon: what it was told, where its files are, its process."""

    role: str
    settings: NodeSettings
    directory: Path
    """Its state directory: journal and metrics."""
    process: asyncio.subprocess.Process
    log: IO[bytes]

    @property
    def name(self) -> str:
        """As in its directory's name."""
        return f"{self.role}-{self.settings.device_id}"

    @property
    def log_path(self) -> Path:
        """What it wrote to stderr."""
        return Path(self.log.name)


def flags(settings: NodeSettings) -> list[str]:
    """The command line that gives a daemon these settings."""
    line: list[str] = []
    for field, value in settings.model_dump(mode="json", exclude_defaults=True).items():
        flag = f"--{field.replace('_', '-')}"
        for item in value if isinstance(value, list) else [value]:
            line += [flag] if item is True else [flag, str(item)]
    return line


async def start(role: str, settings: NodeSettings, directory: Path) -> Node:
    """Start a daemon. Its settings are those given and no others: the environment's ETP_ variables are not passed on."""
    state = directory / f"{role}-{settings.device_id}"
    log = (directory / f"{state.name}.log").open("wb")
    told = settings.model_copy(update={"state_dir": state})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", role, *flags(told)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        env={name: value for name, value in os.environ.items() if not name.startswith("ETP_")},
        start_new_session=True,  # Ctrl-C is the demo's: it ends its daemons in order
    )
    return Node(role, told, state, process, log)


async def ready(node: Node) -> None:
    """Wait for the daemon's line. Raises NodeError."""
    assert node.process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            line = await node.process.stdout.readline()
    except TimeoutError as error:
        raise NodeError(node.name, f"was not ready within {READY_S:g} s", node.log_path) from error
    if not line or not json.loads(line).get("ready"):
        raise NodeError(node.name, "ended before it was ready", node.log_path)


def ended(nodes: Sequence[Node]) -> Node | None:
    """A daemon that is not running any more."""
    return next((node for node in nodes if node.process.returncode is not None), None)


async def stop(nodes: Sequence[Node]) -> list[str]:
    """SIGTERM to all, and wait; SIGKILL for who does not end. Returns what did not end as it should."""
    for node in nodes:
        _signal(node, signal.SIGTERM)
    return [fault for fault in await asyncio.gather(*(_ended(node) for node in nodes)) if fault]


async def _ended(node: Node) -> str | None:
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


def _signal(node: Node, number: signal.Signals) -> None:
    if node.process.returncode is None:
        node.process.send_signal(number)
