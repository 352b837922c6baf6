"""Price series: their edges, the recorded days, and the file of one's own."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.days import AGILE_2020_05, STEP_S, PriceSeries
from runtime.io.days import HEADER, MAX_BYTES, load_day
from runtime.settings import SettingsError

FIRST = "2020-05-20T20:00:00Z"
START_S = int(datetime(2020, 5, 20, 20, tzinfo=UTC).timestamp())


def test_recorded_days_are_complete() -> None:
    """100 half-hours from 2020-05-20T20:00Z on; 9 of them negative, and a checksum."""
    assert (AGILE_2020_05.start_s, AGILE_2020_05.step_s, len(AGILE_2020_05.values)) == (START_S, 1800, 100)
    assert sum(value < 0 for value in AGILE_2020_05.values) == 9
    assert sum(AGILE_2020_05.values) == 5_613_720


@pytest.mark.parametrize(
    ("moment", "price"),
    [
        (datetime(2020, 5, 20, 20, 0, tzinfo=UTC), 76_230),
        (datetime(2020, 5, 20, 20, 29, 59, tzinfo=UTC), 76_230),
        (datetime(2020, 5, 20, 20, 30, tzinfo=UTC), 69_300),
        (datetime(2020, 5, 22, 19, 30, tzinfo=UTC), 45_255),
        (datetime(2020, 5, 22, 21, 30, tzinfo=UTC), 13_860),
    ],
)
def test_recorded_price_of_a_moment(moment: datetime, price: int) -> None:
    """A half-hour's start counts to it, its end to the next; the record's 4.5255 p is 45,255 µ."""
    assert AGILE_2020_05.at(moment.timestamp()) == price


def test_beyond_its_ends_a_series_holds() -> None:
    """Before the first and after the last half-hour, those."""
    series = PriceSeries(1_000, (1, 2, 3))
    assert [series.at(second) for second in (-1e9, 999.9, 1_000, 2_800, 6_399.9, 6_400, 1e12)] == [1, 1, 1, 2, 3, 3, 3]


@given(
    st.integers(-(10**9), 10**9), st.lists(st.integers(), min_size=1, max_size=20), st.integers(1, 10_000), st.data()
)
def test_every_moment_of_a_step_has_its_price(
    start_s: int, values: list[int], step_s: int, data: st.DataObject
) -> None:
    """Any second within step i reads value i."""
    index = data.draw(st.integers(0, len(values) - 1))
    second = data.draw(st.integers(0, step_s - 1))
    assert PriceSeries(start_s, tuple(values), step_s).at(start_s + index * step_s + second) == values[index]


def test_series_without_prices_or_step_is_refused() -> None:
    """There is no price to answer with."""
    with pytest.raises(ValueError, match="values is empty"):
        PriceSeries(0, ())
    with pytest.raises(ValueError, match="step_s is 0"):
        PriceSeries(0, (1,), 0)


def test_clock_change_moves_nothing() -> None:
    """Over the night of 2026-03-29, when British clocks skip an hour, the half-hours stay 1,800 s of UTC apart."""
    start = datetime(2026, 3, 29, 0, 0, tzinfo=UTC).timestamp()
    series = PriceSeries(start, tuple(range(8)))
    assert [series.at(start + half_hour * STEP_S) for half_hour in range(8)] == list(range(8))


def written(path: Path, *lines: str) -> Path:
    """A file of these lines."""
    file = path / "day.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_day_is_read(tmp_path: Path) -> None:
    """Header, then UTC half-hours with or without Z and whole µ/kWh, negative ones too."""
    file = written(tmp_path, HEADER, f"{FIRST},76230", "2020-05-20T20:30:00,-945")
    assert load_day(file) == PriceSeries(START_S, (76_230, -945))


def test_day_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """A byte order mark, CRLF and an empty last line do no harm."""
    file = tmp_path / "day.csv"
    file.write_bytes(f"\ufeff{HEADER}\r\n{FIRST},5\r\n\r\n".encode())
    assert load_day(file) == PriceSeries(START_S, (5,))


def test_recorded_days_survive_a_file(tmp_path: Path) -> None:
    """Written in the format and read back, the series is the same."""
    times = (datetime.fromtimestamp(START_S + i * STEP_S, UTC) for i in range(100))
    lines = [f"{time:%Y-%m-%dT%H:%M:%SZ},{value}" for time, value in zip(times, AGILE_2020_05.values, strict=True)]
    assert load_day(written(tmp_path, HEADER, *lines)) == AGILE_2020_05


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("2020-05-20T21:30:00+01:00,5", "a UTC time"),
        ("yesterday,5", "a UTC time"),
        ("2020-05-20T20:30:00Z", "a line of start_utc"),
        ("", "a line of start_utc"),
        ("2020-05-20T20:30:00Z,12.5", "whole µ/kWh"),
        ("2020-05-20T20:30:00Z,1_000", "whole µ/kWh"),
        ("2020-05-20T20:30:00Z,", "whole µ/kWh"),
        ("2020-05-20T20:30:00Z,5,6", "whole µ/kWh"),
        ("2020-05-20T20:30:00Z,100000001", "whole µ/kWh"),
        ("2020-05-20T20:30:00Z,-100000001", "whole µ/kWh"),
        ("2020-05-20T21:00:00Z,5", "half an hour after"),
        (f"{FIRST},5", "half an hour after"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, line: str, right: str) -> None:
    """The line's number, the line and what would pass; a British summer time is never read as UTC."""
    file = written(tmp_path, HEADER, f"{FIRST},5", line, "2020-05-20T21:00:00Z,5")
    with pytest.raises(SettingsError) as refused:
        load_day(file)
    assert refused.value.setting == "day"
    assert str(refused.value.value).endswith(f"day.csv:3: {line}")
    assert right in refused.value.right


@pytest.mark.parametrize(
    ("content", "right"),
    [
        (b"", "header"),
        (b"time,price\n", "header"),
        (HEADER.encode(), "at least one half-hour"),
        (b"\xff\xfe", "cannot be read"),
        (b"x" * (MAX_BYTES + 1), "at most 1000000 bytes"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, content: bytes, right: str) -> None:
    """A file that is none of ours is refused as a whole."""
    file = tmp_path / "day.csv"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=right):
        load_day(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The operating system's reason is passed on."""
    with pytest.raises(SettingsError, match="No such file"):
        load_day(tmp_path / "none.csv")
