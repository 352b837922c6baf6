"""A real battery daemon over real sockets: a trade, refusals, kill -9 between Accept and Confirm."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from etp import messages
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.frame import Frame, decode, encode
from etp.session import PREFIX
from tests.commands import tool
from tests.paying import group

ROOT = Path(__file__).parents[2]
KILLS = 20


OPEN: list[socket.socket] = []


@pytest.fixture(autouse=True)
def close_sockets() -> Iterator[None]:
    """Close what a test opened."""
    yield
    while OPEN:
        OPEN.pop().close()


def connect(address: tuple[str, int]) -> socket.socket:
    """A connection that is closed when its test ends."""
    OPEN.append(socket.create_connection(address, timeout=5))
    return OPEN[-1]


GROUP = group()


class Daemon:
    """One `etp bess` process."""

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        self.began = time.monotonic()
        with (state.parent / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cli.main", "bess", "--device-id", "101", "--state-dir", str(state)),
                    *("--closing-ms", "30", "--group", GROUP),
                    *options,
                ],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
            )
        assert self.process.stdout is not None
        self.line = json.loads(self.process.stdout.readline())
        self.ready_s = time.monotonic() - self.began
        host, port = self.line["tcp"].split(":")
        self.address = (host, int(port))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its status."""
        self.process.send_signal(number)
        status = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def export(self) -> list[dict[str, object]]:
        """`etp export` of its journal."""
        done = tool("export", "--state-dir", str(self.state))
        return [json.loads(line) for line in done.stdout.splitlines()]


