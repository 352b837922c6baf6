"""A small market for tests of the signed profile: keys from numbers, a registry, and hands that sign what they like."""

import random
import socket
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, Role
from etp.frame import FRAME_SIZE, Frame, decode, encode
from etp.ids import Ids
from etp.keys import KeyPair, key_to_json
from etp.record import RECORD_SIZE, seal
from etp.registry import Member, Network, Registry
from etp.session import length_prefix
from etp.signed import Identity, Signed
from etp.timing import Timing
from etp.units import DeviceId, LotId
from runtime.io.registry_file import save_registry
from tests.support import BESS, at

NETWORK = Network("test")
GROUP = ("239.192.77.77", 8888)
PREFIX = length_prefix(RECORD_SIZE)
BUYERS = tuple(DeviceId(device) for device in (500, 501, 502))
OTHER_BESS = DeviceId(102)
PLAIN_BUYER = DeviceId(510)
"""Registered for plain frames."""
STRANGER = DeviceId(999)
"""In no registry."""


def pair(device: int) -> KeyPair:
    """The key of a device, always the same."""
    return KeyPair(sha256(f"etp test key {device}".encode()).digest())


def member(device: int, role: Role, **more: object) -> Member:
    """A device with its key."""
    return Member(DeviceId(device), role, pair(device).public, **more)  # type: ignore[arg-type]


def registry(*more: Member, network: Network = NETWORK) -> Registry:
    """Two batteries, three buyers and one that must speak plain; and `more`."""
    batteries = [member(device, Role.BESS) for device in (BESS, OTHER_BESS)]
    buyers = [member(device, Role.AGGREGATOR) for device in BUYERS]
    return Registry(network, [*batteries, *buyers, member(PLAIN_BUYER, Role.AGGREGATOR, profile="plain"), *more])


def profile_of(
    device: int, role: Role, *, members: Registry | None = None, boot: int = 1, now: Now | None = None, mark: int = 0
) -> Signed:
    """The real profile of a device."""
    identity = Identity(DeviceId(device), role, pair(device), boot)
    return Signed(identity, members or registry(), Ids(mark), group=GROUP, timing=Timing(), started=now or at(0))


@dataclass
class Hand:
    """Signs what a device may or may not say: every field of a record can be chosen."""

    device: int
    to: int = BESS
    boot: int = 1
    seq: int = 0
    last_id: int = 0
    network: Network = NETWORK
    key: KeyPair | None = None
    """None: its own."""

    def next_id(self, wall_us: int | None = None) -> int:
        """An id of now, never the same twice."""
        wall_us = time.time_ns() // 1000 if wall_us is None else wall_us
        self.last_id = max(wall_us, self.last_id + 1)
        return self.last_id

    def record(
        self,
        frame: Frame,
        *,
        lot_id: int = 0,
        message_id: int | None = None,
        counter: int | None = None,
        recipient: bytes | None = None,
        wall_us: int | None = None,
    ) -> bytes:
        """A signed record of a frame, with the next counter and an id of now where none is given."""
        self.seq += counter is None
        frame = messages.stamped(frame, self.next_id(wall_us) if message_id is None else message_id)
        return seal(
            frame,
            encode(frame),
            counter=(self.boot << 32 | self.seq) if counter is None else counter,
            lot_id=lot_id,
            recipient=pair(self.to).public if recipient is None else recipient,
            network=self.network.network_id,
            sign=(self.key or pair(self.device)).sign,
        )

    def query(self, **more: int) -> bytes:
        """A Query."""
        return self.record(messages.query(DeviceId(self.device)), **more)  # type: ignore[arg-type]

    def bid(self, lot_id: int, micro: int = 130_000, wh: int = 1000, **more: int) -> bytes:
        """A Bid."""
        frame = messages.bid(DeviceId(self.device), price=micro, energy=wh)  # type: ignore[arg-type]
        return self.record(frame, lot_id=lot_id, **more)  # type: ignore[arg-type]

    def confirm(self, accept: bytes, **more: int) -> bytes:
        """The Confirm of an Accept."""
        frame = messages.confirm(DeviceId(self.device), decode(accept[:FRAME_SIZE]))
        return self.record(frame, **{"lot_id": lot_in(accept), **more})  # type: ignore[arg-type]


def lot_in(raw: bytes) -> LotId:
    """The lot of a record, by its place in the specification."""
    return LotId(int.from_bytes(raw[100:108], "little"))


def counter_in(raw: bytes) -> int:
    """The counter of a record, by its place in the specification."""
    return int.from_bytes(raw[92:100], "little")


def flipped(raw: bytes, bit: int) -> bytes:
    """The same bytes but for one bit."""
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def tampered(raw: bytes, rng: random.Random) -> bytes:
    """A record whose signature is of the right form and wrong."""
    return raw[:148] + rng.randbytes(32) + rng.randbytes(31) + b"\x0f"


# -- with real daemons


def write_market(directory: Path, members: Registry | None = None, *devices: int) -> list[str]:
    """Key files and a registry file in a directory; returns the options of a signed node, but for its key."""
    directory.mkdir(parents=True, exist_ok=True)
    save_registry(directory / "registry.toml", members or registry())
    for device in devices or (BESS, *BUYERS):
        path = directory / f"{device}.json"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(key_to_json(pair(device)))
    return ["--profile", "signed", "--registry", str(directory / "registry.toml")]


class Wire:
    """Records over one TCP connection, all of them kept."""

    def __init__(self, connected: socket.socket, hand: Hand) -> None:
        self.socket, self.hand = connected, hand
        self.received: list[bytes] = []
        self.sent: list[bytes] = []

    def give(self, raw: bytes) -> bytes:
        """Send bytes as one message."""
        self.sent.append(raw)
        self.socket.sendall(len(raw).to_bytes(4, "little") + raw)
        return raw

    def next(self) -> bytes:
        """The next record. Raises EOFError at the end, TimeoutError where none comes."""
        packet = len(PREFIX) + RECORD_SIZE
        data = b""
        while len(data) < packet:
            piece = self.socket.recv(packet - len(data))
            if not piece:
                raise EOFError
            data += piece
        assert data.startswith(PREFIX)
        self.received.append(data[len(PREFIX) :])
        return self.received[-1]

    def expect(self, kind: MessageType) -> bytes:
        """The next record of a type."""
        while True:
            raw = self.next()
            if raw[0] == kind:
                return raw

    def opened(self) -> bytes:
        """Say who we are; returns the Response."""
        self.give(self.hand.query())
        return self.expect(MessageType.RESPONSE)

    def rest(self) -> list[bytes]:
        """All that still comes until the other end closes."""
        found = []
        while True:
            try:
                found.append(self.next())
            except (EOFError, ConnectionError):
                return found
