"""Odd Ed25519 signatures get one verdict from the chain's precompile and from PyNaCl, so that nobody holds a Confirm that
one side takes for signed and the other does not (docs/settlement.md, Program).

The vectors are made by arithmetic: the known edges of the rule are S not below L, points of small and of mixed order in
key and R, encodings that are not canonical, and what only a verifier with the cofactor would take (RFC 8032, 5.1.7).
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count, product
from typing import Final, NamedTuple

import pytest
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction_metadata import TransactionMetadata

from contracts.accounts import ParticipantRole
from etp.record import DOMAIN, UNSIGNED_SIZE, is_signed_by
from tests.contracts.program.curve import (
    BASE,
    TORSION,
    ZERO,
    L,
    Point,
    add,
    challenge,
    encoded,
    encodings_of_small_order,
    negative,
    non_canonical,
    secret_of,
    times,
    with_y,
)
from tests.contracts.program.harness import Device, World, ed25519, sealed, unsigned

MESSAGE: Final = sha256(b"a message").digest() * 5 + bytes(31)
SEED: Final = sha256(b"a key").digest()
SECRET: Final = secret_of(SEED)
PUBLIC: Final = times(SECRET, BASE)
assert len(MESSAGE) == 191


class Vector(NamedTuple):
    """A key, a signature's halves, a message, and whether both have to take it."""

    what: str
    key: bytes
    r: bytes
    s: int
    valid: bool
    message: bytes = MESSAGE

    @property
    def signature(self) -> bytes:
        """64 bytes."""
        return self.r + self.s.to_bytes(32, "little")


def judged_by_nacl(vector: Vector) -> bool:
    """As every receiver of a record judges."""
    try:
        crypto_sign_open(vector.signature + vector.message, vector.key)
    except (BadSignatureError, ValueError):
        return False
    return True


def judged_by_chain(world: World, vector: Vector) -> bool:
    """As the runtime's precompile judges."""
    result = world.send([ed25519(vector.key, vector.signature, vector.message)])
    return isinstance(result, TransactionMetadata)


def signed(key: Point, secret: int, r: int, *, shift: Point = ZERO, message: bytes = MESSAGE) -> tuple[bytes, int]:
    """R = r·B + shift, and the S of the plain rule."""
    point = encoded(add(times(r, BASE), shift))
    return point, (r + challenge(point, encoded(key), message) * secret) % L


def plain() -> Iterator[Vector]:
    """What anybody makes."""
    r, s = signed(PUBLIC, SECRET, 7)
    yield Vector("plain", encoded(PUBLIC), r, s, True)
    yield Vector("another message", encoded(PUBLIC), r, s, False, bytes(191))
    yield Vector("another R", encoded(PUBLIC), encoded(times(8, BASE)), s, False)
    yield Vector("another S", encoded(PUBLIC), r, s + 1, False)
    yield Vector("another key", encoded(times(SECRET + 1, BASE)), r, s, False)
    yield Vector("the key with the other sign", encoded(negative(PUBLIC)), r, s, False)
    yield Vector("all zero", encoded(PUBLIC), bytes(32), 0, False)
    yield Vector("all ones", encoded(PUBLIC), b"\xff" * 32, 2**256 - 1, False)


