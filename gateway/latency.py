"""Latencies of nodes added up, by message type, beside the budget of each. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from etp.codes import MessageType
from etp.timing import REPLY_BUDGET_MS, TIMING
from runtime.histogram import Histogram


class _Stored(msgspec.Struct, gc=False):
    """What is added up of `runtime.histogram.Histogram.as_dict`."""

    count: int
    worst_ms: float
    over_budget: int
    buckets: dict[str, int]


_decode: Final = msgspec.json.Decoder(_Stored).decode
_ORDER: Final = {kind.name: kind.value for kind in MessageType}
AGE: Final = "age"


def budget_ms(what: str, message: str) -> float:
    """How long a message of this type may take: its max delay on arrival, or the reply budget."""
    return float(TIMING[MessageType[message]].max_delay_ms) if what == AGE else float(REPLY_BUDGET_MS)


class Latencies:
    """Histograms added up: feed it what is stored, a part at a time, then ask for the rows."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], _Stored] = {}

    def add(self, stored: Iterable[Sequence[Any]]) -> None:
        """Count what these hold too: (what, message, JSON of a histogram)."""
        for what, message, text in stored:
            if message in _ORDER:
                _add(self._found.setdefault((what, message), _Stored(0, 0.0, 0, {})), _decode(text))

    def rows(self, node: str | None) -> list[dict[str, Any]]:
        """The fields of `schema.LatencyRow`, by type; `node`: whose they are, None: of all together."""
        ordered = sorted(self._found.items(), key=lambda each: (each[0][0], _ORDER[each[0][1]]))
        return [_row(what, message, node, total) for (what, message), total in ordered if total.count]


def _add(total: _Stored, more: _Stored) -> None:
    total.count += more.count
    total.worst_ms = max(total.worst_ms, more.worst_ms)
    total.over_budget += more.over_budget
    buckets = total.buckets
    for index, count in more.buckets.items():
        buckets[index] = buckets.get(index, 0) + count


def _row(what: str, message: str, node: str | None, total: _Stored) -> dict[str, Any]:
    histogram = Histogram()
    histogram.add(msgspec.structs.asdict(total))
    return {
        "what": what,
        "message": message,
        "node": node,
        "budget_ms": budget_ms(what, message),
        "count": histogram.count,
        "over_budget": histogram.over_budget,
        "p50_ms": round(histogram.percentile(50), 3),
        "p90_ms": round(histogram.percentile(90), 3),
        "p99_ms": round(histogram.percentile(99), 3),
        "worst_ms": round(histogram.worst_ms, 3),
    }
