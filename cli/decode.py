"""`etp decode`: any frame or record, field by field, with the reason where it is refused; with --verify its signature, too."""

import json
import math
import string
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from etp.codes import MessageType
from etp.errors import FrameLengthError
from etp.frame import FIELDS, FRAME_SIZE, OFFSETS, RANGES, Frame, decode, invalid
from etp.record import RECORD_SIZE, fault, is_record, is_signed_by, trailer
from etp.registry import Registry
from etp.session import PREFIX_SIZE, length_prefix
from runtime.io.registry_file import RegistryFileError, load_registry
from runtime.registry import base58

INVALID = 1
WRONG_USE = 2
SIZES = (FRAME_SIZE, RECORD_SIZE)
SIZES_BY_PREFIX = {length_prefix(size): size for size in SIZES}
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
    if len(bare) > 1 and all(len(message) in SIZES for message in bare):
        return bare
    return split(b"".join(bare))


def split(data: bytes) -> list[bytes]:
    """The messages in it: one that is bare, or a stream with length prefixes; what is left over comes last, as it is."""
    messages = []
    while (size := SIZES_BY_PREFIX.get(data[:PREFIX_SIZE])) is not None and len(data) >= PREFIX_SIZE + size:
        messages.append(data[PREFIX_SIZE : PREFIX_SIZE + size])
        data = data[PREFIX_SIZE + size :]
    return messages if messages and not data else [*messages, data]


def judged(raw: bytes, registry: Registry | None = None) -> tuple[Frame | None, str | None]:
    """The frame, if the length is right, and why it is refused; with a registry a signature must be right, too."""
    if is_record(raw):
        frame = decode(raw[:FRAME_SIZE])
        return frame, _record_fault(raw, frame) or (_signature_fault(raw, frame, registry) if registry else None)
    try:
        frame = decode(raw)
    except FrameLengthError as error:
        return None, str(error)
    return frame, invalid(frame) or ("a bare frame: it has no signature to verify" if registry else None)


def _record_fault(raw: bytes, frame: Frame) -> str | None:
    return invalid(frame) or fault(frame, trailer(raw))


def _signature_fault(raw: bytes, frame: Frame, registry: Registry) -> str | None:
    member, network = registry.get(frame.device_id), registry.network
    if member is None:
        return f"device {frame.device_id} is not in the registry"
    if not is_signed_by(member.key, network.network_id, raw):
        return (
            f"its signature is not of device {frame.device_id} ({base58(member.key)}) for the market {network.name!r}"
        )
    return None


def as_json(raw: bytes, registry: Registry | None = None) -> dict[str, Any]:
    """{valid, reason, frame[, trailer]}; frame is null for a wrong length, non-finite values are strings."""
    frame, reason = judged(raw, registry)
    fields = None if frame is None else {name: _plain(value) for name, value in frame._asdict().items()}
    shown: dict[str, Any] = {"valid": reason is None, "reason": reason, "frame": fields}
    return shown | {"trailer": trailer_fields(raw)} if is_record(raw) else shown


def trailer_fields(raw: bytes) -> dict[str, Any]:
    """The trailer of a record: integers, and its recipient's key and its signature as text."""
    said = trailer(raw)
    return said._asdict() | {
        "boot": said.counter >> 32,
        "seq": said.counter & 0xFFFF_FFFF,
        "recipient": base58(said.recipient),
        "signature": said.signature.hex(),
    }


def _plain(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _show(console: Console, raw: bytes, registry: Registry | None) -> None:
    frame, reason = judged(raw, registry)
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
    if is_record(raw):
        _show_trailer(console, raw, registry)
    right = "[green]valid, and its signature is right[/]" if registry else "[green]valid[/]"
    console.print(right if reason is None else f"[red]refused:[/] {reason}")


def _show_trailer(console: Console, raw: bytes, registry: Registry | None) -> None:
    said, fields = trailer(raw), trailer_fields(raw)
    reader = registry.of_key(said.recipient) if registry else None
    to = f"{fields['recipient']} (device {reader.device_id})" if reader else fields["recipient"]
    for name, value in (
        ("lot", said.lot_id or "none"),
        ("price", f"{said.price} µ/kWh"),
        ("energy", f"{said.energy} Wh"),
        ("counter", f"boot {fields['boot']}, no. {fields['seq']}"),
        ("to", to),
        ("signature", fields["signature"]),
    ):
        console.print(f"  {name:9} {value}", soft_wrap=True, highlight=False)


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="HEX|-", help="a frame or record in hex, or - to read hex or raw bytes from standard input"
        ),
    ],
    json_lines: Annotated[bool, typer.Option("--json", help="one JSON object per frame")] = False,  # noqa: FBT002
    verify: Annotated[bool, typer.Option("--verify", help="check signatures; needs --registry")] = False,  # noqa: FBT002
    registry_file: Annotated[
        Path | None, typer.Option("--registry", envvar="ETP_REGISTRY", help="the market's registry, with its keys")
    ] = None,
) -> None:
    """Show a frame or record, or a stream of them with length prefixes, field by field; status 1 if one is refused."""
    registry = _registry(registry_file) if verify else None
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
            typer.echo(json.dumps(as_json(raw, registry)))
        else:
            _show(console, raw, registry)
    raise typer.Exit(INVALID if any(judged(raw, registry)[1] for raw in frames) else 0)


def _registry(path: Path | None) -> Registry:
    if path is None:
        typer.echo("etp: --verify needs --registry FILE: it says which key is whose", err=True)
        raise typer.Exit(WRONG_USE)
    try:
        return load_registry(path)
    except RegistryFileError as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error
