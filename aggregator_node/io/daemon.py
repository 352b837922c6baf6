"""The aggregator daemon: discovery, sessions to many batteries, and the journal around one buyer."""

import asyncio
import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from aggregator_node.build import revived
from aggregator_node.buyer import Buyer
from aggregator_node.dialling import DIAL_TIMEOUT_S, MOST, Dials
from aggregator_node.io.watch import AggregatorFeed, aggregator_feed
from aggregator_node.settings import AggregatorSettings
from etp import hub
from etp.clock import Now
from etp.codes import MessageType, Role, TerminateCode
from etp.discovery import Event as PeerEvent
from etp.discovery import PeerFound, PeerMoved, ResponseSeen
from etp.discovery_limits import DiscoveryLimits
from etp.io.clock import system_now
from etp.io.multicast import MulticastShell, open_multicast
from etp.io.tcp import Connection, dial
from etp.limits import Limits
from etp.peers import AggregatorDiscovery
from etp.profile import Received
from etp.registry import Network, Registry
from etp.roster import Roster
from etp.session import Event, Session, Violation
from etp.signed import AnyProfile
from etp.timing import REPLY_BUDGET_MS, Timing
from etp.units import DeviceId
from runtime.histogram import Metrics
from runtime.io.day_origin import told_origin
from runtime.io.days import load_day
from runtime.io.exporter import Exporter, open_exporter
from runtime.io.journal import Journal
from runtime.io.lifecycle import Lifecycle, announce, raise_open_file_limit
from runtime.io.metrics_file import keep_metrics
from runtime.io.profile import after_last_life, open_profile
from runtime.io.registry_file import watch_registry
from runtime.io.shell import Shell
from runtime.settings import SettingsError, parse_address

if TYPE_CHECKING:
    from aggregator_node.io.escrow import EscrowWatch
    from contracts.exposure import Exposure


Address = tuple[str, int]


