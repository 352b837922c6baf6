"""Tables of a whole node are looked at while it runs, and one that holds too much is told of."""

from dataclasses import replace
from random import Random

import pytest

from etp.clock import Now
from etp.codes import Role
from etp.effects import Row, Write
from etp.evidence import PER_DAY
from etp.queue import SendQueue
from etp.record import NO_LOT
from etp.roster import Roster
from etp.units import MonotonicS, WallUs
from sim.byzantine import HOSTILE
from sim.draw import Scenario, _discovery_limits, _limits, scenario
from sim.faults import Fault
from sim.invariants import Watch, evidence
from sim.invariants import sizes as table_of
from sim.invariants.evidence import Kept
from sim.invariants.sizes import sizes
from sim.io.campaign import played
from sim.plan import Plan
from sim.run import play
from sim.world import World
from tests.sim.test_sim_faults import market as busy

EVERYWHERE = {
    "counter windows",
    "members that are welcome",
    "sessions",
    "sessions of one address",
    "events of discovery",
    "replies and probes of a window",
    "addresses of a window",
    "datagrams to send",
}
OF_A_BATTERY = EVERYWHERE | {"affairs", "promises", "deliveries", "hours of prices", "replies that wait"}
OF_A_BUYER = EVERYWHERE | {
    "batteries", "directory", "exposures", "agenda", "times of replies", "samples of a clock", "beliefs", "sellers", "chances",
    "addresses that are dialled", "peers", "peers of one address", "contests", "sources", "frames remembered",
}  # fmt: skip
OF_PAYMENT = {
    "standings", "outbox", "agenda of the outbox", "trades without a blockhash", "trades of short escrows", "trades that are owed",
    "transactions to RPC 0", "questions to RPC 2", "transactions that wait for RPC 1",
}  # fmt: skip
CONSTANTS = {
    "REPLIES_KEPT": "times of replies", "KEPT_SAMPLES": "samples of a clock", "MAX_CELLS": "beliefs", "MAX_SELLERS": "sellers",
    "LOTS_KEPT": "chances", "MOST_DIALLED": "addresses that are dialled", "MAX_BATTERIES": "batteries", "HOURS": "hours of prices",
}  # fmt: skip
PAID = 1
"""The least seed whose trades are paid on a chain."""


def market(**limits: int) -> Plan:
    """Two batteries that learn their reserves, three buyers that learn what it takes to win, found by multicast."""
    drawn = busy()
    learning = {"profile": "signed", "strategy": "intelligent"}
    buyers = tuple(each.model_copy(update=learning) for each in drawn.buyers)
    policies = ("forecast", "optimal")
    batteries = tuple(
        each.model_copy(update={"profile": "signed", "pricing": policy})
        for each, policy in zip(drawn.batteries, policies, strict=True)
    )
    return replace(drawn, batteries=batteries, buyers=buyers, limits=limits, seconds=6.0)


class Looking(Watch):
    """Keeps the names of what it is shown."""

    def sizes(self, device_id: int, core: object) -> None:
        """How much a core holds."""
        seen.setdefault(device_id, set()).update(each.name.split(" of 5")[0] for each in sizes(core))


seen: dict[int, set[str]] = {}


def test_every_table_is_looked_at() -> None:
    """Of batteries and buyers, and of what they have beside their cores."""
    seen.clear()
    world = World(market())
    world.watch(Looking(world.books()))
    world.run()
    assert seen[101] >= OF_A_BATTERY
    assert {"bid memory", "Confirms", "declines"} <= seen[101]
    assert seen[102] >= OF_A_BATTERY
    assert seen[500] >= OF_A_BUYER


def test_every_table_of_payment_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a settler has, and a buyer that looks at its escrow."""
    seen.clear()
    monkeypatch.setattr(Watch, "sizes", Looking.sizes)
    drawn = scenario(PAID)
    assert drawn.plan.may_settle
    assert not any(scenario(seed).plan.may_settle for seed in range(PAID))
    assert played(drawn).violations == ()
    assert set().union(*seen.values()) >= OF_PAYMENT


@pytest.mark.parametrize(("bound", "table"), CONSTANTS.items())
def test_bounds_that_are_constants_are_looked_at(bound: str, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If they were so narrow that a small market reaches them, it would be told of."""
    monkeypatch.setattr(table_of, bound, -1)
    found = play(Scenario(1, "safety", replace(market(), seconds=2.0), ())).violations
    assert found[0].name == "limits"
    assert any(each.said.startswith(f"{table} holds ") for each in found)


