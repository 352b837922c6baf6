"""A flood of bad signatures at a real signed battery, by UDP and by TCP, while honest bidders are answered.

`udp`: datagrams that pass every cheap check and fail at the signature, at a stated rate. `tcp`: connections that send such
records as fast as they are taken, and dial again when they are closed. Each in a process of its own, on loopback, that ends by
itself. Honest bidders have sessions, bid open loop, and are measured from the instant when a bid is due.
"""

import json
import os
import random
import selectors
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from benches.child import DEVICE, Child, battery, running
from benches.plan import Plan
from benches.report import Figure, Report, spread
from etp import messages
from etp.codes import MessageType, Role
from etp.effects import Envelope
from etp.frame import FRAME_SIZE, Frame, decode
from etp.ids import Ids
from etp.io.clock import system_now
from etp.keys import KeyPair, key_to_json
from etp.record import RECORD_SIZE
from etp.registry import Member, Network, Registry
from etp.session import length_prefix
from etp.signed import Identity, Signed
from etp.timing import Timing
from etp.units import DeviceId, MicroPerKwh, Wh
from runtime.io.registry_file import save_registry

MOST_P99_MS: Final = 250.0
PHASE_S: Final = 6.0
BIDDERS: Final = 20
BIDS_PER_S: Final = 100
"""Of all bidders together."""
DATAGRAMS_PER_S: Final = 50_000
CONNECTIONS: Final = 200
RECORDS_A_WRITE: Final = 8
GRACE_S: Final = 2.0
FIRST_BIDDER: Final = 500
FORGED: Final = DeviceId(499)
"""The member in whose name the flood speaks."""
GROUP: Final = ("239.192.77.77", 8888)
PREFIX: Final = length_prefix(RECORD_SIZE)
PACKET: Final = len(PREFIX) + RECORD_SIZE
UNIT_MICRO: Final = 1
"""Below any reserve, and each bid at a price of its own: its Reject names it."""


def _key(device: int) -> KeyPair:
    return KeyPair(sha256(b"bench %d" % device).digest())


def _registry() -> Registry:
    buyers = (FORGED, *range(FIRST_BIDDER, FIRST_BIDDER + BIDDERS))
    devices = {DEVICE: Role.BESS} | dict.fromkeys(buyers, Role.AGGREGATOR)
    members = [Member(DeviceId(device), role, _key(device).public) for device, role in devices.items()]
    return Registry(Network("bench"), members)


