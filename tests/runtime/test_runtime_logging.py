"""Logging: stderr only, one JSON object a line off a terminal, and what repeats once a minute and kind with its count."""

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog

from runtime.io import logging as log_module
from runtime.io.logging import MAX_KINDS, REPEAT_S, Limiter, set_up


class Clock:
    """Time by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """What the limiter reads."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The limiter's clock."""
    made = Clock()
    monkeypatch.setattr(log_module, "time", made)
    return made


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged since the last call; stdout must be empty."""

    def read() -> list[dict[str, Any]]:
        out, err = capsys.readouterr()
        assert out == ""
        return [json.loads(line) for line in err.splitlines()]

    yield read
    structlog.reset_defaults()


Lines = Callable[[], list[dict[str, Any]]]


def logger(level: str = "info") -> Any:
    """A logger as a daemon sets it up."""
    set_up(level)
    return structlog.get_logger()


def test_one_json_object_a_line_on_stderr(lines: Lines) -> None:
    """Event, level, UTC time and the fields; never on stdout, whose one line is the daemon's ready line."""
    logger().info("serving", device_id=101, text="two\nlines")
    (line,) = lines()
    assert (line["event"], line["level"], line["device_id"], line["text"]) == ("serving", "info", 101, "two\nlines")
    assert line["timestamp"].endswith("Z")


def test_the_least_level(lines: Lines) -> None:
    """Below the level nothing is written."""
    log = logger()
    log.debug("frame")
    assert lines() == []
    log = logger("error")
    log.warning("late")
    log.error("journal_failed")
    assert [line["event"] for line in lines()] == ["journal_failed"]


def test_an_error_is_one_line_too(lines: Lines) -> None:
    """A traceback is a field of its line, not lines between others."""
    log = logger()
    try:
        raise OSError("no route")
    except OSError:
        log.exception("dial_failed")
    (line,) = lines()
    assert "no route" in line["exception"]


def test_a_repeated_error_is_said_once_a_minute(lines: Lines, clock: Clock) -> None:
    """One line for 1,001 within a minute; the first of the next minute says how many were left out."""
    log = logger()
    for _ in range(1001):
        log.warning("refused", kind="invalid")
    clock.now_s += REPEAT_S - 0.001
    log.warning("refused", kind="invalid")
    assert [line.get("repeated") for line in lines()] == [None]
    clock.now_s += 0.001
    log.warning("refused", kind="invalid")
    assert [line.get("repeated") for line in lines()] == [1001]


def test_each_kind_and_each_event_has_its_minute(lines: Lines, clock: Clock) -> None:
    """A flood of one kind hides no other."""
    log = logger()
    for event, kind in (("refused", "invalid"), ("refused", "length"), ("dropped", "invalid"), ("refused", "invalid")):
        log.warning(event, kind=kind)
    assert [(line["event"], line["kind"]) for line in lines()] == [
        ("refused", "invalid"),
        ("refused", "length"),
        ("dropped", "invalid"),
    ]
    assert clock.now_s == 1000.0


def test_without_a_kind_nothing_is_left_out(lines: Lines) -> None:
    """Only what says its kind is limited."""
    log = logger()
    for _ in range(3):
        log.info("restored")
    assert len(lines()) == 3


def test_the_kinds_remembered_are_bounded(clock: Clock) -> None:
    """Kinds from outside cannot fill the memory: the oldest is forgotten, and would be said again."""
    limiter = Limiter()
    for number in range(MAX_KINDS + 1):
        clock.now_s += 0.001
        limiter(None, "warning", {"event": "refused", "kind": number})
    assert len(limiter._seen) == MAX_KINDS
    assert limiter(None, "warning", {"event": "refused", "kind": 0}) == {"event": "refused", "kind": 0}
    with pytest.raises(structlog.DropEvent):
        limiter(None, "warning", {"event": "refused", "kind": MAX_KINDS})


def test_a_log_that_nobody_takes_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that died, a terminal that was closed: the line is lost, the daemon goes on."""
    set_up("info")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as broken:
        monkeypatch.setattr("sys.stderr", broken)
        structlog.get_logger().error("nobody_hears")
        monkeypatch.undo()
        with suppress(OSError):
            broken.close()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    structlog.get_logger().error("nobody_hears")
