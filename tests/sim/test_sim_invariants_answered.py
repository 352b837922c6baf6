"""Every Bid is answered at once, and refused only for what it is: the right refusal of each kind, and the wrong one beside it."""

import pytest

from etp import messages
from etp.codes import RejectCode
from etp.effects import BidRow, Envelope, RecordBid, Send
from etp.units import LotId, MessageId, MicroPerKwh, Wh
from tests.sim.histories import BATTERY, BUYERS, ENERGY, FAILED, LOT, RESERVE, START_US, History, at

A, B, _ = BUYERS
PRICE = 120_000
ANSWERED = {"answered"}


@pytest.mark.parametrize("signed", [True, False])
def test_a_bid_without_an_answer(signed: bool) -> None:
    """Nothing is said to its bidder; something is said, but to somebody else; the same bytes again need no word."""
    silent = History(signed=signed)
    raw = silent.raw(messages.bid(A, price=MicroPerKwh(PRICE), energy=Wh(1_000)), LOT)
    silent.watch.wire(A, BATTERY, raw, 0.0)
    silent.turn(raw, A, [])
    assert silent.names == ANSWERED
    again = History(signed=signed)
    raw = again.bid(A, PRICE)
    again.turn(raw, A, [], fresh=False)
    assert again.watch.found == []
    other = History(signed=signed)
    raw = other.raw(messages.bid(B, price=MicroPerKwh(PRICE), energy=Wh(1_000)), LOT)
    other.watch.wire(B, BATTERY, raw, 0.0)
    told = messages.reject(BATTERY, RejectCode.UNAVAILABLE, refused=PRICE / 10_000)
    other.turn(raw, B, [Send(A, Envelope(told, lot_id=LOT))])
    assert other.names == ANSWERED


def test_a_bid_that_is_recorded_and_not_answered() -> None:
    """In the ring of bids as one that stands; its bidder hears nothing."""
    history = History("first-price")
    raw = history.raw(messages.bid(A, price=MicroPerKwh(PRICE), energy=Wh(1_000)), LOT)
    history.watch.wire(A, BATTERY, raw, 0.0)
    row = BidRow(LOT, A, MessageId(START_US), Wh(1_000), MicroPerKwh(PRICE), "standing", at(0.0).wall_us)
    history.turn(raw, A, [RecordBid(row)])
    assert history.names == ANSWERED


@pytest.mark.parametrize(
    ("mechanism", "code", "sound"),
    [
        ("english", RejectCode.OUTBID, False),
        ("first-price", RejectCode.OUTBID, False),
        ("vickrey", RejectCode.ANOTHER_WON, False),
        ("english", RejectCode.NOT_AUTHORISED, False),
        ("english", RejectCode.LATE, False),
        ("english", RejectCode.INVALID, False),
        ("uniform", RejectCode.INSUFFICIENT, False),
        ("english", RejectCode.BELOW_RESERVE, False),
        ("english", RejectCode.INSUFFICIENT, True),
        ("english", RejectCode.LOT_CLOSED, True),
        ("first-price", RejectCode.UNAVAILABLE, True),
        ("first-price", RejectCode.TOO_MANY, True),
    ],
)
def test_what_the_first_bid_of_a_lot_may_be_refused_for(mechanism: str, code: RejectCode, sound: bool) -> None:
    """A fresh bid, of enough energy, above every reserve that the battery ever had: for what cannot be seen, at most."""
    history = History(mechanism, dearest=RESERVE, min_lot=Wh(100))
    history.bid(A, PRICE, refused=code)
    assert history.names == (set() if sound else ANSWERED)


@pytest.mark.parametrize(
    ("price", "dearest", "sound"), [(99_999, RESERVE, True), (RESERVE, RESERVE, False), (1, None, True)]
)
def test_below_a_reserve_that_it_never_had(price: int, dearest: MicroPerKwh | None, sound: bool) -> None:
    """The first bid of a lot, whose own terms nobody knows yet."""
    history = History(dearest=dearest)
    history.bid(A, price, refused=RejectCode.BELOW_RESERVE)
    history.void()
    assert history.names == (set() if sound else ANSWERED)


@pytest.mark.parametrize("mechanism", ["english", "first-price", "vickrey", "uniform"])
@pytest.mark.parametrize(
    ("code", "price", "energy", "sound"),
    [
        (RejectCode.BELOW_RESERVE, RESERVE - 1, 1_000, True),
        (RejectCode.BELOW_RESERVE, RESERVE, 1_000, False),
        (RejectCode.INSUFFICIENT, PRICE, 99, True),
        (RejectCode.INSUFFICIENT, PRICE, 100, False),
        (RejectCode.INSUFFICIENT, PRICE, ENERGY, False),
    ],
)
def test_the_terms_of_a_lot_bear_a_refusal_out(
    mechanism: str, code: RejectCode, price: int, energy: int, sound: bool
) -> None:
    """They stay as they are while a bid stands, and the lot says them when it ends."""
    history = History(mechanism, min_lot=Wh(100))
    history.bid(B, PRICE + 1_000)
    history.bid(A, price, energy, refused=code)
    assert mechanism == "uniform" or history.watch.found == []
    history.void(FAILED)
    assert history.names == (set() if sound else ANSWERED)


