"""How strategies do on common tapes: the same seat, the same values, the same rivals; only how the seat bids differs.

Two rooms. *alone*: every buyer wants every lot whole, so that nothing is gained by waiting. *waiting*: what all want in a half-hour
is twice the lot, in equal parts, and the rest of a lot is sold on at once: who waits meets fewer rivals, or finds nothing left.
Two fields. *mixed*: one rival of each fixed strategy. *equilibrium*: four who know the range of values and bid as theory says
(`lab.bidding`).
"""

import random
from collections.abc import Callable, Iterator
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from aggregator_node.strategy import STRATEGIES
from etp.units import MicroPerKwh, money
from lab.bidding import PLAYS
from lab.experiment import Row, Scale, Task
from lab.ledger import TARIFFS
from lab.play import Bidder, Demand, Rules, UpTo
from lab.response import Reply, climb
from lab.seats import Other, Part, Seat, awards_of, contest, gain, in_equilibrium
from lab.tape import Tape, TapeLot, synthetic_tape

FIXED: Final = ("truthful", "random", "conservative", "aggressive")
STRATEGY: Final = "intelligent"
SEATS: Final = 1 + len(FIXED)
MECHANISMS: Final = ("english", "first-price", "vickrey", "uniform", "first-above-reserve")
ROOMS: Final = MappingProxyType[str, Demand]({"alone": "added", "waiting": "split"})
EQUILIBRIUM: Final = "equilibrium"
"""The field of those who bid as theory says, and what the first seat is called where it does so too."""
FIELDS: Final = ("mixed", EQUILIBRIUM)


class Size(NamedTuple):
    """How much is played."""

    tapes: int
    days: int
    searched: int
    """The first so many tapes are searched for replies, since a search plays them dozens of times; at least 2, for an interval."""


SIZES: Final[dict[Scale, Size]] = {"quick": Size(6, 8, 2), "full": Size(24, 45, 6)}
THIRDS: Final = 3
"""The family of replies where lots do not touch each other: by which third of its range the value is in."""
SHARES: Final = (0.0, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.84, 0.88, 0.91, 0.94, 0.96, 0.98, 1.0)
"""Of the way from ask to value, to which a reply goes."""
FEW_SHARES: Final = (0.0, 0.5, 0.75, 0.85, 0.9, 0.95, 1.0)
REPLY: Final = "best found"
"""By search, so that it is a lower bound of the best reply: a strategy outside the family that is searched may gain more."""
PARTS: Final = 3
"""The family where they do: by how many parts of the lot were sold before, the third and later alike."""
STARTS: Final[tuple[Reply, ...]] = ((1.0, 1.0, 1.0), (0.85, 0.95, 1.0))
"""Of the search by parts: who does not wait, and who does."""


def tasks(scale: Scale, seed: int) -> list[Task]:
    """A task per tape and mechanism."""
    size = SIZES[scale]
    return [
        Task(f"{number:03d}/{mechanism}", (seed, number, size.days, mechanism, number < size.searched))
        for number in range(size.tapes)
        for mechanism in MECHANISMS
    ]


def run(seed: int, number: int, days: int, mechanism: str, searched: bool) -> list[Row]:
    """Every strategy, and the replies that are searched, in every room and field of one tape."""
    tape, rows = synthetic_tape(seed, number, days=days), list[Row]()
    for room in ROOMS:
        for field in FIELDS:
            setting = (mechanism, room, field)
            rows += _rows(tape, seed, number, setting)
            if searched:
                rows += SEARCHES[room](tape, seed, number, setting)
    return rows


Setting = tuple[str, str, str]
"""Mechanism, room, field."""


class Result(NamedTuple):
    """What the first seat gained, and all have paid, µ."""

    by_third: tuple[int, ...]
    bought: int
    paid: int


def _rows(tape: Tape, seed: int, number: int, setting: Setting) -> Iterator[Row]:
    for name in (*FIXED, STRATEGY):
        result = play(tape, setting, Seat(STRATEGIES[name].fresh(), _rng(seed, number, 0)), seed, number)
        yield _row(tape, number, setting, name, result)
    if setting[2] == EQUILIBRIUM:
        result = play(tape, setting, in_equilibrium(setting[0]), seed, number)
        yield _row(tape, number, setting, EQUILIBRIUM, result)


