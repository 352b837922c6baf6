"""The exposition of a gateway: what Prometheus' own parser reads out of it."""

from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import METRICS
from tests import exposing


def test_what_a_gateway_shows() -> None:
    """Every metric once, with the values that it was given; whether it is ready."""
    samples = [sample for family in text_string_to_metric_families(exposing.gateway()) for sample in family.samples]
    values = {sample.name: sample.value for sample in samples if not sample.labels}
    shown = {name + ("_count" if kind == "histogram" else "") for name, (kind, _) in METRICS.items()}
    assert shown <= {sample.name for sample in samples}
    assert values["etp_gateway_durable_seconds_count"] == 2
    assert values["etp_gateway_durable_seconds_sum"] == 0.01
    assert values["etp_gateway_ready"] == 1
    assert values["etp_gateway_traded_watt_hours_total"] == 7_500
    assert values["etp_gateway_traded_micro_total"] == 2**60
    assert (values["etp_gateway_rows_stored_total"], values["etp_gateway_bids_stored_total"]) == (1, 2)
    nodes = {
        (sample.labels["role"], sample.labels["online"]) for sample in samples if sample.name == "etp_gateway_nodes"
    }
    assert nodes == {(role, online) for role in ("bess", "aggregator") for online in ("true", "false")}
    assert "etp_gateway_ready 0\n" in exposing.gateway(ready=False)
