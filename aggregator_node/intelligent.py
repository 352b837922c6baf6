"""The strategy that learns: what it takes to win at each battery and hour, how that battery prices, and whether to wait.

*Model.* A discretised posterior of the price to beat, per battery and hour of the day, drawn to that battery's, and that to
all batteries' (`aggregator_node.belief`). It is learnt from censored observations: a win at a bid says "at most that", a loss "above",
a win that pays less than its bid says exactly. It is kept on three grids at once (`aggregator_node.curve`); each is believed as
far as it foretold wins and losses (A. P. Dawid, "Statistical theory: the prequential approach", 1984).

*Bid.* One draw from that posterior is taken for true, and the bid is the best reply to it (Thompson sampling: W. Thompson 1933; D. Russo et
al., "A tutorial on Thompson sampling", 2018), so that it tries what may be good as often as it may be. What a win pays is learnt too:
the mechanism is not on the wire. In an ascending auction (somebody was outbid) it is the ask, up to the value. In a sealed one it maximises
what is expected to be gained, where a win pays the bid, or the price to beat, in the shares in which that was seen; who never pays
its own bid bids its value. At a battery of which nothing is known the ask is bid: it costs nothing, and the answer tells the kind.

*Waiting.* The value is lowered first by what the demand would gain at a later lot (`aggregator_node.patience`).

Why this and not a logistic curve of winning: prices to beat have an atom at the reserve and an end at the dearest rival, which no
smooth curve has, and the best reply sits at such places. Why not a bandit over shading levels: each win tells of every level above,
each loss of every level below, which separate arms do not use.

Its memory is bounded, and not kept over a restart: the journal has the trades but not the bids that lost, and wins alone
would teach that any bid wins. Without data it is safe: no bid is above the value. The same seed and events bring the same bids.
"""

import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import exp, log
from typing import Final, NamedTuple

from aggregator_node.belief import mean, some_bin
from aggregator_node.curve import Between, Curve, Place, Plain
from aggregator_node.patience import Chance, Patience
from aggregator_node.view import Loss, LotView
from etp.record import NO_LOT
from etp.units import DeviceId, MicroPerKwh

MAX_BATTERIES: Final = 4096
"""Batteries whose rule and last lot are remembered, as many as a buyer trades with."""
BY_CHANCE: Final = 0.05
"""How often the second price is so near the bid that a win looks like one at the own price."""
DOUBT: Final = 12.0
"""After a win that paid less it takes five in a row at the own price to believe that the rule has changed: where the price is the best
unserved bid (uniform), that bid is the winner's own now and then. In logarithms of odds."""
TRUST: Final = 2.0
"""Before any win, the second price is believed in: one win at the own price costs little and tells; losing tells nothing of it."""
SURE: Final = 0.01
"""Less likely than this a win does not pay its bid."""
SAME_LOT_S: Final = 1800.0
"""Where lots have no ids (`plain`), what a battery offers in one half-hour of market time without a bid of ours is one lot."""


class Kind(Enum):
    """What a battery's answers tell of its auction."""

    UNKNOWN = "unknown"
    ASCENDING = "ascending"
    SEALED = "sealed"


class Asked(NamedTuple):
    """A lot that was judged, and the price up to which it was worth buying."""

    place: Place
    """As it was at first."""
    most: MicroPerKwh


@dataclass(slots=True)
class Seller:
    """What is known of one battery."""

    kind: Kind = Kind.UNKNOWN
    own: int = 0
    """Wins above the ask that paid their own bid, in a row."""
    less: bool = False
    """A win has paid less."""
    period: int = -1
    """The period of its last lot."""
    rank: int = 0
    """Which lot of that period it was."""
    asked: Asked | None = None
    """The lot that goes on."""
    outbid: bool = False
    """We led in it, and do no more."""

    @property
    def pays_own(self) -> float:
        """How likely a win pays its bid, and not the price to beat (Bayes)."""
        odds = -log(BY_CHANCE) * self.own - (DOUBT if self.less else TRUST)
        return 1.0 / (1.0 + exp(-max(-700.0, min(odds, 700.0))))

    def paid(self, *, less: bool) -> None:
        """A win above the ask paid less than its bid, or its bid."""
        self.own, self.less = (0, True) if less else (self.own + 1, self.less)


