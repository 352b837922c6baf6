"""Real processes: what they refuse at start and how they say so; full disks, failures, slow, silent and flooding peers."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etp import messages
from etp.codes import MessageType, RejectCode, TerminateCode
from etp.effects import Row
from etp.frame import Frame, decode, encode
from etp.session import PREFIX
from etp.timing import REPLY_BUDGET_MS, TIMING
from etp.units import DeviceId, LotId, MicroPerKwh, WallUs, Wh
from runtime.io.journal import FILE, Journal
from tests.e2e.test_e2e_bess import ROOT, Buyer, Daemon, close_sockets, connect

__all__ = ["close_sockets"]

MIB = 2**20
FLOOD = 200_000
"""Garbage frames in all."""
BUYER = DeviceId(500)
FOR_SALE_WH = 6412
"""What the default battery offers."""
Start = Callable[..., Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts daemons, each ended by its process id at the latest with the test."""
    started: list[Daemon] = []

    def begin(*options: str, state: Path = tmp_path / "state") -> Daemon:
        started.append(Daemon(state, *options))
        return started[-1]

    yield begin
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.process.communicate(timeout=10)


def etp(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """`etp` with these arguments, in a terminal wide enough for any message."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "250"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def is_refused(done: "subprocess.CompletedProcess[str]", status: int, *says: str) -> None:
    """It ended with this status, printed nothing but the reason, and no traceback."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for text in says:
        assert text in done.stderr


# -- at start


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ("bess --device-id 1 --resreve 3", 2, ["--resreve", "--reserve"]),
        ("bess", 2, ["device_id", "--device-id", "ETP_DEVICE_ID"]),
        ("bess --device-id 1 --config BROKEN", 2, ["config", "node.toml", "is not TOML", "line 2"]),
        ("bess --device-id 1 --listen 0.0.0.0:0", 2, ["listen", "'0.0.0.0:0'", "127.0.0.1", "--allow-plaintext"]),
        ("bess --device-id 1 --pricing prices --state-dir STATE", 2, ["pricing", "'prices'", "--day FILE"]),
        ("bess --device-id 1 --day none.csv --state-dir STATE", 2, ["day", "'none.csv'", "No such file"]),
        ("bess --device-id 1 --state-dir BROKEN", 1, ["state directory", "node.toml", "cannot be used"]),
        ("export --state-dir STATE", 1, ["no journal", "STATE", "--state-dir of a node"]),
        ("export", 2, ["--state-dir"]),
        ("export --state-dir STATE --format xml", 2, ["--format", "xml", "jsonl", "csv"]),
        ("decode 5x", 2, ["HEX", "'5x'", "hexadecimal digits"]),
        ("sell", 2, ["sell"]),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, arguments: str, status: int, says: list[str]) -> None:
    """2 for wrong use or settings, 1 for what failed; the message names the thing, its value and what would be right."""
    places = {"BROKEN": str(tmp_path / "node.toml"), "STATE": str(tmp_path / "STATE")}
    Path(places["BROKEN"]).write_text("reserve = 12.5\nmechanism = english\n")
    is_refused(etp(*(places.get(word, word) for word in arguments.split())), status, *says)


def test_junk_in_hex_is_refused_not_misread() -> None:
    """`etp decode`: status 1, what it is and what a frame would be."""
    done = etp("decode", "deadbeef")
    assert (done.returncode, done.stderr) == (1, "")
    assert "a frame is 84 bytes long; these are 4" in done.stdout


def test_a_port_in_use(start: Start, tmp_path: Path) -> None:
    """Status 1, the address, and what to do about it."""
    address = start().line["tcp"]
    done = etp("bess", "--device-id", "102", "--listen", address, "--state-dir", str(tmp_path / "other"))
    done.stderr = done.stderr.splitlines()[-1]
    is_refused(done, 1, address, "in use", "or 0 for any")


def test_a_state_directory_of_another_node(start: Start) -> None:
    """Another device and another role: status 2, the directory, whose it is and who asked."""
    state = start()
    state.stop()
    for role, device in (("bess", "102"), ("aggregator", "101")):
        done = etp(role, "--device-id", device, "--state-dir", str(state.state))
        is_refused(done, 2, str(state.state), "belongs to bess 101", f"this node is {role} {device}")


def test_a_state_directory_in_use_by_a_second_process(start: Start) -> None:
    """Status 1, the directory and what to do; the first process goes on."""
    first = start()
    done = etp("bess", "--device-id", "101", "--state-dir", str(first.state))
    is_refused(done, 1, str(first.state), "in use by another process", "a directory of its own")
    buyer = Buyer(first)
    buyer.send(messages.query(BUYER))
    assert messages.offer(buyer.receive(MessageType.RESPONSE)).for_sale == FOR_SALE_WH


