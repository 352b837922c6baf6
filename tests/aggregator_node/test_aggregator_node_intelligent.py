"""The strategy that learns: which mechanism it is, what it takes to win, when to wait; and that it is safe before it knows."""

import random
from collections.abc import Callable

import pytest

from aggregator_node.intelligent import Intelligent
from aggregator_node.strategy import STRATEGIES, price
from aggregator_node.view import Loss, LotView, Need
from etp.units import DeviceId, LotId, MicroPerKwh, Wh

BATTERY = DeviceId(101)
VALUE, ASK = MicroPerKwh(100_000), MicroPerKwh(60_000)


def view(number: int, *, ask: int = ASK, value: int = VALUE, needs: tuple[Need, ...] = (), of: int = 1) -> LotView:
    """The lot of this number, one of `of` in each half-hour."""
    return LotView(
        MicroPerKwh(value),
        MicroPerKwh(ask),
        battery=BATTERY,
        lot_id=LotId(number),
        energy=Wh(1000),
        market_s=number * 1800.0 / of,
        period=number // of,
        needs=needs,
    )


def sealed(strategy: Intelligent, lots: int, to_beat: Callable[[random.Random], int], *, second: bool) -> list[int]:
    """Sealed lots in which the others' best bid is drawn; the bids."""
    rng, bids = random.Random(5), []
    for number in range(1, lots + 1):
        rival = max(ASK, to_beat(rng))
        bid = price(strategy, view(number), rng)
        assert bid is not None
        bids.append(bid)
        if bid > rival:
            strategy.won(BATTERY, bid=bid, paid=MicroPerKwh(rival) if second else bid)
        else:
            strategy.lost(BATTERY, bid=bid, how=Loss.ANOTHER_WON)
    return bids


def test_at_an_unknown_battery_it_bids_the_ask() -> None:
    """Where the ask is hidden something between nothing and its value."""
    assert price(Intelligent(), view(1), random.Random(1)) == ASK
    hidden = [price(Intelligent(), view(1, ask=0), random.Random(seed)) or 0 for seed in range(50)]
    assert all(1 <= bid <= VALUE for bid in hidden)
    assert sum(hidden) / 50 < 0.95 * VALUE, "it may have to pay it"


def test_where_it_pays_its_bid_it_bids_what_is_enough() -> None:
    """Rivals at 70,000 to 80,000: after 200 lots it pays little more than 80,000, never near its value."""
    bids = sealed(Intelligent(), 400, lambda rng: rng.randint(70_000, 80_000), second=False)
    late = bids[200:]
    assert 76_000 <= sum(late) / len(late) <= 83_000
    assert all(ASK <= bid <= VALUE for bid in bids)


def test_where_it_pays_the_second_price_it_bids_its_value() -> None:
    """One win below its bid says so; from then on every bid is the value."""
    bids = sealed(Intelligent(), 60, lambda rng: rng.randint(60_000, 95_000), second=True)
    assert bids[20:] == [VALUE] * 40


def test_it_notices_when_a_battery_changes_its_rule() -> None:
    """Vickrey, then first-price: within 30 wins it shades again."""
    strategy = Intelligent()
    sealed(strategy, 40, lambda rng: rng.randint(60_000, 70_000), second=True)
    bids = sealed(strategy, 200, lambda rng: rng.randint(60_000, 70_000), second=False)
    assert bids[0] == VALUE
    assert sum(bids[100:]) / 100 < 80_000


def test_in_an_ascending_auction_it_bids_the_ask_up_to_its_value() -> None:
    """Outbid, it follows step by step; above its value it leaves, and has learnt that this was not enough."""
    strategy, rng = Intelligent(), random.Random(1)
    for ask in (60_000, 60_500, 61_000, 99_500):
        assert price(strategy, view(1, ask=ask), rng) == ask
        strategy.lost(BATTERY, bid=MicroPerKwh(ask), how=Loss.OUTBID)
    assert price(strategy, view(1, ask=100_500), rng) is None
    assert price(strategy, view(2), rng) == ASK


def test_it_wins_at_the_ask_where_nobody_else_bids() -> None:
    """First-above-reserve, or no rivals: it never pays more than the ask."""
    strategy, rng = Intelligent(), random.Random(1)
    for number in range(1, 50):
        assert price(strategy, view(number), rng) == ASK
        strategy.won(BATTERY, bid=ASK, paid=ASK)


def test_demand_waits_for_the_later_lots_that_gain_more() -> None:
    """Two lots a half-hour, one wanted; the first costs 95,000, the second 61,000: it learns to wait, if there is time to."""
    strategy, rng, bought = Intelligent(), random.Random(2), [0, 0]
    for number in range(2, 300):
        need = Need(Wh(1000), 1800.0 - number % 2 * 900.0, recurs=True)
        bid = price(strategy, view(number, needs=(need,), of=2), rng)
        rival = MicroPerKwh(95_000 if number % 2 == 0 else 61_000)
        if bid is not None and bid > rival:
            bought[number % 2] += number > 100
            strategy.won(BATTERY, bid=bid, paid=rival)
        elif bid is not None:
            strategy.lost(BATTERY, bid=bid, how=Loss.ANOTHER_WON)
    assert bought[1] > 90
    assert bought[0] < 10


def test_a_race_is_left_where_a_later_lot_gains_more() -> None:
    """Ascending, two lots a half-hour, one wanted: the second is had at the ask, so the first is followed some way and no further."""
    strategy, rng, left_at = Intelligent(), random.Random(2), []
    for number in range(2, 200):
        need, ask = Need(Wh(1000), 1800.0 - number % 2 * 900.0, recurs=True), int(ASK)
        while (bid := price(strategy, view(number, ask=ask, needs=(need,), of=2), rng)) is not None and number % 2 == 0:
            strategy.lost(BATTERY, bid=bid, how=Loss.OUTBID)
            ask += 1000
        if number % 2 == 0:
            left_at.append(ask)
        elif bid is not None:
            strategy.won(BATTERY, bid=bid, paid=bid)
    assert left_at[0] > VALUE, "nothing is known of later lots yet"
    assert max(left_at[50:]) < 80_000


def test_time_that_runs_out_ends_waiting() -> None:
    """The same knowledge, the demand due now: it bids for a lot that gains little."""
    strategy, rng = Intelligent(), random.Random(3)
    for number in range(1, 80):
        assert price(strategy, view(number), rng) is not None
        strategy.won(BATTERY, bid=ASK, paid=ASK)
    poor = MicroPerKwh(90_000)
    patient, due = Need(Wh(1000), 86_400.0), Need(Wh(1000), 0.0)
    assert price(strategy, view(80, ask=poor, needs=(patient,)), rng) is None
    assert price(strategy, view(80, ask=poor, needs=(due,)), rng) == poor


def test_the_same_seed_and_events_bring_the_same_bids() -> None:
    """And what one buyer learns is not another's."""
    runs = [sealed(Intelligent(), 100, lambda rng: rng.randint(60_000, 99_000), second=False) for _ in range(2)]
    assert runs[0] == runs[1]
    shared = STRATEGIES["intelligent"]
    assert shared.fresh() is not shared.fresh()


@pytest.mark.parametrize("how", Loss)
def test_news_of_unknown_bids_is_harmless(how: Loss) -> None:
    """A win or a loss after a restart, of a bid that it knows nothing of."""
    strategy = Intelligent()
    strategy.won(BATTERY, bid=ASK, paid=ASK)
    strategy.lost(BATTERY, bid=ASK, how=how)
    offered = price(strategy, view(1), random.Random(1))
    assert offered is not None
    assert ASK <= offered <= VALUE
