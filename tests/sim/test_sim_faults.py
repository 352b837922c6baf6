"""Each fault does what its name says, and is counted; after it the market goes on."""

from dataclasses import replace

import pytest

from sim.faults import KINDS, Fault, schedule
from sim.invariants import Watch
from sim.liveness import CALM, healed, unfinished
from sim.node import Node
from sim.plan import Plan
from sim.world import World
from tests.support import plan

EACH = {
    "crash": Fault(0.0, "crash", 101, lasts_s=0.5),
    "power_cut": Fault(0.0, "power_cut", 101, lasts_s=0.5),
    "crash_at_effect": Fault(0.0, "crash_at_effect", 101, 3, 0.5),
    "crash_in_write": Fault(0.0, "crash_in_write", 101, lasts_s=0.3),
    "disk_fails": Fault(0.0, "disk_fails", 101, lasts_s=0.4),
    "disk_stalls": Fault(0.0, "disk_stalls", 500, lasts_s=0.4),
    "rollback": Fault(0.0, "rollback", 101, 0.5, 0.2),
    "second_instance": Fault(0.0, "second_instance", 101),
    "clone": Fault(0.0, "clone", 500, lasts_s=1.0),
    "device_fails": Fault(0.0, "device_fails", 101, lasts_s=0.5),
    "clock_jump": Fault(0.0, "clock_jump", 101, -400_000.0, 0.8),
    "cut": Fault(0.0, "cut", 101),
    "slow_reader": Fault(0.0, "slow_reader", 500, lasts_s=0.5),
    "partition": Fault(0.0, "partition", 101, lasts_s=0.5, other=500),
    "mute": Fault(0.0, "mute", 101, lasts_s=0.5, other=501),
    "deaf": Fault(0.0, "deaf", 101, lasts_s=0.5),
    "flapping": Fault(0.0, "flapping", 101, lasts_s=1.2, other=502),
    "loss": Fault(0.0, "loss", 0, 0.9, 25.0),
    "doubles": Fault(0.0, "doubles", 0, 0.9, 25.0),
    "cuts": Fault(0.0, "cuts", 0, 0.2, 2.0),
    "spikes": Fault(0.0, "spikes", 0, 0.3, 1.0),
}
COUNTED = {
    "power_cut": "crash",
    "crash_at_effect": "crash",
    "crash_in_write": "crash",
    "partition": "partition_partition",
    "mute": "partition_mute",
    "deaf": "partition_deaf",
    "flapping": "partition_partition",
    "loss": "datagram_lost",
    "doubles": "datagram_doubled",
    "cuts": "cut",
    "spikes": None,
}
"""Under which name a kind counts, where that is not its own; a packet that is late is not counted."""


def market(seed: int = 3) -> Plan:
    """Two batteries that sell in small lots, found by multicast."""
    drawn = plan(seed, batteries=2, discovered=True)
    small = {"discharge_kw": 2.0, "horizon_h": 0.25, "capacity_kwh": 200.0, "increment": 1.0, "closing_ms": 50}
    return replace(
        drawn,
        batteries=tuple(each.model_copy(update=small) for each in drawn.batteries),
        buyers=tuple(each.model_copy(update={"demand_kwh": 60.0}) for each in drawn.buyers),
        hashed=True,
        seconds=10.0,
    )


def test_every_kind_is_looked_at() -> None:
    """The table of the tests is the simulator's."""
    assert set(EACH) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_happens_and_breaks_nothing(kind: str) -> None:
    """Four of a kind within ten seconds: counted, survived, and the market trades before and after."""
    asks = kind in ("loss", "doubles")  # of datagrams, which are sent every ten seconds
    world = World(replace(market(), seconds=25.0 if asks else 10.0))
    watch = Watch(world.books(), tainted=world.tainted, hostile=())
    world.watch(watch)
    rounds = 1 if asks or kind in ("rollback", "clone") else 4
    schedule(world, [EACH[kind]._replace(at_s=1.5 + 2 * n) for n in range(rounds)])
    world.run()
    name = COUNTED.get(kind, kind)
    assert name is None or world.tally.faults[name] >= rounds
    assert watch.ended(world.books()) == []
    ends = [row.time_us for node in world.batteries for row in node.disk.rows if row.kind == "trade"]
    assert len(ends) > 20


def test_a_crash_loses_what_was_not_durable_and_a_restart_finds_the_rest() -> None:
    """The same disk, another life, another boot; who had sessions learns of it."""
    world = World(market())
    schedule(world, [Fault(2.0, "crash", 101, lasts_s=1.0)])
    world.begin()
    world.scheduler.run(2.0)
    node: Node[object] = world.node(101)  # type: ignore[type-arg]
    assert not node.alive
    rows, boot = list(node.disk.rows), node.disk.boot
    world.scheduler.run(2.9)
    assert node.disk.rows == rows
    world.scheduler.run(6.0)
    assert node.alive
    assert node.disk.boot != boot
    assert node.disk.rows[: len(rows)] == rows
    assert len(node.disk.rows) > len(rows)


def test_a_second_process_on_one_journal_is_refused() -> None:
    """The twin never lives; on a copy of the journal it does, and its device is tainted."""
    world = World(market())
    schedule(world, [Fault(1.0, "second_instance", 101), Fault(2.0, "clone", 102, lasts_s=2.0)])
    world.begin()
    world.scheduler.run(1.5)
    assert [twin.alive for twin in world.twins] == [False]
    assert world.tainted == set()
    world.scheduler.run(3.2)  # it waits until its clock is past all that the journal may have signed
    assert [twin.alive for twin in world.twins] == [False, True]
    assert world.tainted == {102}
    world.scheduler.run(4.1)
    assert not world.twins[1].alive


def test_a_full_disk_at_the_start_keeps_a_battery_from_serving() -> None:
    """What was RESERVED cannot be released: it ends, and its supervisor starts it until the disk takes it."""
    world = World(market())
    world.begin()
    node = world.node(101)
    while not any(row.kind == "promise" for row in node.disk.pending_rows()):
        world.scheduler.run(world.scheduler.time_s + 0.001)
    node.crash()
    started = node.begin

    def full(*given: object) -> None:
        started(*given)
        node.writer.fails_until_s = 5.0

    node.begin = full
    world.start(node)
    world.scheduler.run(4.9)
    assert not node.serving
    assert any(row.kind == "promise" for row in node.disk.pending_rows())
    world.scheduler.run(9.0)
    assert node.serving


def test_a_clock_that_went_back_keeps_a_node_down_until_it_is_right() -> None:
    """As its daemon refuses to start."""
    world = World(market())
    schedule(world, [Fault(2.0, "crash", 101, lasts_s=0.1), Fault(2.05, "clock_jump", 101, -60_000_000.0, lasts_s=3.0)])
    world.begin()
    world.scheduler.run(4.9)
    assert not world.node(101).alive
    world.scheduler.run(7.5)
    assert world.node(101).serving


def test_after_the_chaos_everything_comes_to_its_end() -> None:
    """A market that is well finishes; one whose battery stays away does not."""
    world = World(market())
    schedule(world, [Fault(1.5, "partition", 101, lasts_s=60.0), Fault(2.0, "crash", 500, lasts_s=60.0)])
    world.begin()
    world.scheduler.run(10.0)
    assert {each.name for each in unfinished(world)} == {"liveness"}
    assert healed(world) == []
    assert world.network.weather == CALM
    assert all(node.core.portfolio.filled for node in world.buyers)
