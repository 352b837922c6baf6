"""The multicast shell on real sockets of loopback, on both event loops."""

import asyncio
import random
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from typing import Any

import pytest
import uvloop

from etp import messages
from etp.clock import Now
from etp.discovery import BessDiscovery, ClockSample, Counted, Event, PeerFound
from etp.discovery_limits import Address, DiscoveryLimits
from etp.effects import Envelope
from etp.frame import FRAME_SIZE
from etp.ids import Ids
from etp.io.multicast import (
    DATAGRAMS_PER_TURN,
    QUEUED_DATAGRAMS,
    QUEUED_ERRORS,
    AddressInUse,
    BoundedDatagrams,
    BoundedErrors,
    BoundedStream,
    MulticastShell,
    SocketError,
    bind_pair,
    bind_unicast,
    join_group,
    open_multicast,
)
from etp.messages import Offer
from etp.peers import AggregatorDiscovery
from etp.profile import Plain
from etp.timing import Timing
from etp.units import DeviceId, MicroPerKwh, MonotonicS, WallUs, Wh

LOOPBACK = "127.0.0.1"
FLOOD = 50_000
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on one of the two loops, asyncio's debug mode on, within 20 s."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def runner(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(debug=True, loop_factory=factory) as loop:
            loop.run(asyncio.wait_for(coroutine, 20))

    return runner


@pytest.fixture
def group() -> Address:
    """The default group on a port that was free a moment ago, so that no other run is heard."""
    with bind_unicast(LOOPBACK) as free:
        return "239.192.77.77", free.getsockname()[1]


def clock() -> Now:
    """The real clocks."""
    return Now(MonotonicS(time.monotonic()), WallUs(time.time_ns() // 1000))


def seller(device_id: int, group: Address) -> BessDiscovery:
    """A battery's core."""
    offer = Offer(held=Wh(1000), for_sale=Wh(500))
    return BessDiscovery(
        DeviceId(device_id),
        group,
        offer=lambda: Envelope(messages.response(DeviceId(device_id), offer=offer, ask=MicroPerKwh(125_000))),
        profile=Plain(Ids()),
        rng=random.Random(device_id),
        limits=DiscoveryLimits(),
        timing=Timing(),
    )


def buyer(device_id: int, group: Address) -> AggregatorDiscovery:
    """An aggregator's core."""
    return AggregatorDiscovery(
        DeviceId(device_id),
        group,
        profile=Plain(Ids()),
        rng=random.Random(device_id),
        limits=DiscoveryLimits(),
        timing=Timing(),
    )


class Recorder:
    """A core that counts its calls and does nothing at `deadline_s`."""

    def __init__(self, deadline_s: MonotonicS | None = None) -> None:
        self.deadline_s = deadline_s
        self.received: list[tuple[bytes, Address]] = []
        self.advanced_s: list[MonotonicS] = []
        self.heard, self.fired = asyncio.Event(), asyncio.Event()
        self.to_send: list[tuple[bytes, Address]] = []

    def receive_datagram(self, data: bytes, source: Address, now: Now) -> None:
        """Keep it."""
        del now
        self.received.append((data, source))
        self.heard.set()

    def advance(self, now: Now) -> None:
        """Note the instant."""
        self.advanced_s.append(now.monotonic_s)
        if self.deadline_s is not None and now.monotonic_s >= self.deadline_s:
            self.deadline_s = None
            self.fired.set()

    def datagrams_to_send(self, now: Now) -> list[tuple[bytes, Address]]:
        """What the test wants sent."""
        del now
        leaving, self.to_send = self.to_send, []
        return leaving

    def events(self) -> Iterator[Event]:
        """None."""
        return iter(())

    def next_deadline(self) -> MonotonicS | None:
        """As the test set it."""
        return self.deadline_s


async def opened(core: Any, group: Address, *, listen: Any = (LOOPBACK, 0), events: list[Event] | None = None) -> Any:
    """A shell on loopback that keeps its events."""
    seen = [] if events is None else events
    return await open_multicast(core, group, LOOPBACK, listen=listen, clock=clock, on_event=seen.append)


# -- sockets


def test_pair_has_one_port_number() -> None:
    """TCP listens and UDP is bound, both on the same number."""
    listener, datagrams = bind_pair(LOOPBACK, 0)
    with listener, datagrams, socket.create_connection(listener.getsockname()):
        assert listener.getsockname() == datagrams.getsockname()


def test_pair_tries_on_until_both_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """UDP taken on the number that TCP got: another number."""
    from etp.io import multicast  # patched here only

    taken: list[int] = []

    def refuse_twice(host: str, port: int) -> socket.socket:
        if len(taken) < 2:
            taken.append(port)
            raise AddressInUse((host, port))
        return bind_unicast(host, port)

    monkeypatch.setattr(multicast, "bind_unicast", refuse_twice)
    listener, datagrams = bind_pair(LOOPBACK, 0)
    with listener, datagrams:
        assert listener.getsockname() == datagrams.getsockname()
    assert len(taken) == 2


@pytest.mark.parametrize("taken_by", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_port_in_use_names_the_address(taken_by: socket.SocketKind) -> None:
    """Whichever of the two is taken: AddressInUse with host and port, nothing left open."""
    with socket.socket(socket.AF_INET, taken_by) as taken:
        taken.bind((LOOPBACK, 0))
        if taken_by is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=f"{LOOPBACK}:{port}: the port is in use") as caught:
            bind_pair(LOOPBACK, port)
        assert caught.value.address == (LOOPBACK, port)


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), (LOOPBACK, 70_000)])
def test_other_refusals_are_ours_too(host: str, port: int) -> None:
    """An address of another machine, and a port out of range."""
    with pytest.raises(SocketError, match=host):
        bind_pair(host, port)


