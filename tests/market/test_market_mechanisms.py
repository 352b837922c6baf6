"""The mechanisms against naive twins that replay the whole history of bids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etp.units import MonotonicS
from market.auction import Bid, LotTerms, Refused
from market.mechanisms import MECHANISMS

TERMS = LotTerms(energy=10, reserve=5, increment=2, closing_s=1.0, max_s=3.0, hide_reserve=False)
STEPS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 15), st.integers(1, 12), st.booleans()), max_size=14)


def replay(mechanism, steps, *, divisible=True):
    """Play (bidder, price, energy, withdraws) through the real thing; returns the state and what took part."""
    state, history = mechanism.open(TERMS), []
    for arrival, (bidder, price, energy, withdraws) in enumerate(steps):
        if withdraws:
            state = mechanism.withdraw(state, bidder)
            history.append((bidder, None))
            continue
        bid = Bid(bidder, arrival, price, energy if divisible else 10, arrival)
        verdict = mechanism.bid(state, bid, MonotonicS(0.0))
        if not isinstance(verdict, Refused):
            state = verdict.state
            history.append((bidder, bid))
    return state, history


def standing(history):
    """Who takes part in a sealed lot: each bidder's last word."""
    return [bid for bid in dict(history).values() if bid is not None]


def best(bids):
    """The best bid, by looking at each pair."""
    return next(b for b in bids if all((b.price, -b.arrival) >= (other.price, -other.arrival) for other in bids))


@given(STEPS)
def test_first_price_against_its_twin(steps):
    """The best standing bid wins its energy and pays its bid."""
    mechanism = MECHANISMS["first-price"]
    state, history = replay(mechanism, steps)
    bids, closing = standing(history), mechanism.close(state, MonotonicS(1.0))
    if not bids:
        assert closing.awards == ()
        return
    winner = best(bids)
    assert [tuple(award) for award in closing.awards] == [(winner, winner.energy, winner.price)]
    assert set(closing.losers) == set(bids) - {winner}


@given(STEPS)
def test_vickrey_against_its_twin(steps):
    """The winner pays the best price among the others and the reserve."""
    mechanism = MECHANISMS["vickrey"]
    state, history = replay(mechanism, steps)
    bids, closing = standing(history), mechanism.close(state, MonotonicS(1.0))
    if bids:
        winner = best(bids)
        others = [bid.price for bid in bids if bid != winner]
        assert [tuple(award) for award in closing.awards] == [(winner, winner.energy, max([5, *others]))]


@given(STEPS)
def test_uniform_against_a_twin_that_sells_each_wh(steps):
    """Sell Wh by Wh to the best price left; all pay the best unserved Wh's price (not the only winner's own) or the reserve."""
    mechanism = MECHANISMS["uniform"]
    state, history = replay(mechanism, steps)
    closing = mechanism.close(state, MonotonicS(1.0))
    units = [(-bid.price, bid.arrival, bid) for bid in standing(history) for _ in range(bid.energy)]
    units.sort(key=lambda unit: unit[:2])
    sold, left = units[:10], units[10:]
    winners = {bid for *_, bid in sold}
    unserved = [bid.price for *_, bid in left if len(winners) > 1 or bid not in winners]
    price = max([5, *unserved])
    assert {(award.bid, award.energy) for award in closing.awards} == {
        (bid, sum(1 for *_, other in sold if other == bid)) for bid in winners
    }
    assert all(award.paid == price for award in closing.awards)
    assert sum(award.energy for award in closing.awards) <= 10


@given(STEPS)
def test_english_against_its_twin(steps):
    """The leader is whoever last beat the ask; each accepted bid is at least the one before plus the increment."""
    mechanism = MECHANISMS["english"]
    state, history = replay(mechanism, [step for step in steps if not step[3]])
    accepted = [bid for _, bid in history]
    assert all(later.price >= earlier.price + 2 for earlier, later in zip(accepted, accepted[1:], strict=False))
    assert mechanism.bids(state) == tuple(accepted[-1:])
    assert mechanism.ask(state) == (accepted[-1].price + 2 if accepted else 5)
    awards = mechanism.close(state, MonotonicS(1.0)).awards
    assert [(award.bid, award.paid) for award in awards] == [(bid, bid.price) for bid in accepted[-1:]]


def test_english_times():
    """The close follows the last better bid, at most max_s after the first; then the lot counts as capped."""
    mechanism = MECHANISMS["english"]
    state = mechanism.open(TERMS)
    assert mechanism.closes_at(state) is None
    for index, second in enumerate((0.0, 0.9, 1.8, 2.7)):
        state = mechanism.bid(state, Bid(1, index, 5 + 2 * index, 1, index), MonotonicS(second)).state
        assert mechanism.capped(state) is (second > 2.0)
    assert mechanism.closes_at(state) == 3.0
    assert mechanism.withdraw(state, 1) == state


def test_english_at_the_highest_price():
    """At the most that a frame can carry, the first bid stays."""
    mechanism = MECHANISMS["english"]
    state = mechanism.bid(mechanism.open(TERMS), Bid(1, 1, 100_000_000, 1, 1), MonotonicS(0.0)).state
    assert mechanism.ask(state) == 100_000_000
    assert isinstance(mechanism.bid(state, Bid(2, 2, 100_000_000, 1, 2), MonotonicS(0.1)), Refused)


@pytest.mark.parametrize("name", MECHANISMS)
def test_hidden_reserve_and_name(name):
    """With a hidden reserve the ask is 0 before a bid; the table's names are the mechanisms' own."""
    mechanism = MECHANISMS[name]
    assert mechanism.name == name
    assert mechanism.ask(mechanism.open(TERMS._replace(hide_reserve=True))) == 0
    assert mechanism.ask(mechanism.open(TERMS)) == 5
    assert isinstance(mechanism.bid(mechanism.open(TERMS), Bid(1, 1, 4, 1, 1), MonotonicS(0.0)), Refused)
    assert mechanism.capped(mechanism.open(TERMS)) is False


def test_sealed_times():
    """A sealed lot closes closing_s after its first bid; emptied, the clock starts anew; the baseline closes at once."""
    sealed, immediate = MECHANISMS["vickrey"], MECHANISMS["first-above-reserve"]
    bid = Bid(1, 1, 6, 1, 1)
    state = sealed.bid(sealed.open(TERMS), bid, MonotonicS(2.0)).state
    assert sealed.closes_at(state) == 3.0
    assert sealed.closes_at(sealed.withdraw(state, 1)) is None
    assert immediate.closes_at(immediate.bid(immediate.open(TERMS), bid, MonotonicS(2.0)).state) == 2.0
