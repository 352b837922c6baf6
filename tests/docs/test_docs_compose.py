"""docker-compose.yml and Dockerfile against the programs they start: real options, real files, a check that answers."""

import fnmatch
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from aggregator_node.settings import AggregatorSettings
from bess_node.io.daemon import check_listen
from bess_node.settings import BessSettings
from cli.main import app
from gateway.access import audiences
from gateway.access import check_listen as check_gateway_listen
from gateway.settings import GatewaySettings
from runtime.io.key_file import load_key
from runtime.io.registry_file import load_registry
from runtime.io.settings import load
from runtime.settings import NodeSettings
from tools import healthcheck

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
MODELS: dict[str, type[NodeSettings]] = {"bess": BessSettings, "aggregator": AggregatorSettings}
SERVICES: dict[str, dict[str, Any]] = {
    name: service for name, service in COMPOSE["services"].items() if "profiles" not in service
}
"""What `docker compose up` starts."""
WATCHING: dict[str, dict[str, Any]] = {
    name: service for name, service in COMPOSE["services"].items() if "profiles" in service
}
"""What --profile watch adds."""
WATCH_ENV = dict(
    line.split("=", 1)
    for line in (ROOT / "deploy" / "compose" / "watch.env").read_text().splitlines()
    if line and not line.startswith("#")
)
GROUP = "239.192.77.77:18779"
GATEWAY = "gateway:8443"
"""Where nodes find it."""


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ETP_")]:
        monkeypatch.delenv(name)


def environment(service: dict[str, Any], given: dict[str, str] | None = None) -> dict[str, str]:
    """A service's variables, with `${NAME:-default}` as Compose fills it in."""
    values = given or {}
    return {
        name: re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: values.get(found[1]) or found[2], text)
        for name, text in service["environment"].items()
    }


@pytest.fixture(params=["alone", "watched"])
def variables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The nodes' environment, without and with deploy/compose/watch.env."""
    filled = environment(SERVICES["bess-1"], WATCH_ENV if request.param == "watched" else {})
    assert all(service["environment"] == SERVICES["bess-1"]["environment"] for service in SERVICES.values())
    for name, value in filled.items():
        monkeypatch.setenv(name, value)
    return str(request.param)


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
    assert COMPOSE["networks"]["market"]["internal"] is True
    assert all(list(service["networks"]) == ["market"] for service in SERVICES.values())
    assert all(service["healthcheck"]["test"][0] == "CMD" for service in SERVICES.values())
    assert not any("ports" in service for service in SERVICES.values())
    for name, service in SERVICES.items():
        assert service["volumes"] == [f"{name}:/var/lib/etp", "market:/etc/etp:ro"]
        assert service["depends_on"]["keys"] == {"condition": "service_completed_successfully", "required": False}


def test_each_command_is_one_that_the_program_takes(variables: str) -> None:
    """Options and values pass the parser, the model and the daemon's own checks; ids differ; the journal is in the volume."""
    found = {name: judge(service["command"]) for name, service in SERVICES.items()}
    assert len({settings.device_id for settings in found.values()}) == len(SERVICES)
    assert {settings.group for settings in found.values()} == {NodeSettings.model_fields["group"].default}
    assert {str(settings.state_dir) for settings in found.values()} == {"/var/lib/etp"}
    watched = variables == "watched"
    assert {settings.profile for settings in found.values()} == {"signed" if watched else "plain"}
    assert {settings.metrics for settings in found.values()} == {"0.0.0.0:9101" if watched else None}
    assert all(settings.gateway == ([f"wss://{GATEWAY}"] if watched else []) for settings in found.values())


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


@pytest.mark.usefixtures("variables")
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


# -- what watches them


