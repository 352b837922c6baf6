"""The settler against a fake chain in virtual time: paid once, whatever RPCs, network, journal and restarts do."""

import random
from dataclasses import replace

import pytest

from contracts.accounts import TradeStatus
from contracts.outbox import OutboxState, entry_of
from contracts.rpc import (
    Account,
    Accounts,
    Answer,
    Blockhash,
    GetAccounts,
    GetBlockhash,
    GetGenesis,
    GetHeight,
    GetStatuses,
    Refused,
    Request,
    RpcFailure,
    Sendings,
    SendTransactions,
    Sent,
    SignatureStatus,
    Statuses,
)
from contracts.settler_limits import SettlerLimits, SettlerTiming
from etp.units import Micro
from tests.contracts.fake_chain import (
    BATTERY_ID,
    BUYER_ID,
    GENESIS,
    PLACE,
    PROGRAM_ID,
    Bench,
    Lie,
    entry,
    trade_data,
    trade_of,
)


def settled(bench: Bench, *lots: int) -> bool:
    return all(bench.state(lot) == "settled" and bench.chain.paid.get(lot) == 1 for lot in lots)


def test_twenty_trades_are_paid_once_and_soon() -> None:
    """At 40 ms slots × 4 to finality a trade is read back well within 2 s of its Confirm."""
    bench = Bench()
    for lot in range(1, 21):
        bench.add(entry(lot))
    bench.run(2)
    assert settled(bench, *range(1, 21))
    assert bench.settler.settled_ms.worst_ms < 500
    assert bench.settler.unsettled(BUYER_ID) == 0
    assert bench.settler.settlement_age_s(bench.scheduler.now()) == 0
    assert bench.settler.view(bench.scheduler.now())["outbox"] == dict.fromkeys(
        ("confirmed", "settling", "defaulted", "refused", "held", "disputed"), 0
    )
    bench.check()


def test_questions_go_out_many_at_a_time() -> None:
    """300 trades: statuses by 256, accounts by 100, not one by one."""
    bench = Bench()
    for lot in range(1, 301):
        bench.add(entry(lot))
    bench.run(4)
    assert settled(bench, *range(1, 301))
    asked = bench.views[0].asked
    statuses = [request for request in asked if isinstance(request, GetStatuses)]
    assert max(len(request.signatures) for request in statuses) <= 256
    assert max(len(request.addresses) for request in asked if isinstance(request, GetAccounts)) <= 100
    assert len([request for request in asked if not isinstance(request, SendTransactions)]) < 60
    bench.check()


def test_no_more_than_the_allowed_sends_are_on_their_way() -> None:
    """Bounded concurrency per RPC, whatever waits."""
    bench = Bench(limits=SettlerLimits(sends_in_flight=3))
    most = 0
    for lot in range(1, 200):
        bench.add(entry(lot))
    while bench.scheduler.time_s < 3:
        bench.run(0.001)
        most = max(most, bench.settler._links[0].sends_in_flight)
    assert most == 3
    assert settled(bench, *range(1, 200))


def test_signed_bytes_are_durable_before_they_are_sent() -> None:
    """While the journal cannot be written nothing leaves; afterwards it does."""
    bench = Bench()
    bench.journal_fails = True
    bench.add(entry(1))
    bench.run(5)
    assert bench.sent == []
    bench.journal_fails = False
    bench.run(5)
    assert settled(bench, 1)
    bench.check()


@pytest.mark.parametrize("after_ms", range(0, 300, 10))
def test_a_restart_at_any_moment_pays_once_and_sends_the_same_bytes(after_ms: int) -> None:
    bench = Bench(seed=after_ms)
    bench.add(entry(1))
    bench.run(after_ms / 1000)
    bench.restart()
    bench.run(5)
    assert settled(bench, 1)
    assert len(set(bench.sent)) == 1, "signed anew though the first bytes could still land"
    bench.check()


