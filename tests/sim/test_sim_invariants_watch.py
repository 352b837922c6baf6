"""Each invariant bites while a market runs: a history by hand that breaks exactly one, and the right one beside it."""

from dataclasses import replace

import pytest

from etp import messages
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.effects import BidRow, Commit, RecordBid, Row, Settle
from etp.frame import Frame
from etp.limits import Limits
from etp.units import DeviceId, MicroPerKwh, MonotonicS, Wh
from sim.invariants import INVARIANTS, Stock, Violation
from sim.invariants.ledger import Ledger
from sim.invariants.sizes import Size, sizes
from tests.sim.histories import BATTERY, BUYERS, FAILED, LOT, History, at
from tests.support import bench

A, B, _ = BUYERS
PRICE, ENERGY = 120_000, 1_000


@pytest.mark.parametrize("signed", [True, False])
def test_a_whole_trade_breaks_nothing(signed: bool) -> None:
    """Bid, Accept, Confirm, FINISHED, and all of it said again."""
    history = History(signed=signed)
    confirm = history.traded()
    history.turn(confirm, A, [], fresh=False)
    history.terminate(A, TerminateCode.FINISHED)
    assert history.watch.found == []
    assert history.watch.ended(history.books) == []


def test_every_violation_has_a_name_that_is_explained() -> None:
    """All names of the package are in the table, with what they mean and where that is decided."""
    assert all("(" in text for text in INVARIANTS.values())
    assert str(Violation("energy", 101, "too much")) == "energy at 101: too much"


# -- promise_missing: before its row


def test_an_accept_before_its_row() -> None:
    """RESERVED is on its way to the disk, and the Accept leaves."""
    history = History()
    history.bid(A, PRICE)
    history.close((A, ENERGY, PRICE), durable=False)
    history.accept(A, ENERGY, PRICE)
    assert history.names == {"promise_missing"}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("receiver", "energy", "price"), [(B, ENERGY, PRICE), (A, 999, PRICE), (A, ENERGY, PRICE - 1)])
def test_an_accept_of_something_else(receiver: DeviceId, energy: int, price: int, signed: bool) -> None:
    """To somebody else, or of other terms than the row says."""
    history = History(signed=signed)
    history.bid(A, PRICE)
    history.close((A, ENERGY, PRICE))
    history.accept(receiver, energy, price)
    assert history.names == {"promise_missing"}


def test_one_row_is_one_accept() -> None:
    """The same bytes may leave again; another Accept may not."""
    history = History()
    raw = history.won()
    history.watch.wire(BATTERY, A, raw, 0.1)
    assert history.watch.found == []
    history.accept(A, ENERGY, PRICE)
    assert history.names == {"promise_missing"}


def test_a_confirm_before_its_row() -> None:
    """The buyer's CONFIRMING is on its way to the disk, and the Confirm leaves."""
    history = History()
    history.confirming(A, history.won(), durable=False)
    assert history.names == {"promise_missing"}


@pytest.mark.parametrize("signed", [True, False])
def test_finished_before_its_row(signed: bool) -> None:
    """FINISHED of a lot that is RESERVED only; and of one that somebody else has bought."""
    history = History(signed=signed)
    history.won()
    history.terminate(A, TerminateCode.FINISHED)
    assert history.names == {"promise_missing"}
    other = History(signed=signed)
    other.traded()
    other.terminate(B, TerminateCode.FINISHED)
    assert other.names == {"promise_missing"}


@pytest.mark.parametrize("code", [TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER])
def test_a_refund_of_what_stands(code: TerminateCode) -> None:
    """A record that gives a lot up, while it is RESERVED, and after it was CONFIRMED."""
    reserved = History()
    reserved.won()
    reserved.terminate(A, code)
    assert reserved.names == {"promise_missing"}
    confirmed = History()
    confirmed.traded()
    confirmed.terminate(A, code)
    assert confirmed.names == {"promise_missing"}
    free = History()
    free.terminate(A, code, LOT)
    assert free.watch.found == []