def test_unicast_socket_is_shared_with_nobody() -> None:
    """A second one on the same port is refused."""
    with bind_unicast(LOOPBACK) as first, pytest.raises(AddressInUse):
        bind_unicast(*first.getsockname())


def test_group_and_interface_are_judged(group: Address, run: Run) -> None:
    """An interface that is none, a group that is none: SocketError with the address, the given socket closed."""
    with pytest.raises(SocketError, match=r"interface 192\.0\.2\.1"):
        join_group(group, "192.0.2.1")
    with pytest.raises(SocketError, match="interface lo"):
        join_group(group, "lo")
    with pytest.raises(SocketError, match="cannot join"):
        join_group((LOOPBACK, group[1]), LOOPBACK)

    async def attempt() -> None:
        mine = bind_unicast(LOOPBACK)
        with pytest.raises(SocketError, match=r"interface 192\.0\.2\.1"):
            await open_multicast(Recorder(), group, "192.0.2.1", listen=mine, clock=clock, on_event=lambda _: None)
        assert mine.fileno() == -1

    run(attempt())


# -- queues


def test_queue_drops_beyond_its_maximum_and_counts() -> None:
    """50,000 datagrams and no reader: 1,024 wait, memory is flat, the end still gets in."""
    queue = BoundedDatagrams()
    tracemalloc.start()
    for index in range(FLOOD):
        queue.put_nowait((index.to_bytes(FRAME_SIZE, "little"), (LOOPBACK, index)))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert queue.qsize() == queue.high_water == QUEUED_DATAGRAMS
    assert queue.dropped == FLOOD - QUEUED_DATAGRAMS
    assert grown < 1_000_000
    queue.put_nowait((None, None))
    assert queue.qsize() == QUEUED_DATAGRAMS + 1


def test_queue_takes_nothing_longer_than_a_frame() -> None:
    """85 bytes are dropped before they wait; 84, and less, are for the core to count."""
    queue = BoundedDatagrams()
    for length in (0, 83, 84, 85, 65_507):
        queue.put_nowait((bytes(length), (LOOPBACK, 1)))
    assert (queue.qsize(), queue.oversized, queue.dropped) == (3, 2, 0)


