"""How strategies do on common tapes: the same seat, the same values, the same rivals; only how the seat bids differs.

Two rooms. *alone*: every buyer wants every lot whole, so that nothing is gained by waiting. *waiting*: what all want in a half-hour
is twice the lot, in equal parts, and the rest of a lot is sold on at once: who waits meets fewer rivals, or finds nothing left.
Two fields. *mixed*: one rival of each fixed strategy. *equilibrium*: four who know the range of values and bid as theory says
(`lab.bidding`).
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from aggregator_node.strategy import STRATEGIES
from etp.units import MicroPerKwh
from lab.bidding import PLAYS, Limit, own_value
from lab.experiment import Row, Scale, Task
from lab.ledger import TARIFFS, Account
from lab.play import Bidder, Demand, Rules, UpTo
from lab.response import Reply, climb
from lab.seats import Other, Part, Seat, awards_of, contest, gain, in_equilibrium
from lab.tape import Tape, TapeLot, synthetic_tape
from lab.welfare import Worth

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
"""Where lots touch each other, and a reply is only where to stop (english: a play of it takes five times as long) or near to the value."""
MORE_SHARES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Where it is a bid in one of several sealed lots in a row."""
IN_A_ROW: Final = ("first-price", "vickrey")
FACTORS: Final = (0.8, 0.85, 0.9, 0.94, 0.96, 0.98, 1.0, 1.02, 1.04)
"""Of the way from the reserve to the equilibrium bid, to which a reply goes, and never above its value."""
FEW_FACTORS: Final = (0.97, 1.0, 1.02)
BY_SHARES: Final = "shares"
BY_FACTORS: Final = "scaled equilibrium"
SEARCHED: Final = (BY_SHARES, BY_FACTORS)
"""What the families of replies are called that are searched."""
SHADES: Final = MappingProxyType({"alone": ("first-price",), "waiting": ("english", "first-price", "vickrey")})
"""By room, where the equilibrium bid is not the value: elsewhere to scale it is to go to a share."""
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
    """What the first seat gained, µ, and bought, Wh; what its owner had of it, and what it did to all who took part."""

    by_third: tuple[int, ...]
    bought: int
    account: Account
    worth: Worth


def _rows(tape: Tape, seed: int, number: int, setting: Setting) -> Iterator[Row]:
    for name in (*FIXED, STRATEGY):
        result = play(tape, setting, Seat(STRATEGIES[name].fresh(), _rng(seed, number, 0)), seed, number)
        yield _row(number, setting, name, result)
    if setting[2] == EQUILIBRIUM:
        result = play(tape, setting, in_equilibrium(setting[0]), seed, number)
        yield _row(number, setting, EQUILIBRIUM, result)


def _rng(seed: int, number: int, place: int) -> random.Random:
    return random.Random(f"{seed} {number} {place}")


def _row(number: int, setting: Setting, name: str, result: Result, *, share: float = -1.0) -> Row:
    mechanism, room, field = setting
    low, middle, high = result.by_third
    return {
        "mechanism": mechanism,
        "room": room,
        "field": field,
        "strategy": name,
        "share": share,
        "cluster": number,
        "bought_wh": result.bought,
        "gained_micro": low + middle + high,
        "low_micro": low,
        "middle_micro": middle,
        "high_micro": high,
        **result.account.row(TARIFFS),
        **result.worth.row(),
    }


def play(tape: Tape, setting: Setting, seat: Seat, seed: int, number: int) -> Result:
    """The seat plays the tape."""
    mechanism, room, field = setting
    rules = Rules(mechanism, SEATS, ROOMS[room])
    other = mixed(seed, number) if field == "mixed" else equilibrium(mechanism)
    gained, bought, account, worth = [0] * THIRDS, 0, Account(), Worth()
    for lot, sales in contest(tape.lots, rules, TARIFFS.base, seat, other):
        awards = list(awards_of(sales))
        account.add(lot, awards)
        worth.add(lot, awards, rules, TARIFFS.base)
        for award in awards:
            if award.bid.bidder == 0:
                gained[third(lot)] += gain(lot.values[0], award)
                bought += award.energy
    return Result(tuple(gained), bought, account, worth)


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


def _replying(mechanism: str, to: Limit, share_of: Callable[[Part], float]) -> Seat:
    """A seat that goes to a share of the way from the reserve to a limit, but not above its value, as the mechanism is played."""

    def limit(part: Part, value: MicroPerKwh) -> MicroPerKwh:
        reserve = part.known.reserve
        if value < reserve:
            return MicroPerKwh(0)
        return MicroPerKwh(min(value, reserve + int((to(part.known, value) - reserve) * share_of(part))))

    return Seat(STRATEGIES[PLAYS[mechanism].strategy], random.Random(0), limit)


class Family(NamedTuple):
    """Replies that are searched: so much of the way to a limit."""

    name: str
    to: Limit
    grid: Sequence[float]
    starts: Sequence[Reply]
    passes: int


def families(mechanism: str, room: str) -> Iterator[Family]:
    """Shares of the way to the value; where the equilibrium bid is another, shares of the way to that too."""
    play = PLAYS[mechanism]
    shares = MORE_SHARES if mechanism in IN_A_ROW else FEW_SHARES
    yield Family(BY_SHARES, own_value, SHARES if room == "alone" else shares, STARTS, 2)
    if mechanism in SHADES[room]:
        yield Family(BY_FACTORS, play.limit, FACTORS if room == "alone" else FEW_FACTORS, [(1.0,) * PARTS], 1)


def _by_thirds(tape: Tape, seed: int, number: int, setting: Setting) -> Iterator[Row]:
    """Lots do not touch each other: each share is played once, and the best of each third is chosen when all searched tapes are there."""
    mechanism, room, _ = setting
    for family in families(mechanism, room):
        for share in family.grid:
            seat = _replying(mechanism, family.to, lambda _, share=share: share)  # type: ignore[misc]
            yield _row(number, setting, family.name, play(tape, setting, seat, seed, number), share=share)


def _by_parts(tape: Tape, seed: int, number: int, setting: Setting) -> Iterator[Row]:
    """Lots do touch each other: the best reply to this tape, known only afterwards."""
    mechanism, room, _ = setting
    for family in families(mechanism, room):
        result = _remembered(tape, seed, number, setting, family.to)

        def gained(reply: Reply, result: Callable[[Reply], Result] = result) -> int:
            return sum(result(reply).by_third)

        found = [climb(gained, [family.grid] * PARTS, start, passes=family.passes) for start in family.starts]
        best, _ = max(found, key=lambda reached: reached[1])
        yield _row(number, setting, family.name, result(best))


def _remembered(tape: Tape, seed: int, number: int, setting: Setting, to: Limit) -> Callable[[Reply], Result]:
    """What a reply by parts brings; each is played once."""

    @cache
    def result(reply: Reply) -> Result:
        firsts: dict[int, int] = {}

        def share_of(part: Part) -> float:
            first = firsts.setdefault(part.period, part.number)
            return reply[min(part.number - first, PARTS - 1)]

        return play(tape, setting, _replying(setting[0], to, share_of), seed, number)

    return result


SEARCHES: Final = MappingProxyType({"alone": _by_thirds, "waiting": _by_parts})
"""By room."""
