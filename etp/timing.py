"""Priority and deadline of every message type (the paper's Table II; the lesser where the design asks for less time).

Knows the numbers and how a message's age is judged; knows no clock.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from etp.codes import MessageType
from etp.units import WallUs


class MessageTiming(NamedTuple):
    """One row of Table II."""

    priority: int
    """0 is sent first."""
    max_delay_ms: int
    """Age at the receiver beyond which the message is late."""
    droppable: bool
    """Dropped, counted, instead of sent or read past its deadline."""
    period_s: float | None
    """How often it is sent unasked; None: when there is cause."""


TIMING: Final[dict[MessageType, MessageTiming]] = {
    MessageType.REGISTER: MessageTiming(80, 5000, True, 60.0),
    MessageType.QUERY: MessageTiming(70, 3000, True, 10.0),
    MessageType.RESPONSE: MessageTiming(15, 500, True, None),
    MessageType.BID: MessageTiming(10, 500, False, None),
    MessageType.ACCEPT: MessageTiming(5, 500, False, None),
    MessageType.CONFIRM: MessageTiming(5, 500, False, None),
    MessageType.REJECT: MessageTiming(50, 500, False, None),
    MessageType.TERMINATE: MessageTiming(10, 400, False, None),
    MessageType.DEVICE_FAILURE: MessageTiming(0, 200, False, None),
    MessageType.STATUS: MessageTiming(60, 2000, True, 5.0),
}

REPLY_BUDGET_MS: Final = 500
"""Bid sent → answer received, on the bidder's monotonic clock."""
UNTIMED_ID_BELOW: Final = 2**40
"""In the plain profile an id below this carries no time (older implementations number at random)."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times both roles share. The defaults are the design's."""

    skew_allowance_ms: int = 50
    """Clock skew forgiven when a message's age is judged, ms."""
    future_limit_ms: int = 5000
    """An id further ahead of our clock than this is refused, ms."""
    offset_limit_ms: int = 250
    """A battery whose clock is estimated further off than this is not bid at, ms."""
    confirm_window_ms: int = 1000
    """From an Accept's commit to the last moment its Confirm counts: Accept's 500 + Confirm's 500, ms."""
    accept_commit_limit_ms: int = 400
    """A reservation whose commit took longer is released and its Accept not sent, ms."""
    confirm_retry_ms: int = 1000
    """An unanswered Confirm is sent again after this, then with back-off, ms."""
    response_interval_ms: int = 250
    """Unasked Responses to one session are at least this far apart; the newest only, ms."""
    shutdown_grace_ms: int = 5000
    """Time for open promises to resolve on SIGTERM, ms."""

    def __post_init__(self) -> None:
        accept, confirm = TIMING[MessageType.ACCEPT].max_delay_ms, TIMING[MessageType.CONFIRM].max_delay_ms
        if self.confirm_window_ms < accept + confirm:
            raise ValueError(
                f"confirm_window_ms is {self.confirm_window_ms}; at least {accept + confirm} (Accept + Confirm)"
            )
        if not 0 < self.accept_commit_limit_ms < accept:
            raise ValueError(f"accept_commit_limit_ms is {self.accept_commit_limit_ms}; between 1 and {accept - 1}")


_MAX_DELAY_MS: Final = tuple(TIMING[kind].max_delay_ms for kind in MessageType)


def carries_time(message_id: int) -> bool:
    """Whether an id is a time stamp (plain profile, design §3)."""
    return message_id >= UNTIMED_ID_BELOW


def is_late(kind: int, message_id: int, wall_us: WallUs, *, skew_allowance_ms: int) -> bool:
    """Whether a message is older than its type allows, by the receiver's wall clock."""
    limit_ms = _MAX_DELAY_MS[kind] + skew_allowance_ms
    return carries_time(message_id) and wall_us - message_id > limit_ms * 1000


def is_from_future(message_id: int, wall_us: WallUs, *, future_limit_ms: int) -> bool:
    """Whether a message's stamp is further ahead of the receiver's clock than is believed."""
    return message_id - wall_us > future_limit_ms * 1000
