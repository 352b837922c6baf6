"""settle and record_default: each thing that a Confirm says, checked; one lot, one trade; what it costs, to the last unit."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from solders.account import Account
from solders.system_program import ID as SYSTEM_PROGRAM

from contracts.accounts import ParticipantRole
from etp.codes import MessageType
from etp.frame import Frame, encode
from etp.keys import KeyPair
from etp.record import seal
from etp.units import DeviceId, MessageId
from tests.contracts.program.harness import (
    DAY,
    DEFAULTED,
    HELD,
    INTERFACE,
    MAX_AHEAD,
    MAX_ENERGY,
    MAX_PRICE,
    NOW,
    PAID,
    SOL,
    U64,
    US,
    Bazaar,
    Deal,
    Device,
    Escrow,
    Trade,
    World,
    amount_of,
    key_of,
    swapped,
)

U32 = 2**32 - 1
BOTH = pytest.mark.parametrize("act", ["settle", "record_default"])
TOO_MUCH = 10_000_000
"""Wh, more than the escrow pays for."""


def deal_for(act: str, world: World, lot_id: int = 1, **changes: Any) -> Deal:
    """A deal that an act takes: one that the escrow can pay, or cannot."""
    return world.deal(lot_id, **{"energy_wh": TOO_MUCH if act == "record_default" else 1_500} | changes)


def rich(world: World, bazaar: Bazaar, amount: int = U64 - 10**15) -> None:
    """Give the buyer's escrow more than any trade costs."""
    escrow = bazaar.place.escrow(world.buyer.device_id)
    world.add_tokens(bazaar.vault(world.buyer), bazaar.mint, escrow, amount)
    world.edit(Escrow, escrow, available=amount)


# -- the way it goes


def test_a_trade_is_held_until_disputes_are_over(world: World) -> None:
    main, deal = world.main, world.deal()
    raw = main.confirm(deal)
    event = world.do(main.settle(deal, raw))
    trade = main.trade(deal)
    assert trade[1:] == (
        bytes(main.address),
        world.seller.device_id,
        deal.lot_id,
        world.buyer.device_id,
        deal.stamp_us,
        deal.energy_wh,
        deal.price,
        deal.amount,
        main.fee(deal),
        HELD,
        NOW + main.terms.dispute_window,
        0,
        bytes(world.seller.address),
        sha256(raw).digest(),
    )
    assert (event.battery, event.lot_id, event.aggregator) == (trade.battery, trade.lot_id, trade.aggregator)
    assert (event.amount, event.fee, event.status) == (deal.amount, main.fee(deal), HELD)
    escrow = main.escrow(world.buyer)
    assert (escrow.available, escrow.held) == (World.DEPOSIT - deal.amount, deal.amount)
    assert world.tokens(main.vault(world.buyer)) == World.DEPOSIT
    assert [main.participant(device).settled for device in (world.seller, world.buyer)] == [0, 0]


def test_where_there_are_no_disputes_it_is_paid_at_once(world: World) -> None:
    instant, deal = world.instant, world.deal()
    fees = world.tokens(instant.fees)
    event = world.do(instant.settle(deal))
    assert (event.status, instant.trade(deal).status) == (PAID, PAID)
    assert world.tokens(instant.wallet(world.seller)) == deal.amount - instant.fee(deal)
    assert world.tokens(instant.fees) - fees == instant.fee(deal) == 1_875
    assert world.tokens(instant.vault(world.buyer)) == World.DEPOSIT - deal.amount
    assert instant.escrow(world.buyer)[3:5] == (World.DEPOSIT - deal.amount, 0)
    counters = [instant.participant(device)[6:] for device in (world.seller, world.buyer)]
    assert counters == [(1, 0, 0, 0), (1, 0, 0, 0)]


def test_the_battery_pays_the_rent(world: World) -> None:
    before = world.lamports(world.seller.address)
    world.do(world.main.settle(world.deal()))
    rent = world.svm.minimum_balance_for_rent_exemption(len(world.data(world.main.trade_at(world.deal()))))
    assert world.lamports(world.seller.address) == before - rent


def test_a_battery_without_lamports_settles_nothing(world: World) -> None:
    world.put(world.seller.address, Account(10**6, b"", SYSTEM_PROGRAM))
    world.refused(world.main.settle(world.deal()), "Custom(1)")


