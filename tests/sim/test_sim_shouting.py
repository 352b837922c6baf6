"""Hostile peers on UDP: they forge, repeat, garble and flood datagrams; discovery believes none, and the honest go on trading."""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache

import pytest

from etp.codes import Role
from etp.record import is_record, sender_of
from sim import world as worlds
from sim.byzantine.hostile import SHOUTS
from sim.invariants import Callers, Violation, Watch
from sim.world import World
from tests.sim.test_sim_byzantine import BATTERY, HONEST, HOSTILE_BUYER, market

SHOUTING = [
    *((Role.BESS, name) for name in ("impostor", "replayer", "garbler", "eavesdropper", "shouter", "rogue")),
    *((Role.AGGREGATOR, name) for name in ("impostor", "eavesdropper", "flooder", "rogue")),
]
SECONDS = 12.0
"""Long enough for a second Query of each buyer."""


@dataclass
class Shouted:
    """A run, and the datagrams of a hostile node in it."""

    world: World
    liar: int
    datagrams: list[bytes] = field(default_factory=list)
    found: list[Violation] = field(default_factory=list)

    def genuine(self, raw: bytes) -> bool:
        """Whether it was said by the device that it names."""
        return is_record(raw) and self.world.is_genuine(sender_of(raw), raw)


def play(role: Role, name: str, seed: int = 0) -> Shouted:
    """All that a hostile node shouts in a market whose nodes look for each other."""
    plan = replace(market(role, name, seed), discovered=True, seconds=SECONDS)
    world = World(plan)
    watch = Watch(world.books(), tainted=world.tainted, hostile=world.hostile)
    (liar,) = plan.hostile
    run, callers = Shouted(world, liar), Callers(watch.found.append)
    said = callers.said

    def both(sender: int, data: bytes) -> None:
        said(sender, data)
        if sender == liar:
            run.datagrams.append(data)

    callers.said = both  # type: ignore[method-assign]
    world.watch(watch, callers)
    world.begin()
    world.scheduler.run(plan.seconds)
    run.found = watch.ended(world.books())
    return run


shouted = cache(play)
"""A market is played once for all that look at it."""


@pytest.mark.parametrize(("role", "name"), SHOUTING)
def test_the_honest_find_each_other_all_the_same(role: Role, name: str) -> None:
    """Nobody is taken to be where it is not, and the honest trade."""
    run = shouted(role, name)
    assert run.found == []
    for buyer in run.world.buyers:
        if buyer.device_id != run.liar:
            assert buyer.station is not None
            assert BATTERY in buyer.station.core.peers  # type: ignore[attr-defined]
    trades = [row for row in run.world.node(BATTERY).disk.rows if row.kind == "trade"]
    assert {int(str(row.body["bidder"])) for row in trades} & {HONEST, HONEST + 1}


def test_an_impostor_names_others_under_its_own_key() -> None:
    """And none of it verifies."""
    for role, others in ((Role.BESS, {BATTERY}), (Role.AGGREGATOR, {HONEST, HONEST + 1})):
        run = shouted(role, "impostor")
        forged = [raw for raw in run.datagrams if sender_of(raw) != run.liar]
        assert {sender_of(raw) for raw in forged} == others
        assert not any(run.genuine(raw) for raw in forged)


def test_an_eavesdropper_says_what_came_to_it() -> None:
    """As others signed it."""
    run = shouted(Role.BESS, "eavesdropper")
    assert {sender_of(raw) for raw in run.datagrams if run.genuine(raw)} > {run.liar}


def test_a_replayer_and_a_garbler() -> None:
    """The same bytes again; bytes that are no message."""
    again = [Counter(shouted(Role.BESS, "replayer", seed).datagrams) for seed in range(4)]
    assert max(max(each.values()) for each in again) > 1
    run = shouted(Role.BESS, "garbler")
    assert any(not run.genuine(raw) for raw in run.datagrams)


@pytest.mark.parametrize(("role", "name"), [(Role.BESS, "shouter"), (Role.AGGREGATOR, "flooder")])
def test_a_flood(role: Role, name: str) -> None:
    """All of it new, and signed by whom it names."""
    run = shouted(role, name)
    assert len(run.datagrams) > SHOUTS
    assert len(set(run.datagrams)) > SHOUTS
    assert all(run.genuine(raw) for raw in run.datagrams)


def test_discovery_that_believes_anybody_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where signatures are not looked at, a buyer takes a battery to be where an impostor says."""
    monkeypatch.setattr(worlds, "is_hashed_by", lambda *_: True)
    found = play(Role.BESS, "impostor").found
    assert "sender" in {each.name for each in found}
    assert any(f"takes {BATTERY} to be at " in each.said for each in found)


class Listener:
    """A node."""

    device_id = HOSTILE_BUYER


def test_whose_word_it_is() -> None:
    """What its sender said itself, from where it came, in this life; `said` by another it is nobody's word."""
    found = list[Violation]()
    raw = next(each for each in shouted(Role.BESS, "shouter").datagrams)
    callers, node, here, there = Callers(found.append), Listener(), ("10.0.0.1", 8700), ("10.0.0.2", 8700)
    sender = sender_of(raw)
    callers.said(sender + 1, raw)
    callers.heard(node, raw, here)
    callers.met(node, sender, here)
    assert [each.name for each in found] == ["sender"]
    callers.said(sender, raw)
    callers.heard(node, raw, here)
    callers.met(node, sender, here)
    assert len(found) == 1
    callers.met(node, sender, there)
    assert len(found) == 2
    callers.deaf(node)
    callers.met(node, sender, here)
    assert len(found) == 3
