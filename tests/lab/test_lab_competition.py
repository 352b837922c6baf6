"""The experiments of competition, small: rows, checks that can fail, figures, tables, words."""

from functools import cache
from itertools import combinations

import pyarrow as pa
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure as Canvas

from lab import competition, equality, hours, limits, margins, network, reserve_rules, share, timing, years
from lab.bidding import AUCTIONS, TAKING
from lab.competition import COMPETITION, _equivalent, _near
from lab.drawing import STYLE
from lab.experiment import Experiment, Figure
from lab.ledger import Series, Way, rows_of
from lab.play import Rules
from lab.rivals import COUNTS, DEMANDS, read
from lab.rivals_told import said
from lab.shown import BEST, Found, cents, rational
from lab.tape import recorded_tape

SMALL: dict[str, list[tuple[object, ...]]] = {
    "competition": [(1, 0, 2)],
    "hours": [("recorded", 1, 0, 2), ("synthetic", 1, 0, 16)],
    "reserves": [(1, 0, 2)],
    "share": [(1, 0, 2)],
    "margins": [(1, 0, 2)],
    "network": [(1, 0, 50), (1, 1, 50)],
    "timing": [(1, 0, 2)],
    "limits": [(1, 0, 2)],
    "years": [(1, 0, 16, index) for index in range(len(years.WAYS))],
    "cores": [(1, 0, 20)],
}
"""Arguments of tasks that take a second or less."""
OWN = (competition, hours, reserve_rules, share, margins, network, timing, limits, years, equality)
EXPERIMENTS = {experiment.name: experiment for module in OWN for experiment in module.EXPERIMENTS}


@cache
def table_of(name: str) -> pa.Table:
    """The rows of the small tasks."""
    return pa.Table.from_pylist([row for arguments in SMALL[name] for row in EXPERIMENTS[name].run(*arguments)])


@pytest.fixture(scope="module")
def drawn() -> pa.Table:
    """The small competition."""
    return table_of("competition")


def test_all_are_here() -> None:
    """Each experiment once, and each is tried below."""
    assert set(EXPERIMENTS) == set(SMALL)


def test_the_hypothesis_on_two_drawings(drawn: pa.Table) -> None:
    """Every check of the full experiment holds on two drawings already, but for the equalities, which say that two are too few."""
    failed = [check.said for check in competition.checks(drawn) if not check.passed]
    assert [said.partition(":")[0] for said in failed] == ["not decided", "not decided"]


@cache
def noisy() -> Found:
    """Sixteen drawings of what theory says: all auctions earn the same, but for noise of 0.02 c a drawing."""
    even = Series(tuple(range(16)), (1000,) * 16, (500,) * 16, (0,) * 16, (80_000,) * 16, 1, 1)
    uneven = even._replace(earned=tuple(80_000 + 200 * (-1) ** drawing for drawing in range(16)))
    return {
        (play, demand, buyers, "fixed"): even if play == "vickrey" else uneven
        for play in AUCTIONS
        for demand in DEMANDS
        for buyers in COUNTS
    }


def equalities(found: Found) -> list[bool]:
    """The checks of revenue equivalence: first-price, uniform, english."""
    return [
        check.passed for check in (*(_equivalent(found, play) for play in ("first-price", "uniform")), _near(found))
    ]


@pytest.mark.parametrize(
    ("play", "off", "holds"),
    [
        ("first-price", 0, [True, True, True]),
        ("first-price", 500, [False, True, True]),
        ("uniform", 500, [True, False, True]),
        ("english", 500, [True, True, True]),
        ("english", 5000, [True, True, False]),
    ],
)
def test_an_auction_that_earns_otherwise_is_seen(play: str, off: int, holds: list[bool]) -> None:
    """By 0.05 c in one mechanism with one number of buyers: in english that is within its increment, elsewhere it is an error."""
    found = dict(noisy())
    key = (play, "added", 2, "fixed")
    found[key] = found[key]._replace(earned=tuple(earned - off for earned in found[key].earned))
    assert equalities(found) == holds


