"""Verdicts on what RPCs say, breakers, and the comparison of journal and chain: as tables and by brute force."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.accounts import Market, TradeStatus, decode
from contracts.breaker import BREAKER, Breaker, BreakerInput, BreakerState
from contracts.evidence import EFFECT, SHOWN_AS, Reading, Verdict, differences, most, verdict
from contracts.outbox import Act, OutboxState, row
from contracts.reconcile import Books, Difference, agreed, compare, may_be_closed
from contracts.rpc import Refused, SignatureStatus
from etp.units import LotId, WallUs
from runtime.backoff import Backoff
from tests.contracts.fake_chain import BATTERY_ID, INTERFACE, entry, market_data, trade_of

LAST_VALID = 100
MARKET = decode(INTERFACE, Market, market_data(60))
LANDED, FAILED = SignatureStatus(True, None), SignatureStatus(True, Refused("Custom", 6050, ""))
TRADES = {status: trade_of(entry(1), status) for status in TradeStatus}


@pytest.mark.parametrize("act", Act)
def test_dead_only_where_every_rpc_was_asked_late_and_shows_nothing(act: Act) -> None:
    """The full product of two readings: status × its height × trade × its height."""
    options = [
        Reading(status, status_height, trade, trade_height)
        for status in (None, LANDED, FAILED)
        for status_height in (LAST_VALID, LAST_VALID + 1)
        for trade in (None, TRADES[TradeStatus.DEFAULTED], TRADES[TradeStatus.PAID])
        for trade_height in (LAST_VALID, LAST_VALID + 1)
    ]
    for pair in itertools.product(options, repeat=2):
        late = all(min(reading.status_height, reading.trade_height) > LAST_VALID for reading in pair)
        nothing = all(
            reading.status is not LANDED and (reading.trade is None or reading.trade.status not in EFFECT[act])
            for reading in pair
        )
        assert verdict(pair, act, LAST_VALID, rpcs=2).dead == (late and nothing)


def test_without_an_rpc_nothing_follows() -> None:
    for rpcs in (0, 1, 2):
        assert verdict([], Act.SETTLE, 0, rpcs=rpcs) == Verdict()
        assert verdict([], None, 0, rpcs=rpcs) == Verdict()
    assert verdict([Reading()], Act.SETTLE, 0, rpcs=1) == Verdict(), "not asked yet"


def test_more_than_half_must_show_a_trade() -> None:
    paid, other = TRADES[TradeStatus.PAID], TRADES[TradeStatus.HELD]
    assert most([paid], 1) == paid
    assert most([paid, None], 2) is None
    assert most([paid], 2) is None, "the other one is out of use"
    assert most([paid, paid, None], 3) == paid
    assert most([paid, paid], 3) == paid
    assert most([paid, other, None], 3) is None
    assert most([], 0) is None


@pytest.mark.parametrize("act", Act)
def test_a_minority_that_is_left_in_use_decides_nothing(act: Act) -> None:
    """1 of 2, 1 of 3, 2 of 4: neither done, nor dead, nor gone, whatever they show; that they are too few is said."""
    shows, denies = Reading(LANDED, 0, TRADES[TradeStatus.PAID], 0), Reading(None, LAST_VALID + 1, None, LAST_VALID + 1)
    for reading, count, rpcs in itertools.product((shows, denies), (1, 2), (2, 3, 4)):
        found = verdict([reading] * count, act, LAST_VALID, rpcs=rpcs)
        few = 2 * count <= rpcs
        assert found.too_few == few
        assert (found.trade is not None) == (reading is shows and not few)
        assert found.dead == found.gone == (reading is denies and not few)
    assert not verdict([Reading()], act, LAST_VALID, rpcs=2).too_few, "it would say nothing either"


def test_rpcs_that_disagree_for_good_are_named_so() -> None:
    shows = Reading(LANDED, 0, TRADES[TradeStatus.PAID], 0)
    denies = Reading(None, LAST_VALID + 1, None, LAST_VALID + 1)
    assert verdict([shows, denies], Act.SETTLE, LAST_VALID, rpcs=2).disagree
    may_come = Reading(None, 1, None, 1)
    assert not verdict([shows, may_come], Act.SETTLE, LAST_VALID, rpcs=2).disagree


@pytest.mark.parametrize(
    "field", ["battery", "lot_id", "aggregator", "message_id", "energy_wh", "price", "amount", "record_hash"]
)
def test_each_field_that_differs_is_named(field: str) -> None:
    trade = trade_of(entry(1), TradeStatus.PAID)
    assert differences(entry(1), trade, BATTERY_ID) == {}
    wrong = trade._replace(**{field: b"x" if field == "record_hash" else 3})
    assert set(differences(entry(1), wrong, BATTERY_ID)) == {field}


# -- the breaker


def test_every_state_and_input_of_the_breaker_has_its_place() -> None:
    assert set(BREAKER) == set(BreakerState)
    assert all(set(moves) == set(BreakerInput) for moves in BREAKER.values())


def test_a_breaker_opens_after_three_failures_and_asks_one_question_after_a_while() -> None:
    breaker = Breaker(Backoff(first_s=1.0, jitter=0.0), random.Random(1))
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.passed()
    assert breaker.usable
    breaker.failed("x", 0.0)
    breaker.failed("x", 0.0)
    assert breaker.usable, "two may be chance"
    breaker.answered()
    for _ in range(3):
        breaker.failed("x", 10.0)
    assert breaker.state is BreakerState.OPEN
    assert breaker.retry_s == 11.0
    breaker.advance(10.9)
    assert breaker.state is BreakerState.OPEN
    breaker.advance(11.0)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.failed("y", 11.0)
    assert (breaker.state, breaker.retry_s) == (BreakerState.OPEN, 13.0), "longer each time"
    breaker.passed()
    assert not breaker.usable, "an old answer closes nothing"
    breaker.advance(13.0)
    breaker.passed()
    assert (breaker.usable, breaker.reason) == (True, "")


# -- journal and chain

DAY_US = 86_400_000_000


def books(*made: tuple[int, OutboxState]) -> Books:
    found = Books()
    rows = [row(entry(lot).moved(state, WallUs(entry(lot).confirmed_us + 1))) for lot, state in made]
    found.take(enumerate(rows, 1))
    return found


def compared(found: Books, *shown: tuple[int, TradeStatus], later_us: int = DAY_US) -> list[Difference]:
    trades = [trade_of(entry(lot), status) for lot, status in shown]
    asked_us = WallUs(entry(1).message_id + later_us)
    return list(compare(found, trades, MARKET, battery_id=BATTERY_ID, asked_us=asked_us))


def test_what_is_equal_is_no_difference() -> None:
    held = books((1, OutboxState.SETTLED), (2, OutboxState.HELD), (3, OutboxState.CONFIRMED), (4, OutboxState.REFUNDED))
    assert compared(held, (1, TradeStatus.PAID), (2, TradeStatus.HELD), (4, TradeStatus.REFUNDED)) == []


def test_each_kind_of_difference_is_found() -> None:
    assert [found.kind for found in compared(books((1, OutboxState.SETTLED)))] == ["missing"]
    assert [found.kind for found in compared(books((1, OutboxState.HELD)), (1, TradeStatus.PAID))] == []
    assert [found.kind for found in compared(books((1, OutboxState.SETTLED)), (1, TradeStatus.HELD))] == ["state"]
    above = compared(books((5, OutboxState.CONFIRMED)), (7, TradeStatus.PAID))
    assert [found.kind for found in above] == ["unknown"]
    assert "restored from a copy" in above[0].words
    assert [found.kind for found in compared(books((5, OutboxState.CONFIRMED)), (2, TradeStatus.PAID))] == ["unknown"]
    known = books((1, OutboxState.SETTLED))
    other = trade_of(entry(1, price=7), TradeStatus.PAID)
    found = compare(known, [other], MARKET, battery_id=BATTERY_ID, asked_us=WallUs(entry(1).message_id + DAY_US))
    assert [difference.kind for difference in found] == ["other"]
    assert "price is 7, not 200000" in found[0].words


def test_what_may_be_closed_or_is_fresh_is_no_difference() -> None:
    assert compared(books((1, OutboxState.SETTLED)), later_us=9 * DAY_US) == []
    assert compared(books((1, OutboxState.SETTLED)), later_us=30_000_000) == []
    assert may_be_closed(0, MARKET, WallUs(8 * DAY_US + 60_000_000))
    assert not may_be_closed(0, MARKET, WallUs(8 * DAY_US))
    kept = books((1, OutboxState.SETTLED), (2, OutboxState.HELD))
    kept.forget(MARKET, WallUs(entry(1).message_id + 9 * DAY_US))
    assert set(kept.expected) == {2}, "what is not over is kept"
    assert kept.last_lot == 2


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=5))
def test_one_rpc_cannot_stop_a_battery_alone(said: list[list[int]]) -> None:
    all_differences = [Difference("missing", LotId(number), "x") for number in range(4)]
    found = agreed([tuple(all_differences[number] for number in one) for one in said])
    naive = {d for d in all_differences if sum(all_differences.index(d) in one for one in said) * 2 > len(said)}
    assert set(found) == naive


def test_statuses_and_states_belong_together() -> None:
    assert set(SHOWN_AS) == set(TradeStatus)
    assert EFFECT[Act.RECORD_DEFAULT] == set(TradeStatus)
    assert EFFECT[Act.SETTLE] == set(TradeStatus) - {TradeStatus.DEFAULTED}
    assert EFFECT[Act.RELEASE] == {TradeStatus.PAID, TradeStatus.REFUNDED}
