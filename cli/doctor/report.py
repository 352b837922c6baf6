"""Verdicts as a table for people, or as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.doctor.verdicts import State, Verdict, worst_of
from cli.monitor.words import clean

STYLES = {State.OK: "green", State.WARNING: "yellow", State.BAD: "bold red", State.SKIPPED: "dim"}


def as_json(checks: Sequence[Verdict]) -> str:
    """`{"ok": no check is bad, "checks": [{"check", "state", "found", "advice"}]}`"""
    return json.dumps({"ok": worst_of(checks) == 0, "checks": [asdict(one) for one in checks]})


def show(checks: Sequence[Verdict], console: Console | None = None) -> None:
    """Print them; what to change stands under what was found."""
    out = console or Console()
    table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(min_width=10, max_width=18)
    table.add_column(ratio=1, overflow="fold")
    for one in checks:
        said = Text(clean(one.found))
        if one.advice:
            said.append(f"\n-> {clean(one.advice)}", style="" if one.state is State.OK else "bold")
        table.add_row(Text(one.state.value, style=STYLES[one.state]), Text(clean(one.check)), said)
    out.print(table)
    out.print(Text(summary(checks), style="bold"), soft_wrap=True)


def summary(checks: Sequence[Verdict]) -> str:
    """How many of each."""
    counts = {state: sum(one.state is state for one in checks) for state in State}
    said = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
    return f"{said}: {'not fit to trade yet' if worst_of(checks) else 'fit to trade'}"
