"""The 84-byte frame: declared once with construct, everything else derived from that declaration.

`encode`/`decode` are the fast path (one `struct.Struct`), `invalid` is the one judge of content for both directions,
TCP, UDP, tests and fuzzers. Knows nothing of sessions or clocks.
"""

import struct
from typing import Any, Final, NamedTuple

from construct import Float64l, Int8ul, Int64ul, Struct, Terminated

from etp.codes import Health, MessageType
from etp.errors import FrameLengthError
from etp.units import MICRO_PER_CENT, QUANTUM_TOLERANCE, WH_PER_KWH

FRAME: Final[Any] = Struct(
    "message_type" / Int8ul,
    "message_id" / Int64ul,
    "device_id" / Int64ul,
    "ttl" / Int8ul,
    "bid_price" / Float64l,
    "sale_price" / Float64l,
    "energy_total" / Float64l,
    "percentage_for_sale" / Float64l,
    "required_energy_amount" / Float64l,
    "termination_code" / Int8ul,
    "remaining_battery_energy" / Float64l,
    "battery_health_status_code" / Int8ul,
    "battery_voltage" / Float64l,
    "discharge_rate" / Float64l,
    Terminated,
)
"""The declaration: little-endian, no padding (`<BQQBdddddBdBdd`)."""

FIELDS: Final[tuple[tuple[str, str], ...]] = tuple(
    (sub.name, sub.subcon.fmtstr[-1]) for sub in FRAME.subcons if sub.name is not None
)
"""(name, struct character) of each field, in wire order."""
LAYOUT: Final = struct.Struct("<" + "".join(character for _, character in FIELDS))
FRAME_SIZE: Final = LAYOUT.size
OFFSETS: Final[dict[str, int]] = {
    name: struct.calcsize("<" + "".join(c for _, c in FIELDS[:index])) for index, (name, _) in enumerate(FIELDS)
}
"""Byte offset of each field."""
DEFAULT_TTL: Final = 5


class Frame(NamedTuple):
    """One frame as on the wire: prices in c/kWh, energies in kWh, volts, kW."""

    message_type: int
    message_id: int = 0
    device_id: int = 0
    ttl: int = DEFAULT_TTL
    bid_price: float = 0.0
    sale_price: float = 0.0
    energy_total: float = 0.0
    percentage_for_sale: float = 0.0
    required_energy_amount: float = 0.0
    termination_code: int = 0
    remaining_battery_energy: float = 0.0
    battery_health_status_code: int = 0
    battery_voltage: float = 0.0
    discharge_rate: float = 0.0


class Range(NamedTuple):
    """Legal values of a field, both ends included."""

    low: float
    high: float
    unit: str


U64_MAX: Final = 2**64 - 1
MAX_PRICE_CENTS: Final = 10_000.0
MAX_ENERGY_KWH: Final = 1_000_000.0
MAX_PERCENT: Final = 100.0
MAX_VOLTAGE: Final = 2_000.0
MAX_RATE_KW: Final = 100_000.0

RANGES: Final[dict[str, Range]] = {
    "message_type": Range(min(MessageType), max(MessageType), ""),
    "message_id": Range(0, U64_MAX, "µs"),
    "device_id": Range(0, U64_MAX, ""),
    "ttl": Range(1, 255, ""),
    "bid_price": Range(0.0, MAX_PRICE_CENTS, "c/kWh"),
    "sale_price": Range(0.0, MAX_PRICE_CENTS, "c/kWh"),
    "energy_total": Range(0.0, MAX_ENERGY_KWH, "kWh"),
    "percentage_for_sale": Range(0.0, MAX_PERCENT, "%"),
    "required_energy_amount": Range(0.0, MAX_ENERGY_KWH, "kWh"),
    "termination_code": Range(0, 255, ""),
    "remaining_battery_energy": Range(0.0, MAX_ENERGY_KWH, "kWh"),
    "battery_health_status_code": Range(min(Health), max(Health), ""),
    "battery_voltage": Range(0.0, MAX_VOLTAGE, "V"),
    "discharge_rate": Range(0.0, MAX_RATE_KW, "kW"),
}

