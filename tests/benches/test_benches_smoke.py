"""Each bench runs, so that none can rot; their limits are judged by `make bench` alone."""

import json
from pathlib import Path

import pytest

from benches import __main__ as command
from benches import plan
from benches.suite import BENCHES


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals and results where they are cleared away."""
    monkeypatch.setattr(plan, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_measures(name: str, results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It ends, every figure is a number, no bid is lost or wrongly answered, and file and stdout say the same."""
    status = command.main(["--quick", name])
    out, _ = capfd.readouterr()
    found = json.loads(out)
    bench = found["benches"][name]
    assert status == (0 if bench["ok"] else 1)
    figures = {figure["name"]: figure["value"] for figure in bench["figures"]}
    assert all(value >= 0 for value in figures.values()), figures  # NaN is not
    assert not figures.get("failed"), bench["load"]
    assert not figures.get("unanswered bids")
    assert not figures.get("wrong answers"), bench["notes"]
    assert [json.loads(path.read_text()) for path in results.glob("*.json")] == [found]


def test_nothing_of_the_machine_is_told_but_its_kind(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Processor, cores, Python, loop and commit; no host's name and no path."""
    command.main(["--quick", "codec"])
    found = json.loads(capfd.readouterr().out)
    assert {"cpu", "cores", "python", "loop", "commit"} <= set(found["machine"])
    assert "/" not in json.dumps(found["machine"])
    assert str(results) not in json.dumps(found)
