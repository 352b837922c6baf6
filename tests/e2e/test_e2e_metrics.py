"""Two real daemons with exporters: what both expose of one trade agrees, to the last µ and Wh, and ends with them."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.paying import group

ROOT = Path(__file__).parents[2]
GROUP = group()
NODES = {
    "bess": ["--device-id", "101", "--reserve", "11", "--closing-ms", "100"],
    "aggregator": ["--device-id", "500", "--max-price", "18.5", "--demand-kwh", "3"],
}

Node = tuple[subprocess.Popen[str], str]


def start(role: str, directory: Path, *options: str) -> subprocess.Popen[str]:
    """A daemon with an exporter on a free port, unless the options say otherwise."""
    common = ["--group", GROUP, "--state-dir", str(directory / role), "--metrics", "127.0.0.1:0"]
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", role, *NODES[role], *common, *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[dict[str, Node]]:
    """Both, and the address that each one's ready line says."""
    with ExitStack() as stack:
        started = {role: stack.enter_context(start(role, tmp_path)) for role in NODES}
        for process in started.values():
            stack.callback(process.kill)
        yield {role: (process, json.loads(process.stdout.readline())["metrics"]) for role, process in started.items()}


def get(address: str, path: str) -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def values(address: str) -> dict[str, float]:
    """All samples without the labels but `type`, `state`."""
    found = {}
    for family in text_string_to_metric_families(get(address, "/metrics")[1]):
        for sample in family.samples:
            label = sample.labels.get("type") or sample.labels.get("state")
            found[f"{sample.name} {label}" if label else sample.name] = sample.value
    return found


def test_both_sides_count_the_same_trade(nodes: dict[str, Node]) -> None:
    """Energy and money of seller and buyer, promises, messages; /healthz; an orderly end that closes the port."""
    battery, buyer = (nodes[role][1] for role in NODES)
    end_s = time.monotonic() + 20
    while True:
        sold, bought = values(battery), values(buyer)
        if bought["etp_bought_watt_hours_total"] == 3000 == sold["etp_sold_watt_hours_total"]:
            break
        assert time.monotonic() < end_s, (sold, bought)
        time.sleep(0.2)
    assert sold["etp_earned_micro_total"] == bought["etp_paid_micro_total"] > 0
    assert sold["etp_promises_total confirmed"] == bought["etp_promises_total finished"]
    assert (
        sold["etp_messages_received_total BID"]
        == bought["etp_messages_sent_total BID"]
        == bought["etp_bids_sent_total"]
    )
    assert bought["etp_reply_seconds_count RESPONSE"] >= 1
    assert bought["etp_reply_over_budget_total RESPONSE"] == 0
    assert sold["etp_battery_capacity_watt_hours"] == 13_500
    assert sold["etp_battery_for_sale_watt_hours"] + 3000 <= 6750
    assert sold["etp_journal_fsync_seconds_count"] >= 2
    assert (sold["etp_sessions"], bought["etp_sessions"], bought["etp_batteries_connected"]) == (1, 1, 1)
    assert (sold["etp_promises_open"], bought["etp_promises_open"], bought["etp_exposed_watt_hours"]) == (0, 0, 0)
    for process, address in nodes.values():
        assert get(address, "/healthz") == (200, "ok\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        with pytest.raises(OSError, match=r"refused|reset"):
            get(address, "/healthz")


def test_a_taken_address_ends_the_start(tmp_path: Path) -> None:
    """Status 2, one line that says what is wrong, and no ready line; of either daemon."""
    with socket.socket() as taken, ExitStack() as stack:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = [stack.enter_context(start(role, tmp_path, "--metrics", address)) for role in NODES]
        for process in started:
            stack.callback(process.kill)
            said, wrong = process.communicate(timeout=30)
            assert (process.returncode, said) == (2, "")
            assert f"metrics is '{address}'" in wrong
            assert "Traceback" not in wrong
