"""The demo with real processes on a short day: what it says is what the journals hold; Ctrl-C and failures end it cleanly."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.demo.audit import read_books
from cli.demo.processes import Node, flags
from cli.demo.report import Report
from cli.demo.settings import DemoSettings
from cli.demo.watch import Watch
from etp.units import Wh
from lab.scenario import scenario_of
from runtime.io.journal import FILE
from runtime.io.settings import load
from sim.invariants import Books, violations
from tests.commands import tool

ROOT = Path(__file__).parents[2]
SHORT = ("--first-slot", "38", "--slots", "10", "--seconds-per-slot", "0.6", "--bess", "2", "--aggregators", "3")
"""Ten half-hours from the first evening's peak on, slowly enough for buyers to outbid each other while other tests have the cores."""


def demo(out: Path, *options: str) -> "subprocess.Popen[str]":
    """Start `etp demo`."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "demo", "--out", str(out), *SHORT, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"COLUMNS": "120"},
    )


def first_trade(process: "subprocess.Popen[str]") -> str:
    """The line of the first trade, after the one with the link to the dashboard."""
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Dashboard: http://127.0.0.1:")
    return process.stdout.readline()


def daemons(out: Path) -> dict[int, list[str]]:
    """Running processes whose state is below a directory: their command lines by process id."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().decode(errors="replace").split("\0")
            if "--state-dir" in words and any(word.startswith(str(out)) for word in words):
                found[int(entry.parent.name)] = words
    return found


