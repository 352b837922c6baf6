"""Reads the battery's temperature from a file, as Linux's hwmon and thermal drivers write it: whole m°C.

See the kernel's documentation, "Naming and data format standards for sysfs files": temp[1-*]_input.
"""

import asyncio
from pathlib import Path
from typing import Final

import structlog

from bess_node.desk import STATUS_S as PERIOD_S
from bess_node.desk import Desk
from etp.io.clock import system_now
from runtime.io.shell import Shell
from runtime.settings import SettingsError

MILLI: Final = 1000
LEAST_C, MOST_C = -50.0, 200.0
"""What a sensor beside a battery can mean; anything else is its fault."""


class SensorError(Exception):
    """A temperature that cannot be read: the file and why."""


def read_c(path: Path) -> float:
    """The temperature, °C. Raises SensorError."""
    try:
        text = path.read_text()[:64].strip()
        celsius = int(text) / MILLI
    except (OSError, ValueError) as error:
        raise SensorError(f"{path} cannot be read as whole m°C: {error}") from error
    if not LEAST_C <= celsius <= MOST_C:
        raise SensorError(f"{path} says {text} m°C; {LEAST_C:g} to {MOST_C:g} °C can be")
    return celsius


def check(path: Path) -> None:
    """Raises SettingsError where there is nothing to read at the start."""
    try:
        read_c(path)
    except SensorError as error:
        raise SettingsError("temperature_file", str(path), str(error)) from error


async def watch(path: Path, desk: Desk, shell: Shell, stopping: asyncio.Event) -> None:
    """Tell the desk the temperature, as often as it reports its status. A sensor that fails is said, and the last value stays."""
    while not stopping.is_set():
        now = system_now()
        try:
            shell.apply(desk.measured(read_c(path), now), now)
            shell.turned()
        except SensorError as error:
            shell.metrics.count("temperature_unreadable")
            structlog.get_logger().warning("temperature_unreadable", kind="sensor", error=str(error))
        try:
            async with asyncio.timeout(PERIOD_S):
                await stopping.wait()
        except TimeoutError:
            continue
