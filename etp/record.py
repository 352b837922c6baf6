"""The record: a frame and its signed trailer, 212 bytes. Declared once with construct, as the frame is (docs/settlement.md).

Pure: bytes and keys in, bytes out. Who may say what, and whether it was said before, is `etp.signed`'s business.
"""

import struct
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias

from construct import Bytes, Const, Int8ul, Int16ul, Int32ul, Int64ul, Struct, Terminated
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from etp.codes import MessageType
from etp.frame import FRAME_SIZE, OFFSETS, Frame
from etp.timing import carries_time
from etp.units import MICRO_PER_CENT, WH_PER_KWH, DeviceId, LotId, MicroPerKwh, Wh

MAGIC: Final = b"ETPS"
VERSION: Final = 1
ED25519: Final = 1
KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64

TRAILER: Final[Any] = Struct(
    "magic" / Const(MAGIC),
    "version" / Const(VERSION, Int8ul),
    "algorithm" / Const(ED25519, Int8ul),
    "zero" / Const(0, Int16ul),
    "counter" / Int64ul,
    "lot_id" / Int64ul,
    "price" / Int32ul,
    "energy" / Int32ul,
    "recipient" / Bytes(KEY_SIZE),
    "signature" / Bytes(SIGNATURE_SIZE),
    Terminated,
)
"""The declaration: little-endian, no padding."""


def _layout() -> struct.Struct:
    """The trailer behind its constant head, as one struct, out of the declaration."""
    characters = ["<"]
    for sub in TRAILER.subcons:
        if sub.name and not isinstance(sub.subcon, Const):
            fixed = getattr(sub.subcon, "fmtstr", None)
            characters.append(fixed[-1] if fixed else f"{sub.subcon.sizeof()}s")
    return struct.Struct("".join(characters))


_BODY: Final = _layout()
_UNSIGNED_BODY: Final = struct.Struct(_BODY.format[: -len(f"{SIGNATURE_SIZE}s")])
HEAD: Final = MAGIC + bytes([VERSION, ED25519, 0, 0])
"""What every trailer begins with."""
TRAILER_SIZE: Final = len(HEAD) + _BODY.size
RECORD_SIZE: Final = FRAME_SIZE + TRAILER_SIZE
UNSIGNED_SIZE: Final = RECORD_SIZE - SIGNATURE_SIZE
DOMAIN: Final = b"ETP-SIG-v1\0"
NETWORK_DOMAIN: Final = b"ETP-NET-v1\0"
LAST_LOT: Final = 2**63 - 1
Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(public key, network, record) → whether the record's signature is that key's: `is_signed_by`, or what stands in for it in simulations."""
NO_LOT: Final = LotId(0)
_HEAD_END: Final = FRAME_SIZE + len(HEAD)
_LOT_AT: Final = _HEAD_END + 8
_LOT: Final = struct.Struct("<Q")
assert RECORD_SIZE == 212  # noqa: PLR2004 - the number that the specification names


class Trailer(NamedTuple):
    """What the trailer says, behind its constant head. Price in µ/kWh, energy in Wh; `lot_id` 0: of no lot."""

    counter: int
    lot_id: LotId
    price: MicroPerKwh
    energy: Wh
    recipient: bytes
    signature: bytes


def network_id(*, genesis_hash: bytes, program_id: bytes, admin: bytes, name: str) -> bytes:
    """The market's 32 bytes that every signature covers: no record of one chain, program or market counts in another."""
    return sha256(NETWORK_DOMAIN + genesis_hash + program_id + admin + name.encode()).digest()


def group_recipient(group: tuple[str, int]) -> bytes:
    """The recipient of what is sent to a multicast group: SHA-256("group:port")."""
    return sha256(f"{group[0]}:{group[1]}".encode()).digest()


def _for_sale(frame: Frame) -> int:
    return round(frame.energy_total * frame.percentage_for_sale * 10)


def _awarded(frame: Frame) -> int:
    return round(frame.required_energy_amount * WH_PER_KWH)


