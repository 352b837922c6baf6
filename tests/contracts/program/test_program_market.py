"""open_market and set_market: the network's hash, the bounds of the rules, the pause, and what a longer window never revives."""

from hashlib import sha256
from typing import Any

import pytest
from solders.account import Account
from solders.system_program import ID as SYSTEM_PROGRAM

from contracts.addresses import PROGRAM_ID
from tests.contracts.program.harness import (
    DAY,
    DISPUTED,
    GENESIS,
    HELD,
    INTERFACE,
    MAX_AHEAD,
    NOW,
    PAID,
    REFUNDED,
    SOL,
    US,
    Bazaar,
    World,
    associated,
    reshaped,
    swapped,
)

U32 = 2**32 - 1


def new(world: World, name: str = "new") -> Bazaar:
    """A market that is not open yet."""
    return Bazaar(world, world.admin, name, world.usdc, world.main.terms)


def arguments(bazaar: Bazaar, **changes: Any) -> bytes:
    """The data of open_market, its arguments written down here."""
    said: dict[str, Any] = {"genesis": GENESIS, "name": bazaar.name.encode(), "size": None, "network": bazaar.network}
    said |= changes
    name: bytes = said["name"]
    genesis: bytes = said["genesis"]
    network: bytes = said["network"]
    size = len(name) if said["size"] is None else said["size"]
    terms = bazaar.terms
    return (
        sha256(b"global:open_market").digest()[:8]
        + genesis
        + size.to_bytes(4, "little")
        + name
        + network
        + bytes(terms.arbiter)
        + terms.fee_bps.to_bytes(2, "little")
        + terms.min_amount.to_bytes(8, "little")
        + b"".join(
            value.to_bytes(4, "little") for value in (terms.dispute_window, terms.settle_window, terms.withdraw_delay)
        )
    )


def test_a_market_holds_what_it_was_opened_with(world: World) -> None:
    bazaar = new(world)
    event = world.do(bazaar.open())
    market = bazaar.state()
    assert market.network_id == bazaar.network == bytes(event.network_id)
    assert market.admin == bytes(world.admin.pubkey()) == bytes(event.admin)
    assert market.arbiter == bytes(bazaar.terms.arbiter) == bytes(event.arbiter)
    assert market.mint == bytes(world.usdc) == bytes(event.mint)
    assert market.fee_account == bytes(bazaar.fees) == bytes(event.fee_account)
    assert market[6:11] == bazaar.terms[1:]
    assert (event.fee_bps, event.min_amount, event.dispute_window, event.settle_window, event.withdraw_delay) == (
        bazaar.terms[1:]
    )
    assert (market.paused_at, market.settles_from) == (0, 0)
    rent = world.svm.minimum_balance_for_rent_exemption(len(world.data(bazaar.address)))
    assert world.lamports(bazaar.address) == rent


def test_the_client_writes_the_arguments_that_are_written_down_here(world: World) -> None:
    bazaar = new(world)
    assert bytes(bazaar.open()[0].data) == arguments(bazaar)


def test_the_network_id_is_the_hash_of_chain_program_admin_and_name(world: World) -> None:
    """docs/settlement.md, Record: SHA-256("ETP-NET-v1", a zero, genesis, program, admin, name)."""
    bazaar = new(world)
    expected = sha256(b"ETP-NET-v1\0" + GENESIS + bytes(PROGRAM_ID) + bytes(world.admin.pubkey()) + b"new").digest()
    assert bazaar.network == expected
    for wrong in (
        {"genesis": bytes(32)},
        {"name": b"nev"},
        {"name": b"new "},
        {"network": sha256(b"").digest()},
        {"network": world.main.network},
    ):
        world.refused(reshaped(bazaar.open(), data=arguments(bazaar, **wrong)), "WrongNetworkId", "WrongAddress")


def test_another_admin_opens_another_market_under_the_same_name(world: World) -> None:
    """So nobody can take a name away; and the id of one is not the other's."""
    assert world.main.name == world.other.name
    assert world.main.network != world.other.network
    bazaar = new(world)
    reason = world.refused(swapped(bazaar.open(), admin=world.other_admin.pubkey()))
    assert reason == "WrongNetworkId"


