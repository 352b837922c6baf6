"""Whether demand that can wait should."""

import pytest

from aggregator_node.patience import FEW, LEAST_LOTS, LOTS_KEPT, Chance, Patience, _at_least
from aggregator_node.view import LotView, Need
from etp.units import MicroPerKwh, Wh

LOT = Wh(1000)


def view(*needs: Need, market_s: float = 0.0, period: int = 0, value: int = 100_000) -> LotView:
    """A lot of 1 kWh, asked at 60,000."""
    return LotView(
        MicroPerKwh(value), MicroPerKwh(60_000), energy=LOT, market_s=market_s, period=period, needs=tuple(needs)
    )


def seen(gains: list[int], *, each_s: float = 900.0) -> Patience:
    """So many lots, one every so often, in periods of two."""
    patience = Patience()
    for index, gain in enumerate(gains):
        chance = Chance(
            index * each_s, index // 2, index % 2, 1800.0 - index % 2 * 900, MicroPerKwh(gain), gain / 40_000, LOT
        )
        patience.saw(chance)
    return patience


def test_without_knowledge_nothing_waits() -> None:
    """No lots, few lots, or nothing that is needed."""
    need = Need(LOT, 86_400.0)
    assert Patience().premium(view(need)) == 0
    assert seen([10_000] * (LEAST_LOTS - 1)).premium(view(need, market_s=1e4)) == 0
    assert seen([10_000] * 20).premium(view(market_s=1e5)) == 0


def test_a_need_that_can_wait_asks_for_what_later_lots_gain() -> None:
    """One kWh in a day, a lot that gains 10,000 every quarter of an hour: nearly all of it. Now or never: nothing."""
    patience = seen([10_000] * 40)
    at = 40 * 900.0
    assert patience.premium(view(Need(LOT, 86_400.0), market_s=at)) >= 9_900
    assert patience.premium(view(Need(LOT, 0.0), market_s=at)) == 0


def test_the_more_is_needed_the_less_is_asked_for() -> None:
    """Of lots that gain 1,000 to 40,000 a need of one takes the best, a need of most takes nearly all."""
    patience = seen([1000 * (index + 1) for index in range(40)])
    at = 40 * 900.0
    premiums = [patience.premium(view(Need(Wh(LOT * lots), at), market_s=at)) for lots in (1, 10, 20, 38, 400)]
    assert premiums == sorted(premiums, reverse=True)
    assert premiums[0] > 35_000
    assert premiums[2] == pytest.approx(20_000, rel=0.1)
    assert premiums[-1] == 0


def test_later_lots_of_the_period_count_and_earlier_ones_do_not() -> None:
    """Every second lot of a half-hour gains 30,000: before it one waits, at it one does not."""
    patience = seen([0, 30_000] * 10)
    patience.saw(Chance(18_000.0, 10, 0, 1800.0, MicroPerKwh(0), 0.0, LOT))
    need = Need(LOT, 1800.0, recurs=True)
    assert patience.premium(view(need, market_s=18_000.0, period=10)) == 30_000
    assert patience.premium(view(need, market_s=18_000.0, period=10, value=80_000)) == 15_000
    late = Need(LOT, 600.0, recurs=True)
    assert patience.premium(view(late, market_s=19_200.0, period=10)) == 0, "it did not come this time"
    patience.saw(Chance(18_900.0, 10, 1, 900.0, MicroPerKwh(0), 0.0, LOT))
    assert patience.premium(view(need, market_s=18_900.0, period=10)) == 0


def test_a_need_of_several_lots_of_a_period() -> None:
    """Two lots wanted, one more to come: nothing is forgone; one wanted, one to come: its gain, as sure as it comes."""
    patience = seen([0, 30_000] * 10)
    patience.saw(Chance(18_000.0, 10, 0, 1800.0, MicroPerKwh(0), 0.0, LOT))
    two = patience.premium(view(Need(Wh(2 * LOT), 1800.0, recurs=True), market_s=18_000.0, period=10))
    assert 0 < two < 10_000


def test_memory_is_bounded_and_a_day_old() -> None:
    """Only the last lots, of the last day."""
    patience = seen([1] * (2 * LOTS_KEPT), each_s=1.0)
    assert len(patience._seen) == LOTS_KEPT
    patience.saw(Chance(1e6, 9, 0, 0.0, MicroPerKwh(1), 0.1, LOT))
    assert len(patience._seen) == 1


def test_poisson_tails() -> None:
    """1 − e⁻¹ for one of one; the normal approximation joins where the sum ends."""
    assert _at_least(1, 1.0) == pytest.approx(0.63212, abs=1e-5)
    assert _at_least(FEW, 16.0) == pytest.approx(0.5333, abs=0.001)
    assert _at_least(FEW + 1, 17.0) == pytest.approx(0.5323, abs=0.02)
