"""Writes results down as Markdown: one experiment, or the report of all of them. Text in, text out; the files are others' to write.

A report opens with its answers and their limits. It stands on its foundation: where a check of theory fails, that failure is all
there is to read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pyarrow import Table

from lab import caveats
from lab.experiment import Check, Experiment, Made, TableOf
from lab.html import anchor

PASSED: Final = {True: "yes", False: "**no**"}
QUICK: Final = (
    "*Quick scale: a first look. Intervals of so few draws mean little; `--scale full` is what the report publishes.*"
)
SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z*\d])")
"""Where the next one begins; a point within a number has no space after it."""


@dataclass(frozen=True)
class Result:
    """An experiment with its results, judged."""

    experiment: Experiment
    made: Made
    table: Table
    checks: Sequence[Check]

    @property
    def passed(self) -> bool:
        """Whether every check holds; an experiment without checks has nothing to fail."""
        return all(check.passed for check in self.checks)


def result_of(experiment: Experiment, made: Made, table: Table) -> Result:
    """Judge a table of results."""
    return Result(experiment, made, table, experiment.checks(table))


def figure_file(result: Result, name: str) -> str:
    """The file name of a figure."""
    return f"{result.experiment.name}-{name}.svg"


def _base(results: Sequence[Result], foundation: str) -> Result | None:
    return next((result for result in results if result.experiment.name == foundation), None)


def shown(results: Sequence[Result], foundation: str) -> Sequence[Result]:
    """The results that a report may show: all of them, or none where the checks of the experiment `foundation` fail."""
    base = _base(results, foundation)
    return results if base is not None and base.passed else ()


def report(results: Sequence[Result], *, foundation: str, command: str, figures: str) -> str:
    """All experiments in their order, made by `command`; `figures`: the directory of their files, as seen from the page.

    Where a check of the experiment `foundation` fails, or there are no results of it, only that is said.
    """
    head = f"# Evidence\n\nMade by `{command}`."
    base = _base(results, foundation)
    if base is None:
        return f"{head}\n\nThere are no results of `{foundation}`, on which everything else stands: nothing is shown.\n"
    if not base.passed:
        return f"{head}\n\n{_failure(base)}"
    versions = sorted({result.made.version for result in results})
    mixed = " These differ between experiments: make them anew with `--fresh`." if len(versions) > 1 else ""
    told = f"Code: {', '.join(f'`{version}`' for version in versions)}.{mixed}"
    limits = f"## {caveats.TITLE}\n\n{caveats.caveats({result.made.seed for result in results})}"
    parts = [f"{head} {told}", *_quick(results), _summary(results), limits]
    return "\n\n".join([*parts, *(section(result, figures=figures) for result in results)])


def _quick(results: Sequence[Result]) -> list[str]:
    return [QUICK] if any(result.made.scale == "quick" for result in results) else []


def _failure(result: Result) -> str:
    wrong = "\n".join(f"- **{check.name}**: {check.said}" for check in result.checks if not check.passed)
    return (
        f"## {result.experiment.title}: it fails\n\nWhat must hold before anything else counts does not. Nothing else is shown.\n\n"
        f"{wrong}\n\n`{result.made.command}` (code `{result.made.version}`)\n"
    )


def _summary(results: Sequence[Result]) -> str:
    rows = [
        (
            f"[{result.experiment.title}](#{anchor(result.experiment.title)})",
            f"*{result.experiment.question}* {answer(result)}",
            _tally(result),
        )
        for result in results
    ]
    limits = f"What this does not show: [{caveats.TITLE}](#{anchor(caveats.TITLE)})."
    return f"{grid(('experiment', 'question, and what the numbers say', 'checks that hold'), rows)}\n\n{limits}"


def answer(result: Result) -> str:
    """The first sentence of what the numbers say."""
    return SENTENCE.split(" ".join(result.experiment.said(result.table).split()), maxsplit=1)[0]


def _tally(result: Result) -> str:
    said = f"{sum(check.passed for check in result.checks)} of {len(result.checks)}"
    return said if result.passed else f"**{said}**"


def section(result: Result, *, figures: str) -> str:
    """One experiment: what the numbers say, its checks, figures, tables and method."""
    experiment, under = result.experiment, f"{figures}/" if figures else ""
    parts = [f"## {experiment.title}", f"*{experiment.question}*", experiment.said(result.table)]
    for figure in experiment.figures:
        image = f"![{figure.title}]({under}{figure_file(result, figure.name)})"
        parts += [f"### {figure.title}", image, figure.caption, f"`{result.made.command}`"]
    for table in experiment.tables:
        parts += [f"### {table.title}", _table(table, result), table.caption, f"`{result.made.command}`"]
    if result.checks:
        parts += ["### What must hold", _judged(result.checks)]
    took = f"\n\nIt took {result.made.took}." if result.made.took else ""
    return "\n\n".join([*parts, "### Method", experiment.method]) + f"{took}\n"


def page(result: Result) -> str:
    """The page of one experiment by itself, beside its figures."""
    head = f"# {result.experiment.name}\n\nMade by `{result.made.command}`. Code: `{result.made.version}`."
    return "\n\n".join([head, *_quick([result]), section(result, figures="")])


def _judged(checks: Sequence[Check]) -> str:
    return grid(("statement", "holds", "numbers"), [(check.name, PASSED[check.passed], check.said) for check in checks])


def _table(table: TableOf, result: Result) -> str:
    return grid(table.columns, table.rows(result.table))


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. Raises ValueError where a row has not one cell per column."""
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} cells ({row}); expected {len(columns)}: {', '.join(columns)}")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