def test_what_is_lost_is_sent_again_and_then_signed_anew() -> None:
    """Nothing lands for 20 s: the same bytes every 2 s, other bytes only once those are dead."""
    bench = Bench()
    bench.chain.loses = 1.0
    bench.add(entry(1))
    bench.run(5)
    assert len(set(bench.sent)) == 1
    assert 2 <= len(bench.sent) <= 4
    bench.run(15)
    bench.chain.loses = 0.0
    bench.run(15)
    assert settled(bench, 1)
    assert len(set(bench.sent)) >= 2
    bench.check()


@pytest.mark.parametrize("seed", range(25))
def test_a_storm_ends_with_every_trade_paid_once(seed: int) -> None:
    """Lost transactions, RPCs that come and go, a journal that fails, restarts at random."""
    bench = Bench(rpcs=1 + seed % 3, seed=seed)
    rng = random.Random(seed)
    bench.chain.loses = rng.random() * 0.7
    for lot in range(1, 31):
        bench.add(entry(lot, price=rng.randint(1, 300_000), energy=rng.randint(1, 9_000)))
        bench.run(rng.random())
        for view in bench.views:
            view.down = rng.random() < 0.3
        bench.journal_fails = rng.random() < 0.2
        if rng.random() < 0.2:
            bench.restart()
    for view in bench.views:
        view.down = False
    bench.journal_fails, bench.chain.loses = False, 0.0
    bench.run(200)
    assert settled(bench, *range(1, 31))
    assert bench.settler.unsettled(BUYER_ID) == 0
    bench.check()


# -- answers that are no proof


