"""The desk: what each bid, confirm, silence and failure gets (design §4)."""

import pytest

from etp import messages
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.effects import Disconnect
from etp.frame import Frame, encode
from etp.units import DeviceId
from tests.support import BESS, START_US, Bench, at, bench

A, B, C = 500, 501, 502
RESPONSE, ACCEPT, REJECT, TERMINATE = (
    MessageType.RESPONSE,
    MessageType.ACCEPT,
    MessageType.REJECT,
    MessageType.TERMINATE,
)


def terminate(device: int, code: TerminateCode) -> Frame:
    """A Terminate from a buyer."""
    return messages.stamped(messages.terminate(DeviceId(device), code), START_US)


def test_first_lot_is_announced() -> None:
    """The stored energy above (100 − P) %, × efficiency, is offered at the reserve."""
    offered = bench().broadcast[0]
    assert messages.offer(offered) == messages.Offer(13500, 6412)
    assert offered.sale_price == 12.5


def test_english_runs_to_a_finished_trade() -> None:
    """Lead, be outbid, win, confirm, finish: the rows are in order and the leader pays its own price."""
    b = bench()
    b.bid(A, 13.0, 6, 1.0)
    assert (b.last(A).message_type, b.last(A).bid_price, b.last(A).sale_price) == (RESPONSE, 13.0, 13.05)
    b.bid(B, 14.0, 6, 1.1)
    assert (b.last(A).message_type, b.last(A).termination_code) == (REJECT, RejectCode.OUTBID)
    b.advance(1.29)
    assert ACCEPT not in b.types_to(B)
    b.advance(1.31)
    accept = b.last(B)
    assert (accept.message_type, accept.sale_price, accept.required_energy_amount) == (ACCEPT, 14.0, 6.0)
    b.confirm(accept, B, 1.4)
    assert (b.last(B).message_type, b.last(B).termination_code) == (TERMINATE, TerminateCode.FINISHED)
    assert [(row.kind, row.state) for row in b.rows if row.kind in ("lot", "promise", "trade")] == [
        ("lot", "reserved"),
        ("promise", "reserved"),
        ("promise", "confirmed"),
        ("trade", "confirmed"),
    ]
    assert b.desk.store.owed_wh == 6000
    assert b.desk.offer().for_sale == 412


@pytest.mark.parametrize(
    ("cents", "kwh", "code"),
    [
        (12.4, 6, RejectCode.BELOW_RESERVE),
        (13.0, 6.5, RejectCode.INSUFFICIENT),
        (13.0, 0.09, RejectCode.INSUFFICIENT),
    ],
)
def test_refusals(cents: float, kwh: float, code: RejectCode) -> None:
    """A bid below the reserve, above the lot or below the least amount is refused with the ask and what is available."""
    b = bench()
    b.bid(A, cents, kwh, 1.0)
    assert (b.last(A).message_type, b.last(A).termination_code) == (REJECT, code)
    assert (b.last(A).bid_price, b.last(A).sale_price, b.last(A).energy_total) == (cents, 12.5, 6.412)


def test_a_repeated_bid_gets_its_last_answer_byte_for_byte() -> None:
    """The same bytes get the last answer sent, whatever it was; other bytes under the id get INVALID and are kept."""
    b = bench()
    bid = b.bid(A, 13.0, 6, 1.0)
    b.bid(B, 14.0, 6, 1.1)
    outbid = b.sent[-2][2] if b.sent[-2][0] == A else b.sent[-1][2]
    b.give(bid, 1.2)
    assert b.sent[-1] == (A, b.last(A), outbid)
    b.give(bid._replace(bid_price=15.0), 1.25)
    assert b.last(A).termination_code == RejectCode.INVALID
    assert any(row.kind == "security" for row in b.rows)


