"""The experiment on reserve policies: wear is a cost, and the sums are right."""

import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from lab import pricing
from lab.ledger import TARIFFS
from lab.pricing import FORGOTTEN, POLICIES, read, rival, run, trying
from lab.statistics import Interval


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Two tapes of four days."""
    return pa.Table.from_pylist([row for number in (0, 1) for row in run(1, number, 4)])


def test_one_buyer_at_cost_earns_the_feed_in_tariff(table: pa.Table) -> None:
    """It pays the reserve: feed-in plus wear, of which wear is lost."""
    fixed = read(table)["fixed", "vickrey", 1]
    assert fixed.income().estimate == pytest.approx(TARIFFS.feed_in, abs=2)
    assert fixed.share_sold() > 0.1


def test_who_forgets_wear_loses_it_on_every_kwh(table: pa.Table) -> None:
    """The loss is wear times what was sold at the feed-in tariff, and nobody else has one."""
    rows = [row for row in table.to_pylist() if row["buyers"] == 1]
    for row in rows:
        if row["reserve"] == FORGOTTEN:
            assert row["lost_micro"] == pytest.approx(row["sold_wh"] * TARIFFS.wear / 1000, abs=row["trades"])
            assert row["lost_micro"] > 0
        elif row["reserve"] != "soc":
            assert row["lost_micro"] == 0


def test_losses_and_waste_are_seen(table: pa.Table) -> None:
    """An award above a value under any policy, and one below cost under a safe one; energy that nobody has under the fixed one."""
    rows = table.to_pylist()
    wrong = ((FORGOTTEN, "too_dear"), ("optimal", "too_cheap"))
    *_, efficient, rational = pricing.checks(table)
    assert efficient.passed
    assert rational.passed
    assert int(rational.said.rsplit(" ", 1)[1]) > 0  # who forgets wear
    for policy, column in wrong:
        bad = [row | {column: 1} if row["reserve"] == policy else row for row in rows]
        assert not pricing.checks(pa.Table.from_pylist(bad))[-1].passed
    bad = [row | {"welfare_micro": row["welfare_micro"] * 9 // 10} for row in rows]
    assert not pricing.checks(pa.Table.from_pylist(bad))[-2].passed


def test_the_report_judges_draws_and_says(table: pa.Table) -> None:
    """Losses are judged on any tape."""
    judged = {check.name: check.passed for check in pricing.checks(table)}
    assert judged["what is never below feed-in and wear loses nothing"]
    assert judged["who forgets wear sells at a loss, and it shows"]
    canvas = Figure()
    pricing.draw(table, canvas)
    assert len(canvas.axes) == 2
    assert len(pricing.rows(table)) == 2 * len(POLICIES)
    assert "c/kWh" in pricing.said(table)
    assert len(pricing.tasks("quick", 1)) == pricing.SIZES["quick"][0]


def interval(low: float, high: float) -> Interval:
    """In µ/kWh."""
    return Interval((low + high) / 2, low, high, 1.0, 5)


def test_conclusions_follow_the_numbers() -> None:
    """Each is said only where the intervals decide it."""
    assert "worth most where there is none" in rival(interval(10, 20), interval(1, 5), interval(-1, 1))
    assert "do not show" in rival(interval(10, 20), interval(1, 15), interval(-1, 1))
    assert "costs more there than it finds" in trying(interval(-3, -1), interval(-2, -1))
    assert "finds more than trying costs" in trying(interval(1, 2), interval(1, 3))
    assert "do not decide" in trying(interval(-3, -1), interval(-2, 1))


def test_what_is_lost_has_a_denominator(table: pa.Table) -> None:
    """Wear at most per kWh offered, since no more than all of it is sold at the feed-in tariff."""
    (check,) = (check for check in pricing.checks(table) if check.name.startswith("who forgets wear"))
    assert "per kWh offered" in check.said
    lost = float(check.said.split(f"{FORGOTTEN} ")[1].split(",")[0])
    assert 0 < lost * 10_000 < TARIFFS.wear
