"""release, refund, dispute, resolve, close_trade: how a held trade ends, when it may, and what it leaves behind."""

from collections.abc import Callable
from typing import Any

import pytest
from solders.account import Account
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import TransferParams, transfer
from solders.token import ID as TOKEN_PROGRAM

from etp.codes import MessageType
from tests.contracts.program.harness import (
    ARBITER_TIME,
    DAY,
    DEFAULTED,
    DISPUTED,
    HELD,
    NOW,
    PAID,
    REFUNDED,
    SOL,
    US,
    Bazaar,
    Deal,
    World,
    key_of,
    swapped,
    token_data,
)


def held(world: World, lot_id: int = 1, **changes: Any) -> Deal:
    """A held trade of the main market."""
    deal = world.deal(lot_id, **changes)
    world.do(world.main.settle(deal))
    return deal


def disputed(world: World, lot_id: int = 1) -> Deal:
    """A disputed one."""
    deal = held(world, lot_id)
    world.do(world.main.dispute(deal))
    return deal


def paid(world: World) -> Deal:
    """A paid one, on the second."""
    deal = held(world)
    world.now += world.main.terms.dispute_window
    world.do(world.main.release(deal))
    return deal


def refunded(world: World) -> Deal:
    """A refunded one."""
    deal = held(world)
    world.do(world.main.refund(deal))
    return deal


def defaulted(world: World) -> Deal:
    """A defaulted one."""
    deal = world.deal(energy_wh=10_000_000)
    world.do(world.main.record_default(deal))
    return deal


STATES: dict[int, Callable[[World], Deal]] = {
    HELD: held,
    PAID: paid,
    DEFAULTED: defaulted,
    REFUNDED: refunded,
    DISPUTED: disputed,
}


def counters(bazaar: Bazaar, deal: Deal) -> list[tuple[int, ...]]:
    """(settled, defaulted, disputed, lost) of seller and buyer."""
    return [tuple(bazaar.participant(device)[6:]) for device in (deal.seller, deal.buyer)]


def books(bazaar: Bazaar, deal: Deal) -> tuple[int, int, int, int, int]:
    """Available, held, and what is in the vault, the payout and the fee account."""
    accounts = (bazaar.vault(deal.buyer), bazaar.wallet(deal.seller), bazaar.fees)
    tokens = [bazaar.chain.tokens(account) for account in accounts]
    escrow = bazaar.escrow(deal.buyer)
    return (escrow.available, escrow.held, tokens[0], tokens[1], tokens[2])


# -- every act in every state


ACTS: dict[str, set[int]] = {
    "release": {HELD, DISPUTED},
    "refund": {HELD, DISPUTED},
    "dispute": {HELD},
    "to battery": {DISPUTED},
    "to buyer": {DISPUTED},
    "close_trade": {PAID, REFUNDED, DEFAULTED},
}
ENDS = {"release": PAID, "refund": REFUNDED, "dispute": DISPUTED, "to battery": PAID, "to buyer": REFUNDED}


def act_on(bazaar: Bazaar, deal: Deal, act: str) -> list[Any]:
    """The instruction of an act."""
    if act.startswith("to "):
        return bazaar.resolve(deal, to_battery=act == "to battery")
    made: list[Any] = getattr(bazaar, act)(deal)
    return made


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("status", STATES)
def test_each_act_in_each_state(world: World, act: str, status: int) -> None:
    """The whole product; a refused act changes nothing, and time is no obstacle here."""
    deal = STATES[status](world)
    assert world.main.trade(deal).status == status
    if act == "close_trade":
        world.now = world.main.closes_at(deal)
    elif act == "release":
        world.now = NOW + ARBITER_TIME
    instructions = act_on(world.main, deal, act)
    if status not in ACTS[act]:
        world.refused(instructions, "WrongStatus")
        return
    world.do(instructions)
    if act == "close_trade":
        assert world.account(world.main.trade_at(deal)) is None
    else:
        assert world.main.trade(deal).status == ENDS[act]
        again = world.refused(instructions)
        assert again == "WrongStatus"


# -- release


