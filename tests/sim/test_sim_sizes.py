"""Tables of a whole node are looked at while it runs, and one that holds too much is told of."""

from dataclasses import replace
from random import Random

import pytest

from etp.queue import SendQueue
from etp.roster import Roster
from sim.draw import Scenario, _discovery_limits, _limits, scenario
from sim.faults import Fault
from sim.invariants import Watch
from sim.invariants.sizes import sizes
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
}
OF_A_BATTERY = EVERYWHERE | {"affairs", "replies that wait", "replies and probes of a window"}
OF_A_BUYER = EVERYWHERE | {
    "batteries", "directory", "agenda", "peers", "peers of one address", "contests", "sources", "frames remembered",
    "replies and probes of a window",
}  # fmt: skip


def market(**limits: int) -> Plan:
    """Two batteries, three buyers, found by multicast."""
    drawn = busy()
    buyers = tuple(each.model_copy(update={"profile": "signed"}) for each in drawn.buyers)
    batteries = tuple(each.model_copy(update={"profile": "signed"}) for each in drawn.batteries)
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
    assert seen[500] >= OF_A_BUYER


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