@pytest.mark.parametrize(("bound", "told"), [("ANY_SECOND", "of a second holds 4"), ("PER_DAY", "of a day holds 4")])
def test_rows_of_evidence_are_counted(bound: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a battery keeps what an equivocator said twice: one row more than it may is told of."""
    plan = replace(market(), hostile={500: HOSTILE[Role.AGGREGATOR]["equivocator"]})
    assert play(Scenario(1, "safety", plan, ())).violations == ()
    monkeypatch.setattr(evidence, bound, 3)
    found = play(Scenario(1, "safety", plan, ())).violations
    assert {each.name for each in found} == {"limits"}
    assert told in found[0].said


def test_evidence_of_a_day_is_counted() -> None:
    """Slowly, and by life: what is proven and what is not each for itself."""
    kept = Kept()
    for number in range(PER_DAY + 1):
        now = Now(MonotonicS(number / 8), WallUs(0))
        kind = Row("security", NO_LOT, "replay", WallUs(0), {}, str(number))
        sizes_now = {each.name: each for each in kept.decided([Write((kind,))], now)}
        assert sizes_now["evidence of a second"].size <= 8
        assert (sizes_now["evidence of a day"].size > PER_DAY) is (number == PER_DAY)
    proven = list(kept.decided([Write((kind._replace(state="accept_id_reused"),))], now))
    assert [each.size for each in proven] == [1, 1]
    assert list(kept.decided([Write((kind._replace(kind="energy"),)), Write(())], now)) == []


@pytest.mark.parametrize("places", [1, 2])
def test_a_battery_without_room_for_all_trades_with_those_that_it_has(places: int) -> None:
    """Its bounds are kept, and it is not brought down by who finds no place."""
    outcome = play(Scenario(1, "safety", market(sessions=places, devices=3, queued_frames=4), ()))
    assert outcome.violations == ()
    assert outcome.trades > 0


def test_one_place_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A roster that takes everybody is found."""
    honest = Roster.admit

    def admit(self: Roster[object], address: str) -> bool:
        return (
            honest(self, address)
            or self._addresses.update([address])
            or setattr(self, "_places", self._places + 1) is None
        )

    monkeypatch.setattr(Roster, "admit", admit)
    outcome = play(Scenario(1, "safety", market(sessions=1, devices=3), ()))
    assert {each.name for each in outcome.violations} == {"limits"}
    assert outcome.violations[0].said.startswith("sessions holds ")


def test_a_queue_is_looked_at_as_it_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not between turns, when it is empty: a reader that is slow for two seconds is enough."""
    room = SendQueue.__init__
    monkeypatch.setattr(SendQueue, "__init__", lambda self, profile, _: room(self, profile, 1000))
    script = tuple(Fault(at_s, "slow_reader", 500, lasts_s=2.0) for at_s in (1.0, 3.0))
    outcome = play(Scenario(1, "safety", market(queued_frames=1), script))
    assert outcome.violations[0].name == "limits"
    assert "send queue holds 2; at most 1" in outcome.violations[0].said


def test_bounds_are_drawn_that_a_few_nodes_reach() -> None:
    """Each pair of bounds holds together; who must come to its end has room for everybody."""
    for seed in range(50):
        world = World(
            replace(market(), limits=_limits(Random(seed), 3), discovery_limits=_discovery_limits(Random(seed), 2))
        )
        world.begin()
        limits = world.batteries[0].limits
        assert limits.sessions <= 5
        assert limits.devices >= 3
    drawn = [scenario(seed) for seed in range(200)]
    narrow = [each for each in drawn if each.plan.limits]
    assert 60 < len(narrow) < 140
    tight = [each for each in narrow if each.plan.limits["sessions"] < len(each.plan.buyers)]
    assert {each.mode for each in tight} == {"safety"}
    unknown = [each for each in narrow if each.plan.discovery_limits["peers"] < len(each.plan.batteries)]
    assert {each.mode for each in unknown} == {"safety"}
