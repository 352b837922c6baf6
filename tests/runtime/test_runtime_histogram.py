"""Latencies in buckets: percentiles near the truth, sums over nodes, bounded tables."""

import json

from hypothesis import given
from hypothesis import strategies as st

from runtime.histogram import MAX_NAMES, Histogram, Metrics


@given(st.lists(st.floats(0.01, 90_000), min_size=1, max_size=100))
def test_percentiles_are_at_most_a_tenth_above(values):
    """Each percentile is between the true one and 10 % more; the worst is exact."""
    histogram = Histogram()
    for value in values:
        histogram.record(value, 500)
    true = sorted(values)[-(-len(values) // 2) - 1]
    assert true * 0.999 <= histogram.percentile(50) <= true * 1.101
    assert histogram.as_dict()["worst_ms"] == round(max(values), 3)
    assert histogram.over_budget == sum(value > 500 for value in values)
    assert Histogram().percentile(99) == 0


@given(st.lists(st.floats(0.01, 90_000)), st.lists(st.floats(0.01, 90_000)))
def test_histograms_add_up(some, others):
    """Two nodes' histograms, added through JSON, are the histogram of all their latencies."""
    whole, added = Histogram(), Histogram()
    for values in (some, others):
        part = Histogram()
        for value in values:
            whole.record(value, 500)
            part.record(value, 500)
        added.add(json.loads(json.dumps(part.as_dict())))
    assert added.as_dict() == whole.as_dict()


def test_metrics_are_bounded():
    """Labels from outside cannot grow the tables."""
    metrics = Metrics()
    for index in range(2 * MAX_NAMES):
        metrics.count("a", str(index))
        metrics.observe("b", str(index), 1.0)
    snapshot = metrics.snapshot()
    assert len(metrics.counters) <= MAX_NAMES + 2
    assert len(metrics.histograms) == MAX_NAMES
    assert snapshot["counters"]["a"]["7"] == 1
