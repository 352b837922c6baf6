"""What the network, the closing time and the cores have to do with an owner's income: what is tried, and how it is judged."""

import re
from collections.abc import Callable, Mapping

import pyarrow as pa
import pytest
from matplotlib.figure import Figure as Canvas

from lab import equality, network, timing
from lab.cores import is_one_auction
from lab.experiment import Check, Row
from lab.play import Rules
from lab.scenario import HOMES
from lab.tape import recorded_tape

KWH = 1000
CENT = 10_000


def test_every_home_meets_every_lot() -> None:
    """Not only those whose number is the home's."""
    drawings, every = network.SIZES["full"]
    met = {(drawing % len(HOMES), network.first_lot(drawing, every)) for drawing in range(drawings)}
    assert met == {(home, first) for home in range(len(HOMES)) for first in range(every)}


def earned(by_net: Mapping[str, tuple[int, ...]], *, usual: int = 8 * CENT) -> pa.Table:
    """Results of four drawings, 1 kWh each: what was earned there, µ."""
    rows: list[Row] = []
    for play in network.PLAYS_TRIED:
        for closing_s in network.CLOSINGS_S:
            for net in network.NETS:
                for cluster, micro in enumerate(by_net.get(net, (usual,) * 4)):
                    sums = {"lots": 1, "offered_wh": KWH, "sold_wh": KWH, "trades": 1, "bids": 1}
                    money = {"paid_micro": micro, "earned_micro": micro, "too_dear": 0, "too_cheap": 0}
                    named = {"play": play, "closing_ms": round(closing_s * 1000), "net": net, "cluster": cluster}
                    rows.append({**named, **sums, **money, "welfare_micro": 1, "best_micro": 1})
    return pa.Table.from_pylist(rows)


def slow(table: pa.Table) -> list[Check]:
    """The checks of what delays cost."""
    return [check for check in network.checks(table) if "less than a tenth" in check.name]


def test_a_cost_must_surely_be_small() -> None:
    """Of 2 c that selling earns a tenth is 0.2: a mean of 0.175 may be more as well, one of 0.1 in every drawing is not."""
    unsure, sure = (8 * CENT, 8 * CENT, 8 * CENT, 8 * CENT - 7000), (8 * CENT - 1000,) * 4
    assert [check.passed for check in slow(earned({network.FAR: unsure}))] == [False] * 3
    assert [check.passed for check in slow(earned({network.FAR: sure}))] == [True] * 3


def test_waste_in_a_calm_network_is_seen() -> None:
    """And shown: a twentieth of the welfare lost by one mechanism there; in a bad network it is shown, but no fault."""

    def judged(net: str) -> Check:
        rows = [row | {"best_micro": 100, "welfare_micro": 100} for row in earned({}).to_pylist()]
        for row in rows:
            lost = 5 if (row["net"], row["play"]) == (net, "vickrey") else 0
            row["welfare_micro"] -= lost
        table = pa.Table.from_pylist(rows)
        assert any("95.0%" in cell for row in network.efficiency_rows(table) if row[0] == net for cell in row)
        (check,) = (check for check in network.checks(table) if "best welfare" in check.name)
        return check

    assert [judged(network.CALM).passed, judged(network.BEYOND).passed] == [False, True]
    assert judged(network.CALM).said == "least with vickrey: 95.00%"


def test_the_text_follows_the_numbers() -> None:
    """An english lot that earned more over slow links would be said to."""
    less, more = (tuple(8 * CENT + sign * part for part in (5000, 6000, 5000, 7000)) for sign in (-1, 1))
    for earning, word in ((less, "less"), (more, "more")):
        said = " ".join(network.said(earned({network.FAR: earning})).split())
        assert re.search(rf"earns its owner 0\.57 c/kWh \[0\.5\d, 0\.6\d\] {word} than over a calm network", said)
    assert "These are 4 lots in 4 drawings" in network.said(earned({}))


@pytest.mark.parametrize("scale", ["quick", "full"])
def test_a_part_of_the_lots_has_a_name(scale: str) -> None:
    """The method says which part is sold: as large as it is."""
    _, every = network.SIZES[scale]  # type: ignore[index]
    assert f"every {network.ORDINALS[every]}" in network.NETWORK.method


@pytest.mark.parametrize("method", [network.NETWORK.method, timing.TIMING.method])
def test_bids_are_those_of_buyers_who_are_heard(method: str) -> None:
    """A reader who compares mechanisms under late bids must know."""
    assert "first-price looks better than it would be" in " ".join(method.split())


@pytest.fixture(scope="module")
def timed() -> pa.Table:
    """Two drawings."""
    return pa.Table.from_pylist(timing.run(1, 0, 2))


def test_closing_times_have_one_scale(timed: pa.Table) -> None:
    """Of all delays, with every point in sight; increments have their own."""
    canvas = Canvas()
    timing.draw(timed, canvas)
    *closings, increments = canvas.axes
    assert [axes.get_title() for axes in closings] == list(timing.DELAYS)
    assert len({axes.get_ylim() for axes in closings}) == 1
    low, high = closings[0].get_ylim()
    heights = [float(y) for axes in closings for line in axes.lines for y in line.get_ydata()]  # type: ignore[union-attr]
    assert low <= min(heights) < max(heights) <= high
    assert increments.get_ylim() != (low, high)


def test_a_step_that_costs_more_than_itself_fails(timed: pa.Table) -> None:
    """And the check says which, and by how much of itself."""

    def poorer(row: Row) -> Row:
        coarse = (row["closing_ms"], row["increment"]) == (0, 1.0)
        return {**row, "earned_micro": int(row["earned_micro"]) - 2 * int(row["offered_wh"]) * 10} if coarse else row

    name = "no increment costs more than itself"
    by_name: Callable[[pa.Table], dict[str, Check]] = lambda table: {c.name: c for c in timing.checks(table)}  # noqa: E731
    assert by_name(timed)[name].passed
    failed = by_name(pa.Table.from_pylist([poorer(row) for row in timed.to_pylist()]))[name]
    assert not failed.passed
    assert failed.said.endswith("that of 1 c/kWh")


def test_what_is_not_compared_is_said() -> None:
    """Lots in a row, from the number of buyers on where nobody takes a whole one."""
    rows = equality.run(1, 0, 50)
    said = " ".join(equality.said(pa.Table.from_pylist(rows)).split())
    assert "demand split among 3 or more aggregators, all mechanisms but uniform) are not compared" in said
    lot = recorded_tape(1, 0).lots[0]
    assert [is_one_auction(lot, Rules("vickrey", buyers)) for buyers in (1, 2, 3, 10)] == [True, True, False, False]