def test_a_release_comes_on_the_second(world: World) -> None:
    main, deal = world.main, held(world)
    before = books(main, deal)
    world.now = NOW + main.terms.dispute_window - 1
    world.refused(main.release(deal), "ReleaseTooEarly")
    world.now += 1
    event = world.do(main.release(deal))
    fee = main.fee(deal)
    assert (event.battery, event.lot_id, event.aggregator) == (deal.seller.device_id, 1, deal.buyer.device_id)
    assert (event.amount, event.fee) == (deal.amount, fee)
    available, holding, vault, payout, fees = before
    after = (available, holding - deal.amount, vault - deal.amount, payout + deal.amount - fee, fees + fee)
    assert books(main, deal) == after
    assert counters(main, deal) == [(1, 0, 0, 0), (1, 0, 0, 0)]


def test_a_disputed_trade_is_released_after_14_days_of_silence(world: World) -> None:
    """From the dispute on, not from the settlement."""
    deal = held(world)
    world.now += 1_000
    world.do(world.main.dispute(deal))
    world.now = NOW + 1_000 + ARBITER_TIME - 1
    world.refused(world.main.release(deal), "ReleaseTooEarly")
    world.now += 1
    world.do(world.main.release(deal))
    assert counters(world.main, deal) == [(1, 0, 1, 0), (1, 0, 1, 0)]


def test_anyone_releases_and_nobody_signs(world: World) -> None:
    deal = held(world)
    world.now += world.main.terms.dispute_window
    (instruction,) = world.main.release(deal)
    assert not any(meta.is_signer for meta in instruction.accounts)
    world.do([instruction])


def test_several_are_released_in_one_transaction(world: World) -> None:
    deals = [held(world, lot) for lot in (1, 2, 3)]
    world.now += world.main.terms.dispute_window
    events = world.events([instruction for deal in deals for instruction in world.main.release(deal)])
    assert [event.data.lot_id for event in events] == [1, 2, 3]
    assert world.main.escrow(world.buyer).held == 0
    instructions = [instruction for deal in deals[:1] * 2 for instruction in world.main.release(deal)]
    world.refused(instructions, "WrongStatus")


def test_it_pays_the_battery_of_the_trade_and_nobody_else(world: World) -> None:
    main, deal = world.main, held(world)
    world.now += main.terms.dispute_window
    neighbour, rival = world.batteries[1], world.aggregators[1]
    world.refused(swapped(main.release(deal), payout=main.wallet(neighbour)), "WrongPayout")
    theirs = {"battery_participant": main.place.participant(neighbour.device_id), "payout": main.wallet(neighbour)}
    world.refused(swapped(main.release(deal), **theirs), "WrongDevice")
    theirs = {
        "aggregator_participant": main.place.participant(rival.device_id),
        "escrow": main.place.escrow(rival.device_id),
        "vault": main.vault(rival),
    }
    world.refused(swapped(main.release(deal), **theirs), "WrongDevice")
    del theirs["aggregator_participant"]
    world.refused(swapped(main.release(deal), **theirs), "WrongAddress")


# -- refund


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize("state", [HELD, DISPUTED])
def test_the_batterys_own_terminate_gives_the_money_back(world: World, code: int, state: int) -> None:
    main = world.main
    deal = STATES[state](world)
    available, holding, *tokens = books(main, deal)
    event = world.do(main.refund(deal, main.terminate(deal, code)))
    assert (event.battery, event.lot_id, event.aggregator) == (deal.seller.device_id, 1, deal.buyer.device_id)
    assert event.amount == deal.amount
    assert books(main, deal) == (available + deal.amount, holding - deal.amount, *tokens)
    disputes = int(state == DISPUTED)
    assert counters(main, deal) == [(0, 0, disputes, 1), (0, 0, disputes, 0)]


@pytest.mark.parametrize("code", [0, 3, 4, 5, 6, 7, 128, 255])
def test_a_terminate_that_gives_nothing_up_is_no_refund(world: World, code: int) -> None:
    """FINISHED and the others: the lot was delivered, or a session ended."""
    deal = held(world)
    world.refused(world.main.refund(deal, world.main.terminate(deal, code)), "WrongTermination")


@pytest.mark.parametrize("kind", [kind for kind in (*range(10), 255) if kind != MessageType.TERMINATE])
def test_no_other_record_of_the_battery_is_a_refund(world: World, kind: int) -> None:
    """Never a Reject: whoever wins has often been outbid in the same lot before."""
    deal = held(world)
    world.refused(world.main.refund(deal, world.main.terminate(deal, kind=kind)), "WrongRecordType")


