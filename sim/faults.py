"""What goes wrong in a simulated market, as values: when, what, to whom, for how long. And how each is brought about.

A script is a list of these; each can be left out of it, which is how a failing one is made smaller. Each that strikes is
counted once, by its kind, however many connections or packets it strikes; one that finds its node down is not.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from etp.codes import FailureCode, Role
from sim.disk import Left
from sim.network import Wall
from sim.node import Node

if TYPE_CHECKING:
    from sim.world import World


class Fault(NamedTuple):
    """One thing that goes wrong. `value` is what its kind says: a share, a count, µs."""

    at_s: float
    kind: str
    who: int = 0
    """A device_id; 0: the network."""
    value: float = 0.0
    lasts_s: float = 0.0
    other: int = 0
    """The device at the other side of a wall; 0: everybody."""

    def __str__(self) -> str:
        about = [f"of {self.who}" if self.who else "", f"and {self.other}" if self.other else ""]
        about += [f"{self.value:g}" if self.value else "", f"for {self.lasts_s:g} s" if self.lasts_s else ""]
        return " ".join([f"{self.at_s:9.3f} s  {self.kind}", *filter(None, about)])


def schedule(world: "World", script: Iterable[Fault]) -> None:
    """Let a script happen."""
    for fault in script:
        world.scheduler.call(fault.at_s, lambda due: _KINDS[due.kind](world, due), fault)


def _count(world: "World", kind: str) -> None:
    world.tally.faults[kind] += 1


def _after(world: "World", fault: Fault, function: Callable[[Any], None], argument: Any) -> None:
    world.scheduler.call(world.scheduler.time_s + fault.lasts_s, function, argument)


# -- processes and disks


def _crash(world: "World", fault: Fault) -> None:
    """Kill -9 now; up again after a while."""
    node = world.node(fault.who)
    if node.alive:
        _fell(world, fault, node, node.crash())


def _power_cut(world: "World", fault: Fault) -> None:
    """The machine is gone without a word: its peers hear nothing more of their connections until it is up again."""
    node = world.node(fault.who)
    if node.alive:
        node.ghosts += world.network.power_lost(node.host)
        _fell(world, fault, node, node.crash(silently=True))


def _crash_at_effect(world: "World", fault: Fault) -> None:
    """Kill -9 between two effects that the shell carries out."""
    node = world.node(fault.who)
    if node.alive:
        node.crash_at_effect(int(fault.value), lambda left: _fell(world, fault, node, left))


def _crash_in_write(world: "World", fault: Fault) -> None:
    """The process is killed while a transaction is on its way to the disk: it is lost, torn, or durable with nobody told."""
    node = world.node(fault.who)
    if node.alive:
        life = node.life
        node.writer.meanwhile = lambda: _fell(world, fault, node, node.crash()) if node.life == life else None


def _crash_in_recovery(world: "World", fault: Fault) -> None:
    """Kill -9 now, and once more among the first effects of the life that follows."""
    node = world.node(fault.who)
    if node.alive:
        node.crash_in_recovery(int(fault.value), lambda left: _lies(world, fault, node, left))
        _fell(world, fault, node, node.crash())


def _fell(world: "World", fault: Fault, node: Node[Any], left: Left) -> None:
    _count(world, fault.kind)
    _lies(world, fault, node, left)


def _lies(world: "World", fault: Fault, node: Node[Any], left: Left) -> None:
    world.crashed(node, left)
    _after(world, fault, world.start, node)


def _disk_fails(world: "World", fault: Fault) -> None:
    """No commit succeeds for a while: the disk is full."""
    node = world.node(fault.who)
    if node.alive:
        node.writer.fails_until_s = world.scheduler.time_s + fault.lasts_s
        _count(world, fault.kind)


def _disk_stalls(world: "World", fault: Fault) -> None:
    """Commits take long."""
    node = world.node(fault.who)
    if node.alive:
        node.writer.stalls_until_s = world.scheduler.time_s + fault.lasts_s
        _count(world, fault.kind)


def _rollback(world: "World", fault: Fault) -> None:
    """The journal is put back to an older one: what it had promised since is not known any more."""
    node = world.node(fault.who)
    if not node.alive:
        return
    _fell(world, fault, node, node.crash())
    world.tainted.add(node.device_id)
    node.disk = node.disk.copy(int(len(node.disk.rows) * fault.value))


def _clone(world: "World", fault: Fault) -> None:
    """The node runs twice, on a copy of its journal, with its key, for a while."""
    node = world.node(fault.who)
    if node.alive:
        world.tainted.add(node.device_id)
        twin = world.twin(node, node.disk.copy())
        _count(world, fault.kind)
        _after(world, fault, _end_clone, twin)


def _end_clone(twin: Node[Any]) -> None:
    if twin.alive:
        twin.vanish()


# -- devices and clocks


def _device_fails(world: "World", fault: Fault) -> None:
    """The inverter trips, and is reset after a while."""
    node = world.node(fault.who)
    if node.alive and node.role is Role.BESS:
        now = node.now()
        node.decided(node.core.fail(FailureCode.INVERTER, now), now)
        node.turned(now)
        node.later(fault.lasts_s, _recovers, node)
        _count(world, fault.kind)


def _recovers(node: Node[Any]) -> None:
    now = node.now()
    node.decided(node.core.recovered(now), now)
    node.turned(now)


def _clock_jumps(world: "World", fault: Fault) -> None:
    """The wall clock is set by so many µs, and set back after a while."""
    node = world.node(fault.who)
    node.clock.jump(int(fault.value))
    _count(world, fault.kind)
    if fault.lasts_s:
        _after(world, fault, _jumps_back, (world, node, int(fault.value)))


def _jumps_back(jumped: tuple["World", Node[Any], int]) -> None:
    world, node, by_us = jumped
    if not world.well:
        node.clock.jump(-by_us)


# -- the network


def _cut(world: "World", fault: Fault) -> None:
    """All connections of a node break."""
    whole = [end for end in world.node(fault.who).open_ends if not end.link.broken]
    for end in whole:
        end.link.cut()
    if whole:
        _count(world, fault.kind)


def _slow_reader(world: "World", fault: Fault) -> None:
    """A node's machine reads nothing for a while."""
    ends = world.node(fault.who).open_ends
    for end in ends:
        end.slow = True
        _after(world, fault, _reads_on, end)
    if ends:
        _count(world, fault.kind)


