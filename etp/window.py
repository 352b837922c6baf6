"""The anti-replay window of one sender: which counters came already (RFC 4303 §3.4.3, per boot)."""

from typing import Final

WIDTH: Final = 1024
"""Counters behind the highest that are still told apart."""
_SEQ_BITS: Final = 32
_MASK: Final = (1 << WIDTH) - 1


class Window:
    """Counters are boot << 32 | seq. A lower boot is old; a higher one begins anew."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0

    def is_new(self, counter: int) -> bool:
        """Whether a counter was not taken yet and is not too old to tell."""
        behind = self._highest - counter
        if behind < 0:
            return True
        same_boot = counter >> _SEQ_BITS == self._highest >> _SEQ_BITS
        return same_boot and behind < WIDTH and not self._seen >> behind & 1

    def take(self, counter: int) -> None:
        """Remember a counter that `is_new`, once its signature was verified."""
        ahead = counter - self._highest
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return
        same_boot = counter >> _SEQ_BITS == self._highest >> _SEQ_BITS
        if self._highest < 0:  # what came before we listened may be anybody's repetition of it
            self._highest, self._seen = counter, _MASK
            return
        self._seen = (self._seen << ahead & _MASK) | 1 if same_boot and ahead < WIDTH else 1
        self._highest = counter