def test_what_was_delivered_short_is_given_up() -> None:
    """CANNOT_DELIVER after FINISHED, once the delivery has ended short."""
    history = History()
    history.traded()
    body = {"energy_wh": ENERGY, "delivered_wh": 10}
    history.watch.durable(BATTERY, (Row("energy", LOT, "short", at(1).wall_us, body),))
    history.terminate(A, TerminateCode.CANNOT_DELIVER)
    assert history.watch.found == []


# -- sold_twice, transition, terms, atomic, money, energy, conserved, settled_once


def test_a_lot_for_two() -> None:
    """RESERVED again, for another buyer; a second trade; a second Confirm that is FINISHED."""
    history = History()
    history.won()
    history.watch.durable(BATTERY, (history.promise(B, ENERGY, PRICE),))
    assert history.names == {"sold_twice"}
    for again in (1, 3):
        twice = History()
        confirm = twice.traded()
        twice.watch.durable(BATTERY, (twice.confirmed(A, ENERGY, PRICE, confirm)[again],))
        assert twice.names == {"sold_twice"}
    unsold = History()
    unsold.won()
    unsold.watch.durable(BATTERY, unsold.confirmed(A, ENERGY, PRICE, bytes(212))[1:2])
    assert unsold.names == {"sold_twice"}


@pytest.mark.parametrize("states", [("released", "released"), ("confirmed", "released"), ("released", "confirmed")])
def test_a_move_that_the_table_does_not_have(states: tuple[str, str]) -> None:
    """An end after the end; RELEASED of what never was RESERVED."""
    history = History()
    history.won()
    for state in states:
        history.watch.durable(BATTERY, (history.promise(A, ENERGY, PRICE, state, reason="restart"),))
    assert history.names == {"transition"}
    never = History()
    never.watch.durable(BATTERY, (never.promise(A, ENERGY, PRICE, "released", reason="restart"),))
    assert never.names == {"transition"}


def test_a_buyer_s_promise_that_ends_twice() -> None:
    """FINISHED after RELEASED."""
    history = History()
    confirm = history.confirming(A, history.won())
    body = {"battery": BATTERY, "confirm": confirm.hex(), "accept": "", "energy_wh": ENERGY, "message_id": 1}
    rows = [
        Row("promise", LOT, state, at(1).wall_us, body | {"price_micro_per_kwh": PRICE})
        for state in ("released", "finished")
    ]
    history.watch.durable(A, rows[:1])
    assert history.watch.found == []
    history.watch.durable(A, rows[1:])
    assert history.names == {"transition"}


@pytest.mark.parametrize("changed", [{"energy": 900}, {"price": 110_000}])
def test_other_terms_than_promised(changed: dict[str, int]) -> None:
    """CONFIRMED of something else than was RESERVED; a Confirm that says something else."""
    terms = {"energy": ENERGY, "price": PRICE} | changed
    history = History()
    history.won()
    row = history.promise(A, terms["energy"], terms["price"], "released", reason="restart")
    history.watch.durable(BATTERY, (row,))
    assert history.names == {"terms"}
    said = History()
    said.won()
    other = said.raw(
        messages.confirm(
            A,
            messages.accept(
                BATTERY,
                energy=terms["energy"],
                paid=terms["price"],
                bid_price=PRICE,
                offer=messages.Offer(0, 0),
            ),
        ),
        LOT,
    )
    said.watch.durable(BATTERY, said.confirmed(A, ENERGY, PRICE, other))
    assert said.names == {"terms"}


def test_dearer_than_it_was_bid() -> None:
    """A battery promises above the bid; a buyer confirms above its bid, or more than it asked for, or no Accept's terms."""
    history = History()
    history.bid(A, PRICE)
    history.watch.durable(BATTERY, (history.promise(A, ENERGY, PRICE, bid_micro_per_kwh=PRICE - 1),))
    assert history.names == {"terms"}
    for price, energy, broken in (
        (PRICE, ENERGY, set()),
        (PRICE - 1, ENERGY, {"terms"}),
        (PRICE, ENERGY - 1, {"terms"}),
    ):
        buyer = History(hostile=frozenset({BATTERY}))
        bid = messages.bid(A, price=price, energy=energy)
        buyer.watch.wire(A, BATTERY, buyer.raw(bid, LOT, message_id=1), 0.0)
        buyer.confirming(A, buyer.accept(A, ENERGY, PRICE))
        assert buyer.names == broken
    liar = History(hostile=frozenset({BATTERY}))
    liar.confirming(A, liar.accept(A, ENERGY, PRICE), price_micro_per_kwh=PRICE - 1)
    assert liar.names == {"terms"}


