"""Token buckets: how often somebody may do something. A bounded table of them, one for each who does."""

from collections import OrderedDict
from collections.abc import Hashable

from etp.units import MonotonicS


class Bucket:
    """`burst` at once, `per_s` sustained."""

    __slots__ = ("_at_s", "_burst", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float, now_s: MonotonicS) -> None:
        self._per_s, self._burst = per_s, burst
        self._left, self._at_s = burst, now_s

    def take(self, now_s: MonotonicS) -> bool:
        """Whether one more is within the rate; then it counts."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def wait_s(self) -> float:
        """From the last `take` until the next one that succeeds, s."""
        return max(0.0, (1 - self._left) / self._per_s)


class Rates:
    """A bucket for each key, at most `most` of them: the longest unused one is forgotten first, which had time to refill."""

    def __init__(self, *, per_s: float, burst: float, most: int) -> None:
        self._per_s, self._burst, self._most = per_s, burst, most
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def refused_s(self, key: Hashable, now_s: MonotonicS) -> float | None:
        """None: one more is within this key's rate, and counts. Otherwise in how many seconds it will be."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._per_s, self._burst, now_s)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return None if bucket.take(now_s) else bucket.wait_s()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._buckets)
