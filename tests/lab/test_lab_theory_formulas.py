"""What theory is said to say: formulas against integrals and closed forms, predictions against draws worked out by hand."""

import random
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import quad

from aggregator_node.view import LotView
from etp.units import MicroPerKwh
from lab.theory.equilibrium import Equilibrium, equilibrium_bid
from lab.theory.expected import deviation, revenue
from lab.theory.model import BEST_RESERVE, INCREMENT, NO_RESERVE, ONE, Ints, drawn
from lab.theory.predicted import compared

HALF = ONE // 2


def draws(*rows: list[int]) -> Ints:
    """Values or payments."""
    return np.array(rows, dtype=np.int64)


# -- the equilibrium of the first-price auction


@pytest.mark.parametrize("bidders", [2, 3, 7])
@pytest.mark.parametrize("reserve", [NO_RESERVE, MicroPerKwh(300_000)])
@pytest.mark.parametrize("value", [300_000, 500_000, 987_654])
def test_the_bid_is_the_expected_best_rival_value(bidders: int, reserve: MicroPerKwh, value: int) -> None:
    """b(v) = E[max(Y, r) | Y < v] of the highest of n − 1 uniform values, by numerical integration."""
    v, r = value / ONE, reserve / ONE

    def density(y: float) -> float:
        return (bidders - 1) * y ** (bidders - 2) / v ** (bidders - 1)

    above, _ = quad(lambda y: y * density(y), r, v)
    below, _ = quad(density, 0, r)
    bid = equilibrium_bid(MicroPerKwh(value), reserve=reserve, bidders=bidders)
    assert bid == pytest.approx((above + r * below) * ONE, abs=0.51)


def test_the_bid_is_rounded_half_to_even() -> None:
    """Two bidders, no reserve to speak of: half of the value."""
    bids = [equilibrium_bid(MicroPerKwh(value), reserve=MicroPerKwh(0), bidders=2) for value in (1, 2, 3, 5, 7)]
    assert bids == [0, 1, 2, 2, 4]


def test_alone_one_bids_the_reserve() -> None:
    """There is no rival whose value could matter; at the reserve itself there is nothing to shade."""
    assert equilibrium_bid(MicroPerKwh(900_000), reserve=MicroPerKwh(400_000), bidders=1) == 400_000
    assert equilibrium_bid(MicroPerKwh(400_000), reserve=MicroPerKwh(400_000), bidders=9) == 400_000


def test_the_strategy_reads_the_reserve_from_the_ask() -> None:
    """In a sealed lot the ask is the reserve and never moves."""
    strategy = Equilibrium(3)
    view = LotView(MicroPerKwh(600_000), MicroPerKwh(300_000))
    expected = Fraction(2 * 600_000**3 + 300_000**3, 3 * 600_000**2)
    assert strategy(view, random.Random(0)) == round(expected) == 425_000


@pytest.mark.parametrize(("value", "reserve", "bidders"), [(5, 6, 2), (5, -1, 2), (0, 0, 2), (5, 1, 0)])
def test_what_has_no_equilibrium_is_refused(value: int, reserve: int, bidders: int) -> None:
    """A value below the reserve does not bid."""
    with pytest.raises(ValueError, match="expected"):
        equilibrium_bid(MicroPerKwh(value), reserve=MicroPerKwh(reserve), bidders=bidders)


# -- the mean


@pytest.mark.parametrize("bidders", range(1, 11))
@pytest.mark.parametrize("reserve", [0.0, 0.3, 0.5, 0.9])
def test_revenue_of_one_lot_is_the_closed_form(bidders: int, reserve: float) -> None:
    """(n − 1)/(n + 1) + rⁿ · (1 − 2nr/(n + 1))."""
    n, r = bidders, reserve
    assert revenue(bidders=n, reserve=r) == pytest.approx((n - 1) / (n + 1) + r**n * (1 - 2 * n * r / (n + 1)))


def test_revenue_of_several_lots() -> None:
    """Without a reserve k of n units sell at the (k + 1)-th value, whose mean is (n − k)/(n + 1); to k or fewer for nothing."""
    assert revenue(bidders=7, reserve=0.0, lots=3) == pytest.approx(4 / 8)
    assert revenue(bidders=3, reserve=0.0, lots=3) == pytest.approx(0)
    # One bidder for two lots is one bidder for one lot, of twice the offer.
    assert revenue(bidders=1, reserve=0.5, lots=2) == pytest.approx(revenue(bidders=1, reserve=0.5) / 2)


