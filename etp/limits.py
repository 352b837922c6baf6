"""Named bounds of sessions: each stops one way of using a node up. Injected, never looked up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one node's sessions. The defaults are the design's (§4, Sessions and limits)."""

    sessions: int = 1200
    """Sessions at once; one more gets Terminate(BUSY)."""
    sessions_per_address: int = 32
    """Sessions from one address beyond loopback, so that one host cannot take every place."""
    frames_per_turn: int = 64
    """Frames of one session handled before the others get their turn."""
    violations: int = 3
    """So many frames against the rules end the session."""
    queued_frames: int = 256
    """Frames waiting for one session's socket; beyond it droppable ones go first, then the session is closed."""
    first_frame_s: float = 2.0
    """A session that sends no frame within this is closed, s."""
    rest_of_frame_s: float = 1.0
    """A started frame is complete within this, or the session is closed, s."""
    idle_s: float = 60.0
    """A session without any frame for this long is closed, s."""
    farewell_s: float = 1.0
    """A session that is told to go is closed at the latest after this, whether it reads or not, s."""
    bids_per_s: int = 50
    """Bids of one device per second, sustained."""
    bid_burst: int = 100
    """Bids of one device at once."""
    bid_memory_s: float = 60.0
    """How long a Bid's answer is remembered, s."""
    bid_memory_per_device: int = 3200
    """Remembered Bids of one device: bids_per_s × bid_memory_s + bid_burst, rounded up."""
    devices: int = 4800
    """Devices remembered (their affair, lapses, bid memory); those without an affair are forgotten first."""
    hidden_reserve_tries: int = 3
    """BELOW_RESERVE answers per device and lot while the reserve is hidden."""
    free_declines_per_hour: int = 3
    """Accepts a buyer may decline in an hour before it counts as a lapse."""

    def __post_init__(self) -> None:
        needed = self.bids_per_s * self.bid_memory_s + self.bid_burst
        if self.bid_memory_per_device < needed:
            raise ValueError(f"bid_memory_per_device is {self.bid_memory_per_device}; at least {needed:.0f}")
        if self.devices < self.sessions:
            raise ValueError(f"devices is {self.devices}; at least sessions ({self.sessions})")
