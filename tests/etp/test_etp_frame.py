"""The frame: golden bytes both ways, the fast path against the declaration, and the one judge of content."""

import json
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etp.errors import FrameLengthError
from etp.frame import FIELDS, FRAME, FRAME_SIZE, LAYOUT, OFFSETS, RANGES, TRADED, Frame, decode, encode, invalid

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "frames.json").read_text())["frames"]
DOUBLES = [name for name, character in FIELDS if character == "d"]
INTEGERS = {"B": 2**8 - 1, "Q": 2**64 - 1}
ANY_FRAME = st.builds(
    Frame,
    **{
        name: st.floats(width=64) if character == "d" else st.integers(0, INTEGERS[character])
        for name, character in FIELDS
    },
)


@pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])
def test_golden_frames_both_ways(vector):
    """Bytes of another implementation's encoder: read, judged valid, and written again to the byte."""
    fields = {name: value for name, value in vector.items() if name not in ("name", "hex")}
    raw, frame = bytes.fromhex(vector["hex"]), Frame(**{"message_type": 0, "ttl": 0} | fields)
    assert decode(raw) == frame
    assert encode(frame) == raw
    assert invalid(frame) is None


def test_layout_is_the_specified_one():
    """84 bytes, little-endian, no padding."""
    assert LAYOUT.format == "<BQQBdddddBdBdd"
    assert (FRAME_SIZE, OFFSETS["discharge_rate"]) == (84, 76)


@given(ANY_FRAME)
def test_construct_and_fast_path_agree(frame):
    """The declaration and the derived code write the same bytes and read the same fields."""
    raw = FRAME.build(frame._asdict())
    assert raw == encode(frame)
    parsed = FRAME.parse(raw)
    for name, value in decode(raw)._asdict().items():
        assert value == parsed[name] or (math.isnan(value) and math.isnan(parsed[name]))


@pytest.mark.parametrize("length", [*range(FRAME_SIZE), *range(FRAME_SIZE + 1, 201)])
def test_other_lengths_are_no_frames(length):
    """Any length but 84 is refused."""
    with pytest.raises(FrameLengthError, match=f"these are {length}"):
        decode(bytes(length))


@pytest.mark.parametrize("name", DOUBLES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_every_double_is_judged_in_every_type(name, value):
    """NaN, infinities and negatives are refused even where the type does not use the field."""
    for kind in range(10):
        frame = Frame(kind, 1, 1, 5, bid_price=1.0, required_energy_amount=1.0)._replace(**{name: value})
        assert invalid(frame) is not None
        assert name in (invalid(frame) or "")


def test_negative_zero_reads_as_zero():
    """-0.0 is 0.0 in every double."""
    raw = encode(Frame(0, 1, 1, 5, **dict.fromkeys(DOUBLES, -0.0)))
    assert all(math.copysign(1.0, getattr(decode(raw), name)) == 1.0 for name in DOUBLES)


@pytest.mark.parametrize("name", [name for name, character in FIELDS if character != "Q"])
def test_ranges_at_both_ends(name):
    """The ends of each range are legal, the next values are not."""
    low, high, _ = RANGES[name]
    base = Frame(9, 1, 1, 5)
    assert invalid(base._replace(**{name: low})) is None or name == "message_type"
    if name in DOUBLES:
        assert invalid(base._replace(**{name: math.nextafter(high, math.inf)})) is not None
        assert invalid(base._replace(**{name: high})) is None
    elif name != "termination_code":
        outside = [value for value in (int(low) - 1, int(high) + 1) if 0 <= value <= 255]
        assert all(invalid(base._replace(**{name: value})) for value in outside)


@given(ANY_FRAME)
def test_fast_judge_equals_the_table(frame):
    """The inlined comparisons and RANGES refuse the same frames."""
    in_range = all(RANGES[name].low <= value <= RANGES[name].high for name, value in frame._asdict().items())
    if not in_range:
        assert invalid(frame) is not None
    elif frame.message_type not in {int(kind) for kind in TRADED}:
        assert invalid(frame) is None


@pytest.mark.parametrize(
    ("changes", "legal"),
    [
        ({"bid_price": 12.75}, True),
        ({"bid_price": 12.3456}, True),
        ({"bid_price": 12.34561}, False),
        ({"bid_price": 0.00004}, False),
        ({"bid_price": 1e-300}, False),
        ({"bid_price": 0.0}, False),
        ({"required_energy_amount": 0.0}, False),
        ({"required_energy_amount": 5.4321}, False),
        ({"required_energy_amount": 5.432}, True),
        ({"required_energy_amount": 5.432 + 9e-10}, True),
        ({"required_energy_amount": 5.432 + 2e-9}, False),
        ({"energy_total": 1.23456789}, True),
        ({"termination_code": 200}, True),
    ],
)
def test_what_trades_is_whole(changes, legal):
    """A Bid's price and energy are whole µ and Wh (within 10⁻⁶) and above 0; telemetry need not be."""
    bid = Frame(3, 1, 1, 5, bid_price=10.0, required_energy_amount=5.0)
    assert (invalid(bid._replace(**changes)) is None) is legal


@given(st.binary(min_size=FRAME_SIZE, max_size=FRAME_SIZE))
def test_any_84_bytes_are_read_and_judged(raw):
    """Nothing raises, and what is valid is written again to the byte (but for -0.0)."""
    frame = decode(raw)
    if invalid(frame) is None:
        assert encode(frame) == struct.pack(LAYOUT.format, *(v + 0.0 if isinstance(v, float) else v for v in frame))