@pytest.mark.parametrize("missing", ["trade", "energy", "answer", "settlement"])
def test_a_part_of_a_confirmation(missing: str) -> None:
    """CONFIRMED is written, and what belongs to it is not in its transaction."""
    history = History(settles=True)
    confirm = history.confirming(A, history.won())
    rows = history.confirmed(A, ENERGY, PRICE, confirm)
    history.turn(
        confirm, A, [Commit(tuple(row for row in rows if row.kind != missing), "confirm", (), MonotonicS(0.0))]
    )
    assert history.names == {"atomic"}
    whole = History(settles=True)
    whole.traded()
    assert whole.watch.ended(whole.books) == []


def test_a_half_of_a_micro() -> None:
    """Rounded to even (design §2): 1 Wh at 2,500 µ is 2 µ, and not 3; a trade of a buyer likewise."""
    for who in (BATTERY, A):
        for paid, broken in ((2, set()), (3, {"money"})):
            history = History(demand=10_000)
            history.watch.durable(BATTERY, (history.promise(A, 1, 2_500),))
            history.watch.durable(BATTERY, (history.promise(A, 1, 2_500, "confirmed"),))
            body = {"bidder": A, "battery": BATTERY, "message_id": 1, "energy_wh": 1, "price_micro_per_kwh": 2_500}
            history.watch.durable(who, (Row("trade", LOT, "confirmed", at(0).wall_us, body | {"paid_micro": paid}),))
            assert history.names == broken


def test_more_than_there_is() -> None:
    """1 Wh more than the battery could have had; what is released, or ends short, is there again."""
    history = History(supply=ENERGY)
    history.won()
    history.watch.durable(BATTERY, (history.promise(B, 1, PRICE, lot_id=LOT + 9),))
    assert history.names == {"energy"}
    freed = History(supply=ENERGY)
    freed.won()
    freed.watch.durable(BATTERY, (freed.promise(A, ENERGY, PRICE, "released", reason="restart"),))
    freed.watch.durable(BATTERY, (freed.promise(B, ENERGY, PRICE, lot_id=LOT + 9),))
    assert freed.watch.found == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("delivered", 999), None),
        (("delivered", 1_000), ("delivered", 1_000)),
        (("short", 1_000), None),
        (("short", 3), ("delivered", 1_000)),
    ],
)
def test_a_delivery_that_does_not_add_up(first: tuple[str, int], second: tuple[str, int] | None) -> None:
    """Less than it says, or twice."""
    history = History()
    history.traded()
    for state, delivered in filter(None, (first, second)):
        body = {"energy_wh": ENERGY, "delivered_wh": delivered}
        history.watch.durable(BATTERY, (Row("energy", LOT, state, at(1).wall_us, body),))
    assert history.names == {"conserved"}


@pytest.mark.parametrize(
    ("stored", "broken"),
    [(4_000.0, set()), (4_000.5, {"conserved"}), (5_000.0, {"conserved"}), (3_999.0, {"conserved"})],
)
def test_what_is_left_and_what_was_given_make_up_what_there_was(stored: float, broken: set[str]) -> None:
    """Of 4,000 Wh at the terminals 1,000 are delivered at 75 % efficiency: 4,000 stored Wh are left."""
    history = History(stock=Stock(4_000.0, 0.75))
    history.traded()
    delivered = Row("energy", LOT, "delivered", at(1).wall_us, {"energy_wh": ENERGY, "delivered_wh": ENERGY})
    level = Row("energy", 0, "level", at(1).wall_us, {"energy_wh": 0, "stored_uwh": round(stored * 1e6)})
    history.watch.durable(BATTERY, (delivered, level))
    assert history.names == broken


