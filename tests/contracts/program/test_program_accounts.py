"""Every account of every instruction: missing, unsigned, read-only, twice, another, damaged. Nothing passes that should not."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Final

import pytest
from solders.account import Account
from solders.instruction import AccountMeta
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.sysvar import CLOCK
from solders.token import ID as TOKEN_PROGRAM

from contracts.addresses import PROGRAM_ID
from contracts.instructions import ED25519_PROGRAM
from tests.contracts.program.curve import with_y
from tests.contracts.program.harness import (
    ERRORS,
    IDL,
    SIGNERS,
    SLOTS,
    SOL,
    TOKEN_2022,
    WRITABLE,
    DeviceKey,
    Escrow,
    Market,
    Participant,
    Trade,
    World,
    address_in,
    key_of,
    name_of,
    read_only,
    reshaped,
    swapped,
    token_data,
    unsigned_by,
)
from tests.contracts.program.scenes import SCENES, Scene, crowd

each_scene = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
Play = Callable[[World], Scene]

OWN: Final = frozenset(ERRORS.values())
UNWRITTEN: Final = {
    "deposit": {"authority"},  # pays the rent of a new Escrow only
    "settle_held": {"vault", "payout", "fee_account", "battery_participant", "aggregator_participant"},
    "record_default": {"battery_participant"},
    "resolve_to_buyer": {"vault", "payout", "fee_account", "aggregator_participant"},
}
"""Slots that the IDL calls writable and that a scene does not write: read-only they do no harm."""
CHOSEN: Final = {
    ("open_market", "fee_account"),
    ("set_market", "fee_account"),
    ("set_market", "market"),
    ("register", "authority"),
    ("revoke", "participant"),
    ("deposit", "source"),
    ("withdraw", "destination"),
}
"""Slots where the caller has a choice; `test_what_may_be_chosen_…` has the bounds of each."""


def _free(play: Play, slot: str) -> bool:
    return (play.__name__, slot) in CHOSEN


@each_scene
def test_each_instruction_succeeds_in_its_scene(world: World, scene: Play) -> None:
    """And says one event, which anchorpy reads."""
    played = scene(world)
    (event,) = world.events(played.instructions)
    assert event.name == played.event
    assert bytes(event.data.market) == bytes(played.bazaar.address)


def test_every_instruction_and_event_of_the_idl_has_a_scene(world: World) -> None:
    played = []
    for scene in SCENES.values():
        played.append(scene(world))
        world.restore()
    assert {name_of(each.instructions[-1]) for each in played} == set(SLOTS)
    assert {each.event for each in played} == {event.name for event in IDL.events or ()}


@each_scene
def test_every_signer_has_to_sign(world: World, scene: Play) -> None:
    instructions = scene(world).instructions
    for slot in SIGNERS[name_of(instructions[-1])]:
        world.refused(unsigned_by(instructions, slot), "MissingSignature")


@each_scene
def test_what_is_written_has_to_be_writable(world: World, scene: Play) -> None:
    instructions = scene(world).instructions
    for slot in WRITABLE[name_of(instructions[-1])]:
        if slot in UNWRITTEN.get(scene.__name__, ()):
            continue
        # A token account is written by the token program, to which the runtime then refuses it.
        reason = world.refused(read_only(instructions, slot), "NotWritable", "PrivilegeEscalation")
        ours = not {"vault", "payout", "fee_account", "source", "destination"} & {slot}
        assert (reason == "NotWritable") is ours, slot


@each_scene
def test_no_account_may_be_left_out(world: World, scene: Play) -> None:
    instructions = scene(world).instructions
    metas = instructions[-1].accounts
    for number in range(len(metas)):
        world.refused(reshaped(instructions, accounts=metas[:number]), "MissingAccount")


@each_scene
def test_accounts_beyond_the_list_are_not_looked_at(world: World, scene: Play) -> None:
    """As Anchor's "remaining accounts"; also beyond the sixteen that the entrypoint takes in."""
    instructions = scene(world).instructions
    more = [AccountMeta(key_of(f"extra {n}").pubkey(), is_signer=False, is_writable=False) for n in range(4)]
    world.do(reshaped(instructions, accounts=[*instructions[-1].accounts, *more]))


