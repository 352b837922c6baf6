"""The search for the best reply."""

import pytest

from lab.response import climb


def test_independent_numbers_are_found_exactly() -> None:
    """Each the best of its grid."""
    grid = [0.0, 0.25, 0.5, 0.75, 1.0]
    best, score = climb(lambda reply: -((reply[0] - 0.7) ** 2) - (reply[1] - 0.2) ** 2, [grid, grid], (0.0, 0.0))
    assert best == (0.75, 0.25)
    assert score == pytest.approx(-0.005)


def test_never_worse_than_the_start() -> None:
    """A start that is off the grid and better than all of it stays."""
    assert climb(lambda reply: -abs(reply[0] - 0.3), [[0.0, 1.0]], (0.3,)) == ((0.3,), 0.0)


def test_it_stops_where_nothing_moves() -> None:
    """Two numbers that must change together: a ridge is climbed step by step, within the passes."""
    grid = [number / 4 for number in range(5)]
    asked: list[tuple[float, ...]] = []

    def score(reply: tuple[float, ...]) -> float:
        asked.append(reply)
        return min(reply) - 0.01 * abs(reply[0] - reply[1])

    best, _ = climb(score, [grid, grid], (1.0, 1.0))
    assert best == (1.0, 1.0)
    assert len(asked) == 1 + 2 * 4


def test_a_start_of_another_length_is_refused() -> None:
    """With both numbers."""
    with pytest.raises(ValueError, match="2 numbers for 1 grids"):
        climb(sum, [[1.0]], (1.0, 1.0))
