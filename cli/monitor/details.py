"""All that is known of one thing, field by field: its value with its unit, and of a trade its evidence, decoded.

The unit is the last word of a field's name, as everywhere in this suite.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import tzinfo
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from cli.monitor.tables import LatencyOf, Row, Thing, Tone
from cli.monitor.things import Lot, Trade
from cli.monitor.words import NOTHING, cents, clean, full_time, kwh
from cli.monitor.world import Known
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.errors import EtpError
from etp.frame import FIELDS, FRAME_SIZE, RANGES, Frame, decode, invalid
from etp.record import RECORD_SIZE, fault, is_record, is_signed_by, trailer

INDENT: Final = "  "
LARGEST_FRAME: Final = 2 * RECORD_SIZE
"""Hex digits of a frame that are read."""
SHOWN_ROWS: Final = 200
"""Journal rows of one trade that are listed; it has fewer than twenty."""
BYTES_OF_NETWORK: Final = 32
BY_TYPE: Final = {
    MessageType.BID: ("bid_price", "required_energy_amount"),
    MessageType.ACCEPT: ("bid_price", "sale_price", "required_energy_amount"),
    MessageType.CONFIRM: ("bid_price", "sale_price", "required_energy_amount"),
    MessageType.REJECT: ("termination_code", "bid_price", "sale_price"),
    MessageType.TERMINATE: ("termination_code",),
}
"""Fields of a frame that its type is about; the others are listed where they are not 0."""
CODES: Final[dict[MessageType, type[IntEnum]]] = {
    MessageType.REJECT: RejectCode,
    MessageType.TERMINATE: TerminateCode,
    MessageType.DEVICE_FAILURE: FailureCode,
}


class Line(NamedTuple):
    """A line of text."""

    text: str
    tone: Tone = ""


def _micro_per_kwh(value: int) -> str:
    return f"{cents(value)} c/kWh ({value:,} u/kWh)"


_UNITS: Final[tuple[tuple[str, Callable[[Any, tzinfo | None], str]], ...]] = (
    ("_micro_per_kwh", lambda value, _: _micro_per_kwh(value)),
    ("_micro", lambda value, _: f"{cents(value)} c ({value:,} u)"),
    ("_wh", lambda value, _: f"{kwh(value)} kWh ({value:,} Wh)"),
    ("_us", full_time),
    ("_mv", lambda value, _: f"{value / 1000:.3f} V"),
    ("_mc", lambda value, _: f"{value / 1000:.1f} degrees C"),
    ("_ms", lambda value, _: f"{value:,.3f} ms"),
    ("_w", lambda value, _: f"{value:,} W"),
)
"""By the end of a name, the longest first; µ is written u, see `words`."""
TIMELESS: Final = frozenset({"closes_us", "opened_us", "oldest_unsettled_us"})
"""Times that are not known where they are 0."""


def value_of(name: str, value: object, zone: tzinfo | None) -> str:
    """A field's value with its unit."""
    if value is None or (name in TIMELESS and value == 0):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        for ending, written in _UNITS:
            if name.endswith(ending):
                return written(value, zone)
        return f"{value:,}"
    return clean(str(value))


def details(thing: Thing, known: Known, zone: tzinfo | None) -> list[Line]:
    """Every field of what a row is about, and what belongs to it."""
    if isinstance(thing, Trade):
        rest = {one.name: getattr(thing, one.name) for one in fields(thing) if one.name != "confirmed"}
        return _listed(_named(thing.confirmed) | rest, zone)
    if isinstance(thing, Lot):
        return [*_listed(_named(thing), zone), *_bids_of(thing, known, zone)]
    if isinstance(thing, LatencyOf):
        rest = {name: value for name, value in _named(thing.metrics).items() if name != "latencies"}
        return [*_listed(_named(thing.latency), zone), Line(""), Line("its node", "quiet"), *_listed(rest, zone)]
    lines = _listed(_named(thing), zone)
    metrics = known.metrics.get(str(getattr(thing, "node", "")))
    return lines if metrics is None or metrics is thing else [*lines, *_times(metrics.latencies)]


def _named(thing: object) -> dict[str, object]:
    if is_dataclass(thing):
        return {one.name: getattr(thing, one.name) for one in fields(thing)}
    assert isinstance(thing, msgspec.Struct)
    kind = {"type": type(thing).__name__}
    return kind | {name: getattr(thing, name) for name in thing.__struct_fields__}


def _listed(named: Mapping[str, object], zone: tzinfo | None) -> list[Line]:
    width = max((len(name) for name in named), default=0)
    lines: list[Line] = []
    for name, value in named.items():
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            lines += _times(value)
        else:
            lines.append(Line(f"{clean(name):<{width}}  {value_of(name, value, zone)}"))
    return lines


def _times(latencies: Sequence[Any]) -> list[Line]:
    if not latencies:
        return []
    lines = [Line(""), Line("times, ms", "quiet")]
    for latency in latencies:
        points = f"p50 {latency.p50_ms:.1f}  p90 {latency.p90_ms:.1f}  p99 {latency.p99_ms:.1f}"
        said = f"{latency.what:<5} {clean(latency.message):<14} {points}  worst {latency.worst_ms:.1f}"
        over = f" of {latency.budget_ms:.0f}, {latency.over_budget} over"
        lines.append(Line(said + over, "bad" if latency.over_budget else ""))
    return lines


