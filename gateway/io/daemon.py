"""The gateway's daemon: store, stream, access and the server around them, from the settings to an orderly end."""

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from etp.errors import EtpError
from etp.io.clock import system_now
from gateway.access import check_accounts, check_listen, is_exposed
from gateway.events import Event
from gateway.io.access import Access
from gateway.io.app import build
from gateway.io.database import StoreError, StoreUnavailableError, parse_url, shown
from gateway.io.ingest import Ingest
from gateway.io.parts import Parts
from gateway.io.server import Server, listener
from gateway.io.static import DIRECTORY, Static, read
from gateway.io.store import Retention, Store
from gateway.io.stream import Stream
from gateway.limits import Limits, Timing
from gateway.settings import GatewaySettings
from runtime.io.lifecycle import Lifecycle, announce, raise_open_file_limit
from runtime.io.registry_file import load_registry, watch_registry
from runtime.settings import SettingsError

if TYPE_CHECKING:
    from gateway.io.bus import Bus

OTHER_FILES: Final = 128


class GatewayError(EtpError):
    """The gateway cannot begin now, though nothing is wrong with its settings."""


async def run(settings: GatewaySettings, lifecycle: Lifecycle) -> int:
    """Serve until told to stop; 0 after an orderly end."""
    address = check_listen(settings)
    limits, timing = Limits(), Timing()
    registry = load_registry(settings.registry) if settings.registry else None
    raise_open_file_limit(limits.connections + OTHER_FILES)
    _make_place(settings.state_dir)
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listener(settings, address))
        store = await _opened(settings)
        bus = await _joined(settings, store, stack)
        stack.push_async_callback(store.close)  # before the bus leaves: its last events go there
        access = Access(store.engine, limits, timing, clock=system_now, is_open=settings.open, origins=settings.origins)
        await access.passwords.prepare()
        accounts = await access.accounts.count_with_password()
        check_accounts(settings, accounts)
        parts = Parts(
            settings=settings,
            limits=limits,
            timing=timing,
            store=store,
            world=await store.world(limits.snapshot_trades),
            stream=Stream(access, limits, timing, clock=system_now),
            access=access,
            ingest=Ingest(store, registry=registry, clock=system_now),
            static=Static(await asyncio.to_thread(read, DIRECTORY)),
            registry=registry,
            started_us=system_now().wall_us,
            bus=bus,
        )
        await _publish(parts)
        if bus is not None:
            lifecycle.tasks.create_task(bus.run())
        link = await access.first_link() if accounts == 0 and not is_exposed(settings) else None
        await _serve(parts, lifecycle, listening, link)
    return 0


async def _opened(settings: GatewaySettings) -> Store:
    retention = Retention(samples_days=settings.keep_days or None, events_days=settings.keep_events_days or None)
    try:
        return await Store.open(settings.database_url, retention=retention, shared=settings.redis is not None)
    except StoreUnavailableError as error:
        raise GatewayError(str(error)) from error
    except StoreError as error:
        raise SettingsError("database", shown(parse_url(settings.database_url)), str(error)) from error


async def _joined(settings: GatewaySettings, store: Store, stack: AsyncExitStack) -> "Bus | None":
    if settings.redis is None:
        return None
    from gateway.io.bus import Bus  # noqa: PLC0415 - Redis' client takes a while to import

    bus = store.bus = await Bus.open(settings.redis, store)
    stack.push_async_callback(bus.close)
    return bus


async def _publish(parts: Parts) -> None:
    """From now on the store's events reach the stream, those of before too, as far as the ring goes."""
    store, stream, bus, most = parts.store, parts.stream, parts.bus, parts.limits.ring
    newest = await bus.newest(most) if bus is not None else []
    if bus is not None and newest:
        stream.hub.begin(store.epoch, bus.seq)
        stream.hub.fill(newest, whole=False, telemetry=True)
    else:
        newest = await store.newest(most)
        forgotten = await store.forgotten()  # after the events: what is swept between the two counts as missing
        stream.hub.begin(store.epoch, bus.seq if bus is not None else store.seq)
        stream.hub.fill(newest, whole=len(newest) < most, forgotten=forgotten)
    stream.snapshot = parts.snapshot

    def told(events: Sequence[Event]) -> None:
        parts.world.apply(events)
        stream.publish(events)

    def told_by_bus(events: Sequence[Event]) -> None:
        told(events)
        parts.contradict(events)

    store.on_events = told
    if bus is not None:
        store.on_events = told_by_bus
        bus.on_skipped, bus.on_orphans, bus.devices = stream.skipped, parts.orphaned, parts.ingest.devices_here
        parts.ingest.on_proved = bus.hurry


async def _serve(parts: Parts, lifecycle: Lifecycle, listening: socket.socket, link: str | None) -> None:
    settings = parts.settings
    server = Server(build(parts), settings, parts.limits, parts.timing)
    lifecycle.tasks.create_task(parts.stream.recheck(lifecycle.stopping))
    if parts.bus is not None:
        lifecycle.tasks.create_task(parts.count_again(lifecycle.stopping))
    if parts.registry is not None and settings.registry is not None:
        watching = watch_registry(settings.registry, parts.registry, parts.registered, lifecycle.stopping)
        lifecycle.tasks.create_task(watching)
    await server.start(listening)
    _tell(settings, listening, link)
    await lifecycle.stopping.wait()
    await server.stop(listening)


def _tell(settings: GatewaySettings, listening: socket.socket, token: str | None) -> None:
    """The ready line, and for people the link."""
    host, port = listening.getsockname()
    url = f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"
    login = f"{url}/login?token={token}" if token else None
    structlog.get_logger().info("serving", http=url, registry=str(settings.registry) if settings.registry else None)
    if login is not None:
        sys.stderr.write(f"\n    Open this once, within an hour, to log in:\n\n    {login}\n\n")
        sys.stderr.flush()
    announce({"ready": True, "role": "gateway", "http": url, "login": login})


def _make_place(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError("state_dir", str(directory), f"cannot be made: {error.strerror}") from error
