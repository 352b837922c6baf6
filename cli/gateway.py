"""`etp gateway …`: accounts, API keys and login links in the gateway's database, also while it runs."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path
from typing import Annotated, TypeVar, cast, get_args

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from cli import gateway_export
from etp.io.clock import system_now
from gateway.access import LOCAL_USER, RoleName
from gateway.io.access import Access
from gateway.io.database import StoreError, engine_for, migrate, parse_url, said
from gateway.limits import Limits, Timing
from gateway.problem import ProblemError
from gateway.settings import DatabaseSettings
from runtime.io.logging import set_up
from runtime.io.settings import load
from runtime.settings import SettingsError

FAILED, WRONG_USE = 1, 2
BY = "command line"
MICRO = 1_000_000
T = TypeVar("T")

Database = Annotated[
    str | None,
    typer.Option("--database", help="URL of the gateway's database; default: the file in its state", metavar="URL"),
]
StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="the gateway's state directory; default: etp-gateway here")
]
Role = Annotated[
    str,
    typer.Option("--role", help="what it may do: watch, or change accounts too", metavar="|".join(get_args(RoleName))),
]
Json = Annotated[bool, typer.Option("--json", help="one JSON object per line")]

user_app = typer.Typer(no_args_is_help=True)
key_app = typer.Typer(no_args_is_help=True)
app = typer.Typer(no_args_is_help=True)
app.add_typer(user_app, name="user", help="Who may log in.")
app.add_typer(key_app, name="key", help="API keys: how programs log in.")
app.command("export")(gateway_export.command)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong ends the command with one line on stderr."""
    try:
        yield
    except (SettingsError, StoreError, ProblemError) as error:
        text = error.detail if isinstance(error, ProblemError) else str(error)
        typer.echo(f"etp: {text}", err=True)
        raise typer.Exit(WRONG_USE if isinstance(error, SettingsError) else FAILED) from error
    except (SQLAlchemyError, OSError) as error:
        typer.echo(f"etp: the database cannot be read or changed: {said(error)}", err=True)
        raise typer.Exit(FAILED) from error


def with_access(database: str | None, state_dir: Path | None, act: Callable[[Access], Awaitable[T]]) -> T:
    """Do something with the accounts in a gateway's database."""
    given = {"database": database, "state_dir": state_dir}
    set_up("warning")
    with told():
        settings = load(DatabaseSettings, {name: value for name, value in given.items() if value is not None})
        if settings.database is None:
            settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return asyncio.run(_acted(settings, act))


async def _acted(settings: DatabaseSettings, act: Callable[[Access], Awaitable[T]]) -> T:
    engine = engine_for(parse_url(settings.database_url))
    try:
        await migrate(engine)
        return await act(Access(engine, Limits(), Timing(), clock=system_now))
    finally:
        await engine.dispose()


def _role(text: str) -> RoleName:
    if text not in get_args(RoleName):
        raise SettingsError("role", text, f"expected {' or '.join(get_args(RoleName))}")
    return cast("RoleName", text)


def _password() -> str:
    """From the terminal, twice and unseen; else the first line of stdin. Never an argument: those are seen by everybody."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass("password: ")
    if getpass("again: ") != password:
        raise SettingsError("password", "(not shown)", "the two differ; start again")
    return password


def _when(time_us: int | None) -> str:
    return "" if time_us is None else datetime.fromtimestamp(time_us / MICRO, UTC).strftime("%Y-%m-%d %H:%M")


def _show(rows: list[dict[str, object]], *, json_lines: bool) -> None:
    if json_lines:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    table = Table(*(rows[0] if rows else ("none",)))
    for row in rows:
        shown = (_when(cast("int | None", value)) if name.endswith("_us") else value for name, value in row.items())
        table.add_row(*("" if value is None else str(value) for value in shown))
    Console().print(table)


@user_app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="what the person types to log in")],
    *,
    role: Role = "viewer",
    without_password: Annotated[bool, typer.Option("--without-password", help="logs in by links only")] = False,
    database: Database = None,
    state_dir: StateDir = None,
) -> None:
    """Make an account; the password is asked for, or read from stdin."""
    with told():
        as_role, password = _role(role), None if without_password else _password()
    with_access(database, state_dir, lambda access: access.add_user(name, as_role, password, by=BY))
    typer.echo(f"{name} may log in as {role}")


@user_app.command("list")
def list_users(*, json_lines: Json = False, database: Database = None, state_dir: StateDir = None) -> None:
    """Show the accounts."""
    rows = with_access(database, state_dir, lambda access: access.accounts.all_users())
    shown = [
        {"name": row.name, "role": row.role, "has_password": row.password is not None, "created_us": row.created_us}
        for row in rows
    ]
    _show(shown, json_lines=json_lines)


@user_app.command("remove")
def remove_user(
    name: Annotated[str, typer.Argument(help="whose account")], *, database: Database = None, state_dir: StateDir = None
) -> None:
    """Remove an account: its sessions end at once, its open websockets within 15 s."""
    left = with_access(database, state_dir, lambda access: access.remove_user(name, by=BY))
    typer.echo(f"{name} may no longer log in")
    if left:
        typer.echo("It was an admin; these API keys are in force all the same, until `etp gateway key revoke KEYID`:")
        for row in left:
            typer.echo(f"  {row.key_id} {row.name} ({row.scope})")


@key_app.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="what the key is for")],
    *,
    role: Role = "viewer",
    database: Database = None,
    state_dir: StateDir = None,
) -> None:
    """Make an API key and print it, this once: send it as `Authorization: Bearer KEY`, never in a URL."""
    with told():
        scope = _role(role)
    _, key = with_access(database, state_dir, lambda access: access.add_key(name, scope, by=BY))
    typer.echo(key)


@key_app.command("list")
def list_keys(*, json_lines: Json = False, database: Database = None, state_dir: StateDir = None) -> None:
    """Show the API keys, without their secrets."""
    rows = with_access(database, state_dir, lambda access: access.accounts.all_keys())
    names = ("key_id", "name", "scope", "created_us", "used_us", "revoked_us")
    _show([{name: getattr(row, name) for name in names} for row in rows], json_lines=json_lines)


@key_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="as `etp gateway key list` shows it")],
    *,
    database: Database = None,
    state_dir: StateDir = None,
) -> None:
    """Revoke an API key: no request with it is answered from now on, its open websockets end within 15 s."""
    with_access(database, state_dir, lambda access: access.revoke_key(key_id, by=BY))
    typer.echo(f"key {key_id} is revoked")


@app.command("link")
def link(
    user: Annotated[str, typer.Option("--user", help="whom it logs in")] = LOCAL_USER,
    *,
    url: Annotated[str, typer.Option("--url", help="where the gateway is", metavar="URL")] = "http://127.0.0.1:8080",
    database: Database = None,
    state_dir: StateDir = None,
) -> None:
    """Print a link that logs an account in, once, within an hour."""
    token = with_access(database, state_dir, lambda access: access.new_link(user, by=BY))
    typer.echo(f"{url.rstrip('/')}/login?token={token}")
