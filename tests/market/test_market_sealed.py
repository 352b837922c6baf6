"""The sealed auctions: winners and prices against brute force, and what theory says of bidding one's value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etp.units import MonotonicS
from market.auction import Refused
from market.mechanisms import MECHANISMS
from tests.market import naive
from tests.market.naive import LOT_WH, RESERVE, TERMS, Step, histories, offer, play, standing

TWINS = {"first-price": naive.first_price, "vickrey": naive.vickrey, "uniform": naive.uniform}
every = pytest.mark.parametrize("name", TWINS)
one_winner = pytest.mark.parametrize("name", ["first-price", "vickrey"])


def closed(name, bids):
    """The close of a lot with these bids."""
    mechanism = MECHANISMS[name]
    state, _ = play(mechanism, [Step(bid.bidder, 0.0, bid) for bid in bids])
    return mechanism.close(state, MonotonicS(1.0))


def paid(name, bids):
    """(bidder, Wh, price) of each award, best bid first."""
    return [(award.bid.bidder, award.energy, award.paid) for award in closed(name, bids).awards]


def agrees(name, steps):
    """Whether the mechanism and its twin see the same winners, prices, losers, participants and times."""
    mechanism = MECHANISMS[name]
    state, verdicts = play(mechanism, steps)
    closing, twin = mechanism.close(state, MonotonicS(99.0)), TWINS[name](standing(steps))
    first = naive.first_instant(steps)
    assert {award.bid: (award.energy, award.paid) for award in closing.awards} == twin.awards
    assert (set(closing.losers), set(mechanism.bids(state))) == (twin.losers, set(standing(steps)))
    assert mechanism.closes_at(state) == (None if first is None else first + TERMS.closing_s)
    for step, verdict in zip(steps, verdicts, strict=True):
        assert step.bid is None or isinstance(verdict, Refused) == (step.bid.price < RESERVE)
    return True


@one_winner
@given(steps=histories())
def test_one_winner_against_its_twin(name, steps):
    """First-price and vickrey find the winner, price and losers that brute force finds."""
    assert agrees(name, steps)


@given(histories(divisible=True))
def test_uniform_against_a_twin_that_sells_each_wh(steps):
    """Uniform divides and prices the lot as selling it Wh by Wh does."""
    assert agrees("uniform", steps)


@every
@given(steps=histories(withdrawals=False), data=st.data())
def test_only_ties_know_the_order(name, steps, data):
    """The same bids judged in another order end alike; with all prices different, so do other arrivals."""
    bids = standing(steps)
    shuffled = data.draw(st.permutations(bids))
    assert closed(name, shuffled) == closed(name, bids)
    if len({bid.price for bid in bids}) == len(bids):
        late = [bid._replace(arrival=index) for index, bid in enumerate(shuffled)]
        assert paid(name, late) == paid(name, bids)


@every
def test_equal_prices_go_to_the_earlier_then_to_the_lower_id(name):
    """Arrival first, then device id; the loser's equal price is what vickrey and uniform charge."""
    assert paid(name, [offer(1, 9, arrival=2), offer(2, 9, arrival=1)]) == [(2, LOT_WH, 9)]
    assert paid(name, [offer(2, 9, arrival=1), offer(1, 9, arrival=1)]) == [(1, LOT_WH, 9)]


@every
def test_a_new_bid_replaces_the_old_one(name):
    """Downwards too, and with a new arrival: the tie goes to the other."""
    bids = [offer(1, 12, arrival=1), offer(2, 9, arrival=2), offer(1, 9, arrival=3)]
    assert paid(name, bids) == [(2, LOT_WH, 9)]


@every
def test_a_refused_bid_leaves_the_old_one_to_the_desk(name):
    """Here it still takes part; withdrawn, it does not."""
    mechanism = MECHANISMS[name]
    state, _ = play(mechanism, [Step(1, 0.0, offer(1, 9))])
    assert isinstance(mechanism.bid(state, offer(1, RESERVE - 1), MonotonicS(0.1)), Refused)
    assert mechanism.live(state, 1) == offer(1, 9)
    assert mechanism.bids(mechanism.withdraw(state, 1)) == ()


@every
def test_the_ask_never_moves(name):
    """It is the reserve whatever is bid, or 0 where that is hidden."""
    mechanism = MECHANISMS[name]
    for hide, ask in ((False, RESERVE), (True, 0)):
        state, _ = play(mechanism, [Step(1, 0.0, offer(1, 12))], TERMS._replace(hide_reserve=hide))
        assert mechanism.ask(state) == ask


@every
def test_times(name):
    """The lot closes `closing_s` after its first bid; emptied, the time starts anew; it is never capped."""
    mechanism = MECHANISMS[name]
    state, _ = play(mechanism, [Step(1, 2.0, offer(1, 6)), Step(2, 2.9, offer(2, 12))])
    assert (mechanism.closes_at(state), mechanism.capped(state)) == (3.0, False)
    assert mechanism.closes_at(mechanism.withdraw(state, 1)) == 3.0
    emptied = mechanism.withdraw(mechanism.withdraw(state, 1), 2)
    assert mechanism.closes_at(emptied) is None
    assert mechanism.closes_at(mechanism.bid(emptied, offer(3, 6), MonotonicS(5.0)).state) == 6.0