def test_late_and_future_bids() -> None:
    """550 ms old is still judged, more is LATE; 5 s ahead is INVALID; from before the start is LATE."""
    b = bench()
    b.bid(A, 13.0, 6, 10.0, message_id=at(9.45).wall_us)
    assert b.last(A).message_type == RESPONSE
    b.bid(B, 14.0, 6, 10.0, message_id=at(9.449).wall_us)
    assert b.last(B).termination_code == RejectCode.LATE
    b.bid(B, 14.0, 6, 10.0, message_id=at(15.001).wall_us)
    assert b.last(B).termination_code == RejectCode.INVALID
    b = bench()
    b.bid(A, 13.0, 6, 0.0, message_id=START_US - 1)
    assert b.last(A).termination_code == RejectCode.LATE


def test_silence_releases_and_bars() -> None:
    """No Confirm for 1,000 ms from the commit: RELEASED, Terminate(TIMEOUT), offered again, and the buyer waits 10 s."""
    b = bench()
    b.bid(A, 13.0, 6, 1.0)
    b.advance(1.3)
    assert b.desk.reserved_wh == 6000
    b.advance(2.2)
    assert (b.last(A).message_type, b.last(A).termination_code) == (TERMINATE, TerminateCode.TIMEOUT)
    assert b.desk.offer().for_sale == 6412
    b.bid(A, 13.0, 6, 5.0)
    assert b.last(A).termination_code == RejectCode.UNAVAILABLE
    b.bid(A, 13.0, 6, 12.3)
    assert b.last(A).message_type == RESPONSE


def test_a_confirm_one_tick_late_is_no_trade() -> None:
    """At the deadline itself it is over, and the second Confirm of the lot hears TIMEOUT too."""
    b = bench()
    b.bid(A, 13.0, 6, 1.0)
    b.advance(1.2)
    accept = b.last(A)
    b.confirm(accept, A, 2.2)
    assert b.last(A).termination_code == TerminateCode.TIMEOUT
    b.confirm(accept, A, 2.3)
    assert b.last(A).termination_code == TerminateCode.TIMEOUT
    assert not [row for row in b.rows if row.kind == "trade"]


def test_confirm_repeated_and_under_a_new_id() -> None:
    """The same Confirm gets the same bytes; another one for the lot whose trade stands hears FINISHED."""
    b = bench()
    b.bid(A, 13.0, 6, 1.0)
    b.advance(1.2)
    accept = b.last(A)
    confirm = b.confirm(accept, A, 1.3)
    finished = b.sent[-1][2]
    b.give(confirm, 30.0)
    assert b.sent[-1][2] == finished
    b.confirm(accept, A, 31.0)
    assert b.last(A).termination_code == TerminateCode.FINISHED
    assert len([row for row in b.rows if row.kind == "trade"]) == 1


def test_a_confirm_beside_one_that_is_being_decided_is_answered_too() -> None:
    """Two Confirms within one commit: both hear FINISHED; one of other terms hears TIMEOUT, and the trade stands."""
    b = bench()
    b.bid(A, 13.0, 6, 1.0)
    b.advance(1.2)
    accept = b.last(A)
    b.hold_commits = True
    for other in (accept, accept, accept._replace(required_energy_amount=5.0)):
        b.confirm(other, A, 1.3)
    b.hold_commits = False
    b.commit(at(1.31))
    codes = [frame.termination_code for _, frame, _ in b.sent if frame.message_type == MessageType.TERMINATE]
    assert codes == [TerminateCode.FINISHED, TerminateCode.FINISHED, TerminateCode.TIMEOUT]
    assert len([row for row in b.rows if row.kind == "trade"]) == 1


