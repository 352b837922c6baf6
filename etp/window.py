"""The anti-replay window of one sender: which counters came already (RFC 4303 §3.4.3, per boot)."""

from typing import Final

WIDTH: Final = 1024
"""Counters behind the highest that are still told apart."""
_SEQ_BITS: Final = 32
_MASK: Final = (1 << WIDTH) - 1


class Window:
    """Counters are boot << 32 | seq. A lower boot is old; a higher one begins anew."""

    __slots__ = ("_first", "_highest", "_seen")

    def __init__(self) -> None:
        self._first = self._highest = -1
        self._seen = 0

    def is_early(self, counter: int) -> bool:
        """Whether a counter is from just before the first one of its boot that came: late on its way, or said again."""
        return counter < self._first and counter >> _SEQ_BITS == self._first >> _SEQ_BITS

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
            self._first = self._highest = counter
            self._seen = _MASK
            return
        self._seen = (self._seen << ahead & _MASK) | 1 if same_boot and ahead < WIDTH else 1
        self._highest = counter
