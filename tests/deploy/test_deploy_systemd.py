"""deploy/systemd: units that systemd takes, that start what the program offers, and that give away little."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

from aggregator_node.settings import AggregatorSettings
from bess_node.io.daemon import check_listen as check_bess_listen
from bess_node.settings import BessSettings
from cli.main import app
from gateway.access import check_listen as check_gateway_listen
from gateway.settings import GatewaySettings
from runtime.io.settings import load
from runtime.settings import NodeSettings, parse_address

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is absent")
MOST_EXPOSED = 2.0
"""Of 10, by `systemd-analyze security`: below it systemd itself says OK."""


def read(unit: Path) -> configparser.ConfigParser:
    """A unit's sections; of keys that stand there twice the last."""
    found = configparser.ConfigParser(strict=False, interpolation=None, delimiters=["="], comment_prefixes=["#"])
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(unit)
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_it_starts_what_there_is(unit: Path) -> None:
    """The command and its options are the program's; its state is where it may write; wrong settings are not tried again."""
    service = read(unit)["Service"]
    program, command, *options = service["ExecStart"].split()
    assert program.endswith("/bin/etp")
    known = {text for parameter in typer.main.get_command(app).commands[command].params for text in parameter.opts}
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert set(given) <= known
    assert given["--config"].startswith("/etc/etp/")
    state = given["--state-dir"].removeprefix("/var/lib/")
    assert state in service["StateDirectory"].split()
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["LimitNOFILE"]) > 1_200
    assert float(service["TimeoutStopSec"]) > 5
    assert "WatchdogSec" not in service
    assert service["User"] == "etp"
    assert re.search(r"^u etp ", (ROOT / "deploy" / "systemd" / "etp.sysusers").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "model"), [("bess", BessSettings), ("aggregator", AggregatorSettings), ("gateway", GatewaySettings)]
)
@pytest.mark.parametrize("whole", [False, True], ids=["as it is", "with what is commented out"])
def test_the_example_settings_are_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, model: type[BaseModel], whole: bool
) -> None:
    """Each example is taken by the program, also with its commented lines; what it says is no default."""
    for variable in [variable for variable in os.environ if variable.startswith("ETP_")]:
        monkeypatch.delenv(variable)
    text = (ROOT / "deploy" / "systemd" / f"{name}.toml").read_text()
    lines = [re.sub(r"^# (?=[a-z-]+ = )", "", line) if whole else line for line in text.splitlines()]
    file = tmp_path / f"{name}.toml"
    file.write_text("\n".join(lines))
    settings = load(model, {}, file)
    assert len(settings.model_fields_set) > 0
    if isinstance(settings, BessSettings):
        assert check_bess_listen(settings) == ("192.168.1.20", 8700)
    elif isinstance(settings, GatewaySettings):
        assert check_gateway_listen(settings) == ("192.168.1.10", 8443)
    if isinstance(settings, NodeSettings):
        parse_address("metrics", str(settings.metrics))
        assert bool(settings.gateway) == whole


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The units with a program that is there."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", unit.read_text()))
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("name", [unit.name for unit in UNITS])
def test_systemd_takes_it(here: Path, name: str) -> None:
    """No unknown key, no wrong value; and it is exposed to little."""
    for arguments in (["verify", "--man=no"], ["security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}"]):
        command = [str(ANALYZE), *arguments, str(here / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        if arguments[0] == "verify":
            assert done.stderr == ""