def test_confirms_are_matched_with_their_own_lots() -> None:
    """Of three lots with equal terms (trade, released, trade): each Confirm hears of the lot that it can be about."""
    b = bench(capacity_kwh=100.0, discharge_kw=100)

    def accepted(second: float) -> Frame:
        b.bid(A, 13.0, 1, second)
        b.advance(second + 0.2)
        return b.last(A)

    b.confirm(accepted(1.0), A, 1.3)
    stale = messages.stamped(messages.confirm(DeviceId(A), accepted(10.0)), at(10.3).wall_us)
    b.advance(30.0)  # nobody confirms: released
    accept = accepted(40.0)
    b.confirm(accept, A, 40.3)
    b.give(stale, 41.0)
    assert b.last(A).termination_code == TerminateCode.TIMEOUT
    b.confirm(accept, A, 42.0)
    assert b.last(A).termination_code == TerminateCode.FINISHED
    b.bid(A, 14.0, 1, 50.0)
    b.advance(50.2)
    b.confirm(b.last(A), A, 50.3)  # the newest promise has other terms now
    b.confirm(accept, A, 51.0)
    assert b.last(A).termination_code == TerminateCode.FINISHED
    b.confirm(accept._replace(sale_price=12.6), A, 52.0)
    assert b.last(A).termination_code == TerminateCode.TIMEOUT


def test_losers_hear_what_is_left() -> None:
    """Reject(ANOTHER_WON) names the energy of the lot that is open next, and no price."""
    b = bench("first-price")
    b.bid(A, 13.0, 2, 1.0)
    b.bid(B, 14.0, 2, 1.0)
    b.advance(1.2)
    lost = b.last(A) if b.last(A).message_type == REJECT else b.sent[-2][1]
    assert (lost.termination_code, lost.sale_price, lost.energy_total) == (RejectCode.ANOTHER_WON, 0.0, 4.412)


def test_confirm_with_other_terms() -> None:
    """Another energy or price releases the lot with CANNOT_DELIVER."""
    b = bench()
    b.bid(A, 13.0, 6, 1.0)
    b.advance(1.2)
    b.confirm(b.last(A)._replace(sale_price=12.9), A, 1.3)
    assert b.last(A).termination_code == TerminateCode.CANNOT_DELIVER
    assert b.desk.reserved_wh == 0


def test_nothing_leaves_before_its_commit() -> None:
    """No Accept before RESERVED is durable, no FINISHED before CONFIRMED; a commit over 400 ms gives the promise up."""
    b = bench()
    b.hold_commits = True
    b.bid(A, 13.0, 6, 1.0)
    b.advance(1.2)
    assert ACCEPT not in b.types_to(A)
    b.commit(at(1.61))
    assert ACCEPT not in b.types_to(A)
    b.commit(at(1.62))
    assert b.last(A).termination_code == RejectCode.UNAVAILABLE
    b.bid(A, 13.0, 6, 2.0)
    b.advance(2.2)
    b.commit(at(2.25))
    accept = b.last(A)
    b.confirm(accept, A, 2.3)
    assert b.types_to(A)[-1] == ACCEPT
    b.commit(at(2.35))
    assert b.last(A).termination_code == TerminateCode.FINISHED


def test_a_failing_journal_promises_nothing() -> None:
    """A failed commit: no Accept, UNAVAILABLE for a second, then trade goes on."""
    b = bench()
    b.failing = True
    b.bid(A, 13.0, 6, 1.0)
    b.advance(1.2)
    assert b.last(A).termination_code == RejectCode.UNAVAILABLE
    b.failing = False
    b.bid(A, 13.0, 6, 1.5)
    assert b.last(A).termination_code == RejectCode.UNAVAILABLE
    b.bid(A, 13.0, 6, 2.3)
    assert b.last(A).message_type == RESPONSE


def test_takeover_gets_the_accept_again() -> None:
    """A new session of the winner is sent its unresolved Accept first, byte for byte."""
    b = bench()
    b.bid(A, 13.0, 6, 1.0)
    b.advance(1.2)
    accept = b.sent[-1][2]
    b.do(b.desk.session_lost(DeviceId(A), at(1.25)), at(1.25))
    b.do(b.desk.session_bound(DeviceId(A), at(1.3)), at(1.3))
    assert b.sent[-1][2] == accept


