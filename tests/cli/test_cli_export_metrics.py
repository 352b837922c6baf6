"""`etp export --metrics`: what the daemon counted."""

import json
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from etp.clock import Now
from etp.codes import MessageType
from etp.units import MonotonicS, WallUs
from runtime.histogram import Metrics
from runtime.io.metrics_file import write_metrics


def test_it_prints_what_was_written(tmp_path: Path) -> None:
    """Counters, the age of each type against its deadline, and the node's view, as one object."""
    metrics = Metrics()
    now = Now(MonotonicS(1.0), WallUs(2**41))
    metrics.received(MessageType.BID, now.wall_us - 600_000, now)
    metrics.received(MessageType.BID, 7, now)
    write_metrics(tmp_path, json.dumps(metrics.snapshot() | {"node": {"queues": {"journal": 0}}}))
    done = CliRunner().invoke(app, ["export", "--state-dir", str(tmp_path), "--metrics"])
    said = json.loads(done.stdout)
    assert done.exit_code == 0
    assert said["counters"]["received"] == {"BID": 2}
    age = said["histograms"]["age_ms"]["BID"]
    assert (age["count"], age["worst_ms"], age["over_budget"]) == (1, 600.0, 1)
    assert said["node"]["queues"]["journal"] == 0


def test_without_metrics_it_fails_by_name(tmp_path: Path) -> None:
    """No file: status 1, and what was expected."""
    done = CliRunner().invoke(app, ["export", "--state-dir", str(tmp_path), "--metrics"])
    assert done.exit_code == 1
    assert "metrics.json" in done.stderr