@pytest.mark.parametrize("peer", ["nonsense", "127.0.0.1:99999"])
def test_a_wrong_peer_is_refused_before_anything_is_announced(tmp_path: Path, peer: str) -> None:
    """Nobody is told that an aggregator is ready which then ends with status 2."""
    done = etp("aggregator", "--device-id", "500", "--state-dir", str(tmp_path), "--peer", peer)
    is_refused(done, 2, "peer", peer, "127.0.0.1:8888")


def damaged(directory: Path) -> Path:
    """The state directory of bess 101 whose journal has lost its middle."""

    async def write() -> None:
        journal = Journal.open(directory, role="bess", device_id=101)
        body = {"text": "x" * 3000}
        await journal.commit([Row("promise", LotId(n), "reserved", WallUs(1), body, str(n)) for n in range(300)])
        journal.close()

    asyncio.run(write())
    path = directory / FILE
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + b"\xaa" * 20_000 + data[middle + 20_000 :])
    return directory


def test_a_daemon_does_not_serve_from_a_damaged_journal(tmp_path: Path) -> None:
    """Status 1, the directory and what the database says."""
    done = etp("bess", "--device-id", "101", "--state-dir", str(damaged(tmp_path / "state")))
    is_refused(done, 1, "journal in", str(tmp_path), "malformed")


def test_an_export_of_a_damaged_journal_says_so(tmp_path: Path) -> None:
    """Status 1, the directory and what the database says, no traceback."""
    done = etp("export", "--state-dir", str(damaged(tmp_path / "state")))
    assert "Traceback" not in done.stderr
    assert (done.returncode, str(tmp_path) in done.stderr) == (1, True)


# -- a full disk


class FileSizeLimit:
    """No file of a process may grow beyond what its largest is now."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def fill(self) -> None:
        """No more room."""
        largest = max(path.stat().st_size for path in self._daemon.state.iterdir())
        self._limit(largest)

    def free(self) -> None:
        """Room again."""
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        resource.prlimit(self._daemon.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class SmallDisk:
    """A file system of its own, filled by one large file."""

    def __init__(self, daemon: Daemon) -> None:
        self._ballast = daemon.state.parent / "ballast"

    def fill(self) -> None:
        """No more room."""
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Room again."""
        self._ballast.unlink()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """The mount point of a tmpfs of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, timeout=10, check=False).returncode:
        pytest.skip("a small file system needs the right to mount one")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], timeout=10, check=True)


Disk = FileSizeLimit | SmallDisk
Node = tuple[Daemon, Disk]


@pytest.fixture(params=["file size", "file system"])
def node(request: pytest.FixtureRequest, start: Start) -> Node:
    """A daemon whose disk can be filled."""
    if request.param == "file size":
        daemon = start()
        return daemon, FileSizeLimit(daemon)
    # The counters' own file is another test's business.
    daemon = start("--metrics-ms", "600000", state=request.getfixturevalue("small") / "state")
    return daemon, SmallDisk(daemon)


def accepted(buyer: Buyer) -> Frame:
    """Bid until it is accepted; while nothing can be promised, again and again."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        buyer.bid(13.0, 1)
        answer = answer_of(buyer)
        if answer.message_type == MessageType.ACCEPT:
            return answer
        assert answer.termination_code == RejectCode.UNAVAILABLE
        next_frame(buyer, 0.1)
    raise AssertionError("nothing was accepted within 10 s")


def answer_of(buyer: Buyer) -> Frame:
    """The end of a bid: Accept or Reject."""
    while True:
        frame = next_frame(buyer, 5)
        assert frame is not None
        if frame.message_type in (MessageType.ACCEPT, MessageType.REJECT):
            return frame


def next_frame(buyer: Buyer, timeout_s: float) -> Frame | None:
    """The next frame, or None where none comes in time."""
    buyer.socket.settimeout(timeout_s)
    try:
        data = buyer.socket.recv(88, socket.MSG_WAITALL)
    except TimeoutError:
        return None
    finally:
        buyer.socket.settimeout(5)
    return decode(data[4:])


def finished(buyer: Buyer, accept: Frame) -> None:
    """Confirm, and hear that the trade stands."""
    buyer.send(messages.confirm(BUYER, accept))
    assert buyer.receive(MessageType.TERMINATE).termination_code == TerminateCode.FINISHED


def for_sale(buyer: Buyer) -> int:
    """What is for sale now."""
    buyer.send(messages.query(BUYER))
    return messages.offer(buyer.receive(MessageType.RESPONSE)).for_sale


def states(daemon: Daemon) -> list[str]:
    """What the journal says of the promises, in order."""
    return [str(row["state"]) for row in daemon.export() if row["kind"] == "promise"]


