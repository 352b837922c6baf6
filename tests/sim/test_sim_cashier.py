"""Settlement in the simulator: the shipped settlers, the real program, forks and lying RPCs; every trade is paid once, or it is told."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from etp.effects import Row
from sim.draw import Scenario, scenario
from sim.invariants import Violation
from sim.invariants.payments import OVER
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

    def begin(self, world: World, broken: Callable[[Violation], None]) -> None:
        """As usual."""
        Kept.made = self
        super().begin(world, broken)

    def entered(self) -> Counter[str]:
        """How many trades came into each state of the outbox."""
        found: Counter[str] = Counter()
        for node in self._world.batteries:
            known: dict[int, str] = {}
            for row in node.disk.rows:
                if row.kind == "settlement":
                    found[row.state] += known.get(row.lot_id) != row.state
                    known[row.lot_id] = row.state
        return found


def settling(seeds: range, *, most: int) -> list[Scenario]:
    """The small markets of some seeds that are paid and waited for."""
    drawn = map(scenario, seeds)
    return [
        each
        for each in drawn
        if each.plan.may_settle and each.mode == "liveness" and len(each.plan.batteries) * len(each.plan.buyers) <= most
    ]


def test_what_was_sold_is_paid_once() -> None:
    """After all that went wrong each trade is settled or given back, and the battery holds what its trades brought, less the fee."""
    outcome = play(first("liveness"), Kept)
    assert not outcome.violations
    made = Kept.made
    states = Counter(
        node.disk.find("settlement", row.subject).state  # type: ignore[union-attr]
        for node in made._world.batteries
        for row in node.disk.rows
        if row.kind == "settlement" and row.state == "confirmed"
    )
    assert set(states) <= set(OVER.values())
    assert sum(states.values()) == outcome.trades >= 1
    assert any(name.startswith("chain: ") for name in outcome.faults)
    assert any(name.startswith("chain: ") for name in outcome.losses)


def test_the_same_seed_is_the_same_chain() -> None:
    """Digest, faults and all."""
    drawn = first("safety")
    one, other = play(drawn, Cashier), play(drawn, Cashier)
    assert (one.digest, one.faults, one.losses) == (other.digest, other.faults, other.losses)


def test_short_escrows_and_disputes_bring_about_every_state_of_the_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where most buyers have little, none looks, one disputes, and money is held: defaulted, disputed, given back, to the µ."""
    monkeypatch.setattr(module, "WINDOWS_S", (3,))
    monkeypatch.setattr(module, "QUARRELS", 1.0)
    monkeypatch.setattr("sim.io.chain.disputes.DECIDES_S", 30.0)
    monkeypatch.setattr(module, "CARELESS", 1.0)
    monkeypatch.setattr(module, "SHORT", 100_000)
    seen: Counter[str] = Counter()
    for drawn in settling(range(200), most=6):
        outcome = play(drawn, Kept)
        assert not outcome.violations, drawn.seed
        seen += Kept.made.entered()
        if {"held", "disputed", "defaulted", "refunded", "settled"} <= set(seen):
            return
    raise AssertionError(f"only {seen}")


def test_who_looks_at_its_escrow_does_not_bid_more_than_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Honest buyers with little, who look: none of their trades is a default, as long as no RPC lies to them."""
    monkeypatch.setattr(module, "CARELESS", 0.0)
    monkeypatch.setattr(module, "LIES", {})
    monkeypatch.setattr(module, "SHORT", 100_000)
    short = trades = 0
    for drawn in settling(range(80), most=6):
        if drawn.plan.hostile:
            continue
        outcome = play(drawn, Kept)
        assert not outcome.violations, drawn.seed
        assert not Kept.made.entered()["defaulted"], drawn.seed
        short, trades = short + outcome.faults.get("chain: escrow too short", 0), trades + outcome.trades
        if short >= 2 and trades >= 10:
            return
    raise AssertionError(f"only {trades} trades, {short} short escrows")


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


def test_an_outbox_that_says_what_the_chain_does_not_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One RPC is enough, and one of three lies: the row is judged when it is said, not by what follows from it."""
    lies, mute = {module.Fault.ACCOUNT_INVENTED: 1.0}, {module.Fault.NOTHING_FOR_SUCCESS: 0.9}
    monkeypatch.setattr("contracts.evidence.is_most", lambda count, _: count >= 1)
    monkeypatch.setattr(module, "drawn", lambda _, odds: dict(lies if odds is module.LIES else mute))
    outcome = play(first("liveness"), Cashier)
    assert {each.name for each in outcome.violations} == {"settled_once"}
    assert "finalized account" in outcome.violations[0].said


def test_an_unpaid_trade_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no RPC ever answers, liveness says which battery waits."""
    monkeypatch.setattr(Cashier, "heal", lambda _: None)
    monkeypatch.setattr(module, "UNRELIABLE", {module.Fault.LOSE_REQUEST: 1.0})
    monkeypatch.setattr(module, "drawn", lambda _, odds: dict.fromkeys(odds, 1.0))
    monkeypatch.setattr(module, "CARELESS", 1.0)  # who cannot see its escrow does not bid
    drawn = first("liveness")
    short = replace(drawn, script=())
    monkeypatch.setattr("sim.liveness.HEALTHY_S", 30.0)
    outcome = play(short, Cashier)
    assert {"liveness"} == {each.name for each in outcome.violations}
    assert any("not settled" in each.said for each in outcome.violations)
