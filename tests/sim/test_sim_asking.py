"""Whether two nodes would trade is asked of the shipped cores, on copies: their word counts, and they notice nothing."""

from dataclasses import replace

import pytest

from aggregator_node import bids as buying
from bess_node.bids import Bids
from etp.codes import RejectCode
from sim.asking import would_trade
from sim.world import World
from tests.sim.test_sim_faults import market


def stopped(**reserve: float) -> World:
    """A market that has traded for two seconds, whose buyers want more than that."""
    plan = market()
    wanting = tuple(each.model_copy(update={"demand_kwh": 3000.0}) for each in plan.buyers)
    selling = tuple(each.model_copy(update=reserve) for each in plan.batteries)
    world = World(replace(plan, batteries=selling, buyers=wanting))
    world.begin()
    world.scheduler.run(2.0)
    return world


def asked(world: World) -> set[bool]:
    """Of all pairs."""
    return {would_trade(world.settings(each), each, buyer) for each in world.batteries for buyer in world.buyers}


def test_who_wants_what_is_offered_would_trade() -> None:
    """At a reserve that all buyers reach, and at none that none does; what they hold stays as it is."""
    world = stopped()
    before = [(node.core.offer(), node.profile.ids.last, node.core.store.owed_wh) for node in world.batteries]
    spent = [
        (node.core.portfolio.bought, dict(node.core.portfolio.exposed), node.profile.ids.last) for node in world.buyers
    ]
    digest, drawn = world.digest(), [node.core.books.rng.getstate() for node in world.buyers]
    assert asked(world) == {True}
    assert before == [(node.core.offer(), node.profile.ids.last, node.core.store.owed_wh) for node in world.batteries]
    assert spent == [
        (node.core.portfolio.bought, dict(node.core.portfolio.exposed), node.profile.ids.last) for node in world.buyers
    ]
    assert (digest, drawn) == (world.digest(), [node.core.books.rng.getstate() for node in world.buyers])
    assert asked(stopped(reserve=900.0)) == {False}


def test_who_has_enough_would_not() -> None:
    """What was bought is known to the copy."""
    world = stopped()
    for buyer in world.buyers:
        buyer.core.portfolio.demand = buyer.core.portfolio.bought
    assert asked(world) == {False}


def test_a_battery_that_keeps_no_promise_is_worth_less() -> None:
    """What a buyer has learnt of it goes with the copy."""
    world = stopped()
    for buyer in world.buyers:
        for known in buyer.core.directory:
            known.broken = known.kept + 10
    assert asked(world) == {False}


def test_the_shipped_strategy_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits does not trade, whatever the numbers say."""
    world = stopped()
    monkeypatch.setattr(buying, "price", lambda *_: None)
    assert asked(world) == {False}


def test_the_shipped_desk_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes no bid does not trade either."""
    world = stopped()
    monkeypatch.setattr(Bids, "_unsuited", lambda *_: RejectCode.UNAVAILABLE)
    assert asked(world) == {False}
