"""`etp registry`: who belongs to a market: made, added to, listed, revoked in, or fetched from the chain."""

import json
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from etp.codes import Role
from etp.registry import Member, Network, Registry, RegistryError
from etp.units import DeviceId, WallUs
from runtime.io.key_file import KeyFileError, load_key
from runtime.io.registry_file import RegistryFileError, change_registry, load_registry, save_registry
from runtime.registry import base58, from_base58

FAILED = 1
LAST_ID = 2**64 - 1

app = typer.Typer(no_args_is_help=True, help="Keep the list of a market's devices and their keys.")
File = Annotated[Path, typer.Option("--registry", envvar="ETP_REGISTRY", help="the registry's file", metavar="FILE")]
DeviceOption = Annotated[int, typer.Option("--device-id", min=0, max=LAST_ID, help="the device")]


def _fail(error: Exception) -> typer.Exit:
    typer.echo(f"etp: {error}", err=True)
    return typer.Exit(FAILED)


@app.command()
def init(
    registry: File,
    name: Annotated[str, typer.Option("--name", help="the market's name, 1 to 32 bytes")],
    genesis_hash: Annotated[str | None, typer.Option("--genesis-hash", help="the chain's genesis hash, base58")] = None,
    program_id: Annotated[str | None, typer.Option("--program-id", help="the settlement program, base58")] = None,
    admin: Annotated[str | None, typer.Option("--admin", help="public key of who opened the market, base58")] = None,
) -> None:
    """Begin a registry. Without a chain its market signs, but does not settle."""
    try:
        if registry.exists():
            raise RegistryFileError(registry, "exists already")
        given = {"genesis_hash": genesis_hash, "program_id": program_id, "admin": admin}
        hashes = {key: from_base58(text, f"--{key.replace('_', '-')}") for key, text in given.items() if text}
        if 0 < len(hashes) < len(given):
            raise RegistryError("a market on a chain needs --genesis-hash, --program-id and --admin, all three")
        network = Network(name, **hashes)
        save_registry(registry, Registry(network))
    except (RegistryError, RegistryFileError) as error:
        raise _fail(error) from error
    typer.echo(network.network_id.hex())


@app.command()
def add(
    registry: File,
    device_id: DeviceOption,
    role: Annotated[Literal["bess", "aggregator"], typer.Option("--role", help="what it is")],
    key: Annotated[str, typer.Option("--key", help="its public key in base58, or the file with its key")],
    profile: Annotated[Literal["signed", "plain"], typer.Option("--profile", help="what it must speak")] = "signed",
) -> None:
    """Add a device: its id, its role, its key."""
    try:
        public = load_key(Path(key)).public if Path(key).is_file() else from_base58(key, "--key")
        member = Member(DeviceId(device_id), Role(role), public, profile)
        change_registry(registry, lambda before: before.added(member))
    except (RegistryError, RegistryFileError, KeyFileError) as error:
        raise _fail(error) from error


@app.command()
def revoke(
    registry: File,
    device_id: DeviceOption,
    at: Annotated[float | None, typer.Option("--at", help="from when on, unix seconds; default: now")] = None,
) -> None:
    """Revoke a device: running nodes end its sessions within seconds, and nothing counts that it says from then on."""
    try:
        since = WallUs(round((time.time() if at is None else at) * 1_000_000))
        change_registry(registry, lambda before: before.revoked(device_id, since))
    except (RegistryError, RegistryFileError) as error:
        raise _fail(error) from error


@app.command()
def sync(
    registry: File,
    rpc: Annotated[
        str, typer.Option("--rpc", envvar="ETP_RPC", help="URL of a Solana RPC of the market's chain", metavar="URL")
    ],
) -> None:
    """Take the members from the chain: who is registered there, with which key, and who was revoked."""
    from cli.members import sync_members  # noqa: PLC0415 - the other commands need no chain's client

    sync_members(registry, rpc)


@app.command("list")
def list_members(
    registry: File,
    *,
    json_lines: Annotated[bool, typer.Option("--json", help="one JSON object per device")] = False,
) -> None:
    """Show the devices."""
    try:
        members = load_registry(registry)
    except RegistryFileError as error:
        raise _fail(error) from error
    if json_lines:
        for member in members:
            typer.echo(json.dumps(_fields(member)))
        return
    table = Table("device", "role", "profile", "key", "revoked")
    for member in members:
        table.add_row(*("" if value is None else str(value) for value in _fields(member).values()))
    Console().print(table)


def _fields(member: Member) -> dict[str, object]:
    return {
        "device_id": member.device_id,
        "role": member.role.value,
        "profile": member.profile,
        "key": base58(member.key),
        "revoked_us": member.revoked_us,
    }
