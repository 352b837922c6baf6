"""How often datagrams may leave for one target, one address and all of them: so that nobody is flooded through this node."""

from collections import Counter, deque

from etp.discovery_limits import Address
from etp.units import MonotonicS


def is_loopback(host: str) -> bool:
    """Whether an IPv4 address is this machine's own."""
    return host.startswith("127.")


def take_one(counts: Counter[str], host: str) -> None:
    """Count one less."""
    counts[host] -= 1
    if not counts[host]:
        del counts[host]  # a Counter keeps its zeros, and forged addresses would fill it with them


class Pace:
    """At most one datagram to one target and `per_address` to one address in any window, planned ones included."""

    def __init__(
        self, *, per_address: int, total: int, planned: int, window_s: float, loopback_factor: int = 1
    ) -> None:
        self._per_address, self._total, self._most_planned = per_address, total, planned
        self._window_s, self._loopback_factor = window_s, loopback_factor
        self._sent: deque[tuple[float, Address]] = deque()
        self._last_s: dict[Address, float] = {}
        self._planned: set[Address] = set()
        self._at_address: Counter[str] = Counter()

    def plan(self, target: Address, now_s: MonotonicS, latest_s: float) -> float | None:
        """From when on a datagram may go to `target`, its place taken; None: not by `latest_s`."""
        self._expire(now_s)
        earliest_s = self._last_s.get(target, now_s - self._window_s) + self._window_s
        if target in self._planned or earliest_s > latest_s or not self._has_room(target[0]):
            return None
        self._planned.add(target)
        self._at_address[target[0]] += 1
        return max(now_s, earliest_s)

    def _has_room(self, host: str) -> bool:
        share = self._per_address * (self._loopback_factor if is_loopback(host) else 1)
        # The sum, not each alone: everything planned will be in the same window as what was just sent.
        return (
            self._at_address[host] < share
            and len(self._planned) < self._most_planned
            and len(self._planned) + len(self._sent) < self._total
        )

    def sent(self, target: Address, now_s: MonotonicS) -> None:
        """What was planned left now: the instant that counts."""
        self._planned.remove(target)
        self._last_s[target] = now_s
        self._sent.append((now_s, target))

    def _expire(self, now_s: MonotonicS) -> None:
        while self._sent and self._sent[0][0] + self._window_s <= now_s:
            at_s, target = self._sent.popleft()
            if self._last_s.get(target) == at_s:
                del self._last_s[target]
            take_one(self._at_address, target[0])
