"""Accounts as they were: what a reader at `confirmed` or `finalized` sees while the runtime is already further.

An undo log: the first write of a slot keeps what stood there before; it is dropped once that slot is final.
"""

from collections import deque

from solders.account import Account
from solders.pubkey import Pubkey


class Versions:
    """Of each account that was written lately, what it was before, by slot."""

    def __init__(self) -> None:
        self._before: dict[Pubkey, list[tuple[int, Account | None]]] = {}
        self._order: deque[tuple[int, Pubkey]] = deque()

    def keep(self, slot: int, address: Pubkey, before: Account | None) -> None:
        """An account is written in a slot; `before`: what it is until then, None if there is none."""
        kept = self._before.setdefault(address, [])
        if not kept or kept[-1][0] != slot:
            kept.append((slot, before))
            self._order.append((slot, address))

    def at(self, slot: int, address: Pubkey, newest: Account | None) -> Account | None:
        """The account at the end of a slot that is not older than the finalized one; `newest`: what it is now."""
        for written, before in self._before.get(address, ()):
            if written > slot:
                return before
        return newest

    def forget(self, finalized: int) -> None:
        """Nobody reads at a slot before `finalized` any more."""
        while self._order and self._order[0][0] <= finalized:
            _, address = self._order.popleft()
            kept = self._before[address]
            del kept[0]
            if not kept:
                del self._before[address]

    def __len__(self) -> int:
        return len(self._order)