def test_no_promise_without_room_for_it(node: Node) -> None:
    """Full where an Accept is due: Reject(UNAVAILABLE), Queries answered all the while; with room again it sells on."""
    daemon, disk = node
    buyer = Buyer(daemon)
    finished(buyer, accepted(buyer))
    disk.fill()
    for _ in range(3):
        buyer.bid(13.0, 1)
        assert answer_of(buyer).termination_code == RejectCode.UNAVAILABLE
        assert for_sale(buyer) == FOR_SALE_WH - 1000
    disk.free()
    finished(buyer, accepted(buyer))
    assert daemon.stop() == 0
    assert states(daemon) == ["reserved", "confirmed"] * 2
    assert [row["energy_wh"] for row in daemon.export() if row["kind"] == "trade"] == [1000, 1000]


def test_no_trade_without_room_for_it(node: Node) -> None:
    """Full between Accept and Confirm: no FINISHED; CANNOT_DELIVER once that can be written, and the energy is free again."""
    daemon, disk = node
    buyer = Buyer(daemon)
    accept = accepted(buyer)
    disk.fill()
    buyer.send(messages.confirm(BUYER, accept))
    assert for_sale(buyer) == FOR_SALE_WH - 1000
    disk.free()
    assert buyer.receive(MessageType.TERMINATE).termination_code == TerminateCode.CANNOT_DELIVER
    finished(buyer, accepted(buyer))
    assert daemon.stop() == 0
    assert states(daemon) == ["reserved", "released", "reserved", "confirmed"]


def test_a_full_disk_at_the_end_is_no_reason_to_leave_in_silence(start: Start) -> None:
    """SIGTERM with a full disk: peers hear SHUTTING_DOWN, whatever the status."""
    daemon = start()
    buyer = Buyer(daemon)
    finished(buyer, accepted(buyer))
    FileSizeLimit(daemon).fill()
    daemon.process.send_signal(signal.SIGTERM)
    assert buyer.receive(MessageType.TERMINATE).termination_code == TerminateCode.SHUTTING_DOWN


def test_counters_without_room_do_not_end_the_daemon(start: Start, small: Path) -> None:
    """metrics.json cannot be written: the daemon serves on, and the file follows when there is room."""
    daemon = start("--metrics-ms", "10", state=small / "state")
    buyer = Buyer(daemon)
    SmallDisk(daemon).fill()
    for _ in range(20):
        assert for_sale(buyer) == FOR_SALE_WH
        next_frame(buyer, 0.02)
    assert daemon.process.poll() is None


def test_the_last_counters_tell_the_end(start: Start) -> None:
    """A Confirm within the grace of a stop is in metrics.json when the process is gone."""
    daemon = start("--metrics-ms", "600000")
    buyer = Buyer(daemon)
    accept = accepted(buyer)
    daemon.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(ConnectionError):
        while True:  # until nobody is admitted any more
            socket.create_connection(daemon.address, timeout=5).close()
    finished(buyer, accept)
    assert daemon.process.wait(10) == 0
    counters = json.loads((daemon.state / "metrics.json").read_text())["counters"]
    assert counters["promises"] == {"accepted": 1, "confirmed": 1}


# -- failure


def test_a_device_failure_is_told_within_its_delay(start: Start) -> None:
    """SIGUSR1 → DeviceFailure at each connected peer within 200 ms of the signal."""
    daemon = start()
    buyers = [Buyer(daemon, device) for device in range(500, 520)]
    for buyer in buyers:
        buyer.send(messages.query(DeviceId(buyer.device)))
        buyer.receive(MessageType.RESPONSE)
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGUSR1)
    for buyer in buyers:
        buyer.receive(MessageType.DEVICE_FAILURE)
    assert (time.monotonic() - began) * 1000 < TIMING[MessageType.DEVICE_FAILURE].max_delay_ms


# -- peers


def seconds_until_closed(sock: socket.socket, began: float) -> float:
    """Read on until the other side has closed; seconds since `began`."""
    sock.settimeout(5)
    with contextlib.suppress(ConnectionError):
        while sock.recv(65_536):
            pass
    return time.monotonic() - began


def resident(daemon: Daemon) -> int:
    """Bytes of memory that the daemon's process holds."""
    text = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def packets(frame: Frame, count: int) -> bytes:
    """So many copies of a frame, each with an id of its own."""
    first = time.time_ns() // 1000
    return b"".join(PREFIX + encode(frame._replace(message_id=first + number)) for number in range(count))


