"""`make settle-torture`: thousands of trades through worlds of torment, many at a time, with what was done to them at the end."""

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from sim.io.chain.faults import Fault
from tests.contracts.hostile.world import Outcome, World, scenario

TRADES_A_WORLD: Final = 20
"""Many small worlds rather than few large ones: each has a mix of its own."""


def tormented(seed: int, trades: int) -> Outcome:
    """One world, from its seed; an outcome with an error where anything did not hold."""
    world = World(scenario(seed, trades), seed)
    try:
        outcome = world.run()
    except Exception:  # noqa: BLE001 - whatever it is, it is this seed's outcome
        outcome = world.outcome()
        outcome.error = traceback.format_exc()
    outcome.deaths = Counter({"": sum(outcome.deaths.values())})
    return outcome


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.hostile.torture", description=__doc__)
    parser.add_argument("--trades", type=int, default=10_000, help="in all worlds together")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, default=1, help="of the first world; the others follow")
    found = parser.parse_args(given)
    if found.trades < 1 or found.jobs < 1:
        parser.error("--trades and --jobs are at least 1")
    return found


def run(trades: int, jobs: int, seed: int, console: Console) -> list[Outcome]:
    """All outcomes, in order of their seeds."""
    sizes = [TRADES_A_WORLD] * (trades // TRADES_A_WORLD) + [trades % TRADES_A_WORLD] * (trades % TRADES_A_WORLD > 0)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    outcomes: list[Outcome] = []
    with (
        Progress(*columns, console=console) as progress,
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool,
    ):
        bar = progress.add_task("trades tormented", total=trades)
        waiting = [pool.submit(tormented, seed + number, size) for number, size in enumerate(sizes)]
        for done in as_completed(waiting):
            outcome = done.result()
            outcomes.append(outcome)
            progress.advance(bar, outcome.trades)
            if outcome.error or outcome.broken:
                tell_failure(console, outcome)
    return sorted(outcomes, key=lambda outcome: outcome.seed)


def tell_failure(console: Console, outcome: Outcome) -> None:
    """Which rule did not hold, and how to see it again."""
    console.print(f"[bold red]seed {outcome.seed}[/] with {outcome.trades} trades", highlight=False)
    for broken in outcome.broken[:3]:
        console.print(f"  {broken}", highlight=False, markup=False)
    if outcome.error:
        console.print(outcome.error, highlight=False, markup=False)


def tell(console: Console, outcomes: Sequence[Outcome], seconds: float) -> None:
    """What was done, and what came of it."""
    faults: Counter[Fault] = Counter()
    for outcome in outcomes:
        faults += outcome.faults
    table = Table("fault", "times", box=None)
    table.columns[1].justify = "right"
    for fault in Fault:
        table.add_row(fault.value, f"{faults[fault]:,}")
    console.print(table)
    trades = sum(outcome.trades for outcome in outcomes)
    bad = [outcome for outcome in outcomes if outcome.error or outcome.broken]
    calm = sorted(outcome.calm_s for outcome in outcomes if not outcome.error)
    worst, usual = (calm[-1], calm[len(calm) // 2]) if calm else (float("nan"), float("nan"))
    hours = sum(outcome.virtual_s for outcome in outcomes) / 3600
    seeds = f"seeds {outcomes[0].seed} to {outcomes[-1].seed}"
    lines = (
        f"{trades:,} trades in {len(outcomes):,} worlds ({seeds}), {seconds:,.0f} s; {hours:,.0f} h of the chain's time",
        f"{sum(o.signed for o in outcomes):,} transactions signed, at most {max(o.most_signed for o in outcomes)} for a trade",
        f"settled at the latest {worst:,.0f} s after the last fault (in half of the worlds {usual:,.0f} s)",
        f"worlds in which a rule did not hold: {len(bad)}",
    )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def main(given: Sequence[str] | None = None) -> int:
    """0 where every rule held in every world."""
    asked, console = arguments(given), Console(stderr=True)
    began_s = time.monotonic()
    outcomes = run(asked.trades, asked.jobs, asked.seed, console)
    tell(console, outcomes, time.monotonic() - began_s)
    return 1 if any(outcome.error or outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
