"""The registry that the chain holds: participants become members, a revocation is never undone, `plain` members stay."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from contracts.errors import ContractsError
from contracts.interface import DISCRIMINATOR_SIZE
from contracts.members import MARKET_AT, members_in, request, synchronised
from contracts.rpc import TradeAccounts
from etp.codes import Role
from etp.registry import Member, Network, Registry, RegistryError
from etp.units import DeviceId, WallUs
from runtime.io.registry_file import load_registry, save_registry
from tests.contracts.fake_chain import INTERFACE, PARTICIPANT, PLACE, participant_data
from tests.paying import Devnet, World, free_port

NETWORK = Network("street", PLACE.genesis_hash, bytes(PLACE.program_id), bytes(32))
SECOND = 1_000_000
IDS = st.integers(0, 2**64 - 1)


def key(number: int) -> bytes:
    """32 bytes, others for each number."""
    return number.to_bytes(32, "big")


def member(device: int, role: Role = Role.BESS, *, revoked_us: int | None = None, profile: str = "signed") -> Member:
    """A member with its key."""
    return Member(DeviceId(device), role, key(device), profile, revoked_us)  # type: ignore[arg-type]


def shown(*participants: bytes) -> TradeAccounts:
    """What an RPC answers."""
    return TradeAccounts(tuple((Pubkey(key(number)), data) for number, data in enumerate(participants)))


def revoked(device: int, role: int, at_s: int) -> bytes:
    """A participant that was revoked."""
    disc = INTERFACE.discriminator("Participant")
    return PARTICIPANT.pack(disc, 1, bytes(PLACE.market), device, key(device), role, at_s, 0, 0, 0, 0)


def test_the_question_is_for_this_market_s_participants() -> None:
    """By the account's discriminator, and the market behind its bump."""
    asked = request(INTERFACE, PLACE)
    data = participant_data(101, key(101), 1)
    assert asked.program_id == PLACE.program_id
    assert all(data[offset : offset + len(match)] == match for offset, match in asked.matches)
    assert [offset for offset, _ in asked.matches] == [0, MARKET_AT]
    assert MARKET_AT == DISCRIMINATOR_SIZE + 1


@given(st.dictionaries(IDS, st.tuples(st.sampled_from([1, 2]), st.integers(0, 2**40)), max_size=8))
def test_participants_are_members_in_order(people: dict[int, tuple[int, int]]) -> None:
    """Id, role, key and time of revocation as they stand there; all of them speak `signed`."""
    found = members_in(INTERFACE, shown(*(revoked(device, role, at_s) for device, (role, at_s) in people.items())))
    roles = {1: Role.BESS, 2: Role.AGGREGATOR}
    assert found == [
        member(device, roles[role], revoked_us=at_s * SECOND if at_s else None)
        for device, (role, at_s) in sorted(people.items())
    ]


@pytest.mark.parametrize("role", [0, 3, 255])
def test_a_role_that_nobody_knows_is_refused(role: int) -> None:
    """An RPC, or a newer program, shows it: said with the device, as every other account that cannot be read."""
    with pytest.raises(ContractsError, match=f"of device 7 has role {role}; expected 1 BATTERY, 2 AGGREGATOR"):
        members_in(INTERFACE, shown(participant_data(7, key(7), role)))


@pytest.mark.parametrize("data", [b"", b"\0" * 8, participant_data(7, key(7), 1)[:-1], b"\0" * 100])
def test_what_is_no_participant_is_refused(data: bytes) -> None:
    """Short, empty, of another kind."""
    with pytest.raises(ContractsError):
        members_in(INTERFACE, shown(data))


@given(st.none() | st.integers(1, 2**50), st.none() | st.integers(1, 2**50))
def test_the_earlier_revocation_stands(ours: int | None, theirs: int | None) -> None:
    """What is known here or there; never later than before, never undone."""
    before = Registry(NETWORK, [member(7, revoked_us=ours)])
    after = synchronised(before, [member(7, revoked_us=theirs)])
    assert after.members[DeviceId(7)].revoked_us == min((at for at in (ours, theirs) if at is not None), default=None)