def exported(out: Path, node: str) -> list[dict[str, Any]]:
    """`etp export` of a node of the demo."""
    done = tool("export", "--state-dir", str(out / node))
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished demo: its directory, and the last line on its stdout."""
    out = tmp_path_factory.mktemp("demo") / "out"
    process = demo(out, "--json")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    return out, json.loads(stdout.splitlines()[-1])


def test_it_trades_in_time(run: tuple[Path, dict[str, Any]]) -> None:
    """Trades, none of them late, no invariant broken, the first one on the screen within 10 s."""
    _, said = run
    assert said["trades"] >= 8
    assert said["violations"] == said["faults"] == []
    assert max(said["worst_reply_ms"].values()) <= 500
    assert said["first_trade_s"] <= 10
    assert said["promises"] >= said["trades"]


def test_competition_paid(run: tuple[Path, dict[str, Any]]) -> None:
    """More than one buyer, more than the first bid above the reserve, more than the grid."""
    income = run[1]["income_micro_per_kwh"]
    assert income["ours"] > income["first_above_reserve"] > income["feed_in"] == 60_000
    assert income["ours"] > income["single_buyer"] >= income["feed_in"]


def test_it_says_what_the_journals_hold(run: tuple[Path, dict[str, Any]]) -> None:
    """Trades, energy and money of the summary are sums over `etp export`, on both sides."""
    out, said = run
    sold = [row for bess in (101, 102) for row in exported(out, f"bess-{bess}") if row["kind"] == "trade"]
    bought = [
        row for buyer in (500, 501, 502) for row in exported(out, f"aggregator-{buyer}") if row["kind"] == "trade"
    ]
    for rows in (sold, bought):
        assert len(rows) == said["trades"]
        assert sum(row["energy_wh"] for row in rows) == said["energy_sold_wh"]
        assert sum(row["paid_micro"] for row in rows) == said["paid_micro"]
    by_hand = {row["bidder"]: 0 for row in bought}
    for row in bought:
        by_hand[row["bidder"]] += row["paid_micro"]
    assert {int(buyer): sums["paid_micro"] for buyer, sums in said["trades_by_aggregator"].items()} == by_hand


def test_every_trade_is_paid_on_the_chain(run: tuple[Path, dict[str, Any]]) -> None:
    """By its buyer's own Confirm, once, to the micro-USDC; what left the escrows is what batteries and market got."""
    out, said = run
    chain = said["chain"]
    assert (said["settled"], said["unsettled"]) == (said["trades"], 0)
    assert sum(chain["journal_micro"].values()) == said["paid_micro"]
    assert sum(chain["earned_micro"].values()) + chain["fees_micro"] == said["paid_micro"]
    assert len(chain["escrow_micro"]) * 2_000_000_000 - sum(chain["escrow_micro"].values()) == said["paid_micro"]
    assert (chain["held_micro"], chain["disputes"], chain["defaults"]) == (0, 0, 0)
    paid = [row for bess in (101, 102) for row in exported(out, f"bess-{bess}") if row["kind"] == "settlement"]
    assert len({row["lot_id"] for row in paid if row["state"] == "settled"}) == said["trades"]
    records = "\n".join({row["record"] for row in paid})
    done = tool("decode", "-", "--verify", "--json", "--registry", str(out / "registry.toml"), stdin=records)
    assert all(json.loads(line)["valid"] for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == said["trades"]


def test_everything_is_on_file(run: tuple[Path, dict[str, Any]]) -> None:
    """Events in order of time with their nodes, the summary, the chart as PNG and SVG."""
    out, said = run
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [event["time_us"] for event in events] == sorted(event["time_us"] for event in events)
    assert {event["node"] for event in events} == {101, 102, 500, 501, 502}
    assert sum(event["kind"] == "trade" and event["role"] == "bess" for event in events) == said["trades"]
    assert json.loads((out / "summary.json").read_text()) == said
    assert (out / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (out / "chart.svg").read_text()


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    """SIGINT in mid-day: no daemon is left, journals are sound, the summary covers the half-hours played; status 0."""
    process = demo(tmp_path / "out", "--seconds-per-slot", "5", "--first-slot", "38")
    assert " sells " in first_trade(process)
    assert len(daemons(tmp_path)) == 7  # two batteries, three buyers, a chain, a gateway
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")
    assert time.monotonic() - began < 10
    said = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert said["interrupted"]
    assert said["slots"] < 10
    assert said["trades"] >= 1
    assert "none broken" in stdout
    assert daemons(tmp_path) == {}


def test_a_daemon_that_dies_fails_the_demo(tmp_path: Path) -> None:
    """A battery killed in mid-day: status 1, and stderr names the node and its log."""
    process = demo(tmp_path / "out", "--seconds-per-slot", "5", "--first-slot", "38")
    first_trade(process)
    victim = next(pid for pid, words in daemons(tmp_path).items() if "bess" in words)
    os.kill(victim, signal.SIGKILL)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "bess-10" in stderr
    assert "its log is" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--slots", "80"), "slots is 80"),
        (("--strategy", "hopeful"), "strategy is 'hopeful': one of truthful"),
        (("--bess", "0"), "bess is '0'"),
        (("--mechanism", "dutch"), "mechanism is 'dutch'"),
    ],
)
def test_wrong_use(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """Status 2 and one line that names the setting, before any daemon is started."""
    process = demo(tmp_path / "out", *options)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 2
    assert said in stderr
    assert stderr.count("\n") == 1


def test_a_directory_that_is_used_or_cannot_be(run: tuple[Path, dict[str, Any]]) -> None:
    """An earlier run's directory, and one that cannot be made: status 2, and the old files are as they were."""
    out, _ = run
    before = (out / "summary.json").read_bytes()
    for directory, right in ((out, "new or empty"), (Path("/proc/demo"), "cannot be used")):
        process = demo(directory)
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == 2
        assert f"out is '{directory}'" in stderr
        assert right in stderr
    assert (out / "summary.json").read_bytes() == before


def test_a_daemon_gets_the_very_settings_of_the_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line that a daemon is given, read as its own command reads it, is the scenario's settings."""
    monkeypatch.delenv("ETP_PROFILE")
    scenario = scenario_of(DemoSettings(first_slot=1, slots=3, mechanism="uniform", feed_in=5.5))
    for settings in (*scenario.batteries, *scenario.buyers):
        words = flags(settings)
        given = {word[2:].replace("-", "_"): value for word, value in zip(words[::2], words[1::2], strict=True)}
        assert load(type(settings), given) == settings


def watch_of(out: Path) -> Watch:
    """The stopped nodes of the short day, as its demo saw them."""
    scenario = scenario_of(DemoSettings(first_slot=38, slots=10, bess=2, aggregators=3))
    watch = Watch(scenario, origin_s=0.0)  # so long ago that the sun could have brought any energy
    for role, nodes, settings in (
        ("bess", watch.batteries, scenario.batteries),
        ("aggregator", watch.buyers, scenario.buyers),
    ):
        nodes += [Node(role, out / f"{role}-{told.device_id}", None, None, told) for told in settings]
    return watch


def test_the_audit_bites(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Sound journals pass; a µ more in a stored trade breaks the chain and the money, and means status 1."""
    copy = tmp_path / "copy"
    shutil.copytree(run[0], copy)
    books, broken = read_books(watch_of(copy))
    assert [*broken, *violations(books)] == []
    paid = {each.device_id for each in books.batteries if any(row.kind == "trade" for row in each.rows)}
    unpaid = [replace(each, rows=[row for row in each.rows if row.kind != "settlement"]) for each in books.batteries]
    missing = violations(Books(unpaid, books.buyers))
    assert ({each.name for each in missing}, {each.device_id for each in missing}) == ({"settled_once"}, paid)
    with contextlib.closing(sqlite3.connect(copy / "bess-101" / FILE)) as database:
        row, body = database.execute("SELECT seq, body FROM rows WHERE kind = 'trade'").fetchone()
        changed = json.loads(body) | {"paid_micro": json.loads(body)["paid_micro"] + 1}
        database.execute("UPDATE rows SET body = ? WHERE seq = ?", (json.dumps(changed).encode(), row))
        database.commit()
    books, broken = read_books(watch_of(copy))
    found = [*broken, *violations(books)]
    assert [violation.device_id for violation in broken] == [101]
    assert {violation.name for violation in found} == {"promise_missing", "money"}
    report = Report(watch_of(copy), books, Wh(1), None, {}, found, [], 1.0, None, interrupted=False)
    assert (report.status, replace(report, violations=[]).status) == (1, 0)
    assert replace(report, violations=[], faults=["bess-101 ended with status 1"]).status == 1
