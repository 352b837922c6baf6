"""The datagrams of a simulated network: to one address or to a group, delayed, lost, doubled, and so out of order."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from etp.clock import Now
from etp.discovery import Event, PeerFound, PeerMoved
from etp.discovery_limits import Address
from etp.units import MonotonicS
from sim.network import Network

if TYPE_CHECKING:
    from sim.node import Node


class DatagramCore(Protocol):
    """What both discoveries have in common."""

    @property
    def group(self) -> Address:
        """Where it listens beside its own address."""

    def receive_datagram(self, data: bytes, source: Address, now: Now) -> None:
        """Take one datagram."""

    def advance(self, now: Now) -> None:
        """Do what is due."""

    def datagrams_to_send(self, now: Now) -> list[tuple[bytes, Address]]:
        """What leaves now."""

    def events(self) -> Iterator[Event]:
        """What was learnt."""

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` is due."""


class Listener(Protocol):
    """Who looks on: whose words datagrams are, and what is made of them (sim.invariants.Callers)."""

    def said(self, sender: int, data: bytes) -> None:
        """A node sends a datagram."""

    def heard(self, listener: "Node[Any]", data: bytes, source: Address) -> None:
        """A datagram reaches a node, as if from `source`."""

    def met(self, listener: "Node[Any]", peer: int, address: Address) -> None:
        """A node takes a peer to be at an address."""

    def deaf(self, listener: "Node[Any]") -> None:
        """What a node heard is forgotten: its life is over."""


class Station:
    """One life's datagram socket and the core behind it."""

    def __init__(
        self,
        air: "Air",
        address: Address,
        core: DatagramCore,
        node: "Node[Any]",
        on_event: Callable[[Event, Now], None],
    ) -> None:
        self.address, self.core, self.node = address, core, node
        self._air, self._on_event = air, on_event
        self._timer_s = float("inf")
        self.up = True

    def hear(self, datagram: tuple[bytes, Address]) -> None:
        """A datagram arrives."""
        if self.up:
            self.node.tally.messages += 1
            now = self.node.clock.now()
            if self.node.bends:
                self.node.caught(datagram[0])
            if self._air.watch is not None:
                self._air.watch.heard(self.node, *datagram)
            self.core.receive_datagram(*datagram, now)
            self.turn(now)
            self.node.looked_after()

    def close(self) -> None:
        """Its process is gone."""
        self._air.leave(self)
        if self._air.watch is not None:
            self._air.watch.deaf(self.node)

    def turn(self, now: Now) -> None:
        """Send what is due, tell what was learnt, wake up for what comes."""
        core = self.core
        core.advance(now)
        for event in core.events():
            if isinstance(event, PeerFound | PeerMoved) and self._air.watch is not None:
                self._air.watch.met(self.node, event.device_id, (event.host, event.port))
            self._on_event(event, now)
            if not self.up:
                return
        for data, to in core.datagrams_to_send(now):
            self._air.send(self, data, to)
        deadline = core.next_deadline()
        if deadline is not None and deadline < self._timer_s:
            self._timer_s = deadline
            self.node.scheduler.call(self.node.clock.true_s(deadline), self._wake, deadline)

    def _wake(self, deadline: float) -> None:
        if self.up and self._timer_s == deadline:
            self._timer_s = float("inf")
            self.turn(self.node.clock.now())


class Air:
    """All stations. A sender hears its own multicast, as with a looped-back socket."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.watch: Listener | None = None
        self._stations: dict[Address, list[Station]] = {}
        self._owners: dict[Address, int] = {}
        """Whose an address is, or was when it was last used: a group is nobody's."""

    def join(
        self, address: Address, core: DatagramCore, node: "Node[Any]", on_event: Callable[[Event, Now], None]
    ) -> Station:
        """A life's socket, bound and in its core's group."""
        station = Station(self, address, core, node, on_event)
        self._owners[address] = node.device_id
        for heard in (address, core.group):
            self._stations.setdefault(heard, []).append(station)
        return station

    def leave(self, station: Station) -> None:
        """Its process is gone."""
        station.up = False
        for heard in (station.address, station.core.group):
            self._stations[heard].remove(station)

    def send(self, sender: Station, data: bytes, to: Address) -> None:
        """One datagram, or what a hostile node sends in its place, to whoever listens there."""
        if sender.node.bends:
            for raw, source in sender.node.shouting(data, sender.address):
                self._carry(sender, raw, source, to)
        else:
            self._carry(sender, data, sender.address, to)

    def _carry(self, sender: Station, data: bytes, source: Address, to: Address) -> None:
        if self.watch is not None:
            self.watch.said(sender.node.device_id, data)
        told, owner = self.network.told, self._owners.get(to)
        if told is not None and owner is not None:
            told(sender.node.device_id, owner, data, self.network.scheduler.time_s)
        datagram, host = (data, source), sender.node.host
        for station in self._stations.get(to, ()):
            self.network.datagram(host, station.node.host, station.hear, datagram)
