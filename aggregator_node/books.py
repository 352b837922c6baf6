"""What the counters of one buyer share: its affairs, what it wants and may pay, and when each affair is due.

It knows no order of events: `bids`, `promises` and `buyer` decide; this holds what they decide about.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from aggregator_node.affair import BID_BURST, BIDS_PER_S, Affair
from aggregator_node.directory import Directory
from aggregator_node.portfolio import Portfolio
from aggregator_node.view import Strategy
from aggregator_node.worth import Worth
from etp.agenda import Agenda
from etp.bucket import Bucket
from etp.clock import Now
from etp.evidence import Evidence
from etp.frame import Frame
from etp.profile import Profile
from etp.state import AffairInput
from etp.timing import Timing, is_from_future, is_late
from etp.units import DeviceId, LotId, Micro, MonotonicS
from runtime.days import MarketClock

LOOK_S: Final = 0.02
"""Energy wanted anew is looked for at all batteries after this, s: what is set free at one moment is spread in one look."""
REPLIES_KEPT: Final = 4096
NEVER: Final = float("inf")
NO_DAYS: Final = MarketClock(MonotonicS(0.0), 0.0)
"""Market time where nobody asks for it."""


class Purse(Protocol):
    """What can be paid for: an escrow, less what is owed."""

    def room(self, live: Micro) -> Micro:
        """What may still be bid for beside `live` µ of live bids and promises, µ."""

    def confirmed(self, battery: DeviceId, lot_id: LotId, amount: Micro, message_id: int) -> None:
        """`amount` µ are owed for a lot by the Confirm of this id; known ones stay as they are."""


@dataclass(slots=True, eq=False)
class Books:
    """See the module."""

    device_id: DeviceId
    worth: Worth
    """What a kWh is worth to it."""
    portfolio: Portfolio
    strategy: Strategy
    profile: Profile
    rng: random.Random
    timing: Timing
    purse: Purse | None = None
    """What its escrow can pay, in a market that settles."""
    clock: MarketClock = NO_DAYS
    patience_s: float = 0.0
    """How long the demand may wait, of market time."""
    stopping: bool = False
    """No new bids; promises are still seen through."""
    directory: Directory = field(default_factory=Directory)
    affairs: dict[DeviceId, Affair] = field(default_factory=dict)
    agenda: Agenda[DeviceId] = field(default_factory=Agenda)
    look_at: float = NEVER
    """When all batteries are looked at for energy."""
    reply_times: deque[tuple[str, float]] = field(default_factory=lambda: deque(maxlen=REPLIES_KEPT))
    """What answered, and after how many ms."""
    evidence: Evidence = field(default_factory=Evidence)

    def affair(self, device_id: DeviceId, now_s: MonotonicS) -> Affair | None:
        """The affair at a battery; None: it is one too many."""
        affair = self.affairs.get(device_id)
        battery = self.directory.meet(device_id) if affair is None else None
        if battery is not None:
            affair = self.affairs[device_id] = Affair(battery, Bucket(rate=BIDS_PER_S, burst=BID_BURST, now_s=now_s))
        return affair

    def schedule(self, affair: Affair) -> None:
        """It is due when it says, from now on."""
        wants = not (self.stopping or self.portfolio.filled)
        self.agenda.set(affair.battery.device_id, affair.due_s(wants=wants))

    def look_soon(self, now: Now) -> None:
        """Something may be bid for anew, wherever it is."""
        if not (self.stopping or self.portfolio.filled):
            self.look_at = min(self.look_at, now.monotonic_s + LOOK_S)

    def free(self, affair: Affair, now: Now) -> None:
        """Its bid is no more."""
        affair.bid = None
        self.release(affair, AffairInput.FREED, now)

    def release(self, affair: Affair, cause: AffairInput, now: Now) -> None:
        """What was bid or promised there is exposed no longer."""
        affair.move(cause)
        self.portfolio.release(affair.battery.device_id)
        self.look_soon(now)

    def answered(self, affair: Affair, kind: str, now: Now) -> None:
        """The live bid has its answer, unless it had one before."""
        if affair.bid_s:
            self.reply_times.append((kind, (now.monotonic_s - affair.bid_s) * 1000))
            affair.bid_s = 0.0

    def too_old(self, frame: Frame, now: Now) -> bool:
        """Whether a frame was stamped too long ago, or in the future."""
        late = is_late(
            frame.message_type, frame.message_id, now.wall_us, skew_allowance_ms=self.timing.skew_allowance_ms
        )
        return late or is_from_future(frame.message_id, now.wall_us, future_limit_ms=self.timing.future_limit_ms)