@pytest.mark.parametrize("lamports", [1, 10**6, SOL])
@BOTH
def test_lamports_on_the_trades_address_are_no_obstacle(world: World, lamports: int, act: str) -> None:
    deal = deal_for(act, world)
    address = world.main.trade_at(deal)
    world.put(address, Account(lamports, b"", SYSTEM_PROGRAM))
    before = world.total_lamports([address, world.seller.address])
    world.do(getattr(world.main, act)(deal))
    assert world.total_lamports([address, world.seller.address]) == before


def test_the_record_of_the_wire_settles(world: World) -> None:
    """What `etp.record` seals is what the program reads: floats and integers say the same there."""
    frame = Frame(
        MessageType.CONFIRM,
        MessageId(NOW * US),
        DeviceId(world.buyer.device_id),
        sale_price=25.0,
        required_energy_amount=1.5,
    )
    pair = KeyPair(world.buyer.key.secret())
    raw = seal(
        frame,
        encode(frame),
        counter=9,
        lot_id=1,
        recipient=bytes(world.seller.address),
        network=world.main.network,
        sign=pair.sign,
    )
    deal = world.deal(price=250_000)
    world.do(world.main.settle(deal, raw))
    assert world.main.trade(deal).amount == 375_000


def test_any_battery_sells_to_any_aggregator_many_times(world: World) -> None:
    for seller in world.batteries:
        for index, buyer in enumerate(world.aggregators):
            for lot in (1, 2):
                deal = world.deal(10 * index + lot, seller=seller, buyer=buyer)
                world.do(world.main.settle(deal))
                world.do(world.other.settle(deal))
    assert world.main.escrow(world.aggregators[2]).held == 4 * world.deal().amount


@pytest.mark.parametrize("lot_id", [1, 2**32, 2**63, U64])
def test_a_lot_is_any_number_but_0(world: World, lot_id: int) -> None:
    world.do(world.main.settle(world.deal(lot_id)))


# -- what the record says


WRONG: list[tuple[dict[str, Any], str]] = [
    *(({"kind": kind}, "WrongRecordType") for kind in (*range(5), 6, 7, 8, 255)),
    ({"sender": 12}, "WrongDevice"),
    ({"sender": U64 - 1}, "WrongDevice"),
    ({"recipient": bytes(32)}, "WrongRecipient"),
    ({"recipient": bytes(key_of("battery 1").pubkey())}, "WrongRecipient"),
    ({"recipient": bytes(key_of("aggregator 0").pubkey())}, "WrongRecipient"),
    ({"price": 0}, "AmountTooSmall"),
    ({"energy_wh": 0}, "AmountTooSmall"),
    ({"price": MAX_PRICE + 1}, "PriceOutOfRange"),
    ({"price": U32}, "PriceOutOfRange"),
    ({"price": MAX_PRICE + 1, "energy_wh": 0}, "PriceOutOfRange"),
    ({"energy_wh": MAX_ENERGY + 1}, "EnergyOutOfRange"),
    ({"energy_wh": U32}, "EnergyOutOfRange"),
    ({"price": 0, "energy_wh": MAX_ENERGY + 1}, "EnergyOutOfRange"),
]


@pytest.mark.parametrize(("changes", "error"), WRONG)
@BOTH
def test_a_record_that_says_something_else_is_refused(
    world: World, act: str, changes: dict[str, Any], error: str
) -> None:
    deal = deal_for(act, world)
    world.refused(getattr(world.main, act)(deal, world.main.confirm(deal, **changes)), error)


@BOTH
def test_a_record_of_no_lot_is_refused(world: World, act: str) -> None:
    world.refused(getattr(world.main, act)(deal_for(act, world, 0)), "WrongLot")


@BOTH
def test_a_record_of_another_lot_than_the_trade_accounts_is_refused(world: World, act: str) -> None:
    deal = deal_for(act, world, 1)
    instructions = swapped(getattr(world.main, act)(deal), trade=world.main.trade_at(world.deal(2)))
    world.refused(instructions, "WrongAddress")
    world.do(world.main.record_default(world.deal(2, energy_wh=TOO_MUCH)))
    world.refused(instructions, "WrongAddress", "AlreadyExists")


