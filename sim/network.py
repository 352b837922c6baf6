"""What lies between nodes: delay, loss and doubles, cuts in mid-frame, walls that let one direction through, or neither.

It carries bytes and knows nothing of what they say. A host is a number; a wall is a pair (from, to) of hosts.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

from sim.scheduler import Scheduler

if TYPE_CHECKING:
    from sim.link import End

TABLE_BITS: Final = 10
"""Delays are drawn once, 1,024 of them, and picked from by ten random bits: a third of what a fresh draw costs."""
WINDOW: Final = 16_384
"""Bytes that wait unread at a slow reader before its peer's socket takes no more (the least that Linux gives a socket)."""

D = TypeVar("D")
Host = int
Wall = tuple[Host, Host]


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network behaves. Delays in seconds."""

    delay_s: tuple[float, float] = (0.0005, 0.003)
    """Least and greatest one-way delay."""
    tail_s: float = 0.0
    """Mean of what an unlucky packet waits besides, exponentially distributed, s."""
    unlucky: float = 0.0
    """Share of packets that wait besides."""
    cut_per_packet: float = 0.0
    """Chance that the connection is cut at a packet, in mid-frame."""
    datagram_lost: float = 0.0
    """Chance that a datagram does not arrive at one of its receivers."""
    datagram_doubled: float = 0.0
    """Chance that it arrives there twice."""

    def delays(self, rng: Random) -> list[float]:
        """A table of one-way delays, s."""
        low, high = self.delay_s
        return [
            low
            + (high - low) * rng.random()
            - (math.log(rng.random()) * self.tail_s if rng.random() < self.unlucky else 0.0)
            for _ in range(1 << TABLE_BITS)
        ]


class Network:
    """See the module. `counts`: what was lost on the way, by kind."""

    def __init__(self, scheduler: Scheduler, weather: Weather, rng: Random, counts: Counter[str]) -> None:
        self.scheduler, self.rng, self.counts = scheduler, rng, counts
        self.told: Callable[[int, int, bytes, float], None] | None = None
        """Told of each message that leaves by TCP, or by UDP for one node: sender, receiver, its bytes without the length prefix,
        true time.
        """
        self.walls: Counter[Wall] = Counter()
        """How many reasons there are that nothing passes there: it does again when the last one is gone."""
        self._held: dict[Wall, list[tuple[End, bytes | None]]] = defaultdict(list)
        self._bits, self._random = rng.getrandbits, rng.random
        self.weather = weather

    @property
    def weather(self) -> Weather:
        """How it behaves now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather, self._cut = weather, weather.cut_per_packet
        self._delays = weather.delays(self.rng)

    def delay_s(self) -> float:
        """One way, once."""
        return self._delays[self._bits(TABLE_BITS)]

    def passes(self, sender: Host, receiver: Host) -> bool:
        """Whether packets go that way now."""
        return (sender, receiver) not in self.walls

    # -- connections

    def carry(self, sender: "End", data: bytes | None) -> None:
        """Bytes of a connection on their way to its other end, in order; None: its end of file."""
        link, receiver, scheduler = sender.link, sender.peer, self.scheduler
        if link.broken:
            return
        torn = bool(self._cut) and data is not None and self._random() < self._cut
        if torn and data is not None:
            data = data[: self.rng.randrange(len(data))]
        arrives_s = scheduler.time_s + self._delays[self._bits(TABLE_BITS)]
        if arrives_s < receiver.arrives_s:
            arrives_s = receiver.arrives_s
        else:
            receiver.arrives_s = arrives_s
        if self.walls and (sender.host, receiver.host) in self.walls:
            self._held[sender.host, receiver.host].append((receiver, data))  # TCP sends it again until it gets through
        else:
            scheduler.call(arrives_s, receiver.arrive, data)
        if torn:
            link.cut()

    def hang_up(self, receiver: "End") -> None:
        """An end of file that no node sends: a connection broke, or the process at its other end is gone.

        It comes behind all that was sent, and waits behind a wall as that does: whoever is cut off does not hear of it.
        """
        way = (receiver.peer.host, receiver.host)
        if way in self.walls:
            self._held[way].append((receiver, None))
        else:
            arrives_s = max(receiver.arrives_s, self.scheduler.time_s + self.delay_s())
            self.scheduler.call(arrives_s, receiver.arrive, None)

    def power_lost(self, host: Host) -> list["End"]:
        """A machine is gone, and with it all that it would have sent again; returns who waits for that in vain."""
        waiting = [receiver for way, held in self._held.items() if way[0] == host for receiver, _ in held]
        for way in [way for way in self._held if way[0] == host]:
            del self._held[way]
        return list(dict.fromkeys(waiting))

    def wall(self, walls: Iterable[Wall]) -> None:
        """Nothing passes there any more; what is in flight still arrives."""
        self.walls.update(walls)

    def open(self, walls: Iterable[Wall]) -> None:
        """A reason is gone; with the last one packets pass again, and what connections held back arrives, in order."""
        for wall in sorted(walls):
            if self.walls[wall] > 1:
                self.walls[wall] -= 1
                continue
            del self.walls[wall]
            for receiver, data in self._held.pop(wall, ()):
                receiver.arrives_s = max(receiver.arrives_s, self.scheduler.time_s + self.delay_s())
                self.scheduler.call(receiver.arrives_s, receiver.arrive, data)

    def open_all(self) -> None:
        """No wall is left."""
        self.walls = Counter(dict.fromkeys(self.walls, 1))
        self.open(list(self.walls))

    # -- datagrams

    def datagram(self, sender: Host, receiver: Host, arrive: Callable[[D], None], data: D) -> None:
        """A datagram on its way: it may be lost, come twice, and come late."""
        weather = self._weather
        if (sender, receiver) in self.walls:
            self.counts["datagram_walled"] += 1
            return
        if weather.datagram_lost and self._random() < weather.datagram_lost:
            self.counts["datagram_lost"] += 1
            return
        if weather.datagram_doubled and self._random() < weather.datagram_doubled:
            self.counts["datagram_doubled"] += 1
            self.scheduler.call(self.scheduler.time_s + self.delay_s(), arrive, data)
        self.scheduler.call(self.scheduler.time_s + self.delay_s(), arrive, data)
