"""The ascending auction: bids are public, each must beat the ask, the last one standing wins at its own price.

With private values the bidder with the highest value wins at about the second-highest one (Vickrey 1961;
Krishna, Auction Theory, ch. 2), within one increment. State is one bid, so a bid costs the same however many came before.
"""

from typing import NamedTuple

from etp.units import DeviceId, MicroPerKwh, MonotonicS
from market.auction import Award, Bid, Closing, LotTerms, Refusal, Refused, Taken

HIGHEST_PRICE = MicroPerKwh(100_000_000)
"""What a frame can carry (10,000 c/kWh): the ask never rises above it, so at it the first bid to come stays."""


class EnglishState(NamedTuple):
    """Leader and times of an english lot."""

    terms: LotTerms
    leader: Bid | None = None
    first_s: MonotonicS = MonotonicS(0.0)
    last_s: MonotonicS = MonotonicS(0.0)


class English:
    """The leader wins at its own price; a bid that leads binds."""

    name = "english"
    sealed = False
    divisible = False
    immediate = False

    def open(self, terms: LotTerms) -> EnglishState:
        """No leader yet."""
        return EnglishState(terms)

    def ask(self, state: EnglishState) -> MicroPerKwh:
        """The reserve, then the leading bid + the increment."""
        if state.leader is None and state.terms.hide_reserve:
            return MicroPerKwh(0)
        return self._needed(state)

    def _needed(self, state: EnglishState) -> MicroPerKwh:
        if state.leader is None:
            return state.terms.reserve
        return MicroPerKwh(min(state.leader.price + state.terms.increment, HIGHEST_PRICE))

    def bid(self, state: EnglishState, bid: Bid, now: MonotonicS) -> Taken | Refused:
        """A bid ≥ the ask leads; what does not exceed the leader never does, whatever the increment."""
        if bid.price < state.terms.reserve:
            return Refused(Refusal.BELOW_RESERVE)
        leader = state.leader
        if leader is None:
            return Taken(EnglishState(state.terms, bid, now, now))
        if bid.price < self._needed(state) or bid.price <= leader.price:
            return Refused(Refusal.OUTBID)
        return Taken(EnglishState(state.terms, bid, state.first_s, now), leader)

    def withdraw(self, state: EnglishState, bidder: DeviceId) -> EnglishState:  # noqa: ARG002 - one interface for all
        """A leading bid binds."""
        return state

    def bids(self, state: EnglishState) -> tuple[Bid, ...]:
        """The leader alone: whoever is displaced is free."""
        return () if state.leader is None else (state.leader,)

    def closes_at(self, state: EnglishState) -> MonotonicS | None:
        """`closing_s` after the last better bid, at most `max_s` after the first."""
        if state.leader is None:
            return None
        terms = state.terms
        return MonotonicS(min(state.last_s + terms.closing_s, state.first_s + terms.max_s))

    def capped(self, state: EnglishState) -> bool:
        """Whether `max_s` ends it."""
        return state.leader is not None and state.first_s + state.terms.max_s < state.last_s + state.terms.closing_s

    def close(self, state: EnglishState, now: MonotonicS) -> Closing:  # noqa: ARG002
        """The leader wins what it asked for, at its own price."""
        leader = state.leader
        if leader is None:
            return Closing((), (), None)
        return Closing((Award(leader, leader.energy, leader.price),), (), leader)
