"""`etp lab`: the options of the laboratory. What it needs is imported when it runs, so that a daemon's start need not wait for it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

RESULTS = Path("runs/lab")
"""Where results are kept, below the working directory."""


def command(
    name: Annotated[
        str | None, typer.Argument(help="an experiment, or 'report' for all of them; without it, what there is")
    ] = None,
    *,
    scale: Annotated[Literal["quick", "full"], typer.Option(help="seconds, or what the report publishes")] = "quick",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="seed of all draws")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="processes; default: one per core")] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="scheduler of a Dask cluster, such as tcp://HOST:8786")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"of an experiment: where its results go, default {RESULTS}; of the report: default {RESULTS}/report"
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="of the report: where results are, or are put if missing")] = RESULTS,
    fresh: Annotated[bool, typer.Option("--fresh", help="of the report: make all results anew")] = False,
) -> None:
    """Run an experiment on what competition is worth, or write the report of all of them."""
    from cli import laboratory  # noqa: PLC0415

    work = laboratory.Work(scale, seed, jobs, dask)
    if name is None:
        laboratory.listed()
    elif name == "report":
        laboratory.report(work, results, out or RESULTS / "report", fresh=fresh)
    else:
        laboratory.experiment(name, work, out or RESULTS)
