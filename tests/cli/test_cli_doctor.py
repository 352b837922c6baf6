"""What measurements mean: each verdict of `etp doctor`, at its limits, with words that say what to change."""

import json
from io import StringIO

import pytest
from rich.console import Console

from bess_node.io.daemon import OPEN_FILES_BESIDE_SESSIONS
from cli.doctor import verdicts
from cli.doctor.machine import read_chrony, read_kernel
from cli.doctor.peers import measured_by
from cli.doctor.report import as_json, show, summary
from cli.doctor.verdicts import (
    GIB,
    MIB,
    ClockSource,
    Commits,
    Echo,
    GatewayAnswer,
    PeerClock,
    State,
    Verdict,
    percentile,
    worst_of,
)
from etp.limits import Limits
from etp.timing import Timing

TIMING = Timing()
GROUP = "239.192.77.77:8888"


def echo(heard: int = 10, interface: str = "192.0.2.7", error: str | None = None) -> Echo:
    return Echo(GROUP, interface, 10, heard, 0.4, error)


@pytest.mark.parametrize(
    ("measured", "state", "words"),
    [
        (echo(), State.OK, ["10 of 10", "0.4 ms"]),
        (echo(9), State.WARNING, ["9 of 10", "lost"]),
        (echo(7), State.BAD, ["firewall", "239.192.77.77 udp dport 8888", "--peer"]),
        (echo(0), State.BAD, ["0 of 10", "firewall"]),
        (echo(interface="127.0.0.1"), State.OK, ["only nodes of this machine", "--interface"]),
        (echo(0, error="no such device"), State.BAD, ["no such device", "ip route add", "--interface"]),
    ],
)
def test_multicast(measured: Echo, state: State, words: list[str]) -> None:
    """It comes back, is lost in part, is blocked, or there is no such interface."""
    check(verdicts.judge_multicast(measured), state, words)


def check(verdict: Verdict, state: State, words: list[str]) -> None:
    assert verdict.state is state, verdict
    for word in words:
        assert word in f"{verdict.check}: {verdict.found} -> {verdict.advice}"
    if state in (State.WARNING, State.BAD):
        assert verdict.advice, "whatever is not right comes with what to change"


def test_ports() -> None:
    """Free or taken."""
    check(verdicts.judge_ports("192.0.2.7", None), State.OK, ["192.0.2.7"])
    check(verdicts.judge_ports("192.0.2.7", "address in use"), State.BAD, ["address in use", "ss -lntu"])


@pytest.mark.parametrize(
    ("source", "state", "words"),
    [
        (ClockSource(synchronised=True, told_by="chrony", estimated_error_ms=50.0), State.OK, ["chrony", "50.0 ms"]),
        (ClockSource(synchronised=True, told_by="chrony", estimated_error_ms=50.1), State.WARNING, ["nearer"]),
        (ClockSource(synchronised=True, told_by="chrony", estimated_error_ms=250.1), State.BAD, ["nearer"]),
        (ClockSource(synchronised=True, told_by="timedatectl"), State.OK, ["timedatectl"]),
        (ClockSource(synchronised=False, told_by="the kernel"), State.WARNING, ["set-ntp true"]),
        (ClockSource(synchronised=None, told_by="nothing tells"), State.SKIPPED, ["nothing tells"]),
    ],
)
def test_clock(source: ClockSource, state: State, words: list[str]) -> None:
    """By what the system says of it."""
    check(verdicts.judge_clock(source, TIMING), state, words)


def peers(*offsets_ms: float) -> list[PeerClock]:
    return [PeerClock(101 + number, offset_ms, 5.0) for number, offset_ms in enumerate(offsets_ms)]