def test_the_chain_says_who_belongs_and_plain_members_stay() -> None:
    """New ones come, others go, a key of the chain's replaces ours, whose revocation was of another key."""
    before = Registry(NETWORK, [member(1), member(2, revoked_us=5), member(3, profile="plain", revoked_us=9)])
    other = Member(DeviceId(2), Role.AGGREGATOR, key(22))
    after = synchronised(before, [other, member(4)])
    assert list(after) == [member(3, profile="plain", revoked_us=9), other, member(4)]
    assert after.network == NETWORK


@pytest.mark.parametrize("theirs", [member(3), Member(DeviceId(8), Role.BESS, key(3))])
def test_a_plain_member_s_id_and_key_stay_its_own(theirs: Member) -> None:
    """A device of the chain with that id or key makes a registry that contradicts itself."""
    with pytest.raises(RegistryError, match="3"):
        synchronised(Registry(NETWORK, [member(3, profile="plain")]), [theirs])


# -- by the command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A market with a battery and a buyer."""
    directory = tmp_path_factory.mktemp("members")
    chain = Devnet(directory)
    try:
        made = World(directory, chain)
        made.open()
        made.join(101, "bess", sol=0)
        made.join(501, "aggregator", sol=0)
        yield made
    finally:
        chain.running.kill()


def sync(world: World, path: Path, *, status: int = 0) -> str:
    """`etp registry sync` of a registry file."""
    return world.do("registry", "sync", "--registry", str(path), status=status)


def test_a_registry_comes_from_the_chain(world: World, tmp_path: Path) -> None:
    """Of an empty file the same members are made; a second time nothing changes, not even the file."""
    path = tmp_path / "registry.toml"
    save_registry(path, Registry(world.members.network))
    assert sync(world, path) == "2 devices: 2 new, 0 no longer there, 0 revoked\n"
    assert list(load_registry(path)) == sorted(world.members, key=lambda one: one.device_id)
    before = path.stat().st_mtime_ns
    assert sync(world, path) == "2 devices: 0 new, 0 no longer there, 0 revoked\n"
    assert path.stat().st_mtime_ns == before


def test_a_revocation_comes_from_the_chain_and_ours_stays(world: World, tmp_path: Path) -> None:
    """`market revoke` of the battery; the buyer is revoked here alone; a stranger of our file goes."""
    path = tmp_path / "registry.toml"
    ours = world.members.revoked(501, WallUs(1))
    save_registry(path, ours.added(member(9, Role.AGGREGATOR)))
    world.do("market", "revoke", *world.by("admin"), "--device-id", "101")
    assert sync(world, path) == "2 devices: 0 new, 1 no longer there, 2 revoked\n"
    found = load_registry(path)
    since = world.participant(101).revoked_at
    assert (found.members[DeviceId(101)].revoked_us, found.members[DeviceId(501)].revoked_us) == (since * SECOND, 1)
    assert sync(world, path) == "2 devices: 0 new, 0 no longer there, 2 revoked\n"


def test_what_is_wrong_leaves_the_registry_as_it_was(world: World, tmp_path: Path) -> None:
    """An RPC that is down, of another chain, without that market; a market without a chain: one line each."""
    path = tmp_path / "registry.toml"
    place = world.members.network
    down = f"http://127.0.0.1:{free_port()}"
    cases = [
        (place, ["--rpc", down], 1, "cannot be reached"),
        (Network("street", key(5), place.program_id, place.admin), [], 1, "is of another chain"),
        (Network("street", place.genesis_hash, key(6), place.admin), [], 1, "has no program at"),
        (Network("no chain"), [], 2, "expected a market on a chain"),
        (Network("never opened", place.genesis_hash, place.program_id, place.admin), [], 1, "`etp market open`"),
    ]
    for network, options, status, words in cases:
        save_registry(path, Registry(network, [member(9)]))
        before = path.read_bytes()
        said = world.do("registry", "sync", "--registry", str(path), *options, status=status)
        assert words in said, said
        assert said.count("\n") == 1
        assert path.read_bytes() == before
