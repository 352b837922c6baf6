"""A node's counters beside its journal, for `etp export` and the demo: written while they change, and at the end."""

import asyncio
import json
from pathlib import Path
from typing import Any

from runtime.histogram import Metrics

FILE = "metrics.json"
PERIOD_S = 1.0


def write_metrics(directory: Path, metrics: Metrics) -> None:
    """Replace the file whole, so that a reader never sees half of it."""
    new = directory / f"{FILE}.new"
    new.write_text(json.dumps(metrics.snapshot()))
    new.replace(directory / FILE)


def read_metrics(directory: Path) -> dict[str, Any]:
    """The newest counters; empty where there are none yet."""
    try:
        found: dict[str, Any] = json.loads((directory / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found


async def keep_metrics(directory: Path, metrics: Metrics, stopping: asyncio.Event) -> None:
    """Write the counters each second in which they changed, until `stopping`."""
    before = -1
    while not stopping.is_set():
        total = sum(metrics.counters.values())
        if total != before:
            before = total
            write_metrics(directory, metrics)
        try:
            await asyncio.wait_for(stopping.wait(), PERIOD_S)
        except TimeoutError:
            continue
    write_metrics(directory, metrics)
