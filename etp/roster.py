"""Who is connected: places, places per address, and which session speaks for which device (design §4)."""

from collections import Counter
from ipaddress import ip_address
from typing import Generic, TypeVar

from etp.limits import Limits
from etp.units import DeviceId

S = TypeVar("S")


class Roster(Generic[S]):
    """The sessions of a node, by device."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._addresses: Counter[str] = Counter()
        self._places = 0
        self._bound: dict[DeviceId, S] = {}

    def __len__(self) -> int:
        return self._places

    def admit(self, address: str) -> bool:
        """Take a place for a connection from `address`; False: there is none, and nothing is taken."""
        beyond_loopback = not ip_address(address.partition("%")[0]).is_loopback
        if len(self) >= self._limits.sessions:
            return False
        if beyond_loopback and self._addresses[address] >= self._limits.sessions_per_address:
            return False
        self._addresses[address] += 1
        self._places += 1
        return True

    def leave(self, address: str) -> None:
        """Give a place back."""
        self._places -= 1
        self._addresses[address] -= 1
        if self._addresses[address] <= 0:
            del self._addresses[address]

    def bind(self, device_id: DeviceId, session: S) -> S | None:
        """Let `session` speak for a device; returns the one it takes over from."""
        before = self._bound.get(device_id)
        self._bound[device_id] = session
        return before

    def unbind(self, device_id: DeviceId, session: S) -> bool:
        """Forget a session that ended; False where another speaks for its device by now."""
        if self._bound.get(device_id) is not session:
            return False
        del self._bound[device_id]
        return True

    def get(self, device_id: DeviceId) -> S | None:
        """The session that speaks for a device."""
        return self._bound.get(device_id)

    def bound(self) -> list[S]:
        """All bound sessions."""
        return list(self._bound.values())
