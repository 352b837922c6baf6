"""`etp decode` of records: field by field, and with --verify whether they were signed by whom they say."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from etp import messages
from etp.codes import MessageType, Role
from etp.frame import Frame
from etp.registry import Member, Network, Registry
from etp.units import DeviceId
from runtime.io.registry_file import save_registry
from runtime.registry import base58
from tests.signing import PREFIX, STRANGER, Hand, flipped, pair, registry

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "records.json").read_text())
NOW_US = 1_700_000_000_000_000
BID = Hand(500, boot=7).bid(1_700_000_000_000_777, 127_500, 5400, message_id=NOW_US)
QUERY = Hand(500, boot=7).query(message_id=NOW_US)


def decode(*arguments: str, stdin: str | bytes = "") -> Result:
    """`etp decode` in this process."""
    return CliRunner().invoke(app, ["decode", *arguments], input=stdin, env={"COLUMNS": "200"})


@pytest.fixture
def market(tmp_path: Path) -> list[str]:
    """Options of --verify."""
    save_registry(tmp_path / "registry.toml", registry())
    return ["--verify", "--registry", str(tmp_path / "registry.toml")]


def objects(done: Result) -> list[dict[str, Any]]:
    """The lines of --json."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_record_is_shown_with_its_trailer() -> None:
    """Integers, boot and number, the reader's key in base58."""
    done = decode("--json", BID.hex())
    (shown,) = objects(done)
    assert (done.exit_code, shown["valid"], shown["reason"]) == (0, True, None)
    assert shown["frame"]["bid_price"] == 12.75
    assert shown["trailer"] == {
        "counter": 7 << 32 | 1,
        "lot_id": 1_700_000_000_000_777,
        "price": 127_500,
        "energy": 5400,
        "recipient": base58(pair(101).public),
        "signature": BID[148:].hex(),
        "boot": 7,
        "seq": 1,
    }
    table = decode(BID.hex()).stdout
    for text in ("BID", "127500 µ/kWh", "5400 Wh", "boot 7, no. 1", base58(pair(101).public), BID[148:].hex(), "valid"):
        assert text in table


def test_the_golden_records_verify(tmp_path: Path) -> None:
    """Against a registry of their market, each as it was made."""
    network = VECTORS["network"]
    hashes = {name: bytes.fromhex(network[name]) for name in ("genesis_hash", "program_id", "admin")}
    keys = {who: bytes.fromhex(key["public"]) for who, key in VECTORS["keys"].items()}
    members = [
        Member(DeviceId(101), Role.BESS, keys["bess"]),
        Member(DeviceId(500), Role.AGGREGATOR, keys["aggregator"]),
    ]
    save_registry(tmp_path / "registry.toml", Registry(Network(network["name"], **hashes), members))
    options = ["--verify", "--registry", str(tmp_path / "registry.toml")]
    done = decode("-", "--json", *options, stdin="\n".join(one["hex"] for one in VECTORS["records"]))
    shown = objects(done)
    assert [one["valid"] for one in shown] == [True] * len(VECTORS["records"])
    for one, vector in zip(shown, VECTORS["records"], strict=True):
        said = one["trailer"]
        assert (said["price"], said["energy"], said["lot_id"]) == (vector["price"], vector["energy"], vector["lot_id"])


def test_a_right_signature_is_said_to_be_right(market: list[str]) -> None:
    """And for whom the record is."""
    done = decode(BID.hex(), *market)
    assert done.exit_code == 0
    assert "valid, and its signature is right" in done.stdout
    assert "(device 101)" in done.stdout


REFUSED = {
    "another market": (
        Hand(500, network=Network("other")).query(message_id=NOW_US),
        "its signature is not of device 500",
    ),
    "another key": (Hand(500, key=pair(501)).query(message_id=NOW_US), "its signature is not of device 500"),
    "a stranger": (Hand(STRANGER).query(message_id=NOW_US), f"device {STRANGER} is not in the registry"),
    "a flipped bit of the frame": (flipped(QUERY, 8 * 60), "its signature is not"),
    "a flipped bit of the counter": (flipped(QUERY, 8 * 92), "its signature is not"),
    "a flipped bit of the signature": (flipped(QUERY, 8 * 200), "its signature is not"),
    "a bare frame": (QUERY[:84], "a bare frame: it has no signature to verify"),
    "a flipped bit of the magic": (flipped(QUERY, 8 * 84), "84 bytes"),
}


@pytest.mark.parametrize(("raw", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_signed_rightly_is_refused(market: list[str], raw: bytes, says: str) -> None:
    """Status 1 and why; without --verify a signature is no matter."""
    done = decode("--json", raw.hex(), *market)
    (shown,) = objects(done)
    assert (done.exit_code, shown["valid"]) == (1, False)
    assert says in shown["reason"]


def test_integers_that_say_something_else_are_refused_without_a_registry() -> None:
    """A trailer that disagrees with its frame."""
    raw = bytearray(BID)
    raw[108] ^= 1
    done = decode("--json", bytes(raw).hex())
    (shown,) = objects(done)
    assert (done.exit_code, shown["valid"]) == (1, False)
    assert "its trailer says 127501 µ/kWh and 5400 Wh" in shown["reason"]


def test_streams_of_frames_and_records() -> None:
    """With length prefixes as on TCP, in hex or bytes, one of each kind; or one a line."""
    bare = QUERY[:84]
    stream = PREFIX + BID + (84).to_bytes(4, "little") + bare + PREFIX + QUERY
    for done in (decode("-", "--json", stdin=stream.hex()), decode("-", "--json", stdin=stream)):
        assert ["trailer" in one for one in objects(done)] == [True, False, True]
    lines = "\n".join(raw.hex() for raw in (BID, bare, QUERY))
    assert ["trailer" in one for one in objects(decode("-", "--json", stdin=lines))] == [True, False, True]


@pytest.mark.parametrize("size", [0, 83, 85, 128, 211, 213])
def test_other_lengths_are_refused(size: int) -> None:
    """Neither a frame nor a record."""
    done = decode("--json", (BID * 2)[:size].hex() or "-")
    assert done.exit_code == 1
    assert all(one["valid"] is False for one in objects(done))


def test_verify_needs_a_registry(tmp_path: Path) -> None:
    """Status 2: which option is missing, or what is wrong with the file."""
    done = decode(BID.hex(), "--verify")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--registry FILE" in done.stderr
    done = decode(BID.hex(), "--verify", "--registry", str(tmp_path / "none.toml"))
    assert done.exit_code == 2
    assert "is not there" in done.stderr


def test_nan_in_a_record_is_shown_as_text(market: list[str]) -> None:
    """Signed or not."""
    frame = Frame(MessageType.STATUS, device_id=500, battery_voltage=float("nan"))
    raw = Hand(500).record(messages.stamped(frame, NOW_US), message_id=NOW_US)
    (shown,) = objects(decode("--json", raw.hex(), *market))
    assert (shown["valid"], shown["frame"]["battery_voltage"]) == (False, "NaN")
