"""What `etp lab` does: run experiments with a progress bar, keep their results, write their pages, say what holds."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as Columns

from lab.experiment import Experiment, Made, Scale
from lab.experiments import EXPERIMENTS, FOUNDATION
from lab.io import report as reports
from lab.io import results as files
from lab.io import runner
from lab.pages import Result, result_of, shown

FAILED: Final = 1
WRONG_USAGE: Final = 2
MARKS: Final = {True: "ok    ", False: "FAILED"}


@dataclass(frozen=True, slots=True)
class Work:
    """How to run."""

    scale: Scale
    seed: int
    jobs: int | None
    dask: str | None

    @property
    def processes(self) -> int:
        """On this machine."""
        return self.jobs or runner.default_jobs()


def listed() -> None:
    """What there is."""
    table = Columns("experiment", "question", box=None, pad_edge=False)
    for found in EXPERIMENTS.values():
        table.add_row(found.name, found.question)
    table.add_row("report", "All of them, as one report.")
    Console().print(table)


def experiment(name: str, work: Work, directory: Path) -> None:
    """Run one, keep its results and write its page. Exits with 1 where a check fails, with 2 where there is no such experiment."""
    chosen = EXPERIMENTS.get(name)
    if chosen is None:
        names = ", ".join([*EXPERIMENTS, "report"])
        typer.echo(f"etp: NAME is {name!r}: expected one of {names}", err=True)
        raise typer.Exit(WRONG_USAGE)
    with _laboratory(work) as laboratory:
        result = laboratory.make(chosen, directory)
    written = reports.write_page(result, files.path_of(directory, name, work.scale).parent)
    _end([result], laboratory.notes, written)


def report(work: Work, results: Path, out: Path, *, fresh: bool) -> None:
    """Run what is missing (all, if `fresh`) and write the report. Exits with 1 where a check fails."""
    made: list[Result] = []
    with _laboratory(work) as laboratory:
        for chosen in EXPERIMENTS.values():
            known = None if fresh else laboratory.kept(chosen, results)
            made.append(known or laboratory.make(chosen, results))
            if not shown(made, FOUNDATION):
                break  # what stands on it need not be run: it would not be shown
    command = f"etp lab report --scale {work.scale} --seed {work.seed} --out {out}"
    written = reports.write_report(made, out, foundation=FOUNDATION, command=command)
    _end(made, laboratory.notes, written)


def _end(made: Sequence[Result], notes: Sequence[str], written: reports.Written) -> NoReturn:
    """Say what came out, and where it is."""
    for result in made:
        for check in result.checks:
            typer.echo(f"{MARKS[check.passed]} {result.experiment.name}: {check.name}: {check.said}")
        typer.echo(f"{result.experiment.name}: {result.experiment.said(result.table)}")
    typer.echo("\n".join([*notes, str(written.html), str(written.markdown)]))
    raise typer.Exit(0 if all(result.passed for result in made) else FAILED)


class Laboratory:
    """Runs experiments on one executor."""

    def __init__(self, work: Work, pool: Executor, bars: Progress) -> None:
        self._work, self._pool, self._bars = work, pool, bars
        self.notes: list[str] = []
        """What was run, and how long that took; what was not."""
        self._version = files.code_version()

    def kept(self, chosen: Experiment, directory: Path) -> Result | None:
        """What is there already, of the same scale and seed."""
        found = files.kept(directory, chosen, self._work.scale, self._work.seed)
        if found is None:
            return None
        made, table = found
        current = (
            ""
            if made.version == self._version
            else f", of other code than this ({self._version}): --fresh makes them anew"
        )
        took = f", which took {made.took}" if made.took else ""
        self.notes.append(f"{chosen.name}: the results that were there, of {made.version}{took}{current}")
        try:
            return result_of(chosen, made, table)
        except Exception as error:  # of whatever kind: they may be those of a code that counted otherwise
            path = files.path_of(directory, chosen.name, self._work.scale)
            raise runner.LabError(
                f"{path}, of {made.version}, cannot be judged ({error!r}): --fresh makes it anew"
            ) from error

    def make(self, chosen: Experiment, directory: Path) -> Result:
        """Run it and keep its results."""
        work, bar = self._work, self._bars.add_task(chosen.name, total=None)

        def progress(done: int, total: int) -> None:
            self._bars.update(bar, completed=done, total=total)

        began_s = perf_counter()
        table = runner.run(chosen, work.scale, work.seed, self._pool, progress)
        seconds, processes = perf_counter() - began_s, None if work.dask else work.processes
        made = Made(chosen.name, work.scale, work.seed, self._version, seconds, processes)
        self.notes.append(f"{chosen.name}: took {made.took}")
        files.write(directory, made, table)
        return result_of(chosen, made, table)


@contextmanager
def _laboratory(work: Work) -> Iterator[Laboratory]:
    """Exits with 1 and one line where something cannot be run or read."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with (
            runner.executor(jobs=work.processes, dask=work.dask) as pool,
            Progress(*columns, console=Console(stderr=True)) as bars,
        ):
            yield Laboratory(work, pool, bars)
    except runner.LabError as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(FAILED) from error
