"""What a buyer may still bid for, and whose bids a battery takes: against plain arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.accounts import Escrow, Participant, TradeStatus
from contracts.addresses import PROGRAM_ID
from contracts.exposure import Exposure, Owed, free, room
from contracts.reputation import MAX_BUYERS, Requirements, Standing, Standings, reputation
from contracts.rpc import Account, Accounts
from etp.units import DeviceId, LotId, Micro
from tests.contracts.fake_chain import (
    BATTERY_ID,
    BUYER,
    BUYER_ID,
    INTERFACE,
    PLACE,
    entry,
    escrow_data,
    participant_data,
    trade_data,
    trade_of,
)  # fmt: skip
from tests.support import START_US, at

MONEY = st.integers(0, 2**63 - 1)


@given(MONEY, MONEY, MONEY, MONEY)
def test_room_is_what_is_left_and_never_below_nothing(available: int, asked: int, unsettled: int, live: int) -> None:
    escrow = Escrow(BUYER_ID, Micro(available), Micro(0), Micro(asked), 1)
    left = max(0, available - asked)
    assert free(escrow) == left
    assert room(escrow, unsettled=Micro(unsettled), live=Micro(live)) == max(0, left - unsettled - live)
    assert room(None, unsettled=Micro(unsettled), live=Micro(live)) == 0


def account(data: bytes) -> Account:
    return Account(PROGRAM_ID, 1, data, False)


def exposure() -> Exposure:
    return Exposure(INTERFACE, PLACE, BUYER_ID, settle_window_s=7 * 86_400)


def escrow(available: int) -> Account:
    return account(escrow_data(available))


def test_a_trade_is_owed_until_the_same_answer_shows_it_paid() -> None:
    mine = exposure()
    assert mine.room(Micro(0)) == 0
    mine.confirmed(BATTERY_ID, LotId(1), Micro(200_000), START_US)
    mine.confirmed(BATTERY_ID, LotId(1), Micro(200_000), START_US)
    ((question, owed),) = mine.requests(at(1))
    assert question.addresses == (PLACE.escrow(BUYER_ID), PLACE.trade(BATTERY_ID, 1))
    mine.take(owed, [Accounts(1, (escrow(1_000_000), None))])
    assert mine.room(Micro(300_000)) == 500_000
    paid = account(trade_data(trade_of(entry(1), TradeStatus.PAID)))
    mine.take(owed, [Accounts(2, (escrow(800_000), paid))])
    assert (mine.unsettled, mine.room(Micro(300_000))) == (0, 500_000)


def test_a_default_is_still_owed_and_what_can_not_settle_any_more_is_not() -> None:
    mine = exposure()
    mine.confirmed(BATTERY_ID, LotId(1), Micro(200_000), START_US)
    ((_, owed),) = mine.requests(at(1))
    bad = account(trade_data(trade_of(entry(1), TradeStatus.DEFAULTED)))
    mine.take(owed, [Accounts(1, (escrow(1_000_000), bad))])
    assert mine.unsettled == 200_000
    mine.requests(at(7 * 86_400 + 30))
    assert mine.unsettled == 200_000
    mine.requests(at(7 * 86_400 + 61))
    assert mine.unsettled == 0


def test_of_several_words_the_least_counts() -> None:
    mine = exposure()
    mine.confirmed(BATTERY_ID, LotId(1), Micro(200_000), START_US)
    ((_, owed),) = mine.requests(at(1))
    paid = account(trade_data(trade_of(entry(1), TradeStatus.PAID)))
    mine.take(owed, [Accounts(1, (escrow(10**9), paid)), Accounts(1, (escrow(500_000), None))])
    assert mine.room(Micro(0)) == 300_000


def test_without_an_answer_or_an_escrow_there_is_no_room_and_a_reason() -> None:
    mine = exposure()
    mine.take((), [])
    assert mine.room(Micro(0)) == 0
    assert "no RPC" in str(mine.trouble)
    mine.take((), [Accounts(1, (escrow(500_000),))])
    assert mine.room(Micro(0)) == 500_000
    mine.confirmed(BATTERY_ID, LotId(1), Micro(200_000), START_US)
    mine.take((), [])  # the RPCs are down: what was seen last still bounds what is bid
    assert mine.room(Micro(0)) == 300_000
    mine.take((), [Accounts(1, (None,))])
    assert "etp escrow deposit" in str(mine.trouble)
    mine.take((), [Accounts(1, (account(b"x"),))])
    assert mine.room(Micro(0)) == 0
    assert "IDL" in str(mine.trouble)


def test_many_trades_are_asked_for_a_hundred_accounts_at_a_time() -> None:
    mine = exposure()
    for lot in range(1, 251):
        mine.confirmed(BATTERY_ID, LotId(lot), Micro(1), START_US)
    asked = mine.requests(at(1))
    assert [len(question.addresses) for question, _ in asked] == [100, 100, 53]
    assert sum(len(owed) for _, owed in asked) == 250
    assert all(isinstance(one, Owed) for _, owed in asked for one in owed)
    mine.dropped(BATTERY_ID, LotId(1))
    assert mine.unsettled == 249


# -- the battery's side


def participant(settled: int, defaulted: int, lost: int) -> Participant:
    return Participant(BUYER_ID, PROGRAM_ID, 2, 0, settled, defaulted, 0, lost)


def test_reputation_is_laplaces() -> None:
    assert reputation(participant(0, 0, 0)) == 0.5
    assert reputation(participant(8, 0, 0)) == 0.9
    assert reputation(participant(7, 1, 0)) == reputation(participant(7, 0, 1)) == 0.8


@pytest.mark.parametrize(
    ("standing", "owed", "bid", "words"),
    [
        (Standing(Micro(100), 0.9, is_active=True), 0, 100, None),
        (Standing(Micro(100), 0.9, is_active=True), 0, 101, "it must deposit"),
        (Standing(Micro(100), 0.9, is_active=True), 50, 51, "it must deposit"),
        (Standing(Micro(49), 0.9, is_active=True), 0, 1, "50 µ are asked for"),
        (Standing(Micro(100), 0.69, is_active=True), 0, 1, "reputation is 0.690"),
        (Standing(Micro(100), 0.9, is_active=False), 0, 1, "revoked"),
        (None, 0, 1, "not known"),
    ],
)
def test_whose_bids_take_part(standing: Standing | None, owed: int, bid: int, words: str | None) -> None:
    wanted = Requirements(Micro(50), 0.7)
    reason = wanted.reason_against(standing, owed=Micro(owed), bid=Micro(bid))
    assert reason is None if words is None else words in str(reason)


def test_who_asks_for_nothing_takes_unknown_buyers() -> None:
    assert Requirements().reason_against(None, owed=Micro(0), bid=Micro(1)) is None
    for wrong in ({"minimum_escrow": Micro(-1)}, {"minimum_reputation": 1.0}, {"minimum_reputation": -0.1}):
        with pytest.raises(ValueError, match="expected"):
            Requirements(**wrong)


def test_standings_are_read_age_and_are_bounded() -> None:
    watched = Standings(INTERFACE, PLACE)
    watched.watch(BUYER_ID)
    ((question, buyers),) = watched.requests()
    assert question.addresses == (PLACE.participant(BUYER_ID), PLACE.escrow(BUYER_ID))
    known = account(participant_data(BUYER_ID, BUYER.public, 2))
    good, poor = Accounts(1, (known, escrow(500))), Accounts(1, (known, escrow(3)))
    watched.take(buyers, [good, poor], at(0))
    assert watched.get(BUYER_ID, at(59)) == Standing(Micro(3), 0.5, is_active=True)
    assert watched.get(BUYER_ID, at(61)) is None, "too old to count"
    watched.take(buyers, [Accounts(1, (None, None))], at(70))
    assert watched.get(BUYER_ID, at(70)) == Standing(Micro(0), 0.0, is_active=False)
    for device in range(MAX_BUYERS + 10):
        watched.watch(DeviceId(10_000 + device))
    assert sum(len(part) for _, part in watched.requests()) == MAX_BUYERS
    watched.forget(DeviceId(10_000 + MAX_BUYERS))
    assert sum(len(part) for _, part in watched.requests()) == MAX_BUYERS - 1