def test_only_the_dashboards_are_published() -> None:
    """Two ports, on 127.0.0.1; who has one is in both networks, all others in the internal one alone."""
    published = {name: service["ports"] for name, service in WATCHING.items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:8443:8443"], "grafana": ["127.0.0.1:3000:3000"]}
    for name, service in WATCHING.items():
        if name == "keys":
            assert service["network_mode"] == "none"
        else:
            assert set(service["networks"]) == ({"market", "front"} if name in published else {"market"})
            assert "healthcheck" in service
        assert "no-new-privileges:true" in service["security_opt"]
        assert not service.get("privileged")


def test_what_is_named_is_there() -> None:
    """Volumes, secrets, mounted files and the services that others wait for exist; nothing is left over."""
    volumes, secrets = set(), set()
    for service in COMPOSE["services"].values():
        secrets |= set(service.get("secrets", []))
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        for source in (volume.split(":")[0] for volume in service.get("volumes", [])):
            if source.startswith("."):
                assert (ROOT / source).exists(), source
            else:
                volumes.add(source)
    assert volumes == set(COMPOSE["volumes"])
    assert secrets == set(COMPOSE["secrets"])
    named = [network for service in COMPOSE["services"].values() for network in service.get("networks", {})]
    assert set(named) == set(COMPOSE["networks"])
    addresses = [
        place["ipv4_address"]
        for service in COMPOSE["services"].values()
        for place in service.get("networks", {}).values()
        if place
    ]
    assert len(set(addresses)) == len(addresses)


def test_no_secret_is_in_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords come from files that git ignores; the script makes them once, unlike each other, and keeps them."""
    for secret in (*COMPOSE["secrets"].values(), {"file": "deploy/prometheus/secrets/gateway-key"}):
        asked = subprocess.run(["git", "check-ignore", "-q", secret["file"]], cwd=ROOT, check=False)
        assert asked.returncode == 0, secret
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or value.startswith("/run/secrets/")
    script = ["sh", str(ROOT / "deploy" / "compose" / "secrets.sh"), str(tmp_path)]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    files = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert set(made) == files | {Path(WATCHING["gateway"]["env_file"][0]["path"]).name}
    assert made["postgres-password"] != made["grafana-password"]
    assert len(made["postgres-password"]) == 48
    assert not any(text in said for text in made.values())
    name, _, url = made["gateway.env"].strip().partition("=")
    monkeypatch.setenv(name, url)
    expected = f"postgresql+asyncpg://etp:{made['postgres-password']}@postgres/etp"
    assert load(GatewaySettings, {}).database_url == expected
    subprocess.run(script, capture_output=True, check=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == made


def test_the_gateway_may_listen_there() -> None:
    """Its command passes parser, model and its own rule on where to listen; nodes and Prometheus ask for a name it answers to."""
    _, *options = WATCHING["gateway"]["command"]
    assert WATCHING["gateway"]["env_file"][0]["path"] == "deploy/compose/secrets/gateway.env"
    context = typer.main.get_command(app).commands["gateway"].make_context("gateway", list(options))
    settings = load(GatewaySettings, {key: value for key, value in context.params.items() if value not in (None, [])})
    assert check_gateway_listen(settings) == ("0.0.0.0", 8443)
    assert WATCH_ENV["ETP_GATEWAY"] == f"wss://{GATEWAY}"
    assert GATEWAY in audiences(settings.origins)
    targets = yaml.safe_load((ROOT / "deploy" / "prometheus" / "targets" / "gateway.yml").read_text())
    assert targets == [{"labels": {"__scheme__": "https"}, "targets": [GATEWAY]}]


def test_all_who_ask_the_gateway_trust_its_certificate() -> None:
    """The certificate that it shows is the one that nodes, Prometheus and its own check believe; its key is in no shared volume."""
    options = dict(zip(*[iter(WATCHING["gateway"]["command"][1:])] * 2, strict=True))
    asking = [*SERVICES.values(), WATCHING["prometheus"], WATCHING["gateway"]]
    assert {service["environment"]["SSL_CERT_FILE"] for service in asking} == {options["--tls-cert"]}
    assert options["--tls-cert"].startswith("/etc/etp/")
    assert all("market:/etc/etp:ro" in service["volumes"] for service in asking)
    assert options["--tls-key"].startswith("/var/lib/etp/")
    holding = [name for name, service in COMPOSE["services"].items() if "gateway:/" in str(service.get("volumes"))]
    assert holding == ["keys", "gateway"]
    for service in (*asking, WATCHING["gateway"]):
        assert "keys" in service["depends_on"]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """What the service `keys` leaves in the volumes, each a directory here: made by keys.sh and the commands that it asks for."""
    root, log, stub = tmp_path / "keys", tmp_path / "log", tmp_path / "etp"
    for name in (*SERVICES, "market", "gateway"):
        (root / name).mkdir(parents=True)
        assert f"{name}:/keys/{name}" in WATCHING["keys"]["volumes"]
    stub.write_text(f'#!/bin/sh\necho "$@" >> {log}\nif [ "$2" = init ]; then touch "$4"; fi\n')
    stub.chmod(0o755)
    script = ["sh", str(ROOT / "deploy" / "compose" / "keys.sh"), str(root), str(stub), f"{os.getuid()}:{os.getgid()}"]
    subprocess.run(script, capture_output=True, text=True, check=True)
    registry, asked = root / "market" / "registry.toml", log.read_text().splitlines()
    certificate = (root / "market" / "gateway.crt").read_bytes()
    subprocess.run(script, capture_output=True, text=True, check=True)
    assert log.read_text().splitlines() == asked
    assert (root / "market" / "gateway.crt").read_bytes() == certificate
    assert len(asked) == 1 + 2 * len(SERVICES)
    registry.unlink()
    for line in asked:  # in this process: to start the program for each would take seconds
        done = CliRunner().invoke(app, line.split())
        assert done.exit_code == 0, (line, done.output)
    return registry.with_name("registry.toml.new").rename(registry).parents[1]


def test_each_node_gets_a_key(keys: Path) -> None:
    """What keys.sh asks of the program gives a registry of exactly these nodes, each by the key in its own volume; once."""
    registry = load_registry(keys / "market" / "registry.toml")
    for name, service in SERVICES.items():
        device_id = int(service["command"][service["command"].index("--device-id") + 1])
        member = registry.get(device_id)
        assert member is not None
        assert member.key == load_key(keys / name / "key.json").public
        assert member.role.name.lower() == service["command"][0]


def test_the_certificate_is_for_this_gateway_alone(keys: Path) -> None:
    """It has every name that --origins has, may sign nothing, and lasts ten years; its key can be read by the gateway's user alone."""
    ten_years_s = str(3649 * 86_400)
    asked = [
        "openssl",
        "x509",
        "-in",
        str(keys / "market" / "gateway.crt"),
        "-noout",
        "-checkend",
        ten_years_s,
        "-text",
    ]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert "CA:FALSE" in said
    origins = [word for option, word in pairwise(WATCHING["gateway"]["command"]) if option == "--origins"]
    names = re.findall(r"(?:DNS|IP Address):([^,\s]+)", said)
    assert {urlsplit(origin).hostname for origin in origins} == set(names)
    assert (keys / "gateway" / "gateway.key").stat().st_mode & 0o777 == 0o600
    assert (keys / "market" / "gateway.crt").stat().st_mode & 0o777 == 0o644


def in_directories(words: list[str], keys: Path, name: str, port: int) -> list[str]:
    """A service's words with its volumes' directories, and this machine's addresses."""
    places = {"/etc/etp": str(keys / "market"), "/var/lib/etp": str(keys / name)}
    addresses = {GATEWAY: f"localhost:{port}", "0.0.0.0:8443": f"127.0.0.1:{port}", "1:8443": f"1:{port}"}
    addresses |= {"localhost:8443": f"localhost:{port}", "0.0.0.0:9101": "127.0.0.1:0"}
    text = json.dumps(here(words))
    for given, ours in (places | addresses).items():
        text = text.replace(given, ours)
    found: list[str] = json.loads(text)
    return found


@contextmanager
def started(
    keys: Path, name: str, port: int, **others: str
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """A service of the watched market on this machine, and its ready line; its log is its stderr."""
    service = COMPOSE["services"][name]
    given = environment(service, WATCH_ENV)
    values = dict(zip(given, in_directories(list(given.values()), keys, name, port), strict=True))
    words = in_directories(service["command"], keys, name, port)
    if "--redis" in words:  # a single gateway needs none
        del words[words.index("--redis") : words.index("--redis") + 2]
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words, *(["--group", GROUP] if name in SERVICES else [])],
        cwd=ROOT,
        env=os.environ | values | others,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def logged(process: "subprocess.Popen[str]", event: str) -> str:
    """The first line of its log with this event; the log's end fails the test."""
    assert process.stderr is not None
    return next(line for line in process.stderr if event in line)


def test_a_feed_arrives_by_tls_and_only_at_this_gateway(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateway and nodes as the file starts them: the check and Prometheus' way work; who lacks the certificate tells it nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    trusted = str(keys / "market" / "gateway.crt")
    with started(keys, "gateway", port) as (gateway, line):
        assert line["http"] == f"https://127.0.0.1:{port}"
        asks = in_directories(WATCHING["gateway"]["healthcheck"]["test"][4:], keys, "gateway", port)
        assert healthcheck.main(asks) == 1
        monkeypatch.setenv("SSL_CERT_FILE", trusted)
        assert healthcheck.main(asks) == 0
        made = CliRunner().invoke(app, ["gateway", "key", "add", "prometheus", "--state-dir", str(keys / "gateway")])
        with started(keys, "bess-1", port) as (node, _), started(keys, "bess-2", port, SSL_CERT_FILE="") as (other, _):
            logged(node, "gateway_connected")
            assert "CERTIFICATE_VERIFY_FAILED" in logged(other, "gateway_lost")
            asked = Request(
                f"https://localhost:{port}/metrics", headers={"Authorization": f"Bearer {made.stdout.strip()}"}
            )
            with urlopen(asked, timeout=5) as answer:
                text = answer.read().decode()
        assert re.search(r"etp_node_online\{[^}]*101[^}]*\} 1", text), text
        assert not re.search(r"etp_node_online\{[^}]*102", text)
        assert gateway.poll() is None


def test_a_node_with_an_exporter_is_asked_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a node that signs: its /healthz tells that it serves; nothing answers where it is gone."""
    command = [*here(SERVICES["bess-1"]["command"]), "--group", GROUP, "--state-dir", str(tmp_path / "bess")]
    variables = os.environ | {"ETP_PROFILE": "plain", "ETP_METRICS": "127.0.0.1:0"}
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", *command],
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        metrics = json.loads(process.stdout.readline())["metrics"]
        monkeypatch.setenv("ETP_METRICS", metrics)
        nobody = ["bess", "127.0.0.1:1"]  # the wire is not asked then
        assert healthcheck.main(nobody) == 0
        assert healthcheck.main(["http", f"http://{metrics}/healthz"]) == 0
        assert healthcheck.main(["http", f"http://{metrics}/elsewhere"]) == 1
        process.kill()
        process.wait()
    assert healthcheck.main(nobody) == 1
    assert healthcheck.main(["http", f"http://{metrics}/healthz"]) == 1


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
            env=os.environ | environment(service),
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
