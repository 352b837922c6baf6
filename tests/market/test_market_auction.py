"""The vocabulary: what ranks first, and which terms and bids no mechanism lets in."""

import math

import pytest

from etp.frame import MAX_PRICE_CENTS
from etp.units import MonotonicS, price_from_wire
from market.auction import HIGHEST_PRICE, checked
from market.errors import BidError, MarketError, TermsError
from market.mechanisms import MECHANISMS
from tests.market.naive import TERMS, offer


def test_rank_breaks_ties_by_arrival_then_device():
    """Dearer first; of equal prices the earlier arrival; of equal arrivals the lower device id."""
    bids = [offer(3, 9, arrival=5), offer(2, 9, arrival=5), offer(9, 9, arrival=4), offer(8, 10, arrival=9)]
    assert [bid.bidder for bid in sorted(bids, key=lambda bid: bid.rank)] == [8, 9, 2, 3]


def test_highest_price_is_the_wires():
    """The ask is capped where the wire's price range ends."""
    assert price_from_wire(MAX_PRICE_CENTS) == HIGHEST_PRICE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("energy", 0),
        ("energy", -1),
        ("reserve", 0),
        ("reserve", HIGHEST_PRICE + 1),
        ("increment", -1),
        ("closing_s", -0.1),
        ("closing_s", math.nan),
        ("max_s", math.nan),
    ],
)
@pytest.mark.parametrize("name", MECHANISMS)
def test_unlawful_terms_open_no_lot(name, field, value):
    """The error names the field and the value."""
    with pytest.raises(TermsError, match=field) as raised:
        MECHANISMS[name].open(TERMS._replace(**{field: value}))
    assert (raised.value.field, isinstance(raised.value, MarketError)) == (field, True)


def test_terms_at_the_ends_of_their_ranges():
    """1 Wh, the reserve at either end, no increment and no time are lawful."""
    for reserve in (1, HIGHEST_PRICE):
        terms = TERMS._replace(energy=1, reserve=reserve, increment=0, closing_s=0.0, max_s=0.0)
        assert checked(terms) is terms


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize(("price", "energy"), [(9, 0), (9, -1), (0, 5), (HIGHEST_PRICE + 1, 5)])
def test_unlawful_bids_raise(name, price, energy):
    """A bid that the desk must have refused is an error, not a verdict."""
    mechanism = MECHANISMS[name]
    with pytest.raises(BidError):
        mechanism.bid(mechanism.open(TERMS), offer(1, price, energy), MonotonicS(0.0))


@pytest.mark.parametrize("name", MECHANISMS)
def test_more_than_the_lot_is_for_divisible_lots(name):
    """Only where a lot is divided may a bid ask for more than it holds; elsewhere it would sell what is not there."""
    mechanism, large = MECHANISMS[name], offer(1, 9, TERMS.energy + 1)
    if mechanism.divisible:
        state = mechanism.bid(mechanism.open(TERMS), large, MonotonicS(0.0)).state
        assert [award.energy for award in mechanism.close(state, MonotonicS(1.0)).awards] == [TERMS.energy]
    else:
        with pytest.raises(BidError, match=r"1\.\.10 Wh"):
            mechanism.bid(mechanism.open(TERMS), large, MonotonicS(0.0))
