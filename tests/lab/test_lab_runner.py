"""The same table whoever does the work; what cannot be run or read says why."""

import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lab.experiment import Experiment, Made, Row, Scale, Task
from lab.io import results, runner
from lab.io.runner import LabError

MADE = Made("tiny", "quick", 3, "v1.2", 12.345, 2)


def tasks(scale: Scale, seed: int) -> list[Task]:
    """Three, in another order than that of their keys."""
    del scale
    return [Task(key, (seed, number)) for key, number in (("c", 2), ("a", 0), ("b", 1))]


def run(seed: int, number: int) -> list[Row]:
    """Two rows."""
    return [{"seed": seed, "number": number, "part": part, "share": number / 4} for part in ("x", "y")]


def experiment(run: Any = run, tasks: Any = tasks) -> Experiment:
    """A small one."""
    return Experiment("tiny", "Tiny", "Is it?", tasks, run, lambda _: [], (), (), "Counted.", lambda _: "It is.")


class Backwards(Executor):
    """Does the last task first."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, call: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        """Do it once three are there."""
        future: Future[Any] = Future()
        self.waiting.append((future, call, arguments))
        if len(self.waiting) == 3:
            for waiting, called, given in reversed(self.waiting):
                waiting.set_result(called(*given))
        return future


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_rows_are_in_the_order_of_the_keys() -> None:
    """Whichever task was done first."""
    table = runner.run(experiment(), "quick", 3, Backwards(), quiet)
    assert table["number"].to_pylist() == [0, 0, 1, 1, 2, 2]
    assert table["part"].to_pylist() == ["x", "y"] * 3
    assert table.column_names == ["seed", "number", "part", "share"]
    with ThreadPoolExecutor(2) as pool:
        assert runner.run(experiment(), "quick", 3, pool, quiet).equals(table)


def test_progress_is_told() -> None:
    """From none to all."""
    told: list[tuple[int, int]] = []
    runner.run(experiment(), "quick", 3, Backwards(), lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_task_that_fails_is_named() -> None:
    """And the others are not waited for."""

    def broken(seed: int, _: int) -> list[Row]:
        raise ZeroDivisionError(f"by {seed - 3}")

    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(LabError, match=r"tiny: task c with \(3, 2\): ZeroDivisionError\('by 0'\)"),
    ):
        runner.run(experiment(broken, lambda *_: [Task("c", (3, 2))]), "quick", 3, pool, quiet)


def test_keys_are_unique() -> None:
    """Otherwise the rows of one task would take the place of another's."""
    same = experiment(tasks=lambda *_: [Task("a", (1, 1)), Task("a", (1, 2))])
    with pytest.raises(LabError, match="the same key 'a'"):
        runner.run(same, "quick", 1, Backwards(), quiet)


def test_all_rows_are_alike() -> None:
    """The same columns of the same types: 1 and 1.0 are two."""
    with pytest.raises(LabError, match="a row has n: float; expected n: int"):
        runner.table_of([{"n": 1}, {"n": 1.0}])
    with pytest.raises(LabError, match="a row has m: int; expected n: int"):
        runner.table_of([{"n": 1}, {"m": 1}])
    with pytest.raises(LabError, match="no rows"):
        runner.table_of([])


# -- Dask, where it is missing; a cluster is in test_lab_cluster.py


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no dependency: who has a cluster has it."""
    monkeypatch.setattr(runner, "find_spec", lambda _: None)
    said = rf"^--dask tcp://x:1 needs Dask, which is not installed here: {runner.INSTALL}$"
    with pytest.raises(LabError, match=said), runner.executor(jobs=1, dask="tcp://x:1"):
        pass


def test_a_dask_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that was not installed in the way that is told; `None` is how Python is kept from importing a module."""
    monkeypatch.setattr(runner, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = rf"cannot be imported here \(ModuleNotFoundError\(.*distributed.*\)\): {runner.INSTALL}$"
    with pytest.raises(LabError, match=said), runner.executor(jobs=1, dask="tcp://x:1"):
        pass


# -- results on disk


def table() -> pa.Table:
    """Some results."""
    return runner.table_of([{"n": 1, "x": 0.5, "name": "a", "good": True}])


def test_results_say_what_made_them(tmp_path: Path) -> None:
    """Seed, scale, version, command and what it took are in the file; the same results are the same bytes."""
    path = results.write(tmp_path, MADE, table())
    assert path == tmp_path / "tiny" / "quick" / "results.parquet"
    made, found = results.read(path)
    assert made == MADE
    assert found.to_pylist() == table().to_pylist()
    assert found.schema.metadata[b"etp.command"] == b"etp lab tiny --scale quick --seed 3"
    first = path.read_bytes()
    assert results.write(tmp_path, MADE, table()).read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["results.parquet"]


@pytest.mark.parametrize("made", [Made("tiny", "quick", 3, "v1"), Made("tiny", "quick", 3, "v1", 612.0)])
def test_what_is_not_known_is_not_told(made: Made, tmp_path: Path) -> None:
    """What it took, in files of before that was kept; how many processes, where a cluster did the work."""
    path = results.write(tmp_path, made, table())
    found, _ = results.read(path)
    assert found == made
    told = results.parquet.read_schema(path).metadata
    assert {key for key in (b"etp.seconds", b"etp.processes") if key in told} == (
        set() if made.seconds is None else {b"etp.seconds"}
    )


def test_a_time_that_is_no_number_is_named(tmp_path: Path) -> None:
    """As is a seed."""
    path = results.write(tmp_path, MADE, table())
    wrong = table().replace_schema_metadata({"etp.scale": "quick", "etp.seed": "3", "etp.seconds": "soon"})
    pa.parquet.write_table(wrong, path)
    with pytest.raises(LabError, match=r"results\.parquet: could not convert string to float: 'soon'"):
        results.read(path)


def test_only_what_was_asked_for_is_kept(tmp_path: Path) -> None:
    """The same experiment, scale and seed."""
    results.write(tmp_path, MADE, table())
    kept = results.kept(tmp_path, experiment(), "quick", 3)
    assert kept is not None
    assert kept[0] == MADE
    assert results.kept(tmp_path, experiment(), "quick", 4) is None
    assert results.kept(tmp_path, experiment(), "full", 3) is None


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    """Neither is a file of another kind, nor one that does not say what made it."""
    wrong = tmp_path / "wrong.parquet"
    wrong.write_text("n,x\n1,0.5\n")
    with pytest.raises(LabError, match=r"wrong\.parquet cannot be read as results"):
        results.read(wrong)
    pa.parquet.write_table(table(), wrong)
    with pytest.raises(LabError, match="does not say which scale and seed"):
        results.read(wrong)


def test_the_version_is_that_of_the_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As git describes it here; an installed package without git says its own."""
    assert results.code_version() not in ("", "unknown")
    monkeypatch.setattr(results, "__file__", str(tmp_path / "lab" / "io" / "results.py"))
    assert results.code_version() == results.version(results.PACKAGE)
    monkeypatch.setattr(results, "PACKAGE", "no-such-package-is-installed")
    assert results.code_version() == "unknown"
