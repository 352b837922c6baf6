"""The states of a session and of an affair, as tables. Code, diagrams and tests are drawn from these.

A *session* is one TCP connection. An *affair* is what one aggregator has going with one battery: it belongs to the
device, not to the connection, and outlives it. Every state has a row, even if empty.
"""

from enum import StrEnum
from typing import Final

from etp.codes import SENT_BY, MessageType, Role


class SessionState(StrEnum):
    """Where a connection stands."""

    AWAITING = "awaiting"
    """Connected; no valid frame yet, so not bound to a device."""
    OPEN = "open"
    """Bound to the device of its first frame."""
    CLOSING = "closing"
    """A farewell is queued; whatever still arrives is discarded."""
    CLOSED = "closed"
    """Nothing is sent or read any more."""


# By name: to look a member up in its Enum takes ten times as long as to compare with it, and each message asks.
AWAITING: Final = SessionState.AWAITING
OPEN: Final = SessionState.OPEN
CLOSING: Final = SessionState.CLOSING
CLOSED: Final = SessionState.CLOSED
ALIVE: Final = (OPEN, AWAITING)
"""Frames are read and sent."""


class SessionInput(StrEnum):
    """What moves a session besides frames."""

    FAREWELL = "farewell"
    """We queued a Terminate that closes."""
    GONE = "gone"
    """End of file, a lost connection, or the farewell's time is up."""


_HEARD: Final[dict[SessionState, SessionState | None]] = {
    SessionState.AWAITING: SessionState.OPEN,
    SessionState.OPEN: SessionState.OPEN,
    SessionState.CLOSING: None,
    SessionState.CLOSED: None,
}

RECEIVE: Final[dict[tuple[Role, SessionState, MessageType], SessionState | None]] = {
    (role, state, kind): after if kind in SENT_BY[role.peer] else None
    for role in Role
    for state, after in _HEARD.items()
    for kind in MessageType
}
"""(our role, state, type received) → next state; None: the frame is not delivered."""

SESSION: Final[dict[SessionState, dict[SessionInput, SessionState]]] = {
    SessionState.AWAITING: {SessionInput.FAREWELL: SessionState.CLOSING, SessionInput.GONE: SessionState.CLOSED},
    SessionState.OPEN: {SessionInput.FAREWELL: SessionState.CLOSING, SessionInput.GONE: SessionState.CLOSED},
    SessionState.CLOSING: {SessionInput.FAREWELL: SessionState.CLOSING, SessionInput.GONE: SessionState.CLOSED},
    SessionState.CLOSED: {SessionInput.FAREWELL: SessionState.CLOSED, SessionInput.GONE: SessionState.CLOSED},
}


class AffairState(StrEnum):
    """What an aggregator has going at a battery: at most one thing."""

    NONE = "none"
    BIDDING = "bidding"
    """A live bid takes part."""
    RESERVED = "reserved"
    """It won; the reservation is being made durable or its Accept is unresolved."""
    CONFIRMING = "confirming"
    """A Confirm that counts is being made durable (battery), or is unanswered (aggregator)."""


class AffairInput(StrEnum):
    """What moves an affair."""

    TAKES_PART = "takes part"
    FREED = "freed"
    """Rejected, outbid, withdrawn, or its lot is gone."""
    WON = "won"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    FINISHED = "finished"


AFFAIR: Final[dict[AffairState, dict[AffairInput, AffairState]]] = {
    AffairState.NONE: {
        AffairInput.TAKES_PART: AffairState.BIDDING,
        AffairInput.WON: AffairState.RESERVED,  # first-above-reserve answers the Bid with the Accept itself
        AffairInput.FREED: AffairState.NONE,
    },
    AffairState.BIDDING: {
        AffairInput.TAKES_PART: AffairState.BIDDING,
        AffairInput.FREED: AffairState.NONE,
        AffairInput.WON: AffairState.RESERVED,
    },
    AffairState.RESERVED: {
        AffairInput.CONFIRMED: AffairState.CONFIRMING,
        AffairInput.RELEASED: AffairState.NONE,
    },
    AffairState.CONFIRMING: {
        AffairInput.FINISHED: AffairState.NONE,
        AffairInput.RELEASED: AffairState.NONE,
    },
}


class LotState(StrEnum):
    """States of a lot (design §4)."""

    OPEN = "open"
    VOID = "void"
    RESERVED = "reserved"
    RELEASED = "released"
    CONFIRMED = "confirmed"
    SETTLING = "settling"
    SETTLED = "settled"
    REFUNDED = "refunded"


LOT: Final[dict[LotState, frozenset[LotState]]] = {
    LotState.OPEN: frozenset({LotState.RESERVED, LotState.VOID}),
    LotState.VOID: frozenset(),
    LotState.RESERVED: frozenset({LotState.CONFIRMED, LotState.RELEASED}),
    LotState.RELEASED: frozenset(),
    LotState.CONFIRMED: frozenset({LotState.SETTLING}),
    LotState.SETTLING: frozenset({LotState.SETTLED, LotState.REFUNDED}),
    LotState.SETTLED: frozenset(),
    LotState.REFUNDED: frozenset(),
}


def next_affair(state: AffairState, cause: AffairInput) -> AffairState:
    """The affair's next state. Raises KeyError for a move that the table does not have: our own bug, never the peer's."""
    return AFFAIR[state][cause]