@BOTH
def test_a_record_of_another_network_is_refused(world: World, act: str) -> None:
    """Chain, program, admin or name: each makes another network_id, and the signature covers it."""
    deal = deal_for(act, world)
    for other in (world.instant, world.other):
        raw = other.confirm(deal)
        instructions = getattr(world.main, act)(deal)
        spoken = other.spoken(raw, world.buyer)
        world.refused([spoken, instructions[-1]], "WrongNetwork")
        reason = world.refused([world.main.spoken(raw, world.buyer), instructions[-1]])
        assert reason.startswith("Ed25519"), reason
    for network in (bytes(32), bytes(reversed(world.main.network))):
        spoken = world.main.spoken(world.main.confirm(deal, network=network), world.buyer, network=network)
        world.refused([spoken, getattr(world.main, act)(deal)[-1]], "WrongNetwork")


@BOTH
def test_another_signature_than_the_buyers_is_refused(world: World, act: str) -> None:
    """Signed, each time, by the key that the precompile names."""
    main, deal = world.main, deal_for(act, world)
    for signer in (world.aggregators[1], world.seller, world.batteries[1]):
        raw = main.confirm(deal, key=signer.key)
        world.refused([main.spoken(raw, signer), getattr(main, act)(deal)[-1]], "WrongSigner")
    stranger = Device(world.stranger, 1, ParticipantRole.AGGREGATOR)
    raw = main.confirm(deal, key=world.stranger)
    world.refused([main.spoken(raw, stranger), getattr(main, act)(deal)[-1]], "WrongSigner")


@BOTH
def test_the_accounts_are_those_of_the_record(world: World, act: str) -> None:
    """A Confirm to one battery settles for no other, one of a buyer from nobody else's money."""
    main, deal, rival = world.main, deal_for(act, world), world.aggregators[1]
    instructions = getattr(main, act)(deal)
    escrow = {"escrow": main.place.escrow(rival.device_id)}
    vault = {"vault": main.vault(rival)} if act == "settle" else {}
    theirs = {"aggregator_participant": main.place.participant(rival.device_id)} | escrow | vault
    world.refused(swapped(instructions, **theirs), "WrongSigner")
    neighbour = deal.with_(seller=world.batteries[1])
    world.refused(getattr(main, act)(neighbour, main.confirm(deal)), "WrongRecipient")
    for slot in ("battery_participant", "aggregator_participant"):
        for device in world.devices:
            place = main.place.participant(device.device_id)
            if place != instructions[-1].accounts[2 if slot == "battery_participant" else 3].pubkey:
                expected = {"WrongRole", "WrongAuthority", "WrongSigner", "WrongDevice", "DuplicateAccount"}
                world.refused(swapped(instructions, **{slot: place}), *expected)


@BOTH
def test_money_of_another_escrow_is_not_touched(world: World, act: str) -> None:
    main, rival = world.main, world.aggregators[1]
    instructions = getattr(main, act)(deal_for(act, world))
    escrow = main.place.escrow(rival.device_id)
    vault = {"vault": main.vault(rival)} if act == "settle" else {}
    world.refused(swapped(instructions, escrow=escrow, **vault), "WrongAddress")


@BOTH
def test_nobody_buys_from_itself(world: World, act: str) -> None:
    """A battery with its buyer's key is no seller; and a device that is both does not exist, since it has one role."""
    deal = deal_for(act, world, seller=world.twin)
    world.refused(getattr(world.main, act)(deal), "SelfTrade")
    same = deal_for(act, world, buyer=world.seller)
    world.refused(getattr(world.main, act)(same), "DuplicateAccount")
    reverse = deal_for(act, world, seller=world.buyer, buyer=world.seller)
    world.refused(getattr(world.main, act)(reverse), "WrongRole")


@BOTH
def test_only_the_battery_brings_its_record(world: World, act: str) -> None:
    instructions = getattr(world.main, act)(deal_for(act, world))
    for other in (world.buyer, world.batteries[1]):
        world.refused(swapped(instructions, battery=other.address), "WrongAuthority")


# -- time


