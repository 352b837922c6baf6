"""The pages on running things: each `etp` command and option in them is one that the program has."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from cli.main import app
from gateway.settings import GatewaySettings

ROOT = Path(__file__).parents[2]
PAGES = {
    "operations.md": None,
    "running-a-battery.md": BessSettings,
    "running-an-aggregator.md": AggregatorSettings,
    "running-a-gateway.md": GatewaySettings,
}
"""And whose settings the table of a page lists."""


def commands(text: str) -> Iterator[list[str]]:
    """The words after `etp` of each command line, in blocks and in the prose."""
    code = [line for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    code += re.findall(r"`(etp [^`\n]*)`", text)
    for line in code:
        found = re.search(r"(?:^|exec -T gateway |-u etp )etp ([a-z-].*)", line.split("#")[0])
        if found:
            yield shlex.split(found[1].split(">")[0])


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_there(page: str) -> None:
    """Sub-commands and options; a changed name shows here and not at somebody's desk."""
    seen = 0
    for words in commands((ROOT / "docs" / page).read_text()):
        command: Any = typer.main.get_command(app)
        path, rest = [], list(words)
        while hasattr(command, "get_command") and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            found = command.get_command(None, name)
            assert found is not None, (page, [*path, name])
            command, path = found, [*path, name]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        given = {word for word in rest if word.startswith("--")}
        assert given <= known, (page, path, given - known)
        seen += 1
    assert seen > 1


@pytest.mark.parametrize("page", [page for page, model in PAGES.items() if model])
def test_every_setting_is_there(page: str) -> None:
    """The rows of a page's table of settings are settings."""
    table = re.search(r"\| setting \| what \|\n.*?\n\n", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert table is not None
    named = {
        name for row in table[0].strip().splitlines()[2:] for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])
    }
    model = PAGES[page]
    assert model is not None
    assert len(named) > 4
    assert {name.replace("-", "_") for name in named} <= set(model.model_fields)
