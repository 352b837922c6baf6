"""docs/soak.md: what the newest whole soak brought, with its command."""

import json
from pathlib import Path
from typing import Any, Final

from benches.plan import ROOT
from benches.report import Figure, shown
from benches.soak.verdict import WHOLE_S, Loss

FILE: Final = "soak.json"
PAGE: Final = ROOT / "docs" / "soak.md"
BEGIN: Final = "<!-- the table below is written by `python -m benches.soak --write-docs` -->"


class PageError(Exception):
    """There is nothing to write."""


def newest(results: Path) -> dict[str, Any]:
    """Of the soaks that were long enough. Raises PageError."""
    for path in sorted(results.glob(f"*/{FILE}"), reverse=True):
        found: dict[str, Any] = json.loads(path.read_text())
        if found["seconds"] >= WHOLE_S:
            return found
    raise PageError(f"no soak of {WHOLE_S / 60:g} minutes or more is in {results.name}/; run `make soak` first")


def write(found: dict[str, Any]) -> None:
    """Replace what stands below the mark."""
    head = PAGE.read_text().split(BEGIN)[0]
    PAGE.write_text(f"{head}{BEGIN}\n\n{drawn(found)}")


def drawn(found: dict[str, Any]) -> str:
    """Two tables: the figures, and the losses."""
    machine, soak = found["machine"], found["soak"]
    where = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, commit {machine['commit']}"
    lines = [
        f"{found['time'][:10]}, {soak['load']}; seed {found['seed']}; {where}.",
        "",
        "| figure | measured | limit |",
        "| --- | --- | --- |",
    ]
    for given in soak["figures"]:
        figure = Figure(given["name"], given["value"], given["unit"], given.get("most"), given.get("least"))
        lines.append(f"| {figure.name} | {shown(figure.value)} {figure.unit} | {figure.limit} |")
    lines += ["", "| message | sent | received | lost | late |", "| --- | --- | --- | --- | --- |"]
    for given in found["losses"]:
        loss = Loss(**given)
        lines.append(f"| {loss.kind} | {loss.sent:,} | {loss.received:,} | {loss.percent:.3f} % | {loss.late:,} |")
    return "\n".join([*lines, ""])
