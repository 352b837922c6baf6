"""The battery daemon: sockets, journal and discovery around one desk."""

import asyncio
import random
import signal
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bess_node.build import limits_of, revived
from bess_node.desk import Desk
from bess_node.io import thermometer
from bess_node.io.watch import BessFeed, bess_feed
from bess_node.settings import BessSettings
from etp import hub
from etp.clock import Now
from etp.codes import FailureCode, Role, TerminateCode
from etp.discovery import BessDiscovery
from etp.discovery import Event as PeerEvent
from etp.discovery_limits import DiscoveryLimits
from etp.effects import Row
from etp.io.clock import system_now
from etp.io.multicast import MulticastShell, bind_pair, open_multicast
from etp.io.tcp import Connection, listen
from etp.limits import Limits
from etp.profile import Received
from etp.registry import Registry
from etp.roster import Roster
from etp.session import Event, Session, Violation
from etp.signed import AnyProfile, Signed
from etp.timing import Timing
from etp.units import DeviceId
from runtime.histogram import Metrics
from runtime.io.day_origin import told_origin
from runtime.io.days import load_day
from runtime.io.exporter import Exporter, open_exporter
from runtime.io.journal import Journal, JournalError
from runtime.io.lifecycle import Lifecycle, announce, raise_open_file_limit
from runtime.io.metrics_file import keep_metrics
from runtime.io.profile import after_last_life, open_profile
from runtime.io.registry_file import watch_registry
from runtime.io.shell import Shell
from runtime.settings import SettingsError, parse_address

if TYPE_CHECKING:
    from bess_node.io.settlement import Payment

FAILED = 1
OPEN_FILES_BESIDE_SESSIONS = 64
BIND_HINT = "loopback (127.0.0.1), or --allow-plaintext to serve an unauthenticated profile on purpose"


def check_listen(settings: BessSettings) -> tuple[str, int]:
    """Where to listen. Raises SettingsError for `plain` beyond loopback without --allow-plaintext."""
    host, port = parse_address("listen", settings.listen)
    unprotected = settings.profile == "plain" and not settings.allow_plaintext
    if unprotected and not ip_address(host).is_loopback:
        raise SettingsError("listen", settings.listen, BIND_HINT)
    return host, port


class Hub:
    """The battery's connections: admits, binds, hands frames to the desk."""

    def __init__(
        self,
        device_id: DeviceId,
        shell: Shell,
        desk: Desk,
        *,
        profile: AnyProfile,
        limits: Limits,
        metrics: Metrics,
        payment: "Payment | None",
    ) -> None:
        self.accepting = True
        self.feed: BessFeed | None = None
        self._device_id, self._shell, self._desk = device_id, shell, desk
        self._profile, self._limits, self._metrics, self._payment = profile, limits, metrics, payment
        self._roster: Roster[Connection] = shell.roster
        self._everyone: set[Connection] = set()
        self.turned = shell.turned
        """After each turn of a connection."""

    def connected(self, connection: Connection, now: Now) -> Session | None:
        """Give a place, or say BUSY."""
        session = Session(Role.BESS, self._device_id, self._profile, self._limits, now, quote=self._desk.quote)
        if hub.admitted(self._roster, session, connection.address, now, accepting=self.accepting):
            self._everyone.add(connection)
        else:
            self._metrics.count("sessions_refused")
        return session

    def happened(self, connection: Connection, event: Event, now: Now) -> None:
        """Carry out what an event asks of the desk."""
        if isinstance(event, Received):
            self._metrics.received(event.frame.message_type, event.frame.message_id, now)
        elif isinstance(event, Violation):
            self._shell.blame(connection, event)
        effects = hub.happened(self._desk, self._roster, self._desk.session_bound, connection, event, now)
        self._shell.apply(effects, now)

    def disconnected(self, connection: Connection, now: Now) -> None:
        """Give the place back; the device's bid goes with its last session."""
        if connection not in self._everyone:
            return
        self._everyone.discard(connection)
        self._roster.leave(connection.address)
        peer = connection.session.peer_id if connection.session else None
        self._shell.apply(hub.lost(self._desk, self._roster, connection, peer, now) or (), now)

    def registered(self, registry: Registry) -> None:
        """The registry of now: who is not in it any more, or revoked, is told to go."""
        self._profile.registry = registry
        self._shell.dismiss_revoked(list(self._everyone), registry)

    def heard(self, event: PeerEvent) -> None:
        """What discovery says: a battery looks for nobody, but keeps what was said in another's name."""
        now = system_now()
        self._shell.apply(hub.heard(self._desk, event, now), now)

    def sessions(self) -> int:
        """How many there are."""
        return len(self._everyone)

    def view(self) -> dict[str, object]:
        """What `metrics.json` shows of this battery."""
        desk = self._desk
        shown = desk.view() | {"sessions": len(self._everyone), "queues": self._shell.queues()}
        shown |= {"capacity_wh": desk.store.battery.spec.capacity_wh, "promises_open": len(desk.reservations)}
        shown |= {"feeds": self.feed.view()} if self.feed else {}
        return shown | ({"settlement": self._payment.view(system_now())} if self._payment else {})

    def goodbye(self, now: Now) -> None:
        """Tell everyone that we stop."""
        for connection in list(self._everyone):
            self._shell.dismiss(connection, TerminateCode.SHUTTING_DOWN, "shutting down", now)


