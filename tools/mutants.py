"""Does the simulator bite? Plants one bug after the other into a copy of the code and runs seeds until an invariant breaks.

Each patch of tests/sim/mutants says in its head what it breaks and by which invariant that must be found; a minute of one core
is all it gets. Those of tests/sim/regressions were once bugs of ours: each must be found in the market that is kept beside it.
Status 1 where one survives, is found by another invariant, or does not apply any more.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = ROOT / "tests" / "sim" / "mutants"
REGRESSIONS = ROOT / "tests" / "sim" / "regressions"
PAGE = ROOT / "docs" / "mutants.md"
PAGE_BEGINS, PAGE_ENDS = "<!-- measured: mutants -->", "<!-- measured end -->"
PACKAGES = ("etp", "market", "runtime", "contracts", "bess_node", "aggregator_node", "sim")
"""What the simulator runs."""
NEEDED = ("*.py", "*.json", "*.so")
LIMIT_S = 60.0
"""How long the seeds of one may take, CPU time of their process, s: a busy machine must not decide what is found."""
PATIENCE = 10
"""So many times its limit a hunt may take by the wall clock."""
STARTING_S = 30.0
"""For the interpreter to start, beside that, on a busy machine."""
MARK = "Invariant: "
SEEK = """
import json, sys, time
from itertools import count
from pathlib import Path
from sim.draw import scenario
from sim.io.campaign import played
from sim.kept import read
began = time.process_time()
kept = [read(Path(path).read_text()) for path in sys.argv[2:]]
for drawn in kept or map(scenario, count()):
    if time.process_time() - began > float(sys.argv[1]):
        break
    found = played(drawn).violations
    if found:
        print(json.dumps([drawn.seed, time.process_time() - began, *found[0]]))
        break
"""
"""The market that is kept, or the seeds of the simulator from 0 on, as `etp sim` plays them, until one is broken."""


class PatchError(Exception):
    """A patch that does not fit the code."""


class Hunk(NamedTuple):
    """One place that a patch changes."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Mutant:
    """One planted bug."""

    name: str
    title: str
    invariants: tuple[str, ...]
    """Any of these is right: which one is broken first is a matter of chance."""
    hunks: tuple[Hunk, ...]
    kept: Path | None = None
    """The one market in which it is looked for (`sim.kept`); None: seeds."""


@dataclass(frozen=True)
class Verdict:
    """What became of one. `seed` and `invariant` None: it survived."""

    mutant: Mutant
    invariant: str | None = None
    seed: int | None = None
    seconds: float = 0.0
    said: str = ""

    @property
    def bites(self) -> bool:
        """Whether it was found as it should be."""
        return self.invariant in self.mutant.invariants


def mutants(*folders: Path) -> list[Mutant]:
    """All of them, by folder and name."""
    return [mutant(path) for folder in folders or (MUTANTS, REGRESSIONS) for path in sorted(folder.glob("*.patch"))]


def mutant(path: Path) -> Mutant:
    """The one in a patch file. Raises PatchError where its head does not name title and invariant, or it changes nothing."""
    title, named, *diff = path.read_text().splitlines()
    hunks = tuple(_hunks(diff))
    if not named.startswith(MARK) or not hunks:
        raise PatchError(f"{path.name} begins with a title, then {MARK!r} and a name, then a unified diff")
    kept = path.with_suffix(".json")
    return Mutant(
        path.stem, title, tuple(named.removeprefix(MARK).split(", ")), hunks, kept if kept.is_file() else None
    )


def _hunks(diff: Iterable[str]) -> Iterator[Hunk]:
    """The hunks of a unified diff; line numbers are not looked at, so that code may move."""
    path, before, after = "", [], []
    for line in [*diff, "@@"]:
        if line.startswith(("@@", "---")):
            if before or after:
                yield Hunk(path, "".join(before), "".join(after))
            before, after = [], []
        elif line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/")
        else:
            sign, text = line[:1], line[1:] + "\n"
            before += [text] * (sign in ("-", " ", ""))
            after += [text] * (sign in ("+", " ", ""))


def apply(planted: Mutant, root: Path) -> None:
    """Change the code under `root`. Raises PatchError where a place is not there, or there twice."""
    for hunk in planted.hunks:
        path = root / hunk.path
        text = path.read_text() if path.is_file() else ""
        places = text.count(hunk.before)
        if places != 1:
            raise PatchError(f"{planted.name}: its place is {places} times in {hunk.path}; it must be there once")
        path.write_text(text.replace(hunk.before, hunk.after))


def copied(to: Path, root: Path = ROOT) -> Path:
    """A copy of what the simulator runs."""
    for package in PACKAGES:
        for pattern in NEEDED:
            for path in sorted((root / package).rglob(pattern)):
                target = to / path.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    return to


