"""The theory experiment: before anything is claimed of competition, the mechanisms must do what is proven of them."""

from typing import Final

from pyarrow import Table

from lab.experiment import Experiment
from lab.theory.cells import cells
from lab.theory.checks import WITHIN, checks, theory_of
from lab.theory.figures import FIGURES, TABLES
from lab.theory.games import GAMES
from lab.theory.model import BEST_RESERVE, NO_RESERVE, ONE
from lab.theory.play import BIDDERS, GRID, GRID_GAMES, RESERVES, SEEDS, SIZES, run, tasks

MEANS: Final = len(BIDDERS) * len(RESERVES) * SEEDS * len(GAMES)
"""One for each mechanism, number of bidders, reserve and seed."""
MEANS_BY_CHANCE: Final = MEANS * (len(GAMES) - len(WITHIN)) // len(GAMES)

METHOD: Final = f"""
Buyers have independent private values, uniform on [0, 1] (1 is {ONE:,} µ/kWh; values are whole µ), and want one unit each; the owner
values what it keeps at 0. This is the case in which auction theory says exactly what must come out (V. Krishna, *Auction Theory*, ch. 2,
5 and 12; W. Vickrey 1961; R. Myerson, "Optimal auction design", 1981; J. Bulow and P. Klemperer, "Auctions versus negotiations", 1996).

Each mechanism is the shipped one and is played by a strategy of its own: *vickrey* and *uniform* (three units at once) truthfully,
*english* by the shipped conservative strategy, which bids the ask up to its value, *first-price* by the symmetric equilibrium,
b(v) = ((n − 1) · v + r · (r / v)ⁿ⁻¹) / n. The equilibrium knows how many rivals there are and how their values are distributed; real
buyers do not.

The same draws go through every mechanism, for 2 to 10 bidders, with and without a reserve, for three seeds. What theory predicts is
worked out from the values alone. Part of the draws also goes through the full cores, the battery's desk and the buyers, with every
frame and every commit in virtual time, and must come out the same.

Judged are winner and price of every draw (exactly; first-price to the rounding of prices to whole µ, english within its increment
of 1 % of the range), every mean (within four of the standard errors that theory expects; english with one increment more), revenue
equivalence on paired draws, and one more bidder against the best reserve. Myerson's reserve is judged against a grid of {len(GRID)}
reserves, 0 (no reserve) to {max(GRID) / ONE:g} in steps of 0.1, on the same draws: in {" and ".join(GRID_GAMES)}, for
{" and ".join(str(count) for count in SIZES["full"].grid_bidders)} bidders in full, {SIZES["quick"].grid_bidders[0]} in quick.
A best reserve between two of these would not be seen.

Of the {MEANS} means judged, those of english have an increment to spare; of the other {MEANS_BY_CHANCE} chance alone would put one
beyond four standard errors in about one run of a hundred. All statements must hold together, so that their number calls for no correction.

Last, four deviations are planted; a check that does not find them is worth nothing. They are played by the mechanisms alone, not by the
cores: what they test is whether these checks see what is wrong, wherever it was played.
"""


def said(table: Table) -> str:
    """What the numbers say."""
    played = cells(table, "mean", by_seed=False)
    auctions = sum(sum(cell.draws for cell in cells(table, part)) for part in ("mean", "grid"))
    through = sum(cell.draws for cell in cells(table, "cores"))
    furthest = max(abs(cell.mean - theory_of(cell)) for cell in played)
    mean = {(cell.bidders, cell.reserve_micro_per_kwh): cell.mean for cell in played if cell.mechanism == "english"}
    seeds = ", ".join(str(seed) for seed in sorted({cell.seed for cell in cells(table, "mean")}))
    few, many = min(bidders for bidders, _ in mean), max(bidders for bidders, _ in mean)
    added = {count: mean[count, BEST_RESERVE] - mean[count, NO_RESERVE] for count in (few, many)}
    return f"""{auctions:,} auctions were held by the mechanisms alone and {through:,} of them by the full cores as well (seeds {seeds}).
No mean over all seeds is further from theory than {furthest:.4f} of the range of values. In the english auction {few} bidders bring
{mean[few, NO_RESERVE]:.3f} of the range per lot offered and {many} bring {mean[many, NO_RESERVE]:.3f}; Myerson's reserve adds
{added[few]:.3f} to the first and {added[many]:.3f} to the second."""


THEORY: Final = Experiment(
    name="theory",
    title="Theory first",
    question="Do the mechanisms, alone and inside the full cores, do exactly what auction theory proves of them?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=FIGURES,
    tables=TABLES,
    method=METHOD.strip(),
    said=said,
)
EXPERIMENTS: Final = (THEORY,)
