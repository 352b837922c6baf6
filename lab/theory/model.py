"""The model of the textbook in the market's units: n buyers, each with a value of its own for one unit lot.

Values are independent and uniform on [0, 1], nobody knows another's, the seller values what it keeps at nothing (V. Krishna,
*Auction Theory*, ch. 2). 1 is `ONE` µ/kWh here and every value a whole number of µ from 1 to `ONE`: what that rounds off is at
most a millionth of the range. A lot is one unit for one buyer; `uniform` sells several of them at once.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from etp.units import MicroPerKwh, Wh
from market.auction import LotTerms

ONE: Final = MicroPerKwh(1_000_000)
"""The value 1, µ/kWh (1 USDC per kWh; only the scale of the tables depends on it)."""
INCREMENT: Final = MicroPerKwh(ONE // 100)
"""English: 1 % of the range, µ/kWh."""
NO_RESERVE: Final = MicroPerKwh(1)
"""The least reserve that a lot can have: what the books call none."""
BEST_RESERVE: Final = MicroPerKwh(ONE // 2)
"""Myerson's for a seller whose own value is 0: where r = (1 − F(r)) / f(r), 1/2 for values uniform on [0, 1]
(R. Myerson, "Optimal auction design", 1981; Krishna §2.5)."""
UNIT: Final = Wh(1000)
"""A unit lot, and what every buyer wants, Wh."""
DELAY_S: Final = 0.010
"""How long every message takes, s. Each reply takes two of them, so that an english bid comes every 20 ms at the most: slow
enough for a buyer's own pace (80 bids at once, 40 a second) to last for all the steps of a lot."""
REPLY_S: Final = 2 * DELAY_S
"""From an answer at the battery to the arrival of the bid that it causes, s."""
CLOSING_S: Final = 0.2
"""From the first bid (sealed) or the last better one (english) to the close, s."""
MAX_S: Final = 60.0
"""The longest english lot, s: never reached, since the whole range is climbed in about 2 s."""

Ints: TypeAlias = NDArray[np.int64]
"""Whole µ/kWh: values or payments, a row per draw and a column per buyer."""


def terms_of(reserve: MicroPerKwh, lots: int) -> LotTerms:
    """What is sold: `lots` units at once, in the times of this model."""
    return LotTerms(Wh(lots * UNIT), reserve, INCREMENT, CLOSING_S, MAX_S, hide_reserve=False)


def drawn(seed: int, bidders: int, draws: Sequence[int]) -> Ints:
    """The values of draws number `draws[0]` up to, not including, `draws[1]`: the same ones whoever asks for which part.

    Each block of `BLOCK` draws has a stream of its own (numpy's PCG64, seeded by seed, number of buyers and number of the block).
    """
    first, end = draws
    blocks = [_block(seed, bidders, number) for number in range(first // BLOCK, -(-end // BLOCK))]
    offset = first // BLOCK * BLOCK
    return np.concatenate(blocks)[first - offset : end - offset]


BLOCK: Final = 1000
"""Draws per stream of random numbers."""


def _block(seed: int, bidders: int, number: int) -> Ints:
    rng = np.random.default_rng(np.random.SeedSequence((seed, bidders, number)))
    return rng.integers(1, ONE, size=(BLOCK, bidders), endpoint=True, dtype=np.int64)
