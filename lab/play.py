"""A tape, played by the mechanism alone: bids in the order in which they arrive, judged by `market`, made by the shipped strategies.

No decision is made here. Who wins at what price is the mechanism's to say, what is bid the strategy's
(`aggregator_node.strategy`, up to the limit of `lab.bidding`), which reserve the pricing policy's (`bess_node.pricing`).
What is left when a bid asks for less than the lot is sold becomes the next lot, as at the desk. `lab.cores` plays the same
lots through desk, buyers and sessions.

*Time.* A bid arrives when its buyer has noticed the lot and the way to the battery is behind it; who is refused or displaced
hears that after one way and answers after another. A bid that arrives after the close counts for nothing.
"""

import heapq
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from aggregator_node.strategy import STRATEGIES, LotView, Strategy, price
from aggregator_node.view import Loss
from bess_node.pricing import Context, Pricing
from etp.units import MICRO_PER_CENT, DeviceId, MessageId, MicroPerKwh, MonotonicS, Wh
from lab.bidding import PLAYS, Knowledge, Play
from lab.scenario import CLOSING_MS, INCREMENT_CENTS
from lab.tape import TapeLot
from market.auction import Award, Bid, Closing, LotTerms, Mechanism, Refusal, Refused
from market.mechanisms import MECHANISMS

Demand = Literal["split", "added"]
SCARCITY: Final = 2.0
"""`split`: all together want so many times the lot, however many they are. Two, because then two buyers want it whole, a plain
auction, and for every even n the lot is a whole number of wants, which makes uniform truthful too."""
LOST: Final = {Refusal.OUTBID: Loss.OUTBID, Refusal.BELOW_RESERVE: Loss.BELOW_RESERVE}


class Bidder(Protocol):
    """A buyer at one lot."""

    def offer(self, ask: MicroPerKwh, energy: Wh) -> MicroPerKwh | None:
        """Its next bid for so much of the lot, µ/kWh; None: it stays out."""

    def won(self, award: Award) -> None:
        """It bought."""

    def lost(self, bid: Bid, how: Loss) -> None:
        """A bid of it came to nothing."""


@dataclass(frozen=True, slots=True)
class UpTo:
    """A shipped strategy up to a limit. It learns nothing."""

    limit: MicroPerKwh
    strategy: Strategy
    rng: random.Random

    def offer(self, ask: MicroPerKwh, energy: Wh) -> MicroPerKwh | None:  # noqa: ARG002 - one interface for all
        """The strategy's bid of one who values the energy at the limit."""
        return price(self.strategy, LotView(self.limit, ask), self.rng)

    def won(self, award: Award) -> None:
        """Nothing to learn."""

    def lost(self, bid: Bid, how: Loss) -> None:
        """Nothing to learn."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How lots are sold, and to how many."""

    play: str
    """Of `lab.bidding.PLAYS`."""
    buyers: int
    demand: Demand = "split"
    scarcity: float = SCARCITY
    increment: MicroPerKwh = MicroPerKwh(round(INCREMENT_CENTS * MICRO_PER_CENT))
    closing_s: float = CLOSING_MS / 1000
    max_s: float = 60.0

    def wanted(self, energy: Wh) -> Wh:
        """What each buyer wants of a lot: its share of `scarcity` times the lot, or one whole lot; at least 1 Wh."""
        return Wh(max(1, round(self.scarcity * energy / self.buyers))) if self.demand == "split" else energy

    def terms(self, energy: Wh, reserve: MicroPerKwh) -> LotTerms:
        """A lot under these rules."""
        return LotTerms(energy, reserve, self.increment, self.closing_s, self.max_s, hide_reserve=False)


class Table(NamedTuple):
    """One lot on the table, and who may bid for how much of it."""

    mechanism: Mechanism
    terms: LotTerms
    bidders: Mapping[int, Bidder]
    wants: Mapping[int, Wh]
    """By bidder, at least 1."""
    lot: TapeLot
    """When each hears of it, and how far away it is."""


