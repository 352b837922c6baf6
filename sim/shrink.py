"""A failing script made smaller: what is left of it still breaks the same invariant.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002), with a bound on
how often the market is played again.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from sim.draw import Scenario
from sim.run import Outcome, play

MOST_PLAYS: Final = 200
"""Markets played at most."""
MOST_MESSAGES: Final = 1_500_000
"""And no further one after so many messages in all of them: two or three minutes."""

Kept: TypeAlias = tuple[int, ...]
"""Which faults of a script are left in, by their place in it."""


def shrunk(drawn: Scenario, broken: str, *, replay: Callable[[Scenario], Outcome] = play) -> Kept:
    """The faults that are enough for an invariant to break, by their place in the script; none of them, perhaps."""
    plays = messages = 0

    def fails(kept: Sequence[int]) -> bool:
        nonlocal plays, messages
        outcome = replay(only(drawn, kept))
        plays, messages = plays + 1, messages + outcome.messages
        return broken in {each.name for each in outcome.violations}

    def may_go_on() -> bool:
        return plays < MOST_PLAYS and messages < MOST_MESSAGES

    if fails(()):
        return ()
    kept = list(range(len(drawn.script)))
    size = max(1, len(kept) // 2)
    while may_go_on():
        before, upto = len(kept), len(kept)
        while upto > 0 and may_go_on():  # from the end: what comes after the violation is gone at once
            first = max(0, upto - size)
            rest = kept[:first] + kept[upto:]
            kept = rest if fails(rest) else kept
            upto = first
        if size == 1 and len(kept) == before:
            break
        size = max(1, size // 2)
    return tuple(kept)


def only(drawn: Scenario, kept: Sequence[int]) -> Scenario:
    """The same market with a part of its script."""
    return drawn.with_script(tuple(drawn.script[place] for place in kept))


def replay_line(outcome: Outcome, kept: Kept | None = None) -> str:
    """What to type to see it again."""
    part = "" if kept is None else f" --faults {','.join(map(str, kept)) or 'none'}"
    return f"etp sim --seed {outcome.seed} --mode {outcome.mode}{part}"
