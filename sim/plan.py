"""What a simulated market is made of, before anything happens in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aggregator_node.books import Purse
from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from etp.registry import Network
from etp.signed import Signed
from runtime.days import PriceSeries
from sim.network import Weather
from sim.node import Node, Payment

NodeClass = Callable[..., Node[Any]]


@dataclass(frozen=True, slots=True)
class ClockPlan:
    """How a node's clocks are off from the start."""

    offset_us: int = 0
    drift_ppm: float = 0.0
    origin_s: float = 0.0
    late_s: float = 0.0
    """Its timers fire up to this late: its loop is busy with something else."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of."""

    seed: int
    batteries: tuple[BessSettings, ...]
    buyers: tuple[AggregatorSettings, ...]
    series: PriceSeries | None = None
    """The recorded prices, where the settings name days."""
    weather: Weather = Weather()
    seconds: float = 20.0
    discovered: bool = False
    """Buyers find batteries by multicast, as daemons do; otherwise every buyer is told every battery's address."""
    moves: bool = False
    """A battery listens at another port in each life, as one that lets the system choose; it must be discovered, then."""
    hashed: bool = False
    """Signatures are keyed hashes, not Ed25519."""
    clocks: Mapping[int, ClockPlan] = field(default_factory=dict)
    """By device_id."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `etp.limits.Limits` in which its nodes are narrower than a daemon."""
    discovery_limits: Mapping[str, Any] = field(default_factory=dict)
    """The same of `etp.discovery_limits.DiscoveryLimits`."""
    market: Network = Network("simulated")
    """Which market it is; one on a chain where trades are paid."""
    pays: Callable[[Node[Any], BessSettings, Signed], Payment] | None = None
    """Who sees to a battery's money in a life that begins."""
    purse: Callable[[Node[Any]], Purse | None] | None = None
    """What a buyer sees of its escrow in a life that begins; None: it bids as if that were full."""
    hostile: Mapping[int, NodeClass] = field(default_factory=dict)
    """By device_id: the class of a node that bends what the shipped core says."""

    @property
    def may_settle(self) -> bool:
        """Whether its records are such that a chain can verify them."""
        return not self.hashed and all(node.profile == "signed" for node in (*self.batteries, *self.buyers))