def test_sealed_withdrawal_and_english_binding() -> None:
    """A Terminate or a lost session withdraws a sealed bid; a leading english bid binds."""
    for mechanism, wins in (("first-price", False), ("english", True)):
        b = bench(mechanism)
        b.bid(A, 13.0, 6, 1.0)
        b.do(b.desk.session_lost(DeviceId(A), at(1.05)), at(1.05))
        b.advance(1.4)
        assert (ACCEPT in b.types_to(A)) is wins


def test_losers_hear_no_price() -> None:
    """At a sealed close the losers get ANOTHER_WON with sale_price 0; vickrey's winner pays the second price."""
    b = bench("vickrey")
    b.bid(A, 15.0, 6, 1.0)
    b.bid(B, 14.0, 6, 1.05)
    b.advance(1.2)
    assert (b.last(B).termination_code, b.last(B).sale_price) == (RejectCode.ANOTHER_WON, 0.0)
    assert (b.last(A).sale_price, b.last(A).bid_price) == (14.0, 15.0)


def test_uniform_parts_have_lots_of_their_own() -> None:
    """A divided lot: each winner's promise has its own lot_id, and together they are the lot."""
    b = bench("uniform")
    b.bid(A, 15.0, 4, 1.0)
    b.bid(B, 14.0, 4, 1.05)
    b.advance(1.2)
    promised = [row for row in b.rows if row.kind == "promise"]
    assert len({row.lot_id for row in promised}) == 2
    assert sum(int(str(row.body["energy_wh"])) for row in promised) == 6412
    assert b.last(B).sale_price == 14.0


def test_first_above_reserve_accepts_at_once() -> None:
    """The first bid that reaches the reserve is answered with the Accept itself; the rest is the next lot."""
    b = bench("first-above-reserve")
    b.bid(A, 12.5, 1, 1.0)
    b.bid(B, 20.0, 1, 1.0)
    assert b.types_to(A) == [ACCEPT]
    assert b.types_to(B) == [ACCEPT]
    assert b.desk.offer().for_sale == 4412


def test_one_affair_at_a_time() -> None:
    """A Bid while its Accept is unresolved gets UNAVAILABLE."""
    b = bench()
    b.bid(A, 13.0, 1, 1.0)
    b.advance(1.2)
    b.bid(A, 13.0, 1, 1.25)
    assert b.last(A).termination_code == RejectCode.UNAVAILABLE


def test_rate_limit() -> None:
    """A burst of 100, then TOO_MANY."""
    b = bench()
    codes = []
    for _ in range(101):
        b.bid(A, 1.0, 6, 1.0)
        codes.append(b.last(A).termination_code)
    assert codes == [RejectCode.BELOW_RESERVE] * 100 + [RejectCode.TOO_MANY]


def test_hidden_reserve_allows_three_tries() -> None:
    """Three BELOW_RESERVE without an ask, then TOO_MANY; a bid above still takes part."""
    b = bench(hide=True)
    assert b.broadcast[0].sale_price == 0.0
    for _ in range(4):
        b.bid(A, 1.0, 6, 1.0)
    assert b.last(A).termination_code == RejectCode.TOO_MANY
    assert b.last(A).sale_price == 0.0
    b.bid(A, 13.0, 6, 1.0)
    assert b.last(A).message_type == RESPONSE


def test_failure_releases_and_tells() -> None:
    """A DeviceFailure is told to all, frees who bids and who won, and owes nothing more than it says."""
    b = bench()
    b.bid(A, 13.0, 2, 1.0)
    b.advance(1.2)
    b.bid(B, 13.0, 2, 1.25)
    b.do(b.desk.fail(FailureCode.INVERTER, at(1.3)), at(1.3))
    assert b.broadcast[-1].message_type == MessageType.DEVICE_FAILURE
    assert b.last(A).termination_code == TerminateCode.CANNOT_DELIVER
    assert (b.last(B).message_type, b.last(B).termination_code) == (REJECT, RejectCode.UNAVAILABLE)
    b.bid(C, 13.0, 2, 1.4)
    assert b.last(C).termination_code == RejectCode.UNAVAILABLE
    b.do(b.desk.recovered(at(2.0)), at(2.0))
    b.bid(C, 13.0, 2, 2.1)
    assert b.last(C).message_type == RESPONSE


