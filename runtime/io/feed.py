"""Tells gateways what this node's owner may publish: one connection a gateway, each for itself, none of them waited for.

The journal calls when it has grown; a thread reads it; `runtime.feed.session` says what is sent. Whatever a gateway does, it
costs the node one page of the journal, a bounded buffer of telemetry and a line in the log a minute.
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from etp.clock import Now
from etp.codes import Role
from etp.effects import Scalar
from etp.io.clock import system_now
from etp.signed import AnyProfile, Signed
from runtime.backoff import Backoff
from runtime.feed.address import GatewayAddress, parse_gateways
from runtime.feed.publish import Lots
from runtime.feed.session import Ask, Check, FeedError, FeedSession, Speaker, readable
from runtime.feed.telemetry import METRICS_GAP_S, Buffer
from runtime.feed.wire import Item, MarketTime
from runtime.io.journal import Journal, JournalError
from runtime.io.pages import Pages, Place
from runtime.settings import DaySettings, NodeSettings

MOST_FROM_GATEWAY: Final = 16 * 1024
"""Bytes of one message of a gateway: the longest honest one is a Refused of a few sentences."""
MESSAGES_WAITING: Final = 16
OPEN_S: Final = 10.0
PING_S: Final = 20.0
"""A gateway that does not answer a ping for so long is gone, s."""
LAST_WORDS_S: Final = 1.0
"""How long a node that stops goes on telling what its gateways do not have yet, s: what is left, they get at its next start."""
CLOSE_S: Final = 0.25
"""A closing handshake may take so long, s."""
SETTLED_S: Final = 10.0
"""A connection that lasted so long, or stored something, begins the back-off anew, s."""
BACKOFF: Final = Backoff(first_s=0.5)
SURVIVED: Final = (FeedError, WebSocketException, JournalError, OSError, TimeoutError, EOFError)
"""What ends a connection, as is to be expected."""


class Feed:
    """All gateways of one node. Its methods belong to the loop that `run` runs in."""

    def __init__(
        self,
        gateways: Sequence[GatewayAddress],
        speaker: Speaker,
        journal: Journal,
        *,
        lots: Callable[[], Lots],
        hidden: bool,
        rng: random.Random,
        clock: Callable[[], Now] = system_now,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._journal, self._clock = journal, clock
        self._pages = Pages(journal.directory, hidden=hidden)
        self._stopping = asyncio.Event()
        self._links = [
            Link(
                gateway,
                speaker,
                journal=journal,
                pages=self._pages,
                lots=lots,
                rng=rng,
                clock=clock,
                backoff=backoff,
                stopping=self._stopping,
            )
            for gateway in gateways
        ]

    def tell(self, kind: str, body: Mapping[str, Any], now: Now) -> None:
        """Something is true now: for every gateway that can hear it."""
        item = Item(kind, now.wall_us, dict(body))
        for link in self._links:
            link.put(item)

    def tell_metrics(self, body: Mapping[str, Any], now: Now) -> None:
        """How the node keeps its deadlines, and to each gateway how far it is behind."""
        for link in self._links:
            behind = {"feed_unacked": link.unacked, "feed_dropped": link.telemetry.dropped}
            link.put(Item("metrics", now.wall_us, {**body, **behind}))

    def view(self) -> dict[str, dict[str, object]]:
        """For metrics: by gateway, whether it listens, how many rows it does not have yet, what was dropped."""
        return {link.gateway.name: link.view() for link in self._links}

    async def run(self) -> None:
        """Serve until `stop`, and at most `LAST_WORDS_S` longer."""
        self._journal.watch(self._grown)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(link.run()) for link in self._links]
                try:
                    await self._stopping.wait()
                    await asyncio.wait(running, timeout=LAST_WORDS_S)
                finally:
                    self.stop()  # also where we are cancelled: a link whose connection ends just then forgets that it was
                    for task in running:
                        task.cancel()
        finally:
            await self._pages.close()

    def stop(self) -> None:
        """Tell what is left, then end: to be called once the journal has its last row."""
        self._stopping.set()
        for link in self._links:
            link.wake()

    def _grown(self) -> None:
        for link in self._links:
            link.grown()


class Link:
    """One gateway, over and over again."""

    def __init__(
        self,
        gateway: GatewayAddress,
        speaker: Speaker,
        *,
        journal: Journal,
        pages: Pages,
        lots: Callable[[], Lots],
        rng: random.Random,
        clock: Callable[[], Now],
        backoff: Backoff,
        stopping: asyncio.Event,
    ) -> None:
        self.gateway, self.telemetry = gateway, Buffer()
        self._speaker, self._journal, self._pages, self._lots = speaker, journal, pages, lots
        self._rng, self._clock, self._backoff, self._stopping = rng, clock, backoff, stopping
        self._session: FeedSession | None = None
        self._place = Place()
        self._acked_row = 0
        self._due = asyncio.Event()
        self._tls: ssl.SSLContext | None = None
        self._log = structlog.get_logger()

    # -- what the node says

    def put(self, item: Item) -> None:
        """Telemetry."""
        self.telemetry.put(item)
        self._due.set()

    def grown(self) -> None:
        """The journal has more."""
        if self._session is not None:
            self._session.grown(self._journal.last_row)
            self._due.set()

    def wake(self) -> None:
        """Look again whether there is something to do."""
        self._due.set()

    @property
    def unacked(self) -> int:
        """Rows of the journal that this gateway does not have yet."""
        if self._session is not None and self._session.is_open:
            self._acked_row = self._session.acked_row
        return max(0, self._journal.last_row - self._acked_row)

    def view(self) -> dict[str, object]:
        """See `Feed.view`."""
        connected = self._session is not None and self._session.is_open
        return {"connected": connected, "unacked": self.unacked, "dropped": self.telemetry.dropped}

    # -- connections

    async def run(self) -> None:
        """Connect, and again with back-off, until the node stops."""
        attempt = 0
        while not self._stopping.is_set():
            began_s = self._clock().monotonic_s
            try:
                await self._connection()
            except* SURVIVED as group:
                self._lost(_first(group))
            except* Exception as group:  # noqa: BLE001 - a fault of ours in here must not end the trading
                self._log.error("feed_failed", kind=self.gateway.name, exc_info=group)
            worked = self._hung_up()
            lasted = self._clock().monotonic_s - began_s >= SETTLED_S
            attempt = 0 if worked or lasted else attempt + 1
            await self._pause(self._backoff.delay_s(attempt, self._rng))

    def _hung_up(self) -> bool:
        """The connection is over; whether it was of use."""
        session, self._session = self._session, None
        if session is not None and session.is_open:
            self._acked_row = session.acked_row
        return session is not None and session.progressed

    def _lost(self, error: BaseException) -> None:
        # `kind` makes it one line a minute and gateway; an OSError may carry a stranger's words too.
        reason = readable(f"{type(error).__name__}: {error}" if not isinstance(error, FeedError) else str(error))
        self._log.warning("gateway_lost", kind=self.gateway.name, reason=reason)

    async def _pause(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _connection(self) -> None:
        """One connection, from its beginning to its end. Raises what is in SURVIVED, alone or in a group."""
        options: dict[str, Any] = {"ssl": await self._context()} if self.gateway.is_encrypted else {}
        socket: ClientConnection | None = None
        try:
            async with connect(
                self.gateway.url,
                # No compression: it would cost the loop more than all else, and let lengths tell what is inside.
                compression=None,
                proxy=None,
                open_timeout=OPEN_S,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSE_S,
                max_size=MOST_FROM_GATEWAY,
                max_queue=MESSAGES_WAITING,
                **options,
            ) as socket:
                await self._talk(socket)
        finally:
            if socket is not None:
                socket.transport.abort()  # a close that is cancelled while its handshake is waited for leaves it open

    async def _talk(self, socket: ClientConnection) -> None:
        self._place = Place()
        session = self._session = FeedSession(
            self._speaker,
            self.gateway.audience,
            self.telemetry,
            last_row=self._journal.last_row,
            now=self._clock(),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(self._hear(socket, session))
                tasks.create_task(self._speak(socket, session, hearing))
        except asyncio.CancelledError:
            socket.transport.abort()  # or the handshake of the close would be waited for
            raise

    async def _context(self) -> ssl.SSLContext:
        """Reading the certificates of the world's authorities takes 20 ms: once, and not in the loop."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return self._tls

    async def _hear(self, socket: ClientConnection, session: FeedSession) -> None:
        async for message in socket:
            session.receive(message, self._clock())
            self._due.set()
        raise FeedError("the gateway closed the connection")

    async def _speak(self, socket: ClientConnection, session: FeedSession, hearing: "asyncio.Task[None]") -> None:
        while True:
            self._due.clear()
            now = self._clock()
            session.advance(now)
            message = session.next(now)
            if message is not None:
                await socket.send(message, text=True)
            elif (ask := session.asks(now)) is not None:
                await self._answer(session, ask)
            elif self._stopping.is_set() and session.drained:
                hearing.cancel()
                return
            else:
                await self._wait(session, now)

    async def _answer(self, session: FeedSession, ask: Ask) -> None:
        if isinstance(ask, Check):
            session.checked(known=await self._pages.known(ask), now=self._clock())
            if session.is_open:
                self._log.info("gateway_connected", kind=self.gateway.name, resumed_after_row=ask.row)
        else:
            page = await self._pages.read(ask, self._place, self._lots())
            session.read(page, self._clock())

    async def _wait(self, session: FeedSession, now: Now) -> None:
        deadline_s = session.next_deadline()
        delay_s = None if deadline_s is None else max(0.0, deadline_s - now.monotonic_s)
        try:
            async with asyncio.timeout(delay_s):
                await self._due.wait()
        except TimeoutError:
            return


