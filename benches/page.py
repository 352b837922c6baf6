"""The tables of docs/performance.md, from the newest whole run: `python -m benches --write-docs`."""

import json
from pathlib import Path
from typing import Any, Final

from benches.plan import RESULTS, ROOT
from benches.report import shown

PAGE: Final = ROOT / "docs" / "performance.md"
BEGIN: Final = "<!-- results: begin -->"
END: Final = "<!-- results: end -->"
MET: Final = {True: "yes", False: "**no**", None: ""}


class NoResultsError(Exception):
    """There is no whole run to show."""

    def __init__(self) -> None:
        super().__init__("no whole run in runs/bench: `make bench` first")


def newest() -> dict[str, Any]:
    """The results of the newest whole run. Raises NoResultsError."""
    for path in sorted(RESULTS.glob("*.json"), reverse=True):
        results: dict[str, Any] = json.loads(path.read_text())
        if results["whole"]:
            return results
    raise NoResultsError


def _machine(results: dict[str, Any]) -> str:
    machine = results["machine"]
    parts = (f"{machine['cpu']}, {machine['cores']} cores", f"Python {machine['python']}", machine["loop"])
    changed = " with changes" if machine["changed_files"] else ""
    return f"{', '.join(parts)}; commit `{str(machine['commit'])[:12]}`{changed}; {results['time']}."


def _row(figure: dict[str, Any]) -> str:
    bounds = (("≤", figure.get("most")), ("≥", figure.get("least")))
    limit = " ".join(f"{sign} {shown(bound)}" for sign, bound in bounds if bound is not None)
    value = f"{shown(figure['value'])} {figure['unit']}".strip()
    return f"| {figure['name']} | {value} | {limit} | {MET[figure.get('met')]} |"


def tables(results: dict[str, Any]) -> str:
    """Markdown: the machine, then a table a bench."""
    parts = [_machine(results)]
    for name, bench in results["benches"].items():
        rows = "\n".join(_row(figure) for figure in bench["figures"])
        parts.append(
            f"### {name}\n\n{bench['load']}.\n\n| figure | value | limit | met |\n| --- | ---: | ---: | --- |\n{rows}"
        )
    return "\n\n".join(parts)


def filled(text: str, results: dict[str, Any]) -> str:
    """The page with other results between its markers. Raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{tables(results)}\n\n{END}{after}"


def write(results: dict[str, Any], path: Path = PAGE) -> None:
    """Refresh the page."""
    path.write_text(filled(path.read_text(), results))
