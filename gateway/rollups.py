"""The sums of the store added up along fewer dimensions: what statistics of all batteries, or of all hours, read.

`tables.sums` has a row for almost every trade where many batteries trade once an hour; these levels have as many as there
are hours, buyers or days of batteries. Keys and values as they are stored (`tables.U64` signed), so that a transaction adds them as
it adds its sums.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
ALL_TIME: Final = -1
"""The span of a level that has one row a member, beside its days."""
NOBODY: Final = 0
"""The member of a level that is of all."""
ANY_BIDDERS: Final = -1
"""`bidders` of a level that does not tell them apart; 0 means that they are not known."""

HOURS: Final = "hours"
"""All trades, by hour and bidders."""
BUYER_HOURS: Final = "buyer_hours"
"""An aggregator's, by hour and bidders."""
BATTERIES: Final = "batteries"
"""A battery's, by day and of all time."""
AGGREGATORS: Final = "aggregators"
"""An aggregator's, by day and of all time."""


class SumKey(NamedTuple):
    """The key of `tables.sums`."""

    hour_us: int
    battery: int
    aggregator: int
    bidders: int


class RollupKey(NamedTuple):
    """The key of `tables.rollups`."""

    level: str
    member: int
    span_us: int
    bidders: int


def keys(found: SumKey) -> Iterator[RollupKey]:
    """Where a trade of these sums counts too."""
    hour_us, battery, aggregator, bidders = found
    day_us = hour_us // DAY_US * DAY_US
    yield RollupKey(HOURS, NOBODY, hour_us, bidders)
    yield RollupKey(BUYER_HOURS, aggregator, hour_us, bidders)
    for level, member in ((BATTERIES, battery), (AGGREGATORS, aggregator)):
        yield RollupKey(level, member, day_us, ANY_BIDDERS)
        yield RollupKey(level, member, ALL_TIME, ANY_BIDDERS)


def rolled_up(
    sums: Mapping[tuple[int, int, int, int], Sequence[float]],
) -> dict[RollupKey, list[float]]:
    """What a transaction's sums add to the rollups: measures in the order of the columns."""
    added: dict[RollupKey, list[float]] = {}
    for found, measures in sums.items():
        for key in keys(SumKey(*found)):
            before = added.get(key)
            added[key] = list(measures) if before is None else [a + b for a, b in zip(before, measures, strict=True)]
    return added
