"""A seeded market: batteries, buyers, links that are slow and break; the digest is all that is on their disks.

Every core is built from the same settings as its daemon, by the same builder, and after a restart from what its disk has kept.
"""

import random
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any, Final

from aggregator_node import build as aggregator
from aggregator_node.buyer import Buyer
from bess_node import build as bess
from bess_node.desk import Desk
from etp.clock import Now
from etp.codes import Role
from etp.discovery import BessDiscovery
from etp.discovery import Event as Heard
from etp.discovery_limits import Address, DiscoveryLimits
from etp.hub import heard
from etp.keys import KeyPair
from etp.limits import Limits
from etp.peers import AggregatorDiscovery
from etp.record import is_signed_by
from etp.registry import Member, Registry
from etp.signed import AnyProfile, Identity, Signed, Signer
from etp.timing import Timing
from etp.units import DeviceId
from runtime.revival import ahead_us, profile_of
from runtime.settings import NodeSettings, SettingsError, parse_address
from sim.air import Air, Listener
from sim.clock import Clock
from sim.dialler import Dialler, Target
from sim.disk import Disk, Left
from sim.invariants import Books
from sim.keyed_hash import HashKey, is_hashed_by
from sim.network import Network, Weather
from sim.node import Node, Tally, Watcher, Yard
from sim.plan import ClockPlan, Plan
from sim.reading import books_of, digest_of
from sim.scheduler import Scheduler

__all__ = ["Plan", "World"]

BESS_PORT: Final = 8700
BUYER_PORT: Final = 40_000
RETRY_S: Final = 1.0
"""A node that refused to start, since its clock went back or its disk is full, is started again after this, s: by its supervisor."""


