"""Reads a price series from a file: CSV with the header `start_utc,micro_per_kwh`, half-hours in order."""

import csv
from datetime import UTC, datetime
from pathlib import Path

from runtime.days import STEP_S, PriceSeries
from runtime.settings import SettingsError

HEADER = ["start_utc", "micro_per_kwh"]


def load_day(path: Path) -> PriceSeries:
    """The series in a file. Raises SettingsError naming the line and the value."""
    try:
        lines = list(csv.reader(path.read_text().splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError("day", str(path), f"cannot be read: {error}") from error
    if not lines or lines[0] != HEADER:
        raise SettingsError("day", str(path), f"expected the header {','.join(HEADER)}")
    if len(lines) < 2:  # noqa: PLR2004 - header and one line
        raise SettingsError("day", str(path), "expected at least one half-hour")
    starts, values = [], []
    for number, line in enumerate(lines[1:], 2):
        try:
            start, value = line
            starts.append(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp())
            values.append(int(value))
        except ValueError as error:
            raise SettingsError("day", f"{path}:{number}", f"expected a UTC time and whole µ/kWh: {error}") from error
        if len(starts) > 1 and starts[-1] - starts[-2] != STEP_S:
            raise SettingsError("day", f"{path}:{number}", "expected half an hour after the line before")
    return PriceSeries(starts[0], tuple(values))