@pytest.mark.parametrize("name", ["a", "x" * 32, "µ€", "\0", "𝄞" * 8])
def test_a_name_has_1_to_32_bytes(world: World, name: str) -> None:
    bazaar = new(world, name)
    world.do(bazaar.open())
    assert bazaar.state().network_id == bazaar.network


@pytest.mark.parametrize(
    ("name", "size", "error"),
    [
        (b"", None, "WrongName"),
        (b"x" * 33, None, "WrongName"),
        (b"\xff", None, "WrongName"),
        (b"\xc3", None, "WrongName"),
        (b"\xed\xa0\x80", None, "WrongName"),  # a surrogate
        (b"\xc0\x80", None, "WrongName"),  # overlong
        (b"x", 2**32 - 1, "WrongName"),
        (b"x", 0, "WrongName"),
        (b"xx", 1, "MalformedInstruction"),
    ],
)
def test_other_names_are_refused(world: World, name: bytes, size: int | None, error: str) -> None:
    bazaar = new(world)
    network = sha256(b"ETP-NET-v1\0" + GENESIS + bytes(PROGRAM_ID) + bytes(world.admin.pubkey()) + name).digest()
    data = arguments(bazaar, name=name, size=size, network=network)
    world.refused(reshaped(bazaar.open(), data=data), error)


RULES = [
    ({"fee_bps": 0}, None),
    ({"fee_bps": 100}, None),
    ({"fee_bps": 101}, "FeeTooHigh"),
    ({"fee_bps": 2**16 - 1}, "FeeTooHigh"),
    ({"settle_window": DAY, "withdraw_delay": 2 * DAY}, None),
    ({"settle_window": DAY - 1, "withdraw_delay": 9 * DAY}, "SettleWindowOutOfBounds"),
    ({"settle_window": 0, "withdraw_delay": 9 * DAY}, "SettleWindowOutOfBounds"),
    ({"settle_window": 30 * DAY, "withdraw_delay": 31 * DAY}, None),
    ({"settle_window": 30 * DAY + 1, "withdraw_delay": 60 * DAY}, "SettleWindowOutOfBounds"),
    ({"settle_window": U32, "withdraw_delay": U32}, "SettleWindowOutOfBounds"),
    ({"settle_window": 7 * DAY, "withdraw_delay": 8 * DAY}, None),
    ({"settle_window": 7 * DAY, "withdraw_delay": 8 * DAY - 1}, "WithdrawDelayTooShort"),
    ({"withdraw_delay": 0}, "WithdrawDelayTooShort"),
    ({"withdraw_delay": U32}, None),
    ({"dispute_window": 0}, None),
    ({"dispute_window": U32}, None),
    ({"min_amount": 0}, None),
    ({"min_amount": 2**64 - 1}, None),
]


@pytest.mark.parametrize(("changes", "error"), RULES)
@pytest.mark.parametrize("name", ["open", "set"])
def test_the_rules_have_bounds(world: World, name: str, changes: dict[str, int], error: str | None) -> None:
    """Within is within to the last second; the same bounds when a market is opened and when it is set."""
    bazaar = new(world) if name == "open" else world.main
    instructions = getattr(bazaar, name)(**changes)
    if error:
        world.refused(instructions, error)
        return
    world.do(instructions)
    assert {key: getattr(bazaar.state(), key) for key in changes} == changes


def test_a_market_is_opened_once(world: World) -> None:
    for bazaar in world.bazaars:
        world.refused(bazaar.open(), "AlreadyExists")
        world.refused(bazaar.open(fee_bps=1), "AlreadyExists")


@pytest.mark.parametrize("lamports", [1, 890_880, SOL])
def test_lamports_on_its_address_are_no_obstacle(world: World, lamports: int) -> None:
    """What is missing of the rent is paid, what is there stays."""
    bazaar = new(world)
    world.put(bazaar.address, Account(lamports, b"", SYSTEM_PROGRAM))
    before = world.total_lamports([bazaar.address, world.admin.pubkey()])
    world.do(bazaar.open())
    assert world.total_lamports([bazaar.address, world.admin.pubkey()]) == before
    rent = world.svm.minimum_balance_for_rent_exemption(len(world.data(bazaar.address)))
    assert world.lamports(bazaar.address) == max(rent, lamports)


