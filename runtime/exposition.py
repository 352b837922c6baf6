"""Prometheus' text format (version 0.0.4) from plain values; which metrics a node has is `runtime.node_metrics`'."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from runtime.histogram import BASE, LEAST_MS

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_MS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 400, 500, 1000, 2000, 3000, 5000, 10_000)
"""Upper bounds of the exposed buckets, ms: near-even steps, and every max delay and the reply budget among them.

170 buckets a message type would be a series each in every Prometheus that asks; 17 tell a percentile well enough.
"""
SLOW_BOUNDS_MS: Final = (1000, 2000, 3000, 5000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 90_000)
"""The same for what a chain takes, ms; the fine buckets end at 100 s."""

Labels = Mapping[str, str]


class Sample(NamedTuple):
    """One line: what is added to the family's name, its labels, its value."""

    suffix: str
    labels: Labels
    value: float


class Family(NamedTuple):
    """One metric with all its samples."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[Sample]


def text(families: Iterable[Family]) -> str:
    """The whole exposition; families without samples are left out, since HELP alone says nothing."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    explained = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    yield f"# HELP {family.name} {explained}\n# TYPE {family.name} {family.kind}\n"
    for sample in family.samples:
        yield f"{family.name}{sample.suffix}{_labelled(sample.labels)} {_number(sample.value)}\n"


def _number(value: float) -> str:
    """Integers in full, floats as the shortest text that reads back equal."""
    return repr(int(value) if isinstance(value, int) else float(value))


def _labelled(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def histogram(
    found: Mapping[str, Any], labels: Labels, budget_ms: float | None = None, bounds_ms: Sequence[float] = BOUNDS_MS
) -> list[Sample]:
    """A `Histogram.as_dict` as cumulative buckets, sum and count, in seconds.

    A latency whose fine bucket ends above a bound counts in the next one: a percentile is never below the truth, and at most
    10 % above it before Prometheus interpolates. The bucket that ends at the budget is exact, from the histogram's own count.
    """
    fine = sorted((LEAST_MS * BASE ** int(index), count) for index, count in found["buckets"].items())
    total = sum(count for _, count in fine)  # not found["count"]: another thread may just be recording
    samples = []
    for bound_ms in bounds_ms:
        within = sum(count for end_ms, count in fine if end_ms <= bound_ms)
        exact = max(within, total - found["over_budget"]) if bound_ms == budget_ms else within
        samples.append(Sample("_bucket", {**labels, "le": f"{bound_ms / 1000:g}"}, exact))
    samples.append(Sample("_bucket", {**labels, "le": "+Inf"}, total))
    samples.append(Sample("_sum", labels, found.get("sum_us", 0) / 1e6))
    return [*samples, Sample("_count", labels, total)]
