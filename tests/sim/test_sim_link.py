"""Connections between nodes: what a slow reader holds up, what a full house says, what a machine without power leaves behind."""

from dataclasses import replace

import pytest

from etp.effects import Envelope
from etp.roster import Roster
from sim.link import End
from sim.network import WINDOW
from sim.world import World
from tests.support import plan


def trading(seconds: float = 1.0) -> World:
    """A market after a while: one battery, three buyers, all connected."""
    world = World(replace(plan(3), hashed=True))
    world.begin()
    world.scheduler.run(seconds)
    return world


def ends(world: World) -> tuple[End, End]:
    """The connection of the first buyer: its end, and the battery's."""
    ours = next(iter(world.buyers[0].open_ends))
    return ours, ours.peer


def test_a_slow_reader_holds_its_peer_up_and_loses_nothing() -> None:
    """Its socket takes so much, then the peer's frames wait by priority; once it reads, all of it comes."""
    world = trading()
    ours, theirs = ends(world)
    ours.slow = True
    desk, node = world.batteries[0].core, world.batteries[0]
    before, rounds = world.tally.messages, WINDOW // 216 + 60
    for _ in range(rounds):
        now = node.now()
        theirs.send(Envelope(desk.response().frame), now)
        node.turned(now)
        world.scheduler.run(world.scheduler.time_s + 0.004)
    assert theirs.stuck
    assert len(theirs.session.queue) > 0
    assert sum(len(data or b"") for data in ours.inbox) >= WINDOW
    ours.read_on()
    world.scheduler.run(world.scheduler.time_s + 0.2)
    assert not theirs.stuck
    assert len(theirs.session.queue) == 0
    assert world.tally.messages - before >= rounds
    assert ours.up


def test_who_finds_no_place_is_told_busy_and_dials_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The battery's side is closed after its farewell; with a place again the buyer is connected."""
    world = World(replace(plan(3), hashed=True))
    monkeypatch.setattr(Roster, "admit", lambda *_: False)
    world.begin()
    world.scheduler.run(0.5)
    assert all(not node.roster.bound() for node in world.batteries)
    assert world.tally.links >= 3
    monkeypatch.undo()
    world.scheduler.run(25.0)
    assert len(world.batteries[0].roster.bound()) == 3


def test_a_machine_without_power_says_nothing_until_it_is_back() -> None:
    """Its peers keep their ends, and learn of it when it is up; then they dial again."""
    world = trading()
    ours, _ = ends(world)
    battery = world.batteries[0]
    battery.crash(silently=True)
    world.scheduler.run(5.0)
    assert ours.up
    world.start(battery)
    world.scheduler.run(5.1)
    assert not ours.up
    world.scheduler.run(30.0)
    assert world.buyers[0].roster.get(battery.device_id) is not None


def test_a_process_that_is_killed_leaves_its_connections_to_the_system() -> None:
    """Which closes them at once."""
    world = trading()
    ours, _ = ends(world)
    world.batteries[0].crash()
    world.scheduler.run(1.1)
    assert not ours.up