async def report(
    feed: Feed,
    ended: asyncio.Event,
    *,
    period_s: float,
    status: Callable[[Now], dict[str, Any]],
    metrics: Callable[[], dict[str, Any]],
) -> None:
    """Tell status each period and metrics each `METRICS_GAP_S` at most, until `ended`; what says nothing new is not sent."""
    metrics_at_s = float("-inf")
    while not ended.is_set():
        now = system_now()
        feed.tell("status", status(now), now)
        if now.monotonic_s >= metrics_at_s:
            metrics_at_s = now.monotonic_s + METRICS_GAP_S
            feed.tell_metrics(metrics(), now)
        try:
            async with asyncio.timeout(period_s):
                await ended.wait()
        except TimeoutError:
            continue


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


# -- what a daemon needs


def open_feed(
    settings: NodeSettings,
    role: Role,
    profile: AnyProfile,
    journal: Journal,
    *,
    about: Mapping[str, Scalar | float],
    lots: Callable[[], Lots],
    hidden: bool,
    rng: random.Random,
) -> Feed | None:
    """The feed of a node, to be run; None without a --gateway. Raises SettingsError."""
    gateways = parse_gateways(settings.gateway)
    if not gateways:
        return None
    proof: dict[str, Any] = {}
    if isinstance(profile, Signed):
        key = profile.identity.key
        proof = {"network_id": profile.network_id, "public": key.public, "sign": key.sign}
    speaker = Speaker(
        "bess" if role is Role.BESS else "aggregator",
        settings.device_id,
        journal.identity,
        market_time(settings, system_now()),
        about,
        **proof,
    )
    return Feed(gateways, speaker, journal, lots=lots, hidden=hidden, rng=rng)


def market_time(settings: DaySettings, now: Now) -> MarketTime:
    """How wall time becomes market time; they are the same where no day is replayed."""
    if settings.day_start is None and settings.day_origin is None and settings.day_speed == 1.0:
        return MarketTime(0, 0, 1.0)
    origin_us = now.wall_us if settings.day_origin is None else round(settings.day_origin * 1e6)
    start_us = now.wall_us if settings.day_start is None else round(settings.day_start * 1e6)
    return MarketTime(origin_us, start_us, settings.day_speed)
