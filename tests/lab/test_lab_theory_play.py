"""Games through mechanism and cores: what theory proves comes out of both, and what is planted is found."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lab.experiment import Check
from lab.io.runner import table_of
from lab.theory import alone, play, rooms, study
from lab.theory.cells import cells, row_of
from lab.theory.checks import checks, found, in_the_mean, per_draw
from lab.theory.games import GAMES, Game
from lab.theory.model import BEST_RESERVE, CLOSING_S, INCREMENT, NO_RESERVE, REPLY_S, drawn
from lab.theory.planted import PLANTED
from market.mechanisms import MECHANISMS

EACH = pytest.mark.parametrize("game", GAMES.values(), ids=list(GAMES))


@EACH
@pytest.mark.parametrize("reserve", [NO_RESERVE, BEST_RESERVE], ids=["none", "best"])
@pytest.mark.parametrize("bidders", [1, 2, 5])
def test_the_cores_do_what_the_mechanism_does(game: Game, bidders: int, reserve: int) -> None:
    """The same winners at the same prices, frames, promises and all."""
    values = drawn(1, bidders, (0, 3))
    assert rooms.played(game, values, reserve).tolist() == alone.played(game, values, reserve).tolist()


@EACH
def test_every_draw_is_what_theory_says(game: Game) -> None:
    """Through the mechanism alone."""
    values = drawn(2, 5, (0, 100))
    row = row_of(game, values, alone.played(game, values, BEST_RESERVE), BEST_RESERVE, part="mean", seed=2)
    assert (row["draws"], row["off"]) == (100, 0)


def test_the_games_are_the_shipped_mechanisms() -> None:
    """All but the one that is no auction."""
    assert {game.mechanism for game in GAMES.values()} == set(MECHANISMS.values()) - {MECHANISMS["first-above-reserve"]}


def test_a_lot_waits_for_every_answer() -> None:
    """Otherwise the theory experiment itself would close too early."""
    assert CLOSING_S > REPLY_S


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_deviation_is_found(name: str) -> None:
    """By the checks that pass without it."""
    rows = play.run("planted", name, 1, 300)
    (cell,) = cells(pa.Table.from_pylist(rows), "planted")
    assert found(cell).passed
    assert not (per_draw([cell]).passed and in_the_mean([cell]).passed)
    right = GAMES[cell.mechanism]
    values = drawn(1, play.PLANTED_BIDDERS, (0, 300))
    row = row_of(right, values, alone.played(right, values, BEST_RESERVE), BEST_RESERVE, part="planted", seed=1)
    (sound,) = cells(pa.Table.from_pylist([row]), "planted")
    assert not found(sound).passed


def test_a_deviation_of_the_mean_alone_is_found() -> None:
    """Every price within its increment, but all of them on one side: the mean says so where draws are many."""
    game, values = GAMES["english"], drawn(3, 4, (0, 400))
    payments = alone.played(game, values, BEST_RESERVE)
    high = np.where(payments > 0, payments + 4 * INCREMENT, 0)
    row = row_of(game, values, high, BEST_RESERVE, part="mean", seed=3)
    (cell,) = cells(pa.Table.from_pylist([row]), "mean")
    many = replace(
        cell, **{name: getattr(cell, name) * 1_000 for name in ("draws", "paid_micro_per_kwh", "revenue_squares")}
    )
    assert in_the_mean([cell]).passed
    assert not in_the_mean([many]).passed


def test_full_is_as_large_as_it_says() -> None:
    """20,000 draws for each mean, more than a million auctions alone, 20,000 of them through the full cores."""
    tasks, sizes = play.tasks("full", 1), play.SIZES["full"]
    assert sizes.mean >= 20_000
    drawn_alone = sum(
        end - first for part, *_, first, end in (task.arguments for task in tasks if task.arguments[0] == "mean")
    )
    assert drawn_alone == len(play.BIDDERS) * len(play.RESERVES) * play.SEEDS * sizes.mean
    assert drawn_alone * len(GAMES) > 1_000_000
    assert sum(int(str(task.arguments[-1])) for task in tasks if task.arguments[0] == "cores") >= 20_000


# -- the statements


@pytest.fixture(scope="module")
def rows() -> list[dict[str, int | float | str | bool]]:
    """A small run: fewer numbers of bidders, one draw through the cores."""
    seeds, made = (1, 2), []
    for seed in seeds:
        for bidders in (2, 3):
            for reserve in play.RESERVES:
                made += play.run("mean", seed, bidders, reserve, 0, 150)
    made += play.run("grid", 1, 2, 0, 2_000)
    made += play.run("cores", "vickrey", 1, 2, NO_RESERVE, 1)
    made += play.run("draw", 1, 2)
    for name in PLANTED:
        made += play.run("planted", name, 1, 200)
    return made


def failed(rows: list[dict[str, int | float | str | bool]]) -> list[Check]:
    """The checks that do not hold of these rows."""
    return [check for check in checks(table_of(rows)) if not check.passed]


def test_all_statements_hold(rows: list[dict[str, int | float | str | bool]]) -> None:
    """And each says by which numbers."""
    assert failed(rows) == []
    assert all(check.said for check in checks(table_of(rows)))


def changed(row: dict[str, int | float | str | bool], **others: float) -> dict[str, int | float | str | bool]:
    """A row with other numbers."""
    return {**row, **others}


def test_one_draw_that_is_off_fails(rows: list[dict[str, int | float | str | bool]]) -> None:
    """Of any mechanism."""
    first, *others = rows
    assert [check.name for check in failed([changed(first, off=1), *others])] == [
        "vickrey: winner and price of every draw"
    ]


def test_cores_that_differ_fail(rows: list[dict[str, int | float | str | bool]]) -> None:
    """In one draw."""
    bent = [changed(row, unequal=1) if row["part"] == "cores" else row for row in rows]
    assert [check.name for check in failed(bent)] == ["the full cores do the same"]


def test_another_best_reserve_fails(rows: list[dict[str, int | float | str | bool]]) -> None:
    """0.4 that earned more than 0.5 would be news."""

    def richer(row: dict[str, int | float | str | bool]) -> dict[str, int | float | str | bool]:
        is_it = row["part"] == "grid" and row["reserve_micro_per_kwh"] == 400_000
        return changed(row, paid_micro_per_kwh=int(row["paid_micro_per_kwh"]) * 2) if is_it else row

    assert [check.name for check in failed([richer(row) for row in rows])] == [
        "the best reserve of the grid is Myerson's, 0.5"
    ]


def test_a_bidder_that_is_worth_less_than_a_reserve_fails(rows: list[dict[str, int | float | str | bool]]) -> None:
    """Three without a reserve that brought nothing."""

    def poorer(row: dict[str, int | float | str | bool]) -> dict[str, int | float | str | bool]:
        is_it = row["part"] == "mean" and (row["bidders"], row["reserve_micro_per_kwh"]) == (3, NO_RESERVE)
        return changed(row, paid_micro_per_kwh=0) if is_it else row

    names = [check.name for check in failed([poorer(row) for row in rows])]
    assert "one more bidder is worth no less than the best reserve" in names


def test_no_results_are_no_proof(rows: list[dict[str, int | float | str | bool]]) -> None:
    """Without a grid, without cores, or with one number of bidders, nothing is shown of them."""
    few = [row for row in rows if row["part"] == "mean" and row["bidders"] == 2]
    names = [check.name for check in failed(few)]
    assert names == [
        "the best reserve of the grid is Myerson's, 0.5",
        "one more bidder is worth no less than the best reserve",
        "the full cores do the same",
    ]


def test_a_room_that_does_not_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a draw is up while a Confirm is on its way: the books of both sides differ."""
    monkeypatch.setattr(rooms, "ENOUGH_S", CLOSING_S + 5 * REPLY_S / 2 + 0.004)
    with pytest.raises(rooms.RoomError, match="buyer 100 paid 0"):
        rooms.played(GAMES["vickrey"], np.array([[900_000, 700_000]]), NO_RESERVE)


def test_an_effect_that_nobody_carries_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cores ask for is carried out, or known to change nothing: never dropped unseen."""
    monkeypatch.setattr(rooms, "NOT_CARRIED", frozenset())
    with pytest.raises(
        rooms.RoomError, match=r"device 1.* has (Count|RecordBid)\(.*expected one of Broadcast, Commit, "
    ):
        rooms.played(GAMES["vickrey"], np.array([[900_000, 700_000]]), NO_RESERVE)


def test_all_is_said_in_one_unit(rows: list[dict[str, int | float | str | bool]]) -> None:
    """Shares of the range of values, whether prices or means."""
    said = [check.said for check in checks(table_of(rows)) if "cores" not in check.name]
    assert all("range" in text and "µ" not in text for text in said)


def test_the_method_says_what_was_tried() -> None:
    """Which means chance may move, and which reserves Myerson's is compared with."""
    assert (study.MEANS, study.MEANS_BY_CHANCE) == (216, 162)
    method = " ".join(study.METHOD.split())
    assert "a grid of 10 reserves, 0 (no reserve) to 0.9 in steps of 0.1" in method
    assert "in vickrey and first-price, for 2 and 5 bidders in full, 2 in quick" in method
