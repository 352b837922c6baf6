"""What holds for each mechanism of the table: names, disclosure, one bid per bidder, conservation, purity."""

from copy import deepcopy

import pytest
from hypothesis import given

from etp.units import MonotonicS
from market.auction import UNSOLD, Refusal, Refused
from market.mechanisms import MECHANISMS
from tests.market.naive import BIDDERS, RESERVE, TERMS, histories, offer, play

every = pytest.mark.parametrize("name", MECHANISMS)
HIDDEN = TERMS._replace(hide_reserve=True)


def test_names_and_kinds():
    """The table holds the five of the command line, each under its own name, and says how each behaves."""
    kinds = {name: (m.sealed, m.divisible, m.immediate) for name, m in MECHANISMS.items()}
    assert kinds == {
        "english": (False, False, False),
        "first-price": (True, False, False),
        "vickrey": (True, False, False),
        "uniform": (True, True, False),
        "first-above-reserve": (False, False, True),
    }
    assert all(mechanism.name == name for name, mechanism in MECHANISMS.items())


@every
def test_a_lot_without_bids(name):
    """It never closes by itself; closed, it sells nothing."""
    mechanism, state = MECHANISMS[name], MECHANISMS[name].open(TERMS)
    assert mechanism.ask(state) == RESERVE
    assert mechanism.bids(state) == ()
    assert mechanism.live(state, 1) is None
    assert mechanism.closes_at(state) is None
    assert mechanism.capped(state) is False
    assert mechanism.close(state, MonotonicS(9.0)) == UNSOLD
    assert mechanism.withdraw(state, 1) == state


@every
def test_below_the_reserve_is_always_below_reserve(name):
    """Before and after other bids, with the ask as it is disclosed."""
    mechanism = MECHANISMS[name]
    low = offer(1, RESERVE - 1)
    state = mechanism.open(TERMS)
    assert mechanism.bid(state, low, MonotonicS(0.0)) == Refused(Refusal.BELOW_RESERVE, RESERVE)
    state = mechanism.bid(state, offer(2, RESERVE), MonotonicS(0.0)).state
    verdict = mechanism.bid(state, low, MonotonicS(0.0))
    assert verdict == Refused(Refusal.BELOW_RESERVE, mechanism.ask(state))


@every
def test_a_hidden_reserve_is_in_no_ask(name):
    """Neither in the ask nor in a refusal, as long as no bid leads."""
    mechanism = MECHANISMS[name]
    state = mechanism.open(HIDDEN)
    assert mechanism.ask(state) == 0
    assert mechanism.bid(state, offer(1, RESERVE - 1), MonotonicS(0.0)) == Refused(Refusal.BELOW_RESERVE, 0)


@every
def test_a_bid_at_the_reserve_takes_part_and_wins_alone(name):
    """The reserve itself is enough, and is what is paid."""
    mechanism = MECHANISMS[name]
    bid = offer(1, RESERVE, 4)
    taken = mechanism.bid(mechanism.open(TERMS), bid, MonotonicS(7.0))
    assert (taken.displaced, mechanism.live(taken.state, 1), mechanism.live(taken.state, 2)) == (None, bid, None)
    closing = mechanism.close(taken.state, MonotonicS(8.0))
    assert [tuple(award) for award in closing.awards] == [(bid, 4, RESERVE)]
    assert closing.losers == ()


@every
@given(steps=histories())
def test_one_bid_per_bidder_and_all_accounted_for(name, steps):
    """Who takes part is either a winner or a loser, once; `live` and `bids` agree."""
    mechanism = MECHANISMS[name]
    state, _ = play(mechanism, steps)
    bids, closing = mechanism.bids(state), mechanism.close(state, MonotonicS(99.0))
    assert len({bid.bidder for bid in bids}) == len(bids)
    assert {mechanism.live(state, bidder) for bidder in BIDDERS} - {None} == set(bids)
    ended = [award.bid for award in closing.awards] + list(closing.losers)
    assert sorted(ended) == sorted(bids)
    assert (mechanism.closes_at(state) is None) == (not bids) == (not closing.awards)


@every
@given(steps=histories(divisible=True))
def test_energy_and_price_are_conserved(name, steps):
    """No award exceeds its bid, nor all together the lot; the price is between the reserve and the winner's bid."""
    mechanism = MECHANISMS[name]
    if not mechanism.divisible:
        steps = [step for step in steps if step.bid is None or step.bid.energy <= TERMS.energy]
    closing = mechanism.close(play(mechanism, steps)[0], MonotonicS(99.0))
    assert all(0 < award.energy <= award.bid.energy for award in closing.awards)
    assert sum(award.energy for award in closing.awards) <= TERMS.energy
    assert all(RESERVE <= award.paid <= award.bid.price for award in closing.awards)
    if closing.price_setter is not None:
        assert {award.paid for award in closing.awards} == {closing.price_setter.price}
    else:
        assert {award.paid for award in closing.awards} <= {RESERVE}


@every
@given(steps=histories())
def test_a_state_never_changes(name, steps):
    """Judging, withdrawing and closing leave the state they were given as it was, and a refusal makes no new one."""
    mechanism = MECHANISMS[name]
    state = mechanism.open(TERMS)
    for step in steps:
        before = (state.terms, mechanism.bids(state), mechanism.closes_at(state))
        copy = deepcopy(mechanism.bids(state))
        after = mechanism.withdraw(state, step.bidder) if step.bid is None else state
        verdict = mechanism.bid(state, step.bid, MonotonicS(step.now)) if step.bid else None
        mechanism.close(state, MonotonicS(step.now))
        assert (state.terms, mechanism.bids(state), mechanism.closes_at(state)) == before
        assert mechanism.bids(state) == copy
        state = after if verdict is None or isinstance(verdict, Refused) else verdict.state