@pytest.mark.parametrize(("mechanism", "sound"), [("english", True), ("uniform", False)])
def test_more_than_the_lot(mechanism: str, sound: bool) -> None:
    """Only a lot that is divided can be bid for beyond its size."""
    history = History(mechanism, min_lot=Wh(100))
    history.bid(B, PRICE)
    history.bid(A, PRICE + 500, ENERGY + 1, refused=RejectCode.INSUFFICIENT)
    history.void(FAILED)
    assert history.names == (set() if sound else ANSWERED)


def test_a_lot_that_was_empty_may_have_had_other_terms() -> None:
    """Whoever stood in it has gone, so that it may be offered anew; another lot is another lot."""
    gone = History("first-price")
    gone.bid(B, PRICE)
    gone.bid(A, RESERVE, refused=RejectCode.BELOW_RESERVE)
    gone.turn(b"", B, [])
    gone.void()
    restarted = History("first-price")
    restarted.bid(B, PRICE)
    restarted.bid(A, RESERVE, refused=RejectCode.BELOW_RESERVE)
    restarted.watch.restart(BATTERY)
    restarted.void()
    assert [*gone.watch.found, *restarted.watch.found] == []


@pytest.mark.parametrize(
    ("age_s", "code", "sound"),
    [
        (0.550001, RejectCode.LATE, True),
        (0.55, RejectCode.LATE, False),
        (-5.0, RejectCode.INVALID, False),
        (-5.000001, RejectCode.INVALID, True),
    ],
)
def test_a_bid_by_its_age(age_s: float, code: RejectCode, sound: bool) -> None:
    """Late after 550 ms, and invalid if it is from more than 5 s ahead (design §3)."""
    history = History()
    history.turn(None, 0, [])
    history.second = 10.0
    bid = messages.bid(A, price=MicroPerKwh(PRICE), energy=Wh(1_000))
    raw = history.raw(bid, LOT, message_id=at(10.0 - age_s).wall_us)
    history.bid(A, PRICE, refused=code, raw=raw)
    assert history.names == (set() if sound else ANSWERED)


def test_a_bid_from_before_a_restart() -> None:
    """Stamped before this life began it is late, however young it is."""
    for restarts in (True, False):
        history = History()
        history.turn(None, 0, [])
        history.second = 0.1
        bid = messages.bid(A, price=MicroPerKwh(PRICE), energy=Wh(1_000))
        raw = history.raw(bid, LOT, message_id=START_US + 1)
        if restarts:
            history.watch.restart(BATTERY)
        history.bid(A, PRICE, refused=RejectCode.LATE, raw=raw)
        assert history.names == (set() if restarts else ANSWERED)


def test_a_lot_that_is_not_closed() -> None:
    """A bid stands in it, and another one is told that it is over; of the lot before that is true."""
    for lot_id, sound in ((LOT, False), (LotId(LOT - 1), True)):
        history = History("first-price")
        history.bid(B, PRICE)
        raw = history.raw(messages.bid(A, price=MicroPerKwh(PRICE), energy=Wh(1_000)), lot_id)
        history.bid(A, PRICE, refused=RejectCode.LOT_CLOSED, raw=raw)
        assert history.names == (set() if sound else ANSWERED)


@pytest.mark.parametrize("excuse", ["", "nobody", "promised", "lapsed", "settles", "disk", "disk long ago", "clock"])
def test_unavailable_in_a_lot_that_is_open(excuse: str) -> None:
    """Somebody stands in it: who is turned away has a promise, a lapse or a debt, or the battery a bad disk or clock."""
    history = History("first-price", settles=excuse == "settles")
    if excuse in ("promised", "lapsed"):
        history.won(A)
    if excuse == "lapsed":
        history.second = 1.0
        history.release(A, 1_000, PRICE, "no confirm")
        history.second = 2.0
    history.lot_id = LotId(LOT + 1)
    if excuse != "nobody":
        history.bid(B, PRICE)
    if excuse.startswith("disk"):
        history.watch.failed(BATTERY, ())
        history.turn(None, 0, [])
        history.second = 1.1 if "long ago" in excuse else 0.9
    if excuse == "clock":
        history.second = 3.0
        history.turn(None, 0, [])
        history.second = 1.0
    history.bid(A, PRICE, refused=RejectCode.UNAVAILABLE)
    assert history.names == (ANSWERED if excuse in ("", "disk long ago") else set())


def test_who_was_not_promised_anything_in_the_end_may_bid() -> None:
    """The journal has refused its RESERVED, or has its CONFIRMED: no promise of it is open any more."""
    for refused in (True, False):
        history = History("first-price")
        history.bid(A, PRICE)
        rows = history.close((A, 1_000, PRICE), durable=not refused)
        if refused:
            history.watch.failed(BATTERY, rows)
            history.turn(None, 0, [])
        else:
            history.watch.durable(BATTERY, (history.promise(A, 1_000, PRICE, "confirmed"),))
        history.second, history.lot_id = 2.0, LotId(LOT + 1)
        history.bid(B, PRICE)
        history.bid(A, PRICE, refused=RejectCode.UNAVAILABLE)
        assert history.names == ANSWERED