def _profile(device: int, registry: Registry) -> Signed:
    now = system_now()
    identity = Identity(DeviceId(device), Role.AGGREGATOR, _key(device), now.wall_us // 1_000_000)
    return Signed(identity, registry, Ids(), group=GROUP, timing=Timing(), started=now)


# -- the flood, in a process of its own


def _forged(count: int) -> list[bytes]:
    """Queries of now in a member's name, for the battery, with ever higher counters; their signatures are noise."""
    profile, rng = _profile(FORGED, _registry()), random.Random(1)
    made = []
    for _ in range(count):
        raw = profile.stamp(Envelope(messages.query(FORGED)), DeviceId(DEVICE), system_now())
        # A scalar below the group's order: refused by arithmetic and not by its form, as a good forgery would be.
        made.append(raw[:-64] + raw[-64:-32] + rng.randbytes(31) + b"\x0f")
    return made


def _flood_udp(address: tuple[str, int], rate: float, seconds: float) -> dict[str, float]:
    """Datagrams at a rate, in ticks of a millisecond; what the machine does not manage is not made up for."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(address)
    raws = _forged(256)
    began_s = now_s = time.monotonic()
    sent, refused = 0, 0
    while now_s < began_s + seconds:
        due = min(int((now_s - began_s) * rate) - sent, 2000)
        for index in range(due):
            try:
                sock.send(raws[(sent + index) % len(raws)])
            except OSError:
                refused += 1
        sent += due
        time.sleep(0.001)
        now_s = time.monotonic()
    sock.close()
    return {"sent": sent, "refused": refused, "per_s": sent / (now_s - began_s)}


class _Dialler:
    """One of the flood's connections, again and again."""

    def __init__(self, address: tuple[str, int], selector: selectors.BaseSelector, payload: bytes) -> None:
        self.address, self.selector, self.payload = address, selector, payload
        self.dials = self.written = 0
        self.dial()

    def dial(self) -> None:
        """A new connection."""
        self.dials += 1
        self.rest = self.payload
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(self.address)
        self.selector.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def ready(self, mask: int) -> None:
        """Write what is taken; dial anew once the battery has closed."""
        try:
            if mask & selectors.EVENT_READ and not self.sock.recv(4096):
                raise ConnectionError
            if mask & selectors.EVENT_WRITE:
                count = self.sock.send(self.rest)
                self.written += count
                self.rest = self.rest[count:] or self.payload
        except BlockingIOError:
            return
        except OSError:
            self.selector.unregister(self.sock)
            self.sock.close()
            self.dial()


def _flood_tcp(address: tuple[str, int], connections: int, seconds: float) -> dict[str, float]:
    """So many connections at any time, each of which sends forged records as fast as they are taken."""
    payload = b"".join(PREFIX + raw for raw in _forged(RECORDS_A_WRITE))
    selector = selectors.DefaultSelector()
    diallers = [_Dialler(address, selector, payload) for _ in range(connections)]
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for key, mask in selector.select(0.01):
            key.data.ready(mask)
    dials, written = sum(one.dials for one in diallers), sum(one.written for one in diallers)
    for one in diallers:
        one.sock.close()
    selector.close()
    return {"sent": written // PACKET, "dials": dials, "per_s": written / PACKET / seconds}


def _main(given: Sequence[str]) -> None:
    kind, host, port, amount, seconds = given
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    flood = {"udp": _flood_udp, "tcp": _flood_tcp}[kind]
    sys.stdout.write(json.dumps(flood((host, int(port)), int(amount), float(seconds))) + "\n")


# -- honest bidders


@dataclass(slots=True)
class _Bidder:
    """A session with a battery; its bids are told apart by their price."""

    profile: Signed
    sock: socket.socket
    lot_id: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    waiting: dict[float, float] = field(default_factory=dict)
    """Price in c/kWh → when the bid was due."""

    @property
    def device(self) -> DeviceId:
        """Who bids."""
        return self.profile.identity.device_id

    def say(self, frame: Frame) -> None:
        """Sign and send."""
        envelope = Envelope(frame, lot_id=self.lot_id)  # type: ignore[arg-type]
        self.sock.sendall(PREFIX + self.profile.stamp(envelope, DeviceId(DEVICE), system_now()))

    def bid(self, price: MicroPerKwh, due_s: float) -> None:
        """A bid that is refused at once."""
        frame = messages.bid(self.device, price=price, energy=Wh(500))
        self.waiting[frame.bid_price] = due_s
        self.say(frame)

    def take(self, data: bytes) -> Iterator[Frame]:
        """The frames in what comes."""
        self.buffer += data
        while len(self.buffer) >= PACKET:
            raw = bytes(self.buffer[len(PREFIX) : PACKET])
            del self.buffer[:PACKET]
            frame = decode(raw[:FRAME_SIZE])
            if frame.message_type == MessageType.RESPONSE:
                self.lot_id = int.from_bytes(raw[FRAME_SIZE + 16 : FRAME_SIZE + 24], "little")
            yield frame


@dataclass(slots=True)
class Outcome:
    """What honest bidders got."""

    answer_ms: list[float] = field(default_factory=list)
    unanswered: int = 0
    closed: int = 0
    flood: dict[str, float] = field(default_factory=dict)


def _connected(address: tuple[str, int]) -> list[_Bidder]:
    registry, bidders = _registry(), []
    for index in range(BIDDERS):
        bidder = _Bidder(_profile(FIRST_BIDDER + index, registry), socket.create_connection(address, timeout=10))
        bidder.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bidder.say(messages.query(bidder.device))
        while not bidder.lot_id:
            list(bidder.take(bidder.sock.recv(4096)))
        bidders.append(bidder)
    return bidders


def _bid_on(bidders: list[_Bidder], seconds: float) -> Outcome:
    """Bids at a fixed rate whatever is still unanswered, each measured from when it was due."""
    outcome, selector = Outcome(), selectors.DefaultSelector()
    for bidder in bidders:
        selector.register(bidder.sock, selectors.EVENT_READ, bidder)
    began_s, made, total = time.monotonic(), 0, int(seconds * BIDS_PER_S)
    while True:
        now_s = time.monotonic()
        while made < total and now_s >= began_s + made / BIDS_PER_S:
            bidder = bidders[made % len(bidders)]
            if bidder.sock.fileno() >= 0:
                bidder.bid(MicroPerKwh(UNIT_MICRO + made % 10_000), began_s + made / BIDS_PER_S)
            made += 1
        waiting = sum(len(bidder.waiting) for bidder in bidders)
        if (made >= total and not waiting) or now_s > began_s + seconds + GRACE_S:
            outcome.unanswered = waiting
            break
        until_s = began_s + made / BIDS_PER_S if made < total else now_s + 0.1
        for key, _ in selector.select(max(0.0, until_s - now_s)):
            _hear(key.data, outcome, selector)
    for bidder in bidders:
        bidder.sock.close()
    selector.close()
    return outcome


def _hear(bidder: _Bidder, outcome: Outcome, selector: selectors.BaseSelector) -> None:
    data = bidder.sock.recv(65_536)
    now_s = time.monotonic()
    if not data:
        outcome.closed += 1
        selector.unregister(bidder.sock)
        bidder.sock.close()
        return
    for frame in bidder.take(data):
        due_s = bidder.waiting.pop(frame.bid_price, None) if frame.message_type == MessageType.REJECT else None
        if due_s is not None:
            outcome.answer_ms.append((now_s - due_s) * 1000)


@contextmanager
def signed_battery(directory: Path) -> Iterator[tuple[Child, tuple[str, int]]]:
    """A battery whose registry has our bidders."""
    save_registry(directory / "registry.toml", _registry())
    with os.fdopen(os.open(directory / "key.json", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(key_to_json(_key(DEVICE)))
    options = (
        "--profile",
        "signed",
        "--registry",
        str(directory / "registry.toml"),
        "--key",
        str(directory / "key.json"),
    )
    with battery(directory, *options) as (child, address):
        yield child, address


def measure(directory: Path, kind: str | None, amount: int, seconds: float) -> Outcome:
    """Honest bidders at a fresh battery under one kind of flood; None: without any."""
    with signed_battery(directory) as (_, address):
        bidders = _connected(address)
        if kind is None:
            return _bid_on(bidders, seconds)
        arguments = (kind, address[0], str(address[1]), str(amount), str(seconds))
        with running("benches.signature_flood", arguments, directory / "flood.log") as flood:
            flood.line()  # it begins now, with all that it has
            outcome = _bid_on(bidders, seconds)
            outcome.flood = json.loads(flood.rest(seconds + 20))
        return outcome


def _figures(name: str, outcome: Outcome) -> list[Figure]:
    return [
        *spread(f"{name}: bid → answer", outcome.answer_ms, most_p99=MOST_P99_MS),
        Figure(f"{name}: bids without an answer", outcome.unanswered, most=0),
        Figure(f"{name}: honest sessions closed", outcome.closed, most=0),
    ]


def run(plan: Plan) -> Report:
    """Without a flood, under one by UDP, under one by TCP."""
    seconds = plan.phase_s(PHASE_S)
    figures: list[Figure] = []
    notes: dict[str, Any] = {}
    for name, kind, amount in (("quiet", None, 0), ("udp", "udp", DATAGRAMS_PER_S), ("tcp", "tcp", CONNECTIONS)):
        with plan.scratch() as directory:
            outcome = measure(directory, kind, amount, seconds)
        figures += _figures(name, outcome)
        if kind is not None:
            figures.append(Figure(f"{name}: forged records offered", round(outcome.flood["per_s"]), "1/s"))
        notes |= {f"{name} {what}": round(value) for what, value in outcome.flood.items()}
    load = (
        f"{BIDDERS} signed bidders, {BIDS_PER_S} bids/s in all; forged: {DATAGRAMS_PER_S:,} datagrams/s, then"
        f" {CONNECTIONS} connections; {seconds:g} s each"
    )
    return Report(load, figures, notes)


if __name__ == "__main__":
    _main(sys.argv[1:])
