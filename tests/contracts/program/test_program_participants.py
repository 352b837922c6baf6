"""register and revoke: an id is somebody's once and for ever, with a key under which one signature means one message."""

import pytest
from solders.account import Account
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from contracts.accounts import ParticipantRole
from tests.contracts.program.curve import ORDER_8, P, encodings_of_small_order, non_canonical
from tests.contracts.program.harness import (
    INTERFACE,
    MAX_AHEAD,
    NOW,
    SOL,
    U64,
    US,
    Device,
    DeviceKey,
    Participant,
    World,
    key_of,
    reshaped,
    swapped,
)

BATTERY, AGGREGATOR = ParticipantRole


def newcomer(world: World, device_id: int = 77, role: ParticipantRole = BATTERY) -> Device:
    """A device that is not registered yet."""
    return Device(world.fund(key_of("newcomer")), device_id, role)


@pytest.mark.parametrize("role", ParticipantRole)
@pytest.mark.parametrize("device_id", [0, 1, 2**32, 2**63, U64 - 7])
def test_a_participant_holds_what_it_was_registered_with(world: World, device_id: int, role: ParticipantRole) -> None:
    device = newcomer(world, device_id, role)
    event = world.do(world.main.register(device))
    found = world.main.participant(device)
    assert found[1:5] == (bytes(world.main.address), device_id, bytes(device.address), int(role))
    assert found[5:] == (0, 0, 0, 0, 0)
    assert (event.device_id, bytes(event.authority), event.role) == (device_id, bytes(device.address), int(role))


def test_the_admin_pays(world: World) -> None:
    device = newcomer(world)
    made = [world.main.place.participant(device.device_id), world.main.key_at(device.address)]
    before = world.lamports(world.admin.pubkey())
    world.do(world.main.register(device))
    rents = [world.svm.minimum_balance_for_rent_exemption(len(world.data(address))) for address in made]
    assert world.lamports(world.admin.pubkey()) == before - sum(rents)
    assert [world.lamports(address) for address in made] == rents


@pytest.mark.parametrize("role", [0, 3, 4, 255])
def test_other_roles_are_unknown(world: World, role: int) -> None:
    (instruction,) = world.main.register(newcomer(world))
    data = bytes(instruction.data)[:-1] + bytes([role])
    world.refused(reshaped([instruction], data=data), "UnknownRole")


def test_an_id_is_registered_once(world: World) -> None:
    """Not with another key, not in another role, not after its revocation."""
    taken = world.seller.device_id
    for role in ParticipantRole:
        world.refused(world.main.register(newcomer(world, taken, role)), "AlreadyExists")
    world.refused(world.main.register(world.seller), "AlreadyExists")
    world.do(world.main.revoke(world.seller))
    world.refused(world.main.register(world.seller), "AlreadyExists")
    world.refused(world.main.register(newcomer(world, taken)), "AlreadyExists")


def test_the_same_id_in_another_market_is_another_participant(world: World) -> None:
    addresses = {bazaar.place.participant(world.seller.device_id) for bazaar in world.bazaars}
    assert len(addresses) == len(world.bazaars)
    world.do(world.main.revoke(world.seller))
    assert world.instant.participant(world.seller).revoked_at == 0


def test_a_key_has_one_id_in_a_market(world: World) -> None:
    """Not in the other role, not after its revocation: a Confirm names the battery by its key, a Trade by its id.

    With two ids a battery could settle each Confirm twice.
    """
    for device in world.devices[:-1]:
        for role in ParticipantRole:
            world.refused(world.main.register(Device(device.key, 101, role)), "AlreadyExists")
    world.do(world.main.revoke(world.seller))
    world.refused(world.main.register(Device(world.seller.key, 101, BATTERY)), "AlreadyExists")
    found = world.read(DeviceKey, world.main.key_at(world.seller.address))
    assert found[1:] == (bytes(world.main.address), world.seller.device_id)


def test_a_key_has_its_id_in_each_market(world: World) -> None:
    """Others than in the next one, if need be."""
    device = newcomer(world)
    world.do(world.main.register(device))
    world.do(world.other.register(Device(device.key, 102, AGGREGATOR)))
    assert world.read(DeviceKey, world.other.key_at(device.address)).device_id == 102


def test_the_key_is_that_of_the_address(world: World) -> None:
    """Nobody takes a second id by passing another key's account, or that of another market."""
    device = newcomer(world)
    world.do(world.main.register(device))
    again = world.main.register(Device(device.key, 101, BATTERY))
    world.refused(again, "AlreadyExists")
    for elsewhere in (
        world.main.key_at(world.stranger.pubkey()),
        world.other.key_at(device.address),
        world.main.place.participant(102),
        key_of("nothing").pubkey(),
    ):
        world.refused(swapped(again, device_key=elsewhere), "WrongAddress")
    world.refused(swapped(again, device_key=world.main.key_at(world.buyer.address)), "AlreadyExists")


@pytest.mark.parametrize("lamports", [1, 10**6, SOL])
def test_lamports_on_the_keys_address_are_no_obstacle_and_no_registration(world: World, lamports: int) -> None:
    device = newcomer(world)
    address = world.main.key_at(device.address)
    world.put(address, Account(lamports, b"", SYSTEM_PROGRAM))
    before = world.total_lamports([address, world.main.place.participant(77), world.admin.pubkey()])
    world.do(world.main.register(device))
    assert world.total_lamports([address, world.main.place.participant(77), world.admin.pubkey()]) == before
    world.refused(world.main.register(Device(device.key, 101, BATTERY)), "AlreadyExists")


