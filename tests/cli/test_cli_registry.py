"""`etp registry`: begun, added to, listed, revoked in; what cannot be done leaves the file as it was."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from etp.record import network_id
from etp.units import WallUs
from runtime.io.registry_file import load_registry
from runtime.registry import base58
from tests.signing import pair

KEY, OTHER = base58(pair(1).public), base58(pair(2).public)
CHAIN = {"genesis_hash": b"\1" * 32, "program_id": b"\2" * 32, "admin": b"\3" * 32}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A registry with one device."""
    made = tmp_path / "registry.toml"
    run("init", made, "--name", "test")
    run("add", made, "--device-id", "500", "--role", "aggregator", "--key", KEY)
    return made


def run(command: str, path: Path, *arguments: str) -> Result:
    """`etp registry COMMAND` in this process."""
    return CliRunner().invoke(app, ["registry", command, "--registry", str(path), *arguments])


def refused(done: Result, *says: str, status: int = 1) -> None:
    """Status, reason, nothing on stdout."""
    assert (done.exit_code, done.stdout) == (status, "")
    for text in says:
        assert text in done.stderr


def test_init_prints_the_network_id(tmp_path: Path) -> None:
    """Which every signature covers: without a chain, and with one."""
    done = run("init", tmp_path / "a.toml", "--name", "test")
    expected = network_id(genesis_hash=bytes(32), program_id=bytes(32), admin=bytes(32), name="test")
    assert (done.exit_code, done.stdout) == (0, f"{expected.hex()}\n")
    options = [text for name, raw in CHAIN.items() for text in (f"--{name.replace('_', '-')}", base58(raw))]
    done = run("init", tmp_path / "b.toml", "--name", "test", *options)
    assert done.stdout == f"{network_id(**CHAIN, name='test').hex()}\n"
    assert load_registry(tmp_path / "b.toml").network.settles


@pytest.mark.parametrize("given", [["genesis-hash"], ["program-id", "admin"]])
def test_half_a_chain_is_none(tmp_path: Path, given: list[str]) -> None:
    """All three, or none."""
    options = [text for name in given for text in (f"--{name}", KEY)]
    refused(run("init", tmp_path / "a.toml", "--name", "test", *options), "all three")
    assert not (tmp_path / "a.toml").exists()


def test_init_overwrites_nothing(path: Path) -> None:
    """A market is begun once."""
    before = path.read_text()
    refused(run("init", path, "--name", "other"), str(path), "exists already")
    assert path.read_text() == before


@pytest.mark.parametrize("name", ["", "x" * 33])
def test_a_name_fits_the_program(tmp_path: Path, name: str) -> None:
    """1 to 32 bytes."""
    refused(run("init", tmp_path / "a.toml", "--name", name), "1 to 32 bytes")


def test_a_device_is_added_by_its_key_or_its_file(path: Path, tmp_path: Path) -> None:
    """The public half is all that gets into the registry."""
    CliRunner().invoke(app, ["keygen", str(tmp_path / "key.json")])
    done = run("add", path, "--device-id", "101", "--role", "bess", "--key", str(tmp_path / "key.json"))
    assert done.exit_code == 0, done.stderr
    shown = CliRunner().invoke(app, ["keygen", "--show", str(tmp_path / "key.json")]).stdout.strip()
    member = load_registry(path).get(101)
    assert member is not None
    assert base58(member.key) == shown
    secret = json.loads((tmp_path / "key.json").read_text())[:32]
    assert bytes(secret).hex() not in path.read_text()
    assert str(secret[:6])[1:-1] not in path.read_text()


WRONG = {
    "two keys for a device": (
        ["500", "aggregator", OTHER],
        ["device 500 is there twice; a new key is a new device_id"],
    ),
    "a key for two devices": (["501", "aggregator", KEY], ["devices 500 and 501 have the same key"]),
    "no key": (["501", "aggregator", "nonsense"], ["--key", "32 bytes in base58"]),
    "a short key": (["501", "aggregator", KEY[:20]], ["--key", "32 bytes in base58"]),
}


@pytest.mark.parametrize(("given", "says"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused_and_changes_nothing(path: Path, given: list[str], says: list[str]) -> None:
    """Status 1, each its own message."""
    before = path.read_text()
    device, role, key = given
    refused(run("add", path, "--device-id", device, "--role", role, "--key", key), *says)
    assert path.read_text() == before


@pytest.mark.parametrize("given", [["--device-id", "-1"], ["--device-id", str(2**64)], ["--role", "buyer"]])
def test_what_is_no_device_is_wrong_use(path: Path, given: list[str]) -> None:
    """Status 2."""
    whole = {"--device-id": "7", "--role": "bess", "--key": OTHER} | {given[0]: given[1]}
    assert run("add", path, *(text for pair in whole.items() for text in pair)).exit_code == 2


def test_a_revocation_stands(path: Path) -> None:
    """From now on, or from an instant; the device stays listed, and its id is not given again."""
    before_us = time.time_ns() // 1000
    assert run("revoke", path, "--device-id", "500").exit_code == 0
    member = load_registry(path).get(500)
    assert member is not None
    assert member.revoked_us is not None
    assert before_us - 10 <= member.revoked_us <= time.time_ns() // 1000 + 10
    run("revoke", path, "--device-id", "500", "--at", "4000000000")
    assert not load_registry(path).admits(500, WallUs(time.time_ns() // 1000))
    run("revoke", path, "--device-id", "500", "--at", "1.5")
    assert load_registry(path).get(500).revoked_us == 1_500_000  # type: ignore[union-attr]
    refused(run("add", path, "--device-id", "500", "--role", "aggregator", "--key", OTHER), "device 500 is there twice")
    refused(run("revoke", path, "--device-id", "999"), "device 999 is not in this registry")


def test_list_shows_every_device(path: Path) -> None:
    """As a table, and as one JSON object each."""
    run("add", path, "--device-id", str(2**64 - 1), "--role", "bess", "--key", OTHER, "--profile", "plain")
    run("revoke", path, "--device-id", "500", "--at", "7")
    lines = [json.loads(line) for line in run("list", path, "--json").stdout.splitlines()]
    assert lines == [
        {"device_id": 500, "role": "aggregator", "profile": "signed", "key": KEY, "revoked_us": 7_000_000},
        {"device_id": 2**64 - 1, "role": "bess", "profile": "plain", "key": OTHER, "revoked_us": None},
    ]
    table = CliRunner().invoke(app, ["registry", "list", "--registry", str(path)], env={"COLUMNS": "160"}).stdout
    for text in ("500", "aggregator", KEY, OTHER, "plain", "7000000"):
        assert text in table


@pytest.mark.parametrize("command", ["add", "revoke", "list"])
def test_a_registry_that_is_not_there(tmp_path: Path, command: str) -> None:
    """Status 1 and the command that makes one."""
    options = {"add": ["--device-id", "1", "--role", "bess", "--key", KEY], "revoke": ["--device-id", "1"], "list": []}
    refused(run(command, tmp_path / "none.toml", *options[command]), "is not there; make one with `etp registry init`")
