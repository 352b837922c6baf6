"""`etp decode`: any frame field by field, for people and for programs, in colour only where somebody looks."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from etp.codes import MessageType
from etp.frame import FIELDS, OFFSETS, RANGES, Frame, encode
from etp.session import PREFIX

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
GOOD = json.loads((VECTORS / "frames.json").read_text())["frames"]
BAD = json.loads((VECTORS / "invalid.json").read_text())["frames"]
BID = Frame(MessageType.BID, 1_700_000_000_000_001, 500, bid_price=12.75, required_energy_amount=5.4)
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:[349][0-7]|38|48)(?:;\d+)*m")
"""A select-graphic-rendition sequence (ECMA-48) that sets a colour."""


def decode(*arguments: str, stdin: str = "", columns: int = 200) -> Result:
    """`etp decode` in this process."""
    return CliRunner().invoke(app, ["decode", *arguments], input=stdin, env={"COLUMNS": str(columns)})


def lines(result: Result) -> list[dict[str, Any]]:
    """The objects of --json, read as strictly as JSON is written: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in result.stdout.splitlines()]


def stream(*raws: str) -> str:
    """Frames in hex as they are on TCP."""
    return "".join(PREFIX.hex() + raw for raw in raws)


# -- for programs


def test_json_of_every_legal_frame() -> None:
    """{valid, reason, frame}: true, null, and every field by its name on the wire, in the order of the wire."""
    result = decode("--json", "-", stdin=stream(*(vector["hex"] for vector in GOOD)))
    assert result.exit_code == 0
    for found, vector in zip(lines(result), GOOD, strict=True):
        assert list(found) == ["valid", "reason", "frame"]
        assert (found["valid"], found["reason"]) == (True, None)
        assert list(found["frame"]) == [name for name, _ in FIELDS]
        given = {name: value for name, value in vector.items() if name not in ("name", "hex")}
        assert found["frame"].items() >= given.items()


def test_json_of_every_frame_that_is_refused() -> None:
    """Status 1; the judge's own reason; all fields, those that are no numbers as the strings NaN, Infinity, -Infinity."""
    wrong = [vector for vector in BAD if len(vector["hex"]) == 2 * 84]
    result = decode("--json", "-", stdin=stream(*(vector["hex"] for vector in wrong)))
    assert result.exit_code == 1
    for found, vector in zip(lines(result), wrong, strict=True):
        assert (found["valid"], found["reason"]) == (False, vector["reason"])
        strings = {value for value in found["frame"].values() if isinstance(value, str)}
        assert strings <= {"NaN", "Infinity", "-Infinity"}
        expected = {"nan": {"NaN"}, "-inf": {"Infinity"}, "minus-inf": {"-Infinity"}}
        assert (
            next((want for end, want in reversed(expected.items()) if vector["name"].endswith(end)), set()) == strings
        )


@pytest.mark.parametrize("vector", [v for v in BAD if len(v["hex"]) != 2 * 84], ids=lambda vector: vector["name"])
def test_json_of_another_length(vector: dict[str, str]) -> None:
    """Status 1, no frame, and both lengths."""
    result = decode("--json", vector["hex"])
    assert result.exit_code == 1
    assert lines(result) == [{"valid": False, "reason": vector["reason"], "frame": None}]


def test_one_wrong_frame_hides_no_other() -> None:
    """In a stream each frame is judged by itself; the status says that one was refused."""
    raws = [encode(BID).hex(), encode(BID._replace(ttl=0)).hex(), encode(BID._replace(message_id=7)).hex()]
    result = decode("--json", "-", stdin=stream(*raws))
    assert result.exit_code == 1
    assert [found["valid"] for found in lines(result)] == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        encode(BID).hex(),
        encode(BID).hex().upper(),
        encode(BID).hex(" "),
        encode(BID).hex("\n", 16) + "\n",
        PREFIX.hex() + encode(BID).hex(),
    ],
    ids=["bare", "upper", "spaced", "lines", "prefixed"],
)
@pytest.mark.parametrize("stdin", [True, False], ids=["stdin", "argument"])
def test_one_frame_however_it_is_written(text: str, *, stdin: bool) -> None:
    """Bare or with its prefix, in either case, spaced or in lines, as argument or from standard input."""
    result = decode("--json", "-", stdin=text) if stdin else decode("--json", text)
    assert result.exit_code == 0
    assert [found["frame"] for found in lines(result)] == [BID._asdict()]


