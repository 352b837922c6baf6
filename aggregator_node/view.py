"""What a strategy is asked and told: the lot that it may bid for, what is needed until when, and how a bid ended."""

import random
from enum import Enum
from typing import NamedTuple, Protocol

from etp.units import DeviceId, LotId, MicroPerKwh, Wh


class Need(NamedTuple):
    """Energy that is wanted, and how long there is to buy it."""

    energy: Wh
    """Neither bought nor bid for yet."""
    seconds: float
    """Market time until it must be held; 0: now."""
    recurs: bool = False
    """It is wanted anew in each period."""


class LotView(NamedTuple):
    """What a buyer knows of a lot, and of itself."""

    value: MicroPerKwh
    """What the energy is worth to it, µ/kWh."""
    ask: MicroPerKwh
    """The least price that would take part or lead; 0: not disclosed."""
    battery: DeviceId = DeviceId(0)
    """Who sells."""
    lot_id: LotId = LotId(0)
    """0: not known (`plain`)."""
    energy: Wh = Wh(0)
    """What is for sale."""
    market_s: float = 0.0
    """Market time, unix seconds."""
    period: int = 0
    """The number of the period (a half-hour) that this is."""
    needs: tuple[Need, ...] = ()
    """All of them bind; none: whatever is for sale is wanted at once."""


class Loss(Enum):
    """How a bid came to nothing, as far as that says something of prices."""

    OUTBID = "outbid"
    """Another leads now: the auction ascends."""
    ANOTHER_WON = "another won"
    """The lot is closed: its bids were sealed."""
    BELOW_RESERVE = "below reserve"
    """It would not have been sold to anybody at this price."""


class Strategy(Protocol):
    """How a buyer bids. What one remembers is its own: `fresh` makes one for each buyer."""

    def fresh(self) -> "Strategy":
        """The same strategy, knowing nothing yet."""

    def price(self, view: LotView, rng: random.Random) -> MicroPerKwh | None:
        """What to bid, µ/kWh; None: better wait. Asked only where the value is not below the ask."""

    def won(self, battery: DeviceId, *, bid: MicroPerKwh, paid: MicroPerKwh) -> None:
        """A bid won, and this is what it pays."""

    def lost(self, battery: DeviceId, *, bid: MicroPerKwh, how: Loss) -> None:
        """A bid came to nothing."""