def test_errors_are_bounded() -> None:
    """A thousand refused sends keep 16 errors."""
    errors = BoundedErrors()
    for _ in range(1000):
        errors.put_nowait(OSError())
    assert (errors.qsize(), errors.count) == (QUEUED_ERRORS, 1000)


def flood(to: Address, count: int, data: bytes = bytes(FRAME_SIZE)) -> threading.Thread:
    """A thread that sends as fast as it can, to a group through loopback."""

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            for _ in range(count):
                sender.sendto(data, to)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_flood_without_a_reader_has_flat_memory(run: Run) -> None:
    """50,000 real datagrams into a stream that nobody reads: never more than 1,024 wait, the rest is counted."""

    async def flooded() -> None:
        stream = await BoundedStream.open(bind_unicast(LOOPBACK))
        tracemalloc.start()
        await asyncio.to_thread(flood(stream.address, FLOOD).join)
        grown, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert stream.datagrams.high_water == stream.datagrams.qsize() == QUEUED_DATAGRAMS
        assert stream.datagrams.dropped > 0
        assert grown < 1_500_000
        assert peak < 3_000_000
        stream.close()

    run(flooded())


def test_send_errors_are_counted_and_pass(run: Run) -> None:
    """A refused send neither raises nor costs the next datagram."""

    async def refused() -> None:
        sender = await BoundedStream.open(bind_unicast(LOOPBACK))
        reader = await BoundedStream.open(bind_unicast(LOOPBACK))
        await sender.send(b"one", (LOOPBACK, 0))
        await sender.send(b"two", reader.address)
        assert await reader.receive() == (b"two", sender.address)
        assert sender.errors.count == 1
        sender.close()
        reader.close()

    run(refused())


# -- the shell


def test_battery_and_aggregators_find_each_other_within_a_second(group: Address, run: Run) -> None:
    """A BESS and two aggregators of one host, whichever starts first: found at the BESS's TCP address."""

    async def meet() -> None:
        listener, datagrams = bind_pair(LOOPBACK, 0)
        found: asyncio.Queue[tuple[int, PeerFound]] = asyncio.Queue()

        def hears(device_id: int) -> Callable[[Event], None]:
            return lambda event: found.put_nowait((device_id, event)) if isinstance(event, PeerFound) else None

        async with asyncio.TaskGroup() as tasks:
            shells: list[MulticastShell] = []

            async def start(core: Any, listen: Any, on_event: Callable[[Event], None]) -> None:
                shell = await open_multicast(core, group, LOOPBACK, listen=listen, clock=clock, on_event=on_event)
                tasks.create_task(shell.run())
                shells.append(shell)

            started_s = time.monotonic()
            await start(buyer(500, group), (LOOPBACK, 0), hears(500))
            await start(seller(101, group), datagrams, lambda _: None)
            await start(buyer(501, group), (LOOPBACK, 0), hears(501))
            seen = [await found.get(), await found.get()]
            took_s = time.monotonic() - started_s
            for shell in shells:
                shell.close()
        host, port = listener.getsockname()
        listener.close()
        assert sorted(seen, key=lambda item: item[0]) == [
            (500, PeerFound(DeviceId(101), host, port)),
            (501, PeerFound(DeviceId(101), host, port)),
        ]
        assert took_s < 1.0

    run(meet())


def test_flood_of_the_group_leaves_the_node_working(group: Address, run: Run) -> None:
    """50,000 junk datagrams while it runs: at most 1,024 wait, and a battery that starts afterwards is found."""

    async def flooded() -> None:
        core, peer = buyer(500, group), asyncio.Event()

        def on_event(event: Event) -> None:
            if isinstance(event, PeerFound):
                peer.set()

        shell = await open_multicast(core, group, LOOPBACK, listen=(LOOPBACK, 0), clock=clock, on_event=on_event)
        battery = await opened(seller(101, group), group)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(shell.run())
            await asyncio.to_thread(flood(group, FLOOD).join)
            tasks.create_task(battery.run())
            await peer.wait()
            shell.close()
            battery.close()
        assert all(stream.datagrams.high_water <= QUEUED_DATAGRAMS for stream in shell.streams)
        assert core.counts[Counted.INVALID] > 0

    run(flooded())