def test_a_terminate_is_for_its_lot_and_buyer_and_from_its_battery(world: World) -> None:
    main, deal = world.main, held(world)
    neighbour, rival = world.batteries[1], world.aggregators[1]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"lot_id": 2}, "WrongLot"),
        ({"lot_id": 0}, "WrongLot"),
        ({"recipient": bytes(rival.address)}, "WrongRecipient"),
        ({"recipient": bytes(deal.seller.address)}, "WrongRecipient"),
        ({"recipient": bytes(32)}, "WrongRecipient"),
        ({"sender": neighbour.device_id}, "WrongDevice"),
        ({"sender": deal.buyer.device_id}, "WrongDevice"),
    ]
    for changes, error in wrong:
        world.refused(main.refund(deal, main.terminate(deal, **changes)), error)
    for stranger in (neighbour, deal.buyer, rival):
        raw = main.terminate(deal, key=stranger.key)
        world.refused([main.spoken(raw, stranger), main.refund(deal)[-1]], "WrongSigner")
    other = deal.with_(lot_id=2)
    held(world, 2)
    world.refused([main.refund(other)[0], main.refund(deal)[-1]], "WrongLot")
    for bazaar in (world.instant, world.other):
        spoken = bazaar.spoken(bazaar.terminate(deal), deal.seller)
        world.refused([spoken, main.refund(deal)[-1]], "WrongNetwork")
    world.do(main.refund(deal))


def test_a_terminate_is_final_whenever_it_was_stamped(world: World) -> None:
    """Before the Confirm, long after, by a battery that is revoked."""
    stamps = [1, (NOW - 365 * DAY) * US, (NOW + 365 * DAY) * US, 2**64 - 1]
    deals = [held(world, lot) for lot in range(1, 5)]
    world.do(world.main.revoke(world.seller))
    for deal, stamp in zip(deals, stamps, strict=True):
        world.do(world.main.refund(deal, world.main.terminate(deal, message_id=stamp)))
    assert counters(world.main, deals[0]) == [(0, 0, 0, 4), (0, 0, 0, 0)]


def test_a_refund_may_come_as_long_as_the_money_is_held(world: World) -> None:
    deal = held(world)
    world.now += world.main.terms.dispute_window + DAY
    world.do(world.main.refund(deal))
    world.refused(world.main.release(deal), "WrongStatus")


def test_paid_money_does_not_come_back(world: World) -> None:
    world.do(world.instant.settle(world.deal()))
    world.refused(world.instant.refund(world.deal()), "WrongStatus")


def test_what_came_back_pays_the_next_trade(world: World) -> None:
    main = world.main
    deals = [world.deal(lot, energy_wh=3_000_000) for lot in (1, 2)]
    world.do(main.settle(deals[0]))
    world.refused(main.settle(deals[1]), "EscrowTooShort")
    world.do(main.refund(deals[0]))
    world.do(main.settle(deals[1]))


# -- dispute and resolve


def test_a_dispute_is_raised_before_the_release_may_come(world: World) -> None:
    main, deal = world.main, held(world)
    world.now = NOW + main.terms.dispute_window
    world.refused(main.dispute(deal), "DisputeTooLate")
    world.now -= 1
    event = world.do(main.dispute(deal))
    assert (event.battery, event.lot_id, event.aggregator) == (deal.seller.device_id, 1, deal.buyer.device_id)
    assert (event.amount, event.disputed_at) == (deal.amount, world.now)
    trade = main.trade(deal)
    assert (trade.status, trade.disputed_at) == (DISPUTED, world.now)
    assert counters(main, deal) == [(0, 0, 1, 0), (0, 0, 1, 0)]
    world.now += 1
    world.refused(main.release(deal), "ReleaseTooEarly")


def test_only_the_trades_buyer_disputes(world: World) -> None:
    main, deal, rival = world.main, held(world), world.aggregators[1]
    for signer in (rival.address, deal.seller.address, world.admin.pubkey(), world.arbiter.pubkey()):
        world.refused(swapped(main.dispute(deal), authority=signer), "WrongAuthority")
    theirs = {"authority": rival.address, "aggregator_participant": main.place.participant(rival.device_id)}
    world.refused(swapped(main.dispute(deal), **theirs), "WrongDevice")


