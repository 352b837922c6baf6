"""A seed says everything: the same market, the same faults, the same digest, wherever it is played; a failing one is shrunk."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from aggregator_node.settings import AggregatorSettings
from bess_node.desk import Desk
from bess_node.settings import BessSettings
from sim.draw import FIRST_BATTERY, FIRST_BUYER, MODES, WHOLE_TOWN, scenario
from sim.faults import KINDS
from sim.invariants import Violation
from sim.io.campaign import AHEAD, campaign
from sim.run import Outcome, play, run
from sim.shrink import MOST_PLAYS, only, replay_line, shrunk

ROOT = Path(__file__).parents[2]
PAID = 1
"""The least seed whose trades are paid on a chain."""
SMALL = 28
"""A seed whose market is over in a moment."""
TOWN = 309
"""One of the few with many of both."""


def test_the_same_seed_gives_the_same_outcome() -> None:
    """Digest and counts, twice in one process; another seed another one."""
    first, again, other = run(SMALL), run(SMALL), run(SMALL + 1)
    assert first == again
    assert first.digest != other.digest


@pytest.mark.parametrize(("seed", "paid"), [(SMALL, False), (PAID, True)])
def test_the_same_seed_in_another_process_with_another_hash_seed(seed: int, *, paid: bool) -> None:
    """Nothing depends on the order of a set or dict of strings, on a chain or without one."""
    assert scenario(seed).plan.may_settle is paid
    command = [sys.executable, "-m", "cli.main", "sim", "--seed", str(seed), "--json"]
    told = {
        subprocess.run(
            command, capture_output=True, check=True, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": hashes}
        ).stdout
        for hashes in ("1", "31337")
    }
    assert len(told) == 1
    shown = json.loads(told.pop())
    assert list(shown) == [
        "seed", "mode", "batteries", "buyers", "digest", "auctions", "trades", "messages", "faults", "losses", "crashes",
        "violations",
    ]  # fmt: skip
    assert shown["violations"] == []
    assert any(kind.startswith("chain: ") for kind in shown["losses"]) is paid


def test_seeds_in_two_processes_give_the_same_outcomes() -> None:
    """As in this one, the market that is paid among them."""
    alone, shared = ({each.outcome.seed: each.outcome for each in campaign(PAID, 4, jobs=jobs)} for jobs in (1, 2))
    assert list(alone) == [PAID, PAID + 1, PAID + 2, PAID + 3]
    assert alone == shared


def test_a_campaign_begins_nothing_after_its_time() -> None:
    """Two processes, a fiftieth of a second: what was begun is ended, and told of; what waited is not played."""
    seeds = [each.outcome.seed for each in campaign(SMALL, None, jobs=2, seconds=0.02)]
    assert SMALL in seeds
    assert len(seeds) <= 2 * AHEAD // 2


def test_seeds_differ_in_everything() -> None:
    """Sizes of 1 to 50, every mechanism, strategy and pricing, both profiles, both modes, liars, and every kind of fault."""
    drawn = [scenario(seed) for seed in range(400)]
    sizes = [(len(each.plan.batteries), len(each.plan.buyers)) for each in drawn]
    assert min(sizes) == (1, 1)
    towns = [pair for pair in sizes if min(pair) >= WHOLE_TOWN[0]]
    assert 1 <= len(towns) <= 12
    assert {battery.mechanism for each in drawn for battery in each.plan.batteries} == {
        "english", "first-price", "vickrey", "uniform", "first-above-reserve"
    }  # fmt: skip
    for kind, field in ((BessSettings, "pricing"), (AggregatorSettings, "strategy")):
        nodes = [node for each in drawn for node in (*each.plan.batteries, *each.plan.buyers) if isinstance(node, kind)]
        assert {getattr(node, field) for node in nodes} == set(get_args(kind.model_fields[field].annotation))
    by_prices = [each for each in drawn if any(battery.pricing == "prices" for battery in each.plan.batteries)]
    assert len(by_prices) > 10
    assert all(each.plan.series is not None for each in by_prices)
    assert {each.mode for each in drawn} == set(MODES)
    assert {battery.profile for each in drawn for battery in each.plan.batteries} == {"signed", "plain"}
    assert {fault.kind for each in drawn for fault in each.script} == set(KINDS)
    hostile = [each for each in drawn if each.plan.hostile]
    assert 80 < len(hostile) < 240
    for each in hostile:
        honest = {node.device_id for node in (*each.plan.batteries, *each.plan.buyers)} - set(each.plan.hostile)
        assert any(device_id < FIRST_BUYER for device_id in honest)
        assert any(device_id >= FIRST_BUYER for device_id in honest)


def test_a_whole_town_trades() -> None:
    """More than 30 batteries and 30 buyers find each other by multicast, and sell while all goes wrong."""
    outcome = run(TOWN)
    assert min(outcome.batteries, outcome.buyers) >= WHOLE_TOWN[0]
    assert outcome.violations == ()
    assert outcome.auctions > 500
    assert outcome.crashes > 10


def test_a_mode_that_is_given_leaves_the_script_as_it_is() -> None:
    """So that a failing seed may be looked at in either."""
    safety, liveness = (scenario(3, mode) for mode in MODES)
    assert safety.script == liveness.script
    assert safety.plan.weather == liveness.plan.weather


def test_a_core_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the device whose core it was, with what it said."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Desk, "receive", broken)
    found = run(SMALL).violations
    assert [each.name for each in found] == ["raised"]
    assert found[0].device_id >= FIRST_BATTERY
    assert "planted" in found[0].said


def test_a_failing_script_is_made_as_small_as_it_gets() -> None:
    """Two faults of many are enough: exactly these are left, and the line plays exactly them."""
    drawn = scenario(7)
    first, second = drawn.script[3], drawn.script[-2]
    plays = Counter[str]()

    def fails(given: object) -> Outcome:
        plays["all"] += 1
        script = given.script  # type: ignore[attr-defined]
        broken = (Violation("energy", 101, "planted"),) if {first, second} <= set(script) else ()
        return replace(template, violations=broken)

    template = play(only(scenario(SMALL), []))
    kept = shrunk(drawn, "energy", replay=fails)
    assert kept == (3, len(drawn.script) - 2)
    assert plays["all"] <= MOST_PLAYS
    assert replay_line(template, kept).endswith(f"--faults 3,{len(drawn.script) - 2}")
    assert shrunk(drawn, "energy", replay=lambda _: replace(template, violations=(Violation("energy", 1, ""),))) == ()
