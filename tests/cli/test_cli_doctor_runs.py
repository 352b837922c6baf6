"""`etp doctor` for real: on loopback, beside running batteries, and in a network of its own where multicast is blocked."""

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.doctor import machine, peers
from cli.doctor.network import ask_gateway, echo, try_ports
from cli.doctor.peers import Asker, Clocks, PeersError, ask_clocks, plain_asker, signed_asker
from cli.doctor.verdicts import PeerClock
from cli.main import app
from etp.clock import Now
from etp.codes import Role
from etp.effects import Row
from etp.io.clock import system_now
from etp.io.multicast import bind_pair
from etp.units import WallUs
from runtime.io.journal import FILE, Journal
from runtime.io.key_file import make_key
from runtime.io.registry_file import save_registry
from tests.signing import registry, write_market

GROUP = ("239.192.77.77", 0)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@contextmanager
def battery(directory: Path, port: int, *more: str) -> Iterator[str]:
    """A running battery; gives HOST:PORT."""
    options = ["--device-id", "101", "--listen", "127.0.0.1:0", "--group", f"239.192.77.77:{port}", *more]
    command = [sys.executable, "-m", "cli.main", "bess", *options, "--state-dir", str(directory / "bess")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["tcp"]
    finally:
        process.terminate()
        process.communicate(timeout=15)


def doctor(*options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and the checks by name."""
    result = CliRunner().invoke(app, ["doctor", "--json", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, {one["check"]: one for one in json.loads(result.stdout)["checks"]}


def in_the_way(status: int, checks: dict[str, dict[str, Any]]) -> set[str]:
    """The checks that are bad, but for the disk's speed, which is not the test's to choose; the status must tell of all."""
    bad = {name for name, one in checks.items() if one["state"] == "bad"}
    assert status == bool(bad)
    return bad - {"journal commits"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody will answer, nobody is waited for for a second."""
    monkeypatch.setattr(peers, "PATIENCE_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_on_loopback(tmp_path: Path) -> None:
    """Every check takes place; nothing of it is left behind."""
    status, checks = doctor("--group", f"239.192.77.77:{free_port()}", "--state-dir", str(tmp_path / "node"))
    assert in_the_way(status, checks) == set()
    for name in ("multicast", "ports", "open files", "monotonic clock", "software"):
        assert checks[name]["state"] in ("ok", "warning"), checks[name]
    assert "10 of 10" in checks["multicast"]["found"]
    assert "limit 400 ms" in checks["journal commits"]["found"]
    assert checks["journal"]["state"] == "skipped"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_the_table_has_room_in_80_columns(tmp_path: Path) -> None:
    """Lines are folded, not cut off."""
    options = ["--group", f"239.192.77.77:{free_port()}", "--state-dir", str(tmp_path)]
    result = CliRunner().invoke(app, ["doctor", *options], env={"COLUMNS": "80"})
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "fit to trade" in result.stdout
    assert "…" not in result.stdout


def test_a_battery_is_asked_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By multicast and by address; both are this machine's clock, so the truth is 0 and the error is said. A wrong one is found."""
    port = free_port()
    with battery(tmp_path, port, "--profile", "plain") as address:
        host, _, tcp = address.rpartition(":")
        by_group = ask_clocks(plain_asker(), ("239.192.77.77", port), "127.0.0.1", group=True)
        by_address = ask_clocks(plain_asker(), (host, int(tcp)), "127.0.0.1", group=False)
        for (clock,) in (by_group, by_address):
            assert clock.device_id == 101
            assert abs(clock.offset_ms) <= clock.error_ms + 1.0
            assert 0 < clock.error_ms <= 60
        status, checks = doctor(
            "--group", f"239.192.77.77:{port}", "--peer", address, "--state-dir", str(tmp_path / "new")
        )
        assert in_the_way(status, checks) == set()
        assert checks["clock of the group"]["state"] == "ok"
        assert checks[f"clock of {address}"]["state"] == "ok"
        monkeypatch.setattr(peers, "system_now", lambda: ahead(400_000))
        (wrong,) = ask_clocks(plain_asker(), (host, int(tcp)), "127.0.0.1", group=False)
        assert abs(wrong.offset_ms + 400) <= wrong.error_ms + 1.0


def ahead(by_us: int) -> Now:
    """The clock of a machine that is ahead of the others."""
    now = system_now()
    return Now(now.monotonic_s, WallUs(now.wall_us + by_us))


@pytest.mark.usefixtures("quick")
def test_a_peer_that_is_silent_is_bad(tmp_path: Path) -> None:
    """The address was given, so somebody should be there."""
    options = ["--group", f"239.192.77.77:{free_port()}", "--state-dir", str(tmp_path)]
    status, checks = doctor(*options, "--peer", f"127.0.0.1:{free_port()}")
    assert status == 1
    (silent,) = (one for name, one in checks.items() if name.startswith("clock of 127."))
    assert silent["state"] == "bad"
    assert "firewall" in silent["advice"]


def test_a_signed_battery_answers_its_aggregator(tmp_path: Path) -> None:
    """The Query is signed under a boot that the journal keeps; while the node runs, its own figures are taken."""
    port = free_port()
    options = write_market(tmp_path, None, 101, 500)
    state, key = tmp_path / "agg", tmp_path / "500.json"
    with battery(tmp_path, port, *options, "--key", str(tmp_path / "101.json")) as address:
        host, _, tcp = address.rpartition(":")
        boots = []
        for _ in range(2):
            asker = signed_asker(Path(options[3]), key, state, ("239.192.77.77", port))
            assert isinstance(asker, Asker)
            (clock,) = ask_clocks(asker, (host, int(tcp)), "127.0.0.1", group=False)
            asker.close()
            assert clock.device_id == 101
            assert abs(clock.offset_ms) <= clock.error_ms + 1.0
            boots.append(boot_of(state))
        assert boots[1] > boots[0]
        journal = Journal.open(state, role="aggregator", device_id=500)
        (state / "metrics.json").write_text(
            json.dumps({"node": {"batteries": [{"device_id": 101, "clock_offset_ms": 7}]}})
        )
        found = signed_asker(Path(options[3]), key, state, ("239.192.77.77", port))
        journal.close()
        assert isinstance(found, Clocks)
        assert found.clocks == (PeerClock(101, 7.0, 25.0),)
        assert boot_of(state) == boots[1], "a running node's key signs nothing here"


def boot_of(directory: Path) -> int:
    with sqlite3.connect(directory / FILE) as database:
        found = database.execute("SELECT value FROM meta WHERE name = 'boot'").fetchone()
    database.close()
    return int(found[0])


@pytest.mark.usefixtures("quick")
def test_a_key_that_may_not_ask(tmp_path: Path) -> None:
    """A battery's key, and a stranger's: said, and nothing is signed."""
    options = write_market(tmp_path, None, 101)
    path = Path(options[3])
    with pytest.raises(PeersError, match="is a battery"):
        signed_asker(path, tmp_path / "101.json", tmp_path / "x", GROUP)
    make_key(tmp_path / "stranger.json")
    with pytest.raises(PeersError, match="nobody's"):
        signed_asker(path, tmp_path / "stranger.json", tmp_path / "x", GROUP)
    assert not (tmp_path / "x").exists()
    save_registry(path, registry())
    status, checks = doctor(
        "--registry", str(path), "--state-dir", str(tmp_path), "--group", f"239.192.77.77:{free_port()}"
    )
    assert in_the_way(status, checks) == set()
    assert "key.json" in checks["clocks of batteries"]["found"]
    assert Role.AGGREGATOR.value == "aggregator"


@pytest.mark.usefixtures("quick")
def test_a_changed_journal_is_bad(tmp_path: Path) -> None:
    """The chain of hashes says which row."""
    asyncio.run(write_journal(tmp_path))
    assert machine.read_journal(tmp_path) == (3, None, None)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE rows SET state = 'confirmed' WHERE seq = 2")
    database.close()
    status, checks = doctor("--state-dir", str(tmp_path), "--group", f"239.192.77.77:{free_port()}")
    assert (status, checks["journal"]["state"]) == (1, "bad")
    assert "row 2" in checks["journal"]["found"]
    (tmp_path / FILE).write_bytes(b"no database at all, and long enough to be read as one" * 100)
    rows, _, error = machine.read_journal(tmp_path)
    assert (rows, str(tmp_path) in (error or "")) == (0, True)


async def write_journal(directory: Path) -> None:
    """Three rows of a battery."""
    journal = Journal.open(directory, role="bess", device_id=101)
    for number in range(1, 4):
        await journal.commit([Row("promise", number, "reserved", WallUs(number), {}, str(number))])
    journal.close()


@pytest.mark.usefixtures("quick")
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the directory should be."""
    (tmp_path / "file").write_text("")
    if os.geteuid() == 0:
        place = Path("/proc/self/fdinfo")  # where not even root makes a directory
    else:
        place = tmp_path
        place.chmod(0o500)
    status, checks = doctor("--state-dir", str(place), "--group", f"239.192.77.77:{free_port()}")
    assert status == 1
    assert checks["journal commits"]["state"] == "bad"


def test_taken_ports() -> None:
    """An address that is not ours cannot be bound; one that is, can, many times over."""
    assert try_ports("127.0.0.1") is None
    assert "192.0.2.7" in (try_ports("192.0.2.7") or "")
    listener, unicast = bind_pair("127.0.0.1", 0)
    assert try_ports("127.0.0.1") is None
    listener.close()
    unicast.close()


def test_an_interface_that_is_not_ours() -> None:
    """No device has that address."""
    found = echo(("239.192.77.77", free_port()), "192.0.2.7")
    assert found.heard == 0
    assert "192.0.2.7" in (found.error or "")


@pytest.mark.parametrize(
    "options",
    [
        ["--interface", "nowhere"],
        ["--group", "10.0.0.1:8888"],
        ["--group", "239.1.1.1:0"],
        ["--peer", "battery"],
        ["--gateway", "ftp://x"],
    ],
)
def test_wrong_use(options: list[str]) -> None:
    """Status 2, one line that names the option and what would be right."""
    result = CliRunner().invoke(app, ["doctor", *options])
    assert result.exit_code == 2
    assert "expected" in result.stderr
    assert options[0][2:] in result.stderr


def test_no_gateway_there() -> None:
    """Said, without a traceback."""
    assert ask_gateway(f"http://127.0.0.1:{free_port()}").status is None


def test_what_this_machine_says() -> None:
    """Each reader gives something plausible here."""
    assert 0 < machine.monotonic_step_s() < 0.02
    limit = machine.open_file_limit()
    assert limit is None or limit > 0
    available = machine.available_memory()
    assert available is None or available > 0
    assert machine.ask_clock().told_by
    assert machine.software()[0] == tuple(sys.version_info[:3])
    if sys.platform == "linux":
        assert all(machine.mount_of(Path("/proc/self")))


# -- a network of its own


def namespace(name: str) -> str | None:
    """Make a network namespace with an address of its own; why not, where that is not permitted."""
    ip = shutil.which("ip")
    if ip is None:
        return "there is no `ip` here"
    steps = [
        ["netns", "add", name],
        ["-n", name, "link", "set", "lo", "up"],
        ["-n", name, "address", "add", "10.99.0.1/24", "dev", "lo"],
    ]
    for step in steps:
        done = subprocess.run([ip, *step], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"`ip {' '.join(step)}` is not permitted here: {done.stderr.strip()}"
    return None


@pytest.fixture
def own_network() -> Iterator[str]:
    """A namespace's name."""
    name = f"etp-doctor-{os.getpid()}"
    why = namespace(name)
    try:
        if why is not None:
            pytest.skip(why)
        yield name
    finally:
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def inside(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in a namespace."""
    words = ["ip", "netns", "exec", name, sys.executable, *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


HEAR = "from cli.doctor.network import echo; print(echo(('239.192.77.77', 8888), '10.99.0.1').heard)"


def test_blocked_multicast_is_found(own_network: str, tmp_path: Path) -> None:
    """The same interface with and without a rule that drops the group: first all comes back, then nothing."""
    assert inside(own_network, "-c", HEAR).stdout.strip() == "10"
    blocked = block(own_network)
    if blocked is not None:
        pytest.skip(blocked)
    options = ["--json", "--interface", "10.99.0.1", "--state-dir", str(tmp_path)]
    done = inside(own_network, "-m", "cli.main", "doctor", *options)
    (multicast,) = (one for one in json.loads(done.stdout)["checks"] if one["check"] == "multicast")
    assert (done.returncode, multicast["state"]) == (1, "bad")
    assert "0 of 10" in multicast["found"]
    assert "nft add rule" in multicast["advice"]


def block(name: str) -> str | None:
    """Drop what is sent to groups; why not, where nothing here can."""
    chain = "add table inet filter; add chain inet filter input { type filter hook input priority 0; }"
    rules = [
        ["nft", f"{chain}; add rule inet filter input ip daddr 224.0.0.0/4 drop"],
        ["iptables", "-A", "INPUT", "-d", "224.0.0.0/4", "-j", "DROP"],
        ["tc", "qdisc", "add", "dev", "lo", "root", "pfifo", "limit", "0"],  # nothing gets through the device at all
    ]
    for rule in rules:
        if shutil.which(rule[0]):
            done = subprocess.run(["ip", "netns", "exec", name, *rule], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return None
    return "nothing here can block multicast: neither nft nor iptables nor tc"
