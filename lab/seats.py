"""Buyers with a strategy each at one table: they hear what came of their bids, as the daemon's buyer does, and what they gain is counted.

A seat asks its strategy what `aggregator_node.buyer.Buyer` would ask: the lot, the market time, what is still wanted. A buyer who has
enough still looks at lots, and bids for none. Nothing is decided here.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from aggregator_node.strategy import STRATEGIES, price
from aggregator_node.view import Loss, LotView, Need, Strategy
from etp.units import DeviceId, LotId, Micro, MicroPerKwh, Wh, money
from lab.bidding import PLAYS, Knowledge
from lab.play import Bidder, Rules, Table, auction, settled
from lab.tape import TapeLot
from market.auction import Award, Bid, Closing
from market.mechanisms import MECHANISMS
from runtime.days import STEP_S

BATTERY: Final = DeviceId(1)


class Part(NamedTuple):
    """A lot, or what is left of it, as it comes on the table."""

    lot: TapeLot
    known: Knowledge
    energy: Wh
    number: int
    """Runs on through the tape; from 1."""
    period: int


Limit = Callable[[Part, MicroPerKwh], MicroPerKwh]
"""As if a kWh of this part were worth that much to one who values it so, µ/kWh."""


@dataclass(slots=True)
class Seat:
    """One buyer through a tape."""

    strategy: Strategy
    rng: random.Random
    limit: Limit | None = None
    """Bids as if a kWh were worth that much to it; None: its value."""
    asks: float = 1.0
    """Of what it wants of a lot, above 0, at most 1: so much it asks for, and leaves it at that."""
    value: MicroPerKwh = MicroPerKwh(0)
    wants: Wh = Wh(0)
    """Of this half-hour's lot."""
    part: Part | None = None

    def offer(self, ask: MicroPerKwh, energy: Wh) -> MicroPerKwh | None:  # noqa: ARG002 - one interface for all
        """What its strategy bids."""
        assert self.part is not None
        part = self.part
        view = LotView(
            self.value if self.limit is None else self.limit(part, self.value),
            ask,
            battery=BATTERY,
            lot_id=LotId(part.number),
            energy=part.energy,
            market_s=part.lot.market_s,
            period=part.period,
            needs=(Need(self.wants, STEP_S, recurs=True),),
        )
        offered = price(self.strategy, view, self.rng)
        return offered if self.wants > 0 else None

    def won(self, award: Award) -> None:
        """Want less, and tell the strategy."""
        self.wants = Wh(self.wants - award.energy)
        self.strategy.won(BATTERY, bid=award.bid.price, paid=award.paid)

    def lost(self, bid: Bid, how: Loss) -> None:
        """Tell the strategy."""
        self.strategy.lost(BATTERY, bid=bid.price, how=how)


def honest(mechanism: str, factor: float = 1.0) -> Limit:
    """The equilibrium limit, or so much of the way to it from the reserve."""
    play = PLAYS[mechanism]

    def limit(part: Part, value: MicroPerKwh) -> MicroPerKwh:
        reserve = part.known.reserve
        if value < reserve:
            return MicroPerKwh(0)
        return MicroPerKwh(reserve + round((play.limit(part.known, value) - reserve) * factor))

    return limit


def in_equilibrium(mechanism: str, factor: float = 1.0, asks: float = 1.0) -> Seat:
    """A seat that bids as theory says (`lab.bidding`), or so much of the way to it, for what it wants or a part of that."""
    strategy = STRATEGIES[PLAYS[mechanism].strategy].fresh()
    return Seat(strategy, random.Random(0), honest(mechanism, factor), asks)


def gain(value: MicroPerKwh, award: Award) -> Micro:
    """What a winner has of it, µ: (value − price paid) × energy."""
    return Micro(money(value, award.energy) - money(award.paid, award.energy))


class Sale(NamedTuple):
    """How a lot, or a part of one, was sold."""

    part: Part
    closing: Closing


Other = Callable[[Part, int], Bidder]
"""Who sits at a place beside the first, at this part of a lot."""


def contest(
    lots: Iterable[TapeLot], rules: Rules, reserve: MicroPerKwh, first: Seat, other: Other
) -> Iterator[tuple[TapeLot, list[Sale]]]:
    """Play a tape: `first` at place 0, others beside it; every lot with its sales."""
    mechanism, number = MECHANISMS[rules.play], 0
    for period, lot in enumerate(lots):
        each = rules.wanted(lot.energy)
        first.value, first.wants = lot.values[0], Wh(max(1, round(each * first.asks)))
        wants = dict.fromkeys(range(rules.buyers), each) | {0: first.wants}
        left, sales = lot.energy, list[Sale]()
        while left > 0 and wants:
            number += 1
            count = -(-left // each)
            known = Knowledge(lot.lowest, lot.common, reserve, len(wants) - 1, count, left / each - (count - 1))
            first.part = part = Part(lot, known, left, number, period)
            # A buyer who has enough still looks.
            bidders = {0: first} | {place: other(part, place) for place in wants if place}
            closing = auction(Table(mechanism, rules.terms(left, reserve), bidders, {0: Wh(1)} | wants, lot))
            if not closing.awards:
                break
            sales.append(Sale(part, closing))
            left = settled(closing, wants, left)
        yield lot, sales


def awards_of(sales: Iterable[Sale]) -> Iterator[Award]:
    """All awards of a lot."""
    for sale in sales:
        yield from sale.closing.awards
