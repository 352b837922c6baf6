"""The same lots by the mechanism alone and through the full cores: what the laboratory says of lots that one auction sells holds for both.

Lots that take several auctions, one for what is left of the one before, are `lab.play`'s alone: they are not compared.
"""

import random
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import Wh
from lab.bidding import AUCTIONS, TAKING
from lab.cores import Sold, is_one_auction, levelled, sold
from lab.drawing import LOOKS, QUIET, axes_of
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.ledger import TARIFFS
from lab.play import Demand, Rules, sell
from lab.shown import CENT
from lab.tape import MOST_BUYERS, TapeLot, recorded_tape

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (1, 6), "full": (19, 1)}
"""(drawings, every which of their lots)."""
COUNTS: Final = (1, 2, 3, 5, 10)
DEMANDS: Final[tuple[Demand, ...]] = ("split", "added")
PLAYS_SAME: Final = (*AUCTIONS, TAKING[0])


def tasks(scale: Scale, seed: int) -> list[Task]:
    """One drawing each."""
    count, every = SIZES[scale]
    return [Task(f"{drawing:03d}", (seed, drawing, every)) for drawing in range(count)]


def run(seed: int, drawing: int, every: int) -> list[Row]:
    """Of the lots worth bidding for the first and every `every`-th, both ways."""
    lots = [levelled(lot) for lot in recorded_tape(seed, drawing).lots if max(lot.values) >= TARIFFS.base][::every]
    rows: list[Row] = []
    for play in PLAYS_SAME:
        for demand in DEMANDS:
            for buyers in COUNTS:
                rules = Rules(play, buyers, demand)
                rows += [_row(lot, rules, index) for index, lot in enumerate(lots) if is_one_auction(lot, rules)]
    return rows


def _row(lot: TapeLot, rules: Rules, index: int) -> Row:
    awards = sell(lot, TARIFFS.base, rules, random.Random(0))
    alone = sorted(Sold(int(award.bid.bidder), award.energy, award.paid) for award in awards)
    whole = sold(lot, TARIFFS.base, rules)
    return {
        "play": rules.play,
        "demand": rules.demand,
        "buyers": rules.buyers,
        "cluster": lot.cluster,
        "lot": index,
        "alone": str([tuple(map(int, sale)) for sale in alone]),
        "cores": str([tuple(map(int, sale)) for sale in whole]),
        "equal": alone == whole,
    }


def _counted(table: pa.Table) -> dict[str, tuple[int, int]]:
    """By play: lots, and how many of them are equal."""
    counts: dict[str, tuple[int, int]] = {}
    for row in table.to_pylist():
        lots, equal = counts.get(row["play"], (0, 0))
        counts[row["play"]] = lots + 1, equal + row["equal"]
    return counts


def checks(table: pa.Table) -> list[Check]:
    """Every lot, to the Wh and the µ."""
    return [
        Check(
            f"{play}: the full cores sell every lot as the mechanism alone does",
            lots == equal,
            f"{equal} of {lots} lots",
        )
        for play, (lots, equal) in _counted(table).items()
    ]


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Price against price."""
    axes = axes_of(canvas, x="price by the mechanism alone, c/kWh", y="price through the full cores, c/kWh")
    for play in PLAYS_SAME:
        pairs = [
            (_first_price(row["alone"]), _first_price(row["cores"]))
            for row in table.to_pylist()
            if row["play"] == play and row["alone"] != "[]" and row["cores"] != "[]"
        ]
        colour, marker, _ = LOOKS[play]
        axes.plot(*zip(*pairs, strict=True), marker, color=colour, fillstyle="none", label=play, rasterized=True)
    ends = axes.get_xlim()
    axes.plot(ends, ends, color=QUIET, linewidth=1, zorder=0, label="equal prices")
    axes.legend()


def _first_price(sales: str) -> float:
    """Of the first sale of such a cell, c/kWh."""
    return int(sales[2 : sales.index(")")].split(",")[2]) / CENT


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """By play."""
    return [(play, str(lots), str(equal)) for play, (lots, equal) in _counted(table).items()]


def said(table: pa.Table) -> str:
    """How many."""
    lots = table.num_rows
    equal = sum(table["equal"].to_pylist())
    return f"""{equal} of {lots} lots were sold to the same buyers, in the same amounts, at the same price to the µ by the shipped
desk and buyers, with their sessions, journals and promises in a simulated network, as by the mechanism alone.

Lots that take several auctions (demand split among {_in_a_row()} or more aggregators, all mechanisms but uniform) are not
compared: what is left becomes the next lot in `lab/play.py` as it does at the desk, but that part of it is not tested here."""


def _in_a_row() -> int:
    """From so many buyers on nobody wants a whole lot."""
    energy = Wh(1000)
    return next(count for count in range(1, MOST_BUYERS + 1) if Rules("vickrey", count).wanted(energy) < energy)


EQUALITY: Final = Experiment(
    name="cores",
    title="The mechanism alone and the full cores",
    question="Do the daemons' cores sell a lot to whom, and for what, the mechanism alone does?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure(
            "prices",
            "The same lots, both ways",
            draw,
            "One point per lot that is sold both ways. Equal prices lie on the diagonal.",
        ),
    ),
    tables=(TableOf("equal", "Lots compared", ("play", "lots", "equal"), rows, "Buyers, Wh and µ/kWh."),),
    method="""Each lot of the recorded days that is worth bidding for (in quick every sixth) is sold twice: by `lab/play.py`,
which knows mechanisms and strategies alone, and by `lab/cores.py`, which builds the daemons' cores from the daemons'
settings and runs them in `sim.World`. Compared are lots that one auction sells to the end, because a daemon's settings hold one value
for all of its auctions. Everybody is equally far away, so that english bids come in the same order.""",
    said=said,
)
EXPERIMENTS: Final = (EQUALITY,)
