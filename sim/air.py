"""The datagrams of a simulated network: to one address or to a group, delayed, lost, doubled, and so out of order."""

import random
from collections.abc import Callable, Iterator
from typing import Protocol

from etp.clock import Now
from etp.discovery import Event
from etp.discovery_limits import Address
from etp.units import MonotonicS
from sim.link import Weather
from sim.scheduler import Scheduler


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


class Station:
    """One node's datagram socket and the core behind it."""

    def __init__(self, air: "Air", address: Address, core: DatagramCore, on_event: Callable[[Event], None]) -> None:
        self.address, self.core = address, core
        self._air, self._on_event = air, on_event
        self._timer_s = float("inf")

    def receive(self, data: bytes, source: Address) -> None:
        """A datagram arrives."""
        self.core.receive_datagram(data, source, self._air.scheduler.now())
        self.turn()

    def turn(self) -> None:
        """Send what is due, tell what was learnt, wake up for what comes."""
        now = self._air.scheduler.now()
        self.core.advance(now)
        for event in self.core.events():
            self._on_event(event)
        for data, to in self.core.datagrams_to_send(now):
            self._air.send(self, data, to)
        deadline = self.core.next_deadline()
        if deadline is not None and deadline < self._timer_s:
            self._timer_s = deadline
            self._air.scheduler.at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer_s = float("inf")
        self.turn()


class Air:
    """All stations, and the weather between them. A sender hears its own multicast, as with a looped-back socket."""

    def __init__(self, scheduler: Scheduler, weather: Weather, rng: random.Random) -> None:
        self.scheduler, self._weather, self._rng = scheduler, weather, rng
        self._stations: dict[Address, Station] = {}
        self.lost = self.doubled = 0

    def join(self, address: Address, core: DatagramCore, on_event: Callable[[Event], None]) -> Station:
        """A node's socket, bound and in its core's group."""
        station = self._stations[address] = Station(self, address, core, on_event)
        return station

    def send(self, sender: Station, data: bytes, to: Address) -> None:
        """One datagram, to whoever listens there."""
        for station in self._stations.values():
            if to in (station.address, station.core.group):
                self._deliver(sender, station, data)

    def _deliver(self, sender: Station, station: Station, data: bytes) -> None:
        if self._rng.random() < self._weather.datagram_lost:
            self.lost += 1
            return
        times = 1
        if self._rng.random() < self._weather.datagram_doubled:
            self.doubled += 1
            times = 2
        for _ in range(times):
            delay_s = self._rng.uniform(*self._weather.delay_s)
            self.scheduler.after(delay_s, lambda: station.receive(data, sender.address))
