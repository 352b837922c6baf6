"""What every experiment of the laboratory must be, so that its results can be made again anywhere."""

import pickle

import pytest

from lab.experiment import SCALES, Experiment, Made, Scale
from lab.experiments import EXPERIMENTS, FOUNDATION

ALL = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=list(EXPERIMENTS))


def test_theory_comes_first() -> None:
    """The report stands on it."""
    assert next(iter(EXPERIMENTS)) == FOUNDATION == "theory"


def test_each_is_named_once() -> None:
    """The name on the command line is the experiment's own, and `report` is no experiment."""
    assert [experiment.name for experiment in EXPERIMENTS.values()] == list(EXPERIMENTS)
    assert "report" not in EXPERIMENTS


@ALL
@pytest.mark.parametrize("scale", SCALES)
def test_tasks_are_the_same_each_time(experiment: Experiment, scale: Scale) -> None:
    """The scale and the seed say everything; every task has a key of its own, and can be sent to another process."""
    tasks = experiment.tasks(scale, 7)
    assert tasks == experiment.tasks(scale, 7)
    assert len({task.key for task in tasks}) == len(tasks) > 0
    sent = pickle.loads(pickle.dumps((experiment.run, tasks)))
    assert sent == (experiment.run, tasks)


@ALL
def test_another_seed_is_another_draw(experiment: Experiment) -> None:
    """A seed that changed nothing would make one result look like two."""
    assert experiment.tasks("quick", 1) != experiment.tasks("quick", 2)


@ALL
def test_each_says_what_it_asks_and_how(experiment: Experiment) -> None:
    """Question, method and captions are there, and figures are named once."""
    assert all(text.strip() for text in (experiment.title, experiment.question, experiment.method))
    names = [figure.name for figure in experiment.figures]
    assert len(set(names)) == len(names)
    assert all(shown.title and shown.caption for shown in (*experiment.figures, *experiment.tables))


def test_the_command_makes_it_again() -> None:
    """How many processes did the work is not in it: that changes nothing."""
    assert Made("theory", "full", 3, "v1").command == "etp lab theory --scale full --seed 3"


@pytest.mark.parametrize(
    ("seconds", "processes", "took"),
    [
        (4.07, 1, "4.1 s on 1 process"),
        (612.3, 2, "612 s on 2 processes"),
        (3612.0, None, "3,612 s on a cluster"),
        (None, 2, ""),
    ],
)
def test_what_it_took_is_said(seconds: float | None, processes: int | None, took: str) -> None:
    """Where it is known."""
    assert Made("theory", "full", 3, "v1", seconds, processes).took == took