@pytest.mark.parametrize("text", ["5x", "0x54", "5", "junk"])
def test_what_is_no_hex_is_wrong_use(text: str) -> None:
    """Status 2, nothing on stdout, and the text that was given."""
    result = decode(text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"HEX is {text!r}: expected hexadecimal digits" in result.stderr


def test_what_is_no_hex_on_standard_input_is_shown() -> None:
    """The text that came in is named, as an argument is."""
    assert "'junk" in decode("-", stdin="junk").stderr


def test_a_stream_that_was_cut_shows_what_is_whole() -> None:
    """The frames before the cut are shown, and the rest is refused with its length."""
    result = decode("--json", "-", stdin=stream(encode(BID).hex(), encode(BID).hex())[:-20])
    assert result.exit_code == 1
    assert [found["frame"] for found in lines(result)] == [BID._asdict(), None]


# -- for people


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector["name"])
def test_every_field_with_offset_value_unit_and_bytes(vector: dict[str, Any]) -> None:
    """One row a field, in the order of the wire, under the name of the type, with the verdict below."""
    result = decode(vector["hex"])
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    assert result.stdout.split()[0] == MessageType(bytes.fromhex(vector["hex"])[0]).name
    assert [row[:2] for row in rows] == [[str(OFFSETS[name]), name] for name, _ in FIELDS]
    assert [row[3] for row in rows] == [RANGES[name].unit for name, _ in FIELDS]
    assert "".join(row[4] for row in rows) == vector["hex"]
    assert result.stdout.splitlines()[-1] == "valid"


def test_an_unknown_type_is_shown_too() -> None:
    """Its number, its fields, and why it is refused."""
    result = decode(encode(BID._replace(message_type=200)).hex())
    assert result.exit_code == 1
    assert "type 200" in result.stdout
    assert result.stdout.splitlines()[-1] == "refused: message_type is 200; it must be 0 to 9"


@pytest.mark.parametrize("message_id", [1_700_000_000_000_001, 2**64 - 1])
def test_nothing_is_cut_off_where_the_terminal_is_narrow(message_id: int) -> None:
    """At 80 columns, which is what a pipe has, names and numbers are whole: an id without its last digits is another id."""
    result = decode(encode(BID._replace(message_id=message_id)).hex(), columns=80)
    assert "…" not in result.stdout
    assert str(message_id) in result.stdout


# -- colour


def run(*, terminal: bool, **environment: str) -> str:
    """What `etp decode` of a Bid writes to a pipe, or to a terminal."""
    command = [sys.executable, "-m", "cli.main", "decode", encode(BID).hex()]
    unset = {"NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "CI", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env |= {"TERM": "xterm-256color", "COLUMNS": "120"} | environment
    if not terminal:
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=20, check=True).stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = read_all(ours)
        assert process.wait(20) == 0
    return written


def read_all(descriptor: int) -> str:
    """What comes through a pseudo-terminal until its last writer is gone, which Linux reports as an error."""
    pieces: list[bytes] = []
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            while piece := file.read(65_536):
                pieces.append(piece)
        except OSError:
            pass
    return b"".join(pieces).decode()


def test_a_terminal_gets_colours() -> None:
    """Where somebody looks."""
    assert COLOUR.search(run(terminal=True))


def test_a_pipe_gets_plain_text() -> None:
    """Not one escape sequence where a program reads."""
    assert "\x1b" not in run(terminal=False)


def test_no_color_is_honoured() -> None:
    """NO_COLOR in a terminal: no colour (https://no-color.org)."""
    assert not COLOUR.search(run(terminal=True, NO_COLOR="1"))


def test_force_color_is_honoured() -> None:
    """FORCE_COLOR in a pipe: colours (https://force-color.org)."""
    assert COLOUR.search(run(terminal=False, FORCE_COLOR="1"))


def test_json_is_never_coloured() -> None:
    """Whatever is forced, a program reads it."""
    result = CliRunner().invoke(app, ["decode", "--json", encode(BID).hex()], env={"FORCE_COLOR": "1"})
    assert "\x1b" not in result.stdout


def test_raw_bytes_are_read_as_they_came(tmp_path: Path) -> None:
    """A stream as a socket gave it, on standard input."""
    file = tmp_path / "stream"
    file.write_bytes(PREFIX + encode(BID) + PREFIX + encode(BID))
    command = [sys.executable, "-m", "cli.main", "decode", "--json", "-"]
    with file.open("rb") as stream:
        done = subprocess.run(command, cwd=ROOT, stdin=stream, capture_output=True, text=True, timeout=20, check=True)
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == [BID._asdict()] * 2


def test_one_frame_a_line() -> None:
    """Bare frames, one in each line of standard input."""
    result = decode("--json", "-", stdin=f"{encode(BID).hex()}\n\n{encode(BID).hex()}\n")
    assert [found["frame"] for found in lines(result)] == [BID._asdict()] * 2
