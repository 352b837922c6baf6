"""Child processes of a bench: started in the checkout, one JSON line when ready, ended by their id, never left behind."""

import ctypes
import json
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benches.plan import ROOT

DEVICE: Final = 101
"""The battery of the benches that need one."""
BATTERY_STATE: Final = "bess"
"""Its state directory, in the bench's."""
READY_S: Final = 60.0
STOP_S: Final = 15.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_NS: Final = 1e9


class ChildError(Exception):
    """A child process did not get ready, or ended in a wrong way."""


def _end_with_parent() -> None:
    """In the child: end when the bench is killed and cannot say so itself."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """`python -m MODULE ARGUMENTS`, or another program's command; stderr goes to a file beside its state."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path, command: Sequence[str] = ()) -> None:
        self.name, self.log = module, log
        self.ready: dict[str, Any] = {}
        """What a node says once it serves."""
        with log.open("ab") as errors:
            self.process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
                command or [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                bufsize=0,  # a buffer here would hide from select the lines that it holds
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - started before the bench has threads
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def line(self, timeout_s: float = READY_S) -> Any:
        """Its next line on stdout, JSON. Raises ChildError where none comes in time."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        text = self.process.stdout.readline() if ready else b""
        if not text:
            raise ChildError(f"{self.name} said nothing within {timeout_s:g} s: {self._last_words()}")
        return json.loads(text)

    def tell(self, text: bytes) -> None:
        """A line to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + b"\n")
        self.process.stdin.flush()

    def rest(self, timeout_s: float) -> bytes:
        """What it still says until it ends. Raises ChildError where that takes longer, or it fails."""
        try:
            text, _ = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ChildError(f"{self.name} did not end within {timeout_s:g} s") from error
        if self.process.returncode or not text:
            raise ChildError(f"{self.name} failed: {self._last_words()}")
        return text

    def ended_before(self, end_s: float) -> bool:
        """Whether it ends by itself before this monotonic instant; waits until one of them."""
        try:
            self.process.wait(max(0.0, end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-800:]

    def stop(self) -> int:
        """End it by SIGTERM, or SIGKILL where that does not help; returns its status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return self.process.returncode

    def cpu_s(self) -> float:
        """Processor time of all its threads so far, s (to the ns, where /proc/PID/stat counts in 10 ms)."""
        tasks = Path(f"/proc/{self.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / _NS

    def memory_mib(self) -> float:
        """Resident memory, MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return int(kib) / 1024


@contextmanager
def running(module: str, arguments: Sequence[str], log: Path) -> Iterator[Child]:
    """A child that is ended at the latest with the block."""
    child = Child(module, arguments, log)
    try:
        yield child
    finally:
        child.stop()


def group() -> str:
    """A multicast group and port of the bench's own, so that two runs on one machine do not meet."""
    return f"239.192.77.{random.randrange(1, 255)}:{random.randrange(20_000, 32_000)}"


@contextmanager
def battery(directory: Path, *options: str) -> Iterator[tuple[Child, tuple[str, int]]]:
    """A ready `etp bess` and its address; its journal is in `directory`/BATTERY_STATE."""
    arguments = (
        "bess",
        "--device-id",
        str(DEVICE),
        "--state-dir",
        str(directory / BATTERY_STATE),
        "--log-level",
        "warning",
    )
    profile = () if "--profile" in options else ("--profile", "plain")
    with running("cli.main", [*arguments, "--group", group(), *profile, *options], directory / "bess.log") as child:
        child.ready = child.line()
        host, port = child.ready["tcp"].split(":")
        yield child, (host, int(port))
