"""A market's registry as TOML: a [market] table and one [[device]] each, keys and hashes in base58 (docs/security.md)."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import tomlkit
from solders.pubkey import Pubkey

from etp.codes import Role
from etp.registry import Member, Network, Registry, RegistryError
from etp.units import DeviceId, WallUs

_MARKET: Final = {"name": str, "genesis_hash": str, "program_id": str, "admin": str}
_DEVICE: Final = {"device_id": int, "role": str, "key": str, "profile": str, "revoked_at": datetime}
_OPTIONAL: Final = frozenset({"genesis_hash", "program_id", "admin", "profile", "revoked_at"})
_PROFILES: Final = ("signed", "plain")
_LAST_ID: Final = 2**64 - 1


def base58(raw: bytes) -> str:
    """32 bytes as Solana writes keys and hashes."""
    return str(Pubkey(raw))


def from_base58(text: str, what: str) -> bytes:
    """The 32 bytes of a key or hash. Raises RegistryError, naming `what`."""
    try:
        return bytes(Pubkey.from_string(text))
    except ValueError:
        # Its text is not said again: it may be a secret, given by mistake.
        right = "expected 32 bytes in base58, as `etp keygen` prints them"
        raise RegistryError(f"{what} is a text of {len(text)} characters; {right}") from None


def parse_registry(text: str) -> Registry:
    """The registry in a TOML text. Raises RegistryError: which entry is wrong, and what would be right."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RegistryError(f"is not TOML: {error}") from None
    unknown = set(document) - {"market", "device"}
    if unknown:
        raise RegistryError(f"has an unknown table {sorted(unknown)[0]!r}; expected [market] and [[device]]")
    if not isinstance(document.get("market"), dict):
        raise RegistryError("has no [market] table; `etp registry init` makes one")
    devices = document.get("device", [])
    if not isinstance(devices, list):
        raise RegistryError("has a [device] table; expected [[device]], one for each")
    network = _network(_checked(document["market"], _MARKET, "[market]"))
    return Registry(network, [_member(device, index) for index, device in enumerate(devices, 1)])


def _checked(table: Any, fields: Mapping[str, type], where: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise RegistryError(f"{where} is no table")
    for name, value in table.items():
        if name not in fields:
            raise RegistryError(f"{where} has an unknown key {name!r}; expected {', '.join(fields)}")
        if type(value) is not fields[name]:
            # A key's value is not said again: it may be a secret, given by mistake.
            found = f"a {type(value).__name__}" if name == "key" else repr(value)
            raise RegistryError(f"{where}: {name} is {found}; expected a {fields[name].__name__}")
    missing = [name for name in fields if name not in table and name not in _OPTIONAL]
    if missing:
        raise RegistryError(f"{where} has no {missing[0]}")
    return table


def _network(table: dict[str, Any]) -> Network:
    hashes = {
        name: from_base58(table[name], f"[market] {name}") for name in _MARKET if name != "name" and name in table
    }
    return Network(name=table["name"], **hashes)


def _member(device: Any, index: int) -> Member:
    where = f"[[device]] no. {index}"
    table = _checked(device, _DEVICE, where)
    if not 0 <= table["device_id"] <= _LAST_ID:
        raise RegistryError(f"{where}: device_id is {table['device_id']}; expected 0 to 2^64 - 1")
    if table["role"] not in [role.value for role in Role]:
        raise RegistryError(f"{where}: role is {table['role']!r}; expected bess or aggregator")
    profile = table.get("profile", "signed")
    if profile not in _PROFILES:
        raise RegistryError(f"{where}: profile is {profile!r}; expected signed or plain")
    at = table.get("revoked_at")
    if at is not None and at.tzinfo is None:
        raise RegistryError(f"{where}: revoked_at is {at}; expected a time with its offset, such as {at}Z")
    revoked_us = None if at is None else WallUs(round(at.timestamp() * 1_000_000))
    key = from_base58(table["key"], f"{where}: key")
    return Member(DeviceId(table["device_id"]), Role(table["role"]), key, profile, revoked_us)


def dump_registry(registry: Registry) -> str:
    """The TOML text of a registry: `parse_registry` gives the same one back."""
    network = registry.network
    market = tomlkit.table()
    market["name"] = network.name
    for name in ("genesis_hash", "program_id", "admin"):
        market[name] = base58(getattr(network, name))
    document = tomlkit.document()
    document["market"] = market
    devices = tomlkit.aot()
    for member in registry:
        devices.append(_device(member))
    if len(registry):
        document["device"] = devices
    return tomlkit.dumps(document)


def _device(member: Member) -> tomlkit.items.Table:
    device = tomlkit.table()
    device["device_id"] = member.device_id
    device["role"] = member.role.value
    device["key"] = base58(member.key)
    device["profile"] = member.profile
    if member.revoked_us is not None:
        seconds, micros = divmod(member.revoked_us, 1_000_000)
        device["revoked_at"] = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return device
