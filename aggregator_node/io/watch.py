"""The feed of a buyer's daemon: what its gateways are told, and when."""

import asyncio
import random
from contextlib import suppress
from typing import Any

from aggregator_node.buyer import Buyer
from aggregator_node.settings import AggregatorSettings
from aggregator_node.watch import response, status
from etp.codes import MessageType, Role
from etp.effects import Scalar, Send
from etp.frame import Frame
from etp.io.clock import system_now
from etp.signed import AnyProfile
from etp.units import WH_PER_KWH, DeviceId
from runtime.feed.publish import NO_AUCTIONS
from runtime.feed.telemetry import metrics_body
from runtime.io.feed import Feed, open_feed, report
from runtime.io.journal import JournalError
from runtime.io.lifecycle import Lifecycle
from runtime.io.shell import Shell


class AggregatorFeed:
    """Of one daemon, from its start to its end."""

    def __init__(self, feed: Feed, buyer: Buyer, shell: Shell, *, period_s: float) -> None:
        self._feed, self._buyer, self._shell, self._period_s = feed, buyer, shell, period_s
        self._ended = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        shell.overhear(self._sent)

    def start(self, lifecycle: Lifecycle) -> None:
        """Connect, and look on."""
        self._running = lifecycle.tasks.create_task(self._feed.run())
        lifecycle.tasks.create_task(
            report(
                self._feed,
                self._ended,
                period_s=self._period_s,
                status=lambda _: status(self._buyer),
                metrics=self._metrics,
            )
        )

    async def finish(self) -> None:
        """Tell what is left, for a second at most; to be called once the journal has its last row."""
        self._feed.tell("status", status(self._buyer), system_now())
        with suppress(JournalError):  # said where it was asked for; what is not on the disk is not told
            await self._shell.journal.commit(())
        self._ended.set()
        self._feed.stop()
        if self._running is not None:
            await self._running

    def view(self) -> dict[str, dict[str, object]]:
        """The gateways, for metrics."""
        return self._feed.view()

    def queried(self, battery: DeviceId | None) -> None:
        """A Query left; None: to everybody, or to whoever is at an address."""
        self._feed.tell("query", {"battery": battery}, system_now())

    def answered(self, frame: Frame, raw: bytes) -> None:
        """A Response came."""
        told = response(frame, raw) if frame.message_type == MessageType.RESPONSE else None
        if told is not None:
            self._feed.tell("response", told, system_now())

    def _sent(self, send: Send) -> None:
        if send.envelope.frame.message_type == MessageType.QUERY:
            self.queried(send.device_id)

    def _metrics(self) -> dict[str, Any]:
        return metrics_body(self._shell.metrics, journal_waiting=self._shell.journal.waiting_rows)


def aggregator_feed(
    settings: AggregatorSettings, profile: AnyProfile, buyer: Buyer, shell: Shell, *, rng: random.Random
) -> AggregatorFeed | None:
    """The feed that the settings ask for; None without a --gateway. Raises SettingsError."""
    about: dict[str, Scalar | float] = {
        "strategy": settings.strategy,
        "demand_wh": round(settings.demand_kwh * WH_PER_KWH),
    }
    feed = open_feed(
        settings,
        Role.AGGREGATOR,
        profile,
        shell.journal,
        about=about,
        lots=lambda: NO_AUCTIONS,
        hidden=False,
        rng=rng,
    )
    return None if feed is None else AggregatorFeed(feed, buyer, shell, period_s=settings.metrics_ms / 1000)