@BOTH
def test_a_record_settles_within_the_window_and_to_60_s_ahead(world: World, act: str) -> None:
    """A message's time is its message_id in whole seconds; both ends count."""
    window = world.main.terms.settle_window
    oldest, newest = (NOW - window) * US, (NOW + MAX_AHEAD) * US
    stamps = {
        oldest - 1: "MessageTooOld",
        oldest - US: "MessageTooOld",
        0: "MessageTooOld",
        1: "MessageTooOld",
        newest + US: "MessageTooNew",
        newest + 2 * US: "MessageTooNew",
        2**63: "MessageTooNew",
        U64: "MessageTooNew",
        oldest: None,
        oldest + 1: None,
        NOW * US: None,
        newest: None,
        newest + US - 1: None,
    }
    for lot, (stamp, error) in enumerate(stamps.items(), 1):
        instructions = getattr(world.main, act)(deal_for(act, world, lot, stamp_us=stamp))
        if error:
            world.refused(instructions, error)
        else:
            world.do(instructions)


def test_time_passes(world: World) -> None:
    """The same record: too new, then in time, then too old."""
    deal = world.deal(stamp_us=(NOW + 100) * US)
    world.now = NOW + 100 - MAX_AHEAD - 1
    world.refused(world.main.settle(deal), "MessageTooNew")
    world.now += 1
    world.refused(world.main.record_default(deal), "EscrowCanPay")
    world.now = NOW + 100 + world.main.terms.settle_window + 1
    world.refused(world.main.settle(deal), "MessageTooOld")
    world.now -= 1
    world.do(world.main.settle(deal))


# -- price, energy, amount


def test_the_dearest_trade_fits(world: World) -> None:
    rich(world, world.main)
    deal = world.deal(price=MAX_PRICE, energy_wh=MAX_ENERGY)
    assert world.do(world.main.settle(deal)).amount == 10**14
    world.now += world.main.terms.dispute_window
    assert world.do(world.main.release(deal)).fee == 10**14 * 50 // 10_000


@pytest.mark.parametrize(
    ("price", "energy_wh", "amount"),
    [
        (1, 1_500, 2),  # 1.5
        (1, 2_500, 2),  # 2.5
        (1, 3_500, 4),  # 3.5
        (1, 501, 1),
        (1, 1_499, 1),
        (1, 1_501, 2),
        (1, 2_501, 3),
        (3, 500, 2),
        (5, 500, 2),
        (7, 500, 4),
        (1_000, 1, 1),
        (250_001, 1_500, 375_002),
        (250_003, 1_500, 375_004),
        (99_999_999, 999_999_999, 99_999_998_900_000),
        (MAX_PRICE, 1, 100_000),
        (1, MAX_ENERGY, 1_000_000),
    ],
)
def test_halves_go_to_the_even_neighbour(world: World, price: int, energy_wh: int, amount: int) -> None:
    assert amount_of(price, energy_wh) == amount
    rich(world, world.main)
    world.main.change(min_amount=0)
    assert world.do(world.main.settle(world.deal(price=price, energy_wh=energy_wh))).amount == amount


@pytest.mark.parametrize(("price", "energy_wh"), [(0, 0), (0, 10**9), (10**8, 0), (1, 1), (1, 500), (499, 1), (500, 1)])
@BOTH
def test_nothing_is_no_trade_even_where_any_amount_is_taken(world: World, act: str, price: int, energy_wh: int) -> None:
    assert amount_of(price, energy_wh) == 0
    world.main.change(min_amount=0)
    world.refused(getattr(world.main, act)(world.deal(price=price, energy_wh=energy_wh)), "AmountTooSmall")


def test_min_amount_is_the_least(world: World) -> None:
    """1 000 in this market; 999.5 is rounded to it."""
    assert world.main.terms.min_amount == 1_000
    world.refused(world.main.settle(world.deal(1, price=999, energy_wh=1_000)), "AmountTooSmall")
    world.refused(world.main.settle(world.deal(1, price=1, energy_wh=999_499)), "AmountTooSmall")
    world.do(world.main.settle(world.deal(1, price=1_000, energy_wh=1_000)))
    world.do(world.main.settle(world.deal(2, price=1, energy_wh=999_500)))
    world.main.change(min_amount=U64)
    world.refused(world.main.settle(world.deal(3)), "AmountTooSmall")


