"""The ascending auction: who leads, what the ask is, when it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etp.units import MonotonicS
from market.auction import HIGHEST_PRICE, Refusal, Refused, Taken
from market.english import English
from tests.market.naive import INCREMENT, RESERVE, TERMS, histories, ladder, offer, play

ENGLISH = English()
START = MonotonicS(0.0)


def led_by(bid, terms=TERMS, now=START):
    """A lot whose first bid this is."""
    return ENGLISH.bid(ENGLISH.open(terms), bid, now).state


@given(histories())
def test_against_its_twin(steps):
    """After each step of a history: the verdict, its ask, who is displaced, the leader and the instant of the close."""
    _, verdicts = play(ENGLISH, steps)
    for count, (step, verdict) in enumerate(zip(steps, verdicts, strict=True)):
        before, after = ladder(steps[:count]), ladder(steps[: count + 1])
        state, _ = play(ENGLISH, steps[: count + 1])
        assert ENGLISH.bids(state) == tuple(bid for bid, _ in after.led[-1:])
        assert (ENGLISH.ask(state), ENGLISH.closes_at(state)) == (after.ask, after.closes_at)
        if step.bid is None:
            continue
        if len(after.led) > len(before.led):
            leader = before.led[-1][0] if before.led else None
            assert isinstance(verdict, Taken)
            assert verdict.displaced == (leader if leader and leader.bidder != step.bidder else None)
        else:
            why = Refusal.BELOW_RESERVE if step.bid.price < RESERVE else Refusal.OUTBID
            assert verdict == Refused(why, before.ask)


@given(histories())
def test_the_final_price_is_the_last_leaders(steps):
    """The winner pays its own bid, which no bid of the history that was judged before the close exceeds by the increment."""
    closing = ENGLISH.close(play(ENGLISH, steps)[0], MonotonicS(99.0))
    led = [bid for bid, _ in ladder(steps).led]
    assert [(award.bid, award.energy, award.paid) for award in closing.awards] == [
        (bid, bid.energy, bid.price) for bid in led[-1:]
    ]
    prices = [step.bid.price for step in steps if step.bid]
    assert all(max(prices) < award.paid + INCREMENT for award in closing.awards)
    assert closing.price_setter == (led[-1] if led else None)


def test_a_bid_at_the_ask_leads_and_one_below_does_not():
    """The ask is inclusive; the refusal says it."""
    state = led_by(offer(1, 8))
    assert ENGLISH.bid(state, offer(2, 9), START) == Refused(Refusal.OUTBID, 10)
    taken = ENGLISH.bid(state, offer(2, 10), START)
    assert (taken.displaced, ENGLISH.ask(taken.state)) == (offer(1, 8), 12)


def test_the_leader_goes_only_upwards():
    """Its bid below the ask is refused and the leading one stands; at the ask it leads anew, and displaces nobody."""
    state = led_by(offer(1, 8))
    for price, why in ((RESERVE - 1, Refusal.BELOW_RESERVE), (RESERVE, Refusal.OUTBID), (9, Refusal.OUTBID)):
        assert ENGLISH.bid(state, offer(1, price), START) == Refused(why, 10)
    taken = ENGLISH.bid(state, offer(1, 10, 3), MonotonicS(0.5))
    assert (taken.displaced, ENGLISH.bids(taken.state)) == (None, (offer(1, 10, 3),))
    assert ENGLISH.closes_at(taken.state) == 1.5


def test_a_leading_bid_binds():
    """Withdrawing changes nothing."""
    state = led_by(offer(1, 8))
    assert ENGLISH.withdraw(state, 1) is state


def test_a_hidden_reserve_is_public_once_a_bid_leads():
    """From then on the ask is told, to who is below the reserve too."""
    state = led_by(offer(1, 8), TERMS._replace(hide_reserve=True))
    assert ENGLISH.ask(state) == 10
    assert ENGLISH.bid(state, offer(2, 1), START) == Refused(Refusal.BELOW_RESERVE, 10)


def test_refused_bids_do_not_prolong_the_lot():
    """Only a better bid moves the close."""
    state = led_by(offer(1, 8))
    assert isinstance(ENGLISH.bid(state, offer(2, 9), MonotonicS(0.9)), Refused)
    assert ENGLISH.closes_at(state) == 1.0


def test_the_longest_duration_caps_a_lot():
    """The close follows the last better bid, at most `max_s` after the first; only then the lot counts as capped."""
    state = led_by(offer(1, RESERVE))
    for index, (second, closes, capped) in enumerate([(0.9, 1.9, False), (2.0, 3.0, False), (2.7, 3.0, True)], 1):
        state = ENGLISH.bid(state, offer(1 + index, RESERVE + 2 * index), MonotonicS(second)).state
        assert (ENGLISH.closes_at(state), ENGLISH.capped(state)) == (closes, capped)


def test_without_an_increment_the_least_step_counts():
    """Of equal prices the earlier stays, so the ask that is told is 1 µ above the leader: a bid ≥ ask always leads."""
    state = led_by(offer(1, 8), TERMS._replace(increment=0))
    assert ENGLISH.ask(state) == 9
    assert ENGLISH.bid(state, offer(2, 8), START) == Refused(Refusal.OUTBID, 9)
    assert isinstance(ENGLISH.bid(state, offer(2, 9), START), Taken)


@pytest.mark.parametrize("below", [1, INCREMENT - 1, INCREMENT, INCREMENT + 1])
def test_near_the_highest_price_the_ask_stays_on_the_wire(below):
    """Less than an increment from the end of the range the ask is its end, and a bid there still leads."""
    state = led_by(offer(1, HIGHEST_PRICE - below))
    assert ENGLISH.ask(state) == min(HIGHEST_PRICE, HIGHEST_PRICE - below + INCREMENT)
    assert isinstance(ENGLISH.bid(state, offer(2, HIGHEST_PRICE), START), Taken)


def test_at_the_highest_price_the_first_stays():
    """Nothing dearer can be bid, and of equal prices the earlier wins."""
    state = led_by(offer(1, HIGHEST_PRICE))
    assert ENGLISH.bid(state, offer(2, HIGHEST_PRICE), START) == Refused(Refusal.OUTBID, HIGHEST_PRICE)
    assert ENGLISH.bid(state, offer(1, HIGHEST_PRICE), START) == Refused(Refusal.OUTBID, HIGHEST_PRICE)


@given(st.lists(st.integers(RESERVE, 40), min_size=1, max_size=4), st.randoms())
def test_bidders_who_raise_to_their_values_make_the_vickrey_price(values, rng):
    """Within one increment the highest value wins, at about the second-highest: what the theory says of it."""
    state, wishes = ENGLISH.open(TERMS), dict(enumerate(values, 1))
    while True:
        able = [who for who in wishes if wishes[who] >= ENGLISH.ask(state) and ENGLISH.live(state, who) is None]
        if not able:
            break
        state = ENGLISH.bid(state, offer(rng.choice(able), ENGLISH.ask(state)), START).state
    (award,) = ENGLISH.close(state, MonotonicS(1.0)).awards
    second = max([RESERVE, *sorted(values)[:-1]])
    assert wishes[award.bid.bidder] > max(values) - INCREMENT
    assert second - INCREMENT < award.paid <= second + INCREMENT
