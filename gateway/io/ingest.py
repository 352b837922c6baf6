"""`/feed`: the websockets of nodes. Messages come in and are stored or told; what is durable is acknowledged.

A node is read only as fast as what it sends becomes durable: beyond a bound of its own, or of all of them together, its messages
stay in its socket. A connection ends when its node does something wrong, when the store takes nothing, or when it is taken over.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from etp.clock import Now
from etp.io.clock import system_now
from etp.registry import Registry
from gateway.access import Asker
from gateway.batch import Batch, Position
from gateway.ingest import (
    Caller,
    Effect,
    End,
    Feed,
    FeedLimits,
    Keep,
    Locate,
    Observe,
    Pause,
    Refork,
    Rules,
    Send,
    State,
)
from gateway.io.database import StoreError, UnstorableError
from gateway.io.store import Store
from gateway.problem import ProblemError
from gateway.transaction import Observation
from runtime.feed import wire
from runtime.feed.wire import Ack

FAREWELL_S: Final = 2.0
"""A node that is told to go gets so long to hear why, s."""
MOST_WORDS: Final = 16
"""Messages that wait for a node, beside the newest Ack: it gets two or three in all."""


class Ingest:
    """All feeds of one gateway. `registry`: who may publish; None: plain nodes of this machine."""

    def __init__(
        self,
        store: Store,
        *,
        registry: Registry | None = None,
        limits: FeedLimits = FeedLimits(),
        clock: Callable[[], Now] = system_now,
    ) -> None:
        self.store, self.clock = store, clock
        self.rules = Rules(limits, registry)
        self.on_proved: Callable[[], None] = lambda: None
        """Told when a node's connection became ours."""
        self.refused = 0
        """Connections that ended because of what their node did."""
        self.held_bytes = 0
        """Of messages that are not durable yet."""
        self.room = asyncio.Event()
        self.room.set()
        self._nodes: dict[int, _Connection] = {}
        self._unproven: Counter[str] = Counter()

    @property
    def nodes(self) -> int:
        """Proven connections."""
        return len(self._nodes)

    def registered(self, registry: Registry) -> None:
        """The registry in force: who is no longer a member is gone at once."""
        self.rules.registry = registry
        now = self.clock()
        for device_id, connection in list(self._nodes.items()):
            if not registry.admits(device_id, now.wall_us):
                connection.carry_out(connection.feed.unstorable(f"device {device_id} is revoked"))

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, until it ends. Raises ProblemError where there is no room for it."""
        asked: Asker = websocket.scope["etp.asker"]
        self._admit(asked)
        connection: _Connection | None = None
        try:
            await websocket.accept()
            address, port = websocket.scope["server"]
            caller = Caller(asked.is_local, address, port)
            feed = Feed(self.rules, caller, secrets.token_hex(wire.CHALLENGE_BYTES), self.clock())
            connection = _Connection(self, websocket, feed, partial(self._proved, asked.network))
            await connection.run()
        finally:
            if connection is None or not connection.proved:
                self._unproven[asked.network] -= 1
            elif connection.device_id is not None and self._nodes.get(connection.device_id) is connection:
                del self._nodes[connection.device_id]
                connection.tell_gone()

    def _admit(self, asked: Asker) -> None:
        limits, address = self.rules.limits, asked.network
        if self._unproven.total() >= limits.unproven:
            raise ProblemError(503, f"{limits.unproven} connections have not said who they are yet; try again later")
        if not asked.is_local and self._unproven[address] >= limits.unproven_per_address:
            right = f"expected {limits.unproven_per_address} of one address at most"
            raise ProblemError(503, f"too many connections have not said who they are yet; {right}")
        self._unproven[address] += 1

    def _proved(self, network: str, connection: "_Connection") -> str | None:
        """A connection's node is known now; why it is not taken all the same."""
        device_id = connection.device_id
        assert device_id is not None
        before = self._nodes.get(device_id)
        if before is None and len(self._nodes) >= self.rules.limits.nodes:
            return f"this gateway has its {self.rules.limits.nodes} nodes"
        self._unproven[network] -= 1
        self._unproven += Counter()  # drops the addresses that have none
        self._nodes[device_id] = connection
        self.on_proved()
        if before is not None:
            before.carry_out(connection.feed.take_over(before.feed))
        return None

    def is_here(self, device_id: int) -> bool:
        """Whether a node's connection is ours."""
        return device_id in self._nodes

    def devices_here(self) -> list[int]:
        """Nodes whose connections are ours."""
        return list(self._nodes)

    def tell_again(self, device_id: int) -> None:
        """Another gateway took a node of ours to be gone."""
        connection = self._nodes.get(device_id)
        if connection is not None:
            self.store.observe(Observation(connection.feed.again(self.clock())))


