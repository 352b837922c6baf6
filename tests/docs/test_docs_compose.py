"""docker-compose.yml and Dockerfile against the programs they start: real options, real files, a check that answers."""

import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from aggregator_node.settings import AggregatorSettings
from bess_node.io.daemon import check_listen
from bess_node.settings import BessSettings
from cli.main import app
from runtime.io.settings import load
from runtime.settings import NodeSettings
from tools import healthcheck

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MODELS: dict[str, type[NodeSettings]] = {"bess": BessSettings, "aggregator": AggregatorSettings}
GROUP = "239.192.77.77:18779"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ETP_")]:
        monkeypatch.delenv(name)


def settings_of(command: list[str]) -> NodeSettings:
    """The settings of a command line, read by the real parser and model."""
    role, *options = command
    context = typer.main.get_command(app).commands[role].make_context(role, list(options))
    given = {key: value for key, value in context.params.items() if value not in (None, [], ())}
    config = given.pop("config", None)
    return load(MODELS[role], given, config)


def judge(command: list[str]) -> NodeSettings:
    """As above, and the daemon's own word on where to listen."""
    settings = settings_of(command)
    if isinstance(settings, BessSettings):
        check_listen(settings)
    return settings


def test_three_of_each_on_one_network() -> None:
    """Six services with a health check and a volume of their own on one network that leads nowhere else."""
    assert [command["command"][0] for command in SERVICES.values()] == ["bess"] * 3 + ["aggregator"] * 3
    assert list(COMPOSE["networks"]) == ["market"]
    assert COMPOSE["networks"]["market"]["internal"] is True
    assert all(list(service["networks"]) == ["market"] for service in SERVICES.values())
    assert all(service["healthcheck"]["test"][0] == "CMD" for service in SERVICES.values())
    assert not any("ports" in service for service in SERVICES.values())
    volumes = [volume.split(":") for service in SERVICES.values() for volume in service["volumes"]]
    assert sorted(name for name, _ in volumes) == sorted(COMPOSE["volumes"]) == sorted(SERVICES)
    assert {target for _, target in volumes} == {"/var/lib/etp"}


def test_each_command_is_one_that_the_program_takes() -> None:
    """Options and values pass the parser, the model and the daemon's own checks; ids differ; the journal is in the volume."""
    found = {name: judge(service["command"]) for name, service in SERVICES.items()}
    assert len({settings.device_id for settings in found.values()}) == len(SERVICES)
    assert {settings.group for settings in found.values()} == {NodeSettings.model_fields["group"].default}
    assert {str(settings.state_dir) for settings in found.values()} == {"/var/lib/etp"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--no-such-option", "1"], "No such option"),
        (["--mechanism", "dutch"], "mechanism"),
        (["--closing-ms", "soon"], "closing_ms"),
        (["--listen", "10.213.77.11"], "listen"),
    ],
)
def test_a_wrong_command_would_be_noticed(wrong: list[str], says: str) -> None:
    """The judge of the test above does refuse."""
    with pytest.raises(Exception, match=says):
        judge([*SERVICES["bess-1"]["command"], *wrong])


def test_addresses_and_checks_fit() -> None:
    """Each node's interface is its own address in the subnet, and its check asks that address, group and id."""
    subnet = ip_network(COMPOSE["networks"]["market"]["ipam"]["config"][0]["subnet"])
    seen = set()
    for service in SERVICES.values():
        settings, address = judge(service["command"]), service["networks"]["market"]["ipv4_address"]
        assert ip_address(address) in subnet
        assert settings.interface == address
        seen.add(address)
        assert service["healthcheck"]["test"][:4] == ["CMD", "python", "-m", "tools.healthcheck"]
        asks = service["healthcheck"]["test"][4:]
        if isinstance(settings, BessSettings):
            assert asks == ["bess", settings.listen]
            assert settings.listen.startswith(f"{address}:")
            assert settings.allow_plaintext
        else:
            assert asks == ["aggregator", address, settings.group, str(settings.device_id)]
    assert len(seen) == len(SERVICES)


# -- the image


def let_through() -> list[str]:
    """What .dockerignore lets into the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return [rule[1:] for rule in rules if rule.startswith("!")]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_what_is_copied_is_there() -> None:
    """COPY's sources exist and are let through, and all packages of the wheel are."""
    assert [name for name in let_through() if not (ROOT / name).exists()] == []
    for word, rest in instructions():
        for source in shlex.split(rest)[:-1] if word == "COPY" else []:
            assert (ROOT / source).exists()
            assert source == "." or any(fnmatch.fnmatch(source, rule) for rule in let_through())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(let_through())


def test_the_image_is_hashed_and_unprivileged() -> None:
    """Only hashed packages are installed; the user is not root; `etp` is the program, and its module is the CLI's."""
    found = instructions()
    installs = [rest for word, rest in found if word == "RUN" and "pip install" in rest]
    assert all("--require-hashes -r" in rest for rest in installs)
    assert ("USER", "etp") in found
    assert ("ENTRYPOINT", '["etp"]') in found
    assert any("python -m cli.main" in rest for word, rest in found if word == "RUN")


# -- the six commands and their checks, on loopback


def here(arguments: list[str]) -> list[str]:
    """The same with addresses of this machine: any free port, a group of the tests' own."""
    text = json.dumps(arguments).replace("239.192.77.77:8888", GROUP)
    found: list[str] = json.loads(re.sub(r"10\.213\.77\.\d+(:8700)?", lambda m: "127.0.0.1" + ":0" * bool(m[1]), text))
    return found


@pytest.fixture
def market(tmp_path: Path) -> Iterator[dict[str, tuple[subprocess.Popen[str], dict[str, Any]]]]:
    """Each service's daemon and its ready line, started as the file says."""
    started = {}
    for name, service in SERVICES.items():
        command = [*here(service["command"]), "--group", GROUP, "--state-dir", str(tmp_path / name)]
        started[name] = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    try:
        yield {name: (process, json.loads(process.stdout.readline())) for name, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_checks_tell_who_serves(market: dict[str, tuple[subprocess.Popen[str], dict[str, Any]]]) -> None:
    """All six start and pass their checks; a daemon that is gone, and one that is not that device, fail them."""
    for name, (_, line) in market.items():
        asks = here(SERVICES[name]["healthcheck"]["test"][4:])
        assert healthcheck.main(["bess", line["tcp"]] if line["role"] == "bess" else asks) == 0, name
    for name in ("bess-1", "aggregator-1"):
        process, line = market[name]
        process.kill()
        process.wait()
        asks = ["aggregator", "127.0.0.1", GROUP, str(line["device_id"])]
        assert healthcheck.main(["bess", line["tcp"]] if line["role"] == "bess" else asks) == 1
    assert healthcheck.main(["bess"]) == 2