@each_scene
def test_every_other_length_of_the_arguments_is_refused(world: World, scene: Play) -> None:
    instructions = scene(world).instructions
    data = bytes(instructions[-1].data)
    for size in range(len(data)):
        expected = ("UnknownInstruction",) if size < 8 else ("MalformedInstruction",)
        world.refused(reshaped(instructions, data=data[:size]), *expected)
    for tail in (b"\0", b"\1", bytes(32)):
        world.refused(reshaped(instructions, data=data + tail), "MalformedInstruction")


@each_scene
def test_every_bit_of_the_discriminator_counts(world: World, scene: Play) -> None:
    instructions = scene(world).instructions
    data = bytes(instructions[-1].data)
    for bit in range(64):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        world.refused(reshaped(instructions, data=bytes(changed)), "UnknownInstruction")


@each_scene
def test_no_account_may_be_passed_twice(world: World, scene: Play) -> None:
    """Each account of an instruction in each other's place; only an admin may register its own key."""
    instructions = scene(world).instructions
    name = name_of(instructions[-1])
    slots = SLOTS[name]
    for slot in slots:
        for twin in slots:
            address = address_in(instructions, twin)
            both_admin = name == "register" and {slot, twin} == {"admin", "authority"}
            if slot == twin or both_admin or (slot in SIGNERS[name] and address not in world.keys):
                continue
            changed = swapped(instructions, **{slot: address})
            if {slot, twin} & {"admin", "arbiter"}:  # they sign, and nobody else can be them
                assert world.refused(changed) in OWN
            else:
                world.refused(changed, "DuplicateAccount")


@each_scene
def test_no_account_takes_the_place_of_another(world: World, scene: Play) -> None:
    """The whole crowd in each slot: every kind of account in place of every other, other markets', devices', lots'."""
    candidates = crowd(world)
    instructions = scene(world).instructions
    name = name_of(instructions[-1])
    for slot in SLOTS[name]:
        if _free(scene, slot):
            continue
        right = address_in(instructions, slot)
        for who, address in candidates.items():
            if address == right or (slot in SIGNERS[name] and address not in world.keys):
                continue
            if (name, slot, who) == ("close_trade", "trade", "instant trade of same seller"):
                continue  # the same payer's, and as old
            reason = world.refused(swapped(instructions, **{slot: address}))
            assert reason in OWN, (slot, who, reason)


@each_scene
def test_programs_and_the_sysvar_are_those_and_no_others(world: World, scene: Play) -> None:
    instructions = scene(world).instructions
    slots = SLOTS[name_of(instructions[-1])]
    strangers = [TOKEN_2022, ED25519_PROGRAM, CLOCK, world.stranger.pubkey(), key_of("nothing").pubkey()]
    for slot, error in (
        ("system_program", "WrongProgram"),
        ("token_program", "WrongProgram"),
        ("instructions", "WrongSysvar"),
    ):
        for stranger in strangers if slot in slots else ():
            world.refused(swapped(instructions, **{slot: stranger}), error)


_KINDS: Final = {
    "market": Market,
    "participant": Participant,
    "battery_participant": Participant,
    "aggregator_participant": Participant,
    "escrow": Escrow,
    "trade": Trade,
}


def _ours(world: World, scene: Scene) -> list[tuple[str, Pubkey]]:
    """The slots of a scene that hold an account of the program that exists."""
    name = name_of(scene.instructions[-1])
    found = [(slot, address_in(scene.instructions, slot)) for slot in SLOTS[name] if slot in _KINDS]
    return [(slot, address) for slot, address in found if world.account(address) is not None]


@each_scene
def test_an_account_of_another_owner_is_none_of_ours(world: World, scene: Play) -> None:
    """Byte for byte the right data at the right address, but not written by the program."""
    played = scene(world)
    for slot, address in _ours(world, played):
        if (scene.__name__, slot) == ("record_default", "escrow"):
            continue  # it may be missing there, and nobody but the program can own its address
        right = world.account(address)
        assert right is not None
        for owner in (SYSTEM_PROGRAM, TOKEN_PROGRAM, world.stranger.pubkey()):
            world.put(address, Account(right.lamports, bytes(right.data), owner))
            # An Escrow that is not ours is one that has yet to be made: the runtime refuses to make it over another's.
            reason = world.refused(played.instructions)
            assert reason in {"WrongOwner", "EscrowTooShort", "Custom(0)"}, (slot, reason)
        world.put(address, right)
    world.do(played.instructions)


