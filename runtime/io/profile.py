"""The profile that a node's settings ask for: its key, its registry, its boot. One place for both daemons."""

import asyncio
from collections.abc import Callable
from typing import Final

from etp.clock import Now
from etp.codes import Role
from etp.keys import KeyPair
from etp.registry import Registry
from etp.signed import AnyProfile, Identity
from etp.units import DeviceId
from runtime.io.journal import Journal
from runtime.io.key_file import load_key
from runtime.io.registry_file import load_registry
from runtime.registry import base58
from runtime.revival import ahead_us, profile_of
from runtime.settings import NodeSettings, SettingsError

KEY_FILE: Final = "key.json"
"""In the state directory, where no other one is named."""


def open_profile(settings: NodeSettings, role: Role, journal: Journal, now: Now) -> AnyProfile:
    """The node's profile, with ids above all that its journal knows.

    Raises SettingsError, KeyFileError, RegistryFileError: what is missing or does not fit, and what to do.
    """
    ahead_us(journal.mark, now)
    registry = load_registry(settings.registry) if settings.registry is not None else None
    if settings.profile == "plain":
        _check_may_speak(settings, registry)
        return profile_of(settings, mark=journal.mark, registry=registry, identity=None, now=now)
    if registry is None:
        right = "the signed profile needs --registry FILE (see `etp registry`); or --profile plain on loopback"
        raise SettingsError("registry", None, right)
    key = load_key(settings.key or journal.directory / KEY_FILE)
    _check_member(settings, role, key, registry)
    identity = Identity(DeviceId(settings.device_id), role, key, journal.begin_boot(now.wall_us // 1_000_000))
    return profile_of(settings, mark=journal.mark, registry=registry, identity=identity, now=now)


async def after_last_life(journal: Journal, clock: Callable[[], Now]) -> Now:
    """An instant after everything that this node can have signed: a node that was killed waits up to a second for it.

    Raises SettingsError where the clock is further behind: it went back.
    """
    now = clock()
    while (left_us := ahead_us(journal.mark, now)) > 0:
        await asyncio.sleep(left_us / 1e6)
        now = clock()
    return now


def _check_may_speak(settings: NodeSettings, registry: Registry | None) -> None:
    """The profile that a device must speak is a fact of the registry, for the device itself as well."""
    member = registry.get(settings.device_id) if registry is not None else None
    if member is not None and member.profile != settings.profile:
        raise SettingsError(
            "profile", settings.profile, f"device {settings.device_id} is registered for {member.profile}"
        )


def _check_member(settings: NodeSettings, role: Role, key: KeyPair, registry: Registry) -> None:
    member, ours = registry.get(settings.device_id), base58(key.public)
    add = f"`etp registry add --device-id {settings.device_id} --role {role.value} --key {ours}`"
    if member is None:
        raise SettingsError("device_id", settings.device_id, f"is not in the registry; {add}")
    if member.key != key.public:
        right = f"the registry has key {base58(member.key)} for device {settings.device_id}; a new key needs a new device_id"
        raise SettingsError("key", ours, right)
    if member.role is not role:
        raise SettingsError("device_id", settings.device_id, f"is registered as {member.role.value}, not {role.value}")
    _check_may_speak(settings, registry)
    if member.revoked_us is not None:
        raise SettingsError("device_id", settings.device_id, "is revoked; make a new key and register a new device_id")