def _rng(seed: int, number: int, place: int) -> random.Random:
    return random.Random(f"{seed} {number} {place}")


def _row(tape: Tape, number: int, setting: Setting, name: str, result: Result, *, share: float = -1.0) -> Row:
    mechanism, room, field = setting
    low, middle, high = result.by_third
    return {
        "mechanism": mechanism,
        "room": room,
        "field": field,
        "strategy": name,
        "share": share,
        "tape": number,
        "offered_wh": sum(lot.energy for lot in tape.lots),
        "bought_wh": result.bought,
        "gained_micro": low + middle + high,
        "low_micro": low,
        "middle_micro": middle,
        "high_micro": high,
        "paid_micro": result.paid,
    }


def play(tape: Tape, setting: Setting, seat: Seat, seed: int, number: int) -> Result:
    """The seat plays the tape."""
    mechanism, room, field = setting
    rules = Rules(mechanism, SEATS, ROOMS[room])
    other = mixed(seed, number) if field == "mixed" else equilibrium(mechanism)
    gained, bought, paid = [0] * THIRDS, 0, 0
    for lot, sales in contest(tape.lots, rules, TARIFFS.base, seat, other):
        for award in awards_of(sales):
            paid += money(award.paid, award.energy)
            if award.bid.bidder == 0:
                gained[third(lot)] += gain(lot.values[0], award)
                bought += award.energy
    return Result(tuple(gained), bought, paid)


def third(lot: TapeLot) -> int:
    """In which third of its range the first seat's value is."""
    width = lot.common - lot.lowest
    return min(THIRDS - 1, (lot.values[0] - lot.lowest) * THIRDS // width) if width > 0 else 0


# -- the others


def mixed(seed: int, number: int) -> Other:
    """One rival of each fixed strategy."""
    rngs = [_rng(seed, number, place) for place in range(SEATS)]

    def other(part: Part, place: int) -> Bidder:
        return UpTo(part.lot.values[place], STRATEGIES[FIXED[place - 1]], rngs[place])

    return other


def equilibrium(mechanism: str) -> Other:
    """Rivals who bid as theory says."""
    play, rng = PLAYS[mechanism], random.Random(0)  # their strategies draw nothing
    strategy = STRATEGIES[play.strategy]

    def other(part: Part, place: int) -> Bidder:
        value = part.lot.values[place]
        takes_part = value >= part.known.reserve
        return UpTo(play.limit(part.known, value) if takes_part else MicroPerKwh(0), strategy, rng)

    return other


# -- the best reply


def _replying(mechanism: str, share_of: Callable[[Part], float]) -> Seat:
    """A seat that goes to a share of the way from the reserve to its value, as the mechanism is played."""

    def limit(part: Part, value: MicroPerKwh) -> MicroPerKwh:
        reserve = part.known.reserve
        return MicroPerKwh(reserve + int((value - reserve) * share_of(part))) if value >= reserve else MicroPerKwh(0)

    return Seat(STRATEGIES[PLAYS[mechanism].strategy], random.Random(0), limit)


def _by_thirds(tape: Tape, seed: int, number: int, setting: Setting) -> Iterator[Row]:
    """Lots do not touch each other: each share is played once, and the best of each third is chosen when all searched tapes are there."""
    for share in SHARES:
        seat = _replying(setting[0], lambda _, share=share: share)  # type: ignore[misc]
        yield _row(tape, number, setting, REPLY, play(tape, setting, seat, seed, number), share=share)


def _by_parts(tape: Tape, seed: int, number: int, setting: Setting) -> Iterator[Row]:
    """Lots do touch each other: the best reply to this tape, known only afterwards."""

    @cache
    def result(reply: Reply) -> Result:
        firsts: dict[int, int] = {}

        def share_of(part: Part) -> float:
            first = firsts.setdefault(part.period, part.number)
            return reply[min(part.number - first, PARTS - 1)]

        return play(tape, setting, _replying(setting[0], share_of), seed, number)

    def gained(reply: Reply) -> int:
        return sum(result(reply).by_third)

    found = (climb(gained, [FEW_SHARES] * PARTS, start, passes=2) for start in STARTS)
    best, _ = max(found, key=lambda reached: reached[1])
    yield _row(tape, number, setting, REPLY, result(best))


SEARCHES: Final = MappingProxyType({"alone": _by_thirds, "waiting": _by_parts})
"""By room."""
