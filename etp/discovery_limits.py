"""Bounds of discovery, each with the attack that chose its number, and the addresses that it speaks of."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from etp.codes import MessageType
from etp.timing import TIMING

Address: TypeAlias = tuple[str, int]
"""IPv4 host and port."""

REGISTER_PERIOD_S: Final = TIMING[MessageType.REGISTER].period_s or 60.0
QUERY_PERIOD_S: Final = TIMING[MessageType.QUERY].period_s or 10.0
MISSED_REGISTERS: Final = 3
"""A peer that missed so many is lost (design §3)."""


@dataclass(frozen=True, slots=True)
class DiscoveryLimits:
    """Bounds of discovery on a hostile network. Each says which attack chose its number."""

    reply_delay_ms: float = 50.0
    """A BESS answers after a random time up to this, ms, so that the answers of many do not arrive at once."""
    window_s: float = 1.0
    """In any interval of this length one reply (or probe) goes to one address and port, s; the bounds below count
    over it."""
    replies_per_address: int = 50
    """Replies to one address in a window: a forged source draws 50 × 84 B = 4.2 kB/s from each BESS, no more than
    was sent."""
    pending_replies: int = 1200
    """Replies waiting for their delay: every aggregator that could have a session (`Limits.sessions`) asks within
    50 ms."""
    replies: int = 4800
    """Replies (or probes) to all in a window: with forged sources 4,800 × 84 B = 403 kB/s leave the node, and no
    more than that many sends are remembered, about 1 MB."""
    probes_per_address: int = 50
    """Queries that an aggregator sends to one address for its Registers, in a window: forged ones make no flood."""
    peers: int = 4096
    """Batteries an aggregator knows. About 2 kB each, so forged Responses hold 8 MB at most; a full table refuses
    new ones, so that no flood pushes a known one out."""
    peers_per_address: int = 64
    """Batteries at one address: one host cannot fill the table (it takes 64), a site with more uses `--peer`."""
    frames_per_s: float = 50.0
    """Datagrams read from one address, sustained: 64 batteries say 64 / 10 s + 64 / 60 s, about 8 a second."""
    frame_burst: float = 256.0
    """Datagrams read from one address at once: 64 batteries start, register and answer two Queries: 4 × 64."""
    loopback_factor: int = 64
    """How many hosts' worth 127.0.0.0/8 may be in `probes_per_address`, `peers_per_address`, `frames_per_s` and
    `frame_burst`: demos and benches run hundreds of nodes there, and who sends from there is on this machine already.
    Replies know no such difference."""
    sources: int = 4096
    """Addresses whose rate is measured, the least recent forgotten first: it then begins with a full bucket, so forged
    addresses (4,096 × 0.3 kB = 1.2 MB) can loosen this limit and never tighten it for another address."""
    recent_frames: int = 4096
    """Frames remembered to know a duplicate, the oldest forgotten first: 4,096 × 0.3 kB = 1.2 MB. A duplicate that is
    not known any more does what the first one did: nothing new."""
    recent_s: float = 6.0
    """How long a frame is remembered, s: past Register's 5 s and the skew allowance a repeated one is late anyway."""
    peer_expiry_s: float = MISSED_REGISTERS * REGISTER_PERIOD_S + 15.0
    """Silence after which a peer is lost, s: three Registers missed, and the slack of one that is on its way."""
    contests: int = 64
    """Known batteries whose address another one claims at once; further claims wait for their next Response."""
    contest_probe_s: float = 1.1
    """When the known address is asked whether it still answers, s: past its own limit of one reply a second to us."""
    contest_s: float = 2.5
    """A battery moves only after its known address was silent so long after the claim, s: a forged Response cannot
    lead away from a battery that lives. Probe after 1.1 s, delay and travel leave a second to spare."""
    period_jitter: float = 0.05
    """Periods are shortened by up to this share, so that nodes started together do not stay in step, and more than
    `replies_per_address` aggregators of one host all get their answers in turn."""

    def __post_init__(self) -> None:
        if self.peer_expiry_s <= MISSED_REGISTERS * REGISTER_PERIOD_S:
            raise ValueError(f"peer_expiry_s is {self.peer_expiry_s}; more than {MISSED_REGISTERS * REGISTER_PERIOD_S}")
        if not self.window_s < self.contest_probe_s < self.contest_s:
            raise ValueError(f"contest_probe_s is {self.contest_probe_s}; between window_s and contest_s")
        if not 0.0 <= self.period_jitter < 1.0:
            raise ValueError(f"period_jitter is {self.period_jitter}; 0 to less than 1")
        if self.replies < self.pending_replies:
            raise ValueError(f"replies is {self.replies}; at least pending_replies ({self.pending_replies})")
