"""deploy/prometheus and deploy/grafana: every metric exists, every alert fires when it should, every expression is one."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests import exposing

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
CASES = Path(__file__).parent / "alerts.test.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "etp.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is absent (Debian: apt-get install prometheus)")


def expressions() -> list[str]:
    """Of all panels, with Grafana's variables filled in."""
    found = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [text.replace("$__rate_interval", "1m").replace("$instance", ".*") for text in found]


def exposed() -> dict[str, set[str]]:
    """Names of all samples and their labels, of nodes and gateway, and what Prometheus adds itself."""
    found: dict[str, set[str]] = {"up": set()}
    for text in (*exposing.nodes(), exposing.gateway()):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def named(expression: str) -> Iterator[tuple[str, set[str]]]:
    """(metric, labels in its selector) of an expression."""
    for name, selector in re.findall(r"\b(up|(?:etp|process)_\w+)\b(\{[^}]*\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!=|=|!~)", selector))


@pytest.mark.parametrize("text", [rule["expr"] for rule in RULES] + expressions())
def test_every_metric_exists(text: str) -> None:
    """Each name and label in alerts and panels is in the exposition of a node or gateway; job and instance are Prometheus'."""
    found = exposed()
    metrics = list(named(text))
    assert metrics or text == "vector(1)"
    for name, labels in metrics:
        assert name in found
        assert labels <= found[name] | {"job", "instance"}


def test_jobs_are_those_of_the_configuration() -> None:
    """Alerts and panels select jobs that Prometheus asks."""
    jobs = {job["job_name"] for job in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]}
    for text in [rule["expr"] for rule in RULES] + expressions():
        for operator, job in re.findall(r'\bjob(=~|=)"([^"]*)"', text):
            assert any(re.fullmatch(job, name) for name in jobs) if operator == "=~" else job in jobs


def test_each_alert_is_tested_and_explained() -> None:
    """Each has a case that makes it fire, a severity, a summary, and a line in the docs on what to do."""
    cases = yaml.safe_load(CASES.read_text())["tests"]
    fired = {check["alertname"] for case in cases for check in case["alert_rule_test"] if check["exp_alerts"]}
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert fired == set(names)
    page = (ROOT / "docs" / "operations.md").read_text()
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in page


def test_the_dashboard_is_whole() -> None:
    """Panels have ids, titles, words and places of their own, and ask the data source that is provisioned."""
    provisioned = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())
    uids = {source["uid"] for source in provisioned["datasources"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] in uids
        assert all(target["datasource"]["uid"] in uids for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
        assert one["x"] + one["w"] <= 24
    text = json.dumps(DASHBOARD)
    for wanted in ("reply_over_budget", "age_over_budget", "sold_watt_hours", "earned_micro", "stored_watt_hours"):
        assert wanted in text
    for wanted in ("settlement_oldest_age", "journal_waiting", "promises_total", "etp_gateway_nodes", "up{"):
        assert wanted in text


def promtool(*arguments: str) -> None:
    """Run it; its words are the failure."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    """Configuration, targets and rules; with the key that an operator puts there."""
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (tmp_path / "prometheus" / "secrets" / "gateway-key").write_text("etp_a_b")
    promtool("check", "config", str(tmp_path / "prometheus" / "prometheus.yml"))


@needs_promtool
def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """tests/deploy/alerts.test.yml, by Prometheus' own engine."""
    cases = tmp_path / "alerts.test.yml"
    cases.write_text(CASES.read_text().replace("[RULES]", json.dumps([str(PROMETHEUS / "alerts.yml")])))
    promtool("test", "rules", str(cases))


@needs_promtool
def test_every_panel_asks_in_promql(tmp_path: Path) -> None:
    """Its expressions parse, as rules would."""
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))


@needs_promtool
@pytest.mark.parametrize("text", [*exposing.nodes(), exposing.gateway()], ids=["bess", "aggregator", "gateway"])
def test_promtool_reads_the_exposition(text: str) -> None:
    """Its parser takes every line; it would have Wh in joules, which nobody buys."""
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "hours" not in line]
    assert said == []