async def run(settings: BessSettings, lifecycle: Lifecycle) -> int:
    """Serve until told to stop; 0 after an orderly end."""
    host, port = check_listen(settings)
    if settings.temperature_file is not None:
        thermometer.check(settings.temperature_file)
    raise_open_file_limit(limits_of(settings).sessions + OPEN_FILES_BESIDE_SESSIONS)
    state_dir = settings.state_dir or Path(f"etp-bess-{settings.device_id}")
    journal = Journal.open(state_dir, role="bess", device_id=settings.device_id)
    try:
        return await _serve(settings, lifecycle, journal, (host, port))
    finally:
        journal.close()


async def _serve(settings: BessSettings, lifecycle: Lifecycle, journal: Journal, address: tuple[str, int]) -> int:
    seed = settings.seed if settings.seed is not None else random.SystemRandom().randrange(2**32)
    limits, metrics = limits_of(settings), Metrics()
    profile = open_profile(settings, Role.BESS, journal, await after_last_life(journal, system_now))
    payment = _payment(settings, profile, journal, metrics, random.Random(seed))
    settings = await told_origin(settings, "bess", lifecycle.stopping)
    desk, shell = await _revived(settings, journal, profile=profile, limits=limits, metrics=metrics, payment=payment)
    hub = Hub(desk.device_id, shell, desk, profile=profile, limits=limits, metrics=metrics, payment=payment)
    exporter = _exporter(settings, hub, profile=profile, metrics=metrics, journal=journal)
    hub.feed = feed = bess_feed(
        settings,
        profile,
        desk,
        shell,
        rng=random.Random(seed),
        sessions=hub.sessions,
        unsettled=lambda: payment.settler.unsettled_trades if payment else None,
    )
    tcp_socket, udp_socket = bind_pair(*address)
    server = await listen(tcp_socket, hub, system_now)
    multicast = await _discoverable(
        settings, desk, udp_socket, on_event=hub.heard, profile=profile, rng=random.Random(seed)
    )
    lifecycle.tasks.create_task(multicast.run())
    if settings.registry is not None and profile.registry is not None:
        watching = watch_registry(settings.registry, profile.registry, hub.registered, lifecycle.stopping)
        lifecycle.tasks.create_task(watching)
    shell.apply(desk.opened(system_now()), system_now())
    shell.turned()
    if feed is not None:
        feed.start(lifecycle)
    if payment is not None:
        lifecycle.tasks.create_task(payment.run())
    _watch_device(desk, shell)
    if settings.temperature_file is not None:
        lifecycle.tasks.create_task(thermometer.watch(settings.temperature_file, desk, shell, lifecycle.stopping))
    host, port = tcp_socket.getsockname()[:2]
    structlog.get_logger().info("serving", device_id=settings.device_id, seed=seed, tcp=f"{host}:{port}")
    exporting = lifecycle.tasks.create_task(exporter.run()) if exporter else None
    announce(_ready_line(settings, f"{host}:{port}") | ({"metrics": exporter.address} if exporter else {}))
    ended = asyncio.Event()
    keeper = lifecycle.tasks.create_task(
        keep_metrics(journal.directory, metrics, ended, period_s=settings.metrics_ms / 1000, view=hub.view)
    )
    await lifecycle.stopping.wait()
    server.close()
    hub.accepting = False
    durable = await _wind_down(desk, shell, hub)
    if payment is not None:
        payment.stop()
    multicast.close()
    ended.set()
    await keeper
    if feed is not None:
        await feed.finish()
    if exporting is not None:
        exporting.cancel()
    return 0 if durable else FAILED


