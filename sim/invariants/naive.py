"""Who must have won, and at what price: each rule of design §4 once more, as plainly as it can be said, sharing no code with `market`.

It is slow and sees a lot once, at its close. Knows nothing of frames, journals or time.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

DEAREST: Final = 100_000_000
"""What a frame can carry, µ/kWh: the ask of an english lot stops there (design §3, 10,000 c/kWh)."""


class Stood(NamedTuple):
    """A bid that stood at the close: price in µ/kWh, energy in Wh, running number at the battery."""

    bidder: int
    price: int
    energy: int
    arrival: int


class Won(NamedTuple):
    """What must be promised: Wh at µ/kWh."""

    bidder: int
    energy: int
    paid: int


def best_first(bids: Sequence[Stood]) -> list[Stood]:
    """The better price, then the earlier arrival, then the lower device id."""
    return sorted(bids, key=lambda bid: (-bid.price, bid.arrival, bid.bidder))


def _own_price(bids: Sequence[Stood], energy: int, reserve: int) -> list[Won]:  # noqa: ARG001 - one form for all
    best = best_first(bids)[0]
    return [Won(best.bidder, best.energy, best.price)]


def _second_price(bids: Sequence[Stood], energy: int, reserve: int) -> list[Won]:  # noqa: ARG001
    best, *others = best_first(bids)
    return [Won(best.bidder, best.energy, max([reserve, *(bid.price for bid in others)]))]


def _one_price(bids: Sequence[Stood], energy: int, reserve: int) -> list[Won]:
    """Best prices first until the lot is full; the price is the best one left unserved, never below the reserve."""
    given: dict[int, int] = {}
    left = energy
    for bid in best_first(bids):
        given[bid.bidder] = min(bid.energy, left)
        left -= given[bid.bidder]
    winners = [bid for bid in best_first(bids) if given[bid.bidder]]
    unserved = [bid.price for bid in bids if given[bid.bidder] < bid.energy and winners != [bid]]
    return [Won(bid.bidder, given[bid.bidder], max([reserve, *unserved])) for bid in winners]


RULES: Final[dict[str, Callable[[Sequence[Stood], int, int], list[Won]]]] = {
    "english": _own_price,
    "first-price": _own_price,
    "vickrey": _second_price,
    "uniform": _one_price,
    "first-above-reserve": _own_price,
}
"""(bids, the lot's Wh, its reserve) → who wins, best first. At least one bid stands."""
SEALED: Final = frozenset({"first-price", "vickrey", "uniform"})
"""Where a bid may be withdrawn, and a Reject takes the bid before with it."""


def needed(leader: Stood | None, increment: int) -> int:
    """The least price that leads an english lot, beside its reserve: of equal prices the earlier stays."""
    if leader is None:
        return 0
    return max(min(leader.price + max(increment, 1), DEAREST), leader.price + 1)