def _bids_of(lot: Lot, known: Known, zone: tzinfo | None) -> list[Line]:
    """The bids of a lot that were heard since its close; REST has all of them."""
    found = [
        entry
        for entry in known.entries
        if type(entry).__name__ in ("BidPlaced", "BidRejected")
        and (getattr(entry, "node", ""), getattr(entry, "lot_id", "")) == (lot.battery, lot.lot_id)
    ]
    if not found:
        return []
    lines = [Line(""), Line("bids, in order of arrival", "quiet")]
    for bid in found:
        price = value_of("price_micro_per_kwh", getattr(bid, "price_micro_per_kwh", None), zone)
        energy = kwh(getattr(bid, "energy_wh", None))
        lines.append(
            Line(f"{getattr(bid, 'bidder', '')}: {energy} kWh at {price}  {getattr(bid, 'code', 'took part')}")
        )
    return lines


# -- a trade's evidence, from REST


def evidence(detail: Mapping[str, Any], zone: tzinfo | None) -> list[Line]:
    """What REST has of a trade: each message decoded and its signature checked, and the journal rows that tell of it.

    `detail` is a TradeDetail; whatever it holds otherwise is said, and nothing of it is believed.
    """
    lines: list[Line] = []
    network = _bytes(detail.get("network_id"), BYTES_OF_NETWORK)
    for said in _objects(detail.get("frames")):
        lines += [Line(""), *_frame(said, network)]
    lines += [Line(""), Line("journal rows", "quiet")]
    for row in _objects(detail.get("rows"))[:SHOWN_ROWS]:
        lines += _row(row, zone)
    return lines


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _bytes(text: object, size: int) -> bytes | None:
    try:
        data = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return None
    return data if len(data) == size else None


def _frame(said: Mapping[str, Any], network: bytes | None) -> Iterator[Line]:
    title = f"{clean(str(said.get('what')))} by {clean(str(said.get('by')))}"
    raw = _bytes(said.get("raw"), RECORD_SIZE) or _bytes(said.get("raw"), FRAME_SIZE)
    if raw is None:
        yield Line(f"{title}: no frame of {FRAME_SIZE} bytes and no record of {RECORD_SIZE}", "bad")
        return
    frame = decode(raw[:FRAME_SIZE])
    reason = invalid(frame) or (fault(frame, trailer(raw)) if is_record(raw) else None)
    name = MessageType(frame.message_type).name if frame.message_type in set(MessageType) else "unknown type"
    yield Line(f"{title}: {name}, {len(raw)} bytes", "quiet")
    if reason is not None:
        yield Line(f"{INDENT}refused: {reason}", "bad")
    yield from _fields(frame)
    if is_record(raw):
        yield from _signature(raw, network, _bytes(said.get("key"), 32))


def _fields(frame: Frame) -> Iterator[Line]:
    always = ("message_type", "message_id", "device_id", *BY_TYPE.get(_kind(frame), ()))
    for name, _ in FIELDS:
        value = getattr(frame, name)
        if value != 0 or name in always:
            unit = _code(frame) if name == "termination_code" else RANGES[name].unit.replace("µ", "u")
            yield Line(f"{INDENT}{name:<27} {value} {unit}".rstrip())


def _kind(frame: Frame) -> Any:
    return MessageType(frame.message_type) if frame.message_type in set(MessageType) else None


def _code(frame: Frame) -> str:
    """What a termination_code means in this type of message; empty: it has no meaning."""
    names = CODES.get(_kind(frame))
    return next((f"({code.name})" for code in names or () if code == frame.termination_code), "")


def _signature(raw: bytes, network: bytes | None, key: bytes | None) -> Iterator[Line]:
    said = trailer(raw)
    for name, value in (
        ("lot_id", str(said.lot_id)),
        ("price", f"{said.price} u/kWh"),
        ("energy", f"{said.energy} Wh"),
        ("counter", f"boot {said.counter >> 32}, no. {said.counter & 0xFFFF_FFFF}"),
        ("recipient", said.recipient.hex()),
    ):
        yield Line(f"{INDENT}{'trailer.' + name:<27} {value}")
    if network is None or key is None:
        yield Line(f"{INDENT}signature not checked: its key or market is not known", "warn")
        return
    try:
        right = is_signed_by(key, network, raw)
    except EtpError:
        right = False
    verdict = "signature is its sender's, for this market" if right else "SIGNATURE IS WRONG"
    yield Line(f"{INDENT}{verdict}", "good" if right else "bad")


def _row(row: Mapping[str, Any], zone: tzinfo | None) -> Iterator[Line]:
    place = f"{clean(str(row.get('node')))} no. {clean(str(row.get('seq')))}"
    at = value_of("time_us", row.get("time_us"), zone)
    yield Line(f"{INDENT}{place}  {clean(str(row.get('kind')))} {clean(str(row.get('state')))}  {at}")
    yield Line(f"{INDENT * 2}hash {clean(str(row.get('hash')))}", "quiet")
    body = row.get("body")
    named = body if isinstance(body, Mapping) else {}
    width = max((len(str(name)) for name in named), default=0)
    for name, value in named.items():
        yield Line(f"{INDENT * 2}{clean(str(name)):<{width}}  {value_of(str(name), value, zone)}", "quiet")


def title_of(row: Row) -> str:
    """What a row is about, for the head of its details."""
    return clean(row.key)