def test_an_admin_may_register_its_own_key(world: World) -> None:
    world.do(world.main.register(Device(world.admin, 88, AGGREGATOR)))


def test_the_id_has_to_be_that_of_the_address(world: World) -> None:
    device = newcomer(world)
    for other in (device.device_id + 1, world.seller.device_id):
        address = world.main.place.participant(other)
        expected = "AlreadyExists" if other == world.seller.device_id else "WrongAddress"
        world.refused(swapped(world.main.register(device), participant=address), expected)
    elsewhere = world.other.place.participant(device.device_id)
    world.refused(swapped(world.main.register(device), participant=elsewhere), "WrongAddress")


@pytest.mark.parametrize("lamports", [1, 10**6, SOL])
def test_lamports_on_its_address_are_no_obstacle(world: World, lamports: int) -> None:
    device = newcomer(world)
    address = world.main.place.participant(device.device_id)
    world.put(address, Account(lamports, b"", SYSTEM_PROGRAM))
    all_of_them = [address, world.main.key_at(device.address), world.admin.pubkey()]
    before = world.total_lamports(all_of_them)
    world.do(world.main.register(device))
    assert world.total_lamports(all_of_them) == before


@pytest.fixture(scope="module")
def unverified() -> World:
    """A world whose runtime believes every signature: nobody can sign a transaction with a weak key."""
    return World(check_signatures=False)


def registered(world: World, key: bytes) -> list[Instruction]:
    """The registration of a key that nobody can sign with."""
    authority = Pubkey(key)
    return swapped(world.main.register(newcomer(world)), authority=authority, device_key=world.main.key_at(authority))


def test_keys_of_small_order_and_such_that_are_not_canonical_are_refused(unverified: World) -> None:
    """All encodings of the eight points of small order, and every y from p on, with either sign."""
    weak = encodings_of_small_order() + non_canonical()
    assert len(set(weak)) == 14 + 2 * 19 - 4  # of the 14, y = p and p + 1 with either sign are in both
    for key in weak:
        # y = 0 is the System program's address, which is passed as well.
        reason = "DuplicateAccount" if key == bytes(32) else "WeakKey"
        unverified.refused(registered(unverified, key), reason)


def test_their_neighbours_are_not(unverified: World) -> None:
    for y in (2, 3, P - 2, P - 3, ORDER_8[0] + 1, ORDER_8[1] - 1):
        for sign in (0, 1):
            unverified.restore()
            key = (y | sign << 255).to_bytes(32, "little")
            unverified.do(registered(unverified, key))


def test_the_runtime_takes_no_signature_of_a_weak_key_either(world: World) -> None:
    """Why nobody gets as far: S = 0 and R = A would do for the identity, where a verifier lets it."""
    for key in encodings_of_small_order():
        instructions = swapped(world.main.register(newcomer(world)), authority=Pubkey(key))
        assert world.refused(instructions) == "SignatureFailure"


def test_revocation_is_once_and_keeps_its_second(world: World) -> None:
    event = world.do(world.main.revoke(world.seller))
    assert (event.device_id, event.revoked_at) == (world.seller.device_id, NOW)
    world.now += 5
    world.refused(world.main.revoke(world.seller), "AlreadyRevoked")
    assert world.main.participant(world.seller).revoked_at == NOW


@pytest.mark.parametrize("who", ["seller", "buyer"])
def test_messages_stamped_from_the_revocation_on_are_refused(world: World, who: str) -> None:
    """message_id / 10^6 >= revoked_at; the one before still settles, afterwards as well."""
    world.do(world.main.revoke(getattr(world, who)))
    world.now += 100
    for lot, stamp in enumerate((NOW * US, NOW * US + 1, (NOW + 1) * US, (NOW + 100 + MAX_AHEAD) * US), 1):
        world.refused(world.main.settle(world.deal(lot, stamp_us=stamp)), "Revoked")
        world.refused(world.main.record_default(world.deal(lot, stamp_us=stamp, energy_wh=10**8)), "Revoked")
    world.do(world.main.settle(world.deal(1, stamp_us=NOW * US - 1)))
    world.do(world.main.record_default(world.deal(2, stamp_us=NOW * US - 1, energy_wh=10**8)))


def test_a_revocation_stops_nothing_that_was_settled_and_no_money(world: World) -> None:
    main = world.main
    deals = [world.deal(lot, stamp_us=NOW * US - 1) for lot in range(1, 6)]
    for deal in deals:
        world.do(main.settle(deal))
    for device in (world.seller, world.buyer):
        world.do(main.revoke(device))
    world.do(main.refund(deals[0]))
    world.do(main.refund(deals[4], main.terminate(deals[4], message_id=(NOW + 1) * US)))
    world.do(main.dispute(deals[1]))
    world.do(main.resolve(deals[1], to_battery=True))
    world.do(main.dispute(deals[2]))
    world.do(main.resolve(deals[2], to_battery=False))
    world.do(main.request_withdraw(world.buyer, 10))
    world.now += main.terms.withdraw_delay
    world.do(main.release(deals[3]))
    world.do(main.withdraw(world.buyer))
    world.now = main.closes_at(deals[0])
    for deal in deals:
        world.do(main.close_trade(deal))


def test_anchorpy_reads_the_account_as_it_is_read_here(world: World) -> None:
    address = world.main.place.participant(world.buyer.device_id)
    decoded = vars(INTERFACE.decode("Participant", world.data(address)))
    ours = world.read(Participant, address)
    assert tuple(bytes(v) if not isinstance(v, int) else v for v in decoded.values()) == tuple(ours)
