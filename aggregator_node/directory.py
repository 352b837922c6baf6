"""The batteries that a buyer knows: where each is, when it last spoke, how its clock differs, whether it keeps its word."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from etp.clock import Now
from etp.offset import OffsetEstimator
from etp.units import DeviceId, LotId, MicroPerKwh, MonotonicS, Wh

MAX_BATTERIES: Final = 4096
"""Batteries remembered; beyond it new ones are not traded with."""
MAX_SHOWN: Final = 64
"""Batteries in `metrics.json`."""
PRIOR_PROMISES: Final = 10
"""A battery that nobody knows counts as one that has kept so many promises: one broken one costs it a tenth."""


@dataclass(slots=True, eq=False)
class Battery:
    """What is known of one battery."""

    device_id: DeviceId
    address: str = ""
    """HOST:PORT of its last session."""
    connected: bool = False
    last_seen_s: MonotonicS = MonotonicS(0.0)
    for_sale: Wh = Wh(0)
    """What may be bid for, as last heard."""
    ask: MicroPerKwh = MicroPerKwh(0)
    """As last heard; 0: not disclosed."""
    lot_id: LotId = LotId(0)
    """The lot that was for sale then; 0: none, or in `plain`, which does not say."""
    of_own_lot: bool = False
    """`ask` was heard in a lot that we bid in: it says nothing of the next."""
    estimator: OffsetEstimator = field(default_factory=OffsetEstimator)
    kept: int = 0
    """Confirms that it answered with FINISHED."""
    broken: int = 0
    """Trades and promises that it ended with CANNOT_DELIVER."""

    @property
    def reliability(self) -> float:
        """The share of its promises that it keeps, as far as is known: 0..1, 1 at first."""
        kept = PRIOR_PROMISES + self.kept
        # What is broken after FINISHED was counted as kept first.
        return max(0.0, (kept - self.broken) / kept) if self.broken else 1.0


class Directory:
    """Batteries by device; bounded."""

    def __init__(self, maximum: int = MAX_BATTERIES) -> None:
        self._maximum = maximum
        self._batteries: dict[DeviceId, Battery] = {}

    def __len__(self) -> int:
        return len(self._batteries)

    def __iter__(self) -> Iterator[Battery]:
        return iter(self._batteries.values())

    def find(self, device_id: DeviceId) -> Battery | None:
        """A battery that is known."""
        return self._batteries.get(device_id)

    def meet(self, device_id: DeviceId) -> Battery | None:
        """A battery, known from now on; None: there is no room for another."""
        battery = self._batteries.get(device_id)
        if battery is None and len(self._batteries) < self._maximum:
            battery = self._batteries[device_id] = Battery(device_id)
        return battery

    def entries(self, now: Now) -> list[dict[str, object]]:
        """What `metrics.json` shows: the first ones met, `MAX_SHOWN` at most."""
        return [_entry(battery, now) for battery in islice(self._batteries.values(), MAX_SHOWN)]


def _entry(battery: Battery, now: Now) -> dict[str, object]:
    offset = battery.estimator.offset_ms
    seen_us = now.wall_us - round((now.monotonic_s - battery.last_seen_s) * 1e6)
    return {
        "device_id": battery.device_id,
        "address": battery.address,
        "connected": battery.connected,
        "seen_us": seen_us if battery.last_seen_s else None,
        "for_sale_wh": battery.for_sale,
        "ask_micro_per_kwh": battery.ask,
        "clock_offset_ms": None if offset is None else round(offset, 3),
        "reliability": round(battery.reliability, 4),
    }