def test_silent_and_slow_peers_are_closed(start: Start) -> None:
    """2 s for a first frame, 1 s for the rest of one, also behind a whole one; nobody else is closed."""
    daemon = start()
    began = time.monotonic()
    silent, slow, slower = (connect(daemon.address) for _ in range(3))
    honest = Buyer(daemon)
    assert for_sale(honest) == FOR_SALE_WH
    query = packets(messages.query(DeviceId(501)), 1)
    slow.sendall(query[:87])
    slower.sendall(query + query[:1])
    assert 0.9 < seconds_until_closed(slow, began) < 1.9
    assert 0.9 < seconds_until_closed(slower, began) < 1.9
    assert 1.9 < seconds_until_closed(silent, began) < 2.9
    assert for_sale(honest) == FOR_SALE_WH


def test_a_wrong_length_is_answered_and_closed(start: Start) -> None:
    """Whatever is not 84: Terminate(PROTOCOL_ERROR), then the end, all within 1 s."""
    daemon = start()
    for length in (0, 83, 85, 212, 84 << 8, 2**32 - 1):
        sock = connect(daemon.address)
        began = time.monotonic()
        sock.sendall(struct.pack("<I", length))
        answer = decode(sock.recv(88, socket.MSG_WAITALL)[4:])
        assert (answer.message_type, answer.termination_code) == (MessageType.TERMINATE, TerminateCode.PROTOCOL_ERROR)
        assert seconds_until_closed(sock, began) < 1.0


def test_a_giant_length_costs_no_memory(start: Start) -> None:
    """4 GiB announced and a MiB of it sent, by 20 peers after a first: the daemon does not grow."""
    daemon = start()

    def announce_4_gib() -> None:
        sock = connect(daemon.address)
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"\xff\xff\xff\xff" + bytes(MIB))
        seconds_until_closed(sock, time.monotonic())

    announce_4_gib()
    before = resident(daemon)
    for _ in range(20):
        announce_4_gib()
    assert resident(daemon) - before < MIB


def test_a_peer_that_never_reads_is_cut(start: Start) -> None:
    """Its answers fill the socket, then the queue, then it is closed; what it cost is bounded, and others are served."""
    daemon = start()
    before = resident(daemon)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.settimeout(10)
    sent = 0
    with deaf, contextlib.suppress(ConnectionError):
        deaf.connect(daemon.address)
        while sent < 200_000:
            deaf.sendall(packets(messages.bid(BUYER, price=MicroPerKwh(1), energy=Wh(1)), 500))
            sent += 500
    assert sent < 200_000
    assert resident(daemon) - before < 32 * MIB
    assert for_sale(Buyer(daemon, 501)) == FOR_SALE_WH


def rejected_flood(address: tuple[str, int]) -> None:
    """Half of the flood in frames of no known type, over new connections as the old ones are closed."""
    garbage = packets(Frame(255), 1000)
    for _ in range(FLOOD // 2 // 1000):
        with contextlib.suppress(ConnectionError), socket.create_connection(address, timeout=5) as sock:
            sock.sendall(garbage)


def legal_flood(address: tuple[str, int]) -> None:
    """Half of the flood in Registers that say nothing, in one session."""
    with socket.create_connection(address, timeout=5) as sock:
        for _ in range(FLOOD // 2 // 1000):
            sock.sendall(packets(messages.register(DeviceId(700)), 1000))
        sock.shutdown(socket.SHUT_WR)
        seconds_until_closed(sock, time.monotonic())


def test_a_flood_makes_nobody_else_wait(start: Start) -> None:
    """Another peer's bids are each answered within 500 ms while 200,000 useless frames come in."""
    daemon = start("--mechanism", "vickrey", "--closing-ms", "600000", "--bid-rate", "5000")
    buyer = Buyer(daemon)
    floods = [threading.Thread(target=flood, args=(daemon.address,)) for flood in (rejected_flood, legal_flood)]
    for flood in floods:
        flood.start()
    waited: list[float] = []
    while any(flood.is_alive() for flood in floods) or len(waited) < 20:
        began = time.monotonic()
        buyer.bid(13.0, 1)
        while buyer.receive(MessageType.RESPONSE).bid_price != 13.0:
            pass
        waited.append((time.monotonic() - began) * 1000)
    assert max(waited) < REPLY_BUDGET_MS
    assert daemon.stop() == 0
    counters = json.loads((daemon.state / "metrics.json").read_text())["counters"]
    assert counters["received"]["REGISTER"] == FLOOD // 2
    assert counters["violations"]["invalid"] >= FLOOD // 2 // 1000


def test_a_repeated_decode_error_is_logged_once(start: Start) -> None:
    """Three invalid frames: one line on stderr that says which kind, not three and not none."""
    daemon = start()
    sock = connect(daemon.address)
    sock.sendall(packets(Frame(255), 3))
    seconds_until_closed(sock, time.monotonic())
    daemon.stop()
    said = [json.loads(line) for line in (daemon.state.parent / "stderr").read_text().splitlines()]
    assert [line["kind"] for line in said if line.get("kind") == "invalid"] == ["invalid"]
