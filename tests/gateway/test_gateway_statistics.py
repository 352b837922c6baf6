"""Prices weighted by volume and their confidence intervals: against exact arithmetic, a bootstrap, and Student's distribution."""

import random
from fractions import Fraction
from math import exp, lgamma, pi, sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import schema
from gateway.rollups import DAY_US, HOUR_US
from gateway.statistics import NOTHING, Measures, group, interval, of_row, price, student_t, sums, total
from gateway.sums import Question, query
from tests.gateway import story
from tests.gateway.story import BUYER, LAST_SELLER, SELLER


def of_trades(trades: list[tuple[int, int]]) -> Measures:
    """Measures of (energy_wh, µ/kWh)."""
    found = [0, 0, 0, 0.0, 0.0, 0.0]
    for energy, each in trades:
        w = energy / 1000
        added = (1, energy, energy * each // 1000, w * w, w * w * each, (w * each) ** 2)
        found = [a + b for a, b in zip(found, added, strict=True)]
    count, energy, paid, w2, w2p, w2p2 = found
    return Measures(int(count), int(energy), int(paid), 0, 0, 0, 0, w2, w2p, w2p2)


def cumulative(x: float, freedom: int) -> float:
    """Student's t distribution, by Simpson's rule over its density."""
    steps = 2_000
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(freedom * pi)
    points = [scale * (1 + (x * i / steps) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps + 1)]
    return 0.5 + x / steps / 3 * (points[0] + points[-1] + 4 * sum(points[1:-1:2]) + 2 * sum(points[2:-1:2]))


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 12, 19, 20, 21, 22, 30, 60, 200, 10_000])
def test_t_is_the_point_that_leaves_a_fortieth_above(freedom: int) -> None:
    """Table and series alike."""
    assert cumulative(student_t(freedom), freedom) == pytest.approx(0.975, abs=2e-6)


@given(st.integers(0, 10**18), st.integers(1, 10**12))
def test_a_price_is_the_quotient_rounded_half_to_even(micro: int, energy_wh: int) -> None:
    """Exactly, with integers that no float holds."""
    assert price(micro, energy_wh) == round(Fraction(micro * 1000, energy_wh))


def test_no_energy_has_no_price() -> None:
    """Nothing is divided by nothing."""
    assert price(5, 0) is None
    assert sums(NOTHING)["price_micro_per_kwh"] is None
    assert interval(NOTHING) is None


def test_two_trades_have_no_interval() -> None:
    """From the third on there is one; equal prices have an empty one, whatever the rounding of the moments."""
    assert interval(of_trades([(1_000, 150_000), (2_000, 160_000)])) is None
    same = interval(of_trades([(700 + n, 200_000) for n in range(50)]))
    assert same is not None
    assert same == pytest.approx((200_000, 200_000), abs=0.5)


def test_the_interval_is_cochrans() -> None:
    """Against the formula on the trades themselves, not on moments."""
    trades = [(1_000, 150_000), (2_500, 180_000), (4_000, 120_000), (500, 210_000)]
    weights = [energy / 1000 for energy, _ in trades]
    ratio = sum(w * p for w, (_, p) in zip(weights, trades, strict=True)) / sum(weights)
    variance = (
        4 / 3 * sum((w * (p - ratio)) ** 2 for w, (_, p) in zip(weights, trades, strict=True)) / sum(weights) ** 2
    )
    half = 3.18245 * sqrt(variance)
    assert interval(of_trades(trades)) == pytest.approx((ratio - half, ratio + half), rel=1e-9)


def test_the_interval_is_as_wide_as_a_bootstrap_says() -> None:
    """300 trades of a skewed distribution: within 12 % of the percentiles of 2,000 resamples."""
    rng = random.Random(11)
    trades = [(rng.randrange(100, 5_000), round(120_000 + rng.expovariate(1 / 40_000))) for _ in range(300)]
    found = interval(of_trades(trades))
    assert found is not None
    ratios = []
    for _ in range(2_000):
        again = rng.choices(trades, k=len(trades))
        ratios.append(sum(w * p for w, p in again) / sum(w for w, _ in again))
    ratios.sort()
    low, high = ratios[50], ratios[1_949]
    assert found[1] - found[0] == pytest.approx(high - low, rel=0.12)
    assert found == pytest.approx((low, high), rel=0.01)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 600 samples of 40 trades 91 to 98 % hold the population's price."""
    rng = random.Random(5)
    population = [(rng.randrange(500, 3_000), rng.randrange(100_000, 200_000)) for _ in range(4_000)]
    truth = sum(w * p for w, p in population) / sum(w for w, _ in population)
    held = 0
    for _ in range(600):
        found = interval(of_trades(rng.choices(population, k=40)))
        assert found is not None
        held += found[0] <= truth <= found[1]
    assert 0.91 <= held / 600 <= 0.98