def test_the_text_says_what_the_second_buyer_is_worth_to_one_who_knows(drawn: pa.Table) -> None:
    """In its first sentence, so that the larger number never stands alone; and that demand is twice the lot."""
    found = read(drawn)
    pure = found["vickrey", "split", 2, BEST].over(found["vickrey", "split", 1, BEST])
    first, *_ = said(drawn).split("\n\n")
    assert cents(pure) in first
    assert "twice the lot" in said(drawn)


def test_a_loss_is_seen(drawn: pa.Table) -> None:
    """One award above the winner's value fails the check of rationality and no other."""
    rows = drawn.to_pylist()
    rows[0] |= {"too_dear": 1}
    passed = {check.name for check in competition.checks(drawn) if check.passed}
    failed = passed - {check.name for check in competition.checks(pa.Table.from_pylist(rows)) if check.passed}
    assert failed == {"nobody pays more than its value, and no owner gets less than feed-in and wear"}


def test_energy_in_the_wrong_hands_is_seen(drawn: pa.Table) -> None:
    """A tenth of vickrey's welfare lost fails its check of efficiency and no other."""
    rows = [
        row | {"welfare_micro": row["welfare_micro"] * 9 // 10} if row["play"] == "vickrey" else row
        for row in drawn.to_pylist()
    ]
    passed = {check.name for check in competition.checks(drawn) if check.passed}
    failed = passed - {check.name for check in competition.checks(pa.Table.from_pylist(rows)) if check.passed}
    assert failed == {"vickrey: at least 98% of the best welfare"}


@pytest.mark.parametrize("name", ["hours", "reserves", "timing", "limits"])
def test_losses_and_waste_are_seen_wherever_bids_are_played(name: str) -> None:
    """One award above the winner's value, and a tenth of all welfare lost, fail these two checks and no other."""
    rows = [row | {"welfare_micro": row["welfare_micro"] * 9 // 10} for row in table_of(name).to_pylist()]
    rows[0] |= {"too_dear": 1}
    checks = EXPERIMENTS[name].checks
    passed = {check.name for check in checks(table_of(name)) if check.passed}
    failed = passed - {check.name for check in checks(pa.Table.from_pylist(rows)) if check.passed}
    rational, efficient = sorted(failed, key=lambda name: "best welfare" in name)
    assert rational.startswith("nobody pays more than its value")
    assert efficient.endswith("at least 98% of the best welfare")


def test_a_rule_that_sells_below_cost_is_told_and_not_judged() -> None:
    """Of others it would be; buyers are judged under every rule."""
    series = Series((0,), (1000,), (1000,), (0,), (0,), 5, 5, 1, 1)
    cheap, dear = series._replace(too_cheap=3), series._replace(too_dear=1)
    assert not rational([series, cheap]).passed
    told = rational([series], [cheap])
    assert (told.passed, told.said) == (
        True,
        "0 of 10 awards above the winner's value, 0 below feed-in and wear; by such rules 3",
    )
    assert not rational([series], [dear]).passed


def test_how_much_a_second_buyer_brings_depends_on_demand() -> None:
    """Less of the gain of ten where all together want less: never the whole story at twice the lot."""
    found = limits.read(table_of("limits"))
    parts = [limits.part_of_the_gain(found, scarcity) for scarcity in (1.1, 1.25, 1.5, 2.0)]
    assert parts == sorted(parts)
    assert parts[0] < 0.2
    assert parts[-1] > 0.9
    assert f"{parts[1]:.0%} at 1.25" in limits.said(table_of("limits"))


@pytest.mark.parametrize("figure", COMPETITION.figures, ids=lambda figure: figure.name)
def test_names_of_lines_lie_beside_each_other(drawn: pa.Table, figure: Figure) -> None:
    """None is on another or outside its panel, at the size at which it is shown."""
    with rc_context(STYLE):
        canvas = Canvas(layout="constrained")
        figure.draw(drawn, canvas)
        canvas.draw_without_rendering()
        for axes in canvas.axes:
            boxes = [text.get_window_extent() for text in axes.texts]
            assert all(axes.bbox.fully_contains(*corner) for box in boxes for corner in box.corners())
            assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]
    assert len(canvas.axes[0].texts) >= 5


@pytest.mark.parametrize("name", ["years", "hours"])
def test_days_are_drawn_again_by_the_fortnight(name: str) -> None:
    """Sixteen days are two blocks."""
    table = table_of(name)
    found = years.read(table) if name == "years" else hours.read(table, "synthetic")
    assert {len(series.clusters) for series in found.values()} <= {1, 2}
    assert years.days(table) == len(set(table["cluster"].to_pylist()))


def test_the_check_fails_where_competition_does_not_pay(drawn: pa.Table) -> None:
    """Two buyers who earn the owner what one does: the checks and the text say so."""
    alone = {
        (row["play"], row["demand"], row["reserve"], row["cluster"]): row["earned_micro"]
        for row in drawn.to_pylist()
        if row["buyers"] == 1
    }
    rows = [
        row | {"earned_micro": alone[row["play"], row["demand"], row["reserve"], row["cluster"]]}
        if row["buyers"] == 2
        else row
        for row in drawn.to_pylist()
    ]
    table = pa.Table.from_pylist(rows)
    assert not any(check.passed for check in competition.checks(table) if "two aggregators earn" in check.name)
    assert "does not hold" in said(table)
    assert "does not hold" not in said(drawn)


def test_a_core_that_differs_is_seen() -> None:
    """One lot sold otherwise fails the check of its play alone."""
    rows = table_of("cores").to_pylist()
    rows[0] |= {"equal": False}
    failed = [check.name for check in equality.checks(pa.Table.from_pylist(rows)) if not check.passed]
    assert failed == [f"{rows[0]['play']}: the full cores sell every lot as the mechanism alone does"]


@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_end_to_end(name: str) -> None:
    """Rows of one shape; checks with numbers; every table, figure and text from the rows alone."""
    experiment: Experiment = EXPERIMENTS[name]
    table = table_of(name)
    assert not any(column.null_count for column in table.columns)
    checks = experiment.checks(table)
    assert checks
    assert all(check.said for check in checks)
    for shown in experiment.tables:
        assert {len(row) for row in shown.rows(table)} == {len(shown.columns)}
    for figure in experiment.figures:
        canvas = Canvas()
        figure.draw(table, canvas)
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in canvas.axes)
    assert experiment.said(table)
    assert "{" not in experiment.said(table) + experiment.method


@pytest.mark.parametrize("name", ["reserves", "share", "limits", "cores", "timing"])
def test_what_small_drawings_show(name: str) -> None:
    """Where two drawings are enough, every check holds."""
    failed = [f"{c.name}: {c.said}" for c in EXPERIMENTS[name].checks(table_of(name)) if not c.passed]
    assert not failed


@pytest.mark.parametrize("name", SMALL)
def test_tasks_are_declared(name: str) -> None:
    """Unique keys; the same seed, the same tasks; full is more than quick."""
    tasks = EXPERIMENTS[name].tasks
    assert tasks("full", 1) == tasks("full", 1) != tasks("full", 2)
    keys = [task.key for task in tasks("full", 1)]
    assert len(keys) == len(set(keys)) >= len(tasks("quick", 1))


def test_the_same_task_gives_the_same_rows() -> None:
    """Also where bids are drawn at random."""
    tape, way = recorded_tape(1, 0), Way(Rules(TAKING[1], 3))
    assert rows_of(tape, way, seed=1) == rows_of(tape, way, seed=1) != rows_of(tape, way, seed=2)
    assert limits.run(1, 0, 1) == limits.run(1, 0, 1)
