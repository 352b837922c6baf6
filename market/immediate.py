"""first-above-reserve: the first bid at or above the reserve wins at once, at its own price.

What earlier implementations of the protocol do. Kept as the baseline to beat and for interoperability (design §4); it is not
an auction: bids never meet, so the price is what the quickest buyer hoped to get away with, and the best reply of a buyer
who knows the reserve is the reserve. The seller's one tool is the reserve: a posted price, against which even one more
bidder in an auction without any reserve earns more on average, for private values of one regular distribution
(J. Bulow and P. Klemperer, "Auctions versus negotiations", 1996).
"""

from typing import NamedTuple

from etp.units import MicroPerKwh, MonotonicS
from market.auction import (
    UNDISCLOSED,
    Bid,
    LotTerms,
    Refusal,
    Refused,
    Taken,
    checked,
    require_lawful,
)
from market.leading import Leading


class ImmediateState(NamedTuple):
    """The winner of a lot that is over with its first bid."""

    terms: LotTerms
    leader: Bid | None = None
    won_s: MonotonicS = MonotonicS(0.0)
    """When the winner's bid came; means nothing without one."""


class Immediate(Leading[ImmediateState]):
    """The first bid ≥ the reserve ends the lot; it binds like an english leader, there is no time to withdraw it."""

    name = "first-above-reserve"
    sealed = False
    divisible = False
    immediate = True

    def open(self, terms: LotTerms) -> ImmediateState:
        """No winner yet. Raises TermsError."""
        return ImmediateState(checked(terms))

    def ask(self, state: ImmediateState) -> MicroPerKwh:
        """The reserve; 0 where hidden."""
        return UNDISCLOSED if state.terms.hide_reserve else state.terms.reserve

    def bid(self, state: ImmediateState, bid: Bid, now: MonotonicS) -> Taken | Refused:
        """The first bid ≥ the reserve wins; a later one, had the lot not been closed at once, comes second. Raises BidError."""
        require_lawful(bid, state.terms.energy)
        if bid.price < state.terms.reserve:
            return Refused(Refusal.BELOW_RESERVE, self.ask(state))
        if state.leader is not None:
            return Refused(Refusal.OUTBID, self.ask(state))
        return Taken(ImmediateState(state.terms, bid, now))

    def closes_at(self, state: ImmediateState) -> MonotonicS | None:
        """With its first bid."""
        return None if state.leader is None else state.won_s

    def capped(self, state: ImmediateState) -> bool:  # noqa: ARG002 - one interface for all
        """Never: it does not last."""
        return False
