"""What a running gateway consists of: every route finds its things here."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from etp.io.clock import system_now
from etp.registry import Registry
from gateway.events import AggregatorStatus, BESSNodeStatus, Event
from gateway.hub import said
from gateway.io.access import Access
from gateway.io.ingest import Ingest
from gateway.io.static import Static
from gateway.io.store import Store
from gateway.io.stream import Stream
from gateway.limits import Limits, Timing
from gateway.settings import GatewaySettings
from gateway.transaction import Observation
from gateway.world import World

if TYPE_CHECKING:  # Redis' client is imported where it is used: the rest need not wait for it
    from gateway.io.bus import Bus

COUNT_S: Final = 10.0
"""How often gateways that share a database read its sums, s."""


@dataclass(slots=True)
class Parts:
    """One gateway."""

    settings: GatewaySettings
    limits: Limits
    timing: Timing
    store: Store
    world: World
    stream: Stream
    access: Access
    ingest: Ingest
    static: Static
    registry: Registry | None
    """The market's members; None: nodes in `plain` are taken, from loopback."""
    started_us: int
    bus: "Bus | None" = None
    """Joins several gateways; None: this one is alone."""

    def snapshot(self, gap: bool) -> bytes:
        """A message with what is true now."""
        hub = self.stream.hub
        return said(self.world.snapshot(epoch=hub.epoch, seq=hub.seq, now_us=system_now().wall_us, gap=gap))

    def registered(self, registry: Registry) -> None:
        """The registry of now."""
        self.registry = registry
        self.ingest.registered(registry)

    def orphaned(self, devices: Iterable[int]) -> None:
        """Nodes of a gateway that is silent: those that were online there and are not here are offline, for everybody."""
        told: list[Event] = []
        for device_id in devices:
            status = self.world.status(device_id)
            if status is not None and status.online and not self.ingest.is_here(device_id):
                told.append(replace(status, online=False, time_us=system_now().wall_us, epoch="", seq=0))
        if told:
            self.store.observe(Observation(told))

    def contradict(self, events: Iterable[Event]) -> None:
        """Another gateway took nodes to be gone that are here: say again what they showed."""
        for event in events:
            if isinstance(event, BESSNodeStatus | AggregatorStatus) and not event.online:
                self.ingest.tell_again(int(event.node))

    async def count_again(self, stopping: asyncio.Event) -> None:
        """Read the sums anew now and then: of another gateway's trades those about the start may be in them twice."""
        while not stopping.is_set():
            try:
                await asyncio.wait_for(stopping.wait(), COUNT_S)
            except TimeoutError:
                with contextlib.suppress(SQLAlchemyError, OSError):  # the store says so itself
                    self.world.totals = (await self.store.world(0)).totals


def parts(connection: HTTPConnection) -> Parts:
    """The gateway that serves this request."""
    found: Parts = connection.app.state.parts
    return found
