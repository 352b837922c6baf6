"""deposit, request_withdraw, withdraw: what is in the vault is available or held, and leaves no sooner than was said."""

import pytest
from solders.account import Account
from solders.system_program import ID as SYSTEM_PROGRAM
from spl.token.instructions import create_idempotent_associated_token_account

from contracts.accounts import ParticipantRole
from tests.contracts.program.harness import (
    DAY,
    FUNDS,
    NOW,
    SOL,
    U64,
    US,
    Device,
    Escrow,
    World,
    key_of,
    swapped,
    unsigned_by,
)


def newcomer(world: World) -> Device:
    """A registered aggregator with tokens and a vault, that has never paid in."""
    device = Device(world.fund(key_of("newcomer")), 600, ParticipantRole.AGGREGATOR)
    main = world.main
    world.do(main.register(device))
    world.add_tokens(main.wallet(device), main.mint, device.address, FUNDS)
    escrow = main.place.escrow(device.device_id)
    world.events([create_idempotent_associated_token_account(world.payer.pubkey(), escrow, main.mint)])
    return device


def test_the_first_deposit_makes_the_escrow_and_its_owner_pays(world: World) -> None:
    device = newcomer(world)
    before = world.lamports(device.address)
    event = world.do(world.main.deposit(device, 7))
    escrow = world.main.escrow(device)
    assert escrow[1:] == (bytes(world.main.address), device.device_id, 7, 0, 0, 0)
    assert (event.device_id, event.amount, event.available) == (device.device_id, 7, 7)
    address = world.main.place.escrow(device.device_id)
    rent = world.svm.minimum_balance_for_rent_exemption(len(world.data(address)))
    assert world.lamports(address) == rent == before - world.lamports(device.address)
    assert (world.tokens(world.main.vault(device)), world.tokens(world.main.wallet(device))) == (7, FUNDS - 7)


def test_later_deposits_add_up_and_cost_no_rent(world: World) -> None:
    lamports = world.lamports(world.buyer.address)
    for amount in (1, 2, 3):
        assert world.do(world.main.deposit(world.buyer, amount)).amount == amount
    assert world.main.escrow(world.buyer).available == World.DEPOSIT + 6
    assert world.lamports(world.buyer.address) == lamports


@pytest.mark.parametrize("lamports", [1, 10**6, SOL])
def test_lamports_on_the_escrows_address_are_no_obstacle(world: World, lamports: int) -> None:
    device = newcomer(world)
    address = world.main.place.escrow(device.device_id)
    world.put(address, Account(lamports, b"", SYSTEM_PROGRAM))
    before = world.total_lamports([address, device.address])
    world.do(world.main.deposit(device, 7))
    assert world.total_lamports([address, device.address]) == before


def test_nothing_is_no_deposit(world: World) -> None:
    world.refused(world.main.deposit(world.buyer, 0), "ZeroAmount")
    world.refused(world.main.deposit(newcomer(world), 0), "ZeroAmount")


def test_the_whole_source_and_not_one_more(world: World) -> None:
    wallet = world.main.wallet(world.buyer)
    there = world.tokens(wallet)
    world.refused(world.main.deposit(world.buyer, there + 1), "Custom(1)")
    world.refused(world.main.deposit(newcomer(world), FUNDS + 1), "Custom(1)")
    world.do(world.main.deposit(world.buyer, there))
    assert world.tokens(wallet) == 0


def test_a_sum_that_does_not_fit_is_refused(world: World) -> None:
    world.refused(world.main.deposit(world.buyer, U64), "Overflow")
    world.refused(world.main.deposit(world.buyer, U64 - World.DEPOSIT + 1), "Overflow")
    world.refused(world.main.deposit(world.buyer, U64 - World.DEPOSIT), "Custom(1)")


def test_a_battery_has_no_escrow(world: World) -> None:
    """Nor does a battery that has an aggregator's key."""
    main, seller = world.main, world.twin
    source = main.wallet(world.buyer)
    participant = main.place.participant(seller.device_id)
    world.refused(swapped(main.deposit(world.buyer, 5), participant=participant), "WrongRole")
    world.refused(swapped(main.request_withdraw(world.buyer, 5), participant=participant), "WrongRole")
    assert source == main.wallet(seller)


