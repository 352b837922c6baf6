"""The experiments of competition, small: rows, checks that can fail, figures, tables, words."""

from functools import cache

import pyarrow as pa
import pytest
from matplotlib.figure import Figure as Canvas

from lab import competition, equality, hours, limits, margins, network, reserve_rules, sensitivity, share, timing, years
from lab.bidding import TAKING
from lab.experiment import Experiment
from lab.ledger import Way, rows_of
from lab.play import Rules
from lab.tape import recorded_tape

SMALL: dict[str, list[tuple[object, ...]]] = {
    "competition": [(1, 0, 2)],
    "hours": [("recorded", 1, 0, 2), ("synthetic", 1, 0, 4)],
    "reserves": [(1, 0, 2)],
    "share": [(1, 0, 2)],
    "margins": [(1, 0, 2)],
    "network": [(1, 0, 50), (1, 1, 50)],
    "timing": [(1, 0, 2)],
    "limits": [(1, 0, 2)],
    "years": [(1, 0, 4, index) for index in range(len(years.WAYS))],
    "cores": [(1, 0, 20)],
}
"""Arguments of tasks that take a second or less."""
OWN = (competition, hours, sensitivity, network, timing, limits, years, equality)
EXPERIMENTS = {experiment.name: experiment for module in OWN for experiment in module.EXPERIMENTS}


@cache
def table_of(name: str) -> pa.Table:
    """The rows of the small tasks."""
    return pa.Table.from_pylist([row for arguments in SMALL[name] for row in EXPERIMENTS[name].run(*arguments)])


@pytest.fixture(scope="module")
def drawn() -> pa.Table:
    """The small competition."""
    return table_of("competition")


def test_all_are_here() -> None:
    """Each experiment once, and each is tried below."""
    assert set(EXPERIMENTS) == set(SMALL)
    assert {module.EXPERIMENTS[0].name for module in (reserve_rules, share, margins)} <= set(EXPERIMENTS)


def test_the_hypothesis_on_two_drawings(drawn: pa.Table) -> None:
    """Every check of the full experiment holds on two drawings already."""
    failed = [f"{check.name}: {check.said}" for check in competition.checks(drawn) if not check.passed]
    assert not failed


def test_the_check_fails_where_competition_does_not_pay(drawn: pa.Table) -> None:
    """Two buyers who earn the owner what one does: the checks and the text say so."""
    alone = {
        (row["play"], row["demand"], row["reserve"], row["cluster"]): row["earned_micro"]
        for row in drawn.to_pylist()
        if row["buyers"] == 1
    }
    rows = [
        row | {"earned_micro": alone[row["play"], row["demand"], row["reserve"], row["cluster"]]}
        if row["buyers"] == 2
        else row
        for row in drawn.to_pylist()
    ]
    table = pa.Table.from_pylist(rows)
    assert not any(check.passed for check in competition.checks(table) if "two aggregators earn" in check.name)
    assert "does not hold" in competition.said(table)
    assert "does not hold" not in competition.said(drawn)


def test_a_core_that_differs_is_seen() -> None:
    """One lot sold otherwise fails the check of its play alone."""
    rows = table_of("cores").to_pylist()
    rows[0] |= {"equal": False}
    failed = [check.name for check in equality.checks(pa.Table.from_pylist(rows)) if not check.passed]
    assert failed == [f"{rows[0]['play']}: the full cores sell every lot as the mechanism alone does"]


@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_end_to_end(name: str) -> None:
    """Rows of one shape; checks with numbers; every table, figure and text from the rows alone."""
    experiment: Experiment = EXPERIMENTS[name]
    table = table_of(name)
    assert not any(column.null_count for column in table.columns)
    checks = experiment.checks(table)
    assert checks
    assert all(check.said for check in checks)
    for shown in experiment.tables:
        assert {len(row) for row in shown.rows(table)} == {len(shown.columns)}
    for figure in experiment.figures:
        canvas = Canvas()
        figure.draw(table, canvas)
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in canvas.axes)
    assert experiment.said(table)
    assert "{" not in experiment.said(table) + experiment.method


@pytest.mark.parametrize("name", ["reserves", "share", "limits", "cores", "timing"])
def test_what_small_drawings_show(name: str) -> None:
    """Where two drawings are enough, every check holds."""
    failed = [f"{c.name}: {c.said}" for c in EXPERIMENTS[name].checks(table_of(name)) if not c.passed]
    assert not failed


@pytest.mark.parametrize("name", SMALL)
def test_tasks_are_declared(name: str) -> None:
    """Unique keys; the same seed, the same tasks; full is more than quick."""
    tasks = EXPERIMENTS[name].tasks
    assert tasks("full", 1) == tasks("full", 1) != tasks("full", 2)
    keys = [task.key for task in tasks("full", 1)]
    assert len(keys) == len(set(keys)) >= len(tasks("quick", 1))


def test_the_same_task_gives_the_same_rows() -> None:
    """Also where bids are drawn at random."""
    tape, way = recorded_tape(1, 0), Way(Rules(TAKING[1], 3))
    assert rows_of(tape, way, seed=1) == rows_of(tape, way, seed=1) != rows_of(tape, way, seed=2)
    assert limits.run(1, 0, 1) == limits.run(1, 0, 1)
