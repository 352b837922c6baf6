"""Seeds that once failed are played again; each has a test beside the source of its bug, too."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from sim.draw import MODES, scenario
from sim.io.campaign import played

ROOT = Path(__file__).parents[2]
KEPT: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "regressions.toml").read_text())["seed"]


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: f"{kept['seed']}-{kept['mode']}")
def test_a_seed_that_failed(kept: dict[str, Any]) -> None:
    """It does not fail any more."""
    assert kept["mode"] in MODES
    assert played(scenario(kept["seed"], kept["mode"])).violations == ()


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: str(kept["seed"]))
def test_its_bug_has_a_test(kept: dict[str, Any]) -> None:
    """By the name in the list."""
    path, name = kept["test"].split("::")
    assert f"def {name}(" in (ROOT / path).read_text()
