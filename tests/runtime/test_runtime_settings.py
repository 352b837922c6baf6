"""Settings: flag, else environment, else TOML, else default; whatever cannot be used is named, with its value and what is right."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner, Result

from runtime.io.settings import command, load, read_toml
from runtime.settings import NodeSettings, SettingsError, parse_address


class Sample(NodeSettings):
    """A node with an option of each kind."""

    price: float = Field(12.5, gt=0, le=10_000, description="a number, c/kWh")
    rule: Literal["english", "uniform"] = Field("english", description="a choice")
    quiet: bool = Field(default=False, description="a switch")
    peer: list[str] = Field([], description="a list")


ID = {"device_id": "101"}
Run = Callable[..., tuple[Result, list[Sample]]]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of whoever runs the tests do not count."""
    for name in Sample.model_fields:
        monkeypatch.delenv(f"ETP_{name.upper()}", raising=False)


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    """A settings file with this text."""

    def write(text: str) -> Path:
        path = tmp_path / "node.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def etp(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command made from Sample: runs it with flags, returns what came out and what it was run with."""
    seen: list[Sample] = []

    def run(settings: Sample) -> int:
        seen.append(settings)
        return 0

    app = typer.Typer()
    app.command()(command(Sample, run))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*flags: str) -> tuple[Result, list[Sample]]:
        return CliRunner().invoke(app, [*flags]), seen

    return invoke


# -- which source counts

KINDS: list[tuple[str, list[str], str, str, Any, Any, Any, Any]] = [
    # name, flag, variable, TOML, then the value of each and the default
    ("price", ["--price", "1"], "2", "3", 1.0, 2.0, 3.0, 12.5),
    ("rule", ["--rule", "uniform"], "english", "'uniform'", "uniform", "english", "uniform", "english"),
    ("quiet", ["--quiet"], "false", "true", True, False, True, False),
    ("peer", ["--peer", "a", "--peer", "b"], '["c"]', "['d']", ["a", "b"], ["c"], ["d"], []),
    ("state_dir", ["--state-dir", "a"], "b", "'c'", Path("a"), Path("b"), Path("c"), None),
]


@pytest.mark.parametrize(("name", "flag", "variable", "text", *("by_flag", "by_env", "by_toml", "default")), KINDS)
def test_flag_then_environment_then_toml_then_default(
    etp: Run,
    toml: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
    flag: list[str],
    variable: str,
    text: str,
    by_flag: object,
    by_env: object,
    by_toml: object,
    default: object,
) -> None:
    """With all four the flag counts; each one taken away, the next does."""
    always = ["--device-id", "101"]
    file = ["--config", str(toml(f"{name} = {text}"))]
    monkeypatch.setenv(f"ETP_{name.upper()}", variable)
    etp(*always, *file, *flag)
    etp(*always, *file)
    monkeypatch.delenv(f"ETP_{name.upper()}")
    etp(*always, *file)
    _, seen = etp(*always)
    assert [getattr(settings, name) for settings in seen] == [by_flag, by_env, by_toml, default]