TRADED: Final[dict[MessageType, tuple[str, ...]]] = {
    MessageType.RESPONSE: ("bid_price", "sale_price"),
    MessageType.BID: ("bid_price", "required_energy_amount"),
    MessageType.ACCEPT: ("bid_price", "sale_price", "required_energy_amount"),
    MessageType.CONFIRM: ("bid_price", "sale_price", "required_energy_amount"),
    MessageType.REJECT: ("bid_price", "sale_price"),
}
"""Fields that trade, by the types that carry them: whole µ or Wh, or the frame is refused."""
QUANTA: Final[dict[str, tuple[int, str]]] = {
    "bid_price": (MICRO_PER_CENT, "0.0001 c/kWh"),
    "sale_price": (MICRO_PER_CENT, "0.0001 c/kWh"),
    "required_energy_amount": (WH_PER_KWH, "0.001 kWh"),
}
POSITIVE_IN_BID: Final = ("bid_price", "required_energy_amount")

_NAMES: Final = tuple(name for name, _ in FIELDS)
_INDEX: Final = {name: index for index, name in enumerate(_NAMES)}
_DOUBLES: Final = tuple(index for index, (_, character) in enumerate(FIELDS) if character == "d")
_SIGN_BITS: Final = sum(1 << 8 * OFFSETS[_NAMES[index]] + 63 for index in _DOUBLES)
"""Of all doubles, in the 84 bytes read as one little-endian integer: one test instead of eight."""
_TRADED_AT: Final = tuple(
    tuple((_INDEX[name], QUANTA[name][0]) for name in TRADED.get(kind, ())) for kind in MessageType
)
_LAST_KIND: Final = max(MessageType).value
_WORST_HEALTH: Final = max(Health).value
_BID: Final = MessageType.BID.value
# One `<=` chain per field costs half of a loop over RANGES; the test that compares the two keeps them equal.
assert Frame._fields == _NAMES
assert FRAME_SIZE == 84  # noqa: PLR2004 - the number that the specification names


def encode(frame: Frame) -> bytes:
    """The 84 bytes of a frame. Does not judge it: see `invalid`. Raises struct.error for integers beyond their field."""
    return LAYOUT.pack(*frame)


def decode(data: bytes | bytearray | memoryview) -> Frame:
    """The frame in exactly 84 bytes, -0.0 read as 0.0. Raises FrameLengthError for another length."""
    if len(data) != FRAME_SIZE:
        raise FrameLengthError(length=len(data), expected=FRAME_SIZE)
    frame: Frame = tuple.__new__(Frame, LAYOUT.unpack(data))  # half of what _make costs
    return _without_negative_zero(frame) if int.from_bytes(data, "little") & _SIGN_BITS else frame


def _without_negative_zero(frame: Frame) -> Frame:
    return Frame._make(value + 0.0 if index in _DOUBLES else value for index, value in enumerate(frame))


def invalid(frame: Frame) -> str | None:
    """Why a frame is refused, or None. Ranges are design §3's; NaN and infinities fail every comparison below."""
    kind, _, _, ttl, bid, sale, total, share, required, _, remaining, health, voltage, rate = frame
    if (
        0 <= kind <= _LAST_KIND
        and ttl >= 1
        and 0.0 <= bid <= MAX_PRICE_CENTS
        and 0.0 <= sale <= MAX_PRICE_CENTS
        and 0.0 <= total <= MAX_ENERGY_KWH
        and 0.0 <= share <= MAX_PERCENT
        and 0.0 <= required <= MAX_ENERGY_KWH
        and 0.0 <= remaining <= MAX_ENERGY_KWH
        and 0 <= health <= _WORST_HEALTH
        and 0.0 <= voltage <= MAX_VOLTAGE
        and 0.0 <= rate <= MAX_RATE_KW
    ):
        for index, factor in _TRADED_AT[kind]:
            value = frame[index]
            if value != 0.0:
                scaled = value * factor
                nearest = int(scaled + 0.5)
                if nearest == 0 or not -QUANTUM_TOLERANCE <= scaled - nearest <= QUANTUM_TOLERANCE:
                    return _not_whole(_NAMES[index], value)
        if kind == _BID and not (bid > 0.0 and required > 0.0):
            name = POSITIVE_IN_BID[bid > 0.0]
            return f"{name} of a Bid is {getattr(frame, name)!r}; it must be greater than 0"
        return None
    return _out_of_range(frame)


def _not_whole(name: str, value: float) -> str:
    return f"{name} is {value!r}; it must be a whole multiple of {QUANTA[name][1]}"


def _out_of_range(frame: Frame) -> str:
    for name, value in zip(_NAMES, frame, strict=True):
        low, high, unit = RANGES[name]
        if not low <= value <= high:
            return f"{name} is {value!r}; it must be {low:g} to {high:g} {unit}".rstrip()
    raise AssertionError("the fast checks and RANGES disagree")
