"""How often the settler asks, how long it waits, and how much it takes on. Defaults suit any cluster; the local chain too."""

from dataclasses import dataclass, field

from etp.units import Micro
from runtime.backoff import Backoff


@dataclass(frozen=True, slots=True)
class SettlerTiming:
    """Seconds, but where a name says otherwise."""

    resend_s: float = 2.0
    """A transaction that is not seen to have landed is sent again so often (docs/settlement.md)."""
    poll_first_s: float = 0.1
    """A young transaction is asked for so often: on the local chain it is final after 160 ms."""
    poll_growth: float = 0.2
    """An older one is asked for after this share of its age: a late answer stays late by at most so much."""
    poll_limit_s: float = 30.0
    """However old it is."""
    tick_s: float = 0.05
    """Questions are put on multiples of this, so that they go out many at a time."""
    watch_s: float = 60.0
    """A trade that is held or disputed is looked at so often: it changes within hours."""
    height_s: float = 1.0
    """The block height is asked so often while transactions are on their way."""
    check_s: float = 60.0
    """The network, market and accounts behind an RPC are checked again so often."""
    blockhash_s: float = 1.0
    """A blockhash is used so long: a small part of the 60 s (6 s on the fastest local chain) that it is valid."""
    escrow_s: float = 2.0
    """The escrow of a buyer that was too short is looked at so often, and less with age."""
    default_after_s: float = 30.0
    """So long an escrow must have been seen too short before a default is recorded: a deposit that is on its way arrives."""
    release_margin_s: float = 5.0
    """Held money is asked for so long after its time: the chain's clock lags a little."""
    retry: Backoff = field(default_factory=lambda: Backoff(first_s=1.0, limit_s=60.0))
    """After a transaction that came to nothing."""
    refused_retry: Backoff = field(default_factory=lambda: Backoff(first_s=30.0, limit_s=3600.0))
    """After a refusal that only the operator can change."""
    rpc_retry: Backoff = field(default_factory=lambda: Backoff(first_s=0.5, limit_s=30.0))
    """How long an RPC that fails is left alone."""

    def __post_init__(self) -> None:
        if not 0 < self.tick_s <= self.poll_first_s <= self.poll_limit_s:
            raise ValueError(
                f"tick_s is {self.tick_s}, poll_first_s {self.poll_first_s}, poll_limit_s {self.poll_limit_s}:"
                " expected 0 < tick_s <= poll_first_s <= poll_limit_s"
            )


@dataclass(frozen=True, slots=True)
class SettlerLimits:
    """Bounds of tables and queues."""

    max_entries: int = 100_000
    """Trades in the outbox; with so many no new lot is opened. A day of held trades at one a second fits."""
    sign_at_once: int = 32
    """Transactions signed in one turn: about 10 ms."""
    sends_in_flight: int = 4
    """Requests with transactions on their way to one RPC at a time; what comes meanwhile goes together."""
    sends_waiting: int = 256
    """Nothing more is signed while so many wait for an RPC: their blockhashes grow old."""
    polls_in_flight: int = 8
    """Other questions to one RPC at a time."""
    most_blocks_ahead: int = 300
    """A blockhash is valid for 150 blocks from a block at most about 150 above the finalized one; more is not believed."""
    unsettled_micro: Micro = Micro(1_000_000_000)
    """What one buyer may owe that is not yet on the chain, µ (1,000 USDC); then its bids are refused."""
