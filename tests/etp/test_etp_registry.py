"""Who belongs to a market: one key for one device, roles, revocation."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etp.codes import Role
from etp.registry import LONGEST_NAME, Member, Network, Registry, RegistryError
from etp.units import DeviceId, WallUs
from tests.signing import NETWORK, member, pair, registry

NOW = WallUs(1_700_000_000_000_000)


def test_a_device_has_one_key() -> None:
    """A second key for a device is refused, by its id, with what to do instead."""
    twice = Member(DeviceId(500), Role.AGGREGATOR, pair(77).public)
    with pytest.raises(RegistryError, match=r"device 500 is there twice; a new key is a new device_id"):
        registry(twice)


def test_a_key_has_one_device() -> None:
    """Two devices with one key are refused, both named."""
    with pytest.raises(RegistryError, match=r"devices 500 and 700 have the same key; each needs its own"):
        registry(Member(DeviceId(700), Role.BESS, pair(500).public))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_has_32_bytes(size: int) -> None:
    """The device is named."""
    with pytest.raises(RegistryError, match=f"device 700: its key has {size} bytes; expected 32"):
        registry(Member(DeviceId(700), Role.BESS, bytes(size)))


def test_a_revocation_counts_from_its_instant_on_and_stands() -> None:
    """Not before; a later one does not put it off, an earlier one does put it forward."""
    first = registry().revoked(500, NOW)
    assert first.admits(500, NOW - 1)
    assert not first.admits(500, NOW)
    assert not first.revoked(500, WallUs(NOW + 5)).admits(500, NOW)
    assert not first.revoked(500, WallUs(NOW - 5)).admits(500, NOW - 5)
    assert registry().admits(500, NOW), "the registry itself never changes"


def test_a_revoked_device_comes_back_under_no_other_id() -> None:
    """Its id stays taken, and so does its key."""
    revoked = registry().revoked(500, NOW)
    with pytest.raises(RegistryError, match="device 500 is there twice"):
        revoked.added(member(500, Role.AGGREGATOR))
    with pytest.raises(RegistryError, match="same key"):
        revoked.added(replace(member(500, Role.AGGREGATOR), device_id=DeviceId(501_000)))


def test_strangers_are_not_admitted_nor_revoked() -> None:
    """And are named."""
    assert not registry().admits(999, NOW)
    assert registry().get(999) is None
    with pytest.raises(RegistryError, match="device 999 is not in this registry"):
        registry().revoked(999, NOW)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_ids_and_keys_belong_to_each_other_one_to_one(wanted: list[tuple[int, int]]) -> None:
    """Any list of (device, key): either both columns are without a repetition, or it is refused."""
    members = [Member(DeviceId(device), Role.BESS, bytes([key]) * 32) for device, key in wanted]
    if len({device for device, _ in wanted}) == len({key for _, key in wanted}) == len(wanted):
        made = Registry(NETWORK, members)
        assert list(made) == members
        assert len(made) == len(members)
        assert all(made.get(one.device_id) is made.of_key(one.key) is one for one in members)
    else:
        with pytest.raises(RegistryError):
            Registry(NETWORK, members)


@pytest.mark.parametrize(
    ("name", "legal"), [("", False), ("a", True), ("ä" * 16, True), ("ä" * 17, False), ("x" * 33, False)]
)
def test_a_name_fits_the_program(name: str, legal: bool) -> None:
    """1 to 32 bytes of UTF-8."""
    if legal:
        assert len(Network(name).network_id) == 32
        return
    with pytest.raises(RegistryError, match=f"1 to {LONGEST_NAME} bytes"):
        Network(name)


def test_a_market_settles_where_it_has_a_program() -> None:
    """Without one it signs only."""
    assert not NETWORK.settles
    assert Network("a", program_id=b"\1" * 32).settles
