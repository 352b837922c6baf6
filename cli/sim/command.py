"""Play one seed, or many with a progress bar; say what came of them, and of what failed the line that shows it again."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.sim.settings import COUNTED, SimSettings
from runtime.settings import SettingsError
from sim.draw import Scenario, scenario
from sim.io.campaign import Played, campaign, played
from sim.run import Outcome
from sim.shrink import only, replay_line, shrunk

FAILED = 1
SHOWN = 5
"""Violations of a seed, and failing seeds, that are shown in full."""


@dataclass(slots=True)
class Totals:
    """All seeds together."""

    cpu_s: float = 0.0
    counted: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    largest: tuple[int, int] = (0, 0)
    """Batteries and buyers of the market with the most pairs of them."""
    modes: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome, cpu_s: float) -> None:
        """One more."""
        self.counted["runs"] += 1
        self.cpu_s += cpu_s
        self.modes[outcome.mode] += 1
        self.faults.update(outcome.faults)
        self.losses.update(outcome.losses)
        self.counted["faults"] += sum(outcome.faults.values())
        self.counted["losses"] += sum(outcome.losses.values())
        self.largest = max(self.largest, (outcome.batteries, outcome.buyers), key=prod)
        for name in ("auctions", "trades", "messages", "crashes"):
            self.counted[name] += getattr(outcome, name)
        if outcome.violations:
            self.failed.append(outcome)

    def to_json(self, seconds: float) -> dict[str, object]:
        """The last line of many."""
        return {
            "runs": self.counted["runs"],
            "modes": dict(sorted(self.modes.items())),
            **{name: self.counted[name] for name in COUNTED},
            "faults_by_kind": dict(sorted(self.faults.items())),
            "losses_by_kind": dict(sorted(self.losses.items())),
            "largest": {"batteries": self.largest[0], "buyers": self.largest[1]},
            "seconds": round(seconds, 1),
            "cpu_s": round(self.cpu_s, 1),
            "failed": sorted(outcome.seed for outcome in self.failed),
        }


def command(settings: SimSettings) -> int:
    """Status 1 where anything is broken, or less was reached than was asked for."""
    required = settings.required()
    out = Console(stderr=settings.print_json, highlight=False, soft_wrap=True)
    totals, began_s = Totals(), time.monotonic()
    try:
        for outcome, cpu_s in _outcomes(settings, out):
            totals.add(outcome, cpu_s)
            if settings.print_json:
                _print(outcome.to_json())
            elif not settings.many:
                out.print(_told(outcome), markup=False)
            if outcome.violations and len(totals.failed) <= SHOWN:
                _show(settings, outcome, out)
    except KeyboardInterrupt:
        out.print("stopped")
    seconds = time.monotonic() - began_s
    if settings.many:
        _sum_up(settings, totals, seconds, out)
    short = [
        f"{name} {totals.counted[name]}, required {least}"
        for name, least in required.items()
        if totals.counted[name] < least
    ]
    for line in short:
        out.print(f"too few: {line}", markup=False)
    return FAILED if totals.failed or short else 0


def _outcomes(settings: SimSettings, out: Console) -> Iterator[Played]:
    if not settings.many:
        yield Played(played(_chosen(settings)), 0.0)
        return
    if settings.faults is not None:
        raise SettingsError("faults", settings.faults, "belongs to one seed; leave --runs and --minutes out")
    seconds = settings.minutes * 60 if settings.minutes is not None else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task("markets", total=settings.runs)
        for each in campaign(settings.seed, settings.runs, jobs=settings.jobs, mode=settings.mode, seconds=seconds):
            progress.advance(task)
            yield each


def _chosen(settings: SimSettings) -> Scenario:
    drawn = scenario(settings.seed, settings.mode)
    if settings.faults is None:
        return drawn
    kept = [] if settings.faults == "none" else [int(each) for each in settings.faults.split(",")]
    if kept and max(kept) >= len(drawn.script):
        right = f"seed {settings.seed} has faults 0 to {len(drawn.script) - 1}"
        raise SettingsError("faults", settings.faults, right)
    return only(drawn, kept)


def _told(outcome: Outcome) -> str:
    faults, losses = sum(outcome.faults.values()), sum(outcome.losses.values())
    return (
        f"seed {outcome.seed}, {outcome.mode}, {outcome.batteries} × {outcome.buyers}: {outcome.auctions} auctions,"
        f" {outcome.trades} trades, {outcome.messages} messages, {faults} faults ({outcome.crashes} crashes),"
        f" {losses} losses, {len(outcome.violations)} violations\n"
        f"digest {outcome.digest}"
    )


def _show(settings: SimSettings, outcome: Outcome, out: Console) -> None:
    """What is broken, and the fewest faults that break it."""
    for violation in outcome.violations[:SHOWN]:
        out.print(f"seed {outcome.seed}: {violation}", markup=False)
    out.print(f"again: {replay_line(outcome)}", markup=False)
    if settings.faults is not None:
        return
    drawn = scenario(outcome.seed, outcome.mode)
    kept = shrunk(drawn, outcome.violations[0].name, replay=played)
    out.print(f"{len(kept)} of {len(drawn.script)} faults are enough: {replay_line(outcome, kept)}", markup=False)
    for place in kept:
        out.print(f"  {place:3}  {drawn.script[place]}", markup=False)


def _sum_up(settings: SimSettings, totals: Totals, seconds: float, out: Console) -> None:
    if settings.print_json:
        _print(totals.to_json(seconds))
        return
    modes = ", ".join(f"{count} {mode}" for mode, count in sorted(totals.modes.items()))
    batteries, buyers = totals.largest
    out.print(
        f"{totals.counted['runs']} markets ({modes}) in {seconds:.0f} s, {totals.cpu_s:.0f} s of processor time, {settings.jobs} jobs"
    )
    out.print(f"  the largest of {batteries} batteries × {buyers} buyers")
    out.print(f"  {totals.counted['messages'] / max(totals.cpu_s, 1e-9):>12,.0f} messages per core-second")
    for name in COUNTED:
        out.print(f"  {totals.counted[name]:>12,} {name}")
    named = {
        "faults, done to nodes, links and the chain": totals.faults,
        "losses, by them and the weather": totals.losses,
    }
    for title, kinds in named.items():
        out.print(f"{title}:")
        for kind, count in kinds.most_common():
            out.print(f"  {count:>16,} {kind}")
    seeds = ", ".join(str(outcome.seed) for outcome in totals.failed)
    out.print(f"{len(totals.failed)} failed{': seeds ' + seeds if seeds else ''}")


def _print(shown: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(shown, separators=(",", ":")) + "\n")
    sys.stdout.flush()