class Intelligent:
    """See the module."""

    def __init__(self) -> None:
        self._curves = (Curve(Between()), Curve(Between(from_ask=False)), Curve(Plain()))
        self._sellers: OrderedDict[DeviceId, Seller] = OrderedDict()
        self._patience = Patience()

    def fresh(self) -> "Intelligent":
        """One that knows nothing."""
        return Intelligent()

    def _seller(self, battery: DeviceId) -> Seller:
        seller = self._sellers.setdefault(battery, Seller())
        self._sellers.move_to_end(battery)
        if len(self._sellers) > MAX_BATTERIES:
            self._sellers.popitem(last=False)
        return seller

    # -- what to bid

    def price(self, view: LotView, rng: random.Random) -> MicroPerKwh | None:
        """The bid; None: the demand gains more at a later lot, or the ask has passed what the lot is worth."""
        seller = self._seller(view.battery)
        asked = seller.asked
        if asked is None or not _same(asked.place.view, view):
            asked = self._see(view, seller, rng)
        # Later lots begin at their reserve, as this one did, not at what its race has come to.
        premium = self._patience.premium(view._replace(ask=asked.place.view.ask))
        most = MicroPerKwh(view.value - premium)
        if most < max(1, view.ask):
            self._give_up(seller)
            return None
        seller.asked = asked._replace(most=most)
        return self._bid(asked.place._replace(view=view), most, seller, rng)

    def _bid(self, place: Place, most: MicroPerKwh, seller: Seller, rng: random.Random) -> MicroPerKwh:
        ask = place.view.ask
        if ask and seller.kind is not Kind.SEALED:
            return ask
        if seller.kind is Kind.SEALED and seller.pays_own < SURE:
            return most
        # Without a disclosed ask and not known to be sealed: nothing says that less than the bid would be paid.
        pays_own = seller.pays_own if seller.kind is Kind.SEALED else 1.0
        curve = self._believed(rng)
        return _best(_prices(curve, place, most), curve.drawn(place, rng), most, pays_own)

    def _believed(self, rng: random.Random) -> Curve:
        """One of the curves, each as often as it is likely."""
        best = max(curve.score for curve in self._curves)
        return rng.choices(self._curves, [exp(curve.score - best) for curve in self._curves])[0]

    def _see(self, view: LotView, seller: Seller, rng: random.Random) -> Asked:
        """A lot that was not there before: what it would gain is a guess at what later ones will."""
        seller.rank = seller.rank + 1 if seller.period == view.period else 0
        seller.period, seller.outbid = view.period, False
        place = Place(view, seller.rank)
        gain = self._guess(place, seller, rng)
        share = gain / (view.value - view.ask) if gain > 0 else 0.0
        order, left_s = (
            self._patience.next_in(view.period),
            min((need.seconds for need in view.needs if need.recurs), default=0.0),
        )
        self._patience.saw(Chance(view.market_s, view.period, order, left_s, gain, share, view.energy))
        seller.asked = asked = Asked(place, view.value)
        return asked

    def _guess(self, place: Place, seller: Seller, rng: random.Random) -> MicroPerKwh:
        """What a lot might gain, µ/kWh, one draw; ≤ 0: nothing."""
        curve, value = self._believed(rng), place.view.value
        probabilities, prices = mean(curve.weights(place)), _prices(curve, place, value)
        level = some_bin(probabilities, rng)
        if level >= len(prices):
            return MicroPerKwh(0)
        if seller.kind is Kind.SEALED and seller.pays_own >= SURE:
            bid = _best(prices, probabilities, value, seller.pays_own)
            return MicroPerKwh(value - bid if bid >= prices[level] else 0)
        return MicroPerKwh(value - prices[level])

    # -- what came of it

    def _give_up(self, seller: Seller) -> None:
        """Another leads at more than the lot is worth: that much the price to beat was at least."""
        if seller.outbid and seller.asked is not None:
            self._lost(seller.asked.place, seller.asked.most)
        seller.outbid = False

    def won(self, battery: DeviceId, *, bid: MicroPerKwh, paid: MicroPerKwh) -> None:
        """The price to beat was what is paid, if that is told, and at most the bid anyhow."""
        seller = self._seller(battery)
        asked, seller.asked, seller.outbid = seller.asked, None, False
        if asked is None:
            return
        view, told = asked.place.view, paid < bid or seller.kind is Kind.ASCENDING
        if seller.kind is not Kind.ASCENDING and bid > view.ask:
            seller.paid(less=paid < bid)
            seller.kind = Kind.SEALED if paid < bid else seller.kind
        for curve in self._curves:
            top = curve.grid.above(view, bid)
            high = curve.grid.above(view, paid) if told else top
            curve.learn(asked.place, high if told and paid > view.ask else 0, high, foretold=(0, top))

    def lost(self, battery: DeviceId, *, bid: MicroPerKwh, how: Loss) -> None:
        """The price to beat was above the bid; how it was lost tells the kind of auction."""
        seller = self._seller(battery)
        if how is Loss.OUTBID:  # the lot goes on
            seller.kind, seller.outbid = Kind.ASCENDING, True
            return
        asked, seller.asked, seller.outbid = seller.asked, None, False
        if how is Loss.ANOTHER_WON:
            seller.kind = Kind.SEALED
        if asked is not None:
            self._lost(asked.place, bid)

    def _lost(self, place: Place, bid: MicroPerKwh) -> None:
        for curve in self._curves:
            low, top = curve.grid.below(place.view, bid) + 1, curve.grid.levels + 1
            curve.learn(place, low, top, foretold=(low, top))


def _same(before: LotView, view: LotView) -> bool:
    """Whether a lot was judged before."""
    if view.lot_id != NO_LOT or before.lot_id != NO_LOT:
        return view.lot_id == before.lot_id
    return abs(view.market_s - before.market_s) < SAME_LOT_S


def _prices(curve: Curve, place: Place, most: MicroPerKwh) -> list[MicroPerKwh]:
    """What the levels cost, none above `most`."""
    return [min(curve.grid.price(place.view, level), most) for level in range(curve.grid.levels + 1)]


def _best(
    levels: Sequence[MicroPerKwh], probabilities: Sequence[float], most: MicroPerKwh, pays_own: float
) -> MicroPerKwh:
    """The level that gains most in expectation; of equals the highest, which wins more often. `most`: what a kWh is worth."""
    best, best_gain, wins, gained = most, 0.0, 0.0, 0.0
    for price, probability in zip(levels, probabilities, strict=False):
        wins += probability
        gained += probability * (most - price)
        gain = pays_own * wins * (most - price) + (1.0 - pays_own) * gained
        if gain >= best_gain:
            best, best_gain = price, gain
    return best
