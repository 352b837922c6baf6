"""Results on disk: one Parquet file per experiment and scale, which says in itself what made it."""

import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from lab.experiment import SCALES, Experiment, Made, Scale
from lab.io.runner import LabError

PREFIX: Final = b"etp."
"""Of our keys in a file's metadata."""
PACKAGE: Final = "etp-suite"


def code_version() -> str:
    """What git calls this code, where it is a working copy; else the package's version."""
    here = Path(__file__).resolve().parents[2]
    if (here / ".git").exists():
        command = ("git", "-C", str(here), "describe", "--always", "--dirty", "--tags")
        said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
        if said.returncode == 0:
            return said.stdout.strip()
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "unknown"


def path_of(directory: Path, experiment: str, scale: Scale) -> Path:
    """Where an experiment's results are."""
    return directory / experiment / scale / "results.parquet"


def write(directory: Path, made: Made, table: pa.Table) -> Path:
    """Write results, in the place of those before. The same rows, made in the same way and time, make the same bytes."""
    metadata = {PREFIX + key.encode(): text.encode() for key, text in _told(made).items()}
    path = path_of(directory, made.experiment, made.scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    parquet.write_table(table.replace_schema_metadata(metadata), unfinished)
    unfinished.replace(path)
    return path


def _told(made: Made) -> dict[str, str]:
    """What is not known is not told."""
    told = {"experiment": made.experiment, "scale": made.scale, "seed": str(made.seed), "version": made.version}
    told["command"] = made.command
    if made.seconds is not None:
        told["seconds"] = f"{made.seconds:.3f}"
    if made.processes is not None:
        told["processes"] = str(made.processes)
    return told


def read(path: Path) -> tuple[Made, pa.Table]:
    """What was written. Raises LabError."""
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise LabError(f"{path} cannot be read as results: {error}") from error
    said = {key[len(PREFIX) :].decode(): text.decode() for key, text in (table.schema.metadata or {}).items()}
    scale = next((scale for scale in SCALES if scale == said.get("scale")), None)
    if scale is None or not said.get("seed", "").isdecimal():
        raise LabError(f"{path} does not say which scale and seed made it; expected a file that etp lab wrote")
    try:
        return _made(said, scale), table
    except ValueError as error:
        raise LabError(f"{path}: {error}; expected a file that etp lab wrote") from error


def _made(said: Mapping[str, str], scale: Scale) -> Made:
    """Files of before this was kept do not say what they took."""
    seconds, processes = said.get("seconds"), said.get("processes")
    return Made(
        said.get("experiment", ""),
        scale,
        int(said["seed"]),
        said.get("version", "unknown"),
        None if seconds is None else float(seconds),
        None if processes is None else int(processes),
    )


def kept(directory: Path, experiment: Experiment, scale: Scale, seed: int) -> tuple[Made, pa.Table] | None:
    """The results that are there for this scale and seed; None: there are none. Raises LabError."""
    path = path_of(directory, experiment.name, scale)
    if not path.exists():
        return None
    made, table = read(path)
    return (made, table) if made.seed == seed and made.experiment == experiment.name else None