def test_a_payment_that_goes_back() -> None:
    """SETTLED twice; one without a trade; a trade without one."""
    history = History(settles=True)
    history.traded()
    for state in ("settling", "held", "settled"):
        history.watch.durable(BATTERY, (Row("settlement", LOT, state, at(1).wall_us, {}),))
    assert history.watch.found == []
    history.watch.durable(BATTERY, (Row("settlement", LOT, "settled", at(1).wall_us, {}),))
    assert history.names == {"settled_once"}
    never = History(settles=True)
    never.watch.durable(BATTERY, (Row("settlement", LOT, "confirmed", at(1).wall_us, {}),))
    assert never.names == {"settled_once"}
    unpaid = History(settles=True)
    confirm = unpaid.confirming(A, unpaid.won())
    rows = [unpaid.promise(A, ENERGY, PRICE), *unpaid.confirmed(A, ENERGY, PRICE, confirm)[:-1]]
    ledger = Ledger(replace(unpaid.books.batteries[0], rows=rows))
    assert [each.name for each in ledger.unfinished()] == ["settled_once"]
    unsold = Ledger(replace(History().books.batteries[0], rows=[*rows[:2], *rows[3:]]))
    assert [each.name for each in unsold.unfinished()] == ["sold_twice"]


# -- demand


def test_more_than_is_wanted_or_can_be_paid() -> None:
    """A promise and a trade are 1 Wh too much together, or 1 µ too dear."""
    for limits, broken in (({}, set()), ({"demand": ENERGY - 1}, {"demand"}), ({"budget": 119_999}, {"demand"})):
        history = History(**limits)  # type: ignore[arg-type]
        history.confirming(A, history.won())
        assert history.names == broken
    history = History(demand=ENERGY)
    trade = {"battery": BATTERY, "message_id": 9, "energy_wh": 1, "price_micro_per_kwh": 1_000, "paid_micro": 1}
    history.watch.durable(A, (Row("trade", LOT, "confirmed", at(0).wall_us, trade),))
    history.confirming(A, history.won())
    assert history.names == {"demand"}


def test_a_bid_is_bought_once() -> None:
    """A second trade of the same Bid."""
    history = History()
    trade = {"battery": BATTERY, "message_id": 9, "energy_wh": 1, "price_micro_per_kwh": 1_000, "paid_micro": 1}
    row = Row("trade", LOT, "confirmed", at(0).wall_us, trade)
    history.watch.durable(A, (row,))
    assert history.watch.found == []
    history.watch.durable(A, (row,))
    assert history.names == {"sold_twice"}


# -- released, window


