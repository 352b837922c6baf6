"""`etp gateway export`: what a gateway has stored, as lines; out of its database, or out of a running gateway by URL.

Rows come in pages, each a short query or request, so that an export of millions holds a thousand rows at a time and nobody waits
for it. Newest first, as the lists of the API are; what comes in meanwhile is left out.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.gateway_pages import EndedError, Pages
from gateway import csv, listings, tables
from gateway.asked import check_order
from gateway.bodies import LAST_TIME_US, LAST_U64
from gateway.io.database import SQLITE, StoreError, engine_for, parse_url, said
from gateway.io.queries import stream
from gateway.io.rest.answers import items
from gateway.io.rest.events import whole
from gateway.listings import Listing, Wanted
from gateway.place import PlaceError, parse_place
from gateway.settings import DatabaseSettings
from runtime.io.logging import set_up
from runtime.io.settings import load
from runtime.settings import SettingsError

KEY_VARIABLE: Final = "ETP_GATEWAY_KEY"
LONGEST_KEY: Final = 400
FAILED, WRONG_USE = 1, 2
What = Literal["trades", "lots", "bids", "settlements", "events"]
LISTINGS: Final[dict[str, Listing]] = listings.ALL | {"bids": listings.EXPORTED_BIDS}
Item = dict[str, Any]
Chunks = AsyncGenerator[Sequence[Item], None]
Database = Annotated[
    str | None,
    typer.Option("--database", help="URL of the gateway's database; default: the file in its state", metavar="URL"),
]
StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="the gateway's state directory; default: etp-gateway here")
]


def command(
    what: Annotated[What, typer.Argument(help="trades, lots, bids, settlements or events")],
    url: Annotated[str | None, typer.Argument(help="a running gateway, such as http://127.0.0.1:8080")] = None,
    *,
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="jsonl or csv")] = "jsonl",
    battery: Annotated[str | None, typer.Option("--battery", help="only of this battery", metavar="ID")] = None,
    from_us: Annotated[
        int | None, typer.Option("--from-us", help="not before, µs since 1970", min=0, max=LAST_TIME_US)
    ] = None,
    to_us: Annotated[int | None, typer.Option("--to-us", help="before, µs since 1970", min=0, max=LAST_TIME_US)] = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help=f"with URL: file with an API key; or {KEY_VARIABLE}"),
    ] = None,
    database: Database = None,
    state_dir: StateDir = None,
) -> None:
    """Print what a gateway has stored, one object per line, newest first: from its database, also while it runs, or by URL."""
    set_up("warning")
    try:
        chunks = _chunks(what, _filters(what, battery, from_us, to_us), url, (database, state_dir), key_file)
        asyncio.run(_print(LISTINGS[what], chunks, as_csv=form == "csv"))
    except BrokenPipeError:  # head has seen enough; nothing is left to be flushed at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except SettingsError as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error
    except (StoreError, EndedError) as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(FAILED) from error
    except (SQLAlchemyError, OSError) as error:
        typer.echo(f"etp: the database cannot be read: {said(error)}", err=True)
        raise typer.Exit(FAILED) from error


def _chunks(
    what: str, filters: Item, url: str | None, place: tuple[str | None, Path | None], key: Path | None
) -> Chunks:
    if url is None:
        return _from_database(what, filters, _engine(*place))
    if place != (None, None):
        raise SettingsError("url", url, "give a gateway's URL, or --database or --state-dir, not both")
    return _from_gateway(what, filters, url, _key(key))


def _filters(what: str, battery: str | None, from_us: int | None, to_us: int | None) -> Item:
    if battery is not None and not (battery.isascii() and battery.isdigit() and int(battery) <= LAST_U64):
        raise SettingsError("battery", battery, f"expected a device id, 0 to {LAST_U64}")
    if what == "bids" and (from_us is not None or to_us is not None):
        raise SettingsError("from_us", from_us, "bids are stored by battery, not by time: give --battery, or nothing")
    try:
        check_order(from_us, to_us)
    except ValueError as error:
        raise SettingsError("from_us", from_us, str(error)) from error
    given = {"battery": battery, "from_us": from_us, "to_us": to_us}
    return {name: value for name, value in given.items() if value is not None}


# -- from a database


def _engine(database: str | None, state_dir: Path | None) -> AsyncEngine:
    given = {"database": database, "state_dir": state_dir}
    settings = load(DatabaseSettings, {name: value for name, value in given.items() if value is not None})
    url = parse_url(settings.database_url)
    if url.drivername == SQLITE and not Path(str(url.database)).is_file():
        raise StoreError(f"there is no {url.database}; expected the --state-dir or --database of a gateway")
    return engine_for(url)


async def _from_database(what: str, filters: Item, engine: AsyncEngine) -> Chunks:
    listing = LISTINGS[what]
    name = "node" if what == "events" else "battery"
    equal = {name: int(filters["battery"])} if "battery" in filters else {}
    try:
        epoch = await _epoch(engine) if what == "events" else ""
        async for rows in stream(engine, listing, Wanted(equal, filters.get("from_us"), filters.get("to_us")), None):
            found = items(listing, rows)
            for item in found if what == "events" else ():
                item["event"] = whole(item["event"], epoch, item["seq"])
            yield found
    finally:
        await engine.dispose()


async def _epoch(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        query = select(tables.meta.c.value).where(tables.meta.c.name == "epoch")
        return str((await connection.execute(query)).scalar() or "")


# -- from a running gateway


def _key(path: Path | None) -> str | None:
    """An API key, from a file or the environment: never an argument, which everybody on the machine can see."""
    try:
        text = os.environ.get(KEY_VARIABLE) if path is None else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("key_file", str(path), f"cannot be read: {error}") from error
    if text is None:
        return None
    key = text.strip()
    if not key or len(key) > LONGEST_KEY or not key.isascii() or len(key.split()) != 1:
        source = KEY_VARIABLE if path is None else str(path)
        raise SettingsError("key_file", source, "expected one word, as `etp gateway key add` printed it")
    return key


async def _from_gateway(what: str, filters: Item, url: str, key: str | None) -> Chunks:
    try:
        place = parse_place(url)
    except PlaceError as error:
        raise SettingsError("url", "(as given)", str(error)) from error
    if key is not None and not place.is_private:
        raise SettingsError("url", place.base, "the key would be sent open; use https, or a tunnel to loopback")
    if what == "events" and "battery" in filters:
        filters = {"node": filters["battery"]} | {name: filters[name] for name in filters if name != "battery"}
    async with Pages(place, key) as pages:
        if what != "bids":
            async for found in pages.walk(what, filters):
                yield found
            return
        async for lots in pages.walk("lots", filters):
            for lot in lots:
                yield await pages.bids(lot)


# -- out


async def _print(listing: Listing, chunks: Chunks, *, as_csv: bool) -> None:
    write: Callable[[Item], str] = _csv_line if as_csv else _json_line
    if as_csv:
        sys.stdout.write(csv.line(listing.fields))
    async with aclosing(chunks):
        async for chunk in chunks:
            sys.stdout.write("".join(map(write, chunk)))
            sys.stdout.flush()


def _json_line(item: Item) -> str:
    return json.dumps(item) + "\n"


def _csv_line(item: Item) -> str:
    return csv.line(json.dumps(value) if isinstance(value, dict) else value for value in item.values())
