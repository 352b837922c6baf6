"""Confirmed trades on their way out: one after the other, at the discharge rate, in whole Wh. Knows no clock.

Bounded by the energy itself: what is queued was held when it was promised, in parts of at least the smallest lot, so the
largest legal battery (10⁹ Wh) in default lots (100 Wh) queues 10⁷ trades at most. Each costs one append and one pop,
whatever the length. More trades a second than the rate carries (100,000 kW: 277 of 100 Wh) wait here; none is refused.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from bess_node.battery import Battery
from etp.units import LotId, Wh

_NOISE_WH: Final = 1e-6
"""Float noise below which a value counts as the whole Wh above it."""
_KW_S_PER_WH: Final = 3.6
_SLACK_S: Final = 1e-6
"""Unix seconds in a float step by 0.24 µs: a timer set without this slack may fire a hair early, and again, and again."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One trade's energy."""

    lot_id: LotId
    energy: Wh
    delivered: Wh = Wh(0)

    @property
    def missing_wh(self) -> Wh:
        """Sold and not (yet) delivered."""
        return Wh(self.energy - self.delivered)

    @property
    def short(self) -> bool:
        """Whether less came than was sold."""
        return self.missing_wh > 0


class DeliveryQueue:
    """First confirmed, first delivered."""

    def __init__(self) -> None:
        self._queue: deque[Delivery] = deque()
        self._due_wh = 0.0  # what the inverter had time for and is not delivered yet: under 1 Wh between calls
        self.outstanding_wh = Wh(0)
        """Confirmed and neither delivered nor given up."""

    @property
    def partial_wh(self) -> Wh:
        """What has left for the trade that is not done yet, Wh."""
        return self._queue[0].delivered if self._queue else Wh(0)

    def add(self, lot_id: LotId, energy: Wh) -> None:
        """Queue a trade. Raises ValueError where it has no energy: it would never end."""
        if energy <= 0:
            raise ValueError(f"energy of lot {lot_id} is {energy} Wh; at least 1")
        self._queue.append(Delivery(lot_id, energy))
        self.outstanding_wh = Wh(self.outstanding_wh + energy)

    def advance(self, battery: Battery, seconds: float) -> list[Delivery]:
        """Deliver for `seconds` of market time; returns the trades that ended, in order: in full, or short."""
        if not self._queue:
            return []
        self._due_wh += battery.spec.discharge_kw * seconds / _KW_S_PER_WH
        ended: list[Delivery] = []
        while self._queue and self._due_wh + _NOISE_WH >= 1.0:
            if self._deliver(battery):
                ended.append(self._end())
        if not self._queue:
            self._due_wh = 0.0  # an idle inverter saves no energy up for the next trade
        return ended

    def _deliver(self, battery: Battery) -> bool:
        """Give the first trade what is due; whether it ended, since it is complete or the battery is empty."""
        head = self._queue[0]
        portion = Wh(min(head.missing_wh, int(self._due_wh + _NOISE_WH)))
        given = battery.discharge(portion)
        self._due_wh -= portion
        head.delivered = Wh(head.delivered + given)
        self.outstanding_wh = Wh(self.outstanding_wh - given)
        return given < portion or not head.short

    def _end(self) -> Delivery:
        head = self._queue.popleft()
        self.outstanding_wh = Wh(self.outstanding_wh - head.missing_wh)
        return head

    def next_done_s(self, battery: Battery) -> float | None:
        """Market seconds until the first trade ends, as far as one knows now; None: nothing is queued.

        An `advance` by that much ends it: delivered, or short with the first Wh that the battery lacks.
        """
        if not self._queue:
            return None
        until_wh = min(self._queue[0].missing_wh, battery.deliverable_wh(100.0) + 1)
        return max(0.0, (until_wh - self._due_wh) * _KW_S_PER_WH / battery.spec.discharge_kw) + _SLACK_S

    def fail(self) -> list[Delivery]:
        """End everything as it is, short."""
        ended = [self._end() for _ in range(len(self._queue))]
        self._due_wh = 0.0
        return ended
