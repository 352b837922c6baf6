"""`python -m benches [NAME...]`: measures, prints each figure beside its limit, keeps the results; status 1 where one is missed.

Progress goes to stderr, the results as one JSON document to stdout and to runs/bench/TIME.json.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final

from rich.console import Console

from benches import machine, page
from benches.child import ChildError
from benches.plan import RESULTS, Plan
from benches.pool import PoolError
from benches.report import Figure, Report, shown
from benches.suite import BENCHES

LONGEST_S: Final = 240
"""A bench that takes so much longer than its load phase hangs: it is ended and counts as failed, s."""
SIGNS: Final = {True: "[green]met[/]", False: "[bold red]MISSED[/]", None: ""}


class TookTooLongError(Exception):
    """A bench did not end in time."""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches", description="Measure, and fail where a limit is missed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(BENCHES)}")
    parser.add_argument("--quick", action="store_true", help="a second each: whether they run, not how fast")
    parser.add_argument("--seconds", type=float, help="length of each load phase")
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="run nothing; put the newest whole run, and what ran for ten minutes, into docs/performance.md",
    )
    found = parser.parse_args(given)
    unknown = [name for name in found.names if name not in BENCHES]
    if unknown:
        parser.error(f"no bench is named {unknown[0]}; there are {', '.join(BENCHES)}")
    return found


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TookTooLongError in the block after so long."""

    def end(_: int, __: FrameType | None) -> None:
        raise TookTooLongError(f"ended after {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def measure(name: str, plan: Plan) -> Report:
    """One bench; one that fails is a Report that is not met."""
    try:
        with at_most(LONGEST_S + round(plan.seconds or 0)):
            return BENCHES[name](plan)
    except (ChildError, PoolError, TookTooLongError, OSError) as error:
        return Report(f"failed: {error}", [Figure("failed", 1, most=0)])


def tell(console: Console, name: str, report: Report, seconds: float) -> None:
    """The figures of a bench, for people."""
    console.print(f"[bold]{name}[/] {report.load} [dim]({seconds:.0f} s)[/]", highlight=False, soft_wrap=True)
    for figure in report.figures:
        line = f"  {figure.name:<38} {shown(figure.value):>10} {figure.unit:<9} {figure.limit:<12}"
        console.print(line, SIGNS[figure.met], highlight=False, soft_wrap=True)


def keep(results: dict[str, Any]) -> None:
    """The results as JSON: a file of their own, and stdout."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{results['time'].replace(':', '')}.json").write_text(text + "\n")
    sys.stdout.write(text + "\n")


def command(names: Sequence[str], plan: Plan) -> str:
    """What measures the same again."""
    if plan == Plan() and list(names) == list(BENCHES):
        return "make bench"
    long = () if plan.seconds is None else ("--seconds", f"{plan.seconds:g}")
    return " ".join(("python -m benches", *names, *long, *(("--quick",) if plan.quick else ())))


def run(names: Sequence[str], plan: Plan, console: Console) -> dict[str, Any]:
    """All results, with the machine and the commit."""
    results: dict[str, Any] = {
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "whole": plan == Plan() and list(names) == list(BENCHES),
        "command": command(names, plan),
        "seconds": plan.seconds,
        "machine": machine.describe(),
        "benches": {},
    }
    for number, name in enumerate(names, 1):
        console.print(f"[dim]{number}/{len(names)} {name} …[/]", highlight=False)
        began_s = time.monotonic()
        report = measure(name, plan)
        took_s = time.monotonic() - began_s
        tell(console, name, report, took_s)
        results["benches"][name] = report.as_dict() | {"took_s": round(took_s, 1)}
    results["ok"] = all(bench["ok"] for bench in results["benches"].values())
    return results


def _write_docs(console: Console) -> int:
    try:
        page.write(page.drawn(page.runs()))
    except page.PageError as error:
        console.print(f"[bold red]{error}[/]", highlight=False)
        return 1
    return 0


def main(given: Sequence[str] | None = None) -> int:
    """Run what is asked for; 0 where every limit is met."""
    asked, console = arguments(given), Console(stderr=True)
    if asked.write_docs:
        return _write_docs(console)
    results = run(asked.names or list(BENCHES), Plan(asked.seconds, asked.quick), console)
    keep(results)
    missed = [name for name, bench in results["benches"].items() if not bench["ok"]]
    console.print(f"[bold red]missed: {', '.join(missed)}[/]" if missed else "[green]every limit is met[/]")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
