"""Counters and latency histograms in memory: bounded, cheap, read by `etp export` and the demo."""

from collections.abc import Mapping
from math import ceil, log
from typing import Any, Final

from etp.clock import Now
from etp.codes import MessageType
from etp.timing import TIMING, UNTIMED_ID_BELOW

BASE: Final = 1.1
"""Each bucket is 10 % wider than the one before: a percentile is at most 10 % above the truth."""
LEAST_MS: Final = 0.01
BUCKETS: Final = 170
"""Up to about 100,000 ms."""
MAX_NAMES: Final = 512
"""Distinct (name, label) pairs; what comes beyond is counted under "other", so that labels from outside cannot grow it."""
_LOG_BASE: Final = log(BASE)
_RECEIVED: Final = tuple(("received", kind.name) for kind in MessageType)
_SENT: Final = tuple(("sent", kind.name) for kind in MessageType)
_AGES: Final = tuple(("age_ms", kind.name) for kind in MessageType)
MAX_DELAYS_MS: Final = tuple(float(TIMING[kind].max_delay_ms) for kind in MessageType)
"""By the number of the type, ms."""


class Histogram:
    """Latencies in logarithmic buckets, and the exact worst."""

    __slots__ = ("_buckets", "count", "over_budget", "sum_us", "worst_ms")

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS
        self.count = 0
        self.worst_ms = 0.0
        self.over_budget = 0
        self.sum_us = 0
        """Of all, each cut to whole µs, so that the sums of nodes add up to the last digit."""

    def record(self, value_ms: float, budget_ms: float | None = None) -> None:
        """Count one latency, and whether it exceeded its budget."""
        index = 0 if value_ms <= LEAST_MS else ceil(log(value_ms / LEAST_MS) / _LOG_BASE)
        self._buckets[index if index < BUCKETS else -1] += 1
        self.count += 1
        self.sum_us += int(value_ms * 1000)
        self.worst_ms = max(self.worst_ms, value_ms)
        if budget_ms is not None and value_ms > budget_ms:
            self.over_budget += 1

    def percentile(self, percent: float) -> float:
        """The latency that `percent` of all do not exceed, ms; 0 without any."""
        rank, seen = self.count * percent / 100, 0
        for index, count in enumerate(self._buckets):
            seen += count
            if count and seen >= rank:
                return min(LEAST_MS * BASE**index, self.worst_ms)
        return self.worst_ms

    def as_dict(self) -> dict[str, Any]:
        """Count, percentiles and worst, ms; `buckets` that are not empty, by number, so that nodes can be added up."""
        points = {f"p{percent}_ms": round(self.percentile(percent), 3) for percent in (50, 90, 99)}
        whole = {"count": self.count, **points, "worst_ms": round(self.worst_ms, 3), "over_budget": self.over_budget}
        whole["sum_us"] = self.sum_us
        return whole | {"buckets": {str(index): count for index, count in enumerate(self._buckets) if count}}

    def add(self, found: Mapping[str, Any]) -> None:
        """Count what another histogram's `as_dict` holds too."""
        for index, count in found["buckets"].items():
            self._buckets[int(index)] += count
        self.count += found["count"]
        self.sum_us += found.get("sum_us", 0)  # an older node does not say it
        self.worst_ms = max(self.worst_ms, found["worst_ms"])
        self.over_budget += found["over_budget"]


class Metrics:
    """The counters and histograms of one node."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, str], int] = {}
        self.histograms: dict[tuple[str, str], Histogram] = {}

    def count(self, name: str, label: str = "", amount: int = 1) -> None:
        """Add to a counter."""
        self._add((name, label), amount)

    def _add(self, key: tuple[str, str], amount: int) -> None:
        counters = self.counters
        if key not in counters:
            if len(counters) >= MAX_NAMES:
                key = (key[0], "other") if (key[0], "other") in counters else ("other", "")
            counters.setdefault(key, 0)
        counters[key] += amount

    def observe(self, name: str, label: str, value_ms: float, budget_ms: float | None = None) -> None:
        """Record a latency, ms."""
        histogram = self.histograms.get((name, label))
        if histogram is None:
            if len(self.histograms) >= MAX_NAMES:
                return self.count("histograms_refused")
            histogram = self.histograms[name, label] = Histogram()
        return histogram.record(value_ms, budget_ms)

    def received(self, message_type: int, message_id: int, now: Now) -> None:
        """Count a frame by its type, and its age (receiver's wall clock minus message_id) against the type's max delay."""
        key = _RECEIVED[message_type]
        self.counters[key] = self.counters.get(key, 0) + 1  # ten keys of our own: no bound to keep
        if message_id >= UNTIMED_ID_BELOW:
            age_us = now.wall_us - message_id
            age_ms = age_us / 1000 if age_us > 0 else 0.0
            found = self.histograms.get(_AGES[message_type])
            if found is None:
                self.observe(*_AGES[message_type], age_ms, MAX_DELAYS_MS[message_type])
            else:
                found.record(age_ms, MAX_DELAYS_MS[message_type])

    def sent(self, message_type: int, amount: int = 1) -> None:
        """Count frames by their type."""
        key = _SENT[message_type]
        self.counters[key] = self.counters.get(key, 0) + amount

    def snapshot(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "counters": _nested(self.counters),
            "histograms": _nested({key: histogram.as_dict() for key, histogram in self.histograms.items()}),
        }


def _nested(flat: Mapping[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for (name, label), value in sorted(flat.items()):
        nested.setdefault(name, {})[label] = value
    return nested