def test_the_arbiter_decides_at_any_time(world: World) -> None:
    main = world.main
    for lot, late in ((1, 0), (2, ARBITER_TIME - 1), (3, ARBITER_TIME + DAY)):
        deal = disputed(world, lot)
        world.now += late
        world.do(main.resolve(deal, to_battery=True))
        world.now = NOW


def test_the_arbiter_gives_it_to_the_battery(world: World) -> None:
    main, deal = world.main, disputed(world)
    available, holding, vault, payout, fees = books(main, deal)
    event = world.do(main.resolve(deal, to_battery=True))
    fee = main.fee(deal)
    assert (event.battery, event.lot_id, event.aggregator) == (deal.seller.device_id, 1, deal.buyer.device_id)
    assert (event.amount, event.to_battery) == (deal.amount, True)
    after = (available, holding - deal.amount, vault - deal.amount, payout + deal.amount - fee, fees + fee)
    assert books(main, deal) == after
    assert counters(main, deal) == [(1, 0, 1, 0), (1, 0, 1, 1)]


def test_the_arbiter_gives_it_back_to_the_buyer(world: World) -> None:
    main, deal = world.main, disputed(world)
    available, holding, *tokens = books(main, deal)
    assert world.do(main.resolve(deal, to_battery=False)).to_battery is False
    assert books(main, deal) == (available + deal.amount, holding - deal.amount, *tokens)
    assert counters(main, deal) == [(0, 0, 1, 1), (0, 0, 1, 0)]


def test_a_battery_cannot_stop_a_refund_with_its_own_account(world: World) -> None:
    """Closed, given away or never made: who gets nothing has nothing to say."""
    main, deal = world.main, disputed(world)
    payout = main.wallet(deal.seller)
    given = token_data(world.usdc, world.stranger.pubkey())
    for account in (None, Account(SOL, given, TOKEN_PROGRAM), Account(SOL, b"", SYSTEM_PROGRAM)):
        world.put(payout, account)
        world.refused(main.resolve(deal, to_battery=True), "WrongTokenAccount")
    world.do(main.resolve(deal, to_battery=False))


def test_the_arbiter_of_the_day_decides_and_no_other(world: World) -> None:
    main, deal = world.main, disputed(world)
    for signer in (world.admin.pubkey(), deal.buyer.address, deal.seller.address, world.stranger.pubkey()):
        world.refused(swapped(main.resolve(deal, to_battery=False), arbiter=signer), "WrongArbiter")
    before = main.resolve(deal, to_battery=True)
    main.change(arbiter=world.stranger.pubkey())
    world.refused(before, "WrongArbiter")
    world.do(main.resolve(deal, to_battery=True))


@pytest.mark.parametrize("flag", [2, 255])
def test_a_verdict_is_yes_or_no(world: World, flag: int) -> None:
    (instruction,) = world.main.resolve(disputed(world), to_battery=True)
    data = bytes(instruction.data)[:-1] + bytes([flag])
    world.refused([type(instruction)(instruction.program_id, data, instruction.accounts)], "MalformedInstruction")


# -- close_trade


@pytest.mark.parametrize("end", [PAID, REFUNDED, DEFAULTED])
def test_the_rent_goes_back_on_the_second(world: World, end: int) -> None:
    """Message time + settle_window + dispute_window + 1 day."""
    main = world.main
    deal = STATES[end](world)
    address = main.trade_at(deal)
    rent, before = world.lamports(address), world.lamports(deal.seller.address)
    world.now = NOW + 7 * DAY + 3_600 + DAY - 1
    world.refused(main.close_trade(deal), "CloseTooEarly")
    world.now += 1
    event = world.do(main.close_trade(deal))
    assert (event.battery, event.lot_id, event.aggregator) == (deal.seller.device_id, 1, deal.buyer.device_id)
    assert world.account(address) is None
    assert world.lamports(deal.seller.address) == before + rent
    world.refused(main.close_trade(deal), "WrongOwner")


def test_the_time_counts_from_the_message_in_whole_seconds(world: World) -> None:
    deal = world.deal(stamp_us=(NOW - 5 * DAY) * US + 999_999)
    world.do(world.instant.settle(deal))
    world.now = NOW - 5 * DAY + 7 * DAY + DAY - 1
    world.refused(world.instant.close_trade(deal), "CloseTooEarly")
    world.now += 1
    world.do(world.instant.close_trade(deal))


