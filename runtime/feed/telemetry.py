"""What is true now, best effort: its kinds, and a bounded buffer a gateway that drops the oldest and counts it.

A row of the journal is worth keeping for a gateway that is down; what was true an hour ago is not.
"""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from runtime.feed.wire import Item
from runtime.histogram import Metrics

MOST_ITEMS: Final = 1_000
"""Items that wait for one gateway, the oldest dropped beyond it: 1,000 × 0.6 kB, and 10 s of a buyer that hears 100 Responses
a second; a gateway that is slower for longer gets gaps, which it is told of, and what is true now."""
LOT_GAP_S: Final = 0.1
"""Between two looks at the open lot, s: nobody sees more of an auction than ten pictures a second."""
METRICS_GAP_S: Final = 2.0
"""Between two of `metrics`, s: they are the largest item."""
ITEMS_AT_ONCE: Final = 200
"""Items of one message: 200 of the common ones are 50 kB, and with the one that holds histograms (40 kB) far below
`wire.MAX_MESSAGE`."""

KINDS: Final[Mapping[str, bool]] = {
    "status": True,
    "metrics": True,
    "lot": True,
    "depleted": False,
    "recharged": False,
    "failure": False,
    "query": False,
    "response": False,
}
"""Kind → whether a newer item says all that an older one said: then only the newest waits, and a new connection gets it again."""
COUNTERS: Final = (
    *("late_messages", "violations", "security", "promises", "promises_released", "commits_failed", "rows_lost"),
    *("device_failures", "dials_failed", "sessions_refused"),
)
"""Counters that are told. None counts bids, or messages that come with them: in a sealed lot their number is secret."""
HISTOGRAMS: Final = ("age_ms", "reply_ms")


class Buffer:
    """What waits for one gateway."""

    def __init__(self, most: int = MOST_ITEMS) -> None:
        self.dropped = 0
        """Items that were pushed out since the start."""
        self._most = most
        self._waiting: OrderedDict[str | int, Item] = OrderedDict()
        self._latest: dict[str, Item] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: Item) -> None:
        """Add an item. Of a kind that coalesces it takes the place of the older one, at the end, unless it says the same."""
        if not KINDS[item.kind]:
            self._waiting[next(self._numbers)] = item
        elif item.kind not in self._latest or self._latest[item.kind].body != item.body:
            self._renew(item)
        if len(self._waiting) > self._most:
            # What is true now has no second chance, and is at most one item of each kind: it stays.
            del self._waiting[next(key for key in self._waiting if isinstance(key, int))]
            self.dropped += 1

    def _renew(self, item: Item) -> None:
        self._latest[item.kind] = item
        self._waiting.pop(item.kind, None)
        self._waiting[item.kind] = item

    def connected(self, time_us: int) -> None:
        """A gateway begins anew: it is told what is true now."""
        for item in list(self._latest.values()):
            self._renew(Item(item.kind, time_us, item.body))

    def take(self, most: int = ITEMS_AT_ONCE) -> list[Item]:
        """The oldest ones, which wait no longer."""
        return [self._waiting.popitem(last=False)[1] for _ in range(min(most, len(self._waiting)))]


def metrics_body(metrics: Metrics, *, journal_waiting: int) -> dict[str, Any]:
    """The counters and latencies that are told."""
    counters: dict[str, dict[str, int]] = {}
    for (name, label), value in metrics.counters.items():
        if name in COUNTERS:
            counters.setdefault(name, {})[label] = value
    found: dict[str, dict[str, Any]] = {}
    for (name, label), histogram in metrics.histograms.items():
        if name in HISTOGRAMS:
            found.setdefault(name, {})[label] = histogram.as_dict()
    return {"counters": counters, "histograms": found, "journal_waiting": journal_waiting}