@pytest.mark.parametrize(
    ("reason", "kind", "second", "sound"),
    [
        ("declined", "terminate", 0.1, True),
        ("declined", "stranger", 0.1, False),
        ("declined", "lost", 0.1, False),
        ("declined", "other lot", 0.1, False),
        ("no confirm", "nothing", 1.0, True),
        ("no confirm", "nothing", 0.999, False),
        ("late confirm", "confirm", 1.0, True),
        ("late confirm", "confirm", 0.5, False),
        ("other terms", "confirm", 0.5, False),
        ("other terms", "other terms", 0.5, True),
        ("device failure", "failed", 0.1, True),
        ("device failure", "nothing", 0.1, False),
        ("device failure", "lost", 0.1, False),
        ("accept not sent", "nothing", 0.1, False),
        ("accept not sent", "nothing", 0.5, False),
        ("journal failed", "nothing", 0.1, False),
        ("journal failed", "journal", 0.1, True),
        ("restart", "nothing", 0.1, False),
        ("restart", "restart", 0.1, True),
        ("shutting down", "nothing", 0.1, False),
        ("the moon", "nothing", 0.1, False),
    ],
)
def test_a_promise_is_given_up_for_a_reason(reason: str, kind: str, second: float, sound: bool) -> None:
    """By its own buyer, by its time, or by the battery's own need; by nobody else and for nothing else."""
    history = History(hostile=frozenset({A}))  # whose Confirms need no row
    accept = messages.accept(BATTERY, energy=ENERGY, paid=PRICE, bid_price=PRICE, offer=messages.Offer(0, 0))
    history.won()
    history.second = second
    said = {
        "terminate": history.raw(messages.terminate(A, TerminateCode.TIMEOUT), LOT),
        "stranger": history.raw(messages.terminate(B, TerminateCode.TIMEOUT), LOT),
        "other lot": history.raw(messages.terminate(A, TerminateCode.TIMEOUT), LOT + 1),
        "confirm": history.raw(messages.confirm(A, accept), LOT),
        "other terms": history.raw(messages.confirm(A, accept._replace(sale_price=1.0)), LOT),
        "lost": b"",
    }
    raw, peer = said.get(kind), B if kind == "stranger" else A
    if raw:
        history.watch.wire(peer, BATTERY, raw, second)
    if kind == "journal":
        history.watch.failed(BATTERY, (history.promise(A, ENERGY, PRICE, "confirmed"),))
    if kind == "restart":
        history.watch.restart(BATTERY)
    history.release(A, ENERGY, PRICE, reason, raw=raw, peer=peer, beside=[FAILED] if kind == "failed" else [])
    assert history.names == (set() if sound else {"released"})


@pytest.mark.parametrize(
    ("second", "happens", "sound"),
    [(0.3, "", False), (0.41, "", True), (0.1, "failed", True), (0.1, "settles", True), (0.41, "accepted", False)],
)
def test_a_promise_whose_accept_is_not_sent(second: float, happens: str, sound: bool) -> None:
    """Its RESERVED was slow to become durable, its device failed meanwhile, or the chain may have stopped all lots."""
    history = History(settles=happens == "settles")
    history.bid(A, PRICE)
    history.close((A, ENERGY, PRICE))
    if happens == "accepted":
        history.accept(A, ENERGY, PRICE)
    history.second = second
    if happens == "failed":
        history.turn(None, 0, [FAILED])
    history.release(A, ENERGY, PRICE, "accept not sent")
    assert history.names == (set() if sound else {"released"})


@pytest.mark.parametrize(("second", "sound"), [(0.5, True), (0.9999, True), (1.0, False), (1.2, False)])
def test_a_confirm_by_its_time(second: float, sound: bool) -> None:
    """The first instant that does not count is 1 s after the Accept, by the battery's clock."""
    history = History()
    accept = history.won()
    history.second = second
    confirm = history.confirming(A, accept)
    history.confirm(A, confirm, history.confirmed(A, ENERGY, PRICE, confirm))
    assert history.names == (set() if sound else {"window"})


@pytest.mark.parametrize(("stamped_s", "sound"), [(0.7, True), (0.2, False), (6.0, False)])
def test_a_confirm_by_its_age(stamped_s: float, sound: bool) -> None:
    """More than 550 ms old, or more than 5 s ahead (design §3)."""
    history = History()
    accept = history.won()
    history.second = stamped_s
    confirm = history.confirming(A, accept)
    history.second = 0.8
    history.confirm(A, confirm, history.confirmed(A, ENERGY, PRICE, confirm))
    assert history.names == (set() if sound else {"window"})


def test_an_accept_that_never_ends() -> None:
    """Neither confirmed nor given up in time, by a timer of a busy loop; what was confirmed may take its time."""
    history = History()
    history.won()
    history.second = 1.05
    history.turn(None, 0, [])
    assert history.watch.found == []
    history.second = 1.07
    history.turn(None, 0, [])
    assert history.names == {"window"}
    for living, broken in (({BATTERY: at(1.07)}, {"window"}), ({BATTERY: at(1.05), A: at(9.0)}, set()), ({}, set())):
        silent = History()
        silent.won()
        assert {each.name for each in silent.watch.ended(silent.books, living)} == broken
    done = History()
    done.traded()
    done.second = 60.0
    done.turn(None, 0, [])
    assert done.watch.found == []


