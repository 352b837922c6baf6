"""Figures, limits and percentiles; the command's status; the page."""

import json
import math
from pathlib import Path

import pytest

from benches import __main__ as command
from benches import page
from benches.child import ChildError
from benches.plan import Plan
from benches.report import Figure, Report, percentile, spread


def test_a_figure_is_held_to_its_limit() -> None:
    """At the limit is met, beyond it is not, NaN never is, and without a limit there is nothing to meet."""
    assert Figure("a", 5, most=5).met
    assert Figure("a", 5.1, most=5).met is False
    assert Figure("a", 5, least=5).met
    assert Figure("a", 4.9, least=5).met is False
    assert Figure("a", math.nan, most=5).met is False
    assert Figure("a", math.nan, least=5).met is False
    assert Figure("a", 5).met is None


def test_a_report_is_met_when_all_its_limits_are() -> None:
    """One missed limit is enough; figures without a limit do not count."""
    assert Report("", [Figure("a", 1, most=1), Figure("b", 9)]).ok
    assert not Report("", [Figure("a", 1, most=1), Figure("b", 9, most=1)]).ok


def test_percentiles_by_nearest_rank() -> None:
    """The value that so many do not exceed; the worst is the worst of all; without any there is none."""
    ordered = [float(value) for value in range(1, 101)]
    assert [percentile(ordered, percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7.0], 99) == 7
    assert math.isnan(percentile([], 50))
    assert [figure.value for figure in spread("x", [3.0, 1.0, 2.0])] == [2, 3, 3, 3]
    assert not Report("", spread("x", [], most=500)).ok


def test_a_missed_limit_ends_with_status_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Met: 0. Missed, or a bench that fails: 1."""
    monkeypatch.setattr(command, "RESULTS", tmp_path)

    def fails(_: Plan) -> Report:
        raise ChildError("no answer")

    benches = {
        "met": lambda _: Report("", [Figure("a", 1, most=1)]),
        "missed": lambda _: Report("", [Figure("a", 2, most=1)]),
        "fails": fails,
    }
    monkeypatch.setattr(command, "BENCHES", benches)
    assert [command.main([name]) for name in benches] == [0, 1, 1]
    assert command.main([]) == 1


def test_an_unknown_name_is_wrong_usage() -> None:
    """Status 2, as any wrong argument."""
    with pytest.raises(SystemExit) as end:
        command.main(["nonsense"])
    assert end.value.code == 2


def test_the_page_shows_the_newest_whole_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Partial and shortened runs are passed over; what is between the markers is replaced, the rest of the page stays."""
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    with pytest.raises(page.NoResultsError):
        page.newest()
    machine = {"cpu": "Z80", "cores": 1, "python": "3.11", "loop": "uvloop", "commit": "0" * 40, "changed_files": 0}
    bench = Report("one bid", [Figure("p99", 3.25, "ms", most=10), Figure("max", 600, "ms", most=500)]).as_dict()
    results = {"time": "T", "whole": True, "machine": machine, "benches": {"english": bench}}
    (tmp_path / "1.json").write_text(json.dumps(results))
    (tmp_path / "2.json").write_text(json.dumps(results | {"whole": False, "time": "later"}))
    text = page.filled(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", page.newest())
    assert text.startswith("before\n")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old" not in text
    assert "| p99 | 3.25 ms | ≤ 10 | yes |" in text
    assert "| max | 600 ms | ≤ 500 | **no** |" in text
    assert page.filled(text, results) == text


def test_the_docs_have_the_markers() -> None:
    """`--write-docs` finds its place."""
    text = page.PAGE.read_text()
    assert page.BEGIN in text.partition(page.END)[0]