def test_money_goes_into_the_own_escrow_only(world: World) -> None:
    """Vault and escrow of another: a deposit never lands in other books than in its own."""
    main, rival = world.main, world.aggregators[1]
    escrow, vault = main.place.escrow(rival.device_id), main.vault(rival)
    world.refused(swapped(main.deposit(world.buyer, 5), escrow=escrow, vault=vault), "WrongAddress")
    world.refused(swapped(main.deposit(world.buyer, 5), escrow=escrow), "WrongVault", "WrongAddress")
    world.refused(swapped(main.deposit(world.buyer, 5), vault=vault), "WrongVault")
    other = world.instant
    elsewhere = {"escrow": other.place.escrow(world.buyer.device_id), "vault": other.vault(world.buyer)}
    world.refused(swapped(main.deposit(world.buyer, 5), **elsewhere), "WrongMarket")


def test_tokens_sent_to_the_vault_past_the_program_are_in_no_books(world: World) -> None:
    """They stay in the vault: only what was deposited is available."""
    vault = world.main.vault(world.buyer)
    world.add_tokens(vault, world.usdc, world.main.place.escrow(world.buyer.device_id), World.DEPOSIT + 500)
    world.do(world.main.request_withdraw(world.buyer, U64))
    world.now += world.main.terms.withdraw_delay
    assert world.do(world.main.withdraw(world.buyer)).amount == World.DEPOSIT
    assert world.tokens(vault) == 500


def test_a_request_holds_amount_and_second(world: World) -> None:
    event = world.do(world.main.request_withdraw(world.buyer, 70))
    escrow = world.main.escrow(world.buyer)
    assert (escrow.withdrawal_amount, escrow.withdrawal_since) == (70, NOW) == (event.amount, event.since)
    assert escrow.available == World.DEPOSIT


def test_asking_again_restarts_the_delay_whatever_the_amount(world: World) -> None:
    delay = world.main.terms.withdraw_delay
    for amount in (70, 70, 5):
        world.do(world.main.request_withdraw(world.buyer, amount))
        world.now += delay - 1
        world.refused(world.main.withdraw(world.buyer), "WithdrawalTooEarly")
    world.now += 1
    assert world.do(world.main.withdraw(world.buyer)).amount == 5


def test_zero_cancels(world: World) -> None:
    world.do(world.main.request_withdraw(world.buyer, 70))
    event = world.do(world.main.request_withdraw(world.buyer, 0))
    assert (event.amount, event.since) == (0, 0)
    world.now += world.main.terms.withdraw_delay
    world.refused(world.main.withdraw(world.buyer), "NoWithdrawal")


def test_a_withdrawal_comes_on_the_second_and_once(world: World) -> None:
    main = world.main
    world.refused(main.withdraw(world.buyer), "NoWithdrawal")
    world.do(main.request_withdraw(world.buyer, 70))
    world.now = NOW + main.terms.withdraw_delay - 1
    world.refused(main.withdraw(world.buyer), "WithdrawalTooEarly")
    world.now += 1
    event = world.do(main.withdraw(world.buyer))
    assert (event.device_id, event.amount, event.available) == (world.buyer.device_id, 70, World.DEPOSIT - 70)
    escrow = main.escrow(world.buyer)
    assert escrow[3:] == (World.DEPOSIT - 70, 0, 0, 0)
    assert world.tokens(main.vault(world.buyer)) == World.DEPOSIT - 70
    world.refused(main.withdraw(world.buyer), "NoWithdrawal")


def test_the_delay_is_that_of_the_day(world: World) -> None:
    """A market's admin may make it longer or shorter, and bounds it by the settle_window of the day."""
    world.do(world.main.request_withdraw(world.buyer, 70))
    world.main.change(withdraw_delay=20 * DAY)
    world.now = NOW + 20 * DAY - 1
    world.refused(world.main.withdraw(world.buyer), "WithdrawalTooEarly")
    world.now += 1
    world.do(world.main.withdraw(world.buyer))


def test_more_than_there_is_gives_what_there_is(world: World) -> None:
    world.do(world.main.request_withdraw(world.buyer, U64))
    world.now += world.main.terms.withdraw_delay
    assert world.do(world.main.withdraw(world.buyer)).amount == World.DEPOSIT
    assert world.main.escrow(world.buyer)[3:] == (0, 0, 0, 0)


def test_held_money_does_not_leave(world: World) -> None:
    main, deal = world.main, world.deal()
    world.do(main.settle(deal))
    world.do(main.dispute(deal))
    world.do(main.request_withdraw(world.buyer, U64))
    world.now += main.terms.withdraw_delay
    assert world.do(main.withdraw(world.buyer)).amount == World.DEPOSIT - deal.amount
    assert world.tokens(main.vault(world.buyer)) == deal.amount == main.escrow(world.buyer).held
    world.now = NOW + 14 * DAY
    world.do(main.release(deal))
    assert world.tokens(main.vault(world.buyer)) == 0


