"""What the owners earn per kWh that they could have sold: the number that the project exists for. Pure integers at the end.

Offered is given from outside, so that it is the same whoever buys: what the batteries may sell at the beginning, and all that
the roofs yield, both as energy at the terminals. What is not sold is fed in; what is sold wears the battery.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from bess_node.supply import supply_wh
from etp.effects import Row
from etp.units import WH_PER_KWH, Micro, MicroPerKwh, Wh, money
from lab.scenario import Scenario


class Sales(NamedTuple):
    """Confirmed trades, summed."""

    trades: int
    energy: Wh
    paid: Micro

    @property
    def price(self) -> MicroPerKwh | None:
        """Volume-weighted, µ/kWh; None without a sale."""
        return MicroPerKwh(_per_kwh(self.paid, self.energy)) if self.energy else None


class Tariffs(Protocol):
    """What selling is measured by."""

    @property
    def feed_in(self) -> MicroPerKwh:
        """What the grid pays for what nobody buys, µ/kWh."""

    @property
    def wear(self) -> MicroPerKwh:
        """What a sold kWh costs the battery, µ/kWh."""


def sales_of(trades: Iterable[Row]) -> Sales:
    """Sum of trade rows."""
    count = energy = paid = 0
    for row in trades:
        count += 1
        energy += int(str(row.body["energy_wh"]))
        paid += int(str(row.body["paid_micro"]))
    return Sales(count, Wh(energy), Micro(paid))


def offered_wh(scenario: Scenario) -> Wh:
    """What all batteries could sell in these days at most, Wh at the terminals."""
    return Wh(sum(supply_wh(battery, scenario.start_s, scenario.end_s) for battery in scenario.batteries))


def earned_micro(sales: Sales, offered: Wh, tariffs: Tariffs) -> Micro:
    """Paid − wear × sold + feed-in × unsold, µ."""
    unsold = Wh(offered - sales.energy)
    return Micro(sales.paid - money(tariffs.wear, sales.energy) + money(tariffs.feed_in, unsold))


def income_micro_per_kwh(sales: Sales, offered: Wh, tariffs: Tariffs) -> MicroPerKwh:
    """What is earned per kWh offered, µ/kWh, rounded half to even."""
    return MicroPerKwh(_per_kwh(earned_micro(sales, offered, tariffs), offered))


def _per_kwh(amount: int, energy: Wh) -> int:
    # Half to even in integers, as money() rounds.
    quotient, rest = divmod(amount * WH_PER_KWH, energy)
    return quotient + (2 * rest > energy or (2 * rest == energy and quotient % 2 == 1))
