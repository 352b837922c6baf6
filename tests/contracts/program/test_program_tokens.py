"""The token program says no: frozen, closed, empty accounts. What fails fails whole, and goes once the reason is gone."""

from collections.abc import Callable

import pytest
from solders.account import Account
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.token import ID as TOKEN_PROGRAM
from spl.token.instructions import (
    AuthorityType,
    CloseAccountParams,
    FreezeAccountParams,
    SetAuthorityParams,
    SyncNativeParams,
    ThawAccountParams,
    close_account,
    create_idempotent_associated_token_account,
    freeze_account,
    set_authority,
    sync_native,
    thaw_account,
)

from tests.contracts.program.harness import (
    SLOTS,
    SOL,
    TOKENS,
    Bazaar,
    World,
    address_in,
    key_of,
    mint_account,
    name_of,
)
from tests.contracts.program.scenes import SCENES, Scene

FROZEN = "Custom(17)"
SHORT = "Custom(1)"
NATIVE = Pubkey.from_string("So11111111111111111111111111111111111111112")
MOVING = {
    "deposit": ("source", "vault"),
    "withdraw": ("vault", "destination"),
    "settle": ("vault", "payout", "fee_account"),
    "release": ("vault", "payout", "fee_account"),
    "resolve": ("vault", "payout", "fee_account"),
}
"""Scenes in which tokens move, and the accounts that they move between."""
STILL = ("settle_held", "resolve_to_buyer")
"""Those in which they only change their place in the books."""

each_move = pytest.mark.parametrize(
    ("scene", "slot"), [(SCENES[name], slot) for name, slots in MOVING.items() for slot in slots]
)
Play = Callable[[World], Scene]


def freeze(world: World, address: Pubkey) -> None:
    """By the mint's freeze authority, as an issuer does."""
    params = FreezeAccountParams(TOKEN_PROGRAM, address, world.usdc, world.admin.pubkey())
    world.events([freeze_account(params)])


def thaw(world: World, address: Pubkey) -> None:
    """Likewise."""
    world.events([thaw_account(ThawAccountParams(TOKEN_PROGRAM, address, world.usdc, world.admin.pubkey()))])


@each_move
def test_a_frozen_account_stops_it_whole_until_it_is_thawed(world: World, scene: Play, slot: str) -> None:
    """Also where the first of two transfers would pass: books, balances and lamports stay as they were."""
    played = scene(world)
    address = address_in(played.instructions, slot)
    freeze(world, address)
    world.refused(played.instructions, FROZEN)
    thaw(world, address)
    world.do(played.instructions)


@pytest.mark.parametrize("name", STILL)
def test_where_no_token_moves_frozen_accounts_do_not_matter(world: World, name: str) -> None:
    """An issuer that freezes a vault cannot make a trade unsettleable; it only cannot be paid as long."""
    played = SCENES[name](world)
    for slot in ("vault", "payout", "fee_account"):
        freeze(world, address_in(played.instructions, slot))
    world.do(played.instructions)


def test_a_frozen_vault_does_not_stop_a_refund_or_a_dispute(world: World) -> None:
    for lot, act in ((1, "refund"), (2, "dispute")):
        deal = world.deal(lot)
        world.do(world.main.settle(deal))
        if lot == 1:
            freeze(world, world.main.vault(world.buyer))
        world.do(getattr(world.main, act)(deal))


@pytest.mark.parametrize("name", ["settle", "settle_held", "release", "resolve"])
def test_a_closed_payout_stops_it_until_anyone_makes_it_again(world: World, name: str) -> None:
    """Nobody else than the battery can close it, and only when it is empty."""
    played = SCENES[name](world)
    payout = played.bazaar.wallet(world.seller)
    owner = world.seller.address
    world.events([close_account(CloseAccountParams(TOKEN_PROGRAM, payout, owner, owner))])
    assert world.account(payout) is None
    world.refused(played.instructions, "WrongTokenAccount")
    world.events([create_idempotent_associated_token_account(world.payer.pubkey(), owner, played.bazaar.mint)])
    world.do(played.instructions)


def test_a_payout_and_its_payment_come_in_one_transaction(world: World) -> None:
    payout = world.main.wallet(world.seller)
    world.put(payout, None)
    create = create_idempotent_associated_token_account(world.seller.address, world.seller.address, world.usdc)
    world.events([create, *world.instant.settle(world.deal())])
    assert world.tokens(payout) == world.deal().amount - world.instant.fee(world.deal())


def test_a_payout_that_was_given_away_is_not_paid(world: World) -> None:
    """Its address is still the associated one; its owner is another."""
    payout = world.main.wallet(world.seller)
    given = SetAuthorityParams(
        TOKEN_PROGRAM, payout, AuthorityType.ACCOUNT_OWNER, world.seller.address, [], world.stranger.pubkey()
    )
    world.events([set_authority(given)])
    for name in ("settle", "settle_held"):
        world.refused(SCENES[name](world).instructions, "WrongTokenAccount")


@pytest.mark.parametrize("name", ["settle", "release", "resolve"])
def test_a_closed_fee_account_stops_payments_until_the_market_has_another(world: World, name: str) -> None:
    played = SCENES[name](world)
    bazaar = played.bazaar
    world.put(bazaar.fees, None)
    world.refused(played.instructions, "WrongTokenAccount")
    other = world.add_tokens(key_of("other fees").pubkey(), bazaar.mint, world.stranger.pubkey())
    bazaar.change(fees=other)
    world.refused(played.instructions, "WrongFeeAccount")
    again = bazaar.settle(world.deal()) if name == "settle" else bazaar.release(world.deal())
    if name == "resolve":
        again = bazaar.resolve(world.deal(), to_battery=True)
    world.do(again)
    assert world.tokens(other) == bazaar.fee(world.deal())


