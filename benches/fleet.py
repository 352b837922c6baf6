"""`python -m benches.fleet`: many battery daemons in one process, each the real one with a journal and sockets of its own.

The job is the first argument. Each daemon says its ready line as it serves; SIGTERM ends them all in order.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from benches.child import Child, running
from bess_node.io.daemon import run as run_battery
from bess_node.settings import BessSettings
from runtime.io.lifecycle import Lifecycle, raise_open_file_limit, run
from runtime.io.logging import set_up

FIRST_BATTERY: Final = 10_000
FILES_A_BATTERY: Final = 12
"""Its journal (two connections, log, index, lock), its TCP and UDP sockets, and a buyer's connection, with some to spare."""


class Fleet(msgspec.Struct):
    """What a process of the fleet is told."""

    first: int
    count: int
    directory: str
    group: str
    options: dict[str, Any]
    """Settings that all of them have in common."""

    def settings(self) -> list[BessSettings]:
        """Of each battery."""
        return [
            BessSettings(
                device_id=self.first + number,
                profile="plain",
                group=self.group,
                state_dir=Path(self.directory) / str(self.first + number),
                **self.options,
            )
            for number in range(self.count)
        ]


async def serve(fleet: Fleet, lifecycle: Lifecycle) -> int:
    """All of them until SIGTERM; the worst of their statuses."""
    raise_open_file_limit(fleet.count * FILES_A_BATTERY)
    return max(await asyncio.gather(*(run_battery(settings, lifecycle) for settings in fleet.settings())))


def main(job: str) -> int:
    """The process."""
    fleet = msgspec.json.decode(job, type=Fleet)
    set_up("warning")
    return run(lambda lifecycle: serve(fleet, lifecycle))


@contextmanager
def batteries(
    count: int, processes: int, directory: Path, group: str, options: dict[str, Any]
) -> Iterator[list[Child]]:
    """So many batteries that serve, in so many processes."""
    shares = [len(range(number, count, processes)) for number in range(processes)]
    with ExitStack() as stack:
        children, first = [], FIRST_BATTERY
        for share in shares:
            job = Fleet(first, share, str(directory), group, options)
            arguments = [msgspec.json.encode(job).decode()]
            children.append(stack.enter_context(running("benches.fleet", arguments, directory / f"{first}.log")))
            first += share
        for child, share in zip(children, shares, strict=True):
            for _ in range(share):
                child.line()
        yield children


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