def test_a_closed_lot_takes_a_new_confirm_and_no_old_one(world: World) -> None:
    """Both sides signed again, so that is a new trade; the address is made anew, with counters that go on."""
    main, deal = world.main, refunded(world)
    world.now = main.closes_at(deal)
    world.do(main.close_trade(deal))
    world.refused(main.settle(deal), "MessageTooOld")
    again = deal.with_(stamp_us=world.now * US)
    world.do(main.settle(again))
    assert main.trade(again).message_id == again.stamp_us
    world.now += main.terms.dispute_window
    world.do(main.release(again))
    assert counters(main, again) == [(1, 0, 0, 1), (1, 0, 0, 0)]


def test_all_lamports_go_back_those_that_others_sent_as_well(world: World) -> None:
    deal = world.deal()
    address = world.main.trade_at(deal)
    world.put(address, Account(SOL, b"", SYSTEM_PROGRAM))
    world.do(world.main.settle(deal))
    world.do(world.main.refund(deal))
    world.now = world.main.closes_at(deal)
    before = world.lamports(deal.seller.address)
    world.do(world.main.close_trade(deal))
    assert world.lamports(deal.seller.address) == before + SOL


def test_only_who_paid_gets_it(world: World) -> None:
    deal = refunded(world)
    world.now = world.main.closes_at(deal)
    for other in (world.batteries[1].address, world.buyer.address, world.admin.pubkey(), key_of("nobody").pubkey()):
        world.refused(world.main.close_trade(deal, other), "WrongPayer")


def test_a_payer_that_has_nothing_left_gets_it_all_the_same(world: World) -> None:
    deal = refunded(world)
    world.put(deal.seller.address, None)
    world.now = world.main.closes_at(deal)
    rent = world.lamports(world.main.trade_at(deal))
    world.do(world.main.close_trade(deal))
    assert world.lamports(deal.seller.address) == rent


def test_what_is_closed_is_not_revived_in_the_same_transaction(world: World) -> None:
    """Lamports sent to its address afterwards find an empty account of nobody."""
    deal = refunded(world)
    address = world.main.trade_at(deal)
    world.now = world.main.closes_at(deal)
    payer = world.payer.pubkey()
    world.events(
        [
            *world.main.close_trade(deal),
            transfer(TransferParams(from_pubkey=payer, to_pubkey=address, lamports=SOL)),
        ]
    )
    left = world.account(address)
    assert left is not None
    assert (left.lamports, bytes(left.data), left.owner) == (SOL, b"", SYSTEM_PROGRAM)
    world.refused([*world.main.close_trade(deal)], "WrongOwner")
    world.refused(world.main.settle(deal), "MessageTooOld")


def test_closing_twice_in_one_transaction_fails_as_a_whole(world: World) -> None:
    deal = refunded(world)
    world.now = world.main.closes_at(deal)
    world.refused([*world.main.close_trade(deal), *world.main.close_trade(deal)], "WrongOwner", "WrongDiscriminator")


def test_closing_and_settling_again_in_one_transaction_fails_as_a_whole(world: World) -> None:
    deal = refunded(world)
    world.now = world.main.closes_at(deal)
    world.refused([*world.main.close_trade(deal), *world.main.settle(deal)], "MessageTooOld")


def test_a_held_or_disputed_trade_stays_as_long_as_it_is(world: World) -> None:
    first, second = held(world, 1), disputed(world, 2)
    world.now += 3650 * DAY
    for deal in (first, second):
        world.refused(world.main.close_trade(deal), "WrongStatus")
        world.do(world.main.release(deal))
        world.do(world.main.close_trade(deal))


def test_longer_windows_keep_a_trade_longer(world: World) -> None:
    """By the rules of the day; what was closed before is none the worse (test_program_market)."""
    deal = refunded(world)
    world.main.change(settle_window=30 * DAY, withdraw_delay=31 * DAY, dispute_window=5 * DAY)
    world.now = NOW + 36 * DAY - 1
    world.refused(world.main.close_trade(deal), "CloseTooEarly")
    world.now += 1
    world.do(world.main.close_trade(deal))