def lie_about_statuses(status: SignatureStatus | None) -> Lie:
    def lie(request: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        if isinstance(request, GetStatuses):
            return Statuses((status,) * len(request.signatures))
        return answer

    return lie


def test_success_without_the_account_is_not_done() -> None:
    bench = Bench()
    bench.chain.loses = 1.0
    bench.views[0].lie = lie_about_statuses(SignatureStatus(finalized=True, error=None))
    bench.add(entry(1))
    bench.run(30)
    assert bench.state(1) == "settling"
    bench.chain.loses, bench.views[0].lie = 0.0, None
    bench.run(60)
    assert settled(bench, 1)
    bench.check()


def test_failure_with_the_account_is_done() -> None:
    bench = Bench()
    bench.views[0].lie = lie_about_statuses(SignatureStatus(finalized=True, error=Refused("Custom", 6050, "")))
    bench.add(entry(1))
    bench.run(3)
    assert settled(bench, 1)
    assert len(set(bench.sent)) == 1


def test_silence_with_the_account_is_done() -> None:
    bench = Bench()
    bench.views[0].lie = lie_about_statuses(None)
    bench.add(entry(1))
    bench.run(5)
    assert settled(bench, 1)
    assert len(set(bench.sent)) == 1


def test_one_rpc_of_three_that_denies_everything_changes_nothing() -> None:
    """It denies statuses and trades: two others outvote it, and nothing is signed anew."""

    def deny(request: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        if isinstance(request, GetStatuses):
            return Statuses((None,) * len(request.signatures))
        if isinstance(request, GetAccounts) and request.addresses[0] == PLACE.trade(BATTERY_ID, 1):
            return Accounts(1, (None,) * len(request.addresses))
        return 10**9 if isinstance(request, GetHeight) else answer

    bench = Bench(rpcs=3)
    bench.views[0].lie = deny
    bench.add(entry(1))
    bench.run(10)
    assert settled(bench, 1)
    assert len(set(bench.sent)) == 1


def test_two_rpcs_that_disagree_leave_it_open_and_say_so() -> None:
    def deny(request: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        if isinstance(request, GetStatuses):
            return Statuses((None,) * len(request.signatures))
        if isinstance(request, GetAccounts) and request.addresses[0] == PLACE.trade(BATTERY_ID, 1):
            return Accounts(1, (None,) * len(request.addresses))
        return answer

    bench = Bench(rpcs=2)
    bench.views[0].lie = deny
    bench.add(entry(1))
    bench.run(60)
    assert bench.chain.paid == {1: 1}
    assert bench.state(1) == "settling"
    assert "disagree" in bench.reason(1)
    assert len(set(bench.sent)) == 1
    bench.views[0].lie = None
    bench.run(60)
    assert settled(bench, 1)


def test_one_rpc_of_two_that_invents_a_paid_trade_is_not_believed() -> None:
    bench = Bench(rpcs=2)
    bench.chain.loses = 1.0
    made = entry(1)

    def invent(request: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        if isinstance(request, GetAccounts) and request.addresses[0] == PLACE.trade(BATTERY_ID, 1):
            data = trade_data(trade_of(made, TradeStatus.PAID))
            return Accounts(1, (Account(PROGRAM_ID, 1, data, False),))
        return answer

    bench.views[0].lie = invent
    bench.add(made)
    bench.run(30)
    assert bench.state(1) != "settled"


def test_a_blockhash_that_lives_for_ever_is_not_believed() -> None:
    """Its transaction would be waited for till the end of time; the RPC is put aside, and another one's is used."""

    def lie(request: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        return Blockhash(bytes(32), 2**60) if isinstance(request, GetBlockhash) else answer

    bench = Bench(rpcs=2)
    bench.views[0].lie = lie
    bench.add(entry(1))
    bench.run(5)
    assert settled(bench, 1)
    said = [log.fields for log in bench.logs if log.event == "rpc" and log.fields["rpc"] == 0]
    assert any("not believed" in str(fields["reason"]) for fields in said)


def test_a_blockhash_that_nobody_knows_costs_only_time() -> None:
    """An invented blockhash with a likely height: those bytes die, others are signed with another RPC's."""

    def lie(_: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        return answer._replace(hash=bytes(32)) if isinstance(answer, Blockhash) else answer

    bench = Bench(rpcs=2)
    bench.views[0].lie = lie
    bench.add(entry(1))
    bench.run(60)
    assert settled(bench, 1)


def test_an_rpc_that_only_pretends_to_send_is_made_up_for_by_the_other() -> None:
    bench = Bench(rpcs=2)
    honest = bench.views[0]._honest

    def swallow(request: Request) -> Answer:
        swallowed = isinstance(request, SendTransactions)
        return Sendings((Sent(bytes(64)),) * len(request.raws)) if swallowed else honest(request)

    bench.views[0]._honest = swallow  # type: ignore[method-assign]
    bench.add(entry(1))
    bench.run(3)
    assert settled(bench, 1)


# -- what a user meets


def refused(code: int, request: Request) -> Answer | None:
    """A program's refusal of all that is sent."""
    if not isinstance(request, SendTransactions):
        return None
    return Sendings((Refused("Custom", code, ""),) * len(request.raws))


def test_an_rpc_of_another_network_is_named_and_not_used() -> None:
    bench = Bench()
    bench.views[0].genesis = bytes(32)
    bench.add(entry(1))
    bench.run(3)
    assert bench.sent == []
    assert "another chain" in str(bench.settler.view(bench.scheduler.now())["rpcs"])
    bench.views[0].genesis = GENESIS
    bench.run(60)
    assert settled(bench, 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"program_there": False}, "has no program at"),
        ({"market": None}, "has no market at"),
        ({"market": b"x" * 100}, "the IDL does not match the program"),
        ({"batteries_key": bytes(32)}, "a new key is a new device_id"),
    ],
)
def test_what_is_missing_behind_an_rpc_is_said(fault: dict[str, object], words: str) -> None:
    bench = Bench()
    for name, value in fault.items():
        setattr(bench.chain, name, value)
    bench.add(entry(1))
    bench.run(3)
    assert bench.sent == []
    said = [str(log.fields["reason"]) for log in bench.logs if log.event == "rpc"]
    assert any(words in reason for reason in said), said
    assert bench.pending()[0].lot_id == 1, "the trade is kept"


def test_an_empty_fee_payer_is_said_and_healed_by_money() -> None:
    bench = Bench()
    bench.chain.lamports = 0
    bench.add(entry(1))
    bench.run(20)
    assert bench.state(1) == "settling"
    assert "send SOL to" in bench.reason(1)
    bench.chain.lamports = 10**9
    bench.run(120)
    assert settled(bench, 1)
    bench.check()


def test_a_short_escrow_that_is_filled_in_time_is_no_default() -> None:
    bench = Bench()
    bench.chain.deposit(-bench.chain.available)
    bench.add(entry(1))
    bench.run(15)
    assert "must deposit" in bench.reason(1)
    bench.chain.deposit(10**9)
    bench.run(60)
    assert settled(bench, 1)
    assert "defaulted" not in [row.state for row in bench.rows(1)]
    bench.check()


def test_an_escrow_that_stays_short_is_a_default_and_paid_later() -> None:
    bench = Bench()
    bench.chain.deposit(-bench.chain.available)
    bench.add(entry(1))
    bench.run(90)
    assert bench.state(1) == "defaulted"
    assert bench.chain.newest(1).status is TradeStatus.DEFAULTED  # type: ignore[union-attr]
    assert bench.settler.unsettled(BUYER_ID) == 200_000, "still owed"
    bench.restart()
    bench.run(30)
    bench.chain.deposit(10**9)
    bench.run(120)
    assert settled(bench, 1)
    bench.check()


def test_two_trades_of_which_the_escrow_can_pay_one() -> None:
    bench = Bench()
    bench.chain.deposit(250_000 - bench.chain.available)
    bench.add(entry(1))
    bench.add(entry(2))
    bench.run(120)
    assert sorted([bench.state(1), bench.state(2)]) == ["defaulted", "settled"]
    bench.check()


def test_held_money_is_released_after_the_window() -> None:
    """With a dispute window the lot is held, no longer owed, and settled once the battery has asked for it."""
    bench = Bench(dispute_window=60)
    bench.add(entry(1))
    bench.run(5)
    assert bench.state(1) == "held"
    assert bench.chain.paid == {}
    assert bench.settler.unsettled(BUYER_ID) == 0
    bench.restart()
    bench.run(55)
    assert bench.state(1) == "held"
    bench.run(30)
    assert settled(bench, 1)
    bench.check()


def test_a_refund_is_seen_on_the_chain() -> None:
    bench = Bench(dispute_window=600)
    bench.add(entry(1))
    bench.run(5)
    trade = bench.chain.newest(1)
    assert trade is not None
    bench.chain.put(trade._replace(status=TradeStatus.REFUNDED))
    bench.run(120)
    assert bench.state(1) == "refunded"
    assert bench.pending() == []


def test_a_dispute_that_stays_open_is_released_after_14_days() -> None:
    bench = Bench(dispute_window=600)
    bench.add(entry(1))
    bench.run(5)
    trade = bench.chain.newest(1)
    assert trade is not None
    at = bench.chain.unix_s
    bench.chain.put(trade._replace(status=TradeStatus.DISPUTED, disputed_at=at, release_at=at + 14 * 86_400))
    bench.run(120)
    assert bench.state(1) == "disputed"
    assert bench.pending()[0].release_at == at + 14 * 86_400


def test_a_trade_that_somebody_else_settled_is_found() -> None:
    """A crash after sending and before anything else: the account is there and says what the outbox says."""
    bench = Bench()
    bench.chain.put(trade_of(entry(1), TradeStatus.PAID))
    bench.add(entry(1))
    bench.run(10)
    assert bench.state(1) == "settled"


def test_another_trade_under_our_lot_is_an_alarm_and_never_settled() -> None:
    bench = Bench()
    other = trade_of(entry(1), TradeStatus.PAID)._replace(amount=Micro(1))
    bench.chain.put(other)
    bench.add(entry(1))
    bench.run(30)
    assert bench.state(1) == "refused"
    assert "amount 1 instead of 200000" in bench.reason(1)
    assert bench.settler.stops_lots() is not None


def test_an_unsettled_limit_refuses_that_buyer_until_it_clears() -> None:
    bench = Bench(limits=SettlerLimits(unsettled_micro=Micro(400_000)))
    bench.views[0].down = True
    bench.add(entry(1))
    assert not bench.settler.refuses(BUYER_ID)
    bench.add(entry(2))
    assert bench.settler.refuses(BUYER_ID)
    assert bench.settler.unsettled(BUYER_ID) == 400_000
    bench.run(10)
    assert bench.settler.settlement_age_s(bench.scheduler.now()) == pytest.approx(10, abs=0.1)
    bench.views[0].down = False
    bench.run(60)
    assert not bench.settler.refuses(BUYER_ID)
    assert settled(bench, 1, 2)


def test_a_full_outbox_stops_new_lots_but_takes_every_trade() -> None:
    bench = Bench(limits=SettlerLimits(max_entries=2))
    bench.views[0].down = True
    for lot in (1, 2, 3):
        bench.add(entry(lot))
    assert "2 trades wait" in str(bench.settler.stops_lots())
    assert len(bench.pending()) == 3


def test_a_dead_rpc_is_left_alone_and_tried_with_one_question() -> None:
    """The two others are more than half of all three: trades go on."""
    bench = Bench(rpcs=3)
    bench.views[0].down = True
    for lot in range(1, 30):
        bench.add(entry(lot))
    bench.run(60)
    assert settled(bench, *range(1, 30))
    assert all(isinstance(request, GetGenesis) for request in bench.views[0].asked)
    assert len(bench.views[0].asked) < 15


def test_half_of_the_rpcs_decide_nothing_and_that_is_said() -> None:
    """One of two is down: the trade is paid, but not believed to be; it is the outbox that waits for the other RPC."""
    bench = Bench(rpcs=2)
    bench.views[0].down = True
    bench.add(entry(1))
    bench.run(60)
    assert bench.chain.paid == {1: 1}
    assert bench.state(1) == "settling"
    assert "too few of the RPCs" in bench.reason(1)
    assert len(set(bench.sent)) == 1
    bench.restart()
    bench.run(30)
    bench.views[0].down = False
    bench.run(60)
    assert settled(bench, 1)
    bench.check()


def test_what_flies_is_given_to_an_rpc_as_soon_as_it_is_in_use() -> None:
    """After a restart, and after an RPC was down: not only when it is time to send again."""
    bench = Bench(rpcs=2)
    bench.views[0].lie = lie_about_statuses(None)
    bench.views[1].down = True
    bench.add(entry(1))
    bench.run(1)
    bench.views[1].down = False
    while not bench.settler._links[1].usable:
        bench.run(0.01)
    bench.run(0.05)
    assert any(isinstance(request, SendTransactions) for request in bench.views[1].asked)


def test_a_last_valid_height_that_is_too_low_makes_nothing_die_early() -> None:
    """Bytes with its blockhash may land for 150 blocks whatever the RPC says: until then nothing is signed anew."""

    def lie(_: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        return (
            answer._replace(last_valid_height=answer.last_valid_height - 140)
            if isinstance(answer, Blockhash)
            else answer
        )

    bench = Bench()
    bench.views[0].lie = lie
    bench.chain.loses = 1.0
    bench.add(entry(1))
    bench.run(30)
    assert bench.pending()[0].signed > 1
    bench.chain.loses = 0.0
    bench.run(30)
    assert settled(bench, 1)
    bench.check()


def test_a_refusal_for_good_is_shown_and_tried_seldom() -> None:
    def refuse(request: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        return refused(6045, request) or answer

    bench = Bench()
    bench.views[0].lie = refuse
    bench.chain.loses = 1.0
    bench.add(entry(1))
    bench.run(600)
    assert bench.state(1) == "refused"
    assert "revoked" in bench.reason(1)
    assert len(bench.sent) < 60


def test_an_unknown_error_code_says_that_the_idl_may_be_another() -> None:
    def refuse(request: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        return refused(9999, request) or answer

    bench = Bench()
    bench.views[0].lie = refuse
    bench.chain.loses = 1.0
    bench.add(entry(1))
    bench.run(1)
    assert "is it the IDL of this program" in bench.reason(1)


def test_an_account_that_is_no_trade_puts_its_rpc_aside() -> None:
    def garble(_: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        if isinstance(answer, Accounts) and answer.found[0] and len(answer.found[0].data) > 200:
            return Accounts(1, tuple(found._replace(data=found.data[:-1]) for found in answer.found if found))
        return answer

    bench = Bench(rpcs=2)
    bench.views[0].lie = garble
    bench.add(entry(1))
    bench.run(30)
    assert settled(bench, 1)


def test_a_young_transaction_is_asked_for_often_and_an_old_one_seldom() -> None:
    timing = SettlerTiming()
    bench = Bench(timing=timing)
    bench.chain.loses = 1.0
    bench.add(entry(1))
    bench.run(1)
    young = sum(isinstance(request, GetStatuses) for request in bench.views[0].asked)
    bench.run(4)
    old = sum(isinstance(request, GetStatuses) for request in bench.views[0].asked) - young
    assert young >= 5
    assert old <= young + 3


def test_restored_rows_are_what_was_written() -> None:
    bench = Bench()
    bench.chain.loses = 1.0
    bench.add(entry(1))
    bench.run(1)
    row = bench.rows(1)[-1]
    assert entry_of(row).state is OutboxState.SETTLING
    assert entry_of(row).attempt is not None
    assert replace(entry_of(row), attempt=None, signed=0, state=OutboxState.CONFIRMED, changed_us=0) == entry(1)


def test_hurry_tries_at_once_what_was_put_off() -> None:
    bench = Bench()
    bench.chain.deposit(-bench.chain.available)
    bench.add(entry(1))
    bench.run(600)
    assert bench.state(1) == "defaulted"
    bench.chain.deposit(10**9)
    bench.do(bench.settler.hurry(bench.scheduler.now()))
    bench.run(90)
    assert settled(bench, 1)


def test_one_blockhash_for_ever_does_not_sign_the_same_bytes_anew() -> None:
    """An RPC that never moves on: the dead bytes are not taken for new ones; with another blockhash it goes on."""

    def lie(_: Request, answer: Answer | RpcFailure) -> Answer | RpcFailure:
        return answer._replace(hash=bytes(32)) if isinstance(answer, Blockhash) else answer

    bench = Bench()
    bench.views[0].lie = lie
    bench.add(entry(1))
    bench.run(40)
    assert bench.pending()[0].signed == 1
    bench.views[0].lie = None
    bench.run(30)
    assert settled(bench, 1)
    bench.check()


def test_a_transaction_that_landed_and_failed_does_not_keep_the_next_one_back() -> None:
    """Its RPC said that it has it: the one that is signed anew is another one, and is sent at once."""
    bench = Bench()
    bench.chain.loses = 1.0
    bench.views[0].lie = lie_about_statuses(SignatureStatus(finalized=True, error=Refused("AccountInUse", None, "")))
    bench.add(entry(1))
    while bench.pending()[0].signed < 2:
        bench.run(0.05)
    bench.views[0].lie, bench.chain.loses = None, 0.0
    before = len(bench.sent)
    bench.run(0.1)
    assert len(bench.sent) > before - 1
    assert len(set(bench.sent)) == 2
    bench.run(5)
    assert settled(bench, 1)
    bench.check()