def sell(lot: TapeLot, reserve: MicroPerKwh, rules: Rules, rng: random.Random) -> list[Award]:
    """What becomes of a lot of the tape, in as many lots as its sale takes. Random strategies draw from `rng`."""
    play = PLAYS[rules.play]
    mechanism, each = MECHANISMS[play.mechanism], rules.wanted(lot.energy)
    wants = dict.fromkeys(range(rules.buyers), each)
    left, awards = lot.energy, list[Award]()
    while left > 0 and wants:
        lots = -(-left // each)
        known = Knowledge(lot.lowest, lot.common, reserve, len(wants) - 1, lots, left / each - (lots - 1))
        bidders = _bidders(play, known, lot, wants, rng)
        closing = auction(Table(mechanism, rules.terms(left, reserve), bidders, wants, lot))
        if not closing.awards:
            break
        awards += closing.awards
        left = settled(closing, wants, left)
    return awards


def _bidders(play: Play, known: Knowledge, lot: TapeLot, wants: Iterable[int], rng: random.Random) -> dict[int, Bidder]:
    """Who takes part: a value below the reserve never does."""
    strategy, values = STRATEGIES[play.strategy], lot.values
    takers = (buyer for buyer in wants if values[buyer] >= known.reserve)
    return {buyer: UpTo(play.limit(known, values[buyer]), strategy, rng) for buyer in takers}


def settled(closing: Closing, wants: dict[int, Wh], left: Wh) -> Wh:
    """What is left of the lot; what is still wanted is written into `wants`."""
    for award in closing.awards:
        left = Wh(left - award.energy)
        more = Wh(wants[award.bid.bidder] - award.energy)
        if more > 0:
            wants[award.bid.bidder] = more
        else:
            del wants[award.bid.bidder]
    return left


# -- one lot


Coming: TypeAlias = tuple[float, int, int, MicroPerKwh]
"""A bid on its way: when it arrives (s), its number, its bidder, its price. The first to arrive is judged first, of two that arrive
at once the one that was made first. Bare, since an english lot makes hundreds of them: with names a seventh slower."""


class _Floor:
    """The bids that are on their way to one lot."""

    def __init__(self, table: Table) -> None:
        self._bidders, self._delays_s, self._made, self._arrived = table.bidders, table.lot.delays_s, 0, 0
        # Asked of in every step, and the same in all of them.
        self._energies = {bidder: _energy(table, bidder) for bidder in table.bidders}
        self.coming: list[Coming] = []
        for bidder in table.bidders:
            self.hear(bidder, table.terms.reserve, table.lot.notices_s[bidder] + self._delays_s[bidder])

    def hear(self, bidder: int, ask: MicroPerKwh, arrives_s: float) -> None:
        """A bidder hears the ask; its next bid, if it makes one, arrives then."""
        offered = self._bidders[bidder].offer(ask, self._energies[bidder])
        if offered is not None:
            self._made += 1
            heapq.heappush(self.coming, (arrives_s, self._made, bidder, offered))

    def hear_back(self, bid: Bid, how: Loss, ask: MicroPerKwh, now_s: float) -> None:
        """A bid does not take part, or no longer: its bidder hears so after one way and answers after another."""
        bidder = bid.bidder
        self._bidders[bidder].lost(bid, how)
        self.hear(bidder, ask, now_s + 2 * self._delays_s[bidder])

    def arrived(self, bidder: int, offered: MicroPerKwh) -> Bid:
        """The bid, as the battery numbers it."""
        self._arrived += 1
        return Bid(DeviceId(bidder), MessageId(self._arrived), offered, self._energies[bidder], self._arrived)


def _energy(table: Table, bidder: int) -> Wh:
    """What a bid of it asks for."""
    wanted = table.wants[bidder]
    return wanted if table.mechanism.divisible else Wh(min(wanted, table.terms.energy))


def auction(table: Table) -> Closing:
    """One lot from its first bid to its close; every bidder is told what came of its bids."""
    mechanism, floor = table.mechanism, _Floor(table)
    state = mechanism.open(table.terms)
    closes_at = mechanism.closes_at(state)
    while floor.coming:
        at_s, _, bidder, offered = heapq.heappop(floor.coming)
        if closes_at is not None and at_s >= closes_at:
            break
        bid = floor.arrived(bidder, offered)
        verdict = mechanism.bid(state, bid, MonotonicS(at_s))
        if isinstance(verdict, Refused):
            floor.hear_back(bid, LOST[verdict.refusal], verdict.ask, at_s)
            continue
        state = verdict.state
        if mechanism.immediate:
            break
        closes_at = mechanism.closes_at(state)
        if verdict.displaced is not None:
            floor.hear_back(verdict.displaced, Loss.OUTBID, mechanism.ask(state), at_s)
    return _told(table, mechanism.close(state, mechanism.closes_at(state) or MonotonicS(0.0)))


def _told(table: Table, closing: Closing) -> Closing:
    for award in closing.awards:
        table.bidders[int(award.bid.bidder)].won(award)
    for bid in closing.losers:
        table.bidders[int(bid.bidder)].lost(bid, Loss.ANOTHER_WON)
    return closing


def played(
    lots: Iterable[TapeLot], rules: Rules, pricing: Pricing, rng: random.Random
) -> Iterator[tuple[TapeLot, list[Award]]]:
    """Every lot of a tape with its awards; the pricing policy sees what was sold before it names the next reserve."""
    for lot in lots:
        context = Context(lot.soc, lot.market_s)
        awards = sell(lot, pricing.reserve(context), rules, rng)
        for award in awards:
            pricing.traded(context, award.paid)
        yield lot, awards