@pytest.mark.parametrize(
    ("clocks", "named", "state", "words"),
    [
        (peers(0.0, 55.0), False, State.OK, ["2 answered", "55 ms behind battery 102's"]),
        (peers(-55.6), False, State.WARNING, ["56 ms ahead of battery 101's", "late", "set-ntp"]),
        (peers(3.0, 256.0), True, State.BAD, ["nobody bids", "one of the clocks"]),
        (peers(-300.0, -310.0, -305.0), True, State.BAD, ["this machine's clock is off", "310 ms ahead"]),
        ([], False, State.SKIPPED, ["nobody answered"]),
        ([], True, State.BAD, ["nobody answered", "firewall", "3 s off"]),
    ],
)
def test_peer_clocks(clocks: list[PeerClock], named: bool, state: State, words: list[str]) -> None:
    """By 50 and 250 ms; silence is bad only where somebody was named."""
    check(verdicts.judge_peer_clocks("the group", clocks, named=named, timing=TIMING), state, words)


@pytest.mark.parametrize(
    ("commits", "state", "words"),
    [
        (Commits((1.0,) * 99 + (2.0,)), State.OK, ["p50 1.0 ms", "worst 2.0 ms", "limit 400 ms"]),
        (Commits((1.0,) * 98 + (100.1,) * 2), State.WARNING, ["p99 100.1 ms", "comfortable"]),
        (Commits((1.0,) * 99 + (401.0,)), State.WARNING, ["worst 401.0 ms"]),
        (Commits((1.0,) * 98 + (401.0,) * 2, "ext4", "/dev/mmcblk0p2"), State.BAD, ["lots are lost", "SSD"]),
        (Commits((1.0,), "ext4", "/dev/mmcblk0p2"), State.OK, ["memory card"]),
        (Commits((1.0,), "tmpfs", "tmpfs"), State.WARNING, ["tmpfs forgets promises"]),
    ],
)
def test_commits(commits: Commits, state: State, words: list[str]) -> None:
    """Against the 400 ms after which an Accept is not sent, and what is comfortable."""
    check(verdicts.judge_commits(commits, TIMING), state, words)


@pytest.mark.parametrize(
    ("free", "state"),
    [(GIB, State.OK), (GIB - 1, State.WARNING), (100 * MIB, State.WARNING), (100 * MIB - 1, State.BAD)],
)
def test_space(free: int, state: State) -> None:
    """For the journal to grow."""
    check(verdicts.judge_space(free, "dir"), state, ["dir"])


def test_journal() -> None:
    """Whole, changed, or not to be read."""
    check(verdicts.judge_journal("d", 1234, None, None), State.OK, ["1,234 rows"])
    check(verdicts.judge_journal("d", 9, 7, None), State.BAD, ["row 7", "evidence"])
    check(verdicts.judge_journal("d", 0, None, "file is encrypted"), State.BAD, ["file is encrypted"])


@pytest.mark.parametrize(
    ("limit", "state"),
    [(None, State.OK), (1264, State.OK), (1263, State.WARNING), (128, State.WARNING), (127, State.BAD)],
)
def test_open_files(limit: int | None, state: State) -> None:
    """Against what a battery with all its sessions needs: the very number that the daemon asks for."""
    assert verdicts.FILES_BESIDE_SESSIONS == OPEN_FILES_BESIDE_SESSIONS
    assert Limits().sessions + OPEN_FILES_BESIDE_SESSIONS == 1264
    check(verdicts.judge_files(limit), state, ["1,264"])


@pytest.mark.parametrize(
    ("available", "state"),
    [(None, State.SKIPPED), (256 * MIB, State.OK), (255 * MIB, State.WARNING), (95 * MIB, State.BAD)],
)
def test_memory(available: int | None, state: State) -> None:
    """For one node and a little else."""
    check(verdicts.judge_memory(available), state, [])


@pytest.mark.parametrize(
    ("version", "uvloop", "state"),
    [((3, 11, 0), "0.21", State.OK), ((3, 13, 1), None, State.WARNING), ((3, 10, 9), "0.21", State.BAD)],
)
def test_software(version: tuple[int, ...], uvloop: str | None, state: State) -> None:
    """Python's version, and the fast loop."""
    check(verdicts.judge_python(version, uvloop), state, ["Python 3."])


