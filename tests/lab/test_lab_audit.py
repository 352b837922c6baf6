"""The audit: what it counts is what happened, and it sees a lie that is there."""

import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from etp.units import MicroPerKwh, Wh
from lab import misreports
from lab.audit import FACTORS, audited, raised
from lab.experiment import Cell, Row
from lab.ledger import TARIFFS
from lab.lies import THIRDS, Case, read
from lab.misreports import MOST_GAIN, run
from lab.play import Rules
from lab.seats import awards_of, contest, in_equilibrium
from lab.tape import Tape, synthetic_tape
from lab.tournament import equilibrium
from lab.welfare import best_welfare


@pytest.fixture(scope="module")
def tape() -> Tape:
    """Three days."""
    return synthetic_tape(1, 0, days=3)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Four tapes of one day."""
    return pa.Table.from_pylist(
        [row for number in range(4) for mechanism in misreports.MECHANISMS for row in run(1, number, 1, mechanism)]
    )


def test_the_best_welfare_by_hand(tape: Tape) -> None:
    """1,000 Wh among three who want two thirds each: the best whole want, the second's rest; nobody below the owner's worth."""
    lot = tape.lots[0]._replace(
        energy=Wh(900), values=tuple(MicroPerKwh(TARIFFS.base + rise) for rise in (10, 3000, 1000))
    )
    assert best_welfare(lot, Rules("uniform", 3, "split"), TARIFFS.base) == 600 * 3000 // 1000 + 300 * 1000 // 1000
    assert best_welfare(lot, Rules("uniform", 3, "added"), TARIFFS.base) == 2700
    poor = lot._replace(values=(MicroPerKwh(1),) * 3)
    assert best_welfare(poor, Rules("uniform", 3, "added"), TARIFFS.base) == 0


def test_an_honest_vickrey_auction_is_efficient_and_tempts_its_owner(tape: Tape) -> None:
    """All of the welfare; nobody pays too much; a bid just below the best would bring the winners' whole gain but 1 µ a kWh."""
    found = audited(tape, Rules("vickrey", 2, "added"))
    assert (found.welfare, found.too_dear, found.too_cheap) == (found.best, 0, 0)
    winners = found.welfare - (found.paid - TARIFFS.base * found.sold // 1000)
    assert 0 < winners - found.invented <= found.sold // 1000 + 2 * len(tape.lots)


@pytest.mark.parametrize("mechanism", ["first-price", "english", "first-above-reserve"])
def test_where_the_winner_pays_its_bid_nothing_is_to_be_invented(tape: Tape, mechanism: str) -> None:
    """One more bid below the best changes nothing."""
    assert audited(tape, Rules(mechanism, 3, "added")).invented == 0


def test_a_bidder_who_goes_too_far_pays_too_much_and_is_seen(tape: Tape) -> None:
    """A quarter above its value in a vickrey auction: awards above the value are counted, and it gains less."""
    rules = Rules("vickrey", 3, "added")
    honest, over = audited(tape, rules), audited(tape, rules, factor=1.5)
    assert over.too_dear > 0 == honest.too_dear
    assert sum(over.gained) < sum(honest.gained)
    assert over.welfare < honest.welfare


def test_who_asks_for_less_gets_no_more_than_that(tape: Tape) -> None:
    """Half of two thirds of each lot, in one auction and over several in a row."""
    for mechanism in ("uniform", "vickrey"):
        rules = Rules(mechanism, 3, "split")
        seat = in_equilibrium(mechanism, asks=0.5)
        for lot, sales in contest(tape.lots, rules, TARIFFS.base, seat, equilibrium(mechanism)):
            bought = sum(award.energy for award in awards_of(sales) if award.bid.bidder == 0)
            assert bought <= round(rules.wanted(lot.energy) / 2)


def test_demand_reduction_pays_where_the_own_rest_sets_the_price() -> None:
    """Uniform, three who want two thirds each: half of it is won at the third's price. Where wants fill the lot it gains nothing."""
    tape = synthetic_tape(1, 1, days=8)
    gained = {
        (buyers, asks): sum(audited(tape, Rules("uniform", buyers, "split"), asks=asks).gained)
        for buyers in (3, 4)
        for asks in (0.5, 1.0)
    }
    assert gained[3, 0.5] > 1.1 * gained[3, 1.0]
    assert gained[4, 0.5] < gained[4, 1.0]


def test_a_raised_reserve_is_kept(tape: Tape) -> None:
    """At the price of the half-hour nobody buys; half way nothing is sold below it."""
    rules = Rules("first-price", 2, "added")
    assert audited(tape, rules, reserve_of=raised(1.0)).sold == 0
    half = audited(tape, rules, reserve_of=raised(0.5))
    assert half.too_cheap == 0
    assert half.paid > 0


def test_the_report_judges_draws_and_says(table: pa.Table) -> None:
    """Rationality and efficiency hold on any tape; taking the first bid is not efficient."""
    judged = {check.name: check for check in misreports.checks(table)}
    assert all(check.passed for name, check in judged.items() if "nobody pays" in name or "welfare" in name)
    assert judged["vickrey: an invented bid would gain the owner, who must be trusted"].passed
    assert judged["first-price: an invented bid gains the owner nothing"].passed
    found = read(table)
    assert found["first-above-reserve", "added", 4].efficiency() < 0.98 < found["vickrey", "added", 4].efficiency()
    assert found["vickrey", "split", 3].efficiency() == pytest.approx(1.0)
    canvas = Figure()
    misreports.draw(table, canvas)
    assert canvas.axes
    assert len(misreports.rows(table)) == len(found) == 5 * 3 + 3 * 2
    assert f"In {4 * 21} plays of 4 tapes 0 awards" in misreports.said(table)


def case(gains: dict[float, list[int]], honest: list[int], less: list[int] | None = None) -> Case:
    """Bidders' gains by factor and tape, and by asking for half; the whole gain in the lowest third."""

    def rows(by_tape: list[int]) -> list[Row]:
        none = dict[str, Cell].fromkeys(THIRDS, 0)
        return [
            none
            | {"low_micro": gained, "offered_wh": 1000, "earned_micro": 1000 - gained}  # what one gains another pays
            for gained in by_tape
        ]

    lying = {("bidder", factor, 1.0): rows(gains.get(factor, [0] * len(honest))) for factor in FACTORS}
    lying |= {("bidder", 1.0, 0.5): rows(less)} if less is not None else {}
    return Case(2, {("nobody", 1.0, 1.0): rows(honest), **lying, ("bidder", 1.0, 1.0): rows(honest)})


def test_a_lie_is_judged_where_it_was_not_chosen() -> None:
    """What was best on one half brings on the other what it brings there."""
    lucky = case({0.5: [200, 100] * 4}, [100, 110] * 4)
    # On the even tapes 0.5 is best, on the odd ones honesty: each is judged on the other half.
    assert lucky.crossed("bidder", "low_micro") == [100, 100] * 4


def test_the_quantity_is_a_lie_of_its_own() -> None:
    """It counts where it is asked for, and a check that it gains fails where it does not, or not for sure."""
    reduced = case({0.9: [103, 104] * 8}, [100, 100] * 8, [130, 131] * 8)
    assert reduced.lie_gains().estimate == pytest.approx(0.035)
    assert reduced.lie_gains(less=True).estimate == pytest.approx(0.305)
    assert (reduced.divided, reduced.asked_for()) == (True, "0.50, 1.00")
    assert reduced.owner_loses(misreports.HALF).estimate == pytest.approx(30.5)
    assert misreports.reduces(reduced).passed
    assert not misreports.no_lie("uniform", [reduced]).passed
    useless, unsure = (case({}, [100, 100] * 8, less) for less in ([90, 101] * 8, [0, 0, 300, 300] * 4))
    assert not misreports.reduces(useless).passed
    assert not misreports.reduces(unsure).passed


@pytest.mark.parametrize(
    ("lying", "passed", "said"),
    [
        ([100, 100, 101, 101] * 4, True, "with 2"),
        ([60, 60, 160, 160] * 4, False, "(not decided)"),
        ([110, 110, 111, 111] * 4, False, "(it does)"),
    ],
)
def test_ignorance_is_not_honesty(lying: list[int], passed: bool, said: str) -> None:
    """Only an interval below 2 % says that no lie gains so much; a wide one decides nothing."""
    check = misreports.no_lie("vickrey", [case({0.5: lying}, [100] * 16)])
    assert (check.passed, check.said[-len(said) :]) == (passed, said)
    assert f"{MOST_GAIN:.0%}" in check.name
