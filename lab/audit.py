"""What a mechanism does to those who use it: revenue, efficiency, who pays too much, and what a lie gains.

`audited` says it of one tape and one way of bidding; any experiment can call it. A lie of a *bidder* is a bid other than its
equilibrium, found by search over under- and overbidding while the others keep to theirs; where a lot is divided also over asking for
less than is wanted, the classic lie there (L. Ausubel, P. Cramton, "Demand reduction and inefficiency in multi-unit auctions", 2002). A
lie of the *owner* is a bid that it invents after seeing the sealed ones, just below the best: nobody else sees who set the price. That a
reserve above its cost gains too is no lie, but what the rule allows, and is shown beside it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from bess_node.pricing import legal_reserve
from etp.units import DeviceId, MessageId, MicroPerKwh, MonotonicS, Wh, money
from lab.experiment import Row
from lab.ledger import TARIFFS
from lab.play import Rules
from lab.seats import Sale, awards_of, contest, gain, in_equilibrium
from lab.tape import Tape, TapeLot
from lab.tournament import equilibrium, third
from lab.welfare import best_welfare
from market.auction import Bid
from market.mechanisms import MECHANISMS

FACTORS: Final = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.25)
"""Of the way from the reserve to the equilibrium limit: 1 is honest."""
LESS: Final = (0.25, 0.5, 0.75)
"""Of what the bidder wants: so much it asks for. Only where a lot is divided among bidders (uniform): elsewhere the winner takes what it
asks for, and to ask for less is to get less."""
FACTORS_WITH_LESS: Final = (0.9, 0.95, 1.0, 1.05)
RESERVES: Final = (0.0, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Of the way from the base to the half-hour's price: 0 is honest."""
OWNER: Final = DeviceId(1_000_000)


class Findings(NamedTuple):
    """Sums over a tape."""

    offered: int
    sold: int
    paid: int
    welfare: int
    """What the energy was worth to those who had it in the end, above what it is worth to the owner, µ."""
    best: int
    """The most that could have been."""
    too_dear: int
    """Awards above the winner's value."""
    too_cheap: int
    """Awards below the reserve."""
    gained: tuple[int, ...]
    """By the bidder at place 0, by third of its value's range, µ."""
    invented: int
    """What a bid invented by the owner would have brought beside, µ."""

    def row(self) -> Row:
        """As cells."""
        low, middle, high = self.gained
        return {
            "offered_wh": self.offered,
            "sold_wh": self.sold,
            "paid_micro": self.paid,
            "earned_micro": self.paid
            + money(TARIFFS.feed_in, Wh(self.offered - self.sold))
            - money(TARIFFS.wear, Wh(self.sold)),
            "welfare_micro": self.welfare,
            "best_micro": self.best,
            "too_dear": self.too_dear,
            "too_cheap": self.too_cheap,
            "low_micro": low,
            "middle_micro": middle,
            "high_micro": high,
            "invented_micro": self.invented,
        }


def audited(
    tape: Tape,
    rules: Rules,
    *,
    factor: float = 1.0,
    asks: float = 1.0,
    reserve_of: Callable[[TapeLot], MicroPerKwh] | None = None,
) -> Findings:
    """The tape in equilibrium, but for place 0, which goes `factor` of the way for `asks` of what it wants, and the reserve, if it is not
    the base.
    """
    seat, other, gained = in_equilibrium(rules.play, factor, asks), equilibrium(rules.play), [0, 0, 0]
    offered = sold = paid = welfare = best = too_dear = too_cheap = invented = 0
    for lot in tape.lots:
        reserve = reserve_of(lot) if reserve_of is not None else TARIFFS.base
        for _, sales in contest((lot,), rules, reserve, seat, other):
            offered, best = offered + lot.energy, best + best_welfare(lot, rules, TARIFFS.base)
            invented += sum(invented_gain(sale, rules) for sale in sales)
            for award in awards_of(sales):
                value = lot.values[int(award.bid.bidder)]
                sold, paid = sold + award.energy, paid + money(award.paid, award.energy)
                welfare += money(MicroPerKwh(value - TARIFFS.base), award.energy)
                too_dear, too_cheap = too_dear + (award.paid > value), too_cheap + (award.paid < reserve)
                gained[third(lot)] += gain(value, award) if award.bid.bidder == 0 else 0
    return Findings(offered, sold, paid, welfare, best, too_dear, too_cheap, tuple(gained), invented)


def invented_gain(sale: Sale, rules: Rules) -> int:
    """What the owner of a sealed lot gains by one more bid, just below the best: the mechanism is asked, µ; 0 where it gains nothing."""
    mechanism, closing = MECHANISMS[rules.play], sale.closing
    if not mechanism.sealed or not closing.awards:
        return 0
    bids = [*(award.bid for award in closing.awards), *closing.losers]
    best = max(bid.price for bid in bids)
    terms = rules.terms(sale.part.energy, sale.part.known.reserve)
    if best <= terms.reserve:
        return 0
    false = Bid(OWNER, MessageId(0), MicroPerKwh(best - 1), sale.part.energy, max(bid.arrival for bid in bids) + 1)
    state = mechanism.open(terms)
    for bid in sorted((*bids, false), key=lambda bid: bid.arrival):
        verdict = mechanism.bid(state, bid, MonotonicS(0.0))
        state = getattr(verdict, "state", state)
    told = mechanism.close(state, MonotonicS(rules.closing_s))
    before = sum(money(award.paid, award.energy) for award in closing.awards)
    real = [award for award in told.awards if award.bid.bidder != OWNER]
    kept = sum(award.energy for award in closing.awards) - sum(award.energy for award in real)
    after = sum(money(award.paid, award.energy) for award in real) + money(TARIFFS.base, Wh(kept))
    return max(0, after - before)


def raised(share: float) -> Callable[[TapeLot], MicroPerKwh]:
    """A reserve so much of the way from the base to the half-hour's price."""

    def reserve_of(lot: TapeLot) -> MicroPerKwh:
        return legal_reserve(TARIFFS.base + int(max(0, lot.common - TARIFFS.base) * share))

    return reserve_of


def lies(tape: Tape, rules: Rules) -> Iterator[tuple[str, float, float, Findings]]:
    """(who lies, how much, for which part of what it wants, what came of it): nobody, a bidder about its price and, where a lot is
    divided, its quantity, the owner's reserve where buyers want the lot whole.
    """
    yield "nobody", 1.0, 1.0, audited(tape, rules)
    for factor in FACTORS:
        yield "bidder", factor, 1.0, audited(tape, rules, factor=factor)
    for asks in LESS if MECHANISMS[rules.play].divisible else ():
        for factor in FACTORS_WITH_LESS:
            yield "bidder", factor, asks, audited(tape, rules, factor=factor, asks=asks)
    for share in RESERVES if rules.demand == "added" else ():
        yield "reserve", share, 1.0, audited(tape, rules, reserve_of=raised(share))


def rows_of(tape: Tape, cases: Iterable[Rules], number: int) -> list[Row]:
    """All of it, by mechanism, demand and number of buyers."""
    return [
        {
            "mechanism": rules.play,
            "demand": rules.demand,
            "buyers": rules.buyers,
            "liar": liar,
            "share": share,
            "asks": asks,
            "tape": number,
            **found.row(),
        }
        for rules in cases
        for liar, share, asks, found in lies(tape, rules)
    ]
