"""When each of many things is due: the earliest in logarithmic time, whatever is moved or dropped."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from etp.units import MonotonicS

K = TypeVar("K", bound=Hashable)


class Agenda(Generic[K]):
    """One instant per key. Moved keys leave a stale entry behind, thrown out once those outnumber the live ones."""

    def __init__(self) -> None:
        self._due: dict[K, MonotonicS] = {}
        self._heap: list[tuple[MonotonicS, int, K]] = []
        self._asked = 0

    def set(self, key: K, at: MonotonicS | None) -> None:
        """`key` is due at `at`, and no more when it was; None: not at all."""
        if at is None:
            self._due.pop(key, None)
        elif self._due.get(key) != at:
            self._due[key] = at
            self._asked += 1
            heapq.heappush(self._heap, (at, self._asked, key))
            if len(self._heap) > 2 * len(self._due) + 16:
                self._heap = [(due, number, other) for number, (other, due) in enumerate(self._due.items())]
                heapq.heapify(self._heap)
                self._asked = len(self._heap)

    def next(self) -> MonotonicS | None:
        """The earliest instant."""
        heap, due = self._heap, self._due
        while heap:
            at, _, key = heap[0]
            if due.get(key) == at:
                return at
            heapq.heappop(heap)
        return None

    def pop_due(self, now_s: MonotonicS) -> Iterator[K]:
        """The keys that are due, earliest first; each is off the agenda as it comes."""
        while (at := self.next()) is not None and at <= now_s:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            yield key
