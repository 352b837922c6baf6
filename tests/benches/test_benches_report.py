"""Figures, limits and percentiles; the command's status; the page."""

import math
from pathlib import Path
from typing import Any

import pytest

from benches import __main__ as command
from benches import page
from benches.child import ChildError
from benches.plan import Plan
from benches.report import Figure, Report, percentile, spread
from benches.suite import BENCHES


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


MACHINE = {
    "cpu": "Z80",
    "cores": 1,
    "python": "3.11",
    "loop": "uvloop",
    "commit": "0" * 40,
    "changed_files": 0,
    "load_average": 0.1,
}


def run_of(*names: str, command: str = "make bench", **other: object) -> dict[str, Any]:
    """Results of a whole run with these benches, half of whose figures miss their limits."""
    figures = [Figure("p99", 3.25, "ms", most=10), Figure("max", 600, "ms", most=500)]
    bench = Report("one bid", figures).as_dict() | {"took_s": 90.0}
    whole = {"time": "T", "whole": True, "command": command, "seconds": None, "machine": MACHINE}
    return whole | {"benches": dict.fromkeys(names, bench)} | other


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two benches."""
    monkeypatch.setattr(page, "BENCHES", {"english": None, "signed": None})


@pytest.mark.usefixtures("suite")
def test_the_page_shows_the_newest_whole_run() -> None:
    """Partial and shortened runs are passed over; what is between the markers is replaced, the rest of the page stays."""
    with pytest.raises(page.NoResultsError):
        page.newest([run_of("english", "signed", whole=False)])
    kept = [run_of("english", whole=False, time="later"), run_of("english", "signed")]
    text = page.filled(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", page.drawn(kept))
    assert text.startswith("before\n")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old" not in text
    assert "| p99 | 3.25 ms | ≤ 10 | yes |" in text
    assert "| max | 600 ms | ≤ 500 | **no** |" in text
    assert "* signed, max: 600 ms (≤ 500)" in text.partition("### english")[0]
    assert "`make bench`, 3 minutes." in text
    assert page.filled(text, page.drawn(kept)) == text


@pytest.mark.usefixtures("suite")
def test_the_page_refuses_a_run_of_another_suite() -> None:
    """A bench that is new, or gone, or renamed since: an older whole run does not help, since it is of an older program."""
    with pytest.raises(page.OtherSuiteError, match="lacks signed"):
        page.newest([run_of("english"), run_of("english", "signed")])
    with pytest.raises(page.OtherSuiteError, match="no longer has, dutch"):
        page.newest([run_of("english", "signed", "dutch")])


@pytest.mark.usefixtures("suite")
def test_ten_minutes_have_a_table_of_their_own() -> None:
    """The newest of each bench that was so long, with its command, below the whole run."""
    command = "python -m benches signed --seconds 600"
    long = run_of("signed", command=command, whole=False, seconds=600.0)
    short = run_of("signed", command="python -m benches signed --seconds 60", whole=False, seconds=60.0)
    text = page.drawn([short, long | {"time": "second"}, long | {"time": "first"}, run_of("english", "signed")])
    assert text.index("### signed\n") < text.index(
        "### signed, 10 minutes\n\n`python -m benches signed --seconds 600`."
    )
    assert "second, load" in text
    assert "first, load" not in text
    assert "--seconds 60`" not in text


def test_results_say_what_measures_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole suite is the make target."""
    monkeypatch.setattr(command, "BENCHES", {"a": None, "b": None})
    assert command.command(["a", "b"], Plan()) == "make bench"
    assert command.command(["a"], Plan(seconds=600.0)) == "python -m benches a --seconds 600"
    assert command.command(["a", "b"], Plan(quick=True)) == "python -m benches a b --quick"


def test_nothing_to_write_is_said_and_not_thrown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Status 1, and the page as it was."""
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    before = page.PAGE.read_text()
    assert command.main(["--write-docs"]) == 1
    assert page.PAGE.read_text() == before


def test_the_docs_list_every_bench() -> None:
    """In the suite's order, and none that there is not."""
    head = page.PAGE.read_text().partition(page.BEGIN)[0]
    listed = [line.split("|")[1].strip() for line in head.splitlines() if line.startswith("| ")]
    assert listed == ["bench", "---", *BENCHES]


def test_the_docs_have_the_markers() -> None:
    """`--write-docs` finds its place."""
    text = page.PAGE.read_text()
    assert page.BEGIN in text.partition(page.END)[0]
