"""Ed25519 by arithmetic (RFC 8032, section 5.1), for signatures that no library makes. Slow, and for tests only."""

from hashlib import sha512
from typing import Final, NamedTuple

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
_ROOT: Final = pow(2, (P - 1) // 4, P)


class Point(NamedTuple):
    """Affine."""

    x: int
    y: int


ZERO: Final = Point(0, 1)


def add(one: Point, other: Point) -> Point:
    """The complete addition law of the twisted Edwards curve with a = -1."""
    product = D * one.x * other.x * one.y * other.y % P
    x = (one.x * other.y + other.x * one.y) * pow(1 + product, -1, P)
    y = (one.y * other.y + one.x * other.x) * pow(1 - product, -1, P)
    return Point(x % P, y % P)


def times(scalar: int, point: Point) -> Point:
    """Scalar · point."""
    result = ZERO
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def negative(point: Point) -> Point:
    """-point."""
    return Point(-point.x % P, point.y)


def with_y(y: int) -> Point | None:
    """The point with this y and an even x; None where there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * _ROOT % P
    if x * x % P != square:
        return None
    return Point(P - x if x & 1 else x, y % P)


def encoded(point: Point) -> bytes:
    """32 bytes."""
    return (point.y | (point.x & 1) << 255).to_bytes(32, "little")


_base = with_y(4 * pow(5, -1, P) % P)
assert _base is not None
BASE: Final = _base


def _of_order_8() -> Point:
    """Some point times L has the order of its small part; nearly half of them the whole 8."""
    for y in range(2, 100):
        point = with_y(y)
        small = times(L, point) if point else ZERO
        if times(4, small) != ZERO:
            return small
    raise AssertionError


TORSION: Final = [times(n, _of_order_8()) for n in range(8)]
"""The eight points of small order, TORSION[n] = n · TORSION[1]."""
ORDER_8: Final = sorted({TORSION[n].y for n in (1, 3, 5, 7)})


def encodings_of_small_order() -> list[bytes]:
    """All 14 byte strings that a decoder which is not strict reads as one of the eight: y plain and plus p, either sign."""
    found = set()
    for point in TORSION:
        for y in (point.y, point.y + P):
            if y < 2**255:
                signs = (0, 1) if point.x == 0 else (point.x & 1,)
                found |= {(y | sign << 255).to_bytes(32, "little") for sign in signs}
    return sorted(found)


def non_canonical() -> list[bytes]:
    """Every y from p on that fits 255 bits, with either sign: 38 strings."""
    return [(y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)]


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    """K = SHA-512(R || A || M) mod L."""
    return int.from_bytes(sha512(r + key + message).digest(), "little") % L


def secret_of(seed: bytes) -> int:
    """The scalar of a seed, clamped and reduced."""
    half = bytearray(sha512(seed).digest()[:32])
    half[0] &= 248
    half[31] = half[31] & 127 | 64
    return int.from_bytes(half, "little")
