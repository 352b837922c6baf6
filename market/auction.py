"""The vocabulary of an auction: lots, bids, verdicts, and what every mechanism offers.

A mechanism is a value with pure methods; its state is an immutable value that only it reads.
"""

from enum import Enum
from typing import Any, NamedTuple, Protocol

from etp.units import DeviceId, MessageId, MicroPerKwh, MonotonicS, Wh


class Bid(NamedTuple):
    """An offer to buy. Of equal prices the earlier arrival wins, then the lower device id."""

    bidder: DeviceId
    message_id: MessageId
    price: MicroPerKwh
    energy: Wh
    arrival: int
    """Running number at the battery."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sorts the best bid first."""
        return (-self.price, self.arrival, self.bidder)


class LotTerms(NamedTuple):
    """What is sold and how long it stays open."""

    energy: Wh
    reserve: MicroPerKwh
    """Below it the lot is not sold; ≥ 1."""
    increment: MicroPerKwh
    """English: by how much the ask rises above the leading bid."""
    closing_s: float
    """From the first bid (sealed) or the last better one (english) to the close."""
    max_s: float
    """English: from the first bid to the close at the latest."""
    hide_reserve: bool


class Refusal(Enum):
    """Why a bid does not take part."""

    BELOW_RESERVE = "below reserve"
    OUTBID = "outbid"


class Taken(NamedTuple):
    """The bid takes part."""

    state: Any
    displaced: Bid | None = None
    """The bid that no longer leads (english)."""


class Refused(NamedTuple):
    """The bid does not take part; the state is as it was."""

    refusal: Refusal


class Award(NamedTuple):
    """Energy to a winner, at the price it pays (not the price it bid)."""

    bid: Bid
    energy: Wh
    paid: MicroPerKwh


class Closing(NamedTuple):
    """How a lot ended."""

    awards: tuple[Award, ...]
    losers: tuple[Bid, ...]
    price_setter: Bid | None
    """The bid that set the price; None: the reserve did."""


class Mechanism(Protocol):
    """The rule that picks winner and price."""

    @property
    def name(self) -> str:
        """As on the command line."""

    @property
    def sealed(self) -> bool:
        """Bids stay secret until the close and may be withdrawn."""

    @property
    def divisible(self) -> bool:
        """A bid may ask for more than the lot, and a lot may have several winners."""

    @property
    def immediate(self) -> bool:
        """The lot closes with the first bid that takes part."""

    def open(self, terms: LotTerms) -> Any:
        """The state of a lot without bids."""

    def ask(self, state: Any) -> MicroPerKwh:
        """The disclosed ask; 0: not disclosed."""

    def bid(self, state: Any, bid: Bid, now: MonotonicS) -> Taken | Refused:
        """Judge a bid; one bidder has at most one bid in a lot."""

    def withdraw(self, state: Any, bidder: DeviceId) -> Any:
        """The state without a bidder's bid, where the mechanism lets it go."""

    def bids(self, state: Any) -> tuple[Bid, ...]:
        """The bids that take part."""

    def closes_at(self, state: Any) -> MonotonicS | None:
        """When the lot closes; None while there are no bids."""

    def capped(self, state: Any) -> bool:
        """Whether the longest duration ends the lot, not its bidders' silence."""

    def close(self, state: Any, now: MonotonicS) -> Closing:
        """Winners and prices."""
