"""The Ed25519 instruction before settle, record_default and refund: one layout, one place, one signature; all else is refused.

What the program reads has to be what the precompile checked. Each test here is a way to make the two differ.
"""

from collections.abc import Callable
from typing import Final

import pytest
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.system_program import TransferParams, transfer

from contracts.instructions import ED25519_PROGRAM
from tests.contracts.program.harness import MEMO_PROGRAM, Deal, Device, World, ed25519
from tests.contracts.program.scenes import SCENES, Scene

MESSAGE: Final = 191
THIS: Final = 0xFFFF
ANY_INDEX: Final = (0, 1, 2, 7, 0xFFFE)
MALFORMED: Final = "MalformedSignatureInstruction"

each = pytest.mark.parametrize("scene", [SCENES[name] for name in ("settle", "record_default", "refund")])
Play = Callable[[World], Scene]


class Parts:
    """A scene's precompile instruction, taken apart."""

    def __init__(self, world: World, play: Play) -> None:
        self.world = world
        self.bazaar, (self.spoken, self.act) = (played := play(world)).bazaar, played.instructions
        data = bytes(self.spoken.data)
        self.public, self.signature, self.message = data[16:48], data[48:112], data[112:]
        assert len(self.message) == MESSAGE

    def refused(self, *before: Instruction, reasons: tuple[str, ...]) -> str:
        """The act after these instructions."""
        return self.world.refused([*before, self.act], *reasons)

    def foreign(self) -> Instruction:
        """A valid precompile of a stranger over a message that says the same."""
        signature = bytes(self.world.stranger.sign_message(self.message))
        return ed25519(bytes(self.world.stranger.pubkey()), signature, self.message)


def nothing(world: World) -> Instruction:
    """An instruction that does nothing of note."""
    payer = world.payer.pubkey()
    return transfer(TransferParams(from_pubkey=payer, to_pubkey=payer, lamports=1))


@each
def test_the_layout_written_down_here_is_the_one_that_passes(world: World, scene: Play) -> None:
    parts = Parts(world, scene)
    spoken = ed25519(parts.public, parts.signature, parts.message)
    assert bytes(spoken.data) == bytes(parts.spoken.data)
    assert len(bytes(spoken.data)) == 303
    world.do([spoken, parts.act])


@each
def test_without_one_nothing_goes(world: World, scene: Play) -> None:
    parts = Parts(world, scene)
    parts.refused(reasons=("NoSignatureInstruction",))
    parts.refused(nothing(world), reasons=("NoSignatureInstruction",))


@each
def test_it_stands_directly_before(world: World, scene: Play) -> None:
    """Not two before, not after, not before something else."""
    parts = Parts(world, scene)
    parts.refused(parts.spoken, nothing(world), reasons=("NoSignatureInstruction",))
    parts.refused(parts.spoken, set_compute_unit_limit(200_000), reasons=("NoSignatureInstruction",))
    world.refused([parts.act, parts.spoken], "NoSignatureInstruction")
    world.refused([nothing(world), parts.act, parts.spoken], "NoSignatureInstruction")
    world.refused([parts.spoken, nothing(world), parts.act, parts.spoken], "NoSignatureInstruction")


@each
def test_what_stands_elsewhere_does_not_matter(world: World, scene: Play) -> None:
    parts = Parts(world, scene)
    world.do(
        [set_compute_unit_limit(200_000), parts.foreign(), nothing(world), parts.spoken, parts.act, nothing(world)]
    )


@each
def test_of_several_only_the_last_one_before_it_is_read(world: World, scene: Play) -> None:
    parts = Parts(world, scene)
    parts.refused(parts.spoken, parts.foreign(), reasons=("WrongSigner",))
    world.do([parts.foreign(), parts.spoken, parts.act])


@each
def test_one_record_serves_one_instruction(world: World, scene: Play) -> None:
    """The second one in the transaction finds the first one before it, not the precompile."""
    parts = Parts(world, scene)
    world.refused([parts.spoken, parts.act, parts.act], "NoSignatureInstruction", "WrongStatus")


