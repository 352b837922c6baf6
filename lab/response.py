"""The best reply to others who do not change: found by search over a family of bids, not by formula.

A reply is a tuple of numbers, one per situation (how high the value is, which part of the lot this is). Where situations do
not touch each other the best number of each is the best reply; where they do, one after the other is improved until none can be (a
coordinate ascent: a local best, so that what it gains is a lower bound of what the best reply gains).
"""

from collections.abc import Callable, Sequence
from typing import Final

Reply = tuple[float, ...]
Score = Callable[[Reply], float]
PASSES: Final = 3


def climb(score: Score, grids: Sequence[Sequence[float]], start: Reply, *, passes: int = PASSES) -> tuple[Reply, float]:
    """The best reply found and its score: each number in turn is set to the best of its grid, others held, until nothing moves.

    The start is scored too, so the result is never worse than it. Raises ValueError: start and grids differ in length.
    """
    if len(start) != len(grids):
        raise ValueError(f"start has {len(start)} numbers for {len(grids)} grids; one each")
    best, highest = start, score(start)
    for _ in range(passes):
        before = best
        for index, grid in enumerate(grids):
            for number in grid:
                tried = (*best[:index], number, *best[index + 1 :])
                if tried == best:
                    continue
                reached = score(tried)
                if reached > highest:
                    best, highest = tried, reached
        if best == before:
            break
    return best, highest
