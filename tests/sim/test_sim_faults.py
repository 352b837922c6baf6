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
    "crash_in_recovery": Fault(0.0, "crash_in_recovery", 101, 1, 0.3),
    "disk_fails": Fault(0.0, "disk_fails", 101, lasts_s=0.4),
    "disk_stalls": Fault(0.0, "disk_stalls", 500, lasts_s=0.4),
    "rollback": Fault(0.0, "rollback", 101, 0.5, 0.2),
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
LOSES = {
    "crash_in_write": {"write_lost", "write_torn"},
    "cut": {"connection_cut"},
    "loss": {"datagram_lost"},
    "doubles": {"datagram_doubled"},
    "cuts": {"connection_cut"},
}
"""What a kind brings about besides, which is not counted among the faults."""


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
    assert world.tally.faults == {kind: rounds}
    assert set(world.tally.losses) >= LOSES.get(kind, set())
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


def test_a_backup_on_a_machine_whose_clock_is_old_has_a_lower_boot() -> None:
    """Nobody listens to it: what it says is kept as evidence, until its boot is past all that there were."""
    drawn = market()
    signed = {"profile": "signed"}
    batteries, buyers = (
        tuple(each.model_copy(update=signed) for each in nodes) for nodes in (drawn.batteries, drawn.buyers)
    )
    world = World(replace(drawn, batteries=batteries, buyers=buyers))
    watch = Watch(world.books(), tainted=world.tainted, hostile=())
    world.watch(watch)
    old_clock = Fault(7.9, "clock_jump", 101, -5_500_000.0, 30.0)
    schedule(world, [Fault(3.0, "crash", 101, lasts_s=0.1), old_clock, Fault(8.0, "rollback", 101, 0.01, 0.2)])
    world.begin()
    world.scheduler.run(7.9)
    node = world.node(101)
    boot = node.disk.boot
    world.scheduler.run(20.0)
    assert node.alive
    assert boot is not None
    assert node.disk.boot is not None
    assert node.disk.boot < boot
    kept = [
        row for buyer in world.buyers for row in buyer.disk.rows if row.kind == "security" and row.body["bidder"] == 101
    ]
    assert {row.state for row in kept} == {"replay"}
    assert watch.ended(world.books()) == []


def test_a_clone_lives_beside_its_original_for_a_while() -> None:
    """On a copy of the journal; its device is tainted from then on."""
    world = World(market())
    schedule(world, [Fault(2.0, "clone", 102, lasts_s=2.0)])
    world.begin()
    world.scheduler.run(1.9)
    assert world.tainted == set()
    world.scheduler.run(3.2)  # it waits until its clock is past all that the journal may have signed
    assert [twin.alive for twin in world.twins] == [True]
    assert world.tainted == {102}
    world.scheduler.run(4.1)
    assert not world.twins[0].alive


def test_a_crash_in_recovery_comes_before_anybody_is_served() -> None:
    """What the first life had promised is still to be released when the second one is killed; the third one does it."""
    world = World(market())
    world.begin()
    node = world.node(101)
    while not any(row.kind == "promise" for row in node.disk.pending_rows()):
        world.scheduler.run(world.scheduler.time_s + 0.001)
    promised = [row.lot_id for row in node.disk.pending_rows() if row.kind == "promise"]
    served = list[int]()
    node.opened = lambda end: (served.append(node.life), Node.opened(node, end))
    schedule(world, [Fault(world.scheduler.time_s, "crash_in_recovery", 101, 0, 0.2)])
    world.scheduler.run(world.scheduler.time_s + 0.1)
    assert (world.tally.crashes, node.alive) == (1, False)
    while world.tally.crashes < 2:  # it starts once its clock is past all that it can have signed
        assert not node.serving
        world.scheduler.run(world.scheduler.time_s + 0.001)
    assert not node.alive
    assert [row.lot_id for row in node.disk.pending_rows() if row.kind == "promise"] == promised
    world.scheduler.run(world.scheduler.time_s + 5.0)
    assert node.serving
    assert set(served) == {node.life}
    assert {row.state for row in node.disk.rows if row.lot_id in promised and row.kind == "promise"} == {
        "reserved",
        "released",
    }
    assert world.tally.faults == {"crash_in_recovery": 1}


def test_storms_and_walls_overlap() -> None:
    """The worse one of two holds until it ends, then the other one; a wall falls with the last reason for it."""
    world = World(market())
    fair = world.plan.weather.datagram_lost
    storms = [Fault(1.0, "loss", 0, 0.5, 4.0), Fault(2.0, "loss", 0, 0.9, 1.0)]
    walls = [Fault(1.0, "mute", 101, lasts_s=4.0, other=500), Fault(2.0, "partition", 101, lasts_s=1.0, other=500)]
    schedule(world, [*storms, *walls])
    world.begin()
    hosts = world.node(101).host, world.node(500).host
    seen = []
    for until_s in (1.5, 2.5, 3.5, 5.5):
        world.scheduler.run(until_s)
        ways = (world.network.passes(*hosts), world.network.passes(*reversed(hosts)))
        seen.append((world.network.weather.datagram_lost, *ways))
    assert seen == [(0.5, False, True), (0.9, False, False), (0.5, False, True), (fair, True, True)]


def test_who_is_cut_off_does_not_hear_of_a_crash() -> None:
    """The end of file waits behind the wall as data does; both ends are half-open meanwhile."""
    world = World(market())
    schedule(world, [Fault(2.0, "partition", 101, lasts_s=5.0), Fault(2.5, "crash", 101, lasts_s=0.2)])
    world.begin()
    world.scheduler.run(1.9)
    buyer = world.buyers[0]
    (ours,) = [end for end in buyer.open_ends if end.peer_id == 101]
    world.scheduler.run(6.9)
    assert world.node(101).life > 1
    assert ours.up
    assert not ours.peer.up
    world.scheduler.run(8.0)
    assert not ours.up


def test_a_machine_without_power_sends_nothing_again() -> None:
    """What a wall held back for it is gone, and its peers learn of the end when it is up again."""
    world = World(market())
    crash, power_cut = Fault(2.5, "crash", 101, lasts_s=0.3), Fault(4.0, "power_cut", 101, lasts_s=2.0)
    schedule(world, [Fault(2.0, "partition", 101, lasts_s=3.0), crash, power_cut])
    world.begin()
    world.scheduler.run(1.9)
    before = [end for end in world.buyers[0].open_ends if end.peer_id == 101]
    world.scheduler.run(5.9)
    assert [end.up for end in before] == [True]
    world.scheduler.run(8.0)
    assert [end.up for end in before] == [False]


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
