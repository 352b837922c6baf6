"""A tape played by the mechanism alone: by hand, and against the full cores."""

import random

import pytest

from aggregator_node.strategy import STRATEGIES
from aggregator_node.view import Loss
from bess_node.pricing import Fixed
from etp.units import MicroPerKwh, Wh
from lab.bidding import PLAYS
from lab.cores import Sold, is_one_auction, levelled, sold
from lab.play import Rules, Table, UpTo, auction, played, sell
from lab.tape import TapeLot, recorded_tape
from market.auction import Award, Bid
from market.mechanisms import MECHANISMS

RESERVE = MicroPerKwh(65_000)


def lot_of(values: list[int], *, energy: int = 600, delays: list[float] | None = None) -> TapeLot:
    """A lot whose buyers notice it at once."""
    away = tuple(delays or [0.001] * len(values))
    return TapeLot(
        0, 0.0, Wh(energy), 0.5, 100_000, 85_000, tuple(map(MicroPerKwh, values)), (0.0,) * len(values), away
    )


def sales(lot: TapeLot, rules: Rules, reserve: MicroPerKwh = RESERVE) -> list[tuple[int, int, int]]:
    """(buyer, Wh, µ/kWh)."""
    return [
        (int(award.bid.bidder), int(award.energy), int(award.paid))
        for award in sell(lot, reserve, rules, random.Random(1))
    ]


def test_two_buyers_by_hand() -> None:
    """Values 90,000 and 96,000: the better one buys; english pays the step above the other's last, vickrey the other's value."""
    lot = lot_of([90_000, 96_000])
    assert sales(lot, Rules("vickrey", 2)) == [(1, 600, 90_000)]
    assert sales(lot, Rules("first-price", 2)) == [(1, 600, 90_500)]
    assert sales(lot, Rules("uniform", 2)) == [(1, 600, 90_000)]
    ((buyer, energy, paid),) = sales(lot, Rules("english", 2))
    assert (buyer, energy) == (1, 600)
    assert abs(paid - 90_000) <= Rules("english", 2).increment


def test_one_buyer_pays_the_reserve_everywhere() -> None:
    """Nobody bids against it."""
    for play in ("english", "first-price", "vickrey", "uniform", "first-above-reserve"):
        assert sales(lot_of([90_000]), Rules(play, 1)) == [(0, 600, RESERVE)]


def test_the_first_to_arrive_wins_above_the_reserve() -> None:
    """Not the one to whom it is worth most; it bids what is asked."""
    lot = lot_of([90_000, 99_000], delays=[0.001, 0.002])
    assert sales(lot, Rules("first-above-reserve", 2)) == [(0, 600, RESERVE)]


def test_split_demand_sells_in_parts() -> None:
    """Four who want half each: two lots in a row, or one uniform lot at the third value, and nobody buys twice."""
    lot = lot_of([90_000, 99_000, 93_000, 96_000])
    assert sales(lot, Rules("uniform", 4)) == [(1, 300, 93_000), (3, 300, 93_000)]
    (first, second) = sales(lot, Rules("vickrey", 4))
    assert [first[0], second[0]] == [1, 3]
    assert first[1] == second[1] == 300
    assert second[2] == 93_000


def test_what_is_sold_is_what_was_offered() -> None:
    """Never more than the lot, nobody more than it wants, nobody above its value: every play, every number of buyers."""
    tape = recorded_tape(1, 0)
    for play in PLAYS:
        for buyers in (2, 3, 7, 10):
            rules = Rules(play, buyers)
            for lot, awards in played(tape.lots[::9], rules, Fixed(RESERVE), random.Random(1)):
                by_buyer: dict[int, int] = {}
                for award in awards:
                    by_buyer[award.bid.bidder] = by_buyer.get(award.bid.bidder, 0) + award.energy
                    assert RESERVE <= award.paid <= lot.values[award.bid.bidder]
                assert sum(by_buyer.values()) <= lot.energy
                assert max(by_buyer.values(), default=0) <= rules.wanted(lot.energy)


def test_a_bid_after_the_close_counts_for_nothing() -> None:
    """The better buyer is 0.3 s away and the lot closes 0.2 s after the first bid; with 1.1 s it is in time."""
    lot = lot_of([90_000, 99_000], delays=[0.001, 0.3])
    assert sales(lot, Rules("vickrey", 2)) == [(0, 600, RESERVE)]
    assert sales(lot, Rules("vickrey", 2, closing_s=1.1)) == [(1, 600, 90_000)]


def test_a_rival_who_is_not_back_in_time_has_lost() -> None:
    """English: displaced, it hears so after one way and answers after another: 0.3 s, and 0.2 s are allowed."""
    lot = lot_of([99_000, 98_000], delays=[0.15, 0.001])
    ((buyer, _, paid),) = sales(lot, Rules("english", 2, closing_s=0.2))
    assert buyer == 1
    assert paid < 70_000


def test_values_below_the_reserve_sell_nothing() -> None:
    """In no play."""
    for play in PLAYS:
        assert sales(lot_of([60_000, 64_999]), Rules(play, 2)) == []


def test_bidders_hear_what_came_of_their_bids() -> None:
    """Winner, displaced and losers: what a strategy that learns is told."""
    heard: list[tuple[int, str]] = []

    class Listener:
        def __init__(self, number: int, limit: int) -> None:
            self.number = number
            self._shipped = UpTo(MicroPerKwh(limit), STRATEGIES["truthful"], random.Random(0))

        def offer(self, ask: MicroPerKwh, energy: Wh) -> MicroPerKwh | None:
            return self._shipped.offer(ask, energy)

        def won(self, award: Award) -> None:
            heard.append((self.number, f"won at {award.paid}"))

        def lost(self, bid: Bid, how: Loss) -> None:
            heard.append((self.number, f"{how.name} with {bid.price}"))

    lot, wants = lot_of([0, 0]), dict.fromkeys(range(2), Wh(600))
    for play, expected in (
        ("vickrey", [(1, "won at 90000"), (0, "ANOTHER_WON with 90000")]),
        ("english", [(0, "OUTBID with 90000"), (1, "won at 96000")]),
    ):
        heard.clear()
        bidders = {0: Listener(0, 90_000), 1: Listener(1, 96_000)}
        rules = Rules(play, 2)
        auction(Table(MECHANISMS[play], rules.terms(Wh(600), RESERVE), bidders, wants, lot))
        assert heard == expected


@pytest.mark.parametrize("play", ["english", "first-price", "vickrey", "uniform", "first-above-reserve"])
def test_the_full_cores_sell_the_same(play: str) -> None:
    """To the same buyers, the same Wh at the same µ: desk, buyers, sessions and promises in the simulated network."""
    lots = [levelled(lot) for lot in recorded_tape(1, 0).lots[::7] if max(lot.values) >= RESERVE]
    assert len(lots) >= 5
    for lot in lots:
        for rules in (Rules(play, 2), Rules(play, 5, "added"), Rules(play, 3)):
            if is_one_auction(lot, rules):
                assert [Sold(*sale) for sale in sorted(sales(lot, rules))] == sold(lot, RESERVE, rules)


def test_what_one_auction_does_not_sell_is_not_compared() -> None:
    """A daemon's settings hold one limit, and over several lots it changes."""
    with pytest.raises(ValueError, match="at least the lot"):
        sold(levelled(lot_of([90_000] * 4)), RESERVE, Rules("vickrey", 4))