@pytest.mark.parametrize("fee_bps", [0, 1, 33, 99, 100])
@pytest.mark.parametrize("price", [1_000, 9_999, 10_000, 10_001, 19_999, 20_000, 123_457])
def test_the_fee_is_rounded_down_and_the_rest_is_the_batterys(world: World, fee_bps: int, price: int) -> None:
    instant = world.instant
    instant.change(fee_bps=fee_bps)
    deal = world.deal(price=price, energy_wh=1_000)
    fees = world.tokens(instant.fees)
    event = world.do(instant.settle(deal))
    assert (event.amount, event.fee) == (price, price * fee_bps // 10_000)
    assert world.tokens(instant.fees) - fees == event.fee
    assert world.tokens(instant.wallet(world.seller)) == price - event.fee


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(price=st.integers(1, MAX_PRICE), energy_wh=st.integers(1, MAX_ENERGY), fee_bps=st.integers(0, 100))
@example(price=MAX_PRICE, energy_wh=MAX_ENERGY, fee_bps=100)
@example(price=MAX_PRICE - 1, energy_wh=MAX_ENERGY - 1, fee_bps=99)
def test_amount_and_fee_are_those_of_exact_fractions(world: World, price: int, energy_wh: int, fee_bps: int) -> None:
    world.restore()
    rich(world, world.main)
    world.main.change(fee_bps=fee_bps, min_amount=0)
    deal = world.deal(price=price, energy_wh=energy_wh)
    if deal.amount == 0:
        world.refused(world.main.settle(deal), "AmountTooSmall")
        return
    event = world.do(world.main.settle(deal))
    assert (event.amount, event.fee) == (deal.amount, deal.amount * fee_bps // 10_000)


# -- one lot, one trade


def test_a_record_settles_once(world: World) -> None:
    """In a new transaction, at another time, re-signed by the same key, which gives the same bytes."""
    for bazaar, deal in ((world.main, world.deal()), (world.instant, world.deal())):
        raw = bazaar.confirm(deal)
        world.do(bazaar.settle(deal, raw))
        for _ in range(2):
            world.refused(bazaar.settle(deal, raw), "AlreadySettled")
            world.refused(bazaar.settle(deal), "AlreadySettled")
            world.refused(bazaar.record_default(deal.with_(energy_wh=TOO_MUCH)), "AlreadyExists")
            world.now += 1


def test_a_lot_is_sold_once_whatever_else_is_signed_for_it(world: World) -> None:
    """To a second buyer, at another price, with another counter, in another message."""
    main, deal = world.main, world.deal()
    world.do(main.settle(deal))
    for other in (
        deal.with_(buyer=world.aggregators[1]),
        deal.with_(price=deal.price + 1),
        deal.with_(stamp_us=deal.stamp_us + 1),
    ):
        world.refused(main.settle(other), "AlreadySettled")
    world.refused(main.settle(deal, main.confirm(deal, counter=2)), "AlreadySettled")


@pytest.mark.parametrize("end", ["release", "refund", "to battery", "to buyer"])
def test_a_trade_that_is_over_is_not_settled_again(world: World, end: str) -> None:
    main, deal = world.main, world.deal()
    world.do(main.settle(deal))
    if end.startswith("to"):
        world.do(main.dispute(deal))
        world.refused(main.settle(deal), "AlreadySettled")
        world.do(main.resolve(deal, to_battery=end == "to battery"))
    elif end == "refund":
        world.do(main.refund(deal))
    else:
        world.now += main.terms.dispute_window
        world.do(main.release(deal))
    world.refused(main.settle(deal), "AlreadySettled")
    world.refused(main.record_default(deal.with_(energy_wh=TOO_MUCH)), "AlreadyExists")


def test_a_second_lot_for_the_same_record_is_not_found(world: World) -> None:
    """The lot is what is signed: a battery cannot sell one Confirm under two numbers."""
    main, deal = world.main, world.deal(1)
    world.do(main.settle(deal))
    second = deal.with_(lot_id=2)
    world.refused(main.settle(second, main.confirm(deal)), "WrongAddress")
    forged = bytearray(main.confirm(deal))
    forged[84 + 16] = 2
    assert world.refused(main.settle(second, bytes(forged))).startswith("Ed25519")


def test_the_same_lot_of_two_batteries_and_markets_is_two_lots(world: World) -> None:
    for bazaar in world.bazaars:
        for seller in world.batteries:
            world.do(bazaar.settle(world.deal(1, seller=seller)))


def test_two_trades_settle_in_one_transaction(world: World) -> None:
    """Each after its own record; the second one's is not the first one's."""
    first, second = world.deal(1), world.deal(2, seller=world.batteries[1])
    events = world.events([*world.main.settle(first), *world.main.settle(second)])
    assert [event.data.lot_id for event in events] == [1, 2]


# -- the escrow, and defaults


def test_the_escrow_pays_to_its_last_unit(world: World) -> None:
    main = world.main
    all_of_it = world.deal(1, price=MAX_PRICE, energy_wh=10_000)
    assert all_of_it.amount == World.DEPOSIT
    world.refused(main.settle(all_of_it.with_(price=MAX_PRICE - 1, energy_wh=10_001)), "EscrowTooShort")
    world.refused(main.record_default(all_of_it), "EscrowCanPay")
    world.do(main.settle(all_of_it))
    assert main.escrow(world.buyer)[3:5] == (0, World.DEPOSIT)
    world.refused(main.settle(world.deal(2)), "EscrowTooShort")


def test_what_is_held_pays_nothing_else(world: World) -> None:
    main = world.main
    first, second = (world.deal(lot, energy_wh=3_000_000) for lot in (1, 2))
    world.do(main.settle(first))
    assert world.tokens(main.vault(world.buyer)) > second.amount
    world.refused(main.settle(second), "EscrowTooShort")
    world.do(main.refund(first))
    world.do(main.settle(second))


def test_a_default_is_recorded_once_and_counts_against_the_buyer(world: World) -> None:
    main, deal = world.main, world.deal(energy_wh=TOO_MUCH)
    event = world.do(main.record_default(deal))
    assert (event.battery, event.lot_id, event.aggregator) == (
        world.seller.device_id,
        deal.lot_id,
        world.buyer.device_id,
    )
    assert (event.amount, event.available) == (deal.amount, World.DEPOSIT)
    trade = main.trade(deal)
    assert (trade.status, trade.amount, trade.fee) == (DEFAULTED, deal.amount, main.fee(deal))
    assert trade.record_hash == sha256(main.confirm(deal)).digest()
    assert main.participant(world.buyer)[6:] == (0, 1, 0, 0)
    assert main.participant(world.seller)[6:] == (0, 0, 0, 0)
    assert main.escrow(world.buyer)[3:] == (World.DEPOSIT, 0, 0, 0)
    world.refused(main.record_default(deal), "AlreadyExists")
    world.refused(main.record_default(deal.with_(price=deal.price + 1)), "AlreadyExists")
    assert main.participant(world.buyer).defaulted == 1


@pytest.mark.parametrize("bazaar", ["main", "instant"])
def test_a_default_is_paid_later_and_stays_counted(world: World, bazaar: str) -> None:
    market: Bazaar = getattr(world, bazaar)
    deal = world.deal(energy_wh=TOO_MUCH)
    world.do(market.record_default(deal))
    world.refused(market.settle(deal), "EscrowTooShort")
    world.do(market.deposit(world.buyer, deal.amount))
    world.now += 100
    lamports = world.lamports(world.seller.address)
    event = world.do(market.settle(deal))
    paid = bazaar == "instant"
    assert event.status == (PAID if paid else HELD)
    assert world.lamports(world.seller.address) == lamports
    trade = market.trade(deal)
    assert trade.release_at == NOW + 100 + market.terms.dispute_window
    if not paid:
        world.now = trade.release_at
        world.do(market.release(deal))
    assert market.participant(world.buyer)[6:] == (1, 1, 0, 0)
    assert market.participant(world.seller)[6:] == (1, 0, 0, 0)
    assert world.tokens(market.wallet(world.seller)) == deal.amount - market.fee(deal)
    world.refused(market.settle(deal), "AlreadySettled")


def test_a_default_is_paid_with_its_own_record_only(world: World) -> None:
    main, deal = world.main, world.deal(energy_wh=TOO_MUCH)
    world.do(main.record_default(deal))
    rich(world, main)
    for other in (
        deal.with_(price=deal.price - 1),
        deal.with_(energy_wh=1_500),
        deal.with_(stamp_us=deal.stamp_us + 1),
        deal.with_(buyer=world.aggregators[1], energy_wh=1_500),
    ):
        world.refused(main.settle(other), "OtherRecord")
    world.refused(main.settle(deal, main.confirm(deal, counter=7)), "OtherRecord")
    world.do(main.settle(deal))


def test_a_default_that_the_same_checks_refuse_is_not_paid(world: World) -> None:
    """Its window, its revocation, its least amount: those of the day on which it is paid."""
    main, deal = world.main, world.deal(energy_wh=TOO_MUCH)
    world.do(main.record_default(deal))
    rich(world, main)
    main.change(min_amount=deal.amount + 1)
    world.refused(main.settle(deal), "AmountTooSmall")
    main.change(min_amount=0)
    world.now += main.terms.settle_window + 1
    world.refused(main.settle(deal), "MessageTooOld")
    world.now -= 1
    world.do(main.revoke(world.buyer))
    world.do(main.settle(deal))


def test_a_buyer_that_never_paid_in_defaults_as_well(world: World) -> None:
    main = world.main
    buyer = Device(world.fund(key_of("poor")), 601, ParticipantRole.AGGREGATOR)
    world.do(main.register(buyer))
    deal = world.deal(buyer=buyer)
    for lamports in (0, SOL):
        if lamports:
            world.put(main.place.escrow(buyer.device_id), Account(lamports, b"", SYSTEM_PROGRAM))
            deal = deal.with_(lot_id=2)
        assert world.do(main.record_default(deal)).available == 0
    assert main.participant(buyer).defaulted == 2
    foreign = main.place.escrow(world.buyer.device_id)
    world.refused(swapped(main.record_default(deal.with_(lot_id=3)), escrow=foreign), "WrongAddress")
    nothing = key_of("nothing").pubkey()
    world.refused(swapped(main.record_default(deal.with_(lot_id=3)), escrow=nothing), "WrongAddress")


@pytest.mark.parametrize("bazaar", ["main", "instant"])
def test_a_buyer_that_never_paid_in_is_short_and_not_unknown(world: World, bazaar: str) -> None:
    """It has neither Escrow nor vault: the settler learns that the money is missing, not that an account is wrong."""
    market: Bazaar = getattr(world, bazaar)
    buyer = Device(world.fund(key_of("poor")), 601, ParticipantRole.AGGREGATOR)
    world.do(market.register(buyer))
    world.refused(market.settle(world.deal(buyer=buyer)), "EscrowTooShort")


def test_a_defaulted_trade_is_none_that_ends_otherwise(world: World) -> None:
    main, deal = world.main, world.deal(energy_wh=TOO_MUCH)
    world.do(main.record_default(deal))
    for instructions in (
        main.release(deal),
        main.refund(deal),
        main.dispute(deal),
        main.resolve(deal, to_battery=True),
        main.resolve(deal, to_battery=False),
    ):
        world.refused(instructions, "WrongStatus")


def test_anchorpy_reads_the_accounts_as_they_are_read_here(world: World) -> None:
    deal = world.deal()
    world.do(world.main.settle(deal))
    for kind, address in (
        (Trade, world.main.trade_at(deal)),
        (Escrow, world.main.place.escrow(world.buyer.device_id)),
    ):
        decoded = vars(INTERFACE.decode(kind.__name__, world.data(address)))
        assert tuple(bytes(v) if not isinstance(v, int) else v for v in decoded.values()) == tuple(
            world.read(kind, address)
        )


def test_a_window_of_a_day_and_of_thirty(world: World) -> None:
    for window in (DAY, 30 * DAY):
        world.restore()
        world.main.change(settle_window=window, withdraw_delay=40 * DAY)
        world.now += 40 * DAY
        world.refused(world.main.settle(world.deal(1, stamp_us=(world.now - window) * US - 1)), "MessageTooOld")
        world.do(world.main.settle(world.deal(1, stamp_us=(world.now - window) * US)))
