"""Equilibrium limits against textbook formulas, against simulation, and against whoever bids otherwise."""

import random

import numpy as np
import pytest

from aggregator_node.strategy import STRATEGIES
from etp.units import DeviceId, MicroPerKwh, Wh
from lab.bidding import AUCTIONS, PLAYS, Knowledge, Play, own_value, patient, shaded
from lab.play import Rules, Table, UpTo, auction, sell, settled
from lab.tape import MOST_BUYERS, TapeLot
from lab.theory.equilibrium import equilibrium_bid
from market.mechanisms import MECHANISMS

LOW, HIGH = 85_000, 100_000


def known(*, others: int, lots: int = 1, last: float = 1.0, reserve: int = 1, low: int = LOW) -> Knowledge:
    """A lot whose values are uniform on [low, 100,000]."""
    return Knowledge(low, HIGH, MicroPerKwh(reserve), others, lots, last)


@pytest.mark.parametrize("buyers", [2, 3, 5, 10])
def test_first_price_without_a_reserve_in_the_range(buyers: int) -> None:
    """Lowest + (n − 1)/n × (v − lowest): Krishna §2.3."""
    value = MicroPerKwh(97_000)
    assert shaded(known(others=buyers - 1), value) == pytest.approx(LOW + (buyers - 1) / buyers * 12_000, abs=1)


@pytest.mark.parametrize("buyers", [1, 2, 3, 10])
@pytest.mark.parametrize("reserve", [20_000, 50_000, 79_000])
def test_first_price_with_a_reserve_in_the_range(buyers: int, reserve: int) -> None:
    """The exact bid in whole numbers of `lab.theory.equilibrium`, for values uniform from 0."""
    value = MicroPerKwh(80_000)
    exact = equilibrium_bid(value, reserve=MicroPerKwh(reserve), bidders=buyers)
    assert shaded(known(others=buyers - 1, reserve=reserve, low=0), value) == pytest.approx(exact, abs=2)


def test_alone_the_reserve_is_bid() -> None:
    """Nobody else could want it."""
    assert shaded(known(others=0, reserve=65_000), MicroPerKwh(99_000)) == 65_000
    assert patient(known(others=0, reserve=65_000), MicroPerKwh(99_000)) == 99_000


def test_enough_for_all_is_worth_the_reserve() -> None:
    """Two lots for two bidders: the next one goes at the reserve, so nobody pays more for this one."""
    two = known(others=1, lots=2, reserve=65_000)
    assert patient(two, MicroPerKwh(99_000)) == shaded(two, MicroPerKwh(99_000)) == 65_000


def test_a_small_rest_is_worth_little_patience() -> None:
    """With a rest of a tenth, losing means a tenth of the gain: v − (v − r) / 10."""
    found = patient(known(others=1, lots=2, last=0.1, reserve=65_000), MicroPerKwh(95_000))
    assert found == pytest.approx(95_000 - 3_000, abs=1)


@pytest.mark.parametrize(("others", "lots", "reserve"), [(3, 2, 1), (5, 3, 1), (5, 3, 91_000), (9, 5, 88_000)])
def test_expected_prices_by_simulation(others: int, lots: int, reserve: int) -> None:
    """First-price: the mean of the lots-th highest of the others, all below one's own, or the reserve."""
    value, rng = 98_000, np.random.default_rng(1)
    draws = np.sort(LOW + (value - LOW) * rng.random((60_000, others)), axis=1)[:, ::-1]
    mean = np.maximum(draws[:, lots - 1], reserve).mean()
    assert shaded(known(others=others, lots=lots, reserve=reserve), MicroPerKwh(value)) == pytest.approx(mean, abs=30)


def test_no_limit_is_above_the_value_or_below_the_reserve() -> None:
    """For whoever takes part, whatever the lot."""
    rng = random.Random(1)
    for _ in range(2000):
        reserve = rng.randint(1, 99_000)
        value = MicroPerKwh(rng.randint(max(reserve, LOW), HIGH))
        lot = known(others=rng.randint(0, 9), lots=rng.randint(1, 10), last=rng.uniform(0.01, 1), reserve=reserve)
        for limit in (own_value, shaded, patient):
            assert reserve <= limit(lot, value) <= value