def test_at_most_64_datagrams_a_turn(group: Address, run: Run) -> None:
    """1,000 waiting datagrams are handled in order, in turns of 64 between which others run."""

    async def turns() -> None:
        core = Recorder()
        shell = await opened(core, group)
        for index in range(1000):
            shell.streams[1].datagrams.put_nowait((index.to_bytes(8, "little"), (LOOPBACK, 9)))
        handled = [0]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(shell.run())
            while len(core.received) < 1000:
                await asyncio.sleep(0)
                handled.append(len(core.received))
            shell.close()
        steps = [later - earlier for earlier, later in pairwise(handled)]
        assert max(steps) == DATAGRAMS_PER_TURN
        assert [int.from_bytes(data, "little") for data, _ in core.received] == list(range(1000))

    run(turns())


def test_both_sockets_feed_the_core(group: Address, run: Run) -> None:
    """To the group, and to the node's own port; what is sent to the group's port by unicast is not ours."""

    async def fed() -> None:
        core = Recorder()
        shell = await opened(core, group)
        sender = await BoundedStream.open(bind_unicast(LOOPBACK))
        source = sender.address
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(shell.run())
            await sender.send(b"to the port", (LOOPBACK, group[1]))
            await sender.send(b"too long" * 11, shell.address)
            await sender.send(b"to us", shell.address)
            await core.heard.wait()
            shell.close()
        sender.close()
        assert core.received == [(b"to us", source)]
        assert (shell.oversized, shell.dropped, shell.errors) == (1, 0, 0)

    run(fed())


def test_what_is_sent_to_the_group_comes_from_the_unicast_socket(group: Address, run: Run) -> None:
    """Every member hears it, the sender too; its source is the address to answer."""

    async def sent() -> None:
        core, other = Recorder(), Recorder()
        core.to_send.append((b"to all", group))
        shell, listener = await opened(core, group), await opened(other, group)
        source = shell.address
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listener.run())
            tasks.create_task(shell.run())
            await core.heard.wait()
            await other.heard.wait()
            shell.close()
            listener.close()
        assert core.received == other.received == [(b"to all", source)]

    run(sent())


def test_timer_fires_at_the_deadline_and_nothing_polls(group: Address, run: Run) -> None:
    """One turn at the start, the next at the deadline 0.2 s later: no more than the timer's rounding in between."""

    async def timed() -> None:
        deadline_s = MonotonicS(time.monotonic() + 0.2)
        core = Recorder(deadline_s)
        shell = await opened(core, group)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(shell.run())
            await core.fired.wait()
            shell.close()
        assert deadline_s <= core.advanced_s[-1] < deadline_s + 0.1
        early = [instant for instant in core.advanced_s if instant < deadline_s - 0.002]
        assert len(early) == 1

    run(timed())


def test_close_before_run_and_twice(group: Address, run: Run) -> None:
    """Run returns at once, and all ports are free again."""

    async def closed() -> None:
        shell = await opened(Recorder(), group)
        address = shell.address
        shell.close()
        shell.close()
        await shell.run()
        bind_unicast(*address).close()

    run(closed())


def test_error_of_the_callback_ends_the_shell(group: Address, run: Run) -> None:
    """Our own bug is not swallowed: run raises it and the sockets are closed."""

    async def broken() -> None:
        def on_event(event: Event) -> None:
            raise RuntimeError(type(event).__name__)

        core = buyer(500, group)
        shell = await open_multicast(core, group, LOOPBACK, listen=(LOOPBACK, 0), clock=clock, on_event=on_event)
        address = shell.address
        core._events.append(ClockSample(DeviceId(1), 0.0, 0.0))  # any event will do
        with pytest.raises(ExceptionGroup) as caught:
            await shell.run()
        assert caught.group_contains(RuntimeError, match="ClockSample")
        bind_unicast(*address).close()

    run(broken())
