"""`etp lab`: listed, run, reported; a check that fails ends it with 1, a wrong name with 2."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from cli import laboratory
from cli.main import app
from lab.experiment import Check, Experiment, Made, Row, Scale, Task
from lab.io import results, runner
from lab.theory import play
from lab.theory.planted import PLANTED


def lab(*arguments: str | Path) -> Result:
    """`etp lab …` in this process."""
    return CliRunner().invoke(app, ["lab", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of processes, which would have to import what a test made up."""

    @contextmanager
    def here(*, jobs: int, dask: str | None) -> Iterator[Executor]:
        del jobs, dask
        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr(runner, "executor", here)


def made_up(name: str, *, holds: bool) -> Experiment:
    """An experiment of one row."""

    def tasks(scale: Scale, seed: int) -> list[Task]:
        return [Task(scale, (seed,))]

    def run(seed: int) -> list[Row]:
        return [{"seed": seed}]

    def checks(table: pa.Table) -> list[Check]:
        return [Check("a statement", holds, f"seed {table['seed'][0]}")]

    return Experiment(name, name.title(), "Well?", tasks, run, checks, (), (), "Asked.", lambda _: "Well.")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """`theory`, which holds, and `other`, which does not."""
    both = {"theory": made_up("theory", holds=True), "other": made_up("other", holds=False)}
    monkeypatch.setattr(laboratory, "EXPERIMENTS", both)


def test_what_there_is_is_listed() -> None:
    """With the question of each."""
    done = lab()
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["experiment", *laboratory.EXPERIMENTS, "report"]
    assert laboratory.EXPERIMENTS["theory"].question in done.stdout


def test_a_wrong_name_is_wrong_usage() -> None:
    """It is named, and so are the right ones."""
    done = lab("theorie")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("etp: NAME is 'theorie': expected one of theory, ")


@pytest.mark.parametrize("wrong", [("--scale", "huge"), ("--seed", "-1"), ("--jobs", "0")])
def test_wrong_options_are_wrong_usage(wrong: tuple[str, str]) -> None:
    """Before anything is run."""
    done = lab("theory", *wrong)
    assert done.exit_code == 2
    assert wrong[0] in done.stderr


def test_theory_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real one by two processes, with fewer draws yet: its results, its page and its figures are there."""
    monkeypatch.setitem(play.SIZES, "quick", play.SIZES["quick"]._replace(mean=25, grid=1_200, cores=1))
    monkeypatch.setattr(play, "BIDDERS", (2, 3))
    done = lab("theory", "--scale", "quick", "--seed", "1", "--jobs", "2", "--out", tmp_path)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert done.stdout.count("ok     theory: planted: ") == len(PLANTED)
    made, table = results.read(tmp_path / "theory" / "quick" / "results.parquet")
    assert made.command == "etp lab theory --scale quick --seed 1"
    first = [row for task in sorted(play.tasks("quick", 1))[:5] for row in play.run(*task.arguments)]
    assert table.slice(0, len(first)).to_pylist() == first  # as this process makes them
    page = (tmp_path / "theory" / "quick" / "page.md").read_text()
    shown = laboratory.EXPERIMENTS["theory"]
    assert page.count(f"`{made.command}`") == 1 + len(shown.figures) + len(shown.tables)
    assert made.took in page
    assert made.processes == 2
    assert f"theory: took {made.took}\n" in done.stdout


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("deviation", PLANTED)
def test_the_report_shows_nothing_where_a_mechanism_deviates(
    deviation: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One game is played wrongly: the real experiment says which draws, the report says nothing else, the status is 1."""
    wrong = PLANTED[deviation]
    monkeypatch.setattr(play, "GAMES", {**play.GAMES, wrong.name: wrong})
    sizes = play.Sizes(mean=60, grid=10, grid_bidders=(2,), cores=0, planted=10, sampled=1, at_once=60)
    monkeypatch.setitem(play.SIZES, "quick", sizes)
    monkeypatch.setattr(play, "BIDDERS", (4, 5))
    monkeypatch.setattr(play, "SEEDS", 1)
    # Through the cores nothing is played here: the deviation is of the mechanism alone.
    everything = play.tasks
    theory = laboratory.EXPERIMENTS["theory"]
    only = Experiment(
        **{**vars(theory), "tasks": lambda *asked: [task for task in everything(*asked) if "cores" not in task.key]}
    )
    monkeypatch.setattr(laboratory, "EXPERIMENTS", {"theory": only, "other": made_up("other", holds=True)})
    done = lab("report", "--results", tmp_path / "results", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert f"FAILED theory: {wrong.name}: winner and price of every draw" in done.stdout
    text = (tmp_path / "out" / "evidence.md").read_text()
    assert "Nothing else is shown." in text
    assert f"**{wrong.name}: winner and price of every draw**" in text
    assert "![" not in text
    assert not (tmp_path / "results" / "other").exists()


@pytest.mark.usefixtures("threads", "two")
def test_the_report_runs_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And takes what is there; with --fresh it makes all of it anew."""
    where = ("--results", tmp_path / "results", "--out", tmp_path / "out")
    assert lab("theory", "--seed", "5", "--out", tmp_path / "results").exit_code == 0
    done = lab("report", "--seed", "5", *where)
    assert done.exit_code == 1  # `other` fails
    assert "ok     theory: a statement: seed 5" in done.stdout
    assert "FAILED other: a statement: seed 5" in done.stdout
    assert [line.split(":")[0] for line in done.stdout.splitlines() if ": took " in line] == ["other"]
    assert "theory: the results that were there, of " in done.stdout
    assert "of other code than this" not in done.stdout
    monkeypatch.setattr(results, "code_version", lambda: "v2")
    later = lab("report", "--seed", "5", *where)
    assert later.stdout.count("of other code than this (v2): --fresh makes them anew") == 2
    fresh = lab("report", "--seed", "5", "--fresh", *where)
    assert [line.split(":")[0] for line in fresh.stdout.splitlines() if ": took " in line] == ["theory", "other"]
    assert "## Other" in (tmp_path / "out" / "evidence.md").read_text()


@pytest.mark.usefixtures("threads", "two")
def test_results_that_other_code_made_may_have_to_be_made_anew(tmp_path: Path) -> None:
    """The columns are others: that is said, and what helps."""
    made = Made("theory", "quick", 5, "v0")
    path = results.write(tmp_path, made, runner.table_of([{"another": 1}]))
    done = lab("report", "--seed", "5", "--results", tmp_path, "--out", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (1, "")
    said = " ".join(done.stderr.split())
    assert f"etp: {path}, of v0, cannot be judged (KeyError" in said
    assert said.endswith("--fresh makes it anew")


def test_what_cannot_be_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line on stderr, status 1."""
    monkeypatch.setattr(runner, "find_spec", lambda _: None)
    done = lab("theory", "--dask", "tcp://127.0.0.1:1", "--out", tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("etp: --dask tcp://127.0.0.1:1 needs Dask")
