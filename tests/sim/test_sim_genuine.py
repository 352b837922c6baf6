"""Whose words a record is: what a hostile node says in its own name counts as said only if its signature is its own."""

from etp import messages
from sim.invariants import Watch
from sim.world import World
from tests.sim.histories import BATTERY, BUYERS, History
from tests.support import plan


def test_a_garbled_record_is_nobody_s_word() -> None:
    """Whoever takes it acts on what its sender did not say; an honest node's records are not looked at."""
    for hostile, signed, broken in ((True, True, set()), (True, False, {"sender"}), (False, False, set())):
        history = History(hostile=frozenset({BUYERS[0]}) if hostile else frozenset())
        history.watch = Watch(history.books, hostile=history.hostile, is_genuine=lambda *_, answer=signed: answer)
        raw = history.raw(messages.query(BUYERS[0]))
        history.watch.wire(BUYERS[0], BATTERY, raw, 0.0)
        history.turn(raw, BUYERS[0], [])
        assert history.names == broken


def test_a_world_knows_its_own_records() -> None:
    """Every record of an honest market is its sender's; with one bit changed, or of another device, it is not."""
    world = World(plan(4, batteries=2))
    said: list[tuple[int, bytes]] = []
    world.network.told = lambda sender, _, raw, __: said.append((sender, raw))
    world.run()
    assert len({sender for sender, _ in said}) > 2
    sender, raw = said[0]
    other = next(each for each, _ in said if each != sender)
    assert all(world.is_genuine(*each) for each in said[:50])
    assert not world.is_genuine(sender, raw[:-1] + bytes([raw[-1] ^ 1]))
    assert not world.is_genuine(other, raw)
    assert not world.is_genuine(999, raw)
