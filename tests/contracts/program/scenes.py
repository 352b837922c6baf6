"""Each of the program's instructions where it succeeds, and a crowd of accounts that might stand in for the right ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from solders.account import Account
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.sysvar import CLOCK, RENT
from solders.sysvar import INSTRUCTIONS as INSTRUCTIONS_SYSVAR
from solders.token import ID as TOKEN_PROGRAM

from contracts.accounts import ParticipantRole
from contracts.addresses import PROGRAM_ID
from contracts.instructions import ED25519_PROGRAM
from tests.contracts.program.harness import (
    ASSOCIATED_PROGRAM,
    SOL,
    TOKEN_2022,
    Bazaar,
    Device,
    World,
    associated,
    key_of,
    mint_account,
    token_data,
)

BEYOND_THE_ESCROW: Final = 10_000_000
"""Wh, which at a deal's usual price no escrow of the world covers."""


@dataclass(frozen=True)
class Scene:
    """A market and what succeeds in it now; `event` is what it then says."""

    bazaar: Bazaar
    instructions: list[Instruction]
    event: str


def open_market(world: World) -> Scene:
    """A market of a new name."""
    bazaar = Bazaar(world, world.admin, "new", world.usdc, world.main.terms)
    return Scene(bazaar, bazaar.open(), "MarketOpened")


def set_market(world: World) -> Scene:
    """Another fee."""
    return Scene(world.main, world.main.set(fee_bps=10), "MarketSet")


def register(world: World) -> Scene:
    """A new battery."""
    device = Device(world.fund(key_of("newcomer")), 77, ParticipantRole.BATTERY)
    return Scene(world.main, world.main.register(device), "Registered")


def revoke(world: World) -> Scene:
    """The seller."""
    return Scene(world.main, world.main.revoke(world.seller), "Revoked")


def deposit(world: World) -> Scene:
    """Of the buyer."""
    return Scene(world.main, world.main.deposit(world.buyer, 5_000), "Deposited")


def request_withdraw(world: World) -> Scene:
    """Of the buyer."""
    return Scene(world.main, world.main.request_withdraw(world.buyer, 5_000), "WithdrawalRequested")


def withdraw(world: World) -> Scene:
    """Of the buyer, when its time has come."""
    world.do(world.main.request_withdraw(world.buyer, 5_000))
    world.now += world.main.terms.withdraw_delay
    return Scene(world.main, world.main.withdraw(world.buyer), "Withdrawn")


def settle(world: World) -> Scene:
    """Where it pays at once, so that every account is used."""
    return Scene(world.instant, world.instant.settle(world.deal()), "Settled")


def settle_held(world: World) -> Scene:
    """Where the money is held."""
    return Scene(world.main, world.main.settle(world.deal()), "Settled")


def record_default(world: World) -> Scene:
    """Of more than the escrow has."""
    return Scene(world.main, world.main.record_default(world.deal(energy_wh=BEYOND_THE_ESCROW)), "Defaulted")


def release(world: World) -> Scene:
    """On the second."""
    world.do(world.main.settle(world.deal()))
    world.now += world.main.terms.dispute_window
    return Scene(world.main, world.main.release(world.deal()), "Released")


def refund(world: World) -> Scene:
    """Of a held trade."""
    world.do(world.main.settle(world.deal()))
    return Scene(world.main, world.main.refund(world.deal()), "Refunded")


def dispute(world: World) -> Scene:
    """Of a held trade."""
    world.do(world.main.settle(world.deal()))
    return Scene(world.main, world.main.dispute(world.deal()), "Disputed")


def resolve(world: World, *, to_battery: bool = True) -> Scene:
    """In the battery's favour."""
    dispute_first = dispute(world)
    world.do(dispute_first.instructions)
    return Scene(world.main, world.main.resolve(world.deal(), to_battery=to_battery), "Resolved")


def resolve_to_buyer(world: World) -> Scene:
    """In the buyer's favour."""
    return resolve(world, to_battery=False)


def close_trade(world: World) -> Scene:
    """Of a paid trade."""
    world.do(world.instant.settle(world.deal()))
    world.now = world.instant.closes_at(world.deal())
    return Scene(world.instant, world.instant.close_trade(world.deal()), "Closed")


