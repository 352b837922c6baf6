"""`make soak`: 3 batteries and 4 aggregators that sign, trade and settle; a `kill -9` every 2 minutes, a cut network every 5.

Progress goes to stderr, the results as one JSON document to stdout and to runs/soak/TIME/. Status 1 where a limit is missed, 3
where no namespaces can be had.
"""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console

from benches import machine
from benches.__main__ import tell
from benches.plan import ROOT
from benches.report import Report
from benches.soak import page, verdict
from benches.soak.hosts import HostsError, enter
from benches.soak.run import Course, soak
from cli.demo.processes import NodeError
from contracts.errors import ContractsError

RESULTS: Final = ROOT / "runs" / "soak"
NOT_HERE: Final = 3
"""Status where the namespaces cannot be had."""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.soak", description="Trade under kills and cuts, and check all."
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long nodes are killed and cut off")
    parser.add_argument("--batteries", type=int, default=3)
    parser.add_argument("--aggregators", type=int, default=4)
    parser.add_argument(
        "--seed", type=int, default=None, help="of who is killed and cut off when; default: a fresh one"
    )
    parser.add_argument("--out", type=Path, help="directory of journals and results; default: runs/soak/TIME")
    parser.add_argument(
        "--write-docs", action="store_true", help="run nothing; put the newest whole hour into docs/soak.md"
    )
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run it; 0 where every limit is met."""
    asked, console = arguments(given), Console(stderr=True)
    if asked.write_docs:
        page.write(page.newest(RESULTS))
        return 0
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    course = Course(asked.minutes * 60, asked.batteries, asked.aggregators, seed)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    directory = (asked.out or RESULTS / now.replace(":", "")).resolve()
    try:
        enter()
        directory.mkdir(parents=True, exist_ok=True)
        found = uvloop.run(soak(course, directory, console))
    except HostsError as error:
        console.print(f"[bold red]no network for a soak can be made:[/] {error}", highlight=False)
        return NOT_HERE
    except asyncio.CancelledError:
        console.print("[bold red]the soak was told to end before its time[/]")
        return 1
    except (NodeError, ContractsError) as error:
        console.print(f"[bold red]the soak could not go on:[/] {error}", highlight=False)
        return 1
    report = verdict.judge(course, found)
    tell(console, "soak", report, course.seconds)
    for line in found.violations:
        console.print(f"[bold red]{line}[/]", highlight=False)
    _keep(directory, now, course, report, verdict.losses(found))
    return 0 if report.ok else 1


def _keep(directory: Path, now: str, course: Course, report: Report, losses: list[verdict.Loss]) -> None:
    results = {
        "time": now,
        "seed": course.seed,
        "seconds": course.seconds,
        "machine": machine.describe(),
        "soak": report.as_dict(),
        "losses": [loss._asdict() for loss in losses],
    }
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (directory / page.FILE).write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