def _reads_on(end: Any) -> None:
    end.read_on()


def _walls(world: "World", fault: Fault) -> Iterator[Wall]:
    host = world.node(fault.who).host
    others = [world.node(fault.other)] if fault.other else [node for node in world.nodes if node.host != host]
    for other in others:
        if fault.kind != "deaf":
            yield host, other.host
        if fault.kind != "mute":
            yield other.host, host


def _wall(world: "World", fault: Fault) -> None:
    """Nothing passes, in one direction or both, for a while."""
    _build(world, fault)
    _count(world, fault.kind)


def _build(world: "World", fault: Fault) -> None:
    if world.well:
        return
    walls = frozenset(_walls(world, fault))
    world.network.wall(walls)
    _after(world, fault, _falls, (world, walls))


def _falls(wall: tuple["World", frozenset[Wall]]) -> None:
    world, walls = wall
    if not world.well:  # all walls are gone by then
        world.network.open(walls)


FLAPS: Final = 6
"""Times that a flapping wall comes and goes."""


def _flapping(world: "World", fault: Fault) -> None:
    """A wall that comes and goes."""
    period_s = fault.lasts_s / FLAPS
    for turn in range(FLAPS):
        once = fault._replace(kind="partition", at_s=fault.at_s + turn * period_s, lasts_s=period_s / 2)
        world.scheduler.call(once.at_s, lambda due: _build(world, due), once)
    _count(world, fault.kind)


def _weather(world: "World", fault: Fault) -> None:
    """The network gets worse for a while."""
    storm = (WEATHER[fault.kind], fault.value)
    world.storms.append(storm)
    _blows(world)
    _count(world, fault.kind)
    _after(world, fault, _clears, (world, storm))


def _clears(over: tuple["World", tuple[str, float]]) -> None:
    world, storm = over
    world.storms.remove(storm)
    if not world.well:
        _blows(world)


def _blows(world: "World") -> None:
    """Of each kind the worst that there is now; another may last when one ends."""
    fair, worst = world.plan.weather, dict[str, float]()
    for field, value in world.storms:
        worst[field] = max(value, worst.get(field, getattr(fair, field)))
    world.network.weather = replace(fair, **worst)  # type: ignore[arg-type]  # all of them are shares


WEATHER: Final = {
    "loss": "datagram_lost",
    "doubles": "datagram_doubled",
    "cuts": "cut_per_packet",
    "spikes": "unlucky",
}
"""Kinds that are a share of all packets, by the field of `Weather` that they are."""
_KINDS: Final[dict[str, Callable[["World", Fault], None]]] = {
    "crash": _crash,
    "power_cut": _power_cut,
    "crash_at_effect": _crash_at_effect,
    "crash_in_write": _crash_in_write,
    "crash_in_recovery": _crash_in_recovery,
    "disk_fails": _disk_fails,
    "disk_stalls": _disk_stalls,
    "rollback": _rollback,
    "clone": _clone,
    "device_fails": _device_fails,
    "clock_jump": _clock_jumps,
    "cut": _cut,
    "slow_reader": _slow_reader,
    "partition": _wall,
    "mute": _wall,
    "deaf": _wall,
    "flapping": _flapping,
    **dict.fromkeys(WEATHER, _weather),
}
KINDS: Final = tuple(_KINDS)
"""All of them."""
