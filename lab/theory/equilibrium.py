"""The equilibrium of the first-price auction: how much less than its value a buyer bids who believes that all others do the same.

With n buyers whose values are independent and uniform on [0, 1], and a reserve r ≤ v, the symmetric equilibrium bid is the
expected highest rival value (or the reserve, where that is higher) given that it is below one's own (Krishna, *Auction Theory*,
§2.3 and §2.5, propositions 2.2 and 2.5):

    b(v) = E[max(Y, r) | Y < v] = r · G(r)/G(v) + ∫ y g(y)/G(v) dy from r to v,  G(y) = yⁿ⁻¹
         = ((n − 1) · v + r · (r / v)ⁿ⁻¹) / n

It rests on knowing n, the distribution and the reserve, which in a real market nobody does: it is the lab's, not the daemon's.
"""

import random
from dataclasses import dataclass

from aggregator_node.view import LotView
from etp.units import MicroPerKwh, divide_half_even


@dataclass(frozen=True, slots=True)
class Equilibrium:
    """What a buyer bids in a first-price lot with `bidders` buyers (itself included) and a reserve that it is told by the ask."""

    bidders: int

    def __call__(self, view: LotView, rng: random.Random) -> MicroPerKwh:  # noqa: ARG002 - one interface for all
        """b(value), rounded half to even to whole µ."""
        return equilibrium_bid(view.value, reserve=view.ask, bidders=self.bidders)


def equilibrium_bid(value: MicroPerKwh, *, reserve: MicroPerKwh, bidders: int) -> MicroPerKwh:
    """b(v), in whole numbers of any size, so that nothing is lost before the last rounding. Raises ValueError: v < r, n < 1."""
    if bidders < 1 or not 0 <= reserve <= value or value < 1:
        raise ValueError(
            f"bidders {bidders}, reserve {reserve}, value {value}; expected ≥ 1, ≥ 0, and ≥ the reserve and 1"
        )
    others = bidders - 1
    numerator = others * value**bidders + reserve**bidders
    return MicroPerKwh(divide_half_even(numerator, bidders * value**others))
