"""`etp --help`: every command, every option, its unit and its default; completion for three shells."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from cli.main import app
from runtime.settings import NodeSettings

TOP: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def flat(commands: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Every command that does something, by the words that call it."""
    found: dict[str, Any] = {}
    for name, command in commands.items():
        if hasattr(command, "list_commands"):  # also those that are loaded when they are called
            inside = {inner: command.get_command(None, inner) for inner in command.list_commands(None)}
            found |= flat(inside, f"{before}{name} ")
        else:
            found[f"{before}{name}"] = command
    return found


COMMANDS = flat(TOP)
NODES: dict[str, type[NodeSettings]] = {"bess": BessSettings, "aggregator": AggregatorSettings}
UNITS = {"kwh": "kWh", "kw": "kW", "ms": "ms", "s": "s", "h": "h", "c": "°C"}
"""By the last word of an option's name."""
OTHER_UNITS = {
    "reserve": "c/kWh",
    "wear": "c/kWh",
    "increment": "c/kWh",
    "max_price": "c/kWh",
    "budget": "c",
    "for_sale": "%",
    "margin": "%",
    "bid_rate": "per second",
    "unsettled": "c",
    "min_escrow": "c",
    "unit_price": "lamport per compute unit",
    "day_start": "unix seconds",
    "day_origin": "unix seconds",
    "day_speed": "market seconds per real second",
}
WITHOUT_UNIT = {"device_id", "seed", "efficiency", "min_reputation"}
SHELLS = ("bash", "zsh", "fish")


def shown(*arguments: str, columns: int = 80) -> str:
    """The help as it stands in a terminal of so many columns, its frames and line breaks taken out."""
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    assert result.stderr == ""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.stdout).split())


def options(command: str) -> list[Any]:
    """The options of a command."""
    found = [parameter for parameter in COMMANDS[command].params if parameter.param_type_name == "option"]
    assert found
    return found


def test_every_command_is_listed() -> None:
    """With its first words, by `etp --help` and by `etp` alone."""
    help_text = shown()
    for name, command in TOP.items():
        first = " ".join((command.help or "").split()[:3])
        assert f"{name} {first}" in help_text
        assert first
    assert CliRunner().invoke(app, []).stdout.split() == CliRunner().invoke(app, ["--help"]).stdout.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_named_and_explained(command: str) -> None:
    """Each flag, and none without words of its own."""
    words = shown(*command.split(), columns=200).split()
    for option in options(command):
        assert option.opts[0] in words, option.opts
        assert option.help, option.opts


def test_no_flag_is_cut_off_where_the_terminal_is_narrow() -> None:
    """In 80 columns too, which is what a pipe has."""
    for command in COMMANDS:
        words = shown(*command.split(), columns=80).split()
        assert [option.opts[0] for option in options(command) if option.opts[0] not in words] == [], command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_its_unit(command: str) -> None:
    """Where the name ends in a unit, or the value is a number, the words name the unit as it is written."""
    for option in options(command):
        unit = OTHER_UNITS.get(option.name) or UNITS.get(option.name.rpartition("_")[2])
        if unit is not None:
            assert re.search(rf"(?<![\w/]){re.escape(unit)}(?!\w)", option.help or ""), (option.name, option.help)


@pytest.mark.parametrize("role", NODES)
def test_every_number_has_a_unit_here(role: str) -> None:
    """No numeric setting is left out of the tables above."""
    for name, field in NODES[role].model_fields.items():
        if field.annotation in (int, float, int | None, float | None):
            known = name in OTHER_UNITS or name in WITHOUT_UNIT or name.rpartition("_")[2] in UNITS
            assert known, name


@pytest.mark.parametrize("role", NODES)
def test_every_setting_is_an_option(role: str) -> None:
    """No field without a flag, no flag without a field, and the file beside them."""
    flags = {option.opts[0] for option in options(role)}
    fields = {f"--{name.replace('_', '-')}" for name in NODES[role].model_fields}
    assert flags - {"--help"} == fields | {"--config"}


@pytest.mark.parametrize("role", NODES)
def test_every_default_is_shown(role: str) -> None:
    """Whoever reads the help sees what holds without the flag, and which flag is required."""
    text = shown(role, columns=400)
    assert "required" in text
    for name, field in NODES[role].model_fields.items():
        if field.default not in (PydanticUndefined, None, [], False):
            assert f"default: {field.default}" in text, name


# -- completion


def complete(**environment: str) -> str:
    """What the program says to a shell that asks by its variables."""
    result = CliRunner().invoke(app, [], prog_name="etp", env=environment)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_for_each_shell(shell: str, tmp_path: Path) -> None:
    """It is about `etp`, calls it back for that shell, and the shell reads it, where there is one to ask."""
    script = complete(_ETP_COMPLETE=f"source_{shell}")
    assert f"_ETP_COMPLETE=complete_{shell}" in script
    program = shutil.which(shell)
    if program is not None:
        path = tmp_path / "script"
        path.write_text(script)
        done = subprocess.run([program, "-n", str(path)], capture_output=True, text=True, timeout=10, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_commands_and_options_are_completed() -> None:
    """`etp b⇥` and `etp bess --cap⇥`, as bash asks."""
    assert complete(_ETP_COMPLETE="complete_bash", COMP_WORDS="etp b", COMP_CWORD="1").split() == ["bess"]
    words = complete(_ETP_COMPLETE="complete_bash", COMP_WORDS="etp bess --cap", COMP_CWORD="2").split()
    assert words == ["--capacity-kwh"]


def test_completion_is_offered() -> None:
    """The options that show and install it are in the help."""
    assert "--show-completion" in shown()
    assert "--install-completion" in shown()