def _exporter(
    settings: BessSettings, hub: Hub, *, profile: AnyProfile, metrics: Metrics, journal: Journal
) -> Exporter | None:
    """What Prometheus asks, where it may: listening before anybody is served, so that a wrong address ends the start."""
    about = {
        "role": "bess",
        "device_id": str(settings.device_id),
        "profile": settings.profile,
        "mechanism": settings.mechanism,
    }
    return open_exporter(
        settings.metrics,
        about=about,
        metrics=metrics,
        journal=journal,
        ids=profile.ids,
        view=hub.view,
        unhealthy=lambda: None if hub.accepting else "stopping",
    )


def _payment(
    settings: BessSettings, profile: AnyProfile, journal: Journal, metrics: Metrics, rng: random.Random
) -> "Payment | None":
    """The payment of a market that settles; None: this one does not, and spares itself the chain's client."""
    if not isinstance(profile, Signed) or not profile.registry.network.settles:
        return None
    from bess_node.io.settlement import Payment  # noqa: PLC0415 - 35 MiB and 0.4 s of imports

    return Payment(settings, profile, journal, metrics, rng)


def _unpaid(row: Row) -> None:
    raise AssertionError(f"a trade of a market that does not settle has an outbox row: {row.lot_id}")


async def _revived(
    settings: BessSettings,
    journal: Journal,
    *,
    profile: AnyProfile,
    limits: Limits,
    metrics: Metrics,
    payment: "Payment | None",
) -> tuple[Desk, Shell]:
    """The desk as the journal left it, what was RESERVED released: all of that durable before anybody is served."""
    now = system_now()
    series = load_day(settings.day) if settings.day is not None else None
    desk, releasing = revived(
        settings,
        journal,
        series=series,
        profile=profile,
        limits=limits,
        now=now,
        settlement=payment.settlement if payment else None,
    )
    settle = payment.settle if payment else _unpaid
    shell = Shell(
        desk,
        journal=journal,
        roster=Roster(limits),
        ids=profile.ids,
        metrics=metrics,
        clock=system_now,
        settle=settle,
    )
    shell.apply(releasing, now)
    await shell.quiet()
    if not desk.ready:
        raise JournalError(
            f"journal in {journal.directory} cannot be written: promises of the last life are still open"
        )
    return desk, shell


async def _discoverable(
    settings: BessSettings,
    desk: Desk,
    udp_socket: socket.socket,
    *,
    on_event: Callable[[PeerEvent], None],
    profile: AnyProfile,
    rng: random.Random,
) -> MulticastShell:
    """In the group, on the socket whose port is the TCP listener's."""
    group = parse_address("group", settings.group)
    discovery = BessDiscovery(
        desk.device_id,
        group,
        offer=desk.response,
        profile=profile,
        rng=rng,
        limits=DiscoveryLimits(),
        timing=Timing(),
    )
    return await open_multicast(
        discovery,
        group,
        settings.interface,
        listen=udp_socket,
        clock=system_now,
        on_event=on_event,
        largest=profile.size,
    )


def _ready_line(settings: BessSettings, address: str) -> dict[str, object]:
    return {
        "ready": True,
        "role": "bess",
        "device_id": settings.device_id,
        "tcp": address,
        "udp_group": settings.group,
        "profile": settings.profile,
        "mechanism": settings.mechanism,
    }


async def _wind_down(desk: Desk, shell: Shell, hub: Hub) -> bool:
    """No new lot; wait for open promises to resolve, release what is left, say goodbye; whether all is in the journal."""
    shell.apply(desk.stop(system_now()), system_now())
    grace_s = Timing().shutdown_grace_ms / 1000
    try:
        async with asyncio.timeout(grace_s):
            await shell.until(lambda: not desk.reservations)
    except TimeoutError:
        shell.apply(desk.release_all(system_now()), system_now())
    now = system_now()
    durable = True
    try:
        await shell.journal.commit((desk.store.level(now),))
    except JournalError as error:
        structlog.get_logger().error("level_not_written", error=str(error))
        durable = False
    await shell.quiet()
    hub.goodbye(system_now())
    await asyncio.sleep(0)
    shell.stop()
    return durable


def _watch_device(desk: Desk, shell: Shell) -> None:
    """SIGUSR1: the owner's monitoring reports an inverter failure; SIGUSR2: it is over."""
    loop = asyncio.get_running_loop()

    def fail() -> None:
        now = system_now()
        shell.apply(desk.fail(FailureCode.INVERTER, now), now)
        shell.turned()

    def recover() -> None:
        now = system_now()
        shell.apply(desk.recovered(now), now)
        shell.turned()

    loop.add_signal_handler(signal.SIGUSR1, fail)
    loop.add_signal_handler(signal.SIGUSR2, recover)
