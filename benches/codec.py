"""Parse + all checks + serialize, beside a bare `struct` unpack + pack of the same bytes in the same run."""

import timeit
from collections.abc import Callable
from typing import Final

from benches.plan import Plan
from benches.report import Figure, Report
from etp.frame import LAYOUT, Frame, decode, encode, invalid

LIMIT: Final = 6.0
"""The derived codec with its checks may take so many times what bare struct takes."""
CALLS: Final = 50_000
QUICK_CALLS: Final = 500
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


def best_us(call: Callable[[], bytes], calls: int) -> float:
    """The best of some rounds, µs a call: noise only ever adds."""
    return min(timeit.repeat(call, number=calls, repeat=ROUNDS)) / calls * 1e6


def run(plan: Plan) -> Report:
    """Measure both and their ratio."""
    calls = plan.size(CALLS, QUICK_CALLS)
    bare_us, checked_us = best_us(bare, calls), best_us(checked, calls)
    return Report(
        f"a Bid of 84 bytes, the best of {ROUNDS} rounds of {calls:,}",
        [
            Figure("bare struct unpack + pack", round(bare_us, 3), "µs"),
            Figure("decode + all checks + encode", round(checked_us, 3), "µs"),
            Figure("ratio", round(checked_us / bare_us, 2), "×", most=LIMIT),
        ],
    )
