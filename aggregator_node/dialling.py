"""Which addresses are kept connected, and how long to wait before each is dialled again. Knows no socket."""

import random
from typing import Final

from etp.discovery_limits import Address
from runtime.backoff import Backoff

DIAL_TIMEOUT_S: Final = 3.0
"""Who does not answer within this cannot be reached now, s."""
TRIES_OF_A_FOUND_PEER: Final = 5
"""A discovered battery that cannot be reached so often is forgotten; its next Response finds it anew."""
SETTLED_S: Final = 10.0
"""A session that lasted so long begins the back-off anew, s."""
MOST: Final = 1200
"""Addresses kept at once: the sessions that a node may have (design §4)."""


class Dials:
    """One dialler per address, with back-off and jitter; what was configured is dialled for ever."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._backoff = rng, Backoff()
        self._attempts: dict[Address, int] = {}
        self._forever: set[Address] = set()

    def reach(self, address: Address, *, forever: bool) -> bool:
        """Whether to begin to dial an address: it is not kept yet, and there is room for it."""
        if address in self._attempts or len(self._attempts) >= MOST:
            return False
        self._attempts[address] = 0
        if forever:
            self._forever.add(address)
        return True

    def ended(self, address: Address, *, lasted_s: float) -> float | None:
        """Seconds until the next try, the last one having lasted so long; None: given up, and not kept any more.

        A peer that answers and closes at once is as good as none: only a session that lasted begins anew.
        """
        attempt = self._attempts[address] = 0 if lasted_s >= SETTLED_S else self._attempts[address] + 1
        if attempt >= TRIES_OF_A_FOUND_PEER and address not in self._forever:
            del self._attempts[address]
            return None
        return self._backoff.delay_s(attempt, self._rng)