def test_an_admin_without_lamports_opens_nothing(world: World) -> None:
    bazaar = new(world)
    world.put(world.admin.pubkey(), Account(10**6, b"", SYSTEM_PROGRAM))
    world.refused(bazaar.open(), "Custom(1)")


def test_set_market_changes_the_rules_and_nothing_else(world: World) -> None:
    before = world.main.state()
    fees = associated(world.seller.address, world.usdc)
    changes: dict[str, Any] = {
        "fee_bps": 7,
        "min_amount": 5,
        "dispute_window": 9,
        "settle_window": 2 * DAY,
        "withdraw_delay": 3 * DAY,
    }
    event = world.do(world.main.set(fees=fees, arbiter=world.stranger.pubkey(), **changes))
    after = world.main.state()
    told: dict[str, Any] = {"arbiter": bytes(world.stranger.pubkey()), "fee_account": bytes(fees)}
    assert after == before._replace(settles_from=NOW - 7 * DAY, **told, **changes)
    assert {key: getattr(event, key) for key in changes} == changes
    assert (bytes(event.arbiter), bytes(event.fee_account)) == tuple(told.values())
    assert (event.paused_at, event.settles_from) == (0, NOW - 7 * DAY)


def test_a_pause_keeps_its_first_second(world: World) -> None:
    assert world.do(world.main.set(paused=True)).paused_at == NOW
    world.now += 100
    assert world.do(world.main.set(paused=True)).paused_at == NOW
    assert world.do(world.main.set()).paused_at == 0
    world.now += 1
    assert world.do(world.main.set(paused=True)).paused_at == NOW + 101


def test_a_flag_is_0_or_1(world: World) -> None:
    (instruction,) = world.main.set()
    data = bytes(instruction.data)
    for flag in (2, 255):
        world.refused(reshaped([instruction], data=data[:-1] + bytes([flag])), "MalformedInstruction")


def test_settles_from_only_rises(world: World) -> None:
    """max(settles_from, now - old settle_window), with the window that was valid until then."""
    assert world.main.change(settle_window=DAY).settles_from == NOW - 7 * DAY
    assert world.main.change(settle_window=30 * DAY, withdraw_delay=31 * DAY).settles_from == NOW - DAY
    assert world.main.change(settle_window=DAY).settles_from == NOW - DAY
    world.now += 5 * DAY
    assert world.main.change(settle_window=2 * DAY).settles_from == NOW + 4 * DAY
    world.now -= 5 * DAY
    assert world.main.change().settles_from == NOW + 4 * DAY


@pytest.mark.parametrize("outcome", [PAID, REFUNDED])
def test_a_longer_window_never_revives_a_record_whose_trade_was_closed(world: World, outcome: int) -> None:
    main, deal = world.main, world.deal()
    world.do(main.settle(deal))
    if outcome == REFUNDED:
        world.do(main.refund(deal))
    else:
        world.now += main.terms.dispute_window
        world.do(main.release(deal))
    world.now = main.closes_at(deal)
    world.do(main.close_trade(deal))
    assert world.account(main.trade_at(deal)) is None
    world.refused(main.settle(deal), "MessageTooOld")
    main.change(settle_window=30 * DAY, withdraw_delay=31 * DAY)
    world.refused(main.settle(deal), "MessageTooOld")
    world.refused(main.record_default(deal.with_(energy_wh=10**9)), "MessageTooOld")
    world.refused(main.record_default(deal), "MessageTooOld")


def test_a_window_that_shrinks_and_grows_again_revives_nothing_that_was_closed_meanwhile(world: World) -> None:
    main, deal = world.main, world.deal()
    world.do(main.settle(deal))
    world.do(main.refund(deal))
    main.change(settle_window=DAY, dispute_window=0)
    world.now = main.closes_at(deal)
    world.do(main.close_trade(deal))
    main.change(settle_window=30 * DAY, withdraw_delay=31 * DAY)
    world.refused(main.settle(deal), "MessageTooOld")


