"""The optimal reserve: never below cost, near Myerson's where theory knows it, and learnt from sales alone."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bess_node.build import pricing_of
from bess_node.pricing import Context, Fixed, Pricing
from bess_node.pricing_optimal import LEVELS, OFFER_S, Counts, Optimal, best_level, second_highest
from bess_node.settings import BessSettings
from etp.units import MicroPerKwh
from runtime.days import PriceSeries

BASE = MicroPerKwh(50_000)
TOP = 200_000


def when(step: int, *, soc: float = 0.5) -> Context:
    """A half-hour."""
    return Context(soc, step * OFFER_S)


def sold(policy: Pricing, buyers: int, steps: int, *, seed: int = 1) -> float:
    """Mean gain above cost, µ/kWh, in second-price sales to values uniform on 0 to 200,000."""
    rng, gained = random.Random(seed), 0
    for step in range(steps):
        reserve = policy.reserve(when(step))
        first, second, *_ = [*sorted((rng.randrange(TOP) for _ in range(buyers)), reverse=True), 0]
        if first >= reserve:
            price = MicroPerKwh(max(reserve, second))
            gained += price - BASE
            policy.traded(when(step), price)
    return gained / steps


@pytest.mark.parametrize(("buyers", "least"), [(1, 0.7), (2, 0.85), (5, 0.95)])
def test_it_comes_near_to_myerson(buyers: int, least: float) -> None:
    """U[0, 200,000], cost 50,000: the best reserve is (200,000 + 50,000) / 2 however many bid; learning included."""
    best = sold(Fixed(MicroPerKwh(125_000)), buyers, 1000)
    assert sold(Optimal(BASE, 1), buyers, 1000) >= least * best
    assert best >= sold(Fixed(BASE), buyers, 1000)


def test_with_known_prices_one_buyer_is_asked_for_nearly_all() -> None:
    """A buyer who keeps 0 to 15 % of a price that moves: more than half of all that could be had, in 300 half-hours; at cost: nothing."""
    rng = random.Random(3)
    series = PriceSeries(0.0, tuple(rng.randint(100_000, 200_000) for _ in range(300)))
    policy, gained, possible = Optimal(BASE, 1, series), 0, 0
    for step, price in enumerate(series.values):
        value, reserve = int(price * (1 - 0.15 * rng.random())), policy.reserve(when(step))
        possible += value - BASE
        if value >= reserve:
            gained += reserve - BASE
            policy.traded(when(step), reserve)
    assert gained > 0.55 * possible


@given(
    st.lists(st.tuples(st.integers(0, 7200), st.integers(-1, 150_000_000)), max_size=40),
    st.integers(1, 100_000_000),
    st.booleans(),
)
def test_every_reserve_is_at_least_the_cost(
    events: list[tuple[int, int]],
    base: int,
    known: bool,
) -> None:
    """Whatever is sold at whatever price, whenever, known prices or not; and no dearer than a frame can say."""
    series = PriceSeries(0.0, (base + 10_000, 1, -base)) if known else None
    policy, now = Optimal(MicroPerKwh(base), 7, series), 0.0
    for seconds, price in events:
        now += seconds
        reserve = policy.reserve(Context(0.5, now))
        assert base <= reserve <= 100_000_000
        if price >= reserve:
            policy.traded(Context(0.5, now), MicroPerKwh(price))


def test_a_reserve_stands_until_it_is_sold_or_a_half_hour_has_passed() -> None:
    """A lot must not move under its bidders."""
    policy = Optimal(BASE, 3)
    sold(policy, 1, 200)
    began = 300 * OFFER_S
    reserve = policy.reserve(Context(0.5, began))
    assert {policy.reserve(Context(0.5, began + second)) for second in range(0, 1800, 60)} == {reserve}
    assert policy._offer is not None
    policy.traded(Context(0.5, began + 60), reserve)
    policy.reserve(Context(0.5, began + 61))
    assert policy._offer.began_s == began + 61


def test_the_same_seed_asks_the_same() -> None:
    """Another seed tries otherwise."""
    asked: list[list[int]] = []
    for seed in (1, 1, 2):
        policy, rng, mine = Optimal(BASE, seed), random.Random(9), []
        for step in range(200):
            mine.append(policy.reserve(when(step)))
            if mine[-1] <= (value := rng.randrange(TOP)):
                policy.traded(when(step), MicroPerKwh(min(value, mine[-1])))
        asked.append(list(map(int, mine)))
    assert asked[0] == asked[1] != asked[2]


def test_a_sale_before_the_first_offer_teaches_nothing() -> None:
    """Agreed in its last life."""
    policy = Optimal(BASE, 1)
    policy.traded(when(0), MicroPerKwh(90_000))
    assert policy.reserve(when(1)) == BASE


def test_no_cost_is_no_reserve() -> None:
    """A reserve is at least 1 µ."""
    with pytest.raises(ValueError, match="base is 0"):
        Optimal(MicroPerKwh(0), 1)


def test_the_second_highest_is_found_from_what_is_hidden_too() -> None:
    """Kaplan–Meier by hand: of 4 offers one second at the top level, one hidden below it; of the 2 left one at level 1."""
    counts = Counts()
    counts.seen[LEVELS], counts.taken[LEVELS], counts.seen[1], counts.seen[0] = 1.0, 1.0, 1.0, 1.0
    found = second_highest(counts)
    assert found[LEVELS] == pytest.approx(1 / 4)
    assert found[1] == pytest.approx(3 / 4 / 2)
    assert sum(found) == pytest.approx(1.0)


def test_the_best_level_by_hand() -> None:
    """Three levels: at the middle somebody takes 10 nine times in ten, at the top 30 once in ten; nobody else bids."""
    assert best_level([0, 10, 30], [1.0, 0.0, 0.0], [1.0, 0.9, 0.1]) == 1
    assert best_level([0, 10, 30], [1.0, 0.0, 0.0], [1.0, 0.9, 0.5]) == 2
    assert best_level([0, 10, 30], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]) == 0, "the others make the price"


@pytest.mark.parametrize(
    ("settings", "base"),
    [({}, 125_000), ({"feed_in": 12.0, "wear": 1.5}, 135_000), ({"feed_in": 6.0, "wear": 0.5}, 125_000)],
)
def test_built_from_settings(settings: dict[str, float], base: int) -> None:
    """The dearer of the reserve and feed-in plus wear."""
    given = BessSettings(device_id=1, pricing="optimal", reserve=12.5, **settings)
    policy: Callable[[Context], MicroPerKwh] = pricing_of(given, None).reserve
    assert policy(when(0)) == base
