"""The registry's file: read and written back, each mistake with its own message, watched while a daemon runs."""

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from etp.codes import Role
from etp.registry import Member, Network, Registry, RegistryError
from etp.units import DeviceId, WallUs
from runtime.io import registry_file
from runtime.io.registry_file import RegistryFileError, load_registry, save_registry, watch_registry
from runtime.registry import base58, dump_registry, from_base58, parse_registry
from tests.signing import BUYERS, NETWORK, member, pair, registry

ROOT = Path(__file__).parents[2]
KEY = base58(pair(1).public)
OTHER = base58(pair(2).public)

names = st.text(min_size=1, max_size=32).filter(
    lambda name: len(name.encode("utf-8", "surrogatepass")) <= 32 and name.isprintable()
)
hashes = st.binary(min_size=32, max_size=32)
members = st.builds(
    Member,
    device_id=st.integers(0, 2**64 - 1).map(DeviceId),
    role=st.sampled_from(Role),
    key=hashes,
    profile=st.sampled_from(("signed", "plain")),
    revoked_us=st.none() | st.integers(0, 4_000_000_000_000_000).map(WallUs),
)


@given(
    st.builds(Network, name=names, genesis_hash=hashes, program_id=hashes, admin=hashes),
    st.lists(members, max_size=5, unique_by=(lambda one: one.device_id, lambda one: one.key)),
)
def test_what_is_written_is_read_back(network: Network, found: list[Member]) -> None:
    """Any market and any members: ids whole, times to the microsecond."""
    made = parse_registry(dump_registry(Registry(network, found)))
    assert made.network == network
    assert list(made) == found


@given(st.text(max_size=200))
def test_any_text_is_a_registry_or_refused(text: str) -> None:
    """Never another exception."""
    with suppress(RegistryError):
        assert parse_registry(text).network.name


def device(**fields: object) -> str:
    """One [[device]] as TOML."""
    whole = {"device_id": 500, "role": '"aggregator"', "key": f'"{KEY}"'} | fields
    return "[[device]]\n" + "".join(f"{name} = {value}\n" for name, value in whole.items() if value is not None)


