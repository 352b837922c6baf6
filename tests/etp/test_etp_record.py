"""The record: layout, integers and floats, signature; against golden vectors, construct, struct by hand and a second Ed25519."""

import json
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from construct import ConstructError
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from etp.codes import MessageType
from etp.frame import FRAME, FRAME_SIZE, Frame, decode, encode, invalid
from etp.keys import KeyPair
from etp.record import (
    HEAD,
    NO_LOT,
    RECORD_SIZE,
    TRAILER,
    TRAILER_SIZE,
    group_recipient,
    is_record,
    is_signed_by,
    lot_of,
    message_id_of,
    network_id,
    quantities,
    seal,
    sender_of,
    signed_message,
    trailer,
)
from tests.signing import Hand, flipped, pair

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "records.json").read_text())
RECORDS: list[dict[str, Any]] = VECTORS["records"]
NETWORK = bytes.fromhex(VECTORS["network"]["network_id"])
KEYS = {who: KeyPair(bytes.fromhex(key["seed"])) for who, key in VECTORS["keys"].items()}
BY_HAND = struct.Struct("<4sBBHQQII32s64s")
"""The trailer as docs/settlement.md has it, written down a second time."""
each = pytest.mark.parametrize("vector", RECORDS, ids=lambda vector: vector["name"])

micros = st.integers(0, 100_000_000).map(lambda micro: micro / 10_000)
whs = st.integers(0, 1_000_000_000).map(lambda wh: wh / 1000)
u64 = st.integers(0, 2**64 - 1)
frames = st.builds(
    Frame,
    message_type=st.sampled_from(MessageType).map(int),
    message_id=u64,
    device_id=u64,
    ttl=st.integers(1, 255),
    bid_price=micros,
    sale_price=micros,
    energy_total=st.floats(0, 1e6),
    percentage_for_sale=st.floats(0, 100),
    required_energy_amount=whs,
    termination_code=st.integers(0, 255),
    remaining_battery_energy=st.floats(0, 1e6),
    battery_health_status_code=st.integers(0, 3),
    battery_voltage=st.floats(0, 2000),
    discharge_rate=st.floats(0, 1e5),
).filter(lambda frame: invalid(frame) is None)


# -- golden vectors


@each
def test_a_golden_record_is_sealed_byte_for_byte(vector: dict[str, Any]) -> None:
    """Ed25519 is deterministic: the same frame, counter, lot, recipient and seed give the very bytes of another implementation."""
    raw = bytes.fromhex(vector["hex"])
    made = seal(
        decode(raw[:FRAME_SIZE]),
        raw[:FRAME_SIZE],
        counter=vector["counter"],
        lot_id=vector["lot_id"],
        recipient=bytes.fromhex(vector["recipient"]),
        network=NETWORK,
        sign=KEYS[vector["sender"]].sign,
    )
    assert made.hex() == vector["hex"]


@each
def test_a_golden_record_reads_as_written(vector: dict[str, Any]) -> None:
    """Trailer, signed bytes and signature; the integers are what the floats say; a second Ed25519 verifies it, too."""
    raw, key = bytes.fromhex(vector["hex"]), KEYS[vector["sender"]].public
    said = trailer(raw)
    assert is_record(raw)
    assert {name: value.hex() if isinstance(value, bytes) else value for name, value in said._asdict().items()} == {
        name: vector[name] for name in said._fields
    }
    assert (said.price, said.energy) == quantities(decode(raw[:FRAME_SIZE]))
    assert signed_message(NETWORK, raw).hex() == vector["signed_message"]
    assert is_signed_by(key, NETWORK, raw)
    assert Signature(raw[148:]).verify(Pubkey(key), bytes.fromhex(vector["signed_message"]))


