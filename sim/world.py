"""A seeded market: batteries, buyers, links that are slow and break; the digest is all that became durable.

Every core is built from the same settings as its daemon, by the same builder.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from aggregator_node.build import buyer_of
from aggregator_node.buyer import Buyer
from aggregator_node.settings import AggregatorSettings
from bess_node.build import desk_of, limits_of
from bess_node.desk import Desk
from bess_node.settings import BessSettings
from bess_node.supply import supply_wh
from etp.codes import Role
from etp.discovery import BessDiscovery, Event, PeerFound
from etp.discovery_limits import Address, DiscoveryLimits
from etp.ids import Ids
from etp.keys import KeyPair
from etp.limits import Limits
from etp.peers import AggregatorDiscovery
from etp.profile import Plain
from etp.registry import Member, Network, Registry
from etp.session import Session
from etp.signed import AnyProfile, Identity, Signed
from etp.timing import Timing
from etp.units import MICRO_PER_CENT, DeviceId, MicroPerKwh, MonotonicS, Wh
from runtime.days import PriceSeries
from runtime.settings import NodeSettings, market_clock
from sim.air import Air
from sim.invariants import BatteryBooks, Books, BuyerBooks
from sim.link import End, Link, Weather
from sim.node import Node
from sim.scheduler import EPOCH_US, Scheduler

RECONNECT_S = (0.02, 0.4)
GROUP: Final = ("239.192.77.77", 8888)
BESS_PORT: Final = 8700
BUYER_PORT: Final = 40_000


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
    """Buyers find batteries by multicast, as daemons do; otherwise every buyer is connected to every battery at once."""


class World:
    """Build it, run it, look at its nodes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scheduler = Scheduler()
        self.rng = random.Random(plan.seed)
        self.registry = _registry(plan)
        self.batteries = [self._battery(settings) for settings in plan.batteries]
        self.buyers = [self._buyer(settings) for settings in plan.buyers]
        self.links = 0
        self.air = Air(self.scheduler, plan.weather, self.rng)
        self.began = self.scheduler.now()

    def _battery(self, settings: BessSettings) -> Node[Desk]:
        now, profile = self.scheduler.now(), self._profile(settings, Role.BESS)
        desk = desk_of(
            settings, series=self.plan.series, level=None, profile=profile, limits=limits_of(settings), now=now
        )
        return Node(Role.BESS, desk, profile, self.scheduler, self.rng)

    def _profile(self, settings: NodeSettings, role: Role) -> AnyProfile:
        """The node's profile; keys are seeded by the device_id, so a run is the same each time."""
        ids = Ids(EPOCH_US)
        if settings.profile == "plain":
            return Plain(ids)
        identity = Identity(DeviceId(settings.device_id), role, _key(settings), EPOCH_US // 1_000_000)
        now = self.scheduler.now()
        return Signed(identity, self.registry, ids, group=GROUP, timing=Timing(), started=now)

    def _buyer(self, settings: AggregatorSettings) -> Node[Buyer]:
        now, profile = self.scheduler.now(), self._profile(settings, Role.AGGREGATOR)
        seed = settings.seed if settings.seed is not None else self.rng.randrange(2**32)
        buyer = buyer_of(settings, series=self.plan.series, seed=seed, profile=profile, now=now)
        return Node(Role.AGGREGATOR, buyer, profile, self.scheduler, self.rng)

    def run(self) -> str:
        """Play the plan; returns the digest."""
        for battery in self.batteries:
            battery.apply(battery.core.opened(self.scheduler.now()))
            battery.watch()
        if self.plan.discovered:
            self._discover()
        else:
            for buyer in self.buyers:
                for battery in self.batteries:
                    self.connect(battery, buyer)
        self.scheduler.run(self.plan.seconds)
        return self.digest()

    def _discover(self) -> None:
        """Put every node on the air; a buyer dials the address of each battery that it finds, once."""
        shared: dict[str, Any] = {"limits": DiscoveryLimits(), "timing": Timing()}
        homes: dict[Address, Node[Desk]] = {}
        for index, battery in enumerate(self.batteries):
            address, desk, rng = (f"10.0.1.{index}", BESS_PORT), battery.core, random.Random(self.rng.random())
            homes[address] = battery
            seller = BessDiscovery(
                desk.device_id, GROUP, offer=desk.response, profile=battery.profile, rng=rng, **shared
            )
            self.air.join(address, seller, lambda _: None).turn()
        for index, buyer in enumerate(self.buyers):
            rng = random.Random(self.rng.random())
            asker = AggregatorDiscovery(buyer.core.device_id, GROUP, profile=buyer.profile, rng=rng, **shared)
            self.air.join((f"10.0.2.{index}", BUYER_PORT), asker, self._dialler(buyer, homes)).turn()

    def _dialler(self, buyer: Node[Buyer], homes: dict[Address, Node[Desk]]) -> Callable[[Event], None]:
        def found(event: Event) -> None:
            if isinstance(event, PeerFound):
                self.connect(homes[event.host, event.port], buyer)

        return found

    def finish(self, seconds: float) -> None:
        """No new bids; promises are seen through for so long."""
        for buyer in self.buyers:
            buyer.core.stop()
        self.scheduler.run(self.scheduler.time_s + seconds)

    def connect(self, battery: Node[Desk], buyer: Node[Buyer]) -> None:
        """A fresh link between a buyer and a battery; when it breaks, another after a while."""
        self.links += 1
        now, link = self.scheduler.now(), Link(self.scheduler, self.plan.weather, self.rng)
        for role, session, happened, gone in (
            (Role.BESS, self._session(battery), battery.happened, battery.gone),
            (Role.AGGREGATOR, self._session(buyer, battery.core.device_id), buyer.happened, buyer.gone),
        ):
            link.ends[role] = End(link, session, happened, gone)
            link.watch(link.ends[role])
        link.ends[Role.AGGREGATOR].send(buyer.core.hello(now, battery.core.device_id))
        link.on_cut = lambda: self.scheduler.after(self.rng.uniform(*RECONNECT_S), lambda: self.connect(battery, buyer))

    def _session(self, node: Node[Desk] | Node[Buyer], expected: DeviceId | None = None) -> Session:
        now = self.scheduler.now()
        return Session(node.role, node.core.device_id, node.profile, Limits(), now, expected=expected)

    def books(self) -> Books:
        """All journals, for the invariants."""
        return Books(
            [
                self._books_of(node, settings)
                for node, settings in zip(self.batteries, self.plan.batteries, strict=True)
            ],
            [BuyerBooks(node.core.device_id, node.disk.rows, node.core.portfolio.demand) for node in self.buyers],
        )

    def _books_of(self, node: Node[Desk], settings: BessSettings) -> BatteryBooks:
        clock = market_clock(settings, self.began)

        def supply(time_us: int) -> Wh:
            return supply_wh(settings, clock.day_start_s, clock.at(MonotonicS((time_us - EPOCH_US) / 1e6)))

        reserve = MicroPerKwh(round(settings.reserve * MICRO_PER_CENT))
        return BatteryBooks(settings.device_id, node.disk.rows, node.disk.bids, reserve, settings.mechanism, supply)

    def digest(self) -> str:
        """SHA-256 over every node's durable rows and bids."""
        digest = sha256()
        for disk in [node.disk for node in self.batteries] + [node.disk for node in self.buyers]:
            for row in disk.rows:
                digest.update(repr((row.kind, row.lot_id, row.state, row.time_us, sorted(row.body.items()))).encode())
            for bid in disk.bids:
                digest.update(repr(bid).encode())
        return digest.hexdigest()


def _key(settings: NodeSettings) -> KeyPair:
    return KeyPair(sha256(f"device {settings.device_id}".encode()).digest())


def _registry(plan: Plan) -> Registry:
    """Everybody who takes part."""
    roles = [(settings, Role.BESS) for settings in plan.batteries]
    both = [*roles, *((settings, Role.AGGREGATOR) for settings in plan.buyers)]
    members = (Member(DeviceId(node.device_id), role, _key(node).public, node.profile) for node, role in both)
    return Registry(Network("simulated"), members)
