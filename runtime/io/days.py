"""Reads a price series from a file: UTF-8 CSV with the header `start_utc,micro_per_kwh`, then one line per half-hour, in order.

    start_utc,micro_per_kwh
    2020-05-20T20:00:00Z,76230
    2020-05-20T20:30:00Z,69300

A time is ISO 8601 in UTC, with `Z` or without; a price is whole µ/kWh (1 c = 10,000 µ) and may be negative.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from runtime.days import STEP_S, PriceSeries
from runtime.settings import SettingsError

HEADER: Final = "start_utc,micro_per_kwh"
MAX_BYTES: Final = 1_000_000
"""About four years of half-hours: a larger file is a mistake, and a device file would never end."""
MAX_MICRO_PER_KWH: Final = 100_000_000
"""10,000 c/kWh, either way: beyond it no price fits the wire."""
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)


def load_day(path: Path) -> PriceSeries:
    """The series in a file. Raises SettingsError naming the file, or the line and its value."""
    lines = _lines(path)
    if not lines or lines[0] != HEADER:
        raise SettingsError("day", str(path), f"expected the header {HEADER}")
    if len(lines) == 1:
        raise SettingsError("day", str(path), "expected at least one half-hour")
    starts: list[float] = []
    values: list[int] = []
    for number, line in enumerate(lines[1:], 2):
        try:
            start, value = _half_hour(line)
            if starts and start - starts[-1] != STEP_S:
                raise ValueError("half an hour after the line before")
        except ValueError as error:
            raise SettingsError("day", f"{path}:{number}: {line}", f"expected {error}") from error
        starts.append(start)
        values.append(value)
    return PriceSeries(starts[0], tuple(values))


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")  # spreadsheets begin theirs with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("day", str(path), f"cannot be read: {error}") from error
    if len(data) > MAX_BYTES:
        raise SettingsError("day", str(path), f"expected at most {MAX_BYTES} bytes")
    return text.rstrip().splitlines()


def _half_hour(line: str) -> tuple[float, int]:
    """Unix seconds and µ/kWh of a line. Raises ValueError with what would pass."""
    start, comma, value = line.partition(",")
    if not comma:
        raise ValueError(f"a line of {HEADER}")
    if not _WHOLE.fullmatch(value) or abs(int(value)) > MAX_MICRO_PER_KWH:
        raise ValueError(f"whole µ/kWh of at most {MAX_MICRO_PER_KWH} either way")
    return _utc_s(start), int(value)


def _utc_s(text: str) -> float:
    """Unix seconds. An offset is refused, not converted: whoever writes one into a UTC column meant something else."""
    right = "a UTC time, such as 2020-05-20T20:00:00Z"
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(right) from error
    if time.utcoffset() not in (None, timedelta(0)):
        raise ValueError(right)
    return time.replace(tzinfo=UTC).timestamp()
