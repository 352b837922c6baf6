"""A token bucket: a sustained rate with bursts."""

from etp.units import MonotonicS


class Bucket:
    """`rate` tokens per second, at most `burst` at once."""

    __slots__ = ("_at_s", "_burst", "_rate", "_tokens")

    def __init__(self, *, rate: float, burst: float, now_s: MonotonicS) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at_s = burst, now_s

    def take(self, now_s: MonotonicS) -> bool:
        """Take one token if there is one."""
        tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        taken = tokens >= 1.0
        self._tokens = tokens - taken
        return taken
