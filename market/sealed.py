"""Sealed auctions: bids at or above the reserve take part, unseen, until the close; then one rule picks and prices.

*first-price*: the best bid pays its bid (Krishna, Auction Theory, §2.3: bidders shade). *vickrey*: the best bid pays the
second-best or the reserve (Vickrey 1961): truthful within one lot, not over several, and it trusts the seller's word on the
price-setting bid. *uniform*: the multi-unit version (Krishna, ch. 12–13): truthful for bidders who want one unit in one
lot; who wants more gains by asking for less, and the seller's word is trusted likewise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from etp.units import DeviceId, MicroPerKwh, MonotonicS, Wh
from market.auction import Award, Bid, Closing, LotTerms, Refusal, Refused, Taken


class SealedState(NamedTuple):
    """The bids of a sealed lot, by bidder."""

    terms: LotTerms
    by_bidder: Mapping[DeviceId, Bid] = MappingProxyType({})
    first_s: MonotonicS | None = None


def _ranked(state: SealedState) -> list[Bid]:
    return sorted(state.by_bidder.values(), key=lambda bid: bid.rank)


def first_price(state: SealedState) -> Closing:
    """The best bid wins and pays its bid."""
    best, *losers = _ranked(state)
    return Closing((Award(best, best.energy, best.price),), tuple(losers), best)


def vickrey(state: SealedState) -> Closing:
    """The best bid wins and pays the higher of the second-best bid and the reserve."""
    best, *losers = _ranked(state)
    setter = losers[0] if losers and losers[0].price > state.terms.reserve else None
    paid = setter.price if setter else state.terms.reserve
    return Closing((Award(best, best.energy, paid),), tuple(losers), setter)


def uniform(state: SealedState) -> Closing:
    """Best prices first until the lot is full; all pay the best price left unserved, never below the reserve."""
    left = state.terms.energy
    filled: list[tuple[Bid, Wh]] = []
    ranked = _ranked(state)
    for bid in ranked:
        if left <= 0:
            break
        filled.append((bid, Wh(min(bid.energy, left))))
        left = Wh(left - filled[-1][1])
    losers = tuple(ranked[len(filled) :])
    setter = _marginal(filled, losers)
    if setter is not None and setter.price <= state.terms.reserve:
        setter = None
    paid = setter.price if setter else state.terms.reserve
    return Closing(tuple(Award(bid, energy, paid) for bid, energy in filled), losers, setter)


def _marginal(filled: list[tuple[Bid, Wh]], losers: tuple[Bid, ...]) -> Bid | None:
    """The best bid with energy left unserved: the marginal winner's own part counts unless it is the only winner."""
    last, energy = filled[-1]
    if energy < last.energy and len(filled) > 1:
        return last
    return losers[0] if losers else None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed mechanism with its rule."""

    name: str
    rule: Callable[[SealedState], Closing]
    divisible: bool = False
    sealed: bool = True
    immediate: bool = False

    def open(self, terms: LotTerms) -> SealedState:
        """No bids yet."""
        return SealedState(terms)

    def ask(self, state: SealedState) -> MicroPerKwh:
        """The reserve, which never moves."""
        return MicroPerKwh(0) if state.terms.hide_reserve else state.terms.reserve

    def bid(self, state: SealedState, bid: Bid, now: MonotonicS) -> Taken | Refused:
        """A bid ≥ the reserve takes part in place of its bidder's earlier one."""
        if bid.price < state.terms.reserve:
            return Refused(Refusal.BELOW_RESERVE)
        first_s = now if state.first_s is None else state.first_s
        return Taken(SealedState(state.terms, {**state.by_bidder, bid.bidder: bid}, first_s))

    def withdraw(self, state: SealedState, bidder: DeviceId) -> SealedState:
        """Without the bidder's bid; the time to the close starts anew with the next bid of an emptied lot."""
        left = {who: bid for who, bid in state.by_bidder.items() if who != bidder}
        return SealedState(state.terms, left, state.first_s if left else None)

    def bids(self, state: SealedState) -> tuple[Bid, ...]:
        """All that take part, best first."""
        return tuple(_ranked(state))

    def closes_at(self, state: SealedState) -> MonotonicS | None:
        """`closing_s` after the first bid."""
        return None if state.first_s is None else MonotonicS(state.first_s + state.terms.closing_s)

    def capped(self, state: SealedState) -> bool:  # noqa: ARG002 - one interface for all
        """Never: the close does not move."""
        return False

    def close(self, state: SealedState, now: MonotonicS) -> Closing:  # noqa: ARG002
        """The rule's winners and prices."""
        return self.rule(state) if state.by_bidder else Closing((), (), None)


@dataclass(frozen=True, slots=True)
class Immediate(Sealed):
    """first-above-reserve: the first bid ≥ the reserve wins at once, at its own price. The baseline; not an auction."""

    immediate: bool = True

    def closes_at(self, state: SealedState) -> MonotonicS | None:
        """With its first bid."""
        return state.first_s
