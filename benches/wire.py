"""The generator's wires: ETP frames, signed records, the frames' bytes echoed; the same as JSON over a websocket, or by MQTT.

Made to cost as little as possible: what is sent is a prebuilt buffer in which id and price are patched, what comes is read
with one `unpack`. A generator that is dearer than the server measures itself.
"""

import base64
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from benches.child import DEVICE
from benches.members import NETWORK, pair
from etp import messages
from etp.codes import MessageType, RejectCode
from etp.frame import FRAME_SIZE, OFFSETS, decode, encode
from etp.record import NO_LOT, RECORD_SIZE, lot_of, seal
from etp.session import PREFIX, PREFIX_SIZE, length_prefix
from etp.units import DeviceId, LotId, MicroPerKwh, Wh

PACKET: Final = PREFIX_SIZE + FRAME_SIZE
SIGNED_PREFIX: Final = length_prefix(RECORD_SIZE)
MICRO_PER_CENT: Final = 10_000
BID_WH: Final = Wh(100)
"""The smallest lot there is by default."""

_KIND: Final = PREFIX_SIZE
_ID: Final = PREFIX_SIZE + OFFSETS["message_id"]
_ID_AND_DEVICE: Final = struct.Struct("<QQ")
_U64: Final = struct.Struct("<Q")
_F64: Final = struct.Struct("<d")
_PRICE: Final = PREFIX_SIZE + OFFSETS["bid_price"]
_PRICE_TO_CODE: Final = OFFSETS["termination_code"] - OFFSETS["bid_price"] - 8
_ANSWER: Final = struct.Struct(
    f"<{PREFIX_SIZE}xB{OFFSETS['bid_price'] - 1}xd{_PRICE_TO_CODE}xB{FRAME_SIZE - OFFSETS['termination_code'] - 1}x"
)
assert _ANSWER.size == PACKET


class Answer(NamedTuple):
    """What the generator reads of a message."""

    kind: int
    price: float
    """bid_price, c/kWh."""
    code: int
    packet: bytes | None = None


class Stamps:
    """message_ids: the wall clock, µs, never twice."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """A new id."""
        self._last = max(time.time_ns() // 1000, self._last + 1)
        return self._last


class Wire(Protocol):
    """One connection's encoder and decoder."""

    def hello(self) -> bytes:
        """What is sent first; one message comes back. Empty: nothing, and none."""

    def welcomed(self, data: bytes) -> bool:
        """Whether the answer to `hello` is there."""

    def bid(self, price: int, message_id: int) -> bytes | bytearray:
        """A bid at `price` µ/kWh, to be sent before the next one is made."""

    def answers(self, data: bytes) -> Iterator[Answer]:
        """What came, message by message."""


class EtpWire:
    """84-byte frames with their length prefix."""

    def __init__(self, device_id: int, stamps: Stamps) -> None:
        self.device_id = device_id
        self._stamps = stamps
        self._rest = b""
        bid = messages.bid(DeviceId(device_id), price=MicroPerKwh(1), energy=BID_WH)
        self._bid = bytearray(PREFIX + encode(bid))

    def hello(self) -> bytes:
        """A Query, which binds the session."""
        query = messages.query(DeviceId(self.device_id))
        return PREFIX + encode(messages.stamped(query, self._stamps.next()))

    def welcomed(self, data: bytes) -> bool:
        """A Response came."""
        return any(answer.kind == MessageType.RESPONSE for answer in self.answers(data))

    def bid(self, price: int, message_id: int) -> bytearray:
        """The prebuilt Bid under a new id and price."""
        _U64.pack_into(self._bid, _ID, message_id)
        _F64.pack_into(self._bid, _PRICE, price / MICRO_PER_CENT)
        return self._bid

    def confirm(self, accept: bytes, message_id: int) -> bytearray:
        """The Accept's terms under our id."""
        packet = bytearray(accept)
        packet[_KIND] = MessageType.CONFIRM
        _ID_AND_DEVICE.pack_into(packet, _ID, message_id, self.device_id)
        return packet

    def answers(self, data: bytes) -> Iterator[Answer]:
        """Frames; a half one waits for its rest."""
        if self._rest:
            data = self._rest + data
        whole = len(data) // PACKET * PACKET
        self._rest = data[whole:]
        for at in range(0, whole, PACKET):
            kind, price, code = _ANSWER.unpack_from(data, at)
            yield Answer(kind, price, code, data[at : at + PACKET] if kind == MessageType.ACCEPT else None)


