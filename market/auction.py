"""The vocabulary of an auction: lots, bids, verdicts, and what every mechanism offers.

A mechanism is a value with pure methods; its state is an immutable value that only it reads. It knows prices, energies and
instants, all handed in; it knows no frame, no session, no clock, and not who may bid: that is the desk's.

The messages Bid, Accept and Reject are those of the paper (A. Mapfumo, "Communication requirements for enabling real-time
energy trading among distributed energy storage systems and aggregators"); which bid wins, and what it pays, is design §4.
A reserve above the seller's own value of the energy gives up some sales for a better price in the others: with independent
private values of one regular distribution any of the standard auctions with the right reserve earns the seller the most
that can be had (R. Myerson, "Optimal auction design", 1981). Which reserve that is depends on values that nobody here knows.
"""

from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from etp.units import DeviceId, MessageId, MicroPerKwh, MonotonicS, Wh
from market.errors import BidError, TermsError

HIGHEST_PRICE: Final = MicroPerKwh(100_000_000)
"""What a frame can carry (10,000 c/kWh), µ/kWh: no bid, and so no ask, is above it."""
UNDISCLOSED: Final = MicroPerKwh(0)
"""The ask of a lot whose reserve is hidden. A reserve is ≥ 1 µ/kWh, so 0 is never a real ask."""


class Bid(NamedTuple):
    """An offer to buy. Of equal prices the earlier arrival wins, then the lower device id."""

    bidder: DeviceId
    message_id: MessageId
    price: MicroPerKwh
    """1..`HIGHEST_PRICE`."""
    energy: Wh
    """≥ 1; at most the lot's, unless the mechanism is divisible."""
    arrival: int
    """Running number at the battery."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sorts the best bid first."""
        return (-self.price, self.arrival, self.bidder)


class LotTerms(NamedTuple):
    """What is sold and how long it stays open. `checked` names the ranges."""

    energy: Wh
    """≥ 1."""
    reserve: MicroPerKwh
    """Below it the lot is not sold; 1..`HIGHEST_PRICE`."""
    increment: MicroPerKwh
    """English: by how much the ask rises above the leading bid; ≥ 0, where 0 works as 1 µ, the least step there is."""
    closing_s: float
    """From the first bid (sealed) or the last better one (english) to the close; ≥ 0."""
    max_s: float
    """English: from the first bid to the close at the latest; ≥ 0."""
    hide_reserve: bool


class Refusal(Enum):
    """Why a bid does not take part."""

    BELOW_RESERVE = "below reserve"
    OUTBID = "outbid"


class Taken(msgspec.Struct, frozen=True, gc=False):
    """The bid takes part; its bidder's earlier one, if any, no longer does."""

    state: Any
    displaced: Bid | None = None
    """The bid of *another* bidder that no longer leads (english): its bidder is free, and is told."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The bid does not take part; the state is as it was."""

    refusal: Refusal
    ask: MicroPerKwh
    """As disclosed; 0: not disclosed."""


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
    """The bid that set the price; None: the reserve did, or nothing is sold."""


UNSOLD: Final = Closing((), (), None)
"""The close of a lot without bids."""


def checked(terms: LotTerms) -> LotTerms:
    """The same terms. Raises TermsError where a field is outside its range (NaN is outside every range)."""
    if terms.energy < 1:
        raise TermsError(field="energy", value=terms.energy, expected="≥ 1 Wh")
    if not 1 <= terms.reserve <= HIGHEST_PRICE:
        raise TermsError(field="reserve", value=terms.reserve, expected=f"1..{HIGHEST_PRICE} µ/kWh")
    if terms.increment < 0:
        raise TermsError(field="increment", value=terms.increment, expected="≥ 0 µ/kWh")
    for field, seconds in (("closing_s", terms.closing_s), ("max_s", terms.max_s)):
        if not seconds >= 0:
            raise TermsError(field=field, value=seconds, expected="≥ 0 s")
    return terms


def require_lawful(bid: Bid, most: Wh | None) -> None:
    """Raises BidError: a bid for nothing, for more than `most` (None: no limit), or at a price that no frame carries.

    The desk has answered such a bid with a Reject before any mechanism sees it; this is the last door before energy
    that does not exist is sold, so it is no `assert`.
    """
    if bid.energy < 1 or (most is not None and bid.energy > most):
        raise BidError(field="energy", value=bid.energy, expected="≥ 1 Wh" if most is None else f"1..{most} Wh")
    if not 1 <= bid.price <= HIGHEST_PRICE:
        raise BidError(field="price", value=bid.price, expected=f"1..{HIGHEST_PRICE} µ/kWh")


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
        """The state of a lot without bids. Raises TermsError."""

    def ask(self, state: Any) -> MicroPerKwh:
        """The disclosed ask; 0: not disclosed."""

    def bid(self, state: Any, bid: Bid, now: MonotonicS) -> Taken | Refused:
        """Judge a bid; one bidder has at most one bid in a lot. Raises BidError."""

    def withdraw(self, state: Any, bidder: DeviceId) -> Any:
        """The state without a bidder's bid, where the mechanism lets it go."""

    def live(self, state: Any, bidder: DeviceId) -> Bid | None:
        """The bid of a bidder that takes part."""

    def bids(self, state: Any) -> tuple[Bid, ...]:
        """The bids that take part, best first."""

    def closes_at(self, state: Any) -> MonotonicS | None:
        """When the lot closes; None while there are no bids."""

    def capped(self, state: Any) -> bool:
        """Whether the longest duration ends the lot, not its bidders' silence."""

    def close(self, state: Any, now: MonotonicS) -> Closing:
        """Winners and prices. No award exceeds its bid's energy, and together they do not exceed the lot's."""
