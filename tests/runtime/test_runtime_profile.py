"""What a node's settings ask for: its key, its registry, its boot; each mismatch a message that says what to do."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from etp.clock import Now
from etp.codes import Role
from etp.ids import MARK_AHEAD_US
from etp.io.clock import system_now
from etp.profile import Plain
from etp.registry import Registry
from etp.signed import AnyProfile, Signed
from etp.timing import Timing
from etp.units import DeviceId, MonotonicS, WallUs
from runtime.io.journal import Journal
from runtime.io.key_file import KeyFileError
from runtime.io.profile import after_last_life, open_profile
from runtime.io.registry_file import RegistryFileError, save_registry
from runtime.registry import base58
from runtime.settings import SettingsError
from tests.signing import BUYERS, NETWORK, OTHER_BESS, PLAIN_BUYER, STRANGER, member, pair, registry, write_market
from tests.support import BESS

NOW = Now(MonotonicS(1.0), WallUs(time.time_ns() // 1000))


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Keys and a registry."""
    write_market(tmp_path / "market", None, BESS, OTHER_BESS, *BUYERS, PLAIN_BUYER, STRANGER)
    return tmp_path / "market"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A battery's."""
    made = Journal.open(tmp_path / "state", role="bess", device_id=BESS)
    yield made
    made.close()


def opened(market: Path, journal: Journal, now: Now = NOW, role: Role = Role.BESS, **changed: object) -> AnyProfile:
    """The profile of battery 101, or what is changed."""
    given = {"device_id": BESS, "registry": market / "registry.toml", "key": market / "101.json"} | changed
    made = BessSettings(**given) if role is Role.BESS else AggregatorSettings(**given)  # type: ignore[arg-type]
    return open_profile(made, role, journal, now)


def test_signed_is_the_default(market: Path, journal: Journal) -> None:
    """With the node's key, for its market; ids above all that the journal knows."""
    profile = opened(market, journal)
    assert isinstance(profile, Signed)
    assert profile.identity.key.public == pair(BESS).public
    assert profile.network_id == NETWORK.network_id
    assert profile.identity.boot == NOW.wall_us // 1_000_000


def test_a_key_is_looked_for_in_the_state_directory(market: Path, journal: Journal) -> None:
    """Where none is named."""
    (market / "101.json").rename(journal.directory / "key.json")
    assert isinstance(opened(market, journal, key=None), Signed)


def test_boots_ascend_also_when_the_clock_does_not(market: Path, tmp_path: Path) -> None:
    """max(last + 1, wall seconds), durable before anything is sent: over restarts within a second, and a clock set back a bit."""
    boots = []
    for seconds in (0, 0, 0, 5, 0.4, 5):
        made = Journal.open(tmp_path / "state", role="bess", device_id=BESS)
        now = Now(MonotonicS(1.0), WallUs(NOW.wall_us + round(seconds * 1e6)))
        profile = opened(market, made, now)
        assert isinstance(profile, Signed)
        boots.append(profile.identity.boot)
        made.close()
    assert boots == sorted(set(boots))
    assert boots[0] == NOW.wall_us // 1_000_000


@pytest.mark.parametrize(("behind_us", "trades"), [(0, True), (MARK_AHEAD_US, True), (MARK_AHEAD_US + 1, False)])
@pytest.mark.parametrize("profile", ["signed", "plain"])
def test_a_clock_behind_the_mark_refuses(
    market: Path, journal: Journal, profile: str, behind_us: int, trades: bool
) -> None:
    """More than the second by which the mark is ahead: both profiles, and no boot is begun."""
    journal.mark = NOW.wall_us + behind_us
    if trades:
        more = {"registry": None} if profile == "plain" else {}
        made = opened(market, journal, profile=profile, **more)
        assert made.ids.next(NOW.wall_us) > journal.mark - 1
        return
    with pytest.raises(SettingsError, match="behind what this node has signed; set the clock") as caught:
        opened(market, journal, profile=profile)
    assert "the clock of this machine" in str(caught.value)
    assert journal.begin_boot(0) == 0


async def test_a_node_that_was_killed_waits_for_its_clock(journal: Journal) -> None:
    """At most for the second by which the mark is ahead; beyond it the clock went back, and it is refused."""
    journal.mark = system_now().wall_us + 200_000
    assert (await after_last_life(journal, system_now)).wall_us >= journal.mark
    journal.mark = system_now().wall_us + 2 * MARK_AHEAD_US
    with pytest.raises(SettingsError, match="set the clock"):
        await after_last_life(journal, system_now)


def killed_and_started(market: Path, state: Path, seconds: tuple[float, ...]) -> list[tuple[int, int]]:
    """Lives that begin at these seconds; each stamps one message, keeps its mark, and is killed. (id, wall) of each."""
    stamps = []
    for second in seconds:
        made = Journal.open(state, role="bess", device_id=BESS)
        # As a daemon does: it waits until the clock has passed what its last life can have signed.
        now = Now(MonotonicS(1.0), WallUs(max(NOW.wall_us + round(second * 1e6), made.mark + 1)))
        profile = opened(market, made, now)
        stamps.append((profile.ids.next(now.wall_us), int(now.wall_us)))
        made.write((), mark=profile.ids.mark_due())
        made.close()
    return stamps


