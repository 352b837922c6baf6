"""The soak: its timetable, its verdict, its hosts; the soak itself is `make soak`."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benches.plan import ROOT
from benches.soak import page
from benches.soak.probe import Bid, Outcome
from benches.soak.run import CUT_S, Course, Found, Sample, Struck, timetable
from benches.soak.verdict import growth_percent, judge, losses, undisturbed

NAMES = ["bess-101", "bess-102", "aggregator-500", "aggregator-501"]
WITNESSES = ("bess-101", "aggregator-500")
HOUR = Course(3600.0, 2, 2, 7)


def found(bids: list[Bid], *, struck: list[Struck] | None = None, kib: tuple[int, int] = (100, 100)) -> Found:
    """An hour with these probes, whose witnesses grew from the one memory to the other."""
    samples = [
        Sample(float(at_s), name, 1, kib[0] if at_s < 1800 else kib[1])
        for at_s in range(0, 3600, 5)
        for name in WITNESSES
    ]
    return Found(
        began_s=0.0,
        ended_s=3600.0,
        struck=struck or [],
        samples=samples,
        probes=Outcome(bids, {"BID": 10}, {"REJECT": 9}),
        trades=1,
        witnesses=WITNESSES,
    )


def bids(answered: int, silent: int) -> list[Bid]:
    """So many with an answer of 3 ms, and so many without."""
    return [Bid(float(n), 101, True, 3.0 if n < answered else None) for n in range(answered + silent)]


def test_an_hour_is_struck_every_two_and_five_minutes() -> None:
    """30 kills, 12 cuts; witnesses are never killed; everybody is cut off in turn; the seed alone decides."""
    blows = timetable(HOUR, list(NAMES), WITNESSES)
    kills, cuts = ([blow for blow in blows if blow.kind == kind] for kind in ("kill", "cut"))
    assert (len(kills), len(cuts)) == (30, 12)
    assert {blow.name for blow in kills} == set(NAMES) - set(WITNESSES)
    assert {blow.name for blow in cuts[:4]} == set(NAMES)
    assert [blow.at_s for blow in blows] == sorted(blow.at_s for blow in blows)
    assert blows[-1].at_s < 3600 - CUT_S
    assert blows == timetable(HOUR, list(NAMES), WITNESSES) != timetable(replace(HOUR, seed=8), list(NAMES), WITNESSES)


def test_three_minutes_have_a_kill_and_a_cut() -> None:
    """What runs with every change strikes once each way."""
    blows = timetable(Course(180.0, 2, 2, 1), list(NAMES), WITNESSES)
    assert sorted(blow.kind for blow in blows) == ["cut", "kill"]


def test_half_a_percent_without_an_answer_is_the_most() -> None:
    """995 of 1,000 pass, 994 do not; an answer past the budget is none."""
    assert judge(HOUR, found(bids(995, 5))).ok
    assert not judge(HOUR, found(bids(994, 6))).ok
    late = [*bids(994, 5), Bid(1.0, 101, True, 500.1)]
    assert not judge(HOUR, found(late)).ok


def test_a_bid_that_could_not_be_sent_is_shown_and_not_judged() -> None:
    """Without a session there is nobody to answer; the figure for all scheduled bids tells."""
    report = judge(HOUR, found([*bids(999, 0), *(Bid(2000.0, 101) for _ in range(1))]))
    assert report.value("sent, answered in budget") == 100
    assert report.value("due at any time, answered") == 99.9


def test_what_was_due_in_a_blow_is_told_apart() -> None:
    """From a budget before a battery's blow until its peers have dialled it again; a buyer's blow excuses nothing."""
    struck = [Struck("kill", "bess-101", 100.0, 101.0), Struck("cut", "aggregator-500", 200.0, 204.0)]
    scheduled = [Bid(at_s, 101) for at_s in (99.0, 99.6, 100.5, 103.9, 104.1, 202.0)] + [Bid(100.5, 102)]
    left = [(bid.battery, bid.due_s) for bid in undisturbed(found(scheduled, struck=struck))]
    assert left == [(101, 99.0), (101, 104.1), (101, 202.0), (102, 100.5)]


def test_memory_may_grow_by_a_twentieth() -> None:
    """From the first tenth after the warm-up to the last."""
    assert growth_percent(found([], kib=(1000, 1049)).samples, "bess-101", found([])) == pytest.approx(4.9)
    assert judge(HOUR, found(bids(1, 0), kib=(1000, 1049))).ok
    assert not judge(HOUR, found(bids(1, 0), kib=(1000, 1051))).ok


def test_a_violation_a_debt_or_a_bad_end_fails_a_soak_of_any_length() -> None:
    """These have no excuse."""
    short = Course(180.0, 2, 2, 7)
    for name, value in (("violations", ["sold_twice"]), ("faults", ["bess-101"]), ("unsettled", 1), ("trades", 0)):
        bad = found(bids(1, 0))
        setattr(bad, name, value)
        assert not judge(short, bad).ok, name


def test_losses_add_up_all_lives() -> None:
    """Sent and received by type, of processes that were killed too, and of the probes."""
    counted = found([])
    life = {"counters": {"sent": {"ACCEPT": 5}, "received": {"BID": 9, "ACCEPT": 4}, "late_messages": {"RESPONSE": 2}}}
    counted.counters = [life, life]
    by_kind = {loss.kind: loss for loss in losses(counted)}
    assert (by_kind["ACCEPT"].sent, by_kind["ACCEPT"].received, by_kind["ACCEPT"].percent) == (10, 8, 20.0)
    assert (by_kind["BID"].sent, by_kind["BID"].received, by_kind["BID"].percent) == (10, 18, 0.0)


def test_the_page_takes_only_whole_hours(tmp_path: Path) -> None:
    """The newest that was long enough; none is an error that says what to do."""
    with pytest.raises(page.PageError, match="make soak"):
        page.newest(tmp_path)
    for name, seconds in (("a", 3600.0), ("b", 180.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / page.FILE).write_text(json.dumps({"seconds": seconds, "name": name}))
    assert page.newest(tmp_path)["name"] == "a"


SCRIPT = """
import socket, time
from benches.soak import hosts
made = hosts.build(["a", "b"])
def reach():
    sock = made[1].socket()
    sock.settimeout(0.5)
    try:
        sock.connect((made[0].address, 8700))
        return True
    except OSError:
        return False
    finally:
        sock.close()
with made[0].inside():
    server = socket.create_server((made[0].address, 8700))
assert reach(), "before"
made[0].cut()
assert not reach(), "cut"
made[0].mend()
until_s = time.monotonic() + 20  # neighbours that were not found are asked for again, a second later each
while not reach():
    assert time.monotonic() < until_s, "mended"
elsewhere = socket.socket()
elsewhere.bind(("0.0.0.0", 8700))  # the port is the host's own
print("told", flush=True)
"""


def test_a_cut_host_is_reached_by_nobody() -> None:
    """Two real namespaces on a bridge: a connection, none while the cable is out, and one again."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    inside = ("unshare", *user, "--net", "--mount")
    try:
        allowed = subprocess.run([*inside, "ip", "link"], capture_output=True, check=False, timeout=10).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("network namespaces are not to be had here")
    program = (
        f"import os; os.environ['ETP_SOAK_INSIDE'] = 'yes'\nfrom benches.soak import hosts; hosts.enter()\n{SCRIPT}"
    )
    done = subprocess.run(
        [*inside, sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "told\n", done.stderr
