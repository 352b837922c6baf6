"""Parse + all checks + serialize, beside a bare `struct` unpack + pack of the same bytes in the same run."""

import timeit
from collections.abc import Callable
from typing import Final

from etp.frame import LAYOUT, Frame, decode, encode, invalid

LIMIT: Final = 6.0
"""The derived codec with its checks may take so many times what bare struct takes."""
CALLS: Final = 50_000
ROUNDS: Final = 7

RAW: Final = encode(Frame(3, 1_700_000_000_000_000, 500, bid_price=12.75, required_energy_amount=5.4))


def bare() -> bytes:
    """What any codec costs at least."""
    return LAYOUT.pack(*LAYOUT.unpack(RAW))


def checked() -> bytes:
    """What a node does with a frame."""
    frame = decode(RAW)
    if invalid(frame) is not None:
        raise ValueError("the bench's own frame is refused")
    return encode(frame)


def best_us(call: Callable[[], bytes]) -> float:
    """The best of some rounds, µs a call: noise only ever adds."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def run() -> dict[str, float | bool]:
    """Both, their ratio, and whether it is within LIMIT."""
    bare_us, checked_us = best_us(bare), best_us(checked)
    ratio = checked_us / bare_us
    return {
        "bare_us": round(bare_us, 3),
        "checked_us": round(checked_us, 3),
        "ratio": round(ratio, 2),
        "ok": ratio <= LIMIT,
    }
