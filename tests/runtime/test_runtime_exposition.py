"""The exposition of a node: what Prometheus' own parser reads out of it is what the node counted, exactly where it must be."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from etp.clock import Now
from etp.codes import MessageType
from etp.timing import REPLY_BUDGET_MS, TIMING
from etp.units import MonotonicS, WallUs
from runtime import node_metrics
from runtime.exposition import BOUNDS_MS, Family, Sample, histogram, text
from runtime.histogram import Histogram, Metrics
from runtime.node_metrics import COUNTERS, exposition
from tests.exposing import AGGREGATOR, BESS, readings

ROOT = Path(__file__).parents[2]


def parsed(found: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Name and labels to value, as Prometheus' client library reads them; nothing stands there twice."""
    lines = [sample for family in text_string_to_metric_families(found) for sample in family.samples]
    values = {(line.name, frozenset(line.labels.items())): line.value for line in lines}
    assert len(values) == len(lines)
    return values


def at(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_what_a_battery_shows() -> None:
    """Each value of counters and view, with its unit, label and sign; µ to the last digit."""
    metrics = Metrics()
    metrics.received(MessageType.BID, 1_700_000_000_000_000, Now(MonotonicS(0), WallUs(1_700_000_000_600_000)))
    metrics.count("earned_micro", amount=2**53 - 1)
    metrics.count("security", "wrong_key", 3)
    metrics.count("of_a_later_version", "x")
    found = parsed(exposition(readings(metrics, BESS)))
    assert at(found, "etp_node_info", role="bess", device_id="101") == 1
    assert at(found, "etp_messages_received_total", type="BID") == 1
    assert at(found, "etp_message_age_over_budget_total", type="BID") == 1
    assert at(found, "etp_message_age_seconds_bucket", type="BID", le="0.5") == 0
    assert at(found, "etp_message_age_seconds_bucket", type="BID", le="1") == 1
    assert at(found, "etp_message_age_seconds_sum", type="BID") == 0.6
    assert at(found, "etp_earned_micro_total") == 2**53 - 1
    assert at(found, "etp_security_events_total", kind="wrong_key") == 3
    assert at(found, "etp_events_total", event="of_a_later_version x") == 1
    assert at(found, "etp_battery_stored_watt_hours") == 12_000
    assert at(found, "etp_battery_failed") == 1
    assert at(found, "etp_journal_waiting_rows") == 5
    assert at(found, "etp_journal_bids_dropped_total") == 6
    assert at(found, "etp_settlement_trades", state="confirmed") == 2
    assert at(found, "etp_settlement_oldest_age_seconds") == 12.5
    assert at(found, "etp_settlement_unsettled_micro") == 123_456_789
    assert (at(found, "etp_rpc_up", rpc="1"), at(found, "etp_rpc_up", rpc="2")) == (1, 0)
    assert at(found, "etp_settlement_alarm") == 0
    assert at(found, "etp_feed_connected", gateway="gateway.example:8080") == 1
    assert at(found, "etp_feed_unacked_rows", gateway="gateway.example:8080") == 9
    assert at(found, "etp_feed_dropped_telemetry_total", gateway="gateway.example:8080") == 8
    assert at(found, "etp_clock_behind_seconds") == 0.5
    assert at(found, "process_resident_memory_bytes") == 4096
    assert {name.name for name in MessageType} == {
        dict(labels)["type"] for name, labels in found if "message_budget" in name
    }


def test_an_open_lot_is_nobody_elses_business() -> None:
    """Neither reserve nor bids nor bidders of the open lot are exposed, under whatever name."""
    found = exposition(readings(Metrics(), BESS))
    assert "125001" not in found
    assert "130002" not in found
    assert not [name for name, _ in parsed(found) if re.search(r"reserve_|bidder|best|ask", name)]


def test_what_an_aggregator_shows() -> None:
    """Totals of its trades, the batteries it knows, and their clocks."""
    metrics = Metrics()
    metrics.observe("reply_ms", "RESPONSE", 500.0, REPLY_BUDGET_MS)
    metrics.observe("reply_ms", "RESPONSE", 500.001, REPLY_BUDGET_MS)
    found = parsed(exposition(readings(metrics, AGGREGATOR)))
    assert at(found, "etp_bought_watt_hours_total") == 6_000
    assert at(found, "etp_paid_micro_total") == 700_001
    assert (at(found, "etp_batteries_known"), at(found, "etp_batteries_connected")) == (2, 1)
    assert at(found, "etp_battery_clock_offset_seconds", battery="18446744073709551615") == -0.0015
    assert at(found, "etp_reply_seconds_bucket", type="RESPONSE", le="0.5") == 1
    assert at(found, "etp_reply_over_budget_total", type="RESPONSE") == 1
    assert "etp_battery_stored_watt_hours" not in {name for name, _ in found}


@given(st.lists(st.floats(0, 200_000)), st.sampled_from(list(MessageType)))
def test_histograms_are_cumulative_and_cautious(values: list[float], kind: MessageType) -> None:
    """Buckets rise; each is between the truth and the truth for a bound 10 % lower; at the budget it is the truth."""
    budget_ms = float(TIMING[kind].max_delay_ms)
    made = Histogram()
    for value in values:
        made.record(value, budget_ms)
    samples = histogram(made.as_dict(), {}, budget_ms)
    buckets = [sample for sample in samples if sample.suffix == "_bucket"]
    assert all(left.value <= right.value for left, right in pairwise(buckets))
    assert [sample.labels["le"] for sample in buckets] == [*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf"]
    for bound_ms, sample in zip(BOUNDS_MS, buckets, strict=False):
        true = sum(value <= bound_ms for value in values)
        low = sum(value <= bound_ms / 1.1001 for value in values)
        assert sample.value == true if bound_ms == budget_ms else low <= sample.value <= true
    ends = {sample.suffix: sample.value for sample in samples if sample.suffix != "_bucket"}
    assert buckets[-1].value == ends["_count"] == len(values)
    assert ends["_sum"] == pytest.approx(sum(values) / 1000, abs=1e-6 * (len(values) + 1))


def test_every_budget_is_a_bound() -> None:
    """So that "over budget" can be read from the buckets too; and the next bound is beyond a fine bucket's width."""
    budgets = {timing.max_delay_ms for timing in TIMING.values()} | {REPLY_BUDGET_MS}
    assert budgets <= set(BOUNDS_MS)
    assert all(right > 1.1 * left for left, right in pairwise(BOUNDS_MS))


@pytest.mark.parametrize("label", ['"', "\\", "\n", 'a"} 1\netp_forged 9 {x="', "ü\u2028", "\x1b[31m", ""])
def test_a_label_stays_a_label(label: str) -> None:
    """Whatever stands in it, it comes back as it was, and no line of its own."""
    family = Family("etp_x_total", "counter", 'an "old" \\ help\nin two lines', [Sample("", {"kind": label}, 1)])
    shown = text([family])
    assert "\netp_forged" not in shown
    assert shown.count("\n") == 3
    if "\u2028" not in label:  # the client library's parser takes it for the end of a line, Prometheus' own does not
        assert parsed(shown) == {("etp_x_total", frozenset({("kind", label)})): 1}


def test_the_exposition_stays_bounded() -> None:
    """With both tables of the metrics full of the longest names, it is below 2 MiB."""
    metrics = Metrics()
    for index in range(2_000):
        metrics.count("violations", f"{index:0100}")
        metrics.observe("age_ms", f"{index:0100}", 1.0)
    assert len(exposition(readings(metrics, BESS))) < 2 << 20


COUNTED = re.compile(r"""(?:\bCount\(|[mM]etrics\.count\(|\.observe\()\s*"(\w+)\"""")


def test_whatever_the_code_counts_has_a_metric() -> None:
    """No name that a core or shell counts falls among the others; no metric is left over; no name stands for two."""
    sources = [
        path.read_text()
        for package in ("etp", "runtime", "contracts", "bess_node", "aggregator_node")
        for path in (ROOT / package).rglob("*.py")
    ]
    counted = {name for source in sources for name in COUNTED.findall(source)} - {"reply_ms"}
    own = {"received", "sent", "histograms_refused"}
    assert counted | own == set(COUNTERS)
    tables = (COUNTERS, node_metrics.GAUGES, node_metrics.TOTALS, node_metrics.HISTOGRAMS, node_metrics.OVER_BUDGET)
    names = [metric.name for table in tables for metric in table.values()]
    names += [metric.name for _, metric in node_metrics.DERIVED.values()] + [node_metrics.OTHERS.name]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"(etp|process)_[a-z_]+", name) for name in names)
