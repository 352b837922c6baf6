"""How buyers bid on a tape: for each mechanism a named strategy, the equilibrium where theory knows one. Floats inside, µ/kWh out.

*The game.* What a buyer knows: the common price, so that values are uniform on [lowest, common]; its own value; the reserve; how many
want energy; how much each wants, the same for all; how much is left. What it does not know: the others' values.

*The equilibrium.* Each winner takes what it wants, or what is left, and the rest is offered at once: K lots in a row, like ones but for a
smaller last, for n bidders who want one each (R. Weber, "Multiple-object auctions", 1983; V. Krishna, *Auction Theory*, 2nd ed.,
§15.1–15.2). Who is still there has lost to higher values; so all other values are uniform below one's own, given that one's own
is the highest. Let e(m, k) be the expected k-th highest of m such values, or the reserve where that is higher. Then

* vickrey and english: in the last lot go to one's value v (Vickrey 1961). Before that, to where winning is worth no more than
  losing and winning the next lot: v − (next lot's size / this one's) × (v − next price). For like lots that is the next price,
  e(n − 2, K − 1); a last lot of ρ times the size makes it (1 − ρ) e(n − 2, K − 2) + ρ e(n − 2, K − 1), where e(·, 0) is v: expected
  prices are linear in the limits of those who set them.
* first-price: what the other two charge on average who wins now (revenue equivalence, lot by lot): (1 − ρ) e(n − 1, K − 1) + ρ
  e(n − 1, K), and e(n − 1, 1) for the last lot: the textbook's E[max(Y₁, r) | Y₁ < v], without a reserve in the range
  lowest + (n − 1)/n × (v − lowest) (Krishna §2.3, §2.5).
* uniform: one's value, dominant where the lot is a whole number of equal wants and nobody wants two (Krishna §13.4.2: the
  price is the best losing bid). Otherwise the last winner's own unserved part sets the price, it would do better to
  bid less, and no closed form is known here: the value is bid all the same, and results for such numbers are marked.
* first-above-reserve: the ask. Whoever offers less is refused, and to offer more buys nothing: the first arrival wins at any price.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from scipy.special import betainc

from etp.units import MicroPerKwh


class Knowledge(NamedTuple):
    """What all who want energy from a lot know of it."""

    lowest: int
    """No value is below this, µ/kWh."""
    common: int
    """No value is above this, µ/kWh."""
    reserve: MicroPerKwh
    others: int
    """Buyers who still want energy, beside oneself."""
    lots: int
    """What is left, in wants, rounded up: this lot and those that follow from its rest."""
    last: float = 1.0
    """The size of the last of them, in wants, above 0."""


Limit = Callable[[Knowledge, MicroPerKwh], MicroPerKwh]
"""How high a buyer with this value goes, µ/kWh; ≤ the value."""


def own_value(known: Knowledge, value: MicroPerKwh) -> MicroPerKwh:  # noqa: ARG001 - one interface for all
    """The value itself."""
    return value


def shaded(known: Knowledge, value: MicroPerKwh) -> MicroPerKwh:
    """The first-price equilibrium."""
    if known.lots == 1:
        return _whole(known, value, _expected(known, value, known.others, 1))
    return _mixed(known, value, known.others, known.lots)


def patient(known: Knowledge, value: MicroPerKwh) -> MicroPerKwh:
    """The equilibrium of second-price and ascending auctions: the value in the last lot, before that what waiting is worth."""
    return value if known.lots == 1 else _mixed(known, value, known.others - 1, known.lots - 1)


def _mixed(known: Knowledge, value: MicroPerKwh, others: int, rank: int) -> MicroPerKwh:
    """(1 − ρ) e(others, rank − 1) + ρ e(others, rank)."""
    like = _expected(known, value, others, rank)
    if known.last >= 1.0:
        return _whole(known, value, like)
    return _whole(known, value, like + (1.0 - known.last) * (_expected(known, value, others, rank - 1) - like))


def _whole(known: Knowledge, value: MicroPerKwh, price: float) -> MicroPerKwh:
    """Rounded down, from the reserve to the value."""
    return min(max(MicroPerKwh(int(price)), known.reserve), value)


def _expected(known: Knowledge, value: MicroPerKwh, others: int, rank: int) -> float:
    """e(others, rank): of values uniform between the lowest and `value`."""
    if rank == 0:
        return value
    if rank > others:  # nobody would be left without: the reserve is the price
        return known.reserve
    width = value - known.lowest
    if width <= 0:
        return max(known.reserve, known.lowest)
    floor = (known.reserve - known.lowest) / width
    share = _share(others, rank) if floor <= 0 else _share_above(others, rank, min(floor, 1.0))
    return known.lowest + width * share


def _share(others: int, rank: int) -> float:
    """The mean of the `rank`-th highest of so many values uniform on [0, 1]: that of a Beta(others − rank + 1, rank)."""
    return (others - rank + 1) / (others + 1)


def _share_above(others: int, rank: int, floor: float) -> float:
    """E[max(B, floor)] of the same B: mean × (1 − I(α + 1, β)) + floor × I(α, β), where I is the regularised incomplete beta."""
    alpha, beta = others - rank + 1, rank
    above = _share(others, rank) * (1.0 - _incomplete(alpha + 1, beta, floor))
    return above + floor * _incomplete(alpha, beta, floor)


@lru_cache(maxsize=65_536)
def _incomplete(alpha: int, beta: int, at: float) -> float:
    return float(betainc(alpha, beta, at))


class Play(NamedTuple):
    """A mechanism and how it is played."""

    name: str
    mechanism: str
    limit: Limit
    strategy: str
    """Of `aggregator_node.strategy`, up to the limit: what turns the limit and the ask into a bid."""
    said: str
    """In words."""


_ALL: Final = (
    Play("english", "english", patient, "conservative", "bids what is asked, up to its limit"),
    Play("first-price", "first-price", shaded, "truthful", "shades its bid as in equilibrium"),
    Play("vickrey", "vickrey", patient, "truthful", "bids its limit"),
    Play("uniform", "uniform", own_value, "truthful", "bids its value"),
    Play(
        "first-above-reserve",
        "first-above-reserve",
        own_value,
        "conservative",
        "bids what is asked: the first one wins",
    ),
    Play(
        "first-above-reserve, random bids",
        "first-above-reserve",
        own_value,
        "random",
        "bids anything from the ask to its value, as prototypes do",
    ),
)
PLAYS: Final[Mapping[str, Play]] = MappingProxyType({play.name: play for play in _ALL})
AUCTIONS: Final = ("english", "first-price", "vickrey", "uniform")
"""Where bids meet."""
TAKING: Final = ("first-above-reserve", "first-above-reserve, random bids")
"""Where they do not."""