def test_limits_rise_with_the_value() -> None:
    """So that the best value wins."""
    for lot in (known(others=4), known(others=4, lots=3, last=0.3), known(others=2, lots=2, reserve=90_000)):
        for limit in (shaded, patient):
            bids = [limit(lot, MicroPerKwh(value)) for value in range(90_000, HIGH, 500)]
            assert bids == sorted(bids)


def _lot(values: list[int], energy: int) -> TapeLot:
    near = (0.001,) * len(values)
    return TapeLot(0, 0.0, Wh(energy), 0.5, HIGH, LOW, tuple(map(MicroPerKwh, values)), near, near)


def _surplus(values: list[int], play: Play, buyers: int, factor: float) -> float:
    """What buyer 0 gains if it moves its limit by `factor` of the way from the lowest value, and nobody else does."""
    lot, rules, reserve = _lot(values, 840), Rules(play.name, buyers), 1
    mechanism, each, rng = MECHANISMS[play.mechanism], rules.wanted(lot.energy), random.Random(0)
    wants, left, gained = dict.fromkeys(range(rules.buyers), each), lot.energy, 0.0
    while left > 0 and wants:
        lots = -(-left // each)
        situation = Knowledge(LOW, HIGH, MicroPerKwh(reserve), len(wants) - 1, lots, left / each - (lots - 1))
        bidders = {}
        for buyer in wants:
            if values[buyer] >= reserve:
                limit = play.limit(situation, MicroPerKwh(values[buyer]))
                moved = min(values[0], max(reserve, int(LOW + factor * (limit - LOW)))) if buyer == 0 else limit
                bidders[buyer] = UpTo(MicroPerKwh(moved), STRATEGIES[play.strategy], rng)
        closing = auction(Table(mechanism, rules.terms(left, MicroPerKwh(reserve)), bidders, wants, lot))
        if not closing.awards:
            break
        gained += sum((values[0] - a.paid) * a.energy for a in closing.awards if a.bid.bidder == DeviceId(0))
        left = settled(closing, wants, left)
    return gained


@pytest.mark.parametrize(
    ("play", "buyers"), [("first-price", 2), ("first-price", 4), ("first-price", 3), ("vickrey", 4), ("vickrey", 5)]
)
def test_nobody_gains_by_bidding_otherwise(play: str, buyers: int) -> None:
    """Best response on common draws: a fifth more or less shading earns no more, with whole lots and with a rest."""
    for factor in (0.8, 1.2):
        assert _gain(PLAYS[play], buyers, factor) <= 2


def test_truth_is_no_equilibrium_over_several_lots() -> None:
    """Whoever bids its value in a row of vickrey lots gains by waiting for a cheaper one: the measure above sees it."""
    assert _gain(PLAYS["vickrey"]._replace(limit=own_value), 4, 0.8) > 4


def _gain(play: Play, buyers: int, factor: float) -> float:
    """What moving the limit gains on average, in standard errors."""
    draws = np.random.default_rng(5).integers(LOW, HIGH, size=(700, buyers)).tolist()
    moved, mine = (np.array([_surplus(values, play, buyers, by) for values in draws]) for by in (factor, 1.0))
    gain = moved - mine
    return float(gain.mean() / (gain.std() / len(draws) ** 0.5))


def test_auctions_earn_the_same_on_average() -> None:
    """Revenue equivalence (Myerson 1981), with demand split among five: three and a half lots' wants, a rest of a half."""
    rng = np.random.default_rng(6)
    draws = rng.integers(LOW, HIGH, size=(600, MOST_BUYERS)).tolist()
    income = {}
    for play in ("first-price", "vickrey"):
        rules = Rules(play, 5)
        sales = [sell(_lot(values, 840), MicroPerKwh(1), rules, random.Random(0)) for values in draws]
        income[play] = np.array([sum(a.paid * a.energy for a in awards) / 840 for awards in sales])
    apart = income["first-price"] - income["vickrey"]
    assert abs(apart.mean()) <= 4 * apart.std() / len(draws) ** 0.5


def test_every_mechanism_has_a_play() -> None:
    """Four auctions and the rule that is none."""
    assert {PLAYS[name].mechanism for name in PLAYS} == {*AUCTIONS, "first-above-reserve"}
