"""Twins of the mechanisms that are slow and obviously right, and a way to play one history to both.

A twin keeps nothing but the history: each answer is worked out anew from all that happened. It shares only the vocabulary
(`Bid`, `LotTerms`) with what it checks: no rank, no state, no pricing.
"""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from etp.units import MonotonicS
from market.auction import Bid, LotTerms, Mechanism, Refused

LOT_WH, RESERVE, INCREMENT = 10, 5, 2
BIDDERS = (1, 2, 3, 4)
TERMS = LotTerms(energy=LOT_WH, reserve=RESERVE, increment=INCREMENT, closing_s=1.0, max_s=3.0, hide_reserve=False)


class Step(NamedTuple):
    """A Bid, or with `bid` None a withdrawal, at an instant."""

    bidder: int
    now: float
    bid: Bid | None


def offer(bidder: int, price: int, energy: int = LOT_WH, arrival: int | None = None) -> Bid:
    """A bid whose arrival, where it does not matter, follows its bidder."""
    return Bid(bidder, 100 + bidder, price, energy, bidder if arrival is None else arrival)


@st.composite
def histories(draw: Any, *, divisible: bool = False, withdrawals: bool = True) -> list[Step]:
    """Histories full of equal prices, equal arrivals, replacements and withdrawals, around a reserve of 5 and a lot of 10."""
    now, steps = 0.0, []
    for index in range(draw(st.integers(0, 14))):
        bidder = draw(st.sampled_from(BIDDERS))
        now += draw(st.sampled_from((0.0, 0.25, 0.5)))
        energy = draw(st.integers(1, LOT_WH + (4 if divisible else 0)))
        bid = Bid(bidder, index, draw(st.integers(3, 12)), energy, index // 2)
        steps.append(Step(bidder, now, None if withdrawals and draw(st.integers(0, 4)) == 0 else bid))
    return steps


def play(mechanism: Mechanism, steps: list[Step], terms: LotTerms = TERMS) -> tuple[Any, list[Any]]:
    """The state after a history, and the verdict on each bid (None for a withdrawal)."""
    state, verdicts = mechanism.open(terms), []
    for step in steps:
        if step.bid is None:
            state = mechanism.withdraw(state, step.bidder)
            verdicts.append(None)
            continue
        verdicts.append(mechanism.bid(state, step.bid, MonotonicS(step.now)))
        if not isinstance(verdicts[-1], Refused):
            state = verdicts[-1].state
    return state, verdicts


def beats(one: Bid, other: Bid) -> bool:
    """Dearer; or as dear and earlier; or as dear and early and of a lower device id."""
    if one.price != other.price:
        return one.price > other.price
    if one.arrival != other.arrival:
        return one.arrival < other.arrival
    return one.bidder < other.bidder


def best(bids: list[Bid]) -> Bid:
    """The one that no other beats."""
    (winner,) = [bid for bid in bids if not any(beats(other, bid) for other in bids)]
    return winner


def standing(steps: list[Step]) -> list[Bid]:
    """Who takes part in a sealed lot: each bidder's last word, of those that count."""
    found = []
    for bidder in BIDDERS:
        words = [s.bid for s in steps if s.bidder == bidder and (s.bid is None or s.bid.price >= RESERVE)]
        if words and words[-1] is not None:
            found.append(words[-1])
    return found


def first_instant(steps: list[Step]) -> float | None:
    """When the first bid came after the last moment at which a sealed lot had none."""
    first = None
    for count in range(len(steps) + 1):
        if not standing(steps[:count]):
            first = None
        elif first is None:
            first = steps[count - 1].now
    return first


class Outcome(NamedTuple):
    """What a twin says of a close."""

    awards: dict[Bid, tuple[int, int]]
    """bid → (Wh, paid)."""
    losers: set[Bid]


def first_price(bids: list[Bid]) -> Outcome:
    """The best bid wins and pays its bid."""
    if not bids:
        return Outcome({}, set())
    winner = best(bids)
    return Outcome({winner: (winner.energy, winner.price)}, set(bids) - {winner})


def vickrey(bids: list[Bid]) -> Outcome:
    """The winner pays what is best among the others' prices and the reserve."""
    if not bids:
        return Outcome({}, set())
    winner = best(bids)
    paid = max([RESERVE, *(bid.price for bid in bids if bid is not winner)])
    return Outcome({winner: (winner.energy, paid)}, set(bids) - {winner})


def uniform(bids: list[Bid]) -> Outcome:
    """Sell Wh by Wh to the best bid with a wish left; then look at the wishes left, but not at a single winner's."""
    wishes = {bid: bid.energy for bid in bids}
    sold = dict.fromkeys(bids, 0)
    for _ in range(LOT_WH):
        hungry = [bid for bid in bids if wishes[bid]]
        if hungry:
            wishes[best(hungry)] -= 1
            sold[best(hungry)] += 1
    winners = [bid for bid in bids if sold[bid]]
    unserved = [bid.price for bid in bids if wishes[bid] and winners != [bid]]
    paid = max([RESERVE, *unserved])
    return Outcome({bid: (sold[bid], paid) for bid in winners}, set(bids) - set(winners))


class Ladder(NamedTuple):
    """What an english history amounts to: each bid that led, with its instant."""

    led: list[tuple[Bid, float]]

    @property
    def ask(self) -> int:
        """Highest price so far + the increment, or the reserve."""
        return max((bid.price + INCREMENT for bid, _ in self.led), default=RESERVE)

    @property
    def closes_at(self) -> float | None:
        """Silence since the last, or the longest time since the first: what comes first."""
        return min(self.led[-1][1] + TERMS.closing_s, self.led[0][1] + TERMS.max_s) if self.led else None


def ladder(steps: list[Step]) -> Ladder:
    """Everybody who led, from the whole history."""
    led: list[tuple[Bid, float]] = []
    for step in steps:
        if step.bid is not None and step.bid.price >= Ladder(led).ask:
            led.append((step.bid, step.now))
    return Ladder(led)
