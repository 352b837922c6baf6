"""A real Dask cluster on loopback does the laboratory's work: the same bytes as here; what is wrong with it is said, and soon."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.io import runner
from tests import clustering

ROOT = Path(__file__).parents[2]
LIBRARIES = Path(sys.prefix) / "dask"
"""Where `make test` puts Dask's."""
FEW, ALL = 42, 134
"""Tasks: a third of a second's work, and two seconds'."""
PATIENT_S = 30.0
HERE = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")


@contextmanager
def started(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program with Dask's libraries; it ends with its context."""
    assert LIBRARIES.is_dir(), "Dask is missing: make .venv/.dask"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(LIBRARIES), "DASK_TEMPORARY_DIRECTORY": str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def found(process: subprocess.Popen[str], pattern: str) -> str:
    """What it says of itself."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if match := re.search(pattern, line):
            return match[1]
    raise AssertionError("".join(said))


class Client:
    """A process that gives tasks to clusters."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, address: str, tasks: int, directory: Path, answer_s: float = PATIENT_S) -> None:
        """For so many."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([address, tasks, str(directory), answer_s]) + "\n")
        self.process.stdin.flush()

    def told(self) -> int | str:
        """How many tasks are done, or what came of it."""
        assert self.process.stdout is not None
        said: int | str = json.loads(self.process.stdout.readline())
        return said

    def outcome(self) -> str:
        """The file that was written, or what was wrong."""
        while isinstance(said := self.told(), int):
            pass
        return said


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One for all: its start takes longer than what it does. It has nothing else to say, no warning and no log."""
    with started(tmp_path_factory.mktemp("client"), "tests.clustering") as process:
        yield Client(process)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """It and its address; it ends by itself if nobody is left to end it."""
    where = ("--host", "127.0.0.1", "--port", "0", *HERE, "--idle-timeout", "60")
    with started(tmp_path_factory.mktemp("scheduler"), "dask", "scheduler", *where) as process:
        yield process, found(process, r"Scheduler at: +(tcp://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="module")
def worker(scheduler: tuple[subprocess.Popen[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the cluster's only one; it ends with its scheduler."""
    what = (scheduler[1], "--nthreads", "1", "--no-nanny", *HERE, "--death-timeout", "1")
    with started(tmp_path_factory.mktemp("worker"), "dask", "worker", *what) as process:
        yield found(process, r"Start worker at: +(tcp://\S+)")


def test_a_cluster_without_workers_is_told(
    client: Client, scheduler: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    """Instead of waiting for ever."""
    client.ask(scheduler[1], FEW, tmp_path, 1.5)
    said = f"the Dask scheduler at {scheduler[1]} had no worker within 1.5 s; expected at least one"
    assert client.outcome().startswith(said)


def test_a_cluster_makes_the_bytes_that_processes_make(
    client: Client, scheduler: tuple[subprocess.Popen[str], str], worker: str, tmp_path: Path
) -> None:
    """By the address of its scheduler; a worker's own address is told apart."""
    client.ask(scheduler[1], FEW, tmp_path / "far")
    client.ask(worker, FEW, tmp_path)
    near: list[int] = []
    with runner.executor(jobs=1) as pool:
        file = clustering.rows_of(FEW, pool, tmp_path / "near", lambda done, _: near.append(done))
    assert [client.told() for _ in range(FEW + 1)] == near == list(range(FEW + 1))
    assert Path(client.outcome()).read_bytes() == file.read_bytes()
    expected = f"no Dask scheduler answers at {worker!r} (expected such as tcp://HOST:8786)"
    assert client.outcome() == f"{expected}: a Worker of Dask's answers there"


def test_an_address_without_a_scheduler_is_named(client: Client, tmp_path: Path) -> None:
    """Whether nobody listens there, or somebody does and is silent."""
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as silent:
        closed.bind(("127.0.0.1", 0))  # and not listening: nobody else can be there meanwhile
        for there, reason in (
            (closed, "Timed out trying to connect to {} after 0.25 s"),
            (silent, "nothing was said within 0.5 s"),
        ):
            address = f"tcp://127.0.0.1:{there.getsockname()[1]}"
            client.ask(address, FEW, tmp_path, 0.5)
            expected = f"no Dask scheduler answers at {address!r} (expected such as tcp://HOST:8786)"
            assert client.outcome() == f"{expected}: {reason.format(address)}"


@pytest.mark.usefixtures("worker")
def test_a_scheduler_that_is_lost_ends_the_work(
    client: Client, scheduler: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    """With the name of a task that was not done. The last here, since it ends the cluster."""
    process, address = scheduler
    client.ask(address, ALL, tmp_path)
    assert (client.told(), client.told()) == (0, 1)
    process.kill()
    assert re.fullmatch(r"theory: task \S+ was given up: the scheduler was lost, or cancelled it", client.outcome())
