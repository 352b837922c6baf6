"""`etp monitor` as it is called: what it refuses and how it says so; `--once`; and beside a real gateway with real nodes."""

import asyncio
import json
import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.monitor.app import Monitor
from gateway.io.client import AccessDeniedError, GatewayClient
from gateway.place import parse_place
from tests.streaming import Gateway, battery, running

KEY = "etp_0011223344556677_" + "k" * 43


def monitor(*words: str, key: str = "") -> Result:
    return CliRunner().invoke(app, ["monitor", *words], env={"ETP_GATEWAY_KEY": key})


@pytest.mark.parametrize(
    ("words", "key", "says"),
    [
        (["ftp://x"], "", "expected a URL"),
        (["http://user:word@x"], "", "API key in a file"),
        (["http://market.example"], KEY, "use https"),
        (["http://market.example/login?token=abc"], "", "use https"),
        (["--json"], "", "--json needs --once"),
        (["--once"], "two words", "one word"),
        (["--once", "--key-file", "/nowhere/key"], "", "cannot be read"),
        ([], "", "--once"),
    ],
)
def test_wrong_use(words: list[str], key: str, says: str) -> None:
    """Status 2 and one line; neither key, password nor token is repeated."""
    result = monitor(*words, key=key)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    for secret in (KEY, "user:word", "token=abc", "two words"):
        assert secret not in result.stderr


def test_an_empty_key_file(tmp_path: Path) -> None:
    """Says what makes a key."""
    (tmp_path / "key").write_text("\n")
    result = monitor("--once", "--key-file", str(tmp_path / "key"))
    assert (result.exit_code, "etp gateway key add" in result.stderr) == (2, True)


async def called(*words: str, key: str = "") -> tuple[int, str, str]:
    """The command as a process: status, stdout, stderr."""
    environment = os.environ | {"ETP_GATEWAY_KEY": key}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "monitor", *words),
        stdout=-1,
        stderr=-1,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_once(tmp_path: Path) -> None:
    """What is true now: as JSON for programs; who is not let in is told what to do."""
    gateway = Gateway()
    gateway.key, gateway.batteries = KEY, [battery(101)]
    (tmp_path / "key").write_text(f"{KEY}\n")
    async with running(gateway):
        (status, out, _), (denied, nothing, why) = await asyncio.gather(
            called(gateway.url, "--once", "--json", "--key-file", str(tmp_path / "key")), called(gateway.url, "--once")
        )
    assert status == 0
    assert json.loads(out)["batteries"][0]["node"] == "101"
    assert (denied, nothing) == (1, "")
    assert "--key-file" in why


# -- a real gateway


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@contextmanager
def daemon(directory: Path, *words: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    """A daemon of the suite, and its ready line."""
    log = (directory / f"{words[0]}.err").open("a")
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words], stdout=subprocess.PIPE, stderr=log, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, Path(log.name).read_text()
        yield process, json.loads(line)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()
            log.close()


async def listen_once(url: str) -> None:
    """Another client with the same link."""
    client = GatewayClient(parse_place(url), api_key=None, on_report=lambda _: None, rng=random.Random(1))
    try:
        await client.listen_once()
    finally:
        await client.close()


async def test_beside_a_real_gateway(tmp_path: Path) -> None:
    """Let in by the one-time link, it shows a real trade with its frames; killed and restarted, the gateway is caught up with."""
    serve = ["gateway", "--listen", f"127.0.0.1:{free_port()}", "--state-dir", str(tmp_path / "gateway")]
    group = ["--group", f"239.192.77.77:{free_port()}", "--profile", "plain"]
    seller = [
        "--device-id",
        "101",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        str(tmp_path / "b"),
        "--closing-ms",
        "200",
    ]
    buying = ["--device-id", "500", "--state-dir", str(tmp_path / "a"), "--max-price", "18.5", "--demand-kwh", "2"]
    with daemon(tmp_path, *serve) as (first, ready):
        told = ["--gateway", ready["http"]]
        app_ = Monitor(parse_place(ready["login"]), api_key=None, redraw_s=0.05)
        async with app_.run_test(size=(80, 24)) as pilot, asyncio.timeout(120):
            with (
                daemon(tmp_path, "bess", *seller, *group, *told),
                daemon(tmp_path, "aggregator", *buying, *group, *told),
            ):
                known = app_.view.known
                while not (known.trades and known.batteries and known.aggregators):
                    await pilot.pause(0.05)
                await pilot.press("4", "enter")
                lines: list[str] = []
                while not any("journal rows" in line for line in lines):
                    await pilot.pause(0.05)
                    lines = [line.text for line in app_.screen.lines]  # type: ignore[attr-defined]
                assert any("CONFIRM, 84 bytes" in line for line in lines)
                with pytest.raises(AccessDeniedError, match="works once"):
                    await listen_once(ready["login"])
                await pilot.press("escape")
                trades, count = dict(known.trades), known.count
                first.send_signal(signal.SIGKILL)
                while app_.view.link.state != "lost":
                    await pilot.pause(0.05)
                with daemon(tmp_path, *serve):
                    while app_.view.link.state != "live" or known.count == count:
                        await pilot.pause(0.05)
                    assert dict(known.trades) == trades, "nothing is lost, nothing comes twice"
                    assert known.totals.trades == len(trades)


@pytest.mark.parametrize("no_color", [{"NO_COLOR": "1"}, {}])
def test_on_a_terminal(no_color: dict[str, str]) -> None:
    """A real one: it draws in ASCII, `q` leaves with status 0; 8 colours at most, and none with NO_COLOR."""
    port = free_port()
    main, other = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    environment = inherited | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24", "LANG": "C"} | no_color
    command = [sys.executable, "-m", "cli.main", "monitor", f"http://127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment, cwd=Path.cwd())
    os.close(other)
    drawn = b""
    try:
        while b"q quit" not in drawn or b"LOST" not in drawn:
            drawn += os.read(main, 65_536)
        os.write(main, b"q")
        while True:
            try:
                if not (part := os.read(main, 65_536)):
                    break
            except OSError:  # the other end is closed
                break
            drawn += part
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(main)
    assert bool(colours(drawn)) is not bool(no_color)
    assert colours(drawn) <= set(range(30, 38))
    assert drawn.isascii()


def colours(drawn: bytes) -> set[int]:
    """SGR parameters that set a colour (ECMA-48 §8.3.117, and those of terminals up to 107); 39 and 49 are the terminal's own."""
    parts = {int(part or b"0") for found in re.findall(rb"\x1b\[([0-9;]*)m", drawn) for part in found.split(b";")}
    return parts & {*range(30, 39), *range(40, 49), *range(90, 108)}
