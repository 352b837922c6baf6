"""Where uvloop is missing a daemon serves on asyncio's own loop."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from etp import messages
from etp.codes import MessageType
from etp.frame import decode, encode
from etp.session import PREFIX
from etp.units import DeviceId
from tests.paying import group

ROOT = Path(__file__).parents[2]
LOOP = "import asyncio, runtime.io.lifecycle as lifecycle; print(type(lifecycle._new_event_loop()).__module__)"


def without_uvloop(directory: Path) -> dict[str, str]:
    """An environment in which it cannot be imported."""
    (directory / "uvloop.py").write_text("raise ImportError('no wheel for this platform')\n")
    return os.environ | {"PYTHONPATH": f"{directory}{os.pathsep}{ROOT}"}


def test_the_loop_is_asyncio_s_own(tmp_path: Path) -> None:
    """With uvloop its loop, without it another."""
    found = [
        subprocess.run([sys.executable, "-c", LOOP], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        for env in (dict(os.environ), without_uvloop(tmp_path))
    ]
    assert [done.stdout.strip().split(".")[0] for done in found] == ["uvloop", "asyncio"]


def test_a_battery_answers_on_it(tmp_path: Path) -> None:
    """Ready, a Query answered over TCP, an orderly end."""
    command = [sys.executable, "-m", "cli.main", "bess", "--device-id", "101", "--state-dir", str(tmp_path / "state")]
    with (tmp_path / "stderr").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--group", group()],
            cwd=ROOT,
            env=without_uvloop(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    with process.stdout:
        host, port = json.loads(process.stdout.readline())["tcp"].split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            query = messages.stamped(messages.query(DeviceId(500)), time.time_ns() // 1000)
            connection.sendall(PREFIX + encode(query))
            answer = connection.recv(88, socket.MSG_WAITALL)
        process.terminate()
        assert process.wait(10) == 0
    assert decode(answer[4:]).message_type == MessageType.RESPONSE
