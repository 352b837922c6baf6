"""The messages between a node and a gateway: JSON texts over a websocket that the node dials, `/feed`, one message a frame.

    gateway  Challenge                      at once
    node     Hello                          who it is, proven by its signature of the challenge
    gateway  Resume                         what is durable of this node; or Refused, and the end
    node     Fork                           its journal is not the one that the gateway knows: then Resume comes again
    node     Bids, Rows, Telemetry          in any order; bids of a lot before the row of its end
    gateway  Ack                            what is durable now

Rows and bids are sent at least once and in order, each from the number after the last one that is durable; telemetry is sent
once or not at all. Nothing else is said: a gateway commands nothing.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias

import msgspec

from etp.effects import Scalar

PATH: Final = "/feed"
VERSION: Final = 1
DOMAIN: Final = b"ETP-FEED-v1\0"
"""No other signature of a node's key begins like this (records: ETP-SIG-v1)."""
CHALLENGE_BYTES: Final = 32
MAX_MESSAGE: Final = 1 << 20
"""Bytes of one message, either way; what is larger ends the connection."""
ROWS_AT_ONCE: Final = 500
"""Rows or bids of one message at most."""
WINDOW: Final = 4_000
"""Rows and bids on their way that no Ack has named: the sender waits beyond it."""

Json: TypeAlias = Any
"""What JSON can hold; who reads it says what it must be."""


class MarketTime(msgspec.Struct, frozen=True):
    """How a node's market time follows from wall time: start + max(0, wall − origin) × speed. Equal to it by default."""

    origin_us: int
    start_us: int
    speed: float

    def at(self, wall_us: int) -> int:
        """Market time, µs since 1970."""
        return self.start_us + round(max(0, wall_us - self.origin_us) * self.speed)


class Challenge(msgspec.Struct, tag="challenge", frozen=True):
    """32 random bytes, hex; never used twice."""

    challenge: str


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """Who speaks. `key` and `signature` are empty in `plain`, where nobody proves anything."""

    version: int
    role: Literal["bess", "aggregator"]
    device_id: int
    journal: str
    """Identity of the journal file: rows of one journal number are never another journal's."""
    last_row: int
    market_time: MarketTime
    about: Mapping[str, Scalar | float]
    """What does not change while it runs: mechanism, capacity_wh, strategy, feed_in_micro_per_kwh, ..."""
    audience: str = ""
    """HOST:PORT of the gateway as this node dialled it: a proof for one gateway is none for another."""
    key: str = ""
    signature: str = ""
    """Over `proof(...)`, hex."""


class Resume(msgspec.Struct, tag="resume", frozen=True):
    """What the gateway has of this node's journal, durably. 0: nothing."""

    row: int
    row_hash: str
    """Of that row, hex; empty with 0."""
    bid: int
    newest: "FeedBid | None" = None
    """The newest bid of this journal that it has, as it was told; older gateways do not say it."""


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """The gateway does not take this node's word: why, and what would be right."""

    reason: str


class Fork(msgspec.Struct, tag="fork", frozen=True):
    """The row or bid that the gateway names is not in this journal: an older copy was restored, or the journal is new."""


class FeedRow(msgspec.Struct, frozen=True, array_like=True):
    """A journal row, as far as it is published (`runtime.feed.publish`)."""

    seq: int
    hash: str
    """Of the whole row and all before it, hex: the owner can prove later what it was."""
    kind: str
    lot_id: int
    state: str
    time_us: int
    body: dict[str, Scalar]


class FeedBid(msgspec.Struct, frozen=True, array_like=True):
    """A bid of a lot that is closed, and its first answer."""

    number: int
    lot_id: int
    bidder: int
    message_id: int
    energy_wh: int
    price_micro_per_kwh: int
    state: str
    time_us: int


class Rows(msgspec.Struct, tag="rows", frozen=True):
    """Published rows in journal order. `last`: up to this number nothing else is published, be it among `rows` or not."""

    rows: list[FeedRow]
    last: int
    last_hash: str


class Bids(msgspec.Struct, tag="bids", frozen=True):
    """Bids in their order. `last`: the number of the last one, also where the ring has lost those before."""

    bids: list[FeedBid]
    last: int


class Telemetry(msgspec.Struct, tag="telemetry", frozen=True):
    """What is true now; `dropped` counts the items that found no room in the sender's buffer since it started."""

    items: list["Item"]
    dropped: int


class Item(msgspec.Struct, frozen=True):
    """One thing observed: `kind` is a key of `runtime.feed.telemetry.KINDS`."""

    kind: str
    time_us: int
    body: dict[str, Json]


class Ack(msgspec.Struct, tag="ack", frozen=True):
    """Durable up to here."""

    row: int
    bid: int


FromNode: TypeAlias = Hello | Fork | Rows | Bids | Telemetry
FromGateway: TypeAlias = Challenge | Resume | Refused | Ack

_encoder = msgspec.json.Encoder()
_from_node = msgspec.json.Decoder(FromNode)
_from_gateway = msgspec.json.Decoder(FromGateway)


def encode(message: FromNode | FromGateway) -> bytes:
    """A message as it goes over the wire."""
    return _encoder.encode(message)


def from_node(data: bytes | str) -> FromNode:
    """A node's message. Raises msgspec.DecodeError (ValidationError is one): which field is wrong and how."""
    message: FromNode = _from_node.decode(data)
    return message


def from_gateway(data: bytes | str) -> FromGateway:
    """A gateway's message. Raises msgspec.DecodeError."""
    message: FromGateway = _from_gateway.decode(data)
    return message


def proof(*, challenge: str, network_id: bytes, audience: str, role: str, device_id: int, journal: str) -> bytes:
    """What a node signs: domain ‖ challenge ‖ market ‖ SHA-256 of all that it says of itself."""
    said = msgspec.json.encode([audience, role, str(device_id), journal])
    return DOMAIN + bytes.fromhex(challenge) + network_id + sha256(said).digest()