@each_scene
def test_a_copy_at_another_address_is_none_of_ours(world: World, scene: Play) -> None:
    """Owned by the program, with the right data: only seeds and bump tell."""
    played = scene(world)
    copy = key_of("copy").pubkey()
    for slot, address in _ours(world, played):
        right = world.account(address)
        assert right is not None
        world.put(copy, Account(right.lamports, bytes(right.data), PROGRAM_ID))
        world.refused(swapped(played.instructions, **{slot: copy}), "WrongAddress", "WrongVault")


def _le64(value: int) -> bytes:
    return value.to_bytes(8, "little")


_MADE: Final[list[tuple[str, str, Callable[[World], list[bytes]]]]] = [
    ("open_market", "market", lambda world: [b"market", SCENES["open_market"](world).bazaar.network]),
    ("register", "participant", lambda world: [b"participant", bytes(world.main.address), _le64(77)]),
    (
        "register",
        "device_key",
        lambda world: [b"key", bytes(world.main.address), bytes(key_of("newcomer").pubkey())],
    ),
    ("settle", "trade", lambda world: [b"trade", bytes(world.instant.address), _le64(11), _le64(1)]),
    ("settle_held", "trade", lambda world: [b"trade", bytes(world.main.address), _le64(11), _le64(1)]),
    ("record_default", "trade", lambda world: [b"trade", bytes(world.main.address), _le64(11), _le64(1)]),
]
"""Scene, slot and seeds of what is made."""


@pytest.mark.parametrize(("name", "slot", "seeds"), _MADE)
def test_of_the_addresses_of_some_seeds_only_the_first_is_made(
    world: World, name: str, slot: str, seeds: Callable[[World], list[bytes]]
) -> None:
    """The others, with lower bumps, would each be the same thing once more: a lot's second trade, a key's second id."""
    instructions = SCENES[name](world).instructions
    parts = seeds(world)
    first, highest = Pubkey.find_program_address(parts, PROGRAM_ID)
    assert address_in(instructions, slot) == first
    tried = 0
    for bump in range(highest):
        raw = sha256(b"".join(parts) + bytes([bump]) + bytes(PROGRAM_ID) + b"ProgramDerivedAddress").digest()
        if with_y(int.from_bytes(raw, "little") % 2**255) is None:  # off the curve: an address of the program
            tried += 1
            world.refused(swapped(instructions, **{slot: Pubkey(raw)}), "WrongAddress")
    assert tried > 50
    world.do(instructions)


@each_scene
def test_every_seed_bump_and_size_of_an_account_counts(world: World, scene: Play) -> None:
    played = scene(world)
    for slot, address in _ours(world, played):
        kind, right = _KINDS[slot], world.account(address)
        assert right is not None
        values: Any = world.read(kind, address)
        seeds = {"bump", "market", "network_id", "device_id", "battery", "lot_id"} & set(values._fields)
        for field in sorted(seeds):
            value = getattr(values, field)
            other = bytes(32) if isinstance(value, bytes) else value ^ 1
            world.edit(kind, address, **{field: other})
            world.refused(played.instructions, "WrongAddress")
            world.put(address, right)
        data = bytes(right.data)
        for damaged in (data[:-1], data + b"\0", b"\0" + data[1:], data[:8], b"", bytes(len(data))):
            world.put(address, Account(right.lamports, damaged, PROGRAM_ID))
            world.refused(played.instructions, "WrongDiscriminator")
        world.put(address, right)
    world.do(played.instructions)