MARKET = '[market]\nname = "test"\n'
WRONG = {
    "no TOML": ("[market\n", ["is not TOML", "line 1"]),
    "empty": ("", ["has no [market] table", "`etp registry init`"]),
    "a market that is a text": ('market = "test"\n', ["has no [market] table"]),
    "no name": ("[market]\n", ["[market] has no name"]),
    "an empty name": ('[market]\nname = ""\n', ["1 to 32 bytes"]),
    "a name that is a number": ("[market]\nname = 7\n", ["[market]: name is 7; expected a str"]),
    "a genesis hash that is none": (MARKET + 'genesis_hash = "0OIl"\n', ["genesis_hash", "base58"]),
    "an unknown table": (MARKET + "[devices]\n", ["unknown table 'devices'", "[[device]]"]),
    "an unknown key of the market": (MARKET + "chain = 1\n", ["[market] has an unknown key 'chain'", "genesis_hash"]),
    "one [device]": (MARKET + "[device]\ndevice_id = 1\n", ["[device] table; expected [[device]]"]),
    "devices that are numbers": (MARKET.replace("[market]", "device = [1]\n[market]"), ["no. 1 is no table"]),
    "an unknown key": (MARKET + device(rolle='"bess"'), ["no. 1 has an unknown key 'rolle'", "role"]),
    "no key": (MARKET + device(key=None), ["no. 1 has no key"]),
    "no role": (MARKET + device(role=None), ["no. 1 has no role"]),
    "no device_id": (MARKET + device(device_id=None), ["no. 1 has no device_id"]),
    "a role that is none": (MARKET + device(role='"buyer"'), ["role is 'buyer'", "bess or aggregator"]),
    "a profile that is none": (MARKET + device(profile='"tls"'), ["profile is 'tls'", "signed or plain"]),
    "a negative id": (MARKET + device(device_id=-1), ["device_id is -1", "2^64 - 1"]),
    "an id that is too large": (MARKET + device(device_id=2**64), ["device_id is 18446744073709551616"]),
    "an id in quotes": (MARKET + device(device_id='"500"'), ["device_id is '500'; expected a int"]),
    "an id that is a truth": (MARKET + device(device_id="true"), ["device_id is True"]),
    "an id that is a float": (MARKET + device(device_id="500.0"), ["device_id is 500.0"]),
    "a key that is too short": (MARKET + device(key='"abc"'), ["no. 1: key", "32 bytes in base58"]),
    "an empty key": (MARKET + device(key='""'), ["no. 1: key", "32 bytes in base58"]),
    "a key as numbers": (MARKET + device(key="[1, 2, 3]"), ["key is", "expected a str"]),
    "a day instead of a time": (MARKET + device(revoked_at="2026-01-01"), ["revoked_at", "expected a datetime"]),
    "a time without its offset": (MARKET + device(revoked_at="2026-01-01T00:00:00"), ["revoked_at", "offset", "Z"]),
    "two keys for a device": (MARKET + device() + device(key=f'"{OTHER}"'), ["device 500 is there twice"]),
    "a key for two devices": (MARKET + device() + device(device_id=501), ["devices 500 and 501 have the same key"]),
    "brackets": (MARKET + "x = " + "[" * 5000, ["TOML"]),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_registry_says_where_and_what_would_be_right(tmp_path: Path, text: str, says: list[str]) -> None:
    """Each mistake its own message, with the file's name."""
    path = tmp_path / "registry.toml"
    path.write_text(text)
    with pytest.raises(RegistryFileError) as caught:
        load_registry(path)
    for piece in (str(path), *says):
        assert piece in str(caught.value)


def test_a_file_that_is_no_file(tmp_path: Path) -> None:
    """Missing, a directory, not UTF-8, too large."""
    path = tmp_path / "registry.toml"
    with pytest.raises(RegistryFileError, match="is not there; make one with `etp registry init`"):
        load_registry(path)
    with pytest.raises(RegistryFileError, match="cannot be read: Is a directory"):
        load_registry(tmp_path)
    path.write_bytes(b'[market]\nname = "\xff"\n')
    with pytest.raises(RegistryFileError, match="utf-8"):
        load_registry(path)
    with path.open("wb") as file:
        file.truncate(registry_file.LARGEST + 1)
    with pytest.raises(RegistryFileError, match="is larger than"):
        load_registry(path)


@pytest.mark.parametrize("where", ["argument", "registry"])
def test_a_secret_that_is_given_for_a_key_is_not_repeated(where: str) -> None:
    """64 bytes in base58, as wallets export them: the message must not carry them into a log."""
    secret = str(Keypair.from_seed(bytes(range(32))))
    reads = {
        "argument": lambda: from_base58(secret, "--key"),
        "registry": lambda: parse_registry(MARKET + device(key=f'"{secret}"')),
    }
    with pytest.raises(RegistryError) as caught:
        reads[where]()
    assert secret not in str(caught.value)
    assert secret[:40] not in str(caught.value)


def test_a_registry_is_replaced_whole(tmp_path: Path) -> None:
    """No other file is left beside it."""
    path = tmp_path / "registry.toml"
    save_registry(path, registry())
    save_registry(path, registry().revoked(500, WallUs(1)))
    assert [one.name for one in tmp_path.iterdir()] == ["registry.toml"]
    assert not load_registry(path).admits(500, WallUs(2))
    with pytest.raises(RegistryFileError, match="cannot be written"):
        save_registry(tmp_path / "gone" / "registry.toml", registry())


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    """Four devices are added by four processes at the same time: all of them are there afterwards."""
    path = tmp_path / "registry.toml"
    save_registry(path, Registry(NETWORK))
    command = [sys.executable, "-m", "cli.main", "registry", "add", "--registry", str(path), "--role", "bess"]
    running = [
        subprocess.Popen([*command, "--device-id", str(one), "--key", base58(pair(one).public)], cwd=ROOT)
        for one in range(1, 5)
    ]
    assert [one.wait(60) for one in running] == [0] * 4
    assert sorted(load_registry(path).members) == [1, 2, 3, 4]


# -- while a daemon runs


class Watched:
    """A file that is watched, looked at every 10 ms."""

    def __init__(self, path: Path, current: Registry | None = None) -> None:
        self.path, self.current = path, current or registry()
        self.seen: list[Registry] = []
        self.stopping, self.told = asyncio.Event(), asyncio.Event()

    def changed(self, found: Registry) -> None:
        """What the daemon is told."""
        self.seen.append(found)
        self.told.set()

    async def until(self, count: int) -> Registry:
        """The registry after so many more looks."""
        count += len(self.seen)
        async with asyncio.timeout(5):
            while len(self.seen) < count:
                self.told.clear()
                await self.told.wait()
        return self.seen[-1]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(registry_file, "LOOK_S", 0.01)


def test_a_daemon_looks_often_enough() -> None:
    """A revocation counts within a minute: that is said in the issue."""
    assert registry_file.LOOK_S <= 30


@pytest.mark.usefixtures("quick")
async def test_a_change_is_told_and_a_broken_file_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Revoked; then broken, missing, another market: the last good one stays in force, and each is said once."""
    path = tmp_path / "registry.toml"
    save_registry(path, registry())
    watched = Watched(path)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch_registry(path, watched.current, watched.changed, watched.stopping))
        assert (await watched.until(2)).admits(BUYERS[0], WallUs(10**15))
        save_registry(path, registry().revoked(BUYERS[0], WallUs(5)))
        assert not (await watched.until(3)).admits(BUYERS[0], WallUs(10**15))
        for text in ("[market", '[market]\nname = "another"\n', None):
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
            kept = await watched.until(4)
            assert not kept.admits(BUYERS[0], WallUs(10**15))
            assert kept.admits(BUYERS[1], WallUs(10**15))
            assert kept.network == NETWORK
        save_registry(path, registry())
        assert (await watched.until(4)).admits(BUYERS[0], WallUs(10**15))
        watched.stopping.set()
    said = capsys.readouterr().out
    assert said.count("registry_kept_as_it_was") == 3
    assert "its [market] is another one; restart for that" in said
    assert "is not there" in said


@pytest.mark.usefixtures("quick")
async def test_a_file_of_brackets_ends_no_daemon(tmp_path: Path) -> None:
    """It is broken as any other."""
    path = tmp_path / "registry.toml"
    save_registry(path, registry())
    watched = Watched(path)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch_registry(path, watched.current, watched.changed, watched.stopping))
        await watched.until(1)
        path.write_text(MARKET + "x = " + "[" * 5000)
        assert (await watched.until(4)).admits(BUYERS[0], WallUs(10**15))
        watched.stopping.set()


@pytest.mark.usefixtures("quick")
async def test_a_change_between_the_start_and_the_first_look_is_told(tmp_path: Path) -> None:
    """A daemon read its registry, and needs a moment until it watches: a revocation meanwhile must not be missed for ever."""
    path = tmp_path / "registry.toml"
    save_registry(path, registry())
    watched = Watched(path, load_registry(path))
    save_registry(path, registry().revoked(BUYERS[0], WallUs(5)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch_registry(path, watched.current, watched.changed, watched.stopping))
        found = await watched.until(5)
        watched.stopping.set()
    assert not found.admits(BUYERS[0], WallUs(10**15))


def test_members_are_listed_as_they_are() -> None:
    """What tests call a member is one."""
    assert json.dumps(member(1, Role.BESS).device_id) == "1"
