"""docs/soak.md: what the newest whole soak brought, with its command."""

import json
from pathlib import Path
from typing import Any, Final

from benches.page import MET
from benches.plan import ROOT
from benches.report import Figure, shown
from benches.soak.verdict import DUE_AT_ANY_TIME, SENT, UNDISTURBED, WHOLE_S, Loss

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


def command(found: dict[str, Any]) -> str:
    """What plays the same blows at the same instants again."""
    return f"python -m benches.soak --minutes {found['seconds'] / 60:g} --seed {found['seed']}"


def headline(found: dict[str, Any]) -> str:
    """How many bids were answered, of all that were due first."""
    share = {figure["name"]: figure["value"] for figure in found["soak"]["figures"]}
    return (
        f"**{share[DUE_AT_ANY_TIME]} % of all bids that were due at any time were answered within the budget**; of those that there was a"
        f" session to send over {share[SENT]} %, of those that were due while their battery ran and its network was whole"
        f" {share[UNDISTURBED]} %."
    )


def drawn(found: dict[str, Any]) -> str:
    """The headline, and two tables: the figures, and the losses."""
    machine, soak = found["machine"], found["soak"]
    where = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, commit {machine['commit']}"
    lines = [
        headline(found),
        "",
        f"`{command(found)}`, {found['time'][:10]}: {soak['load']}; {where}.",
        "",
        "| figure | measured | limit | met |",
        "| --- | --- | --- | --- |",
    ]
    for given in soak["figures"]:
        figure = Figure(given["name"], given["value"], given["unit"], given.get("most"), given.get("least"))
        lines.append(f"| {figure.name} | {shown(figure.value)} {figure.unit} | {figure.limit} | {MET[figure.met]} |")
    lines += ["", "| message | sent | received | lost | late |", "| --- | --- | --- | --- | --- |"]
    for given in found["losses"]:
        loss = Loss(**given)
        lines.append(f"| {loss.kind} | {loss.sent:,} | {loss.received:,} | {loss.percent:.3f} % | {loss.late:,} |")
    return "\n".join([*lines, ""])
