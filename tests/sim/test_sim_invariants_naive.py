"""The naive rules say what `market` says, for any bids; and where they differ from what a battery promised, it is said."""

import random

import pytest

from etp import messages
from etp.codes import RejectCode, TerminateCode
from etp.effects import Commit
from etp.units import DeviceId, LotId, MessageId, MicroPerKwh, MonotonicS, Wh
from market.auction import Bid, LotTerms, Taken
from market.mechanisms import MECHANISMS
from sim.invariants.naive import DEAREST, RULES, Stood, Won, needed
from tests.sim.histories import BUYERS, ENERGY, FAILED, INCREMENT, LOT, RESERVE, History

A, B, C = BUYERS
GOODBYE = messages.terminate(A, TerminateCode.TIMEOUT)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_naive_and_shipped_rules_agree(mechanism: str) -> None:
    """2,000 lots of up to six bids on a coarse grid, so that prices tie and lots overflow."""
    rng = random.Random(mechanism)
    rule = MECHANISMS[mechanism]
    for _ in range(2_000):
        lot = LotTerms(Wh(rng.choice((500, 1_000))), MicroPerKwh(3), MicroPerKwh(2), 1.0, 9.0, hide_reserve=False)
        state, stood = rule.open(lot), {}
        for arrival in range(rng.randint(1, 6)):
            bidder, price = DeviceId(rng.randint(1, 4)), MicroPerKwh(rng.randint(2, 7))
            energy = Wh(rng.choice((200, 500, 900)) if rule.divisible else rng.randint(1, lot.energy))
            verdict = rule.bid(state, Bid(bidder, MessageId(0), price, energy, arrival), MonotonicS(0.0))
            leader = next(iter(stood.values()), None)
            takes_part = price >= 3 and (rule.sealed or leader is None or not rule.immediate)
            if mechanism == "english":
                takes_part = price >= max(3, needed(leader, 2))
            assert isinstance(verdict, Taken) == takes_part
            if isinstance(verdict, Taken):
                state = verdict.state
                stood = stood if rule.sealed else {}
                stood[bidder] = Stood(bidder, price, energy, arrival)
        awards = rule.close(state, MonotonicS(9.0)).awards
        due = RULES[mechanism](list(stood.values()), lot.energy, lot.reserve) if stood else []
        assert [Won(each.bid.bidder, each.energy, each.paid) for each in awards] == due


def test_the_next_english_price() -> None:
    """One increment up, at least 1 µ, and never an ask that no frame carries."""
    assert needed(None, 500) == 0
    assert needed(Stood(1, 1_000, 1, 1), 500) == 1_500
    assert needed(Stood(1, 1_000, 1, 1), 0) == 1_001
    assert needed(Stood(1, DEAREST - 1, 1, 1), 500) == DEAREST
    assert needed(Stood(1, DEAREST, 1, 1), 500) == DEAREST + 1


# -- english


def test_an_english_lot_that_goes_well() -> None:
    """Raised twice, sold to the leader; the outbid one may come back."""
    history = History()
    history.bid(A, 120_000)
    history.bid(B, 120_500)
    history.bid(A, 120_600, refused=RejectCode.OUTBID)
    history.bid(A, 121_000)
    history.close((A, 1_000, 121_000))
    assert history.watch.found == []


@pytest.mark.parametrize(
    ("awards", "broken"),
    [
        ([(A, 1_000, 120_000)], {"winner"}),  # who was outbid
        ([(B, 1_000, 120_000)], {"winner"}),  # not its own price
        ([(B, 900, 121_000)], {"winner"}),  # not what it asked for
        ([(B, 1_000, 121_000), (A, 1_000, 120_000)], {"winner"}),  # two of one lot
        ([(B, 1_000, 121_000)], set()),
    ],
)
def test_an_english_lot_that_goes_to_somebody_else(awards: list[tuple[int, int, int]], broken: set[str]) -> None:
    """Only the leader wins, what it asked for, at its own price."""
    history = History()
    history.bid(A, 120_000)
    history.bid(B, 121_000)
    history.close(*awards, durable=False)
    assert history.names == broken


def test_a_step_that_is_too_small() -> None:
    """A bid under the leading one + the increment leads."""
    history = History()
    history.bid(A, 120_000)
    history.bid(B, 120_000 + INCREMENT - 1)
    assert history.names == {"winner"}


def test_an_english_bid_that_was_good_enough() -> None:
    """OUTBID, though it is one increment more."""
    history = History()
    history.bid(A, 120_000)
    history.bid(B, 120_000 + INCREMENT, refused=RejectCode.OUTBID)
    assert history.names == {"answered"}


@pytest.mark.parametrize("about", [LOT, 0])
def test_a_leader_that_goes_binds(about: int) -> None:
    """Neither a Terminate nor a lost session takes the leading bid out: the next one must be better, and it wins."""
    history = History()
    history.bid(A, 120_000)
    if about:
        goodbye = history.raw(GOODBYE, about)
        history.watch.wire(A, 101, goodbye, 0.0)
        history.turn(goodbye, A, [])
    else:
        history.turn(b"", A, [])
    history.bid(B, 110_000)
    assert history.names == {"winner"}


# -- sealed


