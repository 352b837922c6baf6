"""What a generator is told and what it tells: the contract between a bench and its load."""

from typing import Final, Literal

import msgspec

LEAD_EVERY: Final = 10
"""One bid in so many leads."""
FIRST_DEVICE: Final = 1_000
LOSING_MICRO: Final = 130_000
"""Losing bids begin here, µ/kWh: above the reserve of 12.5 c/kWh."""
LEADING_MICRO: Final = 1_000_000
"""Leading bids begin here and rise by one step each: above all losing ones."""

WireName = Literal["etp", "signed", "echo", "json", "mqtt", "grpc"]


class Job(msgspec.Struct):
    """One load phase."""

    host: str
    port: int
    connections: int
    seconds: float
    rate: float = 0.0
    """Bids per second in total, open loop; 0: closed loop, one outstanding bid a connection."""
    wire: WireName = "etp"
    trades: bool = False
    """Confirm each Accept: the mechanism sells at once."""
    begun: int = 0
    """Bids of earlier phases at this server: prices go on from there."""


class Outcome(msgspec.Struct):
    """What came of it; instants in µs."""

    seconds: float = 0.0
    """From the first scheduled bid to the last answer."""
    sent: int = 0
    leading: int = 0
    """Bids that took part."""
    answer_us: list[int] = []
    """Scheduled Bid → Response or Reject(OUTBID) that names it (trades: → Accept)."""
    finished_us: list[int] = []
    """Confirm → Terminate(FINISHED)."""
    lag_us: list[int] = []
    """How late the generator itself was with each scheduled bid."""
    unanswered: int = 0
    wrong: dict[str, int] = {}
    """Answers that are none: TOO_MANY, INVALID, LATE and so on."""
    displaced: int = 0
    """Reject(OUTBID) to a bid that was answered already."""
    cpu_s: float = 0.0
    """The generator's own processor time."""