@each_scene
def test_an_account_of_another_kind_is_refused_at_the_right_address(world: World, scene: Play) -> None:
    """Each kind's data in each slot: the discriminator alone tells Market, Participant, Escrow and Trade apart."""
    crowd(world)
    played = scene(world)
    paid = world.deal(904)
    samples = {
        Market: world.main.address,
        Participant: world.main.place.participant(world.seller.device_id),
        DeviceKey: world.main.key_at(world.seller.address),
        Escrow: world.main.place.escrow(world.buyer.device_id),
        Trade: world.main.trade_at(paid),
    }
    contents = {kind: world.data(address) for kind, address in samples.items()}
    for slot, address in _ours(world, played):
        right = world.account(address)
        assert right is not None
        for kind, content in contents.items():
            if kind is _KINDS[slot]:
                continue
            world.put(address, Account(right.lamports, content, PROGRAM_ID))
            world.refused(played.instructions, "WrongDiscriminator")
        world.put(address, right)


_TOKEN_SLOTS: Final = ("vault", "payout", "fee_account", "source", "destination")
_MOVES: Final = {"vault", "payout", "source", "destination"}


@each_scene
def test_a_token_account_has_the_right_program_mint_and_owner(world: World, scene: Play) -> None:
    """At the right address as well: who owned an associated account may have given it away."""
    played = scene(world)
    slots = SLOTS[name_of(played.instructions[-1])]
    for slot in (slot for slot in _TOKEN_SLOTS if slot in slots):
        address = address_in(played.instructions, slot)
        right = world.account(address)
        assert right is not None
        mint, owner = played.bazaar.mint, Pubkey(bytes(right.data)[32:64])
        wrong = {
            "token 2022": Account(SOL, bytes(right.data), TOKEN_2022),
            "system": Account(SOL, bytes(right.data), SYSTEM_PROGRAM),
            "settlement": Account(SOL, bytes(right.data), PROGRAM_ID),
            "mint": Account(SOL, token_data(world.sol, owner, 10**9), TOKEN_PROGRAM),
            "not initialised": Account(SOL, token_data(mint, owner, 10**9, state=0), TOKEN_PROGRAM),
            "short": Account(SOL, bytes(right.data)[:-1], TOKEN_PROGRAM),
            "long": Account(SOL, bytes(right.data) + b"\2", TOKEN_PROGRAM),
            "closed": None,
        }
        if slot != "fee_account":
            wrong["owner"] = Account(SOL, token_data(mint, world.stranger.pubkey(), 10**9), TOKEN_PROGRAM)
        # What gives money back looks at no account that is not paid: a battery cannot stop it with its own.
        unused = (scene.__name__, slot) in {
            ("settle_held", "fee_account"),
            ("resolve_to_buyer", "fee_account"),
            ("resolve_to_buyer", "payout"),
        }
        for what, account in wrong.items():
            world.put(address, account)
            if not unused:
                reason = world.refused(played.instructions, "WrongTokenAccount", "InvalidAccountData")
                assert reason == "WrongTokenAccount", (slot, what)
            world.put(address, right)
    world.do(played.instructions)


@each_scene
def test_a_mint_is_one_of_the_token_program(world: World, scene: Play) -> None:
    played = scene(world)
    if "mint" not in SLOTS[name_of(played.instructions[-1])]:
        return
    right = world.account(played.bazaar.mint)
    assert right is not None
    data = bytearray(right.data)
    data[45] = 0  # is_initialized
    for wrong in (
        Account(SOL, bytes(right.data), TOKEN_2022),
        Account(SOL, bytes(right.data), SYSTEM_PROGRAM),
        Account(SOL, bytes(right.data)[:-1], TOKEN_PROGRAM),
        Account(SOL, bytes(right.data) + bytes(83), TOKEN_PROGRAM),
        Account(SOL, bytes(data), TOKEN_PROGRAM),
        None,
    ):
        world.put(played.bazaar.mint, wrong)
        world.refused(played.instructions, "WrongMint")
    world.put(played.bazaar.mint, right)
    world.do(played.instructions)


def _tokens_of_mint(world: World, mint: Pubkey, candidates: Iterable[Pubkey]) -> set[Pubkey]:
    """Those addresses that are token accounts of a mint."""
    found = set()
    for address in candidates:
        account = world.account(address)
        if account is not None and account.owner == TOKEN_PROGRAM and bytes(account.data)[:32] == bytes(mint):
            found.add(address)
    return found