_QUANTITIES: Final[dict[MessageType, tuple[str, Callable[[Frame], int] | None]]] = {
    MessageType.RESPONSE: ("sale_price", _for_sale),
    MessageType.BID: ("bid_price", _awarded),
    MessageType.ACCEPT: ("sale_price", _awarded),
    MessageType.CONFIRM: ("sale_price", _awarded),
    MessageType.REJECT: ("sale_price", None),
}
_QUANTITIES_AT: Final = tuple(
    (Frame._fields.index(_QUANTITIES[kind][0]), _QUANTITIES[kind][1]) if kind in _QUANTITIES else None
    for kind in MessageType
)


def quantities(frame: Frame) -> tuple[int, int]:
    """The trailer's price (µ/kWh) and energy (Wh) of a valid frame: exactly what its floats say, to the nearest unit.

    Response and Reject name the ask, a Bid what is bid, Accept and Confirm what is paid; a Response's energy is what is
    for sale, a Bid's what is wanted, an Accept's and Confirm's what is awarded; all else is 0.
    """
    found = _QUANTITIES_AT[frame[0]]
    if found is None:
        return 0, 0
    at, energy = found
    return round(frame[at] * MICRO_PER_CENT), energy(frame) if energy is not None else 0


def fault(frame: Frame, said: "Trailer") -> str | None:
    """Why a record of a valid frame is refused whoever signed it; None: it is well-formed.

    Its integers are what its floats say, and its ids are times: only in `plain` may one carry none, and no journal holds one
    beyond the signed 64 bits.
    """
    price, energy = quantities(frame)
    if price != said.price or energy != said.energy:
        return f"its trailer says {said.price} µ/kWh and {said.energy} Wh, its frame {price} and {energy}"
    if not carries_time(frame.message_id):
        return f"message_id is {frame.message_id}; it must be µs since 1970"
    if said.lot_id > LAST_LOT:
        return f"lot_id is {said.lot_id}; it must be µs since 1970, or 0"
    return None


def seal(
    frame: Frame,
    raw: bytes,
    *,
    counter: int,
    lot_id: int,
    recipient: bytes,
    network: bytes,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """The record of a valid frame, whose 84 bytes are `raw`; `sign` makes the 64 bytes of its signature."""
    price, energy = quantities(frame)
    unsigned = raw + HEAD + _UNSIGNED_BODY.pack(counter, lot_id, price, energy, recipient)
    return unsigned + sign(DOMAIN + network + unsigned)


def is_record(raw: bytes) -> bool:
    """Whether bytes have a record's length and its trailer's constant head."""
    return len(raw) == RECORD_SIZE and raw[FRAME_SIZE:_HEAD_END] == HEAD


def trailer(raw: bytes) -> Trailer:
    """The trailer of a record (`is_record`)."""
    made: Trailer = tuple.__new__(Trailer, _BODY.unpack_from(raw, _HEAD_END))
    return made


def signed_message(network: bytes, raw: bytes) -> bytes:
    """The 191 bytes that a record's signature covers."""
    return DOMAIN + network + raw[:UNSIGNED_SIZE]


def is_signed_by(key: bytes, network: bytes, raw: bytes) -> bool:
    """Whether a record's signature is this key's, for this network. Cofactorless, as libsodium and the chain verify it."""
    try:
        crypto_sign_open(raw[UNSIGNED_SIZE:] + DOMAIN + network + raw[:UNSIGNED_SIZE], key)
    except (BadSignatureError, ValueError):
        return False
    return True


def lot_of(raw: bytes) -> LotId | None:
    """The lot that a record speaks of, 0: none; None for a bare frame, which cannot say."""
    return LotId(_LOT.unpack_from(raw, _LOT_AT)[0]) if len(raw) == RECORD_SIZE else None


def sender_of(raw: bytes) -> DeviceId:
    """The device_id in the bytes of a frame or record."""
    return DeviceId(int.from_bytes(raw[OFFSETS["device_id"] : OFFSETS["ttl"]], "little"))


def message_id_of(raw: bytes) -> int:
    """The message_id in the bytes of a frame or record."""
    return int.from_bytes(raw[OFFSETS["message_id"] : OFFSETS["device_id"]], "little")