def hunt(planted: Mutant, limit_s: float = LIMIT_S) -> Verdict:
    """Plant it, and run seeds until it is found or the time is over. Raises PatchError."""
    with tempfile.TemporaryDirectory(prefix="etp-mutant-") as folder:
        root = copied(Path(folder))
        apply(planted, root)
        found = _seek(root, limit_s, planted.kept)
    if found is None:
        return Verdict(planted, seconds=limit_s)
    seed, seconds, invariant, device_id, said = found
    return Verdict(planted, invariant, seed, seconds, f"{device_id}: {said}")


def _seek(root: Path, limit_s: float, kept: Path | None) -> list[Any] | None:
    """Seed, seconds and the first violation of a run in another process; None: there was none."""
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", SEEK, str(limit_s), *([str(kept)] if kept is not None else [])]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, on our own copy
            command,
            cwd=root,
            env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE * limit_s + STARTING_S,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise PatchError(f"the copy does not run:\n{done.stderr.strip()[-2000:]}")
    return list(json.loads(done.stdout)) if done.stdout.strip() else None


def table(verdicts: Sequence[Verdict]) -> str:
    """What became of all of them."""
    lines = [("mutant", "must break", "broke", "seed", "seconds")]
    lines += [
        (
            each.mutant.name,
            " or ".join(each.mutant.invariants),
            each.invariant or "SURVIVED",
            "" if each.seed is None else str(each.seed),
            f"{each.seconds:.1f}",
        )
        for each in verdicts
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def measured(verdicts: Sequence[Verdict], command: str) -> str:
    """What the page says of a run: what was run and on what, and the table."""
    bitten, seconds = sum(each.bites for each in verdicts), sum(each.seconds for each in verdicts)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - git, wherever it is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    machine = f"Python {platform.python_version()}, {os.cpu_count()} processors, load {os.getloadavg()[1]:.1f}"
    said = f"`{command}` at `{commit or 'no commit'}`: {bitten} of {len(verdicts)} found, {seconds:.0f} s of CPU time ({machine})."
    lines = ["| mutant | looked for in | broke | at seed | CPU s |", "| --- | --- | --- | --: | --: |"]
    for each in verdicts:
        where = "seeds" if each.mutant.kept is None else "its market"
        seed = "" if each.seed is None else each.seed
        lines.append(
            f"| `{each.mutant.name}` | {where} | `{each.invariant or 'SURVIVED'}` | {seed} | {each.seconds:.1f} |"
        )
    return "\n".join([said, "", *lines])


def put_on_page(text: str, told: str) -> str:
    """The page with the last run's words between its marks. Raises ValueError where these are not there."""
    before, begins, rest = text.partition(PAGE_BEGINS)
    _, ends, after = rest.partition(PAGE_ENDS)
    if not begins or not ends:
        raise ValueError(f"the page has no part between {PAGE_BEGINS} and {PAGE_ENDS}")
    return f"{before}{begins}\n\n{told}\n\n{ends}{after}"


def main() -> int:
    """`python -m tools.mutants [NAME…] [--jobs J] [--seconds S] [--page]`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="mutants; default: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--seconds", type=float, default=LIMIT_S, help="how long each may take, CPU s")
    parser.add_argument("--page", action="store_true", help=f"write what came of it to {PAGE.relative_to(ROOT)}")
    asked = parser.parse_args()
    chosen = [each for each in mutants() if not asked.names or each.name in asked.names]
    if not chosen or len(chosen) < len(set(asked.names)):
        parser.error(
            f"names are those of the patches in {MUTANTS.relative_to(ROOT)} and {REGRESSIONS.relative_to(ROOT)}"
        )

    if asked.page and asked.names:
        parser.error("--page is of a run of all mutants; leave the names out")

    def judged(planted: Mutant) -> Verdict:
        try:
            verdict = hunt(planted, asked.seconds)
        except PatchError as error:
            verdict = Verdict(planted, "DOES NOT RUN", said=str(error))
        sys.stdout.write(f"{'ok ' if verdict.bites else 'NOT'} {planted.name}: {verdict.invariant} {verdict.said}\n")
        sys.stdout.flush()
        return verdict

    began = time.monotonic()
    with ThreadPoolExecutor(asked.jobs) as pool:
        verdicts = list(pool.map(judged, chosen))
    bitten = sum(each.bites for each in verdicts)
    sys.stdout.write(f"\n{table(verdicts)}\n\n{bitten} of {len(verdicts)} found, {time.monotonic() - began:.0f} s\n")
    if asked.page:
        told = measured(verdicts, f"python -m tools.mutants --jobs {asked.jobs} --page")
        PAGE.write_text(put_on_page(PAGE.read_text(), told))
    return 0 if bitten == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
