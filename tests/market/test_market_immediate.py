"""first-above-reserve: the first bid that is enough ends the lot."""

from hypothesis import given

from etp.units import MonotonicS
from market.auction import Refusal, Refused
from market.immediate import Immediate
from tests.market.naive import RESERVE, TERMS, histories, offer, play

IMMEDIATE = Immediate()


@given(histories())
def test_against_its_twin(steps):
    """The first bid ≥ the reserve of the whole history wins at its own price, when it came."""
    state, verdicts = play(IMMEDIATE, steps)
    enough = [step for step in steps if step.bid and step.bid.price >= RESERVE][:1]
    closing = IMMEDIATE.close(state, MonotonicS(99.0))
    assert [tuple(award) for award in closing.awards] == [(s.bid, s.bid.energy, s.bid.price) for s in enough]
    assert (closing.losers, closing.price_setter) == ((), enough[0].bid if enough else None)
    assert IMMEDIATE.closes_at(state) == (enough[0].now if enough else None)
    assert sum(verdict is not None and not isinstance(verdict, Refused) for verdict in verdicts) == len(enough)


def test_the_first_wins_not_the_best():
    """A dearer bid that comes later is too late, and the winner cannot leave."""
    state = IMMEDIATE.bid(IMMEDIATE.open(TERMS), offer(2, 6), MonotonicS(1.0)).state
    assert IMMEDIATE.bid(state, offer(1, 12), MonotonicS(1.0)) == Refused(Refusal.OUTBID, RESERVE)
    assert IMMEDIATE.withdraw(state, 2) is state
    assert IMMEDIATE.close(state, MonotonicS(1.0)).awards[0].bid == offer(2, 6)


def test_it_closes_with_its_first_bid():
    """At the instant of that bid, and it is never capped."""
    state = IMMEDIATE.bid(IMMEDIATE.open(TERMS), offer(1, 6), MonotonicS(2.0)).state
    assert (IMMEDIATE.closes_at(state), IMMEDIATE.capped(state)) == (2.0, False)
