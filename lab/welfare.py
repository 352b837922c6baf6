"""Who has the energy in the end, what it is worth to them, and whether anybody lost by the sale."""

from collections.abc import Sequence
from dataclasses import dataclass

from etp.units import MicroPerKwh, Wh, money
from lab.experiment import Row
from lab.play import Rules
from lab.tape import TapeLot
from market.auction import Award


@dataclass(slots=True)
class Worth:
    """What sales did to those who took part, summed over one cluster."""

    welfare: int = 0
    """What the energy was worth to its buyers, above what it is worth to the owner, µ."""
    best: int = 0
    """The most that this could have been."""
    too_dear: int = 0
    """Awards above the winner's value."""
    too_cheap: int = 0
    """Awards below feed-in and wear: the owner had better not sold."""

    def add(self, lot: TapeLot, awards: Sequence[Award], rules: Rules, base: MicroPerKwh) -> None:
        """One lot of the tape, whose energy is worth `base` to its owner."""
        self.best += best_welfare(lot, rules, base)
        for award in awards:
            value = lot.values[int(award.bid.bidder)]
            self.welfare += money(MicroPerKwh(value - base), award.energy)
            self.too_dear += award.paid > value
            self.too_cheap += award.paid < base

    def row(self) -> Row:
        """As cells."""
        return {
            "welfare_micro": self.welfare,
            "best_micro": self.best,
            "too_dear": self.too_dear,
            "too_cheap": self.too_cheap,
        }


def best_welfare(lot: TapeLot, rules: Rules, base: MicroPerKwh) -> int:
    """The energy to those who value it most, as much as each wants, and none below what it is worth to the owner: µ above that."""
    left, each, total = lot.energy, rules.wanted(lot.energy), 0
    for value in sorted(lot.values[: rules.buyers], reverse=True):
        part = Wh(min(left, each))
        if value <= base or part <= 0:
            break
        total += money(MicroPerKwh(value - base), part)
        left = Wh(left - part)
    return total