def test_without_a_fee_the_fee_account_is_only_named(world: World) -> None:
    """A trade that owes none is paid whatever became of that account."""
    world.instant.change(fee_bps=0)
    world.put(world.instant.fees, None)
    deal = world.deal()
    assert world.do(world.instant.settle(deal)).fee == 0
    assert world.tokens(world.instant.wallet(world.seller)) == deal.amount


def test_a_fee_account_may_be_anybodys_but_not_in_the_same_payment(world: World) -> None:
    """Not the vault that pays nor the account that is paid: two views of one account."""
    deal = world.deal()
    for fees in (world.instant.vault(world.buyer), world.instant.wallet(world.seller)):
        world.instant.change(fees=fees)
        world.refused(world.instant.settle(deal), "DuplicateAccount")
    neighbour = world.instant.wallet(world.batteries[1])
    world.instant.change(fees=neighbour)
    world.do(world.instant.settle(deal))
    assert world.tokens(neighbour) == world.instant.fee(deal)


@pytest.mark.parametrize("name", ["settle", "release", "resolve", "withdraw"])
def test_a_vault_that_lacks_what_the_books_say_pays_nothing(world: World, name: str) -> None:
    """Which the program never lets happen; the token program would refuse."""
    played = SCENES[name](world)
    vault = address_in(played.instructions, "vault")
    world.edit_tokens(vault, 64, (4_999).to_bytes(8, "little"))
    world.refused(played.instructions, SHORT)


def test_a_delegate_of_the_source_is_not_its_owner(world: World) -> None:
    """A deposit takes from accounts of the aggregator's key alone, even where it may spend from another's."""
    main = world.main
    source = world.add_tokens(key_of("lent").pubkey(), world.usdc, world.stranger.pubkey(), 10**6)
    delegate = bytes(world.buyer.address)
    data = TOKENS.pack(
        bytes(world.usdc), bytes(world.stranger.pubkey()), 10**6, 1, delegate, 1, 0, 0, 10**6, 0, bytes(32)
    )
    world.put(source, Account(SOL, data, TOKEN_PROGRAM))
    world.refused(main.deposit(world.buyer, 5, source), "WrongTokenAccount")


def test_a_mint_without_a_way_to_freeze_or_decimals_serves_as_well(world: World) -> None:
    for decimals in (0, 18, 255):
        world.restore()
        mint = key_of("odd mint").pubkey()
        world.put(mint, mint_account(world.admin.pubkey(), decimals=decimals))
        fees = world.add_tokens(key_of("odd fees").pubkey(), mint, world.admin.pubkey())
        bazaar = Bazaar(world, world.admin, "odd", mint, world.instant.terms, fees=fees)
        bazaar.furnish([world.seller, world.buyer], World.DEPOSIT)
        deal = world.deal()
        world.do(bazaar.settle(deal))
        assert world.tokens(bazaar.wallet(world.seller)) == deal.amount - bazaar.fee(deal)


def test_wrapped_sol_is_just_a_mint(world: World) -> None:
    """Its token accounts hold lamports: deposit, payment, fee and withdrawal move both."""
    supply = mint_account(world.admin.pubkey(), decimals=9)
    world.put(NATIVE, Account(supply.lamports, bytes(supply.data), TOKEN_PROGRAM))
    rent = world.svm.minimum_balance_for_rent_exemption(TOKENS.size)
    payer = world.payer.pubkey()

    def wrapped(owner: Pubkey, lamports: int = 0) -> Pubkey:
        create = create_idempotent_associated_token_account(payer, owner, NATIVE)
        address = create.accounts[1].pubkey
        fill = transfer(TransferParams(from_pubkey=payer, to_pubkey=address, lamports=lamports))
        world.events([create, fill, sync_native(SyncNativeParams(TOKEN_PROGRAM, address))])
        return address

    fees = wrapped(world.admin.pubkey())
    bazaar = Bazaar(world, world.admin, "wrapped", NATIVE, world.instant.terms, fees=fees)
    world.do(bazaar.open())
    world.do(bazaar.register(world.seller))
    world.do(bazaar.register(world.buyer))
    source, payout = wrapped(world.buyer.address, 10**9), wrapped(world.seller.address)
    vault = wrapped(bazaar.place.escrow(world.buyer.device_id))
    world.do(bazaar.deposit(world.buyer, 10**9))
    deal = world.deal()
    world.do(bazaar.settle(deal))
    world.do(bazaar.request_withdraw(world.buyer, 2**64 - 1))
    world.now += bazaar.terms.withdraw_delay
    world.do(bazaar.withdraw(world.buyer))
    fee = bazaar.fee(deal)
    balances = {source: 10**9 - deal.amount, payout: deal.amount - fee, fees: fee, vault: 0}
    for address, amount in balances.items():
        assert (world.tokens(address), world.lamports(address) - rent) == (amount, amount)


def test_every_scene_in_which_tokens_move_is_in_the_table(world: World) -> None:
    """A vault in the list of accounts is one that something is taken from or put into, or a scene of STILL."""
    named = set(MOVING) | set(STILL)
    assert named == {name for name, scene in SCENES.items() if "vault" in SLOTS[name_of(_last(world, scene))]}


def _last(world: World, scene: Play) -> Instruction:
    instruction = scene(world).instructions[-1]
    world.restore()
    return instruction