@each
def test_another_program_is_no_precompile(world: World, scene: Play) -> None:
    """One that takes any data does not take ours for it; nor do we take the record ourselves."""
    parts = Parts(world, scene)
    parts.refused(Instruction(MEMO_PROGRAM, b"a note", []), reasons=("NoSignatureInstruction",))
    own = Instruction(parts.act.program_id, bytes(parts.spoken.data), [])
    world.refused([own, parts.act], "UnknownInstruction")


@each
def test_a_signature_that_does_not_fit_never_reaches_the_program(world: World, scene: Play) -> None:
    """Every byte of key, signature and message in turn."""
    parts = Parts(world, scene)
    data = bytes(parts.spoken.data)
    for index in range(16, len(data)):
        changed = bytearray(data)
        changed[index] ^= 1
        reason = world.refused([Instruction(ED25519_PROGRAM, bytes(changed), []), parts.act])
        assert reason.startswith("Ed25519"), (index, reason)


@each
def test_every_bit_of_the_head_counts(world: World, scene: Play) -> None:
    """Number, padding, offsets and indices: most fail in the precompile, and none gets past the program."""
    parts = Parts(world, scene)
    data = bytes(parts.spoken.data)
    seen = set()
    for bit in range(16 * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        reason = world.refused([Instruction(ED25519_PROGRAM, bytes(changed), []), parts.act])
        assert reason == MALFORMED or reason.startswith("Ed25519"), (bit, reason)
        seen.add(reason)
    assert MALFORMED in seen  # the padding, which the precompile does not look at


@each
def test_the_padding_is_zero(world: World, scene: Play) -> None:
    parts = Parts(world, scene)
    for padding in (1, 128, 255):
        spoken = ed25519(parts.public, parts.signature, parts.message, padding=padding)
        parts.refused(spoken, reasons=(MALFORMED,))


@each
def test_no_signature_at_all_is_none(world: World, scene: Play) -> None:
    """The precompile takes a list of no signatures; the record behind it was checked by nobody."""
    parts = Parts(world, scene)
    for data in (b"\0\0", b"\0\0" + bytes(parts.spoken.data)[2:]):
        reason = parts.refused(Instruction(ED25519_PROGRAM, data, []), reasons=())
        assert reason == MALFORMED or reason.startswith("Ed25519"), reason


@each
def test_two_signatures_are_one_too_many(world: World, scene: Play) -> None:
    """Two sets of offsets, both valid, over the same bytes, or the second over a stranger's."""
    parts = Parts(world, scene)
    head = 2 + 2 * 14
    for first, second in (
        ((parts.public, parts.signature), (parts.public, parts.signature)),
        ((parts.public, parts.signature), _stranger(world, parts.message)),
        (_stranger(world, parts.message), (parts.public, parts.signature)),
    ):
        blob = b"".join(key + signature for key, signature in (first, second)) + parts.message
        offsets = b""
        for index in range(2):
            key_at = head + index * 96
            spots = (key_at + 32, THIS, key_at, THIS, head + 192, MESSAGE, THIS)
            offsets += b"".join(value.to_bytes(2, "little") for value in spots)
        data = b"\2\0" + offsets + blob
        world.send([Instruction(ED25519_PROGRAM, data, [])])
        parts.refused(Instruction(ED25519_PROGRAM, data, []), reasons=(MALFORMED,))


def _stranger(world: World, message: bytes) -> tuple[bytes, bytes]:
    return bytes(world.stranger.pubkey()), bytes(world.stranger.sign_message(message))


@each
def test_a_second_set_of_offsets_in_the_place_of_the_key_is_refused(world: World, scene: Play) -> None:
    """Number 2, and the canonical bytes from there on: what the precompile checks then begins elsewhere."""
    parts = Parts(world, scene)
    data = b"\2" + bytes(parts.spoken.data)[1:]
    reason = parts.refused(Instruction(ED25519_PROGRAM, data, []), reasons=())
    assert reason == MALFORMED or reason.startswith("Ed25519")


@each
@pytest.mark.parametrize("slot", [0, 1, 2])
def test_data_of_another_instruction_is_refused(world: World, scene: Play, slot: int) -> None:
    """Signature, key or message taken by index from a valid precompile elsewhere in the transaction, in any place.

    The attack: the precompile checks a stranger's valid signature there, and the program reads an invented record here.
    """
    parts = Parts(world, scene)
    invented = ed25519(parts.public, parts.signature, bytes(reversed(parts.message)))
    for place in range(3):
        indices = [THIS] * 3
        indices[slot] = place
        pointing = _pointed(invented, (indices[0], indices[1], indices[2]))
        before = [parts.spoken, parts.spoken]
        reason = parts.refused(*before, pointing, reasons=())
        assert reason == MALFORMED or reason.startswith("Ed25519"), (place, reason)


@each
def test_all_data_of_another_instruction_is_refused(world: World, scene: Play) -> None:
    """Valid to the precompile in every way: 0 is the genuine record, 1 points at it and holds an invented one."""
    parts = Parts(world, scene)
    invented = ed25519(parts.public, bytes(64), bytes(MESSAGE))
    pointing = _pointed(invented, (0, 0, 0))
    world.events([parts.spoken, pointing])
    parts.refused(parts.spoken, pointing, reasons=(MALFORMED,))


@each
def test_its_own_number_is_not_this_instruction(world: World, scene: Play) -> None:
    """The same bytes, named by their index instead of 0xffff: valid, and not the one layout."""
    parts = Parts(world, scene)
    for place, before in ((0, []), (1, [nothing(world)])):
        pointing = _pointed(parts.spoken, (place, place, place))
        world.events([*before, pointing])
        parts.refused(*before, pointing, reasons=(MALFORMED,))


@each
def test_indices_beyond_the_transaction_fail(world: World, scene: Play) -> None:
    parts = Parts(world, scene)
    for index in ANY_INDEX[2:]:
        for slot in range(3):
            indices = [THIS] * 3
            indices[slot] = index
            pointing = _pointed(parts.spoken, (indices[0], indices[1], indices[2]))
            assert parts.refused(pointing, reasons=()).startswith("Ed25519")


@each
def test_data_in_our_own_instruction_is_refused(world: World, scene: Play) -> None:
    """The record as a tail of settle's data, to which the precompile points: our arguments have a fixed length."""
    parts = Parts(world, scene)
    size = len(bytes(parts.act.data))
    tail = bytes(parts.spoken.data)
    act = Instruction(parts.act.program_id, bytes(parts.act.data) + tail, parts.act.accounts)
    spots = (size + 48, 1, size + 16, 1, size + 112, MESSAGE, 1)
    pointing = Instruction(ED25519_PROGRAM, b"\1\0" + b"".join(v.to_bytes(2, "little") for v in spots), [])
    world.refused([pointing, act], "MalformedInstruction")


def _pointed(held: Instruction, indices: tuple[int, int, int]) -> Instruction:
    data = bytearray(held.data)
    for at, index in zip((4, 8, 14), indices, strict=True):
        data[at : at + 2] = index.to_bytes(2, "little")
    return Instruction(ED25519_PROGRAM, bytes(data), [])


@each
@pytest.mark.parametrize("shift", [1, 2, 14, 100])
def test_shifted_data_is_refused(world: World, scene: Play, shift: int) -> None:
    """A valid instruction whose parts stand further on, so that the fixed offsets hold what nobody signed."""
    parts = Parts(world, scene)
    gap = bytes(shift)
    for key_at, signature_at, message_at, body in (
        (16 + shift, 48 + shift, 112 + shift, gap + parts.public + parts.signature + parts.message),
        (16, 48 + shift, 112 + shift, parts.public + gap + parts.signature + parts.message),
        (16, 48, 112 + shift, parts.public + parts.signature + gap + parts.message),
        (80, 16, 112, parts.signature + parts.public + parts.message),
        (16 + MESSAGE, 48 + MESSAGE, 16, parts.message + parts.public + parts.signature),
    ):
        spots = (signature_at, THIS, key_at, THIS, message_at, MESSAGE, THIS)
        data = b"\1\0" + b"".join(value.to_bytes(2, "little") for value in spots) + body
        world.events([Instruction(ED25519_PROGRAM, data, [])])
        parts.refused(Instruction(ED25519_PROGRAM, data, []), reasons=(MALFORMED,))


@each
def test_the_canonical_bytes_with_the_genuine_ones_behind_are_refused(world: World, scene: Play) -> None:
    """The offsets point behind an invented record of the canonical layout."""
    parts = Parts(world, scene)
    spots = (303 + 32, THIS, 303, THIS, 303 + 96, MESSAGE, THIS)
    head = b"\1\0" + b"".join(value.to_bytes(2, "little") for value in spots)
    invented = parts.public + bytes(64) + bytes(reversed(parts.message))
    data = head + invented + parts.public + parts.signature + parts.message
    world.events([Instruction(ED25519_PROGRAM, data, [])])
    parts.refused(Instruction(ED25519_PROGRAM, data, []), reasons=(MALFORMED,))


@each
@pytest.mark.parametrize("size", [0, 1, 43, 127, 190])
def test_a_shorter_message_is_refused(world: World, scene: Play, size: int) -> None:
    """Properly signed; with or without the rest of the bytes behind it."""
    parts = Parts(world, scene)
    signer = _signer(world, parts)
    short = parts.message[:size]
    signature = bytes(signer.key.sign_message(short))
    for tail in (b"", parts.message[size:]):
        spoken = ed25519(parts.public, signature, short, tail=tail)
        world.events([spoken])
        parts.refused(spoken, reasons=(MALFORMED,))


@each
@pytest.mark.parametrize("more", [b"\0", b"\xff" * 21, bytes(64)])
def test_a_longer_message_is_refused(world: World, scene: Play, more: bytes) -> None:
    parts = Parts(world, scene)
    longer = parts.message + more
    spoken = ed25519(parts.public, bytes(_signer(world, parts).key.sign_message(longer)), longer)
    world.events([spoken])
    parts.refused(spoken, reasons=(MALFORMED,))
    tailed = ed25519(parts.public, parts.signature, parts.message, tail=more)
    world.events([tailed])
    parts.refused(tailed, reasons=(MALFORMED,))


@each
def test_a_message_of_191_bytes_that_is_no_record_is_refused(world: World, scene: Play) -> None:
    """Signed by the right key: another domain, another magic, version, algorithm, or not zero where it has to be."""
    parts = Parts(world, scene)
    signer = _signer(world, parts)
    for index in (*range(11), *range(127, 135)):
        for flip in (1, 128):
            message = bytearray(parts.message)
            message[index] ^= flip
            spoken = ed25519(parts.public, bytes(signer.key.sign_message(bytes(message))), bytes(message))
            parts.refused(spoken, reasons=("MalformedRecord",))


@each
def test_accounts_of_the_precompile_do_not_matter(world: World, scene: Play) -> None:
    """They come first in the instructions sysvar, and shift where its data begins."""
    parts = Parts(world, scene)
    metas = [AccountMeta(device.address, is_signer=False, is_writable=False) for device in world.devices]
    world.do([Instruction(ED25519_PROGRAM, bytes(parts.spoken.data), metas), parts.act])


@each
def test_the_record_of_another_act_is_refused(world: World, scene: Play) -> None:
    """A Confirm gives nothing back and a Terminate pays nothing."""
    parts = Parts(world, scene)
    deal = _deal(world, scene)
    if scene is SCENES["refund"]:
        spoken = parts.bazaar.spoken(parts.bazaar.confirm(deal), world.buyer)
    else:
        spoken = parts.bazaar.spoken(parts.bazaar.terminate(deal), world.seller)
    parts.refused(spoken, reasons=("WrongRecordType",))


def _signer(world: World, parts: Parts) -> Device:
    return next(device for device in world.devices if bytes(device.address) == parts.public)


def _deal(world: World, scene: Play) -> Deal:
    return world.deal(energy_wh=10_000_000) if scene is SCENES["record_default"] else world.deal()
