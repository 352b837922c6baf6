"""A buyer's connections in one life: which batteries it dials is `aggregator_node.dialling`'s to say, how it fares the network's."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from aggregator_node.buyer import Buyer
from aggregator_node.dialling import DIAL_TIMEOUT_S, Dials
from bess_node.desk import Desk
from etp.clock import Now
from etp.codes import Role
from etp.discovery import Event, PeerFound, PeerMoved
from etp.discovery_limits import Address
from etp.hub import admitted, heard
from etp.peers import AggregatorDiscovery
from etp.session import Session, Violation
from etp.units import DeviceId
from sim.link import End, Link
from sim.network import Network
from sim.node import Node


class Target(NamedTuple):
    """Whom to dial."""

    address: Address
    device_id: DeviceId | None


class Dialler:
    """See the module. `at`: the battery that listens at an address now, if there is one."""

    def __init__(
        self, node: Node[Buyer], address: str, network: Network, rng: Random, at: Callable[[Address], Node[Desk] | None]
    ) -> None:
        self.discovery: AggregatorDiscovery | None = None
        self._node, self._address, self._network, self._at = node, address, network, at
        self._dials = Dials(rng)
        self._began_s: dict[Target, float] = {}
        self._targets: dict[End, Target] = {}
        node.ended = self._ended
        node.beside.append(self._dials)

    def heard(self, event: Event, now: Now) -> None:
        """What discovery says."""
        if isinstance(event, Violation):
            self._node.decided(heard(self._node.core, event, now), now)
            self._node.turned(now)
        elif isinstance(event, PeerFound | PeerMoved):
            self.reach(Target((event.host, event.port), event.device_id))

    def reach(self, target: Target, *, forever: bool = False) -> None:
        """Keep a connection to an address."""
        if self._dials.reach(target.address, forever=forever):
            self._dial(target)

    def _dial(self, target: Target) -> None:
        node, network = self._node, self._network
        self._began_s[target] = node.clock.monotonic_s
        battery = self._at(target.address)
        way_s = network.delay_s() + network.delay_s()
        if battery is None:
            node.later(way_s, self._over, target)
        elif not (network.passes(node.host, battery.host) and network.passes(battery.host, node.host)):
            node.later(DIAL_TIMEOUT_S, self._over, target)
        else:
            node.later(way_s, self._connected, target)

    def _connected(self, target: Target) -> None:
        battery, node = self._at(target.address), self._node
        if battery is None:
            self._over(target)
            return
        link, now = Link(self._network), node.clock.now()
        node.tally.links += 1
        ours = End(
            link,
            node,
            Session(Role.AGGREGATOR, node.device_id, node.profile, node.limits, now, expected=target.device_id),
        )
        link.join(_answered(battery, link, self._address), ours)
        self._targets[ours] = target
        node.opened(ours)
        ours.send(node.core.hello(now, target.device_id), now)
        node.turned(now)

    def _ended(self, end: End, _: Now) -> None:
        target = self._targets.pop(end, None)
        if target is not None:
            self._over(target)

    def _over(self, target: Target) -> None:
        lasted_s = self._node.clock.monotonic_s - self._began_s.pop(target)
        wait_s = self._dials.ended(target.address, lasted_s=lasted_s)
        if wait_s is not None:
            self._node.later(wait_s, self._dial, target)
        elif self.discovery is not None and target.device_id is not None:
            self.discovery.forget(target.device_id)


def _answered(battery: Node[Desk], link: Link, address: str) -> End:
    """The battery's side of a new connection: it has a place, or is told that there is none."""
    now, desk = battery.clock.now(), battery.core
    session = Session(Role.BESS, battery.device_id, battery.profile, battery.limits, now, quote=desk.quote)
    end = End(link, battery, session)
    if admitted(battery.roster, session, address, now):
        end.address = address
    else:
        battery.dirty.append(end)
        battery.later(0.0, lambda _: battery.turned(battery.now()), None)
    battery.opened(end)
    return end