def test_toml_keys_may_have_dashes(toml: Callable[[str], Path]) -> None:
    """`state-dir` is `state_dir`, as it is on the command line."""
    assert read_toml(toml("state-dir = 'x'\nlog_level = 'debug'")) == {"state_dir": "x", "log_level": "debug"}


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ETP_PRICE=` in a unit file leaves the default."""
    monkeypatch.setenv("ETP_PRICE", "")
    assert load(Sample, ID).price == 12.5


def test_a_variable_of_another_command_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is shared by all commands: unknown ETP_ variables are not judged."""
    monkeypatch.setenv("ETP_CAPACITY_KWH", "x")
    assert load(Sample, ID).device_id == 101


def test_settings_cannot_be_changed() -> None:
    """What was judged once stays so."""
    with pytest.raises(ValueError, match="frozen"):
        load(Sample, ID).price = 0.0  # type: ignore[misc]


# -- what cannot be used


def refused(flags: dict[str, str], config: Path | None = None) -> SettingsError:
    """The error that these settings raise."""
    with pytest.raises(SettingsError) as caught:
        load(Sample, ID | flags, config)
    assert str(caught.value) == f"{caught.value.setting} is {caught.value.value!r}: {caught.value.right}"
    return caught.value


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("price", "cheap", "valid number"),
        ("price", "0", "greater than 0"),
        ("price", "-1", "greater than 0"),
        ("price", "10000.1", "less than or equal to 10000"),
        ("price", "nan", "finite"),
        ("price", "inf", "finite"),
        ("rule", "dutch", "'english' or 'uniform'"),
        ("device_id", "1.5", "integer"),
        ("device_id", "-1", "greater than or equal to 0"),
        ("device_id", str(2**64), str(2**64 - 1)),
        ("profile", "tls", "'plain'"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("metrics_ms", "9", "greater than or equal to 10"),
        ("day_speed", "0", "greater than 0"),
        ("interface", "eth0", "IPv4"),
        ("group", "10.0.0.1:8888", "239.192.77.77:8888"),
        ("group", "239.192.77.77:0", "239.192.77.77:8888"),
        ("group", "239.192.77.77:65536", "239.192.77.77:8888"),
    ],
)
@pytest.mark.parametrize("source", ["flag", "environment"])
def test_a_value_that_cannot_be_used_is_named(
    name: str, value: str, right: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong type, out of range, no such choice: which setting, what it was, and what would be right."""
    if source == "environment" and name != "device_id":
        monkeypatch.setenv(f"ETP_{name.upper()}", value)
        error = refused({})
    else:
        error = refused({name: value})
    assert (error.setting, error.value) == (name, value)
    assert right in error.right


@pytest.mark.parametrize(
    ("text", "setting", "value", "right"),
    [
        ("reserved = 1", "reserved", 1, "no such setting"),
        ("[bess]\nprice = 1", "bess", {"price": 1}, "no such setting"),
        ("price = 'cheap'", "price", "cheap", "valid number"),
        ("peer = 5", "peer", 5, "valid list"),
        ("peer = '[1'", "peer", "[1", "delimiter"),
        ("peer = [1]", "peer.0", 1, "valid string"),
        ("quiet = 'perhaps'", "quiet", "perhaps", "valid boolean"),
        ("seed = -1", "seed", -1, "greater than or equal to 0"),
        ("state_dir = 5", "state_dir", 5, "valid path"),
    ],
)
def test_a_line_of_a_file_that_cannot_be_used_is_named(
    toml: Callable[[str], Path], text: str, setting: str, value: object, right: str
) -> None:
    """An unknown key is refused, not ignored; a wrong value is named as it stands in the file."""
    error = refused({}, toml(text))
    assert (error.setting, error.value) == (setting, value)
    assert right in error.right


@pytest.mark.parametrize("text", ["price = ", "= 1", "price = 1\nprice = 2", "[", "price: 1"])
def test_a_broken_file_is_named(toml: Callable[[str], Path], text: str) -> None:
    """No TOML: which file, and where it breaks."""
    path = toml(text)
    error = refused({}, path)
    assert (error.setting, error.value) == ("config", str(path))
    assert "is not TOML" in error.right
    assert "line" in error.right or "end of document" in error.right


@pytest.mark.parametrize("kind", ["missing", "directory", "binary"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    """Missing, a directory, not text: which file, and why."""
    path = tmp_path / "node.toml"
    if kind == "directory":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    error = refused({}, path)
    assert (error.setting, error.value) == ("config", str(path))
    assert {"missing": "No such file", "directory": "directory", "binary": "utf-8"}[kind] in error.right


def test_a_missing_setting_says_how_to_give_it() -> None:
    """Without a device_id: the flag and the variable."""
    with pytest.raises(SettingsError, match="device_id is None: is required: --device-id, or ETP_DEVICE_ID"):
        load(Sample, {})


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:", ":8888", "localhost:1", "127.0.0.1:65536", "127.0.0.1:-1"])
def test_an_address_is_judged(text: str) -> None:
    """HOST:PORT with both parts legal, or it is said what would be."""
    with pytest.raises(SettingsError) as caught:
        parse_address("listen", text)
    assert (caught.value.setting, caught.value.value) == ("listen", text)
    assert "127.0.0.1:8888" in caught.value.right


def test_wrong_settings_end_the_command(etp: Run) -> None:
    """Status 2, one line on stderr, nothing on stdout, and it is not run."""
    result, seen = etp("--device-id", "101", "--price", "-1")
    assert (result.exit_code, result.stdout, seen) == (2, "", [])
    assert result.stderr == "etp: price is '-1': Input should be greater than 0\n"


def test_an_unknown_flag_ends_the_command(etp: Run) -> None:
    """Status 2, and the name of the flag with those that are near."""
    result, seen = etp("--device-id", "101", "--pirce", "1")
    assert (result.exit_code, result.stdout, seen) == (2, "", [])
    assert "--pirce" in result.stderr
    assert "--price" in result.stderr


def test_the_status_is_that_of_the_command() -> None:
    """What `run` returns is the exit status."""
    app = typer.Typer()
    app.command()(command(Sample, lambda _: 3))
    assert CliRunner().invoke(app, ["--device-id", "1"]).exit_code == 3


# -- lists, switches, addresses


@pytest.mark.parametrize("value", ["127.0.0.1:8888", "127.0.0.1:8888,127.0.0.1:8889"])
def test_a_list_in_a_variable_needs_no_json(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """ETP_PEER=HOST:PORT,HOST:PORT is as good as --peer twice."""
    monkeypatch.setenv("ETP_PEER", value)
    assert load(Sample, ID).peer == value.split(",")


@pytest.mark.parametrize("text", ["price = true", "device_id = true"])
def test_true_is_no_number(toml: Callable[[str], Path], text: str) -> None:
    """A switch where a price belongs is refused: `price = true` would sell at 1 c."""
    with pytest.raises(SettingsError):
        load(Sample, {} if "device_id" in text else ID, toml(text))


@pytest.mark.parametrize(("name", "value"), [("interface", "::1"), ("group", "ff02::1:8888")])
def test_only_ipv4_passes(name: str, value: str) -> None:
    """Discovery is IPv4 only, so an IPv6 address is a wrong setting."""
    assert refused({name: value}).setting == name


@pytest.mark.parametrize("text", ["::1:8888", "127.0.0.1: 1", "127.0.0.1:1_0"])
def test_an_address_is_ipv4_and_digits(text: str) -> None:
    """What the message promises is what passes: IPv4:PORT, the port in digits."""
    with pytest.raises(SettingsError):
        parse_address("listen", text)


@pytest.mark.parametrize("value", ["239.192.77.77", "239.192.77.77:x", "all:8888"])
def test_a_wrong_group_says_what_is_right(value: str) -> None:
    """However a group is wrong, the message shows one that is not."""
    assert "239.192.77.77:8888" in refused({"group": value}).right


def test_a_key_is_given_once(toml: Callable[[str], Path]) -> None:
    """With dashes and without is the same key: which of two values counts is not for the program to choose."""
    assert "given twice" in refused({}, toml("device-id = 1\ndevice_id = 2")).right