class World:
    """Build it, run it, look at its nodes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scheduler = Scheduler()
        self.rng = random.Random(plan.seed)
        self.tally = Tally()
        self.network = Network(self.scheduler, plan.weather, self.rng, self.tally.losses)
        self.air = Air(self.network)
        self.yard = Yard(self.scheduler, self.rng, self.tally)
        self.well = False
        """Whether the chaos is over."""
        self.storms: list[tuple[str, float]] = []
        """What makes the weather worse just now: a field of it, and what that is at least."""
        self.tainted: set[int] = set()
        """Devices whose journal was put back, or that ran twice: what they had promised is not theirs to keep any more."""
        self.keys: dict[int, Signer] = {node.device_id: self._key(node) for node in (*plan.batteries, *plan.buyers)}
        self.registry = self._registry()
        self.began = self.scheduler.now()
        self._settings: dict[Node[Any], Any] = {}
        self._homes: dict[Address, Node[Desk]] = {}
        self.batteries: list[Node[Desk]] = [
            self._node(Role.BESS, host, settings) for host, settings in enumerate(plan.batteries)
        ]
        self.buyers: list[Node[Buyer]] = [
            self._node(Role.AGGREGATOR, host, settings)
            for host, settings in enumerate(plan.buyers, start=len(plan.batteries))
        ]
        self.nodes: list[Node[Any]] = [*self.batteries, *self.buyers]
        self.twins: list[Node[Any]] = []
        """Nodes that run beside one with the same identity, on a copy of its journal."""
        self._by_id = {node.device_id: node for node in self.nodes}
        self._seeds = {node: _seed(self._settings[node], self.rng) for node in self.nodes}

    @property
    def hostile(self) -> frozenset[int]:
        """Devices that do not play by the rules."""
        return frozenset(self.plan.hostile)

    def is_genuine(self, sender: int, raw: bytes) -> bool:
        """Whether a record is signed by the device, for this market."""
        member = self.registry.get(sender)
        verify = is_hashed_by if self.plan.hashed else is_signed_by
        return member is not None and verify(member.key, self.registry.network.network_id, raw)

    def watch(self, watcher: Watcher, listener: Listener | None = None) -> None:
        """Tell somebody all that happens, and somebody whose datagrams are believed; before `begin`."""
        self.yard.watch, self.network.told = watcher, watcher.wire
        if all(settings.profile == "signed" for settings in self._settings.values()):
            self.air.watch = listener

    # -- building

    def _key(self, settings: NodeSettings) -> Signer:
        seed = sha256(f"device {settings.device_id}".encode()).digest()
        return HashKey(seed) if self.plan.hashed else KeyPair(seed)

    def _registry(self) -> Registry:
        """Everybody who takes part."""
        roles = [(settings, Role.BESS) for settings in self.plan.batteries]
        both = [*roles, *((settings, Role.AGGREGATOR) for settings in self.plan.buyers)]
        members = (
            Member(DeviceId(node.device_id), role, self.keys[node.device_id].public, node.profile)
            for node, role in both
        )
        return Registry(self.plan.market, members)

    def _node(self, role: Role, host: int, settings: NodeSettings) -> Node[Any]:
        device_id = DeviceId(settings.device_id)
        off = self.plan.clocks.get(device_id, ClockPlan())
        clock = Clock(self.scheduler, offset_us=off.offset_us, drift_ppm=off.drift_ppm, origin_s=off.origin_s)
        make = self.plan.hostile.get(device_id, Node)
        made = make(role, device_id, host, self.yard, clock=clock, disk=Disk())
        made.late_s = off.late_s
        self._settings[made] = settings
        return made

    def _profile(self, node: Node[Any], now: Now) -> AnyProfile:
        settings, identity = self._settings[node], None
        if settings.profile != "plain":
            boot = node.disk.begin_boot(now.wall_us // 1_000_000)
            identity = Identity(node.device_id, node.role, self.keys[node.device_id], boot)
        return profile_of(
            settings,
            mark=node.disk.mark,
            registry=self.registry if identity else None,
            identity=identity,
            now=now,
            verify=is_hashed_by if self.plan.hashed else is_signed_by,
        )

    # -- lives

    def start(self, node: Node[Any]) -> None:
        """Begin a life of a node as its daemon does, once its clock is past all that it can have signed."""
        if node.alive:
            return
        now = node.now()
        try:
            wait_s = ahead_us(node.disk.mark, now) / 1e6
        except SettingsError:
            wait_s = RETRY_S
        if wait_s > 0:
            self.scheduler.call(self.scheduler.time_s + wait_s, self.start, node)
            return
        if self.yard.watch is not None and node.watched:
            self.yard.watch.restart(node.device_id)
        (self._start_battery if node.role is Role.BESS else self._start_buyer)(node, now)
        node.turned(now)

    def _start_battery(self, node: Node[Desk], now: Now) -> None:
        settings, profile = self._settings[node], self._profile(node, now)
        limits = replace(bess.limits_of(settings), **self.plan.limits)
        pays, payment = self.plan.pays, None
        if pays is not None and isinstance(profile, Signed):
            payment = pays(node, settings, profile)
        node.payment = payment
        desk, releasing = bess.revived(
            settings,
            node.disk,
            series=self.plan.series,
            profile=profile,
            limits=limits,
            now=now,
            settlement=payment.settlement if payment else None,
        )
        node.begin(desk, profile, limits)
        if payment is not None:
            payment.began()
        if node.alive:
            node.decided(releasing, now)
        if not node.alive:
            return  # it crashed among the first effects of its life
        if node.writer.quiet:
            self._serve(node)
        else:
            node.on_quiet = partial(self._serve, node)

    def _serve(self, node: Node[Desk]) -> None:
        if not node.core.ready:  # its daemon ends with status 1, and is started again
            node.vanish()
            self.scheduler.call(self.scheduler.time_s + RETRY_S, self.start, node)
            return
        address, now, desk = self._address(node), node.now(), node.core
        node.serving = True
        self._homes[address] = node
        if self.plan.discovered:
            discovery = BessDiscovery(desk.device_id, offer=desk.response, **self._shared(node))
            node.station = self.air.join(address, discovery, node, partial(_blame, node))
            node.station.turn(now)
        if node.alive:
            node.decided(desk.opened(now), now)
            node.turned(now)

    def _start_buyer(self, node: Node[Buyer], now: Now) -> None:
        settings, profile = self._settings[node], self._profile(node, now)
        buyer = aggregator.revived(
            settings,
            node.disk,
            series=self.plan.series,
            seed=self._seeds[node],
            profile=profile,
            now=now,
            purse=self.plan.purse(node) if self.plan.purse is not None else None,
        )
        node.begin(buyer, profile, replace(Limits(), **self.plan.limits))
        address = self._address(node)
        dialler = Dialler(node, address[0], self.network, self._rng(), self._listening)
        if self.plan.discovered:
            dialler.discovery = AggregatorDiscovery(buyer.device_id, **self._shared(node))
            node.station = self.air.join(address, dialler.discovery, node, dialler.heard)
            node.station.turn(now)
        else:
            for battery in self.batteries:
                dialler.reach(Target(self._address(battery), battery.device_id), forever=True)

    def _shared(self, node: Node[Any]) -> dict[str, Any]:
        return {
            "group": parse_address("group", self._settings[node].group),
            "profile": node.profile,
            "rng": self._rng(),
            "limits": replace(DiscoveryLimits(), **self.plan.discovery_limits),
            "timing": Timing(),
        }

    def _rng(self) -> random.Random:
        return random.Random(self.rng.random())

    def _address(self, node: Node[Any]) -> Address:
        port = BESS_PORT if node.role is Role.BESS else BUYER_PORT
        port += node.life if self.plan.moves else 0
        return f"10.0.{node.host // 200}.{node.host % 200 + 1}", port

    def _listening(self, address: Address) -> Node[Desk] | None:
        node = self._homes.get(address)
        return node if node is not None and node.serving else None

    def node(self, device_id: int) -> Node[Any]:
        """The node of a device."""
        return self._by_id[DeviceId(device_id)]

    def crashed(self, node: Node[Any], left: Left) -> None:
        """A node crashed: what it left of the transaction that was on its way is counted."""
        if left in (Left.LOST, Left.TORN):
            self.tally.losses[f"write_{left}"] += 1
        for address in [each for each, listening in self._homes.items() if listening is node]:
            del self._homes[address]

    def twin(self, node: Node[Any], disk: Disk) -> Node[Any]:
        """The same device once more, on another machine, with a disk of its own; it starts."""
        host = len(self.nodes) + len(self.twins)
        twin: Node[Any] = Node(node.role, node.device_id, host, self.yard, clock=Clock(self.scheduler), disk=disk)
        self._settings[twin], self._seeds[twin] = self._settings[node], self._seeds[node] + 1
        twin.watched = False
        self.twins.append(twin)
        self.start(twin)
        return twin

    # -- running

    def run(self) -> str:
        """Play the plan; returns the digest."""
        self.begin()
        self.scheduler.run(self.plan.seconds)
        return self.digest()

    def begin(self) -> None:
        """Every node begins its first life."""
        for node in self.nodes:
            self.start(node)

    def heal(self, weather: Weather) -> None:
        """All is well from now on: network, disks, clocks, devices; who is down starts."""
        self.well, network, now_s = True, self.network, self.scheduler.time_s
        network.weather = weather
        network.open_all()
        for twin in self.twins:
            if twin.alive:
                twin.vanish()
        for node in self.nodes:
            node.clock.set_right()
            node.heal(now_s)
            if not node.alive:
                self.start(node)

    def finish(self, seconds: float) -> None:
        """No new bids; promises are seen through for so long."""
        for buyer in self.buyers:
            buyer.core.stop()
        self.scheduler.run(self.scheduler.time_s + seconds)

    # -- looking

    def settings(self, node: Node[Any]) -> Any:
        """What a node was told."""
        return self._settings[node]

    def books(self) -> Books:
        """All journals, for the invariants."""
        return books_of(self)

    def digest(self) -> str:
        """SHA-256 over all that is on the disks of all nodes and of their clones."""
        return digest_of([*self.nodes, *self.twins])


def _blame(node: Node[Desk], event: Heard, now: Now) -> None:
    """A battery looks for nobody, but keeps what was said in another's name."""
    effects = heard(node.core, event, now)
    if effects:
        node.decided(effects, now)
        node.turned(now)


def _seed(settings: NodeSettings, rng: random.Random) -> int:
    return settings.seed if settings.seed is not None else rng.randrange(2**32)
