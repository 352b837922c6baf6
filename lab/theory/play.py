"""The tasks of the theory experiment: which draws are played through what, and the rows that come of it."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from etp.units import MicroPerKwh
from lab.experiment import Row, Scale, Task
from lab.theory import alone, rooms
from lab.theory.cells import row_of
from lab.theory.games import GAMES
from lab.theory.model import BEST_RESERVE, NO_RESERVE, ONE, drawn
from lab.theory.planted import PLANTED

BIDDERS: Final = tuple(range(2, 11))
RESERVES: Final = (NO_RESERVE, BEST_RESERVE)
GRID: Final = tuple(MicroPerKwh(max(NO_RESERVE, ONE * tenth // 10)) for tenth in range(10))
GRID_GAMES: Final = ("vickrey", "first-price")
SAMPLED: Final = 5
"""Bidders in the draws that are shown one by one."""
PLANTED_BIDDERS: Final = 4
SEEDS: Final = 3
"""Consecutive seeds, from the one that is asked for on."""


class Sizes(NamedTuple):
    """How many draws."""

    mean: int
    """Of each number of bidders and seed; each is played by every mechanism with and without reserve."""
    grid: int
    """Of each number of bidders and seed, for the best reserve."""
    grid_bidders: tuple[int, ...]
    cores: int
    """Of each mechanism, number of bidders and reserve, through the full cores; the first ones of the first seed."""
    planted: int
    sampled: int
    """Shown one by one."""
    at_once: int
    """Draws in one task."""


SIZES: Final[dict[Scale, Sizes]] = {
    "quick": Sizes(mean=40, grid=1_500, grid_bidders=(2,), cores=2, planted=200, sampled=100, at_once=2_000),
    "full": Sizes(
        mean=20_000, grid=20_000, grid_bidders=(2, 5), cores=280, planted=2_000, sampled=1_000, at_once=2_500
    ),
}
"""In full: 4.3 million auctions for the means and 2.4 million for the best reserve through the mechanisms alone, 20,160 of them
through the full cores too."""


def tasks(scale: Scale, seed: int) -> list[Task]:
    """All parts, for seeds `seed` and the next ones."""
    sizes, made = SIZES[scale], list[Task]()
    seeds = range(seed, seed + SEEDS)
    for bidders in BIDDERS:
        for reserve in RESERVES:
            made += _cut(sizes, sizes.mean, seeds, "mean", bidders, reserve)
            made += [_task("cores", game, seed, bidders, reserve, sizes.cores) for game in GAMES]
    for bidders in sizes.grid_bidders:
        made += _cut(sizes, sizes.grid, seeds, "grid", bidders)
    made += [_task("planted", name, seed, sizes.planted) for name in PLANTED]
    made.append(_task("draw", seed, sizes.sampled))
    return made


def _cut(sizes: Sizes, draws: int, seeds: range, part: str, *arguments: Any) -> Iterator[Task]:
    for seed in seeds:
        for first in range(0, draws, sizes.at_once):
            yield _task(part, seed, *arguments, first, min(draws, first + sizes.at_once))


def _task(part: str, *arguments: Any) -> Task:
    named = [f"{part:>10}" if isinstance(part, str) else f"{part:010d}" for part in arguments]
    return Task("/".join([part, *named]), (part, *arguments))


def run(part: str, *arguments: Any) -> list[Row]:
    """The rows of a task."""
    return _PARTS[part](*arguments)


def _mean(seed: int, bidders: int, reserve: MicroPerKwh, first: int, end: int) -> list[Row]:
    """Every mechanism on the same draws."""
    values = drawn(seed, bidders, (first, end))
    return [
        row_of(game, values, alone.played(game, values, reserve), reserve, part="mean", seed=seed)
        for game in GAMES.values()
    ]


def _grid(seed: int, bidders: int, first: int, end: int) -> list[Row]:
    """Every reserve on the same draws."""
    values = drawn(seed, bidders, (first, end))
    return [
        row_of(GAMES[name], values, alone.played(GAMES[name], values, reserve), reserve, part="grid", seed=seed)
        for name in GRID_GAMES
        for reserve in GRID
    ]


def _cores(name: str, seed: int, bidders: int, reserve: MicroPerKwh, draws: int) -> list[Row]:
    """Desk and buyers, and the mechanism alone, on the same draws: the first ones."""
    game, values = GAMES[name], drawn(seed, bidders, (0, draws))
    through_cores, by_mechanism = rooms.played(game, values, reserve), alone.played(game, values, reserve)
    unequal = int((through_cores != by_mechanism).any(axis=1).sum())
    return [row_of(game, values, through_cores, reserve, part="cores", seed=seed, unequal=unequal)]


def _planted(name: str, seed: int, draws: int) -> list[Row]:
    """A game that is played wrongly, told as if it were right."""
    game, values = PLANTED[name], drawn(seed, PLANTED_BIDDERS, (0, draws))
    payments = alone.played(game, values, BEST_RESERVE)
    return [row_of(game, values, payments, BEST_RESERVE, part="planted", seed=seed, deviation=name)]


def _draw(seed: int, draws: int) -> list[Row]:
    """English draws one by one."""
    game, values = GAMES["english"], drawn(seed, SAMPLED, (0, draws))
    payments = alone.played(game, values, NO_RESERVE)
    each = (slice(index, index + 1) for index in range(draws))
    return [row_of(game, values[one], payments[one], NO_RESERVE, part="draw", seed=seed) for one in each]


_PARTS: Final[dict[str, Callable[..., list[Row]]]] = {
    "mean": _mean,
    "grid": _grid,
    "cores": _cores,
    "planted": _planted,
    "draw": _draw,
}