class _Connection:
    """One websocket and its core."""

    def __init__(
        self, ingest: Ingest, websocket: WebSocket, feed: Feed, proved: "Callable[[_Connection], str | None]"
    ) -> None:
        self.feed, self.proved = feed, False
        self._ingest, self._websocket, self._prove = ingest, websocket, proved
        self._words: list[bytes] = []
        self._ack: Ack | None = None
        self._end: End | None = None
        self._speak = asyncio.Event()
        self._listen = asyncio.Event()
        self._pause_s = 0.0
        self._farewell: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup
        self._log = structlog.get_logger()

    @property
    def device_id(self) -> int | None:
        """Whose it is, once that is proved."""
        return self.feed.device_id

    async def run(self) -> None:
        """Until it ends."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self.carry_out(self.feed.begin())
                reading = self._tasks.create_task(self._read())
                sending = self._tasks.create_task(self._send())
                sending.add_done_callback(lambda _: reading.cancel())
                reading.add_done_callback(lambda _: None if self._end else sending.cancel())
                self._sending = sending
        finally:
            if self._farewell is not None:
                self._farewell.cancel()

    # -- in

    async def _read(self) -> None:
        feed, clock = self.feed, self._ingest.clock
        while self._end is None:
            await self._have_room()
            data = await self._next()
            if data is None:
                return
            self.carry_out(feed.receive(data, clock()) if data else feed.advance(clock()))
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
                self._pause_s = 0.0

    async def _next(self) -> bytes | str | None:
        """The next message; empty: a deadline came; None: the connection is over."""
        deadline = self.feed.next_deadline()
        wait_s = None if deadline is None else max(0.0, deadline - self._ingest.clock().monotonic_s)
        try:
            async with asyncio.timeout(wait_s):
                message = await self._websocket.receive()
        except TimeoutError:
            return b""
        if message["type"] != "websocket.receive":
            return None
        found: bytes | str = message.get("text") or message.get("bytes") or b"\0"  # what is empty is no message
        return found

    async def _have_room(self) -> None:
        while self._end is None and (self.feed.full or not self._ingest.room.is_set()):
            if self.feed.full:
                self._listen.clear()
                await self._listen.wait()
            else:
                await self._ingest.room.wait()

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Do what the core says."""
        for effect in effects:
            match effect:
                case Send(message):
                    self._say(message)
                case Keep(batch):
                    self._keep(batch)
                case Observe(seen):
                    self._ingest.store.observe(seen)
                case Locate() | Refork():
                    self._tasks.create_task(self._locate(effect))
                case Pause(seconds):
                    self._pause_s = seconds
                case End():
                    self._finish(effect)

    def _keep(self, batch: Batch) -> None:
        ingest = self._ingest
        ingest.held_bytes += batch.size
        if ingest.held_bytes >= ingest.rules.limits.held_bytes:
            ingest.room.clear()
        ingest.store.submit(batch).add_done_callback(partial(self._kept, batch))

    def _kept(self, batch: Batch, done: "asyncio.Future[str | None]") -> None:
        ingest = self._ingest
        effects = self._outcome(batch, done)
        ingest.held_bytes -= batch.size  # whatever became of it, and of its connection: it waits no more
        if ingest.held_bytes < ingest.rules.limits.held_bytes:
            ingest.room.set()
        self._listen.set()
        self.carry_out(effects)

    def _outcome(self, batch: Batch, done: "asyncio.Future[str | None]") -> Sequence[Effect]:
        if done.cancelled() or done.exception() is not None:
            return self.feed.unavailable() if self._end is None else []
        fault = done.result()
        return self.feed.kept(batch) if fault is None else self.feed.unstorable(fault)

    async def _locate(self, wanted: Locate | Refork) -> None:
        feed, ingest = self.feed, self._ingest
        if not self.proved:
            fault = self._prove(self)
            if fault is not None:
                self.carry_out(feed.unstorable(fault))
                return
            self.proved = True
        try:
            position = await self._position(wanted)
        except UnstorableError as error:
            self.carry_out(feed.unstorable(str(error)))
        except StoreError:
            self.carry_out(feed.unavailable())
        else:
            self.carry_out(feed.located(position, ingest.clock()))

    async def _position(self, wanted: Locate | Refork) -> Position:
        store, now_us = self._ingest.store, self._ingest.clock().wall_us
        if isinstance(wanted, Locate):
            return await store.position(wanted.node, now_us)
        return await store.fork(wanted.node, wanted.position, now_us)

    # -- out

    def _say(self, message: Any) -> None:
        if isinstance(message, Ack):
            self._ack = message
        elif len(self._words) < MOST_WORDS:
            self._words.append(wire.encode(message))
        self._speak.set()

    def _finish(self, end: End) -> None:
        if self._end is None:
            self._end = end
            if self.feed.state is State.ENDED and end.reason == "refused":
                self._ingest.refused += 1
            # Also a message that is being sent must end by then: its node may not read.
            self._farewell = asyncio.get_running_loop().call_later(FAREWELL_S, self._stop)
        self._listen.set()
        self._speak.set()

    def _stop(self) -> None:
        if self._sending is not None:
            self._sending.cancel()

    async def _send(self) -> None:
        while True:
            await self._speak.wait()
            self._speak.clear()
            words, self._words = self._words, []
            if self._ack is not None:
                words.append(wire.encode(self._ack))
                self._ack = None
            end = self._end
            try:
                for word in words:
                    await self._websocket.send_text(word.decode())
                if end is not None:
                    await self._websocket.close(end.code, end.reason)
            except (WebSocketDisconnect, RuntimeError, OSError):
                return
            if end is not None:
                return

    def tell_gone(self) -> None:
        """What others see of a node whose connection ended."""
        self._ingest.store.observe(Observation(self.feed.gone(self._ingest.clock())))