@pytest.mark.parametrize(
    ("mechanism", "right", "wrong"),
    [
        ("first-price", [(B, 1_000, 130_000)], [(B, 1_000, 120_000)]),
        ("vickrey", [(B, 1_000, 120_000)], [(B, 1_000, 130_000)]),
        ("uniform", [(B, 1_000, 120_000), (A, 1_000, 120_000)], [(B, 1_000, 130_000), (A, 1_000, 120_000)]),
        ("uniform", [(B, 1_000, 120_000), (A, 1_000, 120_000)], [(B, 1_000, 120_000)]),
        ("vickrey", [(B, 1_000, 120_000)], [(A, 1_000, 120_000)]),
    ],
)
def test_each_mechanism_has_its_price(
    mechanism: str, right: list[tuple[int, int, int]], wrong: list[tuple[int, int, int]]
) -> None:
    """Two bids of 1,000 Wh and one of 600 Wh for 2,000 Wh, at 130,000, 120,000 and 120,000 µ."""
    for awards, broken in ((right, set()), (wrong, {"winner"})):
        history = History(mechanism)
        history.bid(A, 120_000)
        history.bid(B, 130_000)
        history.bid(C, 120_000, 600)
        history.close(*awards, durable=False)
        assert history.names == broken


def test_of_equal_prices_the_earlier_wins() -> None:
    """By arrival: a bid that replaces its bidder's own comes when it comes."""
    for winner, broken in ((B, set()), (A, {"winner"})):
        history = History("first-price")
        history.bid(A, 110_000)
        history.bid(B, 120_000)
        history.bid(A, 120_000)
        history.close((winner, 1_000, 120_000), durable=False)
        assert history.names == broken


@pytest.mark.parametrize("how", ["session", "terminate", "reject"])
def test_a_sealed_bid_that_was_withdrawn(how: str) -> None:
    """It does not win any more, nor does it set the price."""
    history = History("vickrey")
    history.bid(A, 140_000)
    history.bid(B, 130_000)
    history.bid(C, 110_000)
    if how == "session":
        history.turn(b"", A, [])
    elif how == "terminate":
        history.turn(history.raw(GOODBYE, LOT), A, [])
    else:
        history.bid(A, 90_000, refused=RejectCode.BELOW_RESERVE)
    history.close((B, 1_000, 110_000), durable=False)
    assert history.names - {"sender"} == set()


def test_a_goodbye_to_another_lot_withdraws_nothing() -> None:
    """A record names its lot; what is said of a lot that is over leaves the bid of this one."""
    history = History("first-price")
    history.bid(A, 140_000)
    old = history.raw(GOODBYE, LOT - 1)
    history.watch.wire(A, 101, old, 0.0)
    history.turn(old, A, [])
    history.close((A, 1_000, 140_000))
    assert history.watch.found == []


def test_the_first_above_the_reserve_wins() -> None:
    """At its own price, at once."""
    history = History("first-above-reserve")
    history.bid(A, 120_000, beside=[history.reserve((A, 1_000, 120_000))])
    assert history.watch.found == []
    history.bid(B, 130_000, beside=[history.reserve((B, 1_000, 120_000))])
    assert history.names == {"winner"}
    late = History("first-above-reserve")
    late.bid(A, 120_000)
    assert late.names == {"answered"}


def test_a_lot_that_is_dropped_without_a_word() -> None:
    """The next lot takes bids while one stands in the lot before."""
    history = History()
    history.bid(A, 120_000)
    history.lot_id = LotId(LOT + 1)
    history.bid(B, 120_000)
    assert history.names == {"winner"}


def test_nobody_wins_without_a_bid() -> None:
    """A promise out of nowhere, also after a restart, which forgets all bids."""
    history = History()
    history.bid(A, 120_000)
    history.watch.restart(101)
    history.close((A, 1_000, 120_000), durable=False)
    assert history.names == {"winner"}


@pytest.mark.parametrize("mechanism", ["english", "first-price", "uniform"])
def test_somebody_wins_where_a_bid_stands(mechanism: str) -> None:
    """A lot ends unsold if nobody stood in it any more, or if its device has failed; else the best bid has won."""
    voided = History(mechanism)
    voided.bid(A, 120_000)
    voided.void()
    assert voided.names == {"winner"}
    failed = History(mechanism)
    failed.bid(A, 120_000)
    failed.void(FAILED)
    gone = History("first-price")
    gone.bid(A, 120_000)
    gone.turn(b"", A, [])
    gone.void()
    assert [*failed.watch.found, *gone.watch.found] == []


def test_a_promise_without_its_lot() -> None:
    """RESERVED is written, and how its lot ended is not in that transaction: nobody can tell who must have won."""
    history = History()
    history.bid(A, 120_000)
    commit = history.reserve((A, 1_000, 120_000))
    history.turn(None, 0, [Commit(commit.rows[1:], "reserve", (), MonotonicS(0.0))])
    assert history.names == {"atomic"}


# -- the reserve


def test_below_the_reserve() -> None:
    """1 µ too little takes part; a lot whose own reserve is higher than what is paid, or lower than the battery's."""
    history = History()
    history.bid(A, RESERVE - 1)
    assert history.names == {"reserve"}
    for reserve in (120_001, RESERVE - 1):
        lot = History()
        lot.bid(A, 120_000)
        lot.close((A, 1_000, 120_000), durable=False, reserve_micro_per_kwh=reserve)
        assert lot.names == {"reserve"}
    right = History()
    right.bid(A, RESERVE, int(ENERGY))
    right.close((A, int(ENERGY), RESERVE))
    assert right.watch.found == []
