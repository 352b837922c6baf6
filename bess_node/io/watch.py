"""The feed of a battery's daemon: what its gateways are told, and when."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from bess_node.build import rules_of
from bess_node.desk import Desk
from bess_node.settings import BessSettings
from bess_node.watch import Watch
from etp.clock import Now
from etp.codes import Role
from etp.effects import Scalar
from etp.io.clock import system_now
from etp.signed import AnyProfile
from etp.units import MICRO_PER_CENT
from runtime.feed.publish import Lots
from runtime.feed.telemetry import LOT_GAP_S
from runtime.io.feed import Feed, open_feed, report
from runtime.io.lifecycle import Lifecycle
from runtime.io.shell import Shell


class BessFeed:
    """Of one daemon, from its start to its end."""

    def __init__(
        self,
        feed: Feed,
        watch: Watch,
        shell: Shell,
        *,
        period_s: float,
        sessions: Callable[[], int],
        unsettled: Callable[[], tuple[int, int | None] | None],
    ) -> None:
        self._feed, self._watch, self._shell, self._period_s = feed, watch, shell, period_s
        self._sessions, self._unsettled = sessions, unsettled
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = 0.0
        self._ended = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self, lifecycle: Lifecycle) -> None:
        """Connect, and look on."""
        self._look()
        self._shell.after_round = self._glance
        self._running = lifecycle.tasks.create_task(self._feed.run())
        lifecycle.tasks.create_task(
            report(self._feed, self._ended, period_s=self._period_s, status=self._status, metrics=self._metrics)
        )

    async def finish(self) -> None:
        """Tell what is left, for a second at most; to be called once the journal has its last row."""
        self._shell.after_round = None
        self._look()
        self._ended.set()
        self._feed.stop()
        if self._running is not None:
            await self._running

    def view(self) -> dict[str, dict[str, object]]:
        """The gateways, for metrics."""
        return self._feed.view()

    def _glance(self) -> None:
        if self._timer is None and self._watch.glance():
            self._timer = self._loop.call_at(max(self._look_at, self._loop.time()), self._look)

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._look_at = None, self._loop.time() + LOT_GAP_S
        now = system_now()
        for kind, body in self._watch.look(now):
            self._feed.tell(kind, body, now)

    def _status(self, _: Now) -> dict[str, Any]:
        self._look()
        return self._watch.status(sessions=self._sessions(), unsettled=self._unsettled())

    def _metrics(self) -> dict[str, Any]:
        # Rows alone: how many bids wait for the disk would tell of a sealed lot that there are some.
        return self._watch.metrics(self._shell.journal.waiting_rows)


def bess_feed(
    settings: BessSettings,
    profile: AnyProfile,
    desk: Desk,
    shell: Shell,
    *,
    rng: random.Random,
    sessions: Callable[[], int],
    unsettled: Callable[[], tuple[int, int | None] | None],
) -> BessFeed | None:
    """The feed that the settings ask for; None without a --gateway. Raises SettingsError."""
    about: dict[str, Scalar | float] = {
        "mechanism": settings.mechanism,
        "capacity_wh": desk.store.battery.spec.capacity_wh,
        "feed_in_micro_per_kwh": None if settings.feed_in is None else round(settings.feed_in * MICRO_PER_CENT),
        "for_sale_percent": settings.for_sale,
        "hide_reserve": settings.hide_reserve,
    }
    feed = open_feed(
        settings,
        Role.BESS,
        profile,
        shell.journal,
        about=about,
        lots=lambda: Lots.at(closed_below=desk.closed_below, wall_us=system_now().wall_us),
        hidden=settings.hide_reserve,
        rng=rng,
    )
    if feed is None:
        return None
    watch = Watch(desk, shell.metrics, rules=rules_of(settings), thermometer=settings.temperature_file is not None)
    return BessFeed(feed, watch, shell, period_s=settings.metrics_ms / 1000, sessions=sessions, unsettled=unsettled)
