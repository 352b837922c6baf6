"""Measures this machine: its disk, limits, memory, clocks and software. What the figures mean is `verdicts`' business."""

import asyncio
import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from ctypes import c_int, c_long, c_uint
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Final

from cli.doctor.verdicts import US_PER_MS, ClockSource, Commits
from etp.effects import Row, Scalar
from etp.io.clock import system_now
from runtime.io.journal import FILE, Journal, JournalError
from runtime.io.journal_reader import JournalReader

COMMITS: Final = 100
COMMITS_S: Final = 6.0
"""Slow disks are measured with fewer commits, s."""
COMMAND_S: Final = 3.0
"""A program that is asked for the clock's state has so long, s."""
READS: Final = 2_000
"""Readings of the clock among which the least step is looked for."""
TIME_ERROR: Final = 5
"""What adjtimex returns while the clock is not synchronised (timex.h)."""
STA_UNSYNC: Final = 0x0040
STA_NANO: Final = 0x2000


# -- disk


def existing(directory: Path) -> Path:
    """The directory, or the nearest one above it that is there."""
    return next(path for path in (directory.absolute(), *directory.absolute().parents) if path.is_dir())


async def measure_commits(directory: Path) -> Commits:
    """Times of real journal commits, one after the other, in a directory of their own that is removed. Raises JournalError."""
    try:
        place = Path(tempfile.mkdtemp(prefix="etp-doctor-", dir=existing(directory)))
    except OSError as error:
        raise JournalError(f"{directory} cannot be written: {error.strerror}") from error
    try:
        journal = Journal.open(place, role="doctor", device_id=0)
        try:
            times = await _commits(journal)
        finally:
            journal.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    filesystem, device = mount_of(existing(directory))
    return Commits(times, filesystem, device)


async def _commits(journal: Journal) -> tuple[float, ...]:
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < COMMITS and (time.perf_counter() - began < COMMITS_S or not times):
        body: dict[str, Scalar] = {
            "bidder": len(times),
            "energy_wh": 5000,
            "price_micro_per_kwh": 150_000,
            "record": "00" * 212,
        }
        row = Row("promise", len(times) + 1, "reserved", system_now().wall_us, body, str(len(times)))
        at = time.perf_counter()
        await journal.commit([row])
        times.append((time.perf_counter() - at) * 1000)
    return tuple(times)


def mount_of(directory: Path) -> tuple[str, str]:
    """(type, device) of the file system that holds a directory; empty where the system does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return "", ""
    best = ("", "", "")
    for line in lines:
        device, point, kind, *_ = line.split()
        point = point.replace("\\040", " ")
        if directory.is_relative_to(point) and len(point) >= len(best[2]):
            best = (kind, device, point)
    return best[0], best[1]


def read_journal(directory: Path) -> tuple[int, int | None, str | None]:
    """(rows, first broken row, why it cannot be read) of a node's journal, read only."""
    try:
        reader = JournalReader(directory)
        try:
            return sum(1 for _ in reader.rows()), reader.broken_at(), None
        finally:
            reader.close()
    except (JournalError, ValueError) as error:
        return 0, None, str(error)


def has_journal(directory: Path) -> bool:
    """Whether there is one to read."""
    return (directory / FILE).is_file()


# -- limits and memory


def open_file_limit() -> int | None:
    """The most that this process may raise its limit to; None: without limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def available_memory() -> int | None:
    """Bytes that a new process can have: of the machine, or of its container where that is less."""
    found = [amount for amount in (_memory_of_machine(), _memory_of_group()) if amount is not None]
    return min(found, default=None)


def _memory_of_machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _memory_of_group() -> int | None:
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # "max" is no number, and no limit
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    return None


def software() -> tuple[tuple[int, ...], str | None]:
    """Versions of Python and of uvloop."""
    try:
        return sys.version_info[:3], metadata.version("uvloop")
    except metadata.PackageNotFoundError:
        return sys.version_info[:3], None


# -- clocks


def monotonic_step_s() -> float:
    """The least step of the monotonic clock that can be seen, or that it admits to, whichever is more, s."""
    seen = float("inf")
    before = time.monotonic()
    for _ in range(READS):
        now = time.monotonic()
        if now > before:
            seen = min(seen, now - before)
        before = now
    # What lies between two readings is no step of the clock as long as it is fine: only a coarse clock shows its own.
    coarse = seen if seen > 1e-4 else 0.0  # noqa: PLR2004 - far above what a reading takes
    return max(time.get_clock_info("monotonic").resolution, coarse)


def ask_clock() -> ClockSource:
    """What keeps this clock right: chrony where it runs, else the kernel, else systemd."""
    return (
        _chrony() or _kernel() or _systemd() or ClockSource(None, "nothing here tells whether the clock is kept right")
    )


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def _chrony() -> ClockSource | None:
    return read_chrony(_output("chronyc", "-c", "-n", "tracking") or "")


def read_chrony(line: str) -> ClockSource | None:
    """`chronyc -c tracking`: reference, ..., root delay (10), root dispersion (11), ..., leap status (13)."""
    parts = line.split(",")
    try:
        system_s, delay_s, dispersion_s, leap = float(parts[4]), float(parts[10]), float(parts[11]), parts[13]
    except (ValueError, IndexError):
        return None
    error_ms = (abs(system_s) + dispersion_s + delay_s / 2) * 1000
    return ClockSource(leap != "Not synchronised", "chrony", error_ms)


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), up to what is read, and room for the rest."""

    _fields_: ClassVar = [
        ("modes", c_uint),
        ("offset", c_long),
        ("freq", c_long),
        ("maxerror", c_long),
        ("esterror", c_long),
        ("status", c_int),
        ("rest", c_long * 64),
    ]


def _kernel() -> ClockSource | None:
    if sys.platform != "linux":
        return None
    said = _Timex()  # modes 0: only read
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(said))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else read_kernel(state, said.status, esterror_us=said.esterror)


def read_kernel(state: int, status: int, *, esterror_us: int) -> ClockSource:
    """What adjtimex(2) returned."""
    synchronised = state != TIME_ERROR and not status & STA_UNSYNC
    return ClockSource(synchronised, "the kernel", esterror_us / US_PER_MS if synchronised else None)


def _systemd() -> ClockSource | None:
    said = _output("timedatectl", "show", "--property", "NTPSynchronized", "--value")
    return ClockSource(said == "yes", "timedatectl") if said in ("yes", "no") else None


def free_space(directory: Path) -> int:
    """Bytes that a user may still write there."""
    found = os.statvfs(existing(directory))
    return found.f_bavail * found.f_frsize


def commits_now(directory: Path) -> Commits:
    """The same as `measure_commits`, for a caller without a loop. Raises JournalError."""
    return asyncio.run(measure_commits(directory))
