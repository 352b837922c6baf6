"""What a running gateway consists of: every route finds its things here."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from etp.io.clock import system_now
from etp.registry import Registry
from gateway.hub import said
from gateway.io.access import Access
from gateway.io.ingest import Ingest
from gateway.io.static import Static
from gateway.io.store import Store
from gateway.io.stream import Stream
from gateway.limits import Limits, Timing
from gateway.settings import GatewaySettings
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

    async def count_again(self, stopping: asyncio.Event) -> None:
        """Read the sums anew now and then: of another gateway's trades those about the start may be in them twice."""
        while not stopping.is_set():
            try:
                await asyncio.wait_for(stopping.wait(), COUNT_S)
            except TimeoutError:
                with contextlib.suppress(SQLAlchemyError):  # the store says so itself
                    self.world.totals = (await self.store.world(0)).totals


def parts(connection: HTTPConnection) -> Parts:
    """The gateway that serves this request."""
    found: Parts = connection.app.state.parts
    return found
