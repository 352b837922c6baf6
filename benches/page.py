"""The tables of docs/performance.md: `python -m benches --write-docs`.

They are of the newest whole run, which must have every bench of the suite: text beside the tables of another suite would be about
another program. What is missed comes first. Then each bench that was measured for ten minutes or longer, with its command.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benches.plan import RESULTS, ROOT
from benches.report import shown
from benches.suite import BENCHES

PAGE: Final = ROOT / "docs" / "performance.md"
BEGIN: Final = "<!-- results: begin -->"
END: Final = "<!-- results: end -->"
MET: Final = {True: "yes", False: "**no**", None: ""}
LONG_S: Final = 600.0
"""A load phase of at least this length is shown beside the whole run."""

Results = dict[str, Any]


class PageError(Exception):
    """There is nothing to show."""


class NoResultsError(PageError):
    """There is no whole run."""

    def __init__(self) -> None:
        super().__init__("no whole run in runs/bench: `make bench` first")


class OtherSuiteError(PageError):
    """The newest whole run is of a suite that had other benches."""

    def __init__(self, time: str, lacking: Sequence[str], unknown: Sequence[str]) -> None:
        parts = (("lacks", lacking), ("has, what the suite no longer has,", unknown))
        what = " and ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)
        super().__init__(f"the newest whole run ({time}) {what}: `make bench` first")


def runs() -> list[Results]:
    """Everything that was kept, the newest first."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"), reverse=True)]


def newest(kept: Sequence[Results]) -> Results:
    """The newest whole run. Raises NoResultsError, OtherSuiteError."""
    whole = next((results for results in kept if results.get("whole")), None)
    if whole is None:
        raise NoResultsError
    found = whole["benches"]
    lacking, unknown = [name for name in BENCHES if name not in found], [name for name in found if name not in BENCHES]
    if lacking or unknown:
        raise OtherSuiteError(whole["time"], lacking, unknown)
    return whole


def longest(kept: Sequence[Results]) -> list[tuple[str, Results]]:
    """Of each bench the newest run whose load phase was at least LONG_S, in the suite's order."""
    long = [results for results in kept if (results.get("seconds") or 0.0) >= LONG_S]
    of_each = ((name, next((results for results in long if name in results["benches"]), None)) for name in BENCHES)
    return [(name, results) for name, results in of_each if results is not None]


def _machine(results: Results) -> str:
    machine = results["machine"]
    parts = (f"{machine['cpu']}, {machine['cores']} cores", f"Python {machine['python']}", machine["loop"])
    changed = " with changes" if machine["changed_files"] else ""
    load = f"load average before it {machine['load_average']}"
    return f"{', '.join(parts)}; commit `{str(machine['commit'])[:12]}`{changed}; {results['time']}, {load}."


def _limit(figure: dict[str, Any]) -> str:
    bounds = (("≤", figure.get("most")), ("≥", figure.get("least")))
    return " ".join(f"{sign} {shown(bound)}" for sign, bound in bounds if bound is not None)


def _value(figure: dict[str, Any]) -> str:
    return f"{shown(figure['value'])} {figure['unit']}".strip()


def _table(bench: dict[str, Any]) -> str:
    lines = [
        f"| {figure['name']} | {_value(figure)} | {_limit(figure)} | {MET[figure.get('met')]} |"
        for figure in bench["figures"]
    ]
    head = ("| figure | value | limit | met |", "| --- | ---: | ---: | --- |")
    return f"{bench['load']}.\n\n" + "\n".join((*head, *lines))


def _missed(results: Results) -> str:
    """What misses its limit, bench by bench."""
    lines = [
        f"* {name}, {figure['name']}: {_value(figure)} ({_limit(figure)})"
        for name, bench in results["benches"].items()
        for figure in bench["figures"]
        if figure.get("met") is False
    ]
    return "Missed in this run:\n\n" + "\n".join(lines) if lines else "Every limit is met in this run."


def _took(results: Results) -> str:
    minutes = sum(bench["took_s"] for bench in results["benches"].values()) / 60
    return f"`{results['command']}`, {minutes:.0f} minutes. {_machine(results)}"


def tables(results: Results) -> Iterator[str]:
    """Markdown: the run, what it missed, then a table a bench."""
    yield _took(results)
    yield _missed(results)
    for name, bench in results["benches"].items():
        yield f"### {name}\n\n{_table(bench)}"


def long_tables(found: Sequence[tuple[str, Results]]) -> Iterator[str]:
    """Markdown: each with its command and machine."""
    for name, results in found:
        minutes = f"{results['seconds'] / 60:g} minutes"
        yield f"### {name}, {minutes}\n\n`{results['command']}`. {_machine(results)}\n\n{_table(results['benches'][name])}"


def drawn(kept: Sequence[Results]) -> str:
    """What stands between the markers. Raises PageError."""
    return "\n\n".join((*tables(newest(kept)), *long_tables(longest(kept))))


def filled(text: str, within: str) -> str:
    """The page with this between its markers. Raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{within}\n\n{END}{after}"


def write(within: str, path: Path = PAGE) -> None:
    """Refresh the page."""
    path.write_text(filled(path.read_text(), within))