def test_sums_of_a_database_are_exact() -> None:
    """Decimals become integers; nothing becomes 0."""
    from decimal import Decimal

    assert of_row([Decimal(2**60), 1, None, 0, 0, 0, 0, None, 1.5, Decimal("2.5")]) == Measures(
        2**60, 1, 0, 0, 0, 0, 0, 0.0, 1.5, 2.5
    )
    assert group("x", NOTHING)["low_micro_per_kwh"] is None


# -- over a store


def expected(trades: list[dict[str, Any]], key: Any) -> dict[str, dict[str, Any]]:
    """Groups, from the trades."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in trades:
        groups.setdefault(str(key(each)), []).append(each)
    return {name: group(name, total(story.measures(story.sums_of(members)))) for name, members in groups.items()}


BYS: dict[str, Any] = {
    "all": lambda _: "all",
    "hour": lambda each: each["market_us"] // HOUR_US * HOUR_US,
    "hour_of_day": lambda each: each["market_us"] // HOUR_US % 24,
    "battery": lambda each: each["battery"],
    "aggregator": lambda each: each["aggregator"],
    "bidders": lambda each: each["bidders"],
}
START = story.HOUR + 2 * HOUR_US
"""Not where a day begins; the story's 40 trades are 6 h 40 min of market time."""
FILTERS: list[dict[str, Any]] = [
    {},
    {"battery": SELLER},
    {"aggregator": BUYER},
    {"battery": LAST_SELLER, "aggregator": BUYER},
    {"from_us": START, "to_us": START + 3 * HOUR_US},
    {"from_us": START},
    {"to_us": START},
    {"aggregator": BUYER, "from_us": START},
]


async def test_groups_are_those_of_the_trades(tmp_path: Path) -> None:
    """Every grouping with every filter: the same numbers as from the trades themselves, in order; the total is of them all."""
    trades = [story.trade(number) for number in range(40)]
    async with story.serving(tmp_path) as (client, _):
        for by, key in BYS.items():
            for filters in FILTERS:
                answer = await client.get("/statistics", params={"by": by, **filters})
                found = schema.Statistics.model_validate(answer.json(), strict=True)
                begin, end = filters.get("from_us", 0), filters.get("to_us", 2**62)
                members = [
                    each
                    for each in trades
                    if begin <= each["market_us"] < end
                    and all(each[name] == filters[name] for name in ("battery", "aggregator") if name in filters)
                ]
                wanted = expected(members, key)
                got = {each.key: each.model_dump() for each in found.groups}
                assert {name: each["trades"] for name, each in got.items()} == {
                    name: each["trades"] for name, each in wanted.items()
                }, (by, filters)
                for name, each in wanted.items():
                    assert got[name] == pytest.approx(each), (by, filters)
                assert found.total.trades == len(members)
                assert found.total.paid_micro == sum(each["paid_micro"] for each in members)
                keys = [each.key for each in found.groups]
                assert keys == sorted(keys, key=lambda text: int(text) if text != "all" else 0)


async def test_a_range_of_days_is_whole_days_and_the_hours_at_its_ends(tmp_path: Path) -> None:
    """By battery over 4 days with ragged ends: each trade in exactly one of the parts."""
    trades = [story.trade(number, market_us=number * 9 * HOUR_US + DAY_US) for number in range(40)]
    for begin, end in (
        (DAY_US + 5 * HOUR_US, 4 * DAY_US + 7 * HOUR_US),
        (2 * DAY_US, 3 * DAY_US),
        (DAY_US, DAY_US + HOUR_US),
    ):
        asked = query(Question("battery", None, None, begin, end))
        async with story.store(tmp_path) as engine:
            await story.replace_sums(engine, trades)
            async with engine.connect() as connection:
                found = {row.key: row.trades for row in await connection.execute(asked)}
        inside = [each["battery"] for each in trades if begin <= each["market_us"] < end]
        assert found == {each: inside.count(each) for each in set(inside)}


async def test_too_many_groups_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to narrow."""
    monkeypatch.setattr("gateway.sums.MOST_GROUPS", 3)
    monkeypatch.setattr("gateway.io.rest.statistics.MOST_GROUPS", 3)
    async with story.serving(tmp_path) as (client, _):
        answer = await client.get("/statistics", params={"by": "hour"})
        assert answer.status_code == 422
        assert "from_us" in answer.json()["detail"]
