"""The audit: what it counts is what happened, and it sees a lie that is there."""

import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from etp.units import MicroPerKwh, Wh
from lab import misreports
from lab.audit import audited, best_welfare, raised, rows_of
from lab.ledger import TARIFFS
from lab.play import Rules
from lab.tape import Tape, synthetic_tape


@pytest.fixture(scope="module")
def tape() -> Tape:
    """Three days."""
    return synthetic_tape(1, 0, days=3)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Four tapes of one day."""
    return pa.Table.from_pylist(
        [
            row
            for number in range(4)
            for row in rows_of(synthetic_tape(1, number, days=1), misreports.MECHANISMS, misreports.COUNTS, number)
        ]
    )


def test_the_best_welfare_by_hand(tape: Tape) -> None:
    """1,000 Wh among three who want two thirds each: the best whole want, the second's rest; nobody below the owner's worth."""
    lot = tape.lots[0]._replace(
        energy=Wh(900), values=tuple(MicroPerKwh(TARIFFS.base + rise) for rise in (10, 3000, 1000))
    )
    assert best_welfare(lot, Rules("uniform", 3, "split")) == 600 * 3000 // 1000 + 300 * 1000 // 1000
    assert best_welfare(lot, Rules("uniform", 3, "added")) == 2700
    poor = lot._replace(values=(MicroPerKwh(1),) * 3)
    assert best_welfare(poor, Rules("uniform", 3, "added")) == 0


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
    found = misreports.read(table)
    assert found["first-above-reserve", 4].efficiency() < 0.98 < found["vickrey", 4].efficiency()
    canvas = Figure()
    misreports.draw(table, canvas)
    assert canvas.axes
    assert len(misreports.rows(table)) == len(misreports.MECHANISMS) * len(misreports.COUNTS)
    assert f"In {4 * 15} tapes 0 awards" in misreports.said(table)