class SignedWire:
    """212-byte records with their length prefix, each signed; answers are read, not verified: the server is measured."""

    def __init__(self, device_id: int, stamps: Stamps) -> None:
        self._key, self._stamps = pair(device_id), stamps
        self._frames = EtpWire(device_id, stamps)
        self._recipient, self._network = pair(DEVICE).public, NETWORK.network_id
        self._counter = int(time.time()) << 32
        self._lot_id = NO_LOT
        self._rest = b""

    def hello(self) -> bytes:
        """A Query, which binds the session."""
        return self._sealed(self._frames.hello()[PREFIX_SIZE:], NO_LOT)

    def _sealed(self, raw: bytes, lot_id: LotId) -> bytes:
        self._counter += 1
        record = seal(
            decode(raw),
            raw,
            counter=self._counter,
            lot_id=lot_id,
            recipient=self._recipient,
            network=self._network,
            sign=self._key.sign,
        )
        return SIGNED_PREFIX + record

    def welcomed(self, data: bytes) -> bool:
        """A Response came: it names the lot."""
        return any(answer.kind == MessageType.RESPONSE for answer in self.answers(data))

    def bid(self, price: int, message_id: int) -> bytes:
        """A Bid under a new id and price, for the open lot."""
        return self._sealed(bytes(self._frames.bid(price, message_id)[PREFIX_SIZE:]), self._lot_id)

    def answers(self, data: bytes) -> Iterator[Answer]:
        """Records; a half one waits for its rest."""
        data, size = self._rest + data, PREFIX_SIZE + RECORD_SIZE
        whole = len(data) // size * size
        self._rest = data[whole:]
        for at in range(0, whole, size):
            kind, price, code = _ANSWER.unpack_from(data, at)
            if kind == MessageType.RESPONSE:
                self._lot_id = lot_of(data[at + PREFIX_SIZE : at + size]) or NO_LOT
            yield Answer(kind, price, code)


class EchoWire(EtpWire):
    """The Bid itself comes back: what the sockets and the loop cost without any protocol."""

    def hello(self) -> bytes:
        """Nothing: an echo needs no session."""
        return b""

    def answers(self, data: bytes) -> Iterator[Answer]:
        """The echoed Bids, each counted as a refusal."""
        for answer in super().answers(data):
            yield Answer(MessageType.REJECT, answer.price, RejectCode.OUTBID)


class JsonBid(msgspec.Struct):
    """A Bid's fields under their names."""

    message_type: int
    message_id: int
    device_id: int
    ttl: int
    bid_price: float
    required_energy_amount: float


class JsonAnswer(msgspec.Struct):
    """The fields of a Response or Reject."""

    message_type: int
    message_id: int
    device_id: int
    ttl: int
    bid_price: float
    sale_price: float
    energy_total: float
    percentage_for_sale: float = 0.0
    termination_code: int = 0


_TEXT_FRAME: Final = 0x81
_MASKED: Final = 0x80
_SHORT: Final = 126
_NUMBER_WIDTH: Final = 16
_ANSWER_DECODER: Final = msgspec.json.Decoder(JsonAnswer)