def test_a_restart_that_forgets_what_was_reserved() -> None:
    """It says something before what was RESERVED is RELEASED."""
    response = messages.response(BATTERY, offer=messages.Offer(0, 0), ask=1)
    for releases in (False, True):
        history = History()
        history.won()
        history.watch.restart(BATTERY)
        if releases:
            history.release(A, ENERGY, PRICE, "restart")
        history.watch.wire(BATTERY, A, history.raw(response), 1.0)
        assert history.names == (set() if releases else {"window"})


# -- sender, duplicate


def test_words_that_nobody_said() -> None:
    """A Query in another's name; one that was said to another node; an offer, and a promise confirmed without a Confirm."""
    forged = History()
    forged.turn(forged.raw(messages.query(A)), A, [])
    assert forged.names == {"sender"}
    elsewhere = History()
    raw = elsewhere.raw(messages.query(A))
    elsewhere.watch.wire(A, 102, raw, 0.0)
    elsewhere.turn(raw, A, [])
    assert elsewhere.names == {"sender"}
    offer = messages.Offer(Wh(5_000), Wh(2_000))
    for told in (messages.response(BATTERY, offer=offer, ask=MicroPerKwh(PRICE)), Frame(MessageType.STATUS, BATTERY)):
        for said in (True, False):
            heard = History()
            raw = heard.raw(told, LOT)
            if said:
                heard.watch.wire(BATTERY, A, raw, 0.0)
            heard.turn(raw, BATTERY, [], who=A)
            assert heard.names == (set() if said else {"sender"})
    for raw_of in (None, A, B):
        history = History(hostile=frozenset({B}))
        confirm = history.confirming(A, history.won())
        rows = history.confirmed(A, ENERGY, PRICE, confirm)
        raw = None if raw_of is None else confirm
        history.turn(raw, raw_of or 0, [Commit(rows, "confirm", (), MonotonicS(0.0))])
        assert history.names == (set() if raw_of == A else {"sender"})


def test_a_hostile_node_may_say_what_it_likes() -> None:
    """In its own name; of its promises nothing is asked. And in `plain` nobody knows who speaks."""
    history = History(hostile=frozenset({A}))
    history.bid(A, PRICE)
    plain = History(signed=False)
    plain.turn(plain.raw(messages.confirm(A, messages.query(BATTERY))), A, [])
    liar = History(hostile=frozenset({BATTERY}))
    liar.close((A, ENERGY, PRICE))
    liar.accept(A, ENERGY, PRICE)
    for each in (history, plain, liar):
        assert each.watch.found == []
    forger = History(hostile=frozenset({A}))
    forged = forger.raw(messages.query(B))
    forger.watch.wire(A, BATTERY, forged, 0.0)
    forger.turn(forged, B, [])
    assert forger.names == {"sender"}


def test_a_record_that_is_taken_for_new_twice() -> None:
    """Its counter came before: it is at most a repetition."""
    history = History()
    raw = history.bid(A, PRICE)
    history.turn(raw, A, [], fresh=False)
    assert history.watch.found == []
    history.turn(raw, A, [])
    assert history.names == {"duplicate"}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("what", ["bid", "commit", "settle"])
def test_a_repetition_that_changes_something(what: str, signed: bool) -> None:
    """A Bid that stands again, something that is written or paid again: in no profile."""
    history = History(signed=signed)
    raw = history.bid(A, PRICE)
    record = BidRow(LOT, A, 1, ENERGY, PRICE, "standing", at(0).wall_us)  # type: ignore[arg-type]
    row = history.promise(A, ENERGY, PRICE)
    done = {"bid": RecordBid(record), "commit": Commit((row,), "x", (), MonotonicS(0.0)), "settle": Settle(row)}
    history.turn(raw, A, [done[what]], fresh=False)
    assert "duplicate" in history.names


