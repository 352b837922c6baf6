"""structlog on stderr: coloured on a terminal, JSON lines elsewhere; what repeats is said once a minute with its count."""

import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

REPEAT_S = 60.0
MAX_KINDS = 256
"""Distinct events remembered for limiting; beyond it the oldest is forgotten."""


class Limiter:
    """Drops an event of the same name and `kind` within a minute; the next one says how many were dropped."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, _: Any, __: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """A structlog processor; only events that carry a `kind` are limited."""
        if "kind" not in fields:
            return fields
        key = (str(fields["event"]), str(fields["kind"]))
        now = time.monotonic()
        since, dropped = self._seen.get(key, (float("-inf"), 0))
        if now - since < REPEAT_S:
            self._seen[key] = (since, dropped + 1)
            raise structlog.DropEvent
        if len(self._seen) >= MAX_KINDS and key not in self._seen:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (now, 0)
        return {**fields, **({"repeated": dropped} if dropped else {})}


class _Stderr:
    """What is said to nobody (a log collector that died, a closed terminal) is lost; the daemon goes on."""

    def write(self, text: str) -> None:
        """To stderr, if it is there."""
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Likewise."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def set_up(level: str) -> None:
    """Log to stderr from `level` on."""
    terminal = sys.stderr.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            Limiter(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stderr())),
    )
