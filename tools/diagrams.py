"""docs/states.md from the tables of etp/state.py: a diagram and a table of each, and who may say what in which state."""

import sys
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Final

from etp.codes import MessageType, Role
from etp.state import (
    AFFAIR,
    LOT,
    RECEIVE,
    SESSION,
    AffairInput,
    AffairState,
    LotState,
    SessionInput,
    SessionState,
)
from tools.generated import ROOT, attribute_docs, main, table
from tools.protocol_tables import title

PAGE: Final = ROOT / "docs" / "states.md"
FRAME: Final = "a frame"
"""What RECEIVE adds to the moves of a session."""

Move = tuple[Enum, str, Enum]
"""From, cause, to."""


def session_moves() -> list[Move]:
    """The moves of SESSION, and those that a delivered frame makes."""
    heard: dict[Move, None] = {
        (state, FRAME, after): None for (_, state, _), after in RECEIVE.items() if after is not None
    }
    return [*heard, *((state, cause.value, after) for state, row in SESSION.items() for cause, after in row.items())]


def affair_moves() -> list[Move]:
    """The moves of AFFAIR."""
    return [(state, cause.value, after) for state, row in AFFAIR.items() for cause, after in row.items()]


def lot_moves() -> list[Move]:
    """The moves of LOT, in the order of its states; they have no cause of their own."""
    return [(state, "", after) for state, row in LOT.items() for after in LotState if after in row]


def diagram(states: Iterable[Enum], moves: list[Move]) -> str:
    """A mermaid state diagram: the first state begins, a state without a way out ends."""
    known = list(states)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {known[0].value}"]
    pairs: dict[tuple[Enum, Enum], list[str]] = {}
    for state, cause, after in moves:
        pairs.setdefault((state, after), []).append(cause)
    for (state, after), causes in pairs.items():
        label = " or ".join(cause for cause in causes if cause)
        lines.append(f"    {state.value} --> {after.value}" + (f": {label}" if label else ""))
    left = {state for state, after in pairs if state is not after}
    lines += [f"    {state.value} --> [*]" for state in known if state not in left]
    return "\n".join([*lines, "```"])


def states(owner: type[Enum]) -> str:
    """What each state, or input, means."""
    docs = attribute_docs(owner)
    return table(("name", "meaning"), ((member.value, docs[member.name]) for member in owner))


def transitions(states_: Iterable[Enum], moves: list[Move]) -> str:
    """For each state what moves it where; every state has a row."""
    rows = []
    for state in states_:
        ways = [f"{cause} → {after.value}" if cause else after.value for at, cause, after in moves if at is state]
        rows.append((state.value, "; ".join(ways) or "nothing"))
    return table(("in", "moves by"), rows)


def received() -> str:
    """In which states a type is delivered at each role."""
    rows = []
    for kind in MessageType:
        cells = []
        for role in (Role.BESS, Role.AGGREGATOR):
            at = [state.value for state in SessionState if RECEIVE[role, state, kind] is not None]
            cells.append(", ".join(at) or "never")
        rows.append((title(kind), *cells))
    return table(("type", "at a BESS", "at an aggregator"), rows)


PARTS: Final = {
    "session": lambda: diagram(SessionState, session_moves()),
    "session-states": lambda: states(SessionState),
    "session-inputs": lambda: states(SessionInput),
    "session-moves": lambda: transitions(SessionState, session_moves()),
    "received": received,
    "affair": lambda: diagram(AffairState, affair_moves()),
    "affair-states": lambda: states(AffairState),
    "affair-inputs": lambda: states(AffairInput),
    "affair-moves": lambda: transitions(AffairState, affair_moves()),
    "lot": lambda: diagram(LotState, lot_moves()),
    "lot-moves": lambda: transitions(LotState, lot_moves()),
}


def draw(page: Path = PAGE, arguments: tuple[str, ...] = ()) -> int:
    """Draw the page, or check it."""
    return main(page, PARTS, arguments)


if __name__ == "__main__":
    sys.exit(draw(arguments=tuple(sys.argv[1:])))
