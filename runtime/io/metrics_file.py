"""A node's counters beside its journal, for `etp export` and the demo: written when they changed, and at the end."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from runtime.histogram import Metrics

FILE = "metrics.json"


def write_metrics(directory: Path, text: str) -> None:
    """Replace the file whole, so that a reader never sees half of it."""
    new = directory / f"{FILE}.new"
    new.write_text(text)
    new.replace(directory / FILE)


def read_metrics(directory: Path) -> dict[str, Any]:
    """The newest counters; empty where there are none yet."""
    try:
        found: dict[str, Any] = json.loads((directory / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found


async def keep_metrics(
    directory: Path,
    metrics: Metrics,
    ended: asyncio.Event,
    *,
    period_s: float,
    view: Callable[[], dict[str, object]],
) -> None:
    """Write counters, histograms and what the node shows of itself, where they changed, each period until `ended`.

    A disk without room costs the counters, not the node: the next period tries again.
    """
    before = ""
    while True:
        last = ended.is_set()
        text = json.dumps(metrics.snapshot() | {"node": view()})
        if text != before:  # an idle node wears out no memory card
            try:
                write_metrics(directory, text)
                before = text
            except OSError as error:
                structlog.get_logger().warning("metrics_not_written", kind="disk", error=str(error))
        if last:
            return
        try:
            await asyncio.wait_for(ended.wait(), period_s)
        except TimeoutError:
            continue
