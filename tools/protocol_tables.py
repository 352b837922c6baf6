"""The tables and examples of docs/protocol.md, from the code that speaks the protocol and the vectors that pin it.

Run as a program it draws the pages of `tools.settlement_tables` and `tools.operations_tables` as well.
"""

import dataclasses
import json
import struct
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from etp import messages
from etp.codes import SENT_BY, FailureCode, Health, MessageType, RejectCode, Role, TerminateCode
from etp.discovery_limits import DiscoveryLimits
from etp.frame import FIELDS, OFFSETS, QUANTA, RANGES, TRADED, Frame, decode
from etp.limits import Limits
from etp.timing import TIMING, Timing
from etp.units import DeviceId, MicroPerKwh, Wh
from tools import operations_tables, settlement_tables
from tools.generated import ROOT, attribute_docs, main, table

PAGE: Final = ROOT / "docs" / "protocol.md"
VECTORS: Final = ROOT / "tests" / "vectors" / "frames.json"
TYPES: Final = {"B": "u8", "Q": "u64", "d": "f64"}
ROLES: Final = {Role.BESS: "BESS", Role.AGGREGATOR: "aggregator"}
HEADER: Final = frozenset({"message_type", "message_id", "device_id", "ttl"})
"""Fields that every frame carries."""

_ID: Final = DeviceId(1)
_OFFER: Final = messages.Offer(Wh(4), Wh(1))
_PRICE: Final = MicroPerKwh(1)
_ACCEPT: Final = messages.accept(_ID, energy=Wh(1), paid=_PRICE, bid_price=_PRICE, offer=_OFFER)
_FULL: Final[tuple[Frame, ...]] = (
    messages.register(_ID),
    messages.query(_ID),
    messages.response(_ID, offer=_OFFER, ask=_PRICE, bid_price=_PRICE),
    messages.bid(_ID, price=_PRICE, energy=Wh(1)),
    _ACCEPT,
    messages.confirm(_ID, _ACCEPT),
    messages.reject(_ID, RejectCode.OUTBID, refused=1.0, ask=_PRICE, available=Wh(1)),
    messages.terminate(_ID, TerminateCode.TIMEOUT),
    messages.device_failure(_ID, FailureCode.BATTERY),
    messages.status(_ID, remaining=Wh(1), health=Health.GOOD, voltage_v=1.0, discharge_kw=1.0),
)
"""Each message with nothing left at 0, so that what it carries can be seen."""


def title(kind: MessageType) -> str:
    """A type's name as the text writes it: DeviceFailure."""
    return "".join(word.capitalize() for word in kind.name.split("_"))


def fields() -> str:
    """The layout of a frame and the legal values of its fields."""
    rows = []
    for name, character in FIELDS:
        low, high, unit = RANGES[name]
        top = f"{high:,.0f}" if character != "Q" else "2⁶⁴ − 1"
        whole = QUANTA[name][1] if name in QUANTA else ""
        rows.append((OFFSETS[name], struct.calcsize(character), f"`{name}`", TYPES[character], unit, low, top, whole))
    drawn = ((*row[:5], f"{row[5]:g} to {row[6]}", row[7]) for row in rows)
    return table((">offset", ">bytes", "field", "type", "unit", "legal", "where it trades, whole multiples of"), drawn)


def carried(frame: Frame) -> list[str]:
    """The fields that a full message sets, beside the header."""
    return [name for name, value in frame._asdict().items() if name not in HEADER and value]


def message_types() -> str:
    """Who sends a type, how soon it must arrive, what it carries."""
    rows = []
    for frame in _FULL:
        kind = MessageType(frame.message_type)
        timing = TIMING[kind]
        senders = " or ".join(text for role, text in ROLES.items() if kind in SENT_BY[role])
        period = f"every {timing.period_s:g} s" if timing.period_s else "with cause"
        names = [f"**`{name}`**" if name in TRADED.get(kind, ()) else f"`{name}`" for name in carried(frame)]
        late = "dropped" if timing.droppable else "see below"
        row = (kind.value, title(kind), senders, timing.priority, timing.max_delay_ms, late, period)
        rows.append((*row, ", ".join(names) or "nothing more"))
    headings = (">#", "message", "sent by", ">priority", ">max delay, ms", "when late", "sent", "carries")
    return table(headings, rows)


def _codes(owner: type[IntEnum]) -> str:
    return table((">code", "name"), ((code.value, f"`{code.name}`") for code in owner))


def terminate_codes() -> str:
    """What a Terminate says, and whether the session ends with it."""
    rows = ((c.value, f"`{c.name}`", "closes" if c.closes_session else "stays") for c in TerminateCode)
    return table((">code", "name", "the session"), rows)


def _settings(owner: type[Any]) -> str:
    made, docs = owner(), attribute_docs(owner)
    rows = ((f"`{f.name}`", f"{getattr(made, f.name):,g}", docs[f.name]) for f in dataclasses.fields(owner))
    return table(("name", ">default", "what"), rows)


def vectors() -> list[dict[str, Any]]:
    """The frames that an existing implementation encoded."""
    found: list[dict[str, Any]] = json.loads(VECTORS.read_text())["frames"]
    return found


def examples() -> str:
    """Every vector, field by field."""
    return "\n\n".join(_example(vector["name"], bytes.fromhex(vector["hex"])) for vector in vectors())


def _example(name: str, raw: bytes) -> str:
    frame = decode(raw)
    lines = [f"**{title(MessageType(frame.message_type))}** (`{name}`)", "", "```text"]
    for field, character in FIELDS:
        at, width = OFFSETS[field], struct.calcsize(character)
        lines.append(f"{at:3}  {raw[at : at + width].hex():16}  {field:26}  {getattr(frame, field):g}")
    return "\n".join([*lines, "```"])


PARTS: Final = {
    "fields": fields,
    "messages": message_types,
    "reject-codes": lambda: _codes(RejectCode),
    "terminate-codes": terminate_codes,
    "failure-codes": lambda: _codes(FailureCode),
    "health": lambda: _codes(Health),
    "timing": lambda: _settings(Timing),
    "limits": lambda: _settings(Limits),
    "discovery": lambda: _settings(DiscoveryLimits),
    "examples": examples,
}


def draw(page: Path = PAGE, arguments: tuple[str, ...] = ()) -> int:
    """Draw the page, or check it."""
    return main(page, PARTS, arguments)


if __name__ == "__main__":
    given = tuple(sys.argv[1:])
    sys.exit(max(draw(arguments=given), settlement_tables.draw(given), operations_tables.draw(given)))
