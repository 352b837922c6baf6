"""What an experiment is: tasks that are declared and seeded, and what is read from their rows. It runs nothing and writes nothing.

The same scale and seed give the same tasks, and a task gives the same rows in every process, so that a published result can be
made again anywhere, on any number of cores.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from matplotlib.figure import Figure as Canvas
from pyarrow import Table

Scale = Literal["quick", "full"]
"""``quick`` takes seconds, for tests and a first look; ``full`` is what the report publishes."""

SCALES: tuple[Scale, ...] = get_args(Scale)

WHOLE_S: Final = 10.0
"""From here on tenths of a second say nothing."""

Cell = int | float | str | bool
"""A value in a row: prices as whole µ/kWh, energy as whole Wh, money as whole µ; floats for statistics alone."""

Row = dict[str, Cell]
"""Results by the name of their column; every row of an experiment has the same columns, of the same types."""


class Task(NamedTuple):
    """A part of an experiment that any process can do: ``arguments`` are pickled, and say everything (sizes, seeds).

    Rows are sorted by ``key``, which is unique in its experiment, so that who finished first does not matter.
    """

    key: str
    arguments: tuple[object, ...]


@dataclass(frozen=True)
class Check:
    """A statement that must hold of the results; ``said`` has the numbers it was judged by."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True)
class Figure:
    """A picture of the results: ``draw`` fills an empty canvas, with units on both axes."""

    name: str
    title: str
    draw: Callable[[Table, Canvas], None]
    caption: str


@dataclass(frozen=True)
class TableOf:
    """A table of the results, written out: one string per column in each row."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Callable[[Table], list[tuple[str, ...]]]
    caption: str


@dataclass(frozen=True)
class Experiment:
    """A question and how it is answered.

    ``tasks`` are drawn from the scale and the seed; ``run`` is called with a task's arguments and returns its rows. It is a function
    of a module's top level, since it is sent to other processes by its name, and it knows no clock and no random source of the process.
    ``checks``, figures, tables and ``said`` read one table, which holds the rows of all tasks in the order of the tasks' keys.
    """

    name: str
    """As on the command line."""
    title: str
    question: str
    """One sentence."""
    tasks: Callable[[Scale, int], list[Task]]
    run: Callable[..., list[Row]]
    checks: Callable[[Table], list[Check]]
    figures: Sequence[Figure]
    tables: Sequence[TableOf]
    method: str
    """Markdown: what was done, and its sources."""
    said: Callable[[Table], str]
    """Markdown: what the numbers say, written from the numbers."""


@dataclass(frozen=True)
class Made:
    """What made a table of results."""

    experiment: str
    scale: Scale
    seed: int
    version: str
    """Of the code: what git calls it, or the package's."""
    seconds: float | None = None
    """What it took by the wall clock, s; None: not known."""
    processes: int | None = None
    """How many of one machine shared the work; None: not known, or a cluster's."""

    @property
    def took(self) -> str:
        """As a page says it: "612 s on 2 processes"; empty where it is not known."""
        if self.seconds is None:
            return ""
        shown = f"{self.seconds:,.{0 if self.seconds >= WHOLE_S else 1}f} s"
        if self.processes is None:
            return f"{shown} on a cluster"
        return f"{shown} on {self.processes} process{'es' if self.processes > 1 else ''}"

    @property
    def command(self) -> str:
        """Makes it again; how many processes share the work changes nothing."""
        return f"etp lab {self.experiment} --scale {self.scale} --seed {self.seed}"
