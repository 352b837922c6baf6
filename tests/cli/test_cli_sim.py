"""`etp sim`: one seed or many, for people and for programs; what fails can be seen again."""

import json

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from sim import run as running
from sim.invariants import Violation, Watch


def sim(*arguments: str) -> Result:
    """`etp sim` in this process."""
    return CliRunner().invoke(app, ["sim", *arguments], env={"COLUMNS": "200"})


def test_a_seed_for_people() -> None:
    """What happened, and the digest."""
    result = sim("--seed", "28")
    assert result.exit_code == 0
    assert result.stdout.startswith("seed 28, ")
    assert "0 violations" in result.stdout
    assert "digest " in result.stdout


def test_seeds_for_programs() -> None:
    """An object for each, and one for all, whose counts add up."""
    result = sim("--seed", "28", "--runs", "3", "--jobs", "1", "--json")
    *each, total = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["seed"] for one in each] == [28, 29, 30]
    assert (total["runs"], total["failed"]) == (3, [])
    for name in ("auctions", "trades", "messages", "crashes"):
        assert total[name] == sum(one[name] for one in each)
    for name in ("faults", "losses"):
        assert total[name] == sum(sum(one[name].values()) for one in each) == sum(total[f"{name}_by_kind"].values())
    assert total["largest"] in [{"batteries": one["batteries"], "buyers": one["buyers"]} for one in each]


def test_too_little_is_a_failure() -> None:
    """What was required and not reached is named; status 1."""
    result = sim("--seed", "28", "--require", "auctions=1000000,crashes=0")
    assert result.exit_code == 1
    assert "too few: auctions " in result.stdout
    assert "required 1000000" in result.stdout


def test_too_few_markets_in_the_time_that_there_is() -> None:
    """A run that does not end in time says how far it came; status 1."""
    result = sim("--seed", "28", "--runs", "3", "--minutes", "1e-9", "--jobs", "1", "--require", "runs=3")
    assert result.exit_code == 1
    assert "too few: runs 0, required 3" in result.stdout


def test_what_breaks_is_told_with_the_lines_that_show_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which invariant, the seed, and the fewest faults: here none, since it breaks by itself."""
    monkeypatch.setattr(Watch, "ended", lambda *_: [Violation("energy", 101, "planted")])
    result = sim("--seed", "28")
    assert result.exit_code == 1
    assert "seed 28: energy at 101: planted" in result.stdout
    mode = running.scenario(28).mode
    assert f"again: etp sim --seed 28 --mode {mode}" in result.stdout
    assert f"0 of {len(running.scenario(28).script)} faults are enough" in result.stdout
    assert f"etp sim --seed 28 --mode {mode} --faults none" in result.stdout


def test_a_part_of_the_faults() -> None:
    """Only those that are named happen."""
    shown = json.loads(sim("--seed", "28", "--faults", "none", "--json").stdout)
    assert shown["faults"] == {}
    assert shown["crashes"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--faults", "a"), "expected numbers of faults, such as 3,7, or none"),
        (("--faults", "999"), "seed 0 has faults 0 to "),
        (("--faults", "1", "--runs", "2"), "belongs to one seed"),
        (("--require", "luck=1"), "expected NAME=NUMBER"),
        (("--mode", "chaos"), "mode is 'chaos'"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], says: str) -> None:
    """Status 2, and what would be right."""
    result = sim(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
