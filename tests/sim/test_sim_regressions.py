"""Markets in which a bug of ours once broke something, kept whole: they break nothing now, and do as soon as the bug is back."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from sim.io.campaign import played
from sim.kept import read
from tools.mutants import REGRESSIONS, ROOT, hunt, mutant

LIST = Path(__file__).parent / "regressions.toml"
KEPT: dict[str, dict[str, Any]] = tomllib.loads(LIST.read_text())
MARKETS = sorted(REGRESSIONS.glob("*.json"))


def test_the_list_names_all_that_is_kept() -> None:
    """Each market, and beside it the patch that brings its bug back."""
    kept = {name for name, told in KEPT.items() if told["market"]}
    assert kept == {path.stem for path in MARKETS} == {path.stem for path in REGRESSIONS.glob("*.patch")}


@pytest.mark.parametrize("path", MARKETS, ids=lambda path: path.stem)
def test_a_market_that_failed(path: Path) -> None:
    """It does not fail any more."""
    assert played(read(path.read_text())).violations == ()


def test_a_bug_that_is_back_is_found() -> None:
    """One of them, in another process, by playing its market alone; all of them: `make mutants`."""
    verdict = hunt(mutant(REGRESSIONS / "sun_of_all_hours.patch"))
    assert verdict.bites, verdict
    assert verdict.seed == read((REGRESSIONS / "sun_of_all_hours.json").read_text()).seed


@pytest.mark.parametrize("name", KEPT)
def test_its_bug_has_a_test(name: str) -> None:
    """By the name in the list."""
    path, test = KEPT[name]["test"].split("::")
    assert f"def {test}(" in (ROOT / path).read_text()