def test_kills_in_quick_succession_are_no_clock_that_went_back(market: Path, tmp_path: Path) -> None:
    """The clock goes on as it should: a node that is killed and started twice within a second is not refused."""
    stamps = [stamp for stamp, _ in killed_and_started(market, tmp_path / "state", (0, 0.4, 0.8, 1.2, 1.6, 2.0))]
    assert stamps == sorted(set(stamps))


def test_a_node_that_was_killed_speaks_of_now(market: Path, tmp_path: Path) -> None:
    """Ids are times: after a restart they are not so far ahead of its clock that no peer begins a session with it, or bids."""
    for stamp, wall_us in killed_and_started(market, tmp_path / "state", (0, 0.5)):
        assert stamp - wall_us <= Timing().offset_limit_ms * 1000


def with_members(market: Path, *changed: object) -> None:
    """A registry whose members 101 are replaced."""
    kept = [one for one in registry() if one.device_id != BESS]
    save_registry(market / "registry.toml", Registry(NETWORK, [*kept, *changed]))  # type: ignore[list-item]


def test_a_device_that_is_in_no_registry_is_told_the_command(market: Path, journal: Journal) -> None:
    """With its own key in it, ready to be run."""
    with pytest.raises(SettingsError) as caught:
        opened(market, journal, device_id=STRANGER, key=market / f"{STRANGER}.json")
    command = f"etp registry add --device-id {STRANGER} --role bess --key {base58(pair(STRANGER).public)}"
    assert command in str(caught.value)


MISMATCHES = {
    "the key of another node": (
        {"key": "102.json"},
        ["key is", "the registry has key", "a new key needs a new device_id"],
    ),
    "another role": ({"role": Role.AGGREGATOR}, ["device_id is 101", "registered as bess, not aggregator"]),
}


@pytest.mark.parametrize(("changed", "says"), MISMATCHES.values(), ids=MISMATCHES)
def test_what_does_not_fit(market: Path, journal: Journal, changed: dict[str, object], says: list[str]) -> None:
    """Named, with what would be right; no secret in it."""
    given = changed | ({"key": market / str(changed["key"])} if "key" in changed else {})
    with pytest.raises(SettingsError) as caught:
        opened(market, journal, **given)  # type: ignore[arg-type]
    for text in says:
        assert text in str(caught.value)
    assert pair(BESS).seed.hex() not in str(caught.value)


def test_a_member_that_must_speak_plain_does_not_sign(market: Path, journal: Journal) -> None:
    """The registry decides."""
    with_members(market, member(BESS, Role.BESS, profile="plain"))
    with pytest.raises(SettingsError, match="device 101 is registered for plain"):
        opened(market, journal)
    assert isinstance(opened(market, journal, profile="plain"), Plain)


def test_a_member_that_must_sign_does_not_speak_plain(market: Path, journal: Journal) -> None:
    """With a registry at hand a node that is registered for `signed` is not started in `plain`."""
    with pytest.raises(SettingsError, match="registered for signed"):
        opened(market, journal, profile="plain")


def test_a_revoked_device_is_told_that_it_is(market: Path, journal: Journal) -> None:
    """And what to do."""
    save_registry(market / "registry.toml", registry().revoked(BESS, WallUs(5)))
    with pytest.raises(SettingsError, match="is revoked; make a new key and register a new device_id"):
        opened(market, journal)


@pytest.mark.parametrize("there", ["missing", "broken", "open", "directory"])
def test_a_key_that_cannot_be_used(market: Path, journal: Journal, there: str) -> None:
    """KeyFileError, which names it (see test_runtime_key_file.py)."""
    path = market / "101.json"
    if there == "missing":
        path.unlink()
    elif there == "broken":
        path.write_text("[1, 2]")
    elif there == "open":
        path.chmod(0o644)
    else:
        path = market
    with pytest.raises(KeyFileError, match=str(path)):
        opened(market, journal, key=path)


def test_a_registry_that_cannot_be_used(market: Path, journal: Journal) -> None:
    """None at all is a setting; one that is missing or broken is a file; in plain one need not be given."""
    with pytest.raises(SettingsError, match=r"the signed profile needs --registry FILE \(see `etp registry`\)"):
        opened(market, journal, registry=None)
    with pytest.raises(RegistryFileError, match="is not there; make one with `etp registry init`"):
        opened(market, journal, registry=market / "none.toml")
    (market / "registry.toml").write_text("[market")
    for profile in ("signed", "plain"):
        with pytest.raises(RegistryFileError, match="is not TOML"):
            opened(market, journal, profile=profile)
    plain = opened(market, journal, profile="plain", registry=None)
    assert isinstance(plain, Plain)
    assert plain.registry is None


def test_nothing_is_begun_by_what_is_refused(market: Path, journal: Journal) -> None:
    """A start that fails takes no boot number away."""
    with pytest.raises(SettingsError):
        opened(market, journal, device_id=DeviceId(STRANGER), key=market / f"{STRANGER}.json")
    assert journal.begin_boot(0) == 0