@pytest.mark.parametrize("name", ["open_market", "set_market"])
def test_what_may_be_chosen_a_fee_account_of_the_mint_whoever_owns_it(world: World, name: str) -> None:
    candidates = crowd(world)
    right = _tokens_of_mint(world, world.usdc, candidates.values())
    world.keep_also()
    for who, address in candidates.items():
        instructions = swapped(SCENES[name](world).instructions, fee_account=address)
        if address in right:
            world.do(instructions)
            world.undo()
        else:
            reason = world.refused(instructions)
            assert reason in {"WrongTokenAccount", "DuplicateAccount"}, (who, reason)
    assert len(right) > 10


def test_what_may_be_chosen_an_admin_sets_its_own_markets_only(world: World) -> None:
    instructions = SCENES["set_market"](world).instructions
    world.do(swapped(instructions, market=world.instant.address))
    for who, address in crowd(world).items():
        if address not in {world.main.address, world.instant.address}:
            reason = world.refused(swapped(instructions, market=address))
            assert reason in OWN, (who, reason)


def test_what_may_be_chosen_a_device_has_any_key_that_signs_and_has_no_id_yet(world: World) -> None:
    candidates = crowd(world)
    world.keep_also()
    taken = {device.address for device in world.devices}
    free = 0
    for who, address in candidates.items():
        play = SCENES["register"](world).instructions
        instructions = swapped(play, authority=address, device_key=world.main.key_at(address))
        if address not in world.keys:
            assert world.refused(unsigned_by(instructions, "authority")) in OWN, who
        elif address in taken:
            world.refused(instructions, "AlreadyExists")
        else:
            world.do(instructions)
            free += 1
            world.undo()
    assert free == 5  # admin, arbiter, stranger, other admin, payer


def test_what_may_be_chosen_an_admin_revokes_participants_of_the_market_only(world: World) -> None:
    candidates = crowd(world)
    right = {world.main.place.participant(device.device_id) for device in world.devices}
    instructions = SCENES["revoke"](world).instructions
    for who, address in candidates.items():
        changed = swapped(instructions, participant=address)
        if address in right:
            world.do(changed)
        else:
            assert world.refused(changed) in OWN, who


@pytest.mark.parametrize(("name", "slot"), [("deposit", "source"), ("withdraw", "destination")])
def test_what_may_be_chosen_token_accounts_of_the_aggregators_key(world: World, name: str, slot: str) -> None:
    candidates = crowd(world)
    second = world.add_tokens(key_of("second").pubkey(), world.usdc, world.buyer.address, 10**6)
    played = SCENES[name](world)
    for who, address in candidates.items():
        if address != world.main.wallet(world.buyer):
            reason = world.refused(swapped(played.instructions, **{slot: address}))
            assert reason in OWN, (who, reason)
    before = world.tokens(second)
    world.do(swapped(played.instructions, **{slot: second}))
    assert abs(world.tokens(second) - before) == 5_000


def test_another_key_that_signs_is_not_enough(world: World) -> None:
    """Each role's signer replaced by each other key of the world, which does sign."""
    expected = {
        "admin": {"WrongAdmin", "WrongNetworkId", "WrongAddress"},
        "arbiter": {"WrongArbiter"},
        "authority": {"WrongAuthority", "WrongRole"},
        "battery": {"WrongAuthority"},
    }
    for name, scene in SCENES.items():
        instructions = scene(world).instructions
        for slot in SIGNERS[name_of(instructions[-1])]:
            if (name, slot) == ("register", "authority"):
                continue
            right = address_in(instructions, slot)
            for address in world.keys.keys() - {right}:
                world.refused(swapped(instructions, **{slot: address}), *expected[slot], "DuplicateAccount")
        world.restore()


def test_a_signature_has_to_be_right(world: World) -> None:
    """The runtime's part: a key that names itself a signer and has not signed reaches no program."""
    impostor = Keypair.from_seed(bytes(range(32)))
    for scene in SCENES.values():
        instructions = scene(world).instructions
        for slot in SIGNERS[name_of(instructions[-1])]:
            changed = swapped(instructions, **{slot: impostor.pubkey()})
            assert world.refused(changed) == "SignatureFailure"
        world.restore()
