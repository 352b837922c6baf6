"""The ascending auction: bids are public, each must beat the ask, the last one standing wins at its own price.

*Rule* (design §4): the ask starts at the reserve; a bid ≥ the ask leads and binds, and the ask becomes that bid + the
increment. The lot closes when no better bid came for `closing_s`, at the latest `max_s` after its first bid.

*Theory*: with private values it is best to go on up to one's value and no further, so that the highest value wins, at about
the second-highest (W. Vickrey, "Counterspeculation, auctions, and competitive sealed tenders", 1961; V. Krishna, *Auction
Theory*, ch. 2). "About": who raises by the least step pays at most one increment more than that, who jumps pays what
it jumped to, and values closer than one increment may sell to the second. None of it holds for a lot that `max_s`
ended: there the last word counts, not the highest value, which is why such a lot is marked.

State is one bid: whoever is displaced is free, so a bid costs the same however many came before.
"""

from typing import Final, NamedTuple

from etp.units import MicroPerKwh, MonotonicS
from market.auction import (
    HIGHEST_PRICE,
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

_OUTBID: Final = Refusal.OUTBID
LEAST_STEP: Final = MicroPerKwh(1)
"""Of equal prices the earlier stays, so what leads next is at least this much higher."""


class EnglishState(NamedTuple):
    """Leader and times of an english lot."""

    terms: LotTerms
    leader: Bid | None = None
    first_s: MonotonicS = MonotonicS(0.0)
    """When the first bid led; means nothing without a leader."""
    last_s: MonotonicS = MonotonicS(0.0)
    """When the leader's bid came; means nothing without one."""


class English(Leading[EnglishState]):
    """The leader wins at its own price; a bid that leads binds."""

    name = "english"
    sealed = False
    divisible = False
    immediate = False

    def open(self, terms: LotTerms) -> EnglishState:
        """No leader yet. Raises TermsError."""
        return EnglishState(checked(terms))

    def ask(self, state: EnglishState) -> MicroPerKwh:
        """The reserve (0 where hidden) until a bid leads, then the leading bid + the increment."""
        if state.leader is None and state.terms.hide_reserve:
            return UNDISCLOSED
        return self._needed(state)

    def _needed(self, state: EnglishState) -> MicroPerKwh:
        # At most what a Bid can carry: an ask beyond it would lock the lot while a higher price can still be bid.
        if state.leader is None:
            return state.terms.reserve
        step = state.terms.increment or LEAST_STEP
        needed = MicroPerKwh(state.leader.price + step)
        return needed if needed < HIGHEST_PRICE else HIGHEST_PRICE

    def bid(self, state: EnglishState, bid: Bid, now: MonotonicS) -> Taken | Refused:
        """A bid ≥ the ask leads, the leader's own too; refused, the leader's earlier one stands. Raises BidError."""
        require_lawful(bid, state.terms.energy)
        if bid.price < state.terms.reserve:
            return Refused(Refusal.BELOW_RESERVE, self.ask(state))
        leader = state.leader
        if leader is None:
            return Taken(EnglishState(state.terms, bid, now, now))
        # The second test is for a leader at the highest price: of equal prices the earlier stays.
        needed = self._needed(state)
        if bid.price < needed or bid.price <= leader.price:
            return Refused(_OUTBID, needed)
        displaced = leader if leader.bidder != bid.bidder else None
        return Taken(EnglishState(state.terms, bid, state.first_s, now), displaced)

    def closes_at(self, state: EnglishState) -> MonotonicS | None:
        """`closing_s` after the last better bid, at most `max_s` after the first."""
        if state.leader is None:
            return None
        terms = state.terms
        return MonotonicS(min(state.last_s + terms.closing_s, state.first_s + terms.max_s))

    def capped(self, state: EnglishState) -> bool:
        """Whether `max_s` ends it."""
        return state.leader is not None and state.first_s + state.terms.max_s < state.last_s + state.terms.closing_s
