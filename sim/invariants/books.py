"""What the invariants are about: all journals of a market, what each node may do at most, and how a fault is said."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from etp.effects import BidRow, Row
from etp.units import WH_PER_KWH, Micro, MicroPerKwh, Wh


class Violation(NamedTuple):
    """One thing that must not be."""

    name: str
    """A key of `INVARIANTS`."""
    device_id: int
    said: str

    def __str__(self) -> str:
        return f"{self.name} at {self.device_id}: {self.said}"


class Stock(NamedTuple):
    """What a battery without a charger held at first, so that every Wh can be accounted for."""

    terminal_wh: float
    """Energy at the terminals that its cells were worth."""
    efficiency: float
    """Energy at the terminals per stored energy."""


@dataclass(frozen=True, slots=True)
class BatteryBooks:
    """A battery's journal, and what it could sell."""

    device_id: int
    rows: Sequence[Row]
    bids: Sequence[BidRow]
    reserve: MicroPerKwh
    """The least reserve that it ever had."""
    mechanism: str
    supply: Callable[[int], Wh]
    """Energy at the terminals that it could have had up to a time (µs since the epoch), at most, Wh."""
    increment: MicroPerKwh = MicroPerKwh(1)
    """English: by how much the next bid must be better."""
    dearest: MicroPerKwh | None = None
    """The greatest reserve that it ever had; None: nobody knows."""
    min_lot: Wh | None = None
    """What a bid must ask for at least, unless less is left, Wh; None: nobody knows."""
    signed: bool = False
    settles: bool = False
    """Its trades are paid on a chain."""
    stock: Stock | None = None
    """None: it is charged, or nobody knows."""


@dataclass(frozen=True, slots=True)
class BuyerBooks:
    """A buyer's journal, and what it may buy."""

    device_id: int
    rows: Sequence[Row]
    demand: Wh
    budget: Micro | None = None
    """None: any."""
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Books:
    """All journals of a market. `promises` are a battery's promise rows by lot, in journal order."""

    batteries: Sequence[BatteryBooks]
    buyers: Sequence[BuyerBooks]
    excused: Collection[int] = ()
    """Devices of which nothing is asked: liars, and those whose journal was put back to an older one."""
    promises: dict[int, dict[int, list[Row]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for battery in self.batteries:
            lots: dict[int, list[Row]] = defaultdict(list)
            for row in battery.rows:
                if row.kind == "promise":
                    lots[row.lot_id].append(row)
            self.promises[battery.device_id] = lots


def whole(row: Row, key: str) -> int:
    """An integer of a row's body."""
    return int(str(row.body[key]))


def terms(row: Row) -> tuple[int, int]:
    """Energy (Wh) and price (µ/kWh) of a promise or trade."""
    return whole(row, "energy_wh"), whole(row, "price_micro_per_kwh")


def cost(energy: int, price: int) -> int:
    """µ that Wh cost at µ/kWh, half to even (design §2): by fractions, so that it shares nothing with what it judges."""
    return round(Fraction(energy * price, WH_PER_KWH))


def promised_by(row: Row) -> int:
    """By how much a battery's row changes what is promised, Wh: what is not delivered, for want of it, is free again."""
    if row.kind == "promise":
        energy = whole(row, "energy_wh")
        return {"reserved": energy, "released": -energy}.get(row.state, 0)
    if row.kind == "energy" and row.state == "short":
        return whole(row, "delivered_wh") - whole(row, "energy_wh")
    return 0


def priced(device_id: int, row: Row) -> Iterator[Violation]:
    """A trade costs price × energy, half to even."""
    energy, price = terms(row)
    right = cost(energy, price)
    if whole(row, "paid_micro") != right:
        said = f"{energy} Wh at {price} µ/kWh cost {right} µ, not {row.body['paid_micro']}"
        yield Violation("money", device_id, said)
