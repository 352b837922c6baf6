"""Sealed auctions: bids at or above the reserve take part, unseen, until the close; then one rule picks and prices.

Common to all (design §4): the lot closes `closing_s` after its first bid; the ask is the reserve and never moves; a bidder's
new bid replaces its old one and a bid may be withdrawn; losers learn that another won, and no price.

*first-price*: the best bid pays its bid. Not truthful: who bids its value gains nothing, so bidders shade, by how much
depends on what they believe of each other (Krishna, *Auction Theory*, §2.3).

*vickrey*: the best bid pays the higher of the second-best and the reserve. To bid one's value is best whatever the others
do, because no bid moves the price that its bidder pays (W. Vickrey, "Counterspeculation, auctions, and competitive
sealed tenders", 1961; Krishna, §2.2).

*uniform*: the lot is filled from the best price down; all pay the best price left unserved (Krishna, ch. 12). Truthful in
general it is **not**, only where every bidder wants one and the same amount, the lot is a whole number of them, and nobody
wants two (Vickrey 1961; where that amount is the lot it *is* the vickrey rule). Otherwise a bidder may gain by asking
for less, or by bidding less, because its own unserved part, or the rival that its demand leaves unserved, sets the price of
what it does get ("demand reduction": Krishna, ch. 13).

With independent private values of one distribution the first two, and the english auction, earn the seller the same on average
(revenue equivalence: Vickrey 1961; Myerson 1981). What the truth of vickrey and uniform rests on: *one* lot (over several
in a row a bidder gains by waiting for a cheaper one), and the *seller's word*, since nobody else sees the bid that set the
price: a seller could invent one just under the winner's. (The journal keeps the lot's digest of bids and the price-setting
one for a dispute; that does not prevent it.) All three rank by price per kWh, not by money: a small dear bid beats a
large one, and the rest of the lot is offered anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from etp.units import DeviceId, MicroPerKwh, MonotonicS, Wh
from market.auction import (
    UNDISCLOSED,
    UNSOLD,
    Award,
    Bid,
    Closing,
    LotTerms,
    Refusal,
    Refused,
    Taken,
    checked,
    require_lawful,
)

NO_BIDS: Final[Mapping[DeviceId, Bid]] = MappingProxyType({})


class SealedState(NamedTuple):
    """The bids of a sealed lot, by bidder: a mapping that is copied on each write, never changed."""

    terms: LotTerms
    by_bidder: Mapping[DeviceId, Bid] = NO_BIDS
    first_s: MonotonicS | None = None
    """When the first bid came since the lot was last without any."""


def _ranked(state: SealedState) -> list[Bid]:
    return sorted(state.by_bidder.values(), key=lambda bid: bid.rank)


def _price(state: SealedState, unserved: Bid | None) -> tuple[MicroPerKwh, Bid | None]:
    """The best unserved price or the reserve, whichever is higher, and the bid that set it (None: the reserve)."""
    if unserved is None or unserved.price <= state.terms.reserve:
        return state.terms.reserve, None
    return unserved.price, unserved


def first_price(state: SealedState) -> Closing:
    """The best bid wins what it asked for and pays its bid. At least one bid takes part."""
    best, *losers = _ranked(state)
    return Closing((Award(best, best.energy, best.price),), tuple(losers), best)


def vickrey(state: SealedState) -> Closing:
    """The best bid wins what it asked for and pays the second-best bid or the reserve. At least one bid takes part."""
    best, *losers = _ranked(state)
    paid, setter = _price(state, losers[0] if losers else None)
    return Closing((Award(best, best.energy, paid),), tuple(losers), setter)


def uniform(state: SealedState) -> Closing:
    """Best prices first until the lot is full; all pay the best price left unserved, never below the reserve.

    The marginal winner's part may be of any size: design §4 sets a least size for bids, none for awards.
    """
    left = state.terms.energy
    filled: list[tuple[Bid, Wh]] = []
    ranked = _ranked(state)
    for bid in ranked:
        if left <= 0:
            break
        filled.append((bid, Wh(min(bid.energy, left))))
        left = Wh(left - filled[-1][1])
    losers = tuple(ranked[len(filled) :])
    paid, setter = _price(state, _unserved(filled, losers))
    return Closing(tuple(Award(bid, energy, paid) for bid, energy in filled), losers, setter)


def _unserved(filled: list[tuple[Bid, Wh]], losers: tuple[Bid, ...]) -> Bid | None:
    """The best bid with energy left unserved; the marginal winner's own part counts unless it is the only winner."""
    last, energy = filled[-1]
    if energy < last.energy and len(filled) > 1:
        return last
    return losers[0] if losers else None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed mechanism with its rule, which is asked only about lots with a bid."""

    name: str
    rule: Callable[[SealedState], Closing]
    divisible: bool = False
    sealed: bool = True
    immediate: bool = False

    def open(self, terms: LotTerms) -> SealedState:
        """No bids yet. Raises TermsError."""
        return SealedState(checked(terms))

    def ask(self, state: SealedState) -> MicroPerKwh:
        """The reserve, which never moves; 0 where hidden, always."""
        return UNDISCLOSED if state.terms.hide_reserve else state.terms.reserve

    def bid(self, state: SealedState, bid: Bid, now: MonotonicS) -> Taken | Refused:
        """A bid ≥ the reserve takes part in place of its bidder's earlier one. Raises BidError.

        Refused, the earlier one still takes part here: the desk, whose Reject frees the bidder, withdraws it.
        """
        require_lawful(bid, None if self.divisible else state.terms.energy)
        if bid.price < state.terms.reserve:
            return Refused(Refusal.BELOW_RESERVE, self.ask(state))
        first_s = now if state.first_s is None else state.first_s
        return Taken(SealedState(state.terms, {**state.by_bidder, bid.bidder: bid}, first_s))

    def withdraw(self, state: SealedState, bidder: DeviceId) -> SealedState:
        """Without the bidder's bid; the time to the close starts anew with the next bid of an emptied lot."""
        if bidder not in state.by_bidder:
            return state
        left = {who: bid for who, bid in state.by_bidder.items() if who != bidder}
        return SealedState(state.terms, left, state.first_s if left else None)

    def live(self, state: SealedState, bidder: DeviceId) -> Bid | None:
        """The bidder's last bid that took part and was not withdrawn."""
        return state.by_bidder.get(bidder)

    def bids(self, state: SealedState) -> tuple[Bid, ...]:
        """All that take part, best first."""
        return tuple(_ranked(state))

    def closes_at(self, state: SealedState) -> MonotonicS | None:
        """`closing_s` after the first bid."""
        return None if state.first_s is None else MonotonicS(state.first_s + state.terms.closing_s)

    def capped(self, state: SealedState) -> bool:  # noqa: ARG002 - one interface for all
        """Never: the close does not move."""
        return False

    def close(self, state: SealedState, now: MonotonicS) -> Closing:  # noqa: ARG002 - one interface for all
        """The rule's winners and prices."""
        return self.rule(state) if state.by_bidder else UNSOLD