def test_prices_of_one_winner():
    """10 against 8 at a reserve of 5: 10 or 8; alone, 10 or 5. The winner gets what it asked for, not the lot."""
    both, alone = [offer(1, 10, 4), offer(2, 8, 9)], [offer(1, 10, 4)]
    assert (paid("first-price", both), paid("vickrey", both)) == ([(1, 4, 10)], [(1, 4, 8)])
    assert (paid("first-price", alone), paid("vickrey", alone)) == ([(1, 4, 10)], [(1, 4, 5)])


@pytest.mark.parametrize(
    ("name", "bids", "setter"),
    [
        ("first-price", [offer(1, 10), offer(2, 8)], offer(1, 10)),
        ("vickrey", [offer(1, 10), offer(2, 8)], offer(2, 8)),
        ("vickrey", [offer(1, 10), offer(2, RESERVE)], None),
        ("uniform", [offer(1, 10, 6), offer(2, 8, 6)], offer(2, 8, 6)),
        ("uniform", [offer(1, 10, 6), offer(2, RESERVE, 6)], None),
    ],
)
def test_who_set_the_price(name, bids, setter):
    """The bid whose price is paid; none where the reserve is."""
    assert closed(name, bids).price_setter == setter


@pytest.mark.parametrize(
    ("bids", "awards"),
    [
        ([offer(1, 10, 4), offer(2, 8, 5)], [(1, 4, 5), (2, 5, 5)]),  # all served: the reserve
        ([offer(1, 10, 4), offer(2, 8, 6)], [(1, 4, 5), (2, 6, 5)]),  # full to the Wh, nobody left
        ([offer(1, 10, 4), offer(2, 8, 6), offer(3, 7, 1)], [(1, 4, 7), (2, 6, 7)]),  # the best loser
        ([offer(1, 10, 4), offer(2, 8, 7), offer(3, 7, 1)], [(1, 4, 8), (2, 6, 8)]),  # the marginal winner's own rest
        ([offer(1, 10, 14)], [(1, 10, 5)]),  # the only winner's rest does not count
        ([offer(1, 10, 14), offer(2, 8, 1)], [(1, 10, 8)]),  # but a loser does
        ([offer(1, 10, 9), offer(2, 8, 5)], [(1, 9, 8), (2, 1, 8)]),  # a part of one Wh
    ],
)
def test_uniform_prices(bids, awards):
    """Each clause of the rule by one small lot of 10 Wh at a reserve of 5."""
    assert paid("uniform", bids) == awards


def gain(name, bids, value):
    """What bidder 1 gains: (value - price) x energy, for as much as it gets."""
    return sum((value - price) * energy for who, energy, price in paid(name, bids) if who == 1)


PRICES = st.integers(1, 14)


@given(value=PRICES, other=PRICES, rivals=st.lists(PRICES, max_size=3), energy=st.integers(1, LOT_WH))
def test_vickrey_is_truthful_within_one_lot(value, other, rivals, energy):
    """No price gains more than one's value, whatever the rivals bid."""
    bids = [offer(who, price) for who, price in enumerate(rivals, 2)]
    truth = gain("vickrey", [*bids, offer(1, value, energy)], value)
    assert truth >= max(0, gain("vickrey", [*bids, offer(1, other, energy)], value))


@pytest.mark.parametrize("unit", [1, 2, 5, LOT_WH])
@given(value=PRICES, other=PRICES, rivals=st.lists(PRICES, max_size=12))
def test_uniform_is_truthful_where_all_want_one_unit(unit, value, other, rivals):
    """One and the same amount each, the lot a whole number of them: no price gains more than one's value."""
    bids = [offer(who, price, unit) for who, price in enumerate(rivals, 2)]
    truth = gain("uniform", [*bids, offer(1, value, unit)], value)
    assert truth >= max(0, gain("uniform", [*bids, offer(1, other, unit)], value))


@given(st.lists(PRICES, max_size=4))
def test_uniform_over_whole_lots_is_vickrey(prices):
    """Where all want the whole lot, the two rules are one."""
    bids = [offer(who, price) for who, price in enumerate(prices, 1)]
    assert closed("uniform", bids) == closed("vickrey", bids)


def test_uniform_is_not_truthful_in_general():
    """Value 12 for 10 Wh against a rival's 10 for 4: asking for 6, or bidding 6, gains more than the truth."""
    rival = offer(2, 10, 4)
    assert gain("uniform", [rival, offer(1, 12, 10)], 12) == 20  # all of it, at the rival's 10
    assert gain("uniform", [rival, offer(1, 12, 6)], 12) == 42  # six, at the reserve of 5
    assert gain("uniform", [rival, offer(1, 6, 10)], 12) == 36  # six, at its own 6


def test_first_price_is_not_truthful():
    """Bidding one's value gains nothing; a little above the rival's, something."""
    assert gain("first-price", [offer(2, 8), offer(1, 12)], 12) == 0
    assert gain("first-price", [offer(2, 8), offer(1, 9)], 12) == 30