def test_the_network_and_the_group_are_what_the_specification_says() -> None:
    """SHA-256 over domain, genesis hash, program, admin, name; SHA-256("group:port")."""
    network = VECTORS["network"]
    hashes = {name: bytes.fromhex(network[name]) for name in ("genesis_hash", "program_id", "admin")}
    assert network_id(**hashes, name=network["name"]) == NETWORK
    assert sha256(b"ETP-NET-v1\0" + b"".join(hashes.values()) + b"golden market").digest() == NETWORK
    host, port = VECTORS["group"]["address"].split(":")
    assert group_recipient((host, int(port))).hex() == VECTORS["group"]["recipient"]


@pytest.mark.parametrize("field", ["genesis_hash", "program_id", "admin", "name"])
def test_each_part_of_a_network_makes_it_another(field: str) -> None:
    """No record of one chain, program, admin or market means anything in another."""
    parts: dict[str, Any] = {"genesis_hash": bytes(32), "program_id": bytes(32), "admin": bytes(32), "name": "a"}
    other = parts | {field: "b" if field == "name" else b"\1" * 32}
    assert network_id(**parts) != network_id(**other)


# -- layout


def test_every_field_is_at_its_place() -> None:
    """84 + 128 = 212 bytes, offsets as in docs/settlement.md."""
    assert (FRAME_SIZE, TRAILER_SIZE, RECORD_SIZE, BY_HAND.size) == (84, 128, 212, 128)
    at, places = 0, {}
    for sub in TRAILER.subcons:
        if sub.name:
            places[sub.name] = at
            at += sub.sizeof()
    assert places == {
        "magic": 0,
        "version": 4,
        "algorithm": 5,
        "zero": 6,
        "counter": 8,
        "lot_id": 16,
        "price": 24,
        "energy": 28,
        "recipient": 32,
        "signature": 64,
    }
    assert HEAD == b"ETPS\x01\x01\0\0"


@given(frame=frames, counter=u64, lot_id=u64, recipient=st.binary(min_size=32, max_size=32))
def test_seal_then_read(frame: Frame, counter: int, lot_id: int, recipient: bytes) -> None:
    """Any valid frame: what is sealed is read back, by us, by construct and by struct by hand; its signature holds."""
    raw = encode(frame)
    key, network = pair(500), b"\5" * 32
    made = seal(frame, raw, counter=counter, lot_id=lot_id, recipient=recipient, network=network, sign=key.sign)
    said = trailer(made)
    assert (len(made), made[:84], is_record(made)) == (212, raw, True)
    assert (said.counter, said.lot_id, said.recipient) == (counter, lot_id, recipient)
    assert (said.price, said.energy) == quantities(frame)
    assert (lot_of(made), sender_of(made), message_id_of(made)) == (lot_id, frame.device_id, frame.message_id)
    parsed = TRAILER.parse(made[84:])
    assert {name: parsed[name] for name in said._fields} == said._asdict()
    assert TRAILER.build(parsed) == made[84:]
    assert FRAME.parse(made[:84]).message_id == frame.message_id
    assert BY_HAND.unpack(made[84:]) == (b"ETPS", 1, 1, 0, *said)
    assert is_signed_by(key.public, network, made)
    assert Signature(made[148:]).verify(Pubkey(key.public), b"ETP-SIG-v1\0" + network + made[:148])
    assert bytes(Keypair.from_seed(key.seed).sign_message(b"ETP-SIG-v1\0" + network + made[:148])) == made[148:]


@given(st.binary(min_size=120, max_size=120))
def test_the_fast_struct_reads_what_construct_reads(body: bytes) -> None:
    """Whatever stands behind the head."""
    raw = bytes(84) + HEAD + body
    assert dict(TRAILER.parse(raw[84:])).items() >= trailer(raw)._asdict().items()


@given(st.binary(min_size=8, max_size=8).filter(lambda head: head != HEAD))
def test_another_head_is_no_record(head: bytes) -> None:
    """Magic, version, algorithm and the zero are all looked at, by us and by construct."""
    raw = bytes(84) + head + bytes(120)
    assert not is_record(raw)
    with pytest.raises(ConstructError):
        TRAILER.parse(raw[84:])


