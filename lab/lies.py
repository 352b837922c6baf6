"""What lies brought, read from the rows of the audit: the best of them, chosen on one half of the tapes and judged on the other."""

from typing import Final, NamedTuple

import pyarrow as pa

from etp.units import WH_PER_KWH
from lab.experiment import Row
from lab.statistics import Interval, difference, ratio

HALVES: Final = 2
"""What is best is chosen on every other tape and judged on the rest, and the other way round: nothing is judged where it was chosen."""
THIRDS: Final = ("low_micro", "middle_micro", "high_micro")


class Lie(NamedTuple):
    """What is told instead of the truth, which is 1 of both."""

    share: float
    """Of the way from the reserve to the equilibrium bid; of a reserve, from the base to the price."""
    asks: float
    """Of what is wanted."""


class Case(NamedTuple):
    """A mechanism with so many buyers: its rows, by liar, share and part that is asked for, each by tape."""

    buyers: int
    rows: dict[tuple[str, float, float], list[Row]]

    def sums(self, liar: str, share: float, *columns: str, asks: float = 1.0) -> list[int]:
        """By tape."""
        return [sum(int(row[column]) for column in columns) for row in self.rows[liar, share, asks]]

    @property
    def offered(self) -> list[int]:
        """By tape, Wh."""
        return self.sums("nobody", 1.0, "offered_wh")

    @property
    def honest(self) -> list[int]:
        """What the bidder gains honestly, by tape, µ."""
        return self.sums("nobody", 1.0, *THIRDS)

    def per_kwh(self, liar: str, share: float, *columns: str) -> Interval:
        """µ per kWh offered."""
        return ratio([WH_PER_KWH * one for one in self.sums(liar, share, *columns)], self.offered)

    def efficiency(self) -> float:
        """Of the welfare that could have been."""
        return sum(self.sums("nobody", 1.0, "welfare_micro")) / sum(self.sums("nobody", 1.0, "best_micro"))

    def count(self, column: str) -> int:
        """Of all honest tapes."""
        return sum(self.sums("nobody", 1.0, column))

    def more_than_honest(self, factor: float) -> Interval:
        """What a bidder gains by one factor throughout, as a share of what it gains honestly."""
        return self._of_honest(self.sums("bidder", factor, *THIRDS))

    def chosen(self, liar: str, column: str, half: int, *, less: bool = False) -> Lie:
        """The share, and with `less` the part that is asked for, that bring most on the tapes of the other half."""
        lies = [Lie(share, asks) for name, share, asks in self.rows if name == liar and (less or asks == 1.0)]
        return max(lies, key=lambda lie: sum(self.sums(liar, lie.share, column, asks=lie.asks)[1 - half :: HALVES]))

    def crossed(self, liar: str, column: str, *, less: bool = False) -> list[int]:
        """By tape: what that brings which was chosen on the other half."""
        brought = [0] * len(self.offered)
        for half in range(HALVES):
            lie = self.chosen(liar, column, half, less=less)
            brought[half::HALVES] = self.sums(liar, lie.share, column, asks=lie.asks)[half::HALVES]
        return brought

    @property
    def divided(self) -> bool:
        """Whether lies about the quantity were tried."""
        return any(asks < 1.0 for *_, asks in self.rows)

    def lie_gains(self, *, less: bool = False) -> Interval:
        """What a bidder gains by its best lie, by third of its range, as a share of what it gains honestly; `less`: also about how much
        it wants.
        """
        thirds = (self.crossed("bidder", third, less=less) for third in THIRDS)
        return self._of_honest([sum(parts) for parts in zip(*thirds, strict=True)])

    def owner_loses(self, lie: Lie) -> Interval:
        """What a bidder's lie costs the owner, µ per kWh offered."""
        sums = self.sums("nobody", 1.0, "earned_micro"), self.sums("bidder", lie.share, "earned_micro", asks=lie.asks)
        honest, lying = ([WH_PER_KWH * one for one in by_tape] for by_tape in sums)
        return difference(honest, lying, self.offered)

    def asked_for(self) -> str:
        """The parts of what it wants that are best asked for, as chosen for any third on either half."""
        lies = {self.chosen("bidder", third, half, less=True) for third in THIRDS for half in range(HALVES)}
        return ", ".join(f"{asks:.2f}" for asks in sorted({lie.asks for lie in lies}))

    def _of_honest(self, gained: list[int]) -> Interval:
        """How much more than honestly, divided by the mean of that, since on a short tape the bidder may win nothing at all."""
        gain = difference(gained, self.honest, self.offered)
        unit = sum(self.honest) / sum(self.offered)
        return Interval(gain.estimate / unit, gain.low / unit, gain.high / unit, gain.error / unit, gain.clusters)

    def reserve_gains(self) -> Interval:
        """What the best reserve earns more than the one at cost, µ per kWh offered."""
        sums = (self.crossed("reserve", "earned_micro"), self.sums("nobody", 1.0, "earned_micro"))
        ours, theirs = ([WH_PER_KWH * one for one in by_tape] for by_tape in sums)
        return difference(ours, theirs, self.offered)

    def best_reserves(self) -> str:
        """The shares of the way at which it is, as chosen on either half."""
        chosen = {self.chosen("reserve", "earned_micro", half).share for half in range(HALVES)}
        return ", ".join(f"{share:.2f}" for share in sorted(chosen))


Found = dict[tuple[str, str, int], Case]


def read(table: pa.Table) -> Found:
    """By mechanism, demand and number of buyers."""
    found: Found = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["tape"]):
        case = found.setdefault((row["mechanism"], row["demand"], row["buyers"]), Case(row["buyers"], {}))
        case.rows.setdefault((row["liar"], row["share"], row["asks"]), []).append(row)
    return found