SCENES: Final[dict[str, Callable[[World], Scene]]] = {
    scene.__name__: scene
    for scene in (
        open_market,
        set_market,
        register,
        revoke,
        deposit,
        request_withdraw,
        withdraw,
        settle,
        settle_held,
        record_default,
        release,
        refund,
        dispute,
        resolve,
        resolve_to_buyer,
        close_trade,
    )
}


def crowd(world: World) -> dict[str, Pubkey]:
    """Accounts of every kind, by a name. Call it before a scene: it settles trades of its own."""
    buyer, rival = world.aggregators[:2]
    seller, neighbour = world.batteries
    found: dict[str, Pubkey] = {}
    for name, bazaar in (("main", world.main), ("instant", world.instant), ("other", world.other)):
        found[f"{name} market"] = bazaar.address
        found[f"{name} fees"] = bazaar.fees
        found[f"{name} mint"] = bazaar.mint
        for index, device in enumerate(world.devices):
            found[f"{name} participant {index}"] = bazaar.place.participant(device.device_id)
            found[f"{name} wallet {index}"] = bazaar.wallet(device)
            found[f"{name} key {index}"] = bazaar.key_at(device.address)
        for index, device in enumerate((buyer, rival)):
            found[f"{name} escrow {index}"] = bazaar.place.escrow(device.device_id)
            found[f"{name} vault {index}"] = bazaar.vault(device)
        deals = (
            (world.deal(901, seller=seller, buyer=rival), "same seller"),
            (world.deal(902, seller=neighbour, buyer=buyer), "same buyer"),
            (world.deal(903, seller=neighbour, buyer=rival), "strangers"),
        )
        for deal, whose in deals:
            world.do(bazaar.settle(deal))
            found[f"{name} trade of {whose}"] = bazaar.trade_at(deal)
    twin = world.deal()
    world.do(world.other.settle(twin))
    found["other trade of the same lot"] = world.other.trade_at(twin)
    paid = world.deal(904)
    world.do(world.main.settle(paid))
    world.do(world.main.refund(paid))
    found["main trade that is over"] = world.main.trade_at(paid)
    found |= {
        "system program": SYSTEM_PROGRAM,
        "token program": TOKEN_PROGRAM,
        "token 2022": TOKEN_2022,
        "associated token program": ASSOCIATED_PROGRAM,
        "ed25519 program": ED25519_PROGRAM,
        "settlement program": PROGRAM_ID,
        "instructions sysvar": INSTRUCTIONS_SYSVAR,
        "clock sysvar": CLOCK,
        "rent sysvar": RENT,
        "nothing": key_of("nothing").pubkey(),
    }
    for name in ("admin", "arbiter", "stranger", "other_admin", "payer"):
        found[name] = getattr(world, name).pubkey()
    for index, device in enumerate(world.devices[:-1]):
        found[f"device {index}"] = device.address
    return found | lookalikes(world)


def lookalikes(world: World) -> dict[str, Pubkey]:
    """What an attacker can make: token accounts and mints of its own."""
    made: dict[str, Account] = {
        "a second mint": mint_account(world.stranger.pubkey()),
        "a mint that is not initialised": mint_account(world.stranger.pubkey(), initialised=False),
        "a mint of token 2022": Account(SOL, bytes(mint_account(world.stranger.pubkey()).data), TOKEN_2022),
        "a stranger's tokens": Account(SOL, token_data(world.usdc, world.stranger.pubkey(), 10**9), TOKEN_PROGRAM),
        "tokens that are not initialised": Account(SOL, bytes(165), TOKEN_PROGRAM),
        "tokens of token 2022": Account(SOL, token_data(world.usdc, world.buyer.address, 10**9), TOKEN_2022),
        "tokens of no program": Account(SOL, token_data(world.usdc, world.buyer.address, 10**9), SYSTEM_PROGRAM),
        "tokens of the settlement program": Account(SOL, token_data(world.usdc, world.buyer.address, 9), PROGRAM_ID),
        "another account of the escrow": Account(
            SOL,
            token_data(world.usdc, world.main.place.escrow(world.buyer.device_id), 10**9),
            TOKEN_PROGRAM,
        ),
    }
    found = {}
    for name, account in made.items():
        found[name] = key_of(name).pubkey()
        world.put(found[name], account)
    stranger = associated(world.stranger.pubkey(), world.usdc)
    world.put(stranger, Account(SOL, token_data(world.usdc, world.stranger.pubkey(), 10**9), TOKEN_PROGRAM))
    return found | {"a stranger's wallet": stranger}