class JsonWire:
    """RFC 6455 by hand. The masking key is 0, so that the client need not mask; the server still does its part."""

    def __init__(self, device_id: int, stamps: Stamps) -> None:
        del stamps
        self._rest = b""
        price, identity = "P" * _NUMBER_WIDTH, "I" * _NUMBER_WIDTH
        text = (
            f'{{"message_type":3,"message_id":{identity},"device_id":{device_id},"ttl":5,'
            f'"bid_price":{price},"required_energy_amount":0.1}}'
        ).encode()
        head = bytes((_TEXT_FRAME, _MASKED | _SHORT)) + len(text).to_bytes(2, "big") + bytes(4)
        self._bid = bytearray(head + text)
        self._price_at, self._id_at = self._bid.index(price.encode()), self._bid.index(identity.encode())

    def hello(self) -> bytes:
        """The upgrade request."""
        key = base64.b64encode(os.urandom(16))
        lines = (b"GET / HTTP/1.1", b"Host: 127.0.0.1", b"Upgrade: websocket", b"Connection: Upgrade")
        return b"\r\n".join((*lines, b"Sec-WebSocket-Key: " + key, b"Sec-WebSocket-Version: 13", b"", b""))

    def welcomed(self, data: bytes) -> bool:
        """The upgrade is accepted."""
        return data.startswith(b"HTTP/1.1 101") and data.endswith(b"\r\n\r\n")

    def bid(self, price: int, message_id: int) -> bytearray:
        """The prebuilt text with price and id written over, blanks before them."""
        self._bid[self._price_at : self._price_at + _NUMBER_WIDTH] = b"%16.4f" % (price / MICRO_PER_CENT)
        self._bid[self._id_at : self._id_at + _NUMBER_WIDTH] = b"%16d" % message_id
        return self._bid

    def answers(self, data: bytes) -> Iterator[Answer]:
        """Unmasked text frames."""
        data, at = self._rest + data, 0
        while len(data) - at >= 4:  # noqa: PLR2004 - the longest header an answer has
            size, head = data[at + 1], 2
            if size == _SHORT:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            if len(data) - at < head + size:
                break
            answer = _ANSWER_DECODER.decode(data[at + head : at + head + size])
            at += head + size
            yield Answer(answer.message_type, answer.bid_price, answer.termination_code)
        self._rest = data[at:]


class MqttWire:
    """MQTT 3.1.1 by hand (OASIS standard, 2014): ETP frames as payloads at QoS 0, between bidder and battery a broker."""

    def __init__(self, device_id: int, stamps: Stamps) -> None:
        self._frames, self._device_id = EtpWire(device_id, stamps), device_id
        topic = _string(f"bids/{DEVICE}")
        self._head = bytes((_PUBLISH, len(topic) + FRAME_SIZE)) + topic
        self._rest = b""

    def hello(self) -> bytes:
        """CONNECT (a clean session) and SUBSCRIBE to its own answers; the client need not wait between them (§3.1.4)."""
        connect = _string("MQTT") + bytes((4, 2, 0, 0)) + _string(f"bidder-{self._device_id}")
        subscribe = bytes((0, 1)) + _string(f"answers/{self._device_id}") + b"\0"
        return bytes((_CONNECT, len(connect))) + connect + bytes((_SUBSCRIBE, len(subscribe))) + subscribe

    def welcomed(self, data: bytes) -> bool:
        """The SUBACK came."""
        self._rest += data
        return any(kind == _SUBACK for kind, _ in self._packets(b""))

    def bid(self, price: int, message_id: int) -> bytes:
        """A PUBLISH of the prebuilt Bid under a new id and price."""
        return self._head + self._frames.bid(price, message_id)[PREFIX_SIZE:]

    def _packets(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        data, at = self._rest + data, 0
        while len(data) - at >= 2 and len(data) - at >= 2 + data[at + 1]:  # noqa: PLR2004 - no packet here reaches 128 bytes
            size = data[at + 1]
            yield data[at], data[at + 2 : at + 2 + size]
            at += 2 + size
        self._rest = data[at:]

    def answers(self, data: bytes) -> Iterator[Answer]:
        """Frames out of PUBLISH packets."""
        for kind, body in self._packets(data):
            if kind == _PUBLISH:
                packet = PREFIX + body[-FRAME_SIZE:]
                yield from self._frames.answers(packet)


_CONNECT: Final = 0x10
_PUBLISH: Final = 0x30
_SUBSCRIBE: Final = 0x82
_SUBACK: Final = 0x90


def _string(text: str) -> bytes:
    """A length in two bytes, then UTF-8 (§1.5.3)."""
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


WIRES: Final[Mapping[str, Callable[[int, Stamps], Wire]]] = MappingProxyType(
    {"etp": EtpWire, "signed": SignedWire, "echo": EchoWire, "json": JsonWire, "mqtt": MqttWire}
)