@pytest.mark.parametrize("signed", [True, False])
def test_a_repetition_after_a_restart(signed: bool) -> None:
    """A Confirm of a life before is answered at most; a Bid of it may stand, where its sender's clock is ahead."""
    history = History(signed=signed)
    raw = history.bid(A, PRICE)
    confirm = history.confirming(B, history.won(B, PRICE + 500))
    history.turn(confirm, B, [])
    history.watch.restart(BATTERY)
    history.release(B, ENERGY, PRICE + 500, "restart")
    history.bid(A, PRICE, raw=raw)
    assert history.watch.found == []
    history.turn(confirm, B, [Settle(history.promise(B, ENERGY, PRICE))])
    assert history.names == {"duplicate"}


def test_an_accept_that_is_confirmed_twice() -> None:
    """The same Accept once more, and another Confirm of it becomes durable; the same Confirm again is its repetition."""
    history = History(hostile=frozenset({BATTERY}))
    accept = history.accept(A, ENERGY, PRICE)
    history.confirming(A, accept)
    assert history.watch.found == []
    history.confirming(A, accept)
    assert history.names == {"duplicate"}


def test_a_goodbye_of_a_life_before() -> None:
    """What a buyer made of a FINISHED may be lost with its process: it makes the same of it again."""
    for restarts in (True, False):
        history = History()
        history.traded()
        raw = history.terminate(A, TerminateCode.FINISHED)
        ended = Commit((), "ended", (BATTERY,), MonotonicS(0.0))
        history.turn(raw, BATTERY, [ended], who=A)
        if restarts:
            history.watch.restart(A)
        history.turn(raw, BATTERY, [ended], who=A, fresh=restarts)
        assert history.names == (set() if restarts else {"duplicate"})


# -- limits, raised, and who is asked


def test_a_table_beyond_its_limit() -> None:
    """A desk whose memory of bids holds more than it may; one that keeps to it."""
    made = bench(limits=replace(Limits(), bid_memory_per_device=3_200))
    for number in range(3):
        made.bid(501, 20.0 + number, 1.0, number / 10)
    history = History()
    history.watch.sizes(BATTERY, made.desk)
    assert history.watch.found == []
    books = made.desk._books
    books.limits = Limits(bids_per_s=0, bid_burst=0, bid_memory_per_device=2)
    history.watch.sizes(BATTERY, made.desk)
    assert history.names == {"limits"}
    assert Size("bid memory of 501", 3, 2) in list(sizes(made.desk))
    assert list(sizes(None)) == []


def test_a_core_that_raises() -> None:
    """Whatever it is."""
    history = History()
    history.watch.raised(BATTERY, KeyError("open"))
    assert [str(each) for each in history.watch.found] == ["raised at 101: KeyError: 'open'"]


def test_a_node_that_lost_its_journal_is_asked_nothing() -> None:
    """Its own promises are lost with it; it is followed all the same, and asked again of nobody."""
    history = History(tainted={BATTERY})
    history.bid(A, PRICE)
    history.close((A, ENERGY, PRICE - 1), durable=False)
    history.accept(A, ENERGY, PRICE)
    assert history.watch.found == []


def test_what_changes_nothing_is_passed_over() -> None:
    """A Query, and a DeviceFailure that a buyer has heard before."""
    history = History()
    query = history.raw(messages.query(A))
    history.watch.wire(A, BATTERY, query, 0.0)
    history.turn(query, A, [])
    failed = history.raw(messages.device_failure(BATTERY, FailureCode.BATTERY))
    history.watch.wire(BATTERY, A, failed, 0.0)
    history.turn(failed, BATTERY, [], who=A)
    history.turn(failed, BATTERY, [], who=A, fresh=False)
    assert history.watch.found == []
    assert failed[0] == MessageType.DEVICE_FAILURE


def test_refusals_of_a_sealed_bid() -> None:
    """A bid for another lot is refused there, and the one in this lot stands; an old answer says nothing new."""
    history = History("first-price")
    history.bid(A, PRICE)
    old = history.raw(messages.bid(A, price=1, energy=ENERGY), LOT - 1)
    history.bid(A, 1, refused=RejectCode.LOT_CLOSED, raw=old)
    history.close((A, ENERGY, PRICE))
    assert history.watch.found == []
