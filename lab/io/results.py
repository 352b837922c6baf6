"""Results on disk: one Parquet file per experiment and scale, which says in itself what made it."""

import subprocess
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
    """Write results, in the place of those before. The same rows make the same bytes."""
    told = {"experiment": made.experiment, "scale": made.scale, "seed": str(made.seed), "version": made.version}
    metadata = {PREFIX + key.encode(): text.encode() for key, text in (told | {"command": made.command}).items()}
    path = path_of(directory, made.experiment, made.scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    parquet.write_table(table.replace_schema_metadata(metadata), unfinished)
    unfinished.replace(path)
    return path


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
    return Made(said.get("experiment", ""), scale, int(said["seed"]), said.get("version", "unknown")), table


def kept(directory: Path, experiment: Experiment, scale: Scale, seed: int) -> tuple[Made, pa.Table] | None:
    """The results that are there for this scale and seed; None: there are none. Raises LabError."""
    path = path_of(directory, experiment.name, scale)
    if not path.exists():
        return None
    made, table = read(path)
    return (made, table) if made.seed == seed and made.experiment == experiment.name else None