def test_a_record_as_old_as_settles_from_still_settles(world: World) -> None:
    main = world.main
    main.change(settle_window=30 * DAY, withdraw_delay=31 * DAY)
    first = main.state().settles_from
    assert first == NOW - 7 * DAY
    world.do(main.settle(world.deal(1, stamp_us=first * US)))
    world.refused(main.settle(world.deal(2, stamp_us=first * US - 1)), "MessageTooOld")


def test_a_pause_refuses_what_is_new_and_nothing_that_is_older(world: World) -> None:
    """Register, deposit and trades stamped from the pause on; never release, refund, dispute, resolve, withdraw."""
    main = world.main
    old = [world.deal(lot, stamp_us=NOW * US - 1) for lot in range(1, 6)]
    for deal in old[:4]:
        world.do(main.settle(deal))
    world.do(main.request_withdraw(world.buyer, 10))
    world.now += 10
    main.change(paused=True)
    paused = world.now
    newcomer = world.twin.__class__(world.fund(world.stranger), 78, world.twin.role)
    world.refused(main.register(newcomer), "Paused")
    world.refused(main.deposit(world.buyer, 1), "Paused")
    for stamp in (paused * US, paused * US + 1, (paused + MAX_AHEAD) * US):
        world.refused(main.settle(world.deal(9, stamp_us=stamp)), "Paused")
        world.refused(main.record_default(world.deal(9, stamp_us=stamp, energy_wh=10**9)), "Paused")
    world.do(main.settle(world.deal(6, stamp_us=paused * US - 1)))
    world.do(main.record_default(world.deal(7, stamp_us=paused * US - 1, energy_wh=10**8)))
    world.do(main.settle(old[4]))
    world.do(main.refund(old[0]))
    world.do(main.dispute(old[1]))
    world.do(main.dispute(old[2]))
    world.do(main.resolve(old[1], to_battery=True))
    world.do(main.resolve(old[2], to_battery=False))
    world.now = NOW + main.terms.dispute_window
    world.do(main.release(old[3]))
    assert [main.trade(deal).status for deal in old] == [REFUNDED, PAID, REFUNDED, PAID, HELD]
    world.do(main.revoke(world.batteries[1]))
    world.now = NOW + main.terms.withdraw_delay
    world.do(main.request_withdraw(world.buyer, 20))
    world.now += main.terms.withdraw_delay
    world.do(main.withdraw(world.buyer))
    world.do(main.close_trade(old[0]))
    main.change(paused=False)
    world.do(main.register(newcomer))
    world.do(main.deposit(world.buyer, 1))


def test_a_disputed_trade_of_a_paused_market_is_released_in_the_end(world: World) -> None:
    deal = world.deal()
    world.do(world.main.settle(deal))
    world.do(world.main.dispute(deal))
    world.main.change(paused=True)
    assert world.main.trade(deal).status == DISPUTED
    world.now += 14 * DAY
    world.do(world.main.release(deal))


def test_new_rules_leave_held_trades_as_they_were_made(world: World) -> None:
    """release_at, amount and fee are the trade's; the account that gets the fee is the market's of the day."""
    deal = world.deal()
    world.do(world.main.settle(deal))
    before = world.main.trade(deal)
    fees = associated(world.batteries[1].address, world.usdc)
    world.main.change(fee_bps=100, min_amount=10**9, dispute_window=10 * DAY, fees=fees)
    assert world.main.trade(deal) == before
    world.now = before.release_at
    world.do(world.main.release(deal))
    assert world.tokens(fees) == before.fee == deal.amount * 50 // 10_000


def test_anchorpy_and_the_client_read_the_account_as_it_is_read_here(world: World) -> None:
    decoded = INTERFACE.decode("Market", world.data(world.main.address))
    assert tuple(bytes(v) if not isinstance(v, int) else v for v in vars(decoded).values()) == tuple(world.main.state())