def test_money_that_was_asked_for_pays_until_it_leaves(world: World) -> None:
    """A withdrawal against a settlement: whichever comes first, the escrow pays each unit once."""
    main = world.main
    deal = world.deal(energy_wh=3_000_000)  # 750 003 000 of 1 000 000 000
    world.do(main.request_withdraw(world.buyer, World.DEPOSIT))
    world.do(main.settle(deal))
    world.now += main.terms.withdraw_delay
    assert world.do(main.withdraw(world.buyer)).amount == World.DEPOSIT - deal.amount
    assert world.do(main.release(deal)).amount == deal.amount
    later = world.deal(2, stamp_us=world.now * 10**6)
    world.refused(main.settle(later), "EscrowTooShort")
    world.do(main.record_default(later))


def test_a_request_that_came_due_may_be_taken_at_any_moment(world: World) -> None:
    """The delay outruns the Confirms that were signed before the request, not those after it.

    Hence what is asked for is nobody's promise: the client counts it as gone (contracts/exposure.py, `free`).
    """
    main = world.main
    world.do(main.request_withdraw(world.buyer, U64))
    before = world.deal(1, stamp_us=(NOW - 1) * US)
    world.now = NOW + main.terms.settle_window - 1
    world.do(main.settle(before))
    world.now = NOW + main.terms.withdraw_delay + 365 * DAY
    after = world.deal(2, stamp_us=world.now * US)
    world.do(main.deposit(world.buyer, 10**9))
    world.do(main.withdraw(world.buyer))
    world.refused(main.settle(after), "EscrowTooShort")
    world.do(main.release(before))


def test_a_request_that_finds_nothing_is_gone_as_well(world: World) -> None:
    main = world.main
    deal = world.deal(price=100_000_000, energy_wh=10_000)
    assert deal.amount == World.DEPOSIT
    world.do(main.request_withdraw(world.buyer, 5))
    world.do(main.settle(deal))
    world.now += main.terms.withdraw_delay
    assert world.do(main.withdraw(world.buyer)).amount == 0
    world.do(main.release(deal))
    world.refused(main.withdraw(world.buyer), "NoWithdrawal")


def test_without_an_escrow_there_is_nothing_to_ask_for(world: World) -> None:
    device = newcomer(world)
    world.refused(world.main.request_withdraw(device, 5), "WrongOwner")
    world.refused(world.main.withdraw(device), "WrongOwner")


def test_a_revoked_aggregator_gets_its_money_back(world: World) -> None:
    world.do(world.main.revoke(world.buyer))
    world.do(world.main.request_withdraw(world.buyer, World.DEPOSIT))
    world.now += world.main.terms.withdraw_delay
    assert world.do(world.main.withdraw(world.buyer)).amount == World.DEPOSIT


def test_markets_of_one_mint_keep_their_money_apart(world: World) -> None:
    assert world.main.mint == world.instant.mint
    assert world.main.vault(world.buyer) != world.instant.vault(world.buyer)
    world.do(world.main.request_withdraw(world.buyer, 5))
    world.now += world.main.terms.withdraw_delay
    elsewhere = {"market": world.instant.address, "participant": world.instant.place.participant(U64)}
    world.refused(swapped(world.main.withdraw(world.buyer), **elsewhere), "WrongMarket")
    world.refused(world.instant.withdraw(world.buyer), "NoWithdrawal")


def test_only_the_aggregators_key_moves_its_money(world: World) -> None:
    world.do(world.main.request_withdraw(world.buyer, 5))
    world.now += world.main.terms.withdraw_delay
    for instructions in (
        world.main.request_withdraw(world.buyer, 1),
        world.main.withdraw(world.buyer),
        world.main.deposit(world.buyer, 1),
    ):
        rival = world.aggregators[1].address
        world.refused(swapped(instructions, authority=rival), "WrongAuthority")
        world.refused(unsigned_by(instructions, "authority"), "MissingSignature")
    world.refused(world.main.withdraw(world.buyer, world.main.wallet(world.aggregators[1])), "WrongTokenAccount")
    assert world.main.escrow(world.buyer) == world.read(Escrow, world.main.place.escrow(U64))