@pytest.mark.parametrize("bidders", [1, 2, 3, 6])
@pytest.mark.parametrize("reserve", [1e-6, 0.5])
def test_how_much_revenue_varies(bidders: int, reserve: float) -> None:
    """The standard deviations, against draws of the same distribution; of the first price by integration, to the last digit."""
    values = -np.sort(-np.random.default_rng(1).random((200_000, bidders)), axis=1)
    padded = np.hstack([values, np.zeros((len(values), 3))])
    for mechanism, lots in (("vickrey", 1), ("uniform", 3)):
        sold = np.minimum((values >= reserve).sum(axis=1), lots)
        drawn_revenue = np.maximum(padded[:, lots], reserve) * sold / lots
        expected = deviation(mechanism, bidders=bidders, reserve=reserve, lots=lots)
        assert drawn_revenue.std() == pytest.approx(expected, rel=0.02, abs=1e-6)

    def bid(v: float) -> float:
        return ((bidders - 1) * v + reserve * (reserve / v) ** (bidders - 1)) / bidders

    square, _ = quad(lambda v: bid(v) ** 2 * bidders * v ** (bidders - 1), reserve, 1)
    mean, _ = quad(lambda v: bid(v) * bidders * v ** (bidders - 1), reserve, 1)
    assert deviation("first-price", bidders=bidders, reserve=reserve) == pytest.approx(
        (square - mean**2) ** 0.5, rel=1e-6
    )


# -- the draws


def test_draws_do_not_depend_on_who_asks_for_which_part() -> None:
    """Neither on how they are cut, nor on blocks of the random numbers."""
    whole = drawn(5, 3, (0, 2_500))
    assert np.array_equal(
        np.concatenate([drawn(5, 3, (0, 999)), drawn(5, 3, (999, 1_001)), drawn(5, 3, (1_001, 2_500))]), whole
    )
    assert whole.shape == (2_500, 3)
    assert whole.min() >= 1
    assert whole.max() <= ONE
    assert not np.array_equal(drawn(6, 3, (0, 10)), whole[:10])


# -- draw by draw


def off(mechanism: str, values: list[int], payments: list[int], reserve: int = HALF, lots: int = 1) -> bool:
    """Whether one draw is judged not to be what theory says."""
    return bool(compared(mechanism, draws(values), draws(payments), MicroPerKwh(reserve), lots).off[0])


def test_vickrey_pays_the_second_value_or_the_reserve() -> None:
    """To the µ, by the highest value, and only above the reserve."""
    assert not off("vickrey", [700_000, 900_000, 600_000], [0, 700_000, 0])
    assert not off("vickrey", [400_000, 900_000, 300_000], [0, HALF, 0])
    assert not off("vickrey", [400_000, 300_000, 499_999], [0, 0, 0])
    assert off("vickrey", [700_000, 900_000, 600_000], [0, 700_001, 0])
    assert off("vickrey", [700_000, 900_000, 600_000], [700_000, 0, 0])  # the wrong winner
    assert off("vickrey", [700_000, 900_000, 600_000], [0, 0, 0])  # unsold
    assert off("vickrey", [400_000, 300_000, 499_999], [0, 0, HALF])  # below the reserve
    assert off("vickrey", [700_000, 900_000, 600_000], [700_000, 700_000, 0])  # sold twice


def test_first_price_pays_its_equilibrium_bid() -> None:
    """To the rounding of one price."""
    bid = equilibrium_bid(MicroPerKwh(900_000), reserve=BEST_RESERVE, bidders=2)
    assert not off("first-price", [900_000, 700_000], [bid, 0])
    assert off("first-price", [900_000, 700_000], [bid + 1, 0])
    assert off("first-price", [900_000, 700_000], [0, bid])


def test_english_is_within_one_increment() -> None:
    """Of the second value, and the winner's value within one of the highest."""
    assert not off("english", [900_000, 700_000], [700_000 + INCREMENT, 0])
    assert not off("english", [900_000, 700_000], [700_000 - INCREMENT, 0])
    assert off("english", [900_000, 700_000], [700_001 + INCREMENT, 0])
    assert not off("english", [705_000, 700_000], [0, 700_000])
    assert off("english", [900_000, 700_000], [0, 700_000])


def test_uniform_sells_to_the_best_at_the_best_unserved_value() -> None:
    """All pay one price; where there is no unserved value it is the reserve."""
    values = [900_000, 600_000, 800_000, 700_000]
    assert not off("uniform", values, [600_000, 0, 600_000, 600_000], lots=3)
    assert off("uniform", values, [600_000, 0, 600_000, 0], lots=3)  # one unit unsold
    assert off("uniform", values, [600_000, 600_000, 600_000, 0], lots=3)  # the wrong winner
    assert off("uniform", values, [600_000, 0, 600_000, 590_000], lots=3)  # two prices
    assert not off("uniform", [900_000, 400_000], [HALF, 0], lots=3)


def test_what_is_compared_with_is_the_second_price() -> None:
    """Per lot offered, whichever mechanism is judged; nothing where nothing may be sold."""
    values, nothing = draws([900_000, 700_000], [400_000, 300_000]), draws([0, 0], [0, 0])
    for mechanism in ("vickrey", "first-price", "english"):
        assert compared(mechanism, values, nothing, BEST_RESERVE, 1).second_price.tolist() == [700_000, 0]