@pytest.mark.parametrize(("step_s", "state"), [(1e-9, State.OK), (0.0011, State.WARNING), (0.0201, State.BAD)])
def test_monotonic_clock(step_s: float, state: State) -> None:
    """Fine enough for deadlines."""
    check(verdicts.judge_ticks(step_s), state, [])


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (GatewayAnswer(None, "nothing listens"), State.BAD, ["nothing listens", "firewall"]),
        (GatewayAnswer(404), State.BAD, ["404", "/healthz"]),
        (GatewayAnswer(200), State.OK, ["does not tell its time"]),
        (GatewayAnswer(200, "", 51.0, 2.0), State.OK, ["51 ms behind"]),
        (GatewayAnswer(200, "", -53.0, 2.0), State.WARNING, ["53 ms ahead", "set-ntp"]),
        (GatewayAnswer(200, "", 1300.0, 1000.0), State.BAD, ["1300 ms behind"]),
    ],
)
def test_gateway(answer: GatewayAnswer, state: State, words: list[str]) -> None:
    """Reachable; its clock judged by what is certain of the offset."""
    check(verdicts.judge_gateway("http://g:80", answer, TIMING), state, words)


def test_percentiles() -> None:
    """By nearest rank."""
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


# -- what programs of the system say


def test_what_chrony_says() -> None:
    """Its line as `chronyc -c tracking` prints it; anything else is no answer."""
    line = "D83ACD2C,216.58.205.44,2,1790000000.1,0.000123,-0.0001,0.0002,1.5,0.01,0.05,0.020,0.003,64.2,Normal"
    source = read_chrony(line)
    assert source is not None
    assert source.synchronised
    assert source.estimated_error_ms == pytest.approx(0.123 + 3 + 10)
    off = read_chrony(line.replace("Normal", "Not synchronised"))
    assert off is not None
    assert not off.synchronised
    for wrong in ("", "506 Cannot talk to daemon", "a,b,c,d,e,f,g,h,i,j,k,l,m,n"):
        assert read_chrony(wrong) is None


@pytest.mark.parametrize(("state", "status", "right"), [(0, 0x2001, True), (5, 0x2001, False), (0, 0x0040, False)])
def test_what_the_kernel_says(state: int, status: int, right: bool) -> None:
    """TIME_ERROR or STA_UNSYNC: nobody keeps the clock right; then its estimate says nothing."""
    source = read_kernel(state, status, esterror_us=1500)
    assert source == ClockSource(right, "the kernel", 1.5 if right else None)


def test_what_a_running_aggregator_measured() -> None:
    """Its metrics file has the offsets; entries without one are left out."""
    entries = [{"device_id": 101, "clock_offset_ms": 12.5}, {"device_id": 102, "clock_offset_ms": None}, 7]
    assert measured_by({"node": {"batteries": entries}}) == (PeerClock(101, 12.5, 25.0),)
    for empty in ({}, {"node": 3}, {"node": {"batteries": None}}):
        assert measured_by(empty) == ()


# -- the report


def some() -> list[Verdict]:
    return [
        Verdict("fine", State.OK, "all right"),
        Verdict("odd", State.WARNING, "[red]\x1b[31mnot quite", "do that"),
        Verdict("absent", State.SKIPPED, "not asked"),
    ]


def test_the_report_for_people() -> None:
    """Each check with what to change; markup and escapes in it are text."""
    out = StringIO()
    show(some(), Console(file=out, width=80, force_terminal=False))
    text = out.getvalue()
    assert "[red]?[31mnot quite" in text
    assert "-> do that" in text
    assert "\x1b" not in text
    assert text.rstrip().endswith("1 ok, 1 warning, 1 skipped: fit to trade")


def test_the_report_for_programs() -> None:
    """One object; `ok` follows the exit status, and only what is bad makes it 1."""
    assert worst_of(some()) == 0
    assert json.loads(as_json(some()))["ok"] is True
    bad = [*some(), Verdict("broken", State.BAD, "x", "y")]
    assert worst_of(bad) == 1
    found = json.loads(as_json(bad))
    assert found["ok"] is False
    assert found["checks"][-1] == {"check": "broken", "state": "bad", "found": "x", "advice": "y"}
    assert summary(bad).endswith("1 bad, 1 skipped: not fit to trade yet")
