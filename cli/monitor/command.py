"""`etp monitor`: the market in a terminal, live; or once, for a pipe. Imports nothing heavy until it is called."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from gateway.place import GatewayPlace

FAILED: Final = 1
WRONG_USE: Final = 2
DEFAULT_URL: Final = "http://127.0.0.1:8080"
KEY_VARIABLE: Final = "ETP_GATEWAY_KEY"
LONGEST_KEY: Final = 400
ANSWER_S: Final = 10.0
"""How long `--once` waits for the gateway, s."""
PIPE_COLUMNS: Final = 100


def command(
    url: Annotated[
        str, typer.Argument(metavar="[URL]", help="the gateway, or the login link that it printed")
    ] = DEFAULT_URL,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help=f"file with an API key of the gateway; or {KEY_VARIABLE}"),
    ] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="print what is true now, and end")] = False,
    print_json: Annotated[bool, typer.Option("--json", help="with --once: as one JSON object")] = False,
) -> None:
    """Watch the market: lots, batteries, aggregators, trades, latency and events. Needs 80x24 and no mouse."""
    from gateway.io.client import ClientError  # noqa: PLC0415 - `etp bess` must not wait for it

    place = _place(url)
    api_key = _api_key(key_file)
    if not place.is_private and (api_key is not None or place.token is not None):
        _end(
            f"URL is {place.base!r}: a key or login link would be sent open; use https, or a tunnel to loopback",
            WRONG_USE,
        )
    if print_json and not once:
        _end("--json needs --once", WRONG_USE)
    try:
        if once:
            _print_once(place, api_key, as_json=print_json)
        else:
            _watch(place, api_key)
    except ClientError as error:
        _end(str(error), FAILED)


def _end(message: str, status: int) -> None:
    from cli.monitor.words import clean  # noqa: PLC0415

    typer.echo(f"etp: {clean(message)}", err=True)
    raise typer.Exit(status)


def _place(url: str) -> "GatewayPlace":
    from gateway.place import PlaceError, parse_place  # noqa: PLC0415

    try:
        return parse_place(url)
    except PlaceError as error:
        typer.echo(f"etp: URL {error}", err=True)
        raise typer.Exit(WRONG_USE) from None


def _api_key(path: Path | None) -> str | None:
    """From the file, or from the environment; None: neither."""
    if path is None:
        return _checked(os.environ.get(KEY_VARIABLE, "").strip(), KEY_VARIABLE) or None
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(LONGEST_KEY + 2).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no ASCII text"
        typer.echo(f"etp: --key-file is {str(path)!r}: cannot be read ({why})", err=True)
        raise typer.Exit(WRONG_USE) from None
    if not text:
        typer.echo(f"etp: --key-file is {str(path)!r}: is empty; expected an API key (`etp gateway key add`)", err=True)
        raise typer.Exit(WRONG_USE)
    return _checked(text, f"the text in {path}")


def _checked(key: str, source: str) -> str:
    """A key as one word, since it becomes a header. Its text is never shown."""
    if len(key) > LONGEST_KEY or not key.isascii() or any(not sign.isprintable() or sign.isspace() for sign in key):
        typer.echo(f"etp: {source} is no API key; expected one word, as `etp gateway key add` printed it", err=True)
        raise typer.Exit(WRONG_USE)
    return key


def _watch(place: "GatewayPlace", api_key: str | None) -> None:
    from cli.monitor.app import Monitor  # noqa: PLC0415

    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # it draws on stderr
        _end("there is no terminal; `etp monitor --once` prints what is true now", WRONG_USE)
    app = Monitor(place, api_key=api_key, coloured=not os.environ.get("NO_COLOR"))
    denied = app.run(mouse=False)
    if denied is not None:
        _end(denied, FAILED)
    raise typer.Exit(app.return_code or 0)


def _print_once(place: "GatewayPlace", api_key: str | None, *, as_json: bool) -> None:
    import asyncio  # noqa: PLC0415

    import msgspec  # noqa: PLC0415

    from cli.monitor.app import wait_for_world  # noqa: PLC0415
    from cli.monitor.screen import as_text  # noqa: PLC0415

    try:
        view, world = asyncio.run(wait_for_world(place, api_key, limit_s=ANSWER_S))
    except TimeoutError:
        _end(f"{place.name} did not say what is true now within {ANSWER_S:g} s", FAILED)
        return
    typer.echo(msgspec.json.encode(world.snapshot).decode() if as_json else as_text(view, width=PIPE_COLUMNS))
