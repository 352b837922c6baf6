"""The report: what is shown, and that nothing is shown where theory fails."""

import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown.extensions.toc import slugify
from matplotlib.figure import Figure as Canvas
from pyarrow import Table

from lab import caveats, pages
from lab.experiment import Check, Experiment, Figure, Made, TableOf
from lab.html import anchor, rendered
from lab.io.figures import svg
from lab.io.report import write_page, write_report
from lab.io.runner import table_of
from lab.pages import Result, result_of

GOOD, BAD = Check("it adds up", passed=True, said="2 + 2 = 4"), Check("it does not", passed=False, said="2 + 2 = 5")
COMMAND = "etp lab report --scale quick --seed 1"


def draw(table: Table, canvas: Canvas) -> None:
    """A line."""
    axes = canvas.add_subplot(xlabel="bidders", ylabel="price, µ/kWh")
    axes.plot(table["n"].to_pylist(), table["n"].to_pylist())


LINE = Figure("line", "A line", draw, "It rises.")
NUMBERS = TableOf(
    "numbers", "Numbers", ("n", "square"), lambda table: [(str(n), f"{n * n}|") for n in table["n"].to_pylist()], "All."
)


def result(name: str, checks: Sequence[Check] = (GOOD,), version: str = "v1") -> Result:
    """Results of an experiment."""
    experiment = Experiment(
        name,
        f"About {name}",
        "Is it so?",
        lambda *_: [],
        list,
        lambda _: list(checks),
        (LINE,),
        (NUMBERS,),
        "We *looked*.",
        lambda _: "So it is.",
    )
    return result_of(experiment, Made(name, "quick", 1, version), table_of([{"n": 1}, {"n": 2}]))


def report(*results: Result) -> str:
    """The report on the foundation `base`."""
    return pages.report(results, foundation="base", command=COMMAND, figures="evidence")


def test_every_experiment_is_shown_in_its_order() -> None:
    """With what it says, its checks and their numbers, its tables and its method."""
    text = report(result("base"), result("other"))
    assert text.index("## About base") < text.index("## About other")
    for part in (
        "*Is it so?*",
        "So it is.",
        "| it adds up | yes | 2 + 2 = 4 |",
        "We *looked*.",
        "| 2 | 4\\| |",
        f"`{COMMAND}`",
    ):
        assert text.count(part) >= 1
    assert "| [About other](#about-other) | *Is it so?* So it is. | 1 of 1 |" in text


def test_the_report_opens_with_answers_and_their_limits() -> None:
    """First what the numbers say, one sentence each, then what they do not say, then how it was found."""
    text = report(result("base"))
    assert text.index("So it is.") < text.index(f"## {caveats.TITLE}") < text.index("## About base")
    assert text.count(caveats.LIMITS) == 1


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ("It earns 2.14 c/kWh [2.13, 2.15]\nmore. And so on.", "It earns 2.14 c/kWh [2.13, 2.15] more."),
        ("One only.", "One only."),
        ("Two.\n\n*Three*.", "Two."),
    ],
)
def test_an_answer_is_the_first_sentence(said: str, first: str) -> None:
    """Numbers do not end it, and lines are joined."""
    found = result("base")
    assert pages.answer(replace(found, experiment=replace(found.experiment, said=lambda _: said))) == first


@pytest.mark.parametrize(("seeds", "told"), [({1}, "another seed is fairer"), ({2}, "had no part in it")])
def test_the_seed_is_judged(seeds: set[int], told: str) -> None:
    """Constants were chosen on seed 1: a report of it must say that this is in their favour."""
    assert told in caveats.caveats(seeds)


def test_a_quick_look_is_called_that() -> None:
    """Where a page or a report is of few draws; a full one says nothing of it."""
    quick = result("base")
    full = replace(quick, made=replace(quick.made, scale="full", seconds=612.0, processes=2))
    assert pages.QUICK in report(quick)
    assert pages.QUICK in pages.page(quick)
    assert pages.QUICK not in report(full) + pages.page(full)
    assert "It took 612 s on 2 processes." in report(full)
    assert "It took" not in report(quick)


def test_under_each_figure_is_the_command_that_makes_it() -> None:
    """And its caption; the same for tables."""
    text = report(result("base"), result("other"))
    for name in ("base", "other"):
        shown = f"![A line](evidence/{name}-line.svg)\n\nIt rises.\n\n`etp lab {name} --scale quick --seed 1`"
        assert shown in text
        assert f"| 2 | 4\\| |\n\nAll.\n\n`etp lab {name} --scale quick --seed 1`" in text