def test_confirmed_and_undeliverable_is_said() -> None:
    """What is confirmed and cannot be delivered ends SHORT and gets CANNOT_DELIVER."""
    b = bench()
    b.bid(A, 13.0, 2, 1.0)
    b.advance(1.2)
    b.confirm(b.last(A), A, 1.3)
    b.do(b.desk.fail(FailureCode.BATTERY, at(1.4)), at(1.4))
    assert b.last(A).termination_code == TerminateCode.CANNOT_DELIVER
    assert [row.state for row in b.rows if row.kind == "energy"][-2:] == ["short", "level"]


@pytest.mark.parametrize("promised_again", [False, True])
def test_a_trade_is_told_before_its_refund_unless_that_could_end_another_promise(promised_again: bool) -> None:
    """Its FINISHED may have been lost, and the refund alone would read as if there were no trade; here no message names a lot."""
    b = bench()
    b.bid(A, 13.0, 2, 1.0)
    b.advance(1.2)
    b.confirm(b.last(A), A, 1.3)
    if promised_again:
        b.bid(A, 13.0, 2, 1.35)
        b.advance(1.6)
        assert len(b.desk.reservations) == 1
    before, b.hold_commits = len(b.sent), True
    b.do(b.desk.fail(FailureCode.BATTERY, at(1.7)), at(1.7))
    (short,) = [commit for commit in b.held if commit.purpose == "short"]
    b.do(b.desk.committed(short, at(1.8)), at(1.8))  # before the other promise's release is durable
    told = [
        frame.termination_code
        for to, frame, _ in b.sent[before:]
        if to == A and frame.message_type == MessageType.TERMINATE
    ]
    assert (TerminateCode.FINISHED in told) == (not promised_again)
    assert told[-1] == TerminateCode.CANNOT_DELIVER


def test_delivery_is_journalled() -> None:
    """2 kWh at 5 kW are delivered after 1,440 s; what is for sale does not change by it."""
    b = bench()
    b.bid(A, 13.0, 2, 1.0)
    b.advance(1.2)
    b.confirm(b.last(A), A, 1.3)
    before = b.desk.offer().for_sale
    b.advance(721.3)
    assert 1000 <= b.desk.store.owed_wh <= 1010
    assert b.desk.offer().for_sale == before
    b.advance(1.3 + 1441)
    assert (b.desk.store.owed_wh, b.desk.offer().for_sale) == (0, before)
    assert [row.state for row in b.rows if row.kind == "energy"][:2] == ["pending", "delivered"]


def test_declining_is_free_three_times() -> None:
    """Three declined Accepts an hour cost nothing; the fourth bars for 10 s."""
    b = bench()
    for second in (1.0, 3.0, 5.0, 7.0):
        b.bid(A, 13.0, 2, second)
        b.advance(second + 0.2)
        assert b.last(A).message_type == ACCEPT
        b.give(terminate(A, TerminateCode.CANNOT_DELIVER), second + 0.3)
        assert b.last(A).termination_code == TerminateCode.TIMEOUT
    b.bid(A, 13.0, 2, 9.0)
    assert b.last(A).termination_code == RejectCode.UNAVAILABLE


def test_goodbye_disconnects() -> None:
    """Terminate(SHUTTING_DOWN) from a buyer ends its session."""
    b = bench()
    b.give(terminate(A, TerminateCode.SHUTTING_DOWN), 1.0)
    assert Disconnect(DeviceId(A)) in b.effects


