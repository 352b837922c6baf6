"""`etp decode`: any frame, field by field, with the reason where it is refused."""

import json
import math
import string
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from etp.codes import MessageType
from etp.errors import FrameLengthError
from etp.frame import FIELDS, FRAME_SIZE, OFFSETS, RANGES, Frame, decode, invalid
from etp.session import PREFIX

INVALID = 1
WRONG_USE = 2
SHOWN = 40
"""Characters of wrong input in the message."""


def read_frames(given: bytes) -> list[bytes]:
    """The frames in hex text (one a line, or a stream), or in bytes as a socket gave them. Raises ValueError where text is not hex."""
    try:
        text = given.decode("ascii")
    except UnicodeDecodeError:
        return split(given)
    if set(text) - set(string.printable):
        return split(given)
    lines = text.split("\n")
    bare = [bytes.fromhex(line) for line in lines if line.strip()]
    if len(bare) > 1 and all(len(frame) == FRAME_SIZE for frame in bare):
        return bare
    return split(b"".join(bare))


def split(data: bytes) -> list[bytes]:
    """The frames in it: one that is bare, or a stream with length prefixes; what is left over comes last, as it is."""
    packet = len(PREFIX) + FRAME_SIZE
    frames = []
    while data.startswith(PREFIX) and len(data) >= packet:
        frames.append(data[len(PREFIX) : packet])
        data = data[packet:]
    return frames if frames and not data else [*frames, data]


def judged(raw: bytes) -> tuple[Frame | None, str | None]:
    """The frame, if the length is right, and why it is refused."""
    try:
        frame = decode(raw)
    except FrameLengthError as error:
        return None, str(error)
    return frame, invalid(frame)


def as_json(raw: bytes) -> dict[str, Any]:
    """{valid, reason, frame}; frame is null for a wrong length, non-finite values are strings."""
    frame, reason = judged(raw)
    fields = None if frame is None else {name: _plain(value) for name, value in frame._asdict().items()}
    return {"valid": reason is None, "reason": reason, "frame": fields}


def _plain(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _show(console: Console, raw: bytes) -> None:
    frame, reason = judged(raw)
    if frame is not None:
        kind = frame.message_type
        title = MessageType(kind).name if kind <= max(MessageType) else f"type {kind}"
        table = Table(title=title, padding=(0, 0, 0, 1))  # just what 80 columns hold, with the longest id
        for heading in ("at", "field", "value", "unit", "bytes"):
            table.add_column(heading, justify="right" if heading in ("at", "value") else "left", no_wrap=True)
        for name, character in FIELDS:
            width = {"B": 1, "Q": 8, "d": 8}[character]
            at = OFFSETS[name]
            value = getattr(frame, name)
            style = "dim" if value == 0 else "cyan" if character == "d" else "yellow"
            table.add_row(str(at), name, f"[{style}]{value}[/]", RANGES[name].unit, raw[at : at + width].hex())
        console.print(table)
    console.print("[green]valid[/]" if reason is None else f"[red]refused:[/] {reason}")


def command(
    source: Annotated[
        str, typer.Argument(metavar="HEX|-", help="a frame in hex, or - to read hex or raw bytes from standard input")
    ],
    json_lines: Annotated[bool, typer.Option("--json", help="one JSON object per frame")] = False,  # noqa: FBT002
) -> None:
    """Show a frame, or a stream of frames with length prefixes, field by field; status 1 if one is refused."""
    given = sys.stdin.buffer.read() if source == "-" else source.encode()
    try:
        frames = read_frames(given)
    except ValueError as error:
        shown = given[:SHOWN].decode(errors="replace")
        typer.echo(f"etp: HEX is {shown!r}: expected hexadecimal digits ({error})", err=True)
        raise typer.Exit(WRONG_USE) from error
    console = Console()
    for raw in frames:
        if json_lines:
            typer.echo(json.dumps(as_json(raw)))
        else:
            _show(console, raw)
    raise typer.Exit(INVALID if any(judged(raw)[1] for raw in frames) else 0)