class Links:
    """Connections to batteries: one dialler per address, sessions bound to the device that answers."""

    def __init__(
        self,
        device_id: DeviceId,
        shell: Shell,
        buyer: Buyer,
        *,
        profile: AnyProfile,
        metrics: Metrics,
        rng: random.Random,
    ) -> None:
        self.filled = asyncio.Event()
        self.events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        """Found batteries, to be dialled; bounded by discovery's own peer table."""
        self.discovery: AggregatorDiscovery | None = None
        self.feed: AggregatorFeed | None = None
        self._device_id, self._shell, self._buyer = device_id, shell, buyer
        self._profile, self._metrics = profile, metrics
        self._limits = Limits()
        self._ended: dict[Connection, asyncio.Event] = {}
        self._dials = Dials(rng)

    # -- the session's owner

    def connected(self, connection: Connection, now: Now) -> Session | None:
        """A new session; a Query makes the battery speak, and binds it."""
        session = Session(
            Role.AGGREGATOR, self._device_id, self._profile, self._limits, now, expected=connection.expected
        )
        self._ended[connection] = asyncio.Event()
        return session

    def happened(self, connection: Connection, event: Event, now: Now) -> None:
        """Carry out what an event asks of the buyer."""
        if isinstance(event, Received):
            self._metrics.received(event.frame.message_type, event.frame.message_id, now)
            if self.feed is not None:
                self.feed.answered(event.frame, event.raw)
        elif isinstance(event, Violation):
            self._shell.blame(connection, event)
        opens = partial(self._buyer.session_opened, address=connection.remote)
        self._shell.apply(hub.happened(self._buyer, self._shell.roster, opens, connection, event, now), now)
        self._measure()

    def _measure(self) -> None:
        while self._buyer.reply_times:
            kind, reply_ms = self._buyer.reply_times.popleft()
            self._metrics.observe("reply_ms", kind, reply_ms, REPLY_BUDGET_MS)

    def turned(self) -> None:
        """Keep the shell's timer right, and see whether the demand is held."""
        self._shell.turned()
        if self._buyer.portfolio.filled and not self._buyer.open_promises:
            self.filled.set()

    def disconnected(self, connection: Connection, now: Now) -> None:
        """The connection is gone; its dialler goes on."""
        peer = connection.session.peer_id if connection.session else None
        self._shell.apply(hub.lost(self._buyer, self._shell.roster, connection, peer, now) or (), now)
        self._ended.pop(connection).set()

    # -- dialling

    def heard(self, event: PeerEvent) -> None:
        """What discovery says: batteries to dial, and what was said in another's name."""
        if isinstance(event, Violation):
            now = system_now()
            self._shell.apply(hub.heard(self._buyer, event, now), now)
            return
        if isinstance(event, ResponseSeen) and self.feed is not None:
            self.feed.answered(event.frame, b"")
        self.events.put_nowait(event)

    def found(self, event: PeerEvent, tasks: asyncio.TaskGroup) -> None:
        """A battery was found, or moved: dial it."""
        if isinstance(event, PeerFound | PeerMoved):
            self.reach((event.host, event.port), tasks, device_id=event.device_id)

    def reach(
        self, address: Address, tasks: asyncio.TaskGroup, *, device_id: DeviceId | None = None, forever: bool = False
    ) -> None:
        """Keep a connection to an address, where none is kept yet; `forever`: it was configured, not found."""
        if self._dials.reach(address, forever=forever):
            tasks.create_task(self._keep(address, device_id))

    async def _keep(self, address: Address, device_id: DeviceId | None) -> None:
        """Dial again and again, as long as `Dials` says."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                connection = await dial(*address, self, system_now, timeout_s=DIAL_TIMEOUT_S, expected=device_id)
            except (OSError, TimeoutError):
                self._metrics.count("dials_failed")
            else:
                ended = self._ended.get(connection)
                self._greet(connection, device_id)
                if ended is not None:
                    await ended.wait()
            wait_s = self._dials.ended(address, lasted_s=loop.time() - began_s)
            if wait_s is None:
                break
            await asyncio.sleep(wait_s)
        if self.discovery is not None and device_id is not None:
            self.discovery.forget(device_id)

    def _greet(self, connection: Connection, device_id: DeviceId | None) -> None:
        now = system_now()
        connection.send(self._buyer.hello(now, device_id), now)
        self._metrics.sent(MessageType.QUERY)
        if self.feed is not None:
            self.feed.queried(device_id)

    @property
    def stopping(self) -> bool:
        """Whether no more bids are made."""
        return self._buyer.stopping

    def registered(self, registry: Registry) -> None:
        """The registry of now: a battery that is not in it any more, or revoked, is left."""
        self._profile.registry = registry
        self._shell.dismiss_revoked(list(self._ended), registry)

    def view(self) -> dict[str, object]:
        """What `metrics.json` shows of this buyer."""
        portfolio = self._buyer.portfolio
        shown: dict[str, object] = {"feeds": self.feed.view()} if self.feed else {}
        return shown | {
            "bought_wh": portfolio.bought,
            "paid_micro": portfolio.paid,
            "exposed_wh": portfolio.exposed_wh,
            "promises_open": self._buyer.open_promises,
            "sessions": len(self._ended),
            "queues": self._shell.queues(),
            "batteries": self._buyer.directory.entries(system_now()),
        }

    def goodbye(self) -> None:
        """Tell every battery that we stop."""
        now = system_now()
        for connection in list(self._ended):
            self._shell.dismiss(connection, TerminateCode.SHUTTING_DOWN, "shutting down", now)


async def run(settings: AggregatorSettings, lifecycle: Lifecycle) -> int:
    """Trade until told to stop, or until the demand is held; 0 after an orderly end."""
    raise_open_file_limit(MOST + 64)
    state_dir = settings.state_dir or Path(f"etp-aggregator-{settings.device_id}")
    journal = Journal.open(state_dir, role="aggregator", device_id=settings.device_id)
    try:
        return await _trade(settings, lifecycle, journal, state_dir)
    finally:
        journal.close()


async def _trade(settings: AggregatorSettings, lifecycle: Lifecycle, journal: Journal, state_dir: Path) -> int:
    profile = open_profile(settings, Role.AGGREGATOR, journal, await after_last_life(journal, system_now))
    peers = [_peer(text, signed=profile.name == "signed") for text in settings.peer]
    seed = settings.seed if settings.seed is not None else random.SystemRandom().randrange(2**32)
    device_id, rng, metrics = DeviceId(settings.device_id), random.Random(seed), Metrics()
    series = load_day(settings.day) if settings.day is not None else None
    network = profile.registry.network if profile.name == "signed" and profile.registry is not None else None
    purse = _exposure(network, device_id) if network is not None and network.settles else None
    settings = await told_origin(settings, "aggregator", lifecycle.stopping)
    buyer = revived(settings, journal, series=series, seed=seed, profile=profile, now=system_now(), purse=purse)
    roster: Roster[Connection] = Roster(Limits())
    shell = Shell(buyer, journal=journal, roster=roster, ids=profile.ids, metrics=metrics, clock=system_now)
    links = Links(device_id, shell, buyer, profile=profile, metrics=metrics, rng=rng)
    exporter = _exporter(settings, links, profile=profile, metrics=metrics, journal=journal)
    if settings.registry is not None and profile.registry is not None:
        watching = watch_registry(settings.registry, profile.registry, links.registered, lifecycle.stopping)
        lifecycle.tasks.create_task(watching)
    if purse is not None and network is not None:
        watch = _escrow_watch(purse, settings, network, buyer, shell)
        lifecycle.tasks.create_task(watch.run(lifecycle.stopping))
    links.feed = feed = aggregator_feed(settings, profile, buyer, shell, rng=random.Random(seed))
    multicast = await _discover(settings, links, profile, rng, lifecycle)
    if feed is not None:
        feed.start(lifecycle)
    dialling = lifecycle.tasks.create_task(_dial_all(peers, links))
    ended = asyncio.Event()
    keeper = lifecycle.tasks.create_task(
        keep_metrics(state_dir, metrics, ended, period_s=settings.metrics_ms / 1000, view=links.view)
    )
    line = {"ready": True, "role": "aggregator", "device_id": settings.device_id}
    exporting = lifecycle.tasks.create_task(exporter.run()) if exporter else None
    line |= {"metrics": exporter.address} if exporter else {}
    announce(line | {"udp_group": settings.group, "profile": settings.profile})
    structlog.get_logger().info("trading", device_id=settings.device_id, seed=seed)
    if settings.until_filled:
        waits = [asyncio.ensure_future(event.wait()) for event in (lifecycle.stopping, links.filled)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    else:
        await lifecycle.stopping.wait()
    lifecycle.stopping.set()
    await _wind_down(buyer, shell, links)
    multicast.close()
    dialling.cancel()
    ended.set()
    await keeper
    if feed is not None:
        await feed.finish()
    if exporting is not None:
        exporting.cancel()
    return 0


def _exporter(
    settings: AggregatorSettings, links: Links, *, profile: AnyProfile, metrics: Metrics, journal: Journal
) -> Exporter | None:
    """What Prometheus asks, where it may: a wrong address ends the start."""
    about = {
        "role": "aggregator",
        "device_id": str(settings.device_id),
        "profile": settings.profile,
        "strategy": settings.strategy,
    }
    return open_exporter(
        settings.metrics,
        about=about,
        metrics=metrics,
        journal=journal,
        ids=profile.ids,
        view=links.view,
        unhealthy=lambda: "stopping" if links.stopping else None,
    )


def _exposure(network: Network, device_id: DeviceId) -> "Exposure":
    from aggregator_node.io.escrow import exposure_of  # noqa: PLC0415 - who does not settle spares itself the chain's client

    return exposure_of(network, device_id)


def _escrow_watch(
    purse: "Exposure", settings: AggregatorSettings, network: Network, buyer: Buyer, shell: Shell
) -> "EscrowWatch":
    from aggregator_node.io.escrow import EscrowWatch  # noqa: PLC0415 - likewise

    def changed(now: Now) -> None:
        buyer.funded(now)
        shell.turned()

    return EscrowWatch(purse, settings.rpc, network, changed)


def _peer(text: str, *, signed: bool) -> tuple[Address, DeviceId | None]:
    """[DEVICE_ID@]HOST:PORT. In `signed` even the first record is addressed to a key, so the device must be named."""
    device, at, address = text.rpartition("@")
    host, port = parse_address("peer", address)
    if port == 0:
        raise SettingsError("peer", text, "the port of a battery, 1 to 65535")
    if (at and not device.isdecimal()) or (signed and not at):
        raise SettingsError("peer", text, "expected DEVICE_ID@HOST:PORT, such as 101@192.0.2.7:8700")
    return (host, port), DeviceId(int(device)) if at else None


async def _discover(
    settings: AggregatorSettings, links: Links, profile: AnyProfile, rng: random.Random, lifecycle: Lifecycle
) -> MulticastShell:
    group = parse_address("group", settings.group)
    discovery = AggregatorDiscovery(
        DeviceId(settings.device_id), group, profile=profile, rng=rng, limits=DiscoveryLimits(), timing=Timing()
    )
    links.discovery = discovery
    if links.feed is not None:
        discovery.queried = links.feed.queried
    shell = await open_multicast(
        discovery,
        group,
        settings.interface,
        listen=(settings.interface, 0),
        clock=system_now,
        on_event=links.heard,
        largest=profile.size,
    )
    lifecycle.tasks.create_task(shell.run())
    return shell


async def _dial_all(peers: list[tuple[Address, DeviceId | None]], links: Links) -> None:
    """Dial the configured peers, then each battery as it is found."""
    async with asyncio.TaskGroup() as tasks:
        for address, device_id in peers:
            links.reach(address, tasks, device_id=device_id, forever=True)
        while True:
            links.found(await links.events.get(), tasks)


async def _wind_down(buyer: Buyer, shell: Shell, links: Links) -> None:
    """No new bids; wait for open promises as long as the grace lasts, then say goodbye."""
    buyer.stop()
    try:
        async with asyncio.timeout(Timing().shutdown_grace_ms / 1000):
            await shell.until(lambda: not buyer.open_promises)
    except TimeoutError:
        structlog.get_logger().warning("promises_left_open", count=buyer.open_promises)
    await shell.quiet()
    links.goodbye()
    await asyncio.sleep(0)
    shell.stop()
