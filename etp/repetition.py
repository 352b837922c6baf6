"""What a Bid was answered: a repeated one gets the same bytes again, another one under its id is refused (design §4).

Bounded and expiring; Confirms that decided a promise are remembered by the journal instead.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from etp.effects import Envelope
from etp.timing import carries_time
from etp.units import MonotonicS


@dataclass(slots=True, eq=False)
class Answer:
    """The place of the last answer to a Bid. Where another Bid replaced it, that one's answer serves both."""

    envelope: Envelope | None = None
    successor: "Answer | None" = None

    def newest(self) -> "Answer":
        """The place that holds the answer now; the way there is shortened, so that a long chain is walked once."""
        newest = self
        while newest.successor is not None:
            newest = newest.successor
        if newest is not self:
            self.successor = newest
        return newest


class Repeated(Enum):
    """How a known id comes back."""

    SAME = "same"
    OTHER = "other"


class Recalled(NamedTuple):
    """What is known of an id."""

    how: Repeated
    answer: Answer | bytes
    first: bytes
    """What came first under it."""


class BidMemory:
    """The Bids of one device, by message_id."""

    __slots__ = ("_entries", "_keep_s", "_maximum")

    def __init__(self, *, keep_s: float, maximum: int) -> None:
        self._entries: OrderedDict[int, tuple[bytes, Answer | bytes, float]] = OrderedDict()
        self._keep_s = keep_s
        self._maximum = maximum

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, message_id: int, raw: bytes, now_s: MonotonicS) -> Recalled | None:
        """What is known of an id; None: it is new. In `plain` an id that carries no time may return with other bytes."""
        entry = self._entries.get(message_id)
        if entry is None or entry[2] <= now_s:
            return None
        if entry[0] == raw:
            return Recalled(Repeated.SAME, entry[1], raw)
        return Recalled(Repeated.OTHER, entry[1], entry[0]) if carries_time(message_id) else None

    def remember(self, message_id: int, raw: bytes, answer: Answer | bytes, now_s: MonotonicS) -> None:
        """Keep a Bid and the place of its answer, or that answer where nothing can follow it."""
        entries = self._entries
        entries.pop(message_id, None)
        while entries:
            oldest = next(iter(entries))
            if len(entries) < self._maximum and entries[oldest][2] > now_s:
                break
            del entries[oldest]
        entries[message_id] = (raw, answer, now_s + self._keep_s)