@pytest.mark.parametrize("size", [0, 83, 84, 88, 128, 211, 213, 424])
def test_another_length_is_no_record(size: int) -> None:
    """And has no lot: a bare frame cannot say."""
    raw = (bytes.fromhex(RECORDS[5]["hex"]) * 2)[:size]
    assert not is_record(raw)
    assert lot_of(raw) is None


def test_trailing_bytes_are_refused_by_the_declaration() -> None:
    """`Terminated` is declared."""
    with pytest.raises(ConstructError):
        TRAILER.parse(bytes.fromhex(RECORDS[0]["hex"])[84:] + b"\0")


# -- integers


@given(frame=frames)
def test_the_integers_are_what_the_type_trades(frame: Frame) -> None:
    """Price and energy by type, from the very floats; 0 where the type trades none; both fit a u32."""
    price, energy = quantities(frame)
    sale, bid = round(frame.sale_price * 10_000), round(frame.bid_price * 10_000)
    wanted = round(frame.required_energy_amount * 1000)
    for_sale = round(frame.energy_total * frame.percentage_for_sale * 10)
    assert (price, energy) == {
        MessageType.RESPONSE: (sale, for_sale),
        MessageType.BID: (bid, wanted),
        MessageType.ACCEPT: (sale, wanted),
        MessageType.CONFIRM: (sale, wanted),
        MessageType.REJECT: (sale, 0),
    }.get(MessageType(frame.message_type), (0, 0))
    assert 0 <= price < 2**32
    assert 0 <= energy < 2**32


# -- signatures


def test_any_flipped_bit_breaks_the_signature() -> None:
    """All 1,696 bits of a record: in the head it is no record any more, elsewhere the signature says so."""
    raw, key = bytes.fromhex(RECORDS[5]["hex"]), KEYS["aggregator"].public
    for bit in range(8 * RECORD_SIZE):
        changed = flipped(raw, bit)
        assert not (is_record(changed) and is_signed_by(key, NETWORK, changed)), bit


@given(bit=st.integers(0, 255))
@settings(max_examples=64)
def test_any_flipped_bit_of_the_network_breaks_the_signature(bit: int) -> None:
    """A record counts in one market only."""
    raw, key = bytes.fromhex(RECORDS[5]["hex"]), KEYS["aggregator"].public
    assert not is_signed_by(key, flipped(NETWORK, bit), raw)


def test_only_its_key_verifies_a_record() -> None:
    """Another key, no key, half a key, a key of small order: False, never an exception."""
    raw = bytes.fromhex(RECORDS[5]["hex"])
    for key in (KEYS["bess"].public, bytes(32), b"", KEYS["aggregator"].public[:31], b"\1" + bytes(31)):
        assert not is_signed_by(key, NETWORK, raw)


ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the base point (RFC 8032 §5.1)."""
SMALL = [
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]
"""Points of small order (and so no keys)."""


def test_a_signature_has_one_form() -> None:
    """S + L is the same signature to a careless verifier: nobody makes a second record out of one (RFC 8032 §5.1.7)."""
    raw, key = bytes.fromhex(RECORDS[5]["hex"]), KEYS["aggregator"].public
    again = (int.from_bytes(raw[180:], "little") + ORDER).to_bytes(32, "little")
    assert not is_signed_by(key, NETWORK, raw[:180] + again)
    assert not Signature(raw[148:180] + again).verify(Pubkey(key), signed_message(NETWORK, raw))


@pytest.mark.parametrize("point", SMALL, ids=lambda point: point.hex()[:8])
def test_a_key_or_point_of_small_order_signs_nothing(point: bytes) -> None:
    """Such a key would verify one signature for any message."""
    for other in SMALL:
        raw = bytes.fromhex(RECORDS[5]["hex"])[:148] + other + bytes(32)
        assert not is_signed_by(point, NETWORK, raw)


def test_no_lot_is_zero() -> None:
    """A record that speaks of none says 0, and 0 is no lot's id."""
    assert (NO_LOT, lot_of(Hand(500).query())) == (0, 0)
