"""What the report does not show: said once, beside the answers."""

from collections.abc import Collection
from typing import Final

from lab.ledger import TARIFFS
from lab.rivals import LOTS
from lab.scenario import MARGIN_PERCENT
from lab.shown import CENT

TITLE: Final = "Limits of this evidence"
TUNED: Final = 1
"""The seed of the draws on which the constants of `intelligent` and `optimal` were chosen."""

LIMITS: Final = f"""What is shown holds for the market that is played here, which differs from others in this:

- **Values are a retail tariff's.** What a kWh is worth is a recorded consumer price (Agile, region D, with VAT and with the charge from
  16 to 19 h; its pence are read as cents), and synthetic years are made after it. No wholesale buyer can resell at that, so levels
  such as 8 or 12 c forecast nothing. What is compared is ways of selling at the same values.
- **Buyers are alike and independent.** Each keeps a margin of 0 to {MARGIN_PERCENT:.0f} %, uniform, drawn anew per buyer and lot:
  no risk that all share, no correlation, no buyer that is strong every day, no cost of taking part. Revenue equivalence and the
  equilibria rest on that.
- **Buyers know much:** how many they are, how margins are spread, and the reserve. What competition brings among buyers who use the
  shipped strategies instead, *intelligent* above all, is said for one seat of five only, in *tournament*.
- **Buyers ask for all they want.** In a uniform auction it can pay to ask for less, much more than any other price does; only *audit* and
  one case of *limits* look at that.
- **Nobody plays a long game.** Buyers do not collude over many lots, do not teach an owner's rule to ask for less, and no owner bids in
  its own auction under a second name, but for the single cases that *limits* and *audit* look at.
- **All together want {LOTS}** unless something else is said. How much of the gain a second buyer brings depends on that: see *When
  competition does not pay*.
- **Feed-in at {TARIFFS.feed_in / CENT:.1f} c and wear at {TARIFFS.wear / CENT:.1f} c are assumptions,** and not varied. What is fed in
  is charged no wear, though it leaves the battery too: that flatters feeding in by up to {TARIFFS.wear / CENT:.1f} c, against the
  hypothesis.
- **Lots are given beforehand,** one in each half-hour. What is not sold is fed in and not kept for a dearer hour, so that every way of
  selling is offered the same.
- **One battery at a time.** Owners do not compete with each other here; several batteries at once are in the simulator and the demo only.
- **The recorded days are two days.** Their intervals are over margins drawn anew; where days differ, prices and weather are synthetic."""

SAME_DRAWS: Final = (
    "Synthetic tapes of one seed are the same draws in all experiments, which therefore do not confirm each other."
)


def caveats(seeds: Collection[int]) -> str:
    """The section's text for a report of results with these seeds."""
    shown = ", ".join(str(seed) for seed in sorted(seeds))
    tuned = f"Constants of the strategy *intelligent* and of the reserve policy *optimal* were chosen on draws of seed {TUNED}"
    fair = (
        f"{tuned}, so what is said of these two is in their favour; another seed is fairer."
        if TUNED in seeds
        else f"{tuned}, so that these draws had no part in it."
    )
    return f"{LIMITS}\n- **This is seed {shown}.** {fair} {SAME_DRAWS}"
