"""`etp decode`: any frame, field by field, with the reason where it is refused."""

import json
import math
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


def read_frames(text: str) -> list[bytes]:
    """The frames in a hex text: bare, or a stream with length prefixes. Raises ValueError where it is not hex."""
    data = bytes.fromhex("".join(text.split()))
    packet = len(PREFIX) + FRAME_SIZE
    if data.startswith(PREFIX) and len(data) % packet == 0:
        return [data[start + len(PREFIX) : start + packet] for start in range(0, len(data), packet)]
    return [data]


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
        table = Table(title=MessageType(kind).name if kind <= max(MessageType) else f"type {kind}")
        for heading in ("offset", "field", "value", "unit", "bytes"):
            table.add_column(heading, justify="right" if heading in ("offset", "value") else "left")
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
        str, typer.Argument(metavar="HEX|-", help="a frame in hex, or - to read hex from standard input")
    ],
    json_lines: Annotated[bool, typer.Option("--json", help="one JSON object per frame")] = False,  # noqa: FBT002
) -> None:
    """Show a frame, or a stream of frames with length prefixes, field by field; status 1 if one is refused."""
    try:
        frames = read_frames(sys.stdin.read() if source == "-" else source)
    except ValueError as error:
        typer.echo(f"etp: HEX is {source[:40]!r}: expected hexadecimal digits ({error})", err=True)
        raise typer.Exit(WRONG_USE) from error
    console = Console()
    for raw in frames:
        if json_lines:
            typer.echo(json.dumps(as_json(raw)))
        else:
            _show(console, raw)
    raise typer.Exit(INVALID if any(judged(raw)[1] for raw in frames) else 0)
