"""Settlement in the simulator: the shipped settlers, the real program, forks and lying RPCs; every trade is paid once, or it is told."""

from collections import Counter
from dataclasses import replace

import pytest

from etp.effects import Row
from sim.draw import Scenario, scenario
from sim.io import cashier as module
from sim.io.cashier import Cashier
from sim.run import play
from sim.world import World


def first(mode: str, *, least: int = 1) -> Scenario:
    """The first seed of a small market that can settle, in this mode."""
    drawn = (scenario(seed, mode) for seed in range(500))  # type: ignore[arg-type]
    return next(
        each
        for each in drawn
        if each.plan.may_settle
        and len(each.plan.batteries) >= least
        and len(each.plan.batteries) * len(each.plan.buyers) <= 3
    )


class Kept(Cashier):
    """Stays where it can be looked at."""

    made: "Kept"

    def begin(self, world: World) -> None:
        """As usual."""
        Kept.made = self
        super().begin(world)


def test_what_was_sold_is_paid_once() -> None:
    """After all that went wrong each trade is settled, and the battery holds what its trades brought, less the fee."""
    outcome = play(first("liveness"), Kept)
    assert not outcome.violations
    made = Kept.made
    states = Counter(
        node.disk.find("settlement", row.subject).state  # type: ignore[union-attr]
        for node in made._world.batteries
        for row in node.disk.rows
        if row.kind == "settlement" and row.state == "confirmed"
    )
    assert states == {"settled": outcome.trades}
    assert outcome.trades >= 1
    assert any(name.startswith("chain: ") for name in outcome.faults)


def test_the_same_seed_is_the_same_chain() -> None:
    """Digest, faults and all."""
    drawn = first("safety")
    one, other = play(drawn, Cashier), play(drawn, Cashier)
    assert (one.digest, one.faults) == (other.digest, other.faults)


def test_a_battery_that_is_paid_otherwise_is_told() -> None:
    """A journal that says another price, or more trades, than the chain has paid."""
    play(first("liveness"), Kept)
    made = Kept.made
    assert made.violations() == []
    battery = next(node for node in made._world.batteries if any(row.kind == "trade" for row in node.disk.rows))
    index, trade = next((n, row) for n, row in enumerate(battery.disk.rows) if row.kind == "trade")
    changed = int(str(trade.body["paid_micro"])) + 1
    battery.disk.rows[index] = Row(*trade[:4], dict(trade.body) | {"paid_micro": str(changed)}, *trade[5:])
    assert [each.name for each in made.violations()] == ["settled_once"]
    del battery.disk.rows[index]
    assert [each.name for each in made.violations()] == ["settled_once"], "it was paid for what it did not sell"


def test_an_unpaid_trade_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no RPC ever answers, liveness says which battery waits."""
    monkeypatch.setattr(Cashier, "heal", lambda _: None)
    monkeypatch.setattr(module, "UNRELIABLE", {module.Fault.LOSE_REQUEST: 1.0})
    monkeypatch.setattr(module, "drawn", lambda _, odds: dict.fromkeys(odds, 1.0))
    drawn = first("liveness")
    short = replace(drawn, script=())
    monkeypatch.setattr("sim.liveness.HEALTHY_S", 30.0)
    outcome = play(short, Cashier)
    assert {"liveness"} == {each.name for each in outcome.violations}
    assert any("not settled" in each.said for each in outcome.violations)
