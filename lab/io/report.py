"""Writes pages with their figures: Markdown beside SVG files, and the same in one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import pages
from lab.html import rendered
from lab.io.figures import svg
from lab.pages import Result

FIGURES = "evidence"
"""The report's directory of figures, beside its Markdown."""


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a page."""

    markdown: Path
    html: Path


def write_page(result: Result, directory: Path) -> Written:
    """One experiment's page with its figures, in the directory of its results."""
    written = Written(directory / "page.md", directory / "page.html")
    return _write(written, pages.page(result), result.experiment.title, _images([result], ""))


def write_report(results: Sequence[Result], directory: Path, *, foundation: str, command: str) -> Written:
    """DIRECTORY/evidence.md with its figures in DIRECTORY/evidence, and all of it in DIRECTORY/evidence/report.html.

    Figures that are there and not this report's go: beside a report that shows nothing they would be taken for its own.
    """
    text = pages.report(results, foundation=foundation, command=command, figures=FIGURES)
    images = _images(pages.shown(results, foundation), f"{FIGURES}/")
    for path in (directory / FIGURES).glob("*.svg"):
        if f"{FIGURES}/{path.name}" not in images:
            path.unlink()
    return _write(Written(directory / f"{FIGURES}.md", directory / FIGURES / "report.html"), text, "Evidence", images)


def _images(results: Sequence[Result], under: str) -> dict[str, bytes]:
    return {
        under + pages.figure_file(result, figure.name): svg(figure, result.table)
        for result in results
        for figure in result.experiment.figures
    }


def _write(written: Written, text: str, title: str, images: dict[str, bytes]) -> Written:
    written.html.parent.mkdir(parents=True, exist_ok=True)
    for path, drawn in images.items():
        (written.markdown.parent / path).write_bytes(drawn)
    written.markdown.write_text(text, encoding="utf-8")
    written.html.write_text(rendered(text, title=title, images=images), encoding="utf-8")
    return written