def test_unasked_responses_are_at_least_250_ms_apart() -> None:
    """Many lots in a row: one Response per 250 ms, the newest only."""
    b = bench("first-above-reserve")
    for index in range(10):
        b.bid(A + index, 13.0, 0.1, 1.0 + index / 100)
    assert len(b.broadcast) == 2
    b.advance(1.3)
    assert len([f for f in b.broadcast if f.message_type == RESPONSE]) == 3
    assert messages.offer(b.broadcast[-1]).for_sale == 5412


def test_restart_releases_what_was_reserved_and_still_delivers() -> None:
    """A fresh desk on the old journal: RESERVED → RELEASED, pending deliveries owed, an old Confirm answered as before."""
    b = bench()
    b.bid(A, 13.0, 2, 1.0)
    b.advance(1.2)
    confirm = b.confirm(b.last(A), A, 1.3)
    finished = b.sent[-1][2]
    b.bid(B, 13.0, 2, 1.4)
    b.advance(1.6)
    pending = {(row.kind, row.subject): row for row in b.rows if row.pending is not None}
    c = bench()
    c.rows = list(b.rows)
    c.do(c.desk.restored([row for row in pending.values() if row.pending], at(2.0)), at(2.0))
    assert [(row.kind, row.state) for row in c.rows][-1] == ("promise", "released")
    assert c.desk.store.owed_wh == 2000
    c.do(c.desk.receive(DeviceId(A), confirm, encode(confirm), at(5.0)), at(5.0))
    assert c.sent[-1][2] == finished
    assert BESS == 101


def promised_anew() -> Bench:
    """A has a trade, and an Accept of the next lot that it has not confirmed."""
    b = bench()
    b.bid(A, 13.0, 2, 1.0)
    b.advance(1.2)
    b.confirm(b.last(A), A, 1.3)
    b.bid(A, 13.0, 2, 1.35)
    b.advance(1.6)
    return b


def test_what_was_open_at_a_restart_is_not_ended_by_the_finished_of_an_older_trade() -> None:
    """Its Confirm may be on its way, as to a promise that was given up."""
    b = promised_anew()
    assert len(b.desk.reservations) == 1
    c = bench()
    pending = {(row.kind, row.lot_id): row for row in b.rows}
    c.do(c.desk.restored([row for row in pending.values() if row.pending], at(2.0)), at(2.0))
    c.do(c.desk.fail(FailureCode.BATTERY, at(2.1)), at(2.1))
    told = [frame.termination_code for _, frame, _ in c.sent if frame.message_type == MessageType.TERMINATE]
    assert told == [TerminateCode.CANNOT_DELIVER]


def test_a_restart_that_cannot_write_is_not_ready() -> None:
    """What was RESERVED is still so in the journal: nobody may be served before it is RELEASED there."""
    b = bench()
    b.bid(A, 13.0, 2, 1.0)
    b.advance(1.2)
    pending = [row for row in b.rows if row.kind == "promise" and row.pending]
    c = bench()
    assert c.desk.ready
    c.hold_commits = True
    c.do(c.desk.restored(pending, at(2.0)), at(2.0))
    assert not c.desk.ready
    c.failing = True
    c.commit(at(2.1))
    assert not c.desk.ready
    d = bench()
    d.do(d.desk.restored(pending, at(3.0)), at(3.0))
    assert d.desk.ready


def test_a_promise_that_was_given_up_is_not_ended_by_the_finished_of_an_older_trade() -> None:
    """Its Confirm may be on its way, and here no message names a lot: who was promised a newer lot is told of the refund alone."""
    b = promised_anew()
    b.advance(2.9)  # its window is over
    assert len(b.desk.reservations) == 0
    before = len(b.sent)
    b.do(b.desk.fail(FailureCode.BATTERY, at(3.0)), at(3.0))
    told = [
        frame.termination_code
        for to, frame, _ in b.sent[before:]
        if to == A and frame.message_type == MessageType.TERMINATE
    ]
    assert told == [TerminateCode.CANNOT_DELIVER]
