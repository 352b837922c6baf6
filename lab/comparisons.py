"""What is asked of *intelligent* in the tournament: to gain more than each fixed strategy, or where little is to be had, nearly as much."""

from typing import Final, NamedTuple

from lab.experiment import Check
from lab.gains import SETTINGS, Found, Key
from lab.shown import CENT, UNIT
from lab.statistics import Interval
from lab.tournament import EQUILIBRIUM, FIXED, STRATEGY
from lab.wording import counted

AS_GOOD: Final = 0.1
"""Where little or nothing is to be had beyond a fixed strategy, to lose no more than this share of what that gains will do: it is
what learning the mechanism costs."""
CEILINGS: Final[dict[tuple[str, ...], str]] = {
    ("english", "alone"): "conservative",
    ("vickrey", "alone"): "truthful",
    ("uniform", "alone"): "truthful",
    ("first-above-reserve", "alone"): "conservative",
    ("first-above-reserve", "waiting"): "conservative",
}
"""What no bid beats, by room: the ask in ascending auctions and where the first one wins, the value where it does not set the price."""
NEAR: Final[dict[tuple[str, ...], str]] = {
    ("english", "waiting", EQUILIBRIUM): "conservative",
    ("vickrey", "waiting", EQUILIBRIUM): "truthful",
    ("uniform", "waiting", "mixed"): "truthful",
    ("uniform", "waiting", EQUILIBRIUM): "truthful",
}
"""What can be beaten, but not by much: it differs from the equilibrium only by not waiting for later lots, or by bidding the value where a
rest of the own demand may set the price. Not to fall behind it is asked here, no more."""


class Comparison(NamedTuple):
    """With one fixed strategy in one setting."""

    setting: Key
    rival: str
    more: Interval
    """Than the rival gains, µ per kWh offered."""
    rivals: float
    """What that gains, µ per kWh offered."""

    @property
    def near(self) -> bool:
        """Whether it is enough to come near."""
        return self.rival in (CEILINGS.get(self.setting[:2]), NEAR.get(self.setting))

    @property
    def won(self) -> bool:
        """The whole interval is above zero."""
        return self.more.low > 0

    @property
    def held(self) -> bool:
        """What is asked of it."""
        return self.more.low >= -AS_GOOD * self.rivals if self.near else self.won

    def lost_most(self) -> float:
        """The share of what the rival gains that it may have lost: by the lower end of the interval."""
        return max(0.0, -self.more.low) / self.rivals if self.rivals > 0 else 0.0

    def check(self) -> Check:
        """As it is judged, named for what it tests."""
        asked = f"within {AS_GOOD:.0%} of {self.rival}" if self.near else f"gains more than {self.rival}"
        loss = f", at most {self.lost_most():.1%} lost" if self.near else ""
        said = f"{self.more.said(UNIT, per=CENT, digits=3)}{loss}, {counted(self.more.clusters, 'tape')}"
        return Check(f"{named(self.setting)}: {asked}", self.held, said)


def comparisons(found: Found) -> list[Comparison]:
    """With every fixed strategy in every setting."""
    return [
        Comparison(
            setting, rival, found[setting, STRATEGY].over(found[setting, rival]), found[setting, rival].estimate()
        )
        for setting in SETTINGS
        for rival in FIXED
    ]


def named(setting: Key) -> str:
    """As a sentence has it."""
    mechanism, room, field = setting
    return f"{mechanism}, {room}, {field} rivals"
