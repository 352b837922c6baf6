"""What each strategy gained in the tournament, and the best of all that was tried: read from its rows, nothing is judged."""

from itertools import product
from typing import Final, NamedTuple

import pyarrow as pa

from etp.units import WH_PER_KWH
from lab.experiment import Row
from lab.statistics import Interval, difference, ratio
from lab.tournament import BY_SHARES, EQUILIBRIUM, FIELDS, FIXED, MECHANISMS, ROOMS, SEARCHED, STRATEGY

REPLY: Final = "best found"
"""The best of all that was tried on a tape, so that nothing that is shown gains more; what was not tried may."""
Key = tuple[str, str, str]
"""Mechanism, room, field."""
SETTINGS: Final[tuple[Key, ...]] = tuple(product(MECHANISMS, ROOMS, FIELDS))


class Gains(NamedTuple):
    """What a seat gained, by tape, µ; and what was offered, Wh."""

    micro: tuple[int, ...]
    offered: tuple[int, ...]

    def per_kwh(self) -> Interval:
        """µ per kWh offered."""
        return ratio([WH_PER_KWH * gained for gained in self.micro], self.offered)

    def part_of(self, best: "Gains") -> Interval:
        """As a share of what the best gains on the same tapes; that must be above 0."""
        return ratio(self.micro, best.micro)

    def estimate(self) -> float:
        """The same without its error, also of one tape."""
        return WH_PER_KWH * sum(self.micro) / sum(self.offered)

    def over(self, other: "Gains") -> Interval:
        """How much more than another on the same tapes."""
        ours, theirs = ([WH_PER_KWH * gained for gained in gains.micro] for gains in (self, other))
        return difference(ours, theirs, self.offered)

    def on(self, tapes: int) -> "Gains":
        """The first tapes only."""
        return Gains(self.micro[:tapes], self.offered[:tapes])


Found = dict[tuple[Key, str], Gains]


def read(table: pa.Table) -> Found:
    """By setting and strategy, with the best found; a reply searched alone is put together from what each share brought in each third."""
    gathered: dict[tuple[Key, str], list[Row]] = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["cluster"]):
        setting = (row["mechanism"], row["room"], row["field"])
        gathered.setdefault((setting, row["strategy"]), []).append(row)
    found = {
        (setting, name): _by_thirds(rows) if setting[1] == "alone" and name in SEARCHED else _plain(rows)
        for (setting, name), rows in gathered.items()
    }
    return found | {(setting, REPLY): _best(found, setting) for setting in SETTINGS}


def _plain(rows: list[Row]) -> Gains:
    return Gains(tuple(int(row["gained_micro"]) for row in rows), tuple(int(row["offered_wh"]) for row in rows))


def _by_thirds(rows: list[Row]) -> Gains:
    """In each third of the value the share that gains most over all tapes."""
    by_share: dict[float, list[Row]] = {}
    for row in rows:
        by_share.setdefault(float(row["share"]), []).append(row)
    tapes = by_share[float(rows[0]["share"])]
    micro = [0] * len(tapes)
    for third in ("low_micro", "middle_micro", "high_micro"):
        best = max(by_share, key=lambda share: sum(int(row[third]) for row in by_share[share]))
        micro = [sum_ + int(row[third]) for sum_, row in zip(micro, by_share[best], strict=True)]
    return Gains(tuple(micro), tuple(int(row["offered_wh"]) for row in tapes))


def finders(found: Found, setting: Key) -> list[str]:
    """Whose reply is the best on each tape that was searched; of equals the one that is told most simply."""
    tried = [name for name in (EQUILIBRIUM, *FIXED, STRATEGY, *SEARCHED) if (setting, name) in found]
    tapes = range(len(found[setting, BY_SHARES].micro))
    return [max(tried, key=lambda name: found[setting, name].micro[tape]) for tape in tapes]


def _best(found: Found, setting: Key) -> Gains:
    """On each tape the best of all that was tried there."""
    best = tuple(found[setting, name].micro[tape] for tape, name in enumerate(finders(found, setting)))
    return Gains(best, found[setting, BY_SHARES].offered)


def share_of_best(found: Found, setting: Key, name: str = STRATEGY) -> Interval:
    """What a strategy gains of what the best reply found does, never more than all: both on the tapes that were searched."""
    best = found[setting, REPLY]
    return found[setting, name].on(len(best.micro)).part_of(best)


def share_of_equilibrium(found: Found, setting: Key) -> Interval:
    """What *intelligent* gains of what who bids as its rivals in equilibrium does: on all tapes."""
    return found[setting, STRATEGY].part_of(found[setting, EQUILIBRIUM])
