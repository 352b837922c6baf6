"""The registry's file: read, written as a whole, and looked at again while a daemon runs."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from etp.registry import Registry, RegistryError
from runtime.registry import dump_registry, parse_registry

LOOK_S: Final = 2.0
"""How often a daemon looks whether its registry changed, s: a revocation counts long before a minute is over."""
LARGEST: Final = 64 * 1024 * 1024
"""A registry is not larger, bytes (10,000 devices take 2 MB)."""


class RegistryFileError(Exception):
    """A registry file that cannot be used: which, and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"registry {path}: {reason}")


def load_registry(path: Path) -> Registry:
    """The registry in a file. Raises RegistryFileError."""
    try:
        if path.stat().st_size > LARGEST:
            raise RegistryFileError(path, f"is larger than {LARGEST} bytes")
        return parse_registry(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RegistryFileError(path, "is not there; make one with `etp registry init`") from None
    except OSError as error:
        raise RegistryFileError(path, f"cannot be read: {error.strerror}") from None
    except (RegistryError, UnicodeDecodeError) as error:
        raise RegistryFileError(path, str(error)) from None


def save_registry(path: Path, registry: Registry) -> None:
    """Replace a registry's file in one step, durably: a reader sees the old one or the new one. Raises RegistryFileError."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(dump_registry(registry))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise RegistryFileError(path, f"cannot be written: {error.strerror}") from None


def change_registry(path: Path, change: Callable[[Registry], Registry]) -> None:
    """Load, change, save, while no other process does: none loses what another changed. Raises RegistryFileError, RegistryError."""
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise RegistryFileError(path, f"cannot be changed: {error.strerror}") from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # of the directory, which a save does not replace
        save_registry(path, change(load_registry(path)))
    finally:
        os.close(directory)


async def watch_registry(
    path: Path, current: Registry, changed: Callable[[Registry], None], stopping: asyncio.Event
) -> None:
    """Tell of each new content, and every `LOOK_S` of the one in force, since revocations may be dated ahead.

    A broken file, or one of another market, is said once and changes nothing.
    """
    log = structlog.get_logger()
    seen: tuple[int, int, int] | None = None  # so that what changed since `current` was read is seen at the first look
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), LOOK_S)
        except TimeoutError:
            version = _version(path)
            if version != seen:
                seen = version
                current = _reloaded(path, current, log)
            changed(current)


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _reloaded(path: Path, current: Registry, log: structlog.stdlib.BoundLogger) -> Registry:
    try:
        fresh = load_registry(path)
    except RegistryFileError as error:
        log.error("registry_kept_as_it_was", error=str(error))
        return current
    if fresh.network != current.network:
        log.error("registry_kept_as_it_was", error=f"registry {path}: its [market] is another one; restart for that")
        return current
    log.info("registry_loaded", devices=len(fresh))
    return fresh