def test_where_theory_fails_nothing_else_is_shown() -> None:
    """Only the failure, with its numbers."""
    text = report(result("base", [GOOD, BAD]), result("other"))
    assert "## About base: it fails" in text
    assert "- **it does not**: 2 + 2 = 5" in text
    assert "`etp lab base --scale quick --seed 1` (code `v1`)" in text
    assert "other" not in text
    assert "So it is." not in text
    assert "![" not in text
    assert pages.shown([result("base", [BAD]), result("other")], "base") == ()


def test_without_theory_nothing_is_shown() -> None:
    """It is not enough that it did not fail."""
    text = report(result("other"))
    assert "no results of `base`" in text
    assert "About other" not in text


def test_another_check_that_fails_is_shown_as_such() -> None:
    """It is no reason to hide the rest."""
    text = report(result("base"), result("other", [GOOD, BAD]))
    assert "| it does not | **no** | 2 + 2 = 5 |" in text
    assert "| **1 of 2** |" in text
    assert "So it is." in text


def test_results_of_different_code_are_called_that() -> None:
    """The reader should know."""
    assert "These differ" in report(result("base"), result("other", version="v2"))
    assert "These differ" not in report(result("base"), result("other"))


def test_a_row_has_a_cell_for_each_column() -> None:
    """A table that shifts its numbers is worse than none."""
    with pytest.raises(ValueError, match=r"a row has 1 cells \(\('a',\)\); expected 2: x, y"):
        pages.grid(("x", "y"), [("a",)])


# -- files


class Page(HTMLParser):
    """What is in an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.tags.append((tag, dict(attrs)))


def test_the_html_needs_no_other_file(tmp_path: Path) -> None:
    """Its images are inside, and nothing is fetched from anywhere."""
    written = write_report([result("base"), result("other")], tmp_path, foundation="base", command=COMMAND)
    assert written.html == tmp_path / "evidence" / "report.html"
    page = Page(written.html.read_text())
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 2
    head, _, data = sources[0].partition(",")
    assert head == "data:image/svg+xml;base64"
    assert b64decode(data) == (tmp_path / "evidence" / "base-line.svg").read_bytes()
    links = [attributes.get("href") for tag, attributes in page.tags if tag == "a"]
    ids = [attributes["id"] for tag, attributes in page.tags if "id" in attributes]
    assert (
        sorted(links)
        == sorted(f"#{name}" for name in ids)
        == ["#about-base", "#about-other", f"#{anchor(caveats.TITLE)}"]
    )
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]


def test_the_markdown_finds_its_figures(tmp_path: Path) -> None:
    """Beside it."""
    written = write_report([result("base")], tmp_path, foundation="base", command=COMMAND)
    text = written.markdown.read_text()
    images = re.findall(r"!\[.*\]\((.*)\)", text)
    assert images == ["evidence/base-line.svg"]
    assert (tmp_path / images[0]).read_bytes().startswith(b"<?xml")


def test_a_failure_draws_nothing(tmp_path: Path) -> None:
    """No figure of anything is left to be shown elsewhere, not even of a report that was there before."""
    write_report([result("base"), result("other")], tmp_path, foundation="base", command=COMMAND)
    write_report([result("base", [BAD]), result("other")], tmp_path, foundation="base", command=COMMAND)
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["evidence.md", "report.html"]


def test_one_experiment_has_a_page_of_its_own(tmp_path: Path) -> None:
    """In the directory of its results."""
    written = write_page(result("base"), tmp_path)
    assert "![A line](base-line.svg)" in written.markdown.read_text()
    assert "data:image/svg+xml" in written.html.read_text()
    assert (tmp_path / "base-line.svg").exists()


def test_the_same_results_make_the_same_figure() -> None:
    """To the byte, with the names of its axes."""
    found = result("base")
    first = svg(LINE, found.table)
    assert first == svg(LINE, found.table)
    assert first != svg(replace(LINE, title="Another"), found.table)


def test_markup_in_results_is_text() -> None:
    """A name that a peer chose is no markup."""
    assert "<script>" not in rendered("a <script>alert(1)</script>", title="<b>", images={})
    assert "<title>&lt;b&gt;</title>" in rendered("", title="<b>", images={})


@pytest.mark.parametrize(
    "title", ["Theory first", "Two pay more: split, or added?", "From 08:00 – 9:00", "naïve  dash - dash"]
)
def test_headings_are_named_as_on_the_site(title: str) -> None:
    """So that the summary's links lead somewhere in both."""
    assert anchor(title) == slugify(title, "-")
