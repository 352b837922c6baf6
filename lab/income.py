"""What the owners earn per kWh that they could have sold: the number that the project exists for. Pure integers at the end.

Offered is given from outside, so that it is the same whoever buys: what the batteries may sell at the beginning, and all that
the roofs yield, both as energy at the terminals. What is not sold is fed in; what is sold wears the battery.
"""

from collections.abc import Iterable
from typing import NamedTuple

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


def income_micro_per_kwh(sales: Sales, offered: Wh, scenario: Scenario) -> MicroPerKwh:
    """(paid − wear × sold + feed-in × unsold) / offered, µ/kWh, rounded half to even."""
    unsold = Wh(offered - sales.energy)
    earned = sales.paid - money(scenario.wear, sales.energy) + money(scenario.feed_in, unsold)
    return MicroPerKwh(_per_kwh(earned, offered))


def _per_kwh(amount: int, energy: Wh) -> int:
    # Half to even in integers, as money() rounds.
    quotient, rest = divmod(amount * WH_PER_KWH, energy)
    return quotient + (2 * rest > energy or (2 * rest == energy and quotient % 2 == 1))
