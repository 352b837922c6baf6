"""Confirmed trades on their way out: one after the other, at the discharge rate, in whole Wh.

Bounded by the energy itself: what is queued was held when it was promised, in parts of at least the smallest lot.
"""

from collections import deque
from dataclasses import dataclass

from bess_node.battery import Battery
from etp.units import LotId, Wh

_NOISE_WH = 1e-6


@dataclass(slots=True, eq=False)
class Delivery:
    """One trade's energy."""

    lot_id: LotId
    energy: Wh
    delivered: Wh = Wh(0)

    @property
    def short(self) -> bool:
        """Whether less came than was sold."""
        return self.delivered < self.energy


class DeliveryQueue:
    """First confirmed, first delivered."""

    def __init__(self) -> None:
        self._queue: deque[Delivery] = deque()
        self._carry_wh = 0.0
        self.outstanding_wh = Wh(0)

    def add(self, lot_id: LotId, energy: Wh) -> None:
        """Queue a trade."""
        self._queue.append(Delivery(lot_id, energy))
        self.outstanding_wh = Wh(self.outstanding_wh + energy)

    def advance(self, battery: Battery, seconds: float) -> list[Delivery]:
        """Deliver for `seconds` of market time; returns the trades that ended, in order."""
        if not self._queue:
            self._carry_wh = 0.0  # an idle inverter saves no energy up
            return []
        self._carry_wh += battery.spec.discharge_kw * seconds / 3.6
        ended: list[Delivery] = []
        while self._queue and self._carry_wh + _NOISE_WH >= 1.0:
            head = self._queue[0]
            portion = Wh(min(head.energy - head.delivered, int(self._carry_wh + _NOISE_WH)))
            given = battery.discharge(portion)
            self._carry_wh -= portion
            head.delivered = Wh(head.delivered + given)
            self.outstanding_wh = Wh(self.outstanding_wh - given)
            if given < portion or not head.short:
                ended.append(self._end())
        return ended

    def _end(self) -> Delivery:
        head = self._queue.popleft()
        self.outstanding_wh = Wh(self.outstanding_wh - (head.energy - head.delivered))
        return head

    def next_done_s(self, battery: Battery) -> float | None:
        """Market seconds until the first trade is delivered; None: nothing is queued."""
        if not self._queue:
            return None
        missing = self._queue[0].energy - self._queue[0].delivered - self._carry_wh
        return max(0.0, missing * 3.6 / battery.spec.discharge_kw)

    def fail(self) -> list[Delivery]:
        """End everything as it is."""
        ended = [self._end() for _ in range(len(self._queue))]
        self._carry_wh = 0.0
        return ended