class Buyer:
    """Frames by hand over a socket."""

    last_id = 0

    def __init__(self, daemon: Daemon, device: int = 500) -> None:
        self.device = device
        self.socket = connect(daemon.address)

    def send(self, frame: Frame) -> bytes:
        """Stamp and send; returns the bytes."""
        Buyer.last_id = max(time.time_ns() // 1000, Buyer.last_id + 1)
        raw = encode(messages.stamped(frame, Buyer.last_id))
        self.socket.sendall(PREFIX + raw)
        return raw

    def bid(self, cents: float, kwh: float) -> None:
        """Bid."""
        self.send(messages.bid(self.device, price=round(cents * 10_000), energy=round(kwh * 1000)))

    def receive(self, kind: MessageType) -> Frame:
        """The next frame of a type."""
        while True:
            data = b""
            while len(data) < 88:
                piece = self.socket.recv(88 - len(data))
                if not piece:
                    raise EOFError
                data += piece
            frame = decode(data[4:])
            if frame.message_type == kind:
                return frame


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that is ended by its process id."""
    running = Daemon(tmp_path / "state")
    yield running
    if running.process.poll() is None:
        running.stop(signal.SIGKILL)


def test_a_trade_and_an_orderly_end(daemon: Daemon) -> None:
    """Query, Bid, Accept, Confirm, FINISHED; SIGTERM says SHUTTING_DOWN and ends with 0; the journal tells it all."""
    buyer = Buyer(daemon)
    buyer.send(messages.query(500))
    assert buyer.receive(MessageType.RESPONSE).sale_price == 12.5
    buyer.bid(13.0, 2)
    assert buyer.receive(MessageType.RESPONSE).bid_price == 13.0
    accept = buyer.receive(MessageType.ACCEPT)
    buyer.send(messages.confirm(500, accept))
    assert buyer.receive(MessageType.TERMINATE).termination_code == TerminateCode.FINISHED
    assert daemon.stop() == 0
    assert buyer.receive(MessageType.TERMINATE).termination_code == TerminateCode.SHUTTING_DOWN
    rows = daemon.export()
    assert [row["state"] for row in rows if row["kind"] == "promise"] == ["reserved", "confirmed"]
    trade = next(row for row in rows if row["kind"] == "trade")
    assert (trade["energy_wh"], trade["price_micro_per_kwh"], trade["paid_micro"]) == (2000, 130_000, 260_000)
    assert [row["kind"] for row in rows].count("bid") == 1


def test_bad_input_never_stops_it(daemon: Daemon) -> None:
    """Garbage, a giant length, NaN and a role mix-up are refused; an honest buyer is served all the while."""
    honest = Buyer(daemon, 900)
    for garbage in (b"\xff" * 4000, b"GET / HTTP/1.1\r\n\r\n"):
        sock = connect(daemon.address)
        sock.sendall(garbage)
        assert decode(sock.recv(88)[4:]).termination_code == TerminateCode.PROTOCOL_ERROR
        assert sock.recv(1) == b""
    wrong = Buyer(daemon, 901)
    wrong.send(messages.bid(901, price=1, energy=1)._replace(bid_price=float("nan")))
    assert wrong.receive(MessageType.REJECT).termination_code == RejectCode.INVALID
    honest.bid(20.0, 1)
    assert honest.receive(MessageType.RESPONSE).bid_price == 20.0


def test_kill_between_accept_and_confirm(tmp_path: Path) -> None:
    """20 times kill -9 with an Accept on the wire: its promise is in the journal, is released, and nothing is sold twice."""
    accepted: list[int] = []
    for _ in range(KILLS):
        daemon = Daemon(tmp_path / "state")
        assert daemon.ready_s < 5
        buyer = Buyer(daemon)
        buyer.bid(13.0, 1)
        buyer.receive(MessageType.ACCEPT)
        accepted.append(Buyer.last_id)
        os.kill(daemon.process.pid, signal.SIGKILL)
        daemon.process.wait(10)
        assert daemon.process.stdout is not None
        daemon.process.stdout.close()
    last = Daemon(tmp_path / "state")
    promises = [row for row in last.export() if row["kind"] == "promise"]
    assert [row["message_id"] for row in promises if row["state"] == "reserved"] == accepted
    assert [row["message_id"] for row in promises if row["state"] == "released"] == accepted
    buyer = Buyer(last)
    buyer.send(messages.query(500))
    assert messages.offer(buyer.receive(MessageType.RESPONSE)).for_sale == 6412
    assert last.stop() == 0


def test_a_device_failure_is_told_and_recovers(daemon: Daemon) -> None:
    """SIGUSR1: DeviceFailure to every session, bids refused; SIGUSR2: offered again."""
    buyer = Buyer(daemon)
    buyer.send(messages.query(500))
    buyer.receive(MessageType.RESPONSE)
    daemon.process.send_signal(signal.SIGUSR1)
    assert buyer.receive(MessageType.DEVICE_FAILURE).termination_code == FailureCode.INVERTER
    buyer.bid(13.0, 1)
    assert buyer.receive(MessageType.REJECT).termination_code == RejectCode.UNAVAILABLE
    daemon.process.send_signal(signal.SIGUSR2)
    assert messages.offer(buyer.receive(MessageType.RESPONSE)).for_sale == 6412


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--reserve", "-1"], "reserve"),
        (["--floor-kwh", "20"], "capacity_kwh"),
        (["--listen", "0.0.0.0:0"], "--allow-plaintext"),
        (["--mechanism", "dutch"], "english"),
        (["--config", "missing.toml"], "missing.toml"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, options: list[str], says: str) -> None:
    """Status 2 and one line that names the setting and what would be right."""
    command = [sys.executable, "-m", "cli.main", "bess", "--device-id", "1", "--state-dir", str(tmp_path), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_state_directory_in_use(daemon: Daemon) -> None:
    """A second process on the journal is refused, and so is another node."""
    for device, says in (("101", "in use"), ("102", "in use")):
        command = [sys.executable, "-m", "cli.main", "bess", "--device-id", device, "--state-dir", str(daemon.state)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode in (1, 2)
        assert says in done.stderr


def test_decode_shows_and_judges() -> None:
    """A legal frame: status 0; a NaN: status 1, the reason, and NaN as a string."""
    good = messages.stamped(messages.bid(500, price=130_000, energy=6000), 1)
    for frame, status in ((good, 0), (good._replace(bid_price=float("nan")), 1)):
        done = tool("decode", encode(frame).hex(), "--json", status=status)
        assert json.loads(done.stdout)["frame"]["bid_price"] == (13.0 if status == 0 else "NaN")


def test_two_aggregators_compete(tmp_path: Path) -> None:
    """Real daemons find the battery by multicast; the higher value wins near the lower one, and each buyer's journal agrees."""
    seller = Daemon(tmp_path / "bess", "--closing-ms", "200")
    group = ("--group", GROUP, "--until-filled", "--strategy", "conservative", "--demand-kwh", "3")
    buyers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "cli.main", "aggregator", "--device-id", device, "--max-price", value, *group),
                *("--state-dir", str(tmp_path / device)),
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for device, value in (("500", "18.5"), ("501", "16.5"))
    ]
    try:
        assert [buyer.wait(20) for buyer in buyers] == [0, 0]
    finally:
        for buyer in buyers:
            buyer.kill()
            buyer.wait()
    assert seller.stop() == 0
    sold = {row["bidder"]: row["paid_micro"] for row in seller.export() if row["kind"] == "trade"}
    seller.state = tmp_path / "500"
    bought = [row for row in seller.export() if row["kind"] == "trade"]
    assert set(sold) == {500, 501}
    assert [row["paid_micro"] for row in bought] == [sold[500]]
