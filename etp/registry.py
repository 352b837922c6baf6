"""Who belongs to a market: device_id → key, role, profile, revocation. An id is bound to a key here and nowhere else."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from etp.codes import Role
from etp.errors import EtpError
from etp.record import KEY_SIZE, network_id
from etp.units import DeviceId, WallUs

ProfileName: TypeAlias = Literal["signed", "plain"]
LONGEST_NAME: Final = 32
"""Bytes of a market's name (the program's bound)."""


class RegistryError(EtpError):
    """A registry that contradicts itself: the message names the device and what is wrong."""


@dataclass(frozen=True, slots=True)
class Network:
    """What makes a market one of its kind. All zero where no chain is involved."""

    name: str
    genesis_hash: bytes = bytes(32)
    program_id: bytes = bytes(32)
    admin: bytes = bytes(32)

    def __post_init__(self) -> None:
        if not 0 < len(self.name.encode()) <= LONGEST_NAME:
            raise RegistryError(f"the market's name is {self.name!r}; expected 1 to {LONGEST_NAME} bytes")

    @property
    def network_id(self) -> bytes:
        """The 32 bytes that every signature covers."""
        return network_id(genesis_hash=self.genesis_hash, program_id=self.program_id, admin=self.admin, name=self.name)

    @property
    def settles(self) -> bool:
        """Whether its trades are paid on a chain."""
        return any(self.program_id)


@dataclass(frozen=True, slots=True)
class Member:
    """One device. `profile` is what it must speak: nobody can talk a node down."""

    device_id: DeviceId
    role: Role
    key: bytes
    profile: ProfileName = "signed"
    revoked_us: WallUs | None = None
    """Nothing counts that it says from here on."""

    def is_revoked(self, wall_us: int) -> bool:
        """Whether it is revoked by now."""
        return self.revoked_us is not None and self.revoked_us <= wall_us


class Registry:
    """The members of one market. Immutable: a change makes another one."""

    def __init__(self, network: Network, members: Iterable[Member] = ()) -> None:
        """Raises RegistryError for a device or key that is there twice."""
        self.network = network
        self._members: dict[DeviceId, Member] = {}
        self._by_key: dict[bytes, Member] = {}
        for member in members:
            self._put(member)

    def _put(self, member: Member) -> None:
        if len(member.key) != KEY_SIZE:
            raise RegistryError(f"device {member.device_id}: its key has {len(member.key)} bytes; expected {KEY_SIZE}")
        if member.device_id in self._members:
            raise RegistryError(f"device {member.device_id} is there twice; a new key is a new device_id")
        other = self._by_key.get(member.key)
        if other is not None:
            raise RegistryError(
                f"devices {other.device_id} and {member.device_id} have the same key; each needs its own"
            )
        self._members[member.device_id] = self._by_key[member.key] = member

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    @property
    def members(self) -> Mapping[DeviceId, Member]:
        """By device_id."""
        return self._members

    def get(self, device_id: int) -> Member | None:
        """The member with an id."""
        return self._members.get(device_id)  # type: ignore[call-overload,no-any-return]

    def admits(self, device_id: int, wall_us: int) -> bool:
        """Whether a device is a member that is not revoked by now."""
        member = self.get(device_id)
        return member is not None and not member.is_revoked(wall_us)

    def of_key(self, key: bytes) -> Member | None:
        """The member with a key."""
        return self._by_key.get(key)

    def added(self, member: Member) -> "Registry":
        """With one more member. Raises RegistryError."""
        return Registry(self.network, (*self, member))

    def revoked(self, device_id: int, at: WallUs) -> "Registry":
        """With a member revoked from `at` on; an earlier revocation stands. Raises RegistryError for a stranger."""
        member = self.get(device_id)
        if member is None:
            raise RegistryError(f"device {device_id} is not in this registry")
        since = at if member.revoked_us is None else min(at, member.revoked_us)
        return Registry(
            self.network, (replace(one, revoked_us=since) if one is member else one for one in self._members.values())
        )