def large_s() -> Iterator[Vector]:
    """The same signature with multiples of L added to S, as far as it fits, and with high bits set: malleable."""
    r, s = signed(PUBLIC, SECRET, 11)
    for factor in range(1, (2**256 - 1 - s) // L + 1):
        yield Vector(f"S + {factor} L", encoded(PUBLIC), r, s + factor * L, False)
    for bit in (252, 253, 254, 255):
        if not s >> bit & 1:
            yield Vector(f"S with bit {bit}", encoded(PUBLIC), r, s | 1 << bit, False)
    # S exactly L is 0 to who reduces: R = -k·A makes that one hold.
    for value in (L - 1, L, L + 1):
        yield Vector(f"S = {value - L} + L", encoded(PUBLIC), r, value, False)
    for attempt in count(1):
        point = encoded(times(attempt, BASE))
        k = challenge(point, encoded(PUBLIC), MESSAGE)
        if (attempt + k * SECRET) % L < 2**251:  # a small S, whose S + L has the bits of a valid one
            small = (attempt + k * SECRET) % L
            yield Vector("a small S", encoded(PUBLIC), point, small, True)
            yield Vector("a small S + L", encoded(PUBLIC), point, small + L, False)
            return


def small_keys() -> Iterator[Vector]:
    """A key and an R of small order in all 14 encodings of each, S = 0: in one of eight the plain rule holds."""
    for key, r in product(encodings_of_small_order(), repeat=2):
        for message in (MESSAGE, bytes(191)):
            yield Vector("small key and R", key, r, 0, False, message)
    for key in encodings_of_small_order():
        yield Vector("small key, usual R", key, encoded(times(5, BASE)), 5, False)


def small_r() -> Iterator[Vector]:
    """R of small order under a usual key: S = k·a holds plainly for the identity, and with the cofactor for all eight."""
    for r in encodings_of_small_order():
        s = challenge(r, encoded(PUBLIC), MESSAGE) * SECRET % L
        yield Vector("small R", encoded(PUBLIC), r, s, False)


def mixed_r() -> Iterator[Vector]:
    """R with a small part: with the cofactor it would hold."""
    for small in TORSION[1:]:
        r, s = signed(PUBLIC, SECRET, 13, shift=small)
        yield Vector("mixed R", encoded(PUBLIC), r, s, False)


def mixed_key() -> Iterator[Vector]:
    """A key with a small part T: [S]B = R + [k]A holds where [k]T vanishes, which a signer can search for."""
    for order, small in ((2, TORSION[4]), (4, TORSION[2]), (8, TORSION[1]), (8, TORSION[5])):
        key = add(PUBLIC, small)
        seen = set()
        for attempt in range(1, 40):
            r, s = signed(key, SECRET, attempt)
            vanishes = challenge(r, encoded(key), MESSAGE) % order == 0
            if vanishes not in seen:
                seen.add(vanishes)
                yield Vector(f"key with a part of order {order}", encoded(key), r, s, vanishes)
        assert seen == {True, False}


def both_mixed() -> Iterator[Vector]:
    """Small parts in key and R that cancel each other: T' + [k]T = 0."""
    key = add(PUBLIC, TORSION[1])
    found = 0
    for attempt, part in product(range(1, 12), range(1, 8)):
        r, s = signed(key, SECRET, attempt, shift=TORSION[part])
        cancels = (part + challenge(r, encoded(key), MESSAGE)) % 8 == 0
        found += cancels
        if cancels or attempt == 1:
            yield Vector("mixed key and R", encoded(key), r, s, cancels)
    assert found


def not_canonical() -> Iterator[Vector]:
    """Y from p on, in the key and in R, under a usual other half and every S that might be tried."""
    r, s = signed(PUBLIC, SECRET, 17)
    for odd in non_canonical():
        yield Vector("R not canonical", encoded(PUBLIC), odd, s, False)
        k = challenge(odd, encoded(PUBLIC), MESSAGE)
        yield Vector("R not canonical, S = k·a", encoded(PUBLIC), odd, k * SECRET % L, False)
        yield Vector("key not canonical", odd, r, s, False)
        yield Vector("key and R not canonical", odd, odd, 0, False)


def off_the_curve() -> Iterator[Vector]:
    """A y that no point has."""
    r, s = signed(PUBLIC, SECRET, 19)
    off = next(y for y in range(2, 100) if with_y(y) is None).to_bytes(32, "little")
    yield Vector("R off the curve", encoded(PUBLIC), off, s, False)
    yield Vector("key off the curve", off, r, s, False)


KINDS: Final = [
    plain,
    large_s,
    small_keys,
    small_r,
    mixed_r,
    mixed_key,
    both_mixed,
    not_canonical,
    off_the_curve,
]


@pytest.mark.parametrize("kind", KINDS)
def test_both_say_the_same_and_what_the_strict_rule_says(world: World, kind: Callable[[], Iterator[Vector]]) -> None:
    """Cofactorless, S below L, no small order, canonical. Verdicts that differ would split what settles from what is traded."""
    vectors = list(kind())
    assert vectors
    for vector in vectors:
        verdicts = judged_by_chain(world, vector), judged_by_nacl(vector)
        assert verdicts == (vector.valid, vector.valid), vector


def test_the_arithmetic_here_is_ed25519() -> None:
    """RFC 8032, 7.1, test 1; and the eight small points are eight."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert encoded(times(secret_of(seed), BASE)) == public
    assert times(L, BASE) == ZERO
    assert len(set(TORSION)) == 8
    assert all(times(8, point) == ZERO for point in TORSION)
    assert len(encodings_of_small_order()) == 14


class MixedKey:
    """A signer whose key has a small part. It signs as `solders` does, searching an R under which the plain rule holds."""

    def __init__(self) -> None:
        self._point = add(PUBLIC, TORSION[1])

    def pubkey(self) -> Pubkey:
        """Its address."""
        return Pubkey(encoded(self._point))

    def signature(self, message: bytes, *, valid: bool) -> bytes:
        """64 bytes that hold, or that hold with the cofactor only."""
        for attempt in count(1):
            r, s = signed(self._point, SECRET, attempt, message=message)
            if (challenge(r, bytes(self.pubkey()), message) % 8 == 0) is valid:
                return r + s.to_bytes(32, "little")
        raise AssertionError

    def sign_message(self, message: bytes) -> Signature:
        """One that holds."""
        return Signature(self.signature(message, valid=True))


def test_a_key_of_mixed_order_trades_as_any_other(world: World) -> None:
    """It is not refused at registration; what of its records the buyers' and sellers' PyNaCl takes settles, and nothing else."""
    key = MixedKey()
    world.keys[key.pubkey()] = key  # type: ignore[assignment]
    buyer = Device(key, 701, ParticipantRole.AGGREGATOR)  # type: ignore[arg-type]
    world.do(world.main.register(buyer))
    deal = world.deal(buyer=buyer)
    body = unsigned(5, sender=701, recipient=bytes(world.seller.address), lot_id=1, price=deal.price, energy_wh=1_500)
    message = DOMAIN + world.main.network + body
    for valid in (False, True):
        raw = body + key.signature(message, valid=valid)
        assert is_signed_by(bytes(key.pubkey()), world.main.network, raw) is valid
        instructions = world.main.record_default(deal, raw)
        if valid:
            world.do(instructions)
        else:
            assert world.refused(instructions).startswith("Ed25519")
    assert sealed(body, key, world.main.network)[UNSIGNED_SIZE:] == key.signature(message, valid=True)  # type: ignore[arg-type]
    del world.keys[key.pubkey()]
