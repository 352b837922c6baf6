"""Several gateways over one database: a Redis stream carries the events of each to the clients of all, in one order.

A script in Redis numbers an event and appends it in one step, so its numbers are whole: the next entry is the last one plus 1,
or something was lost. The counter lives beside the stream, under the database's epoch; where Redis has lost it, it begins
above all numbers that the database knows of, and where an older copy of Redis came back, above what was seen last: no number
is given twice, so the epoch stays.

Nothing stored depends on Redis. While it is away, events wait in a bounded queue; what finds no room is telemetry, which is
dropped, or durable, which is read from the database again. Durable events may come twice, with the same `id`.

Beside the stream each gateway says now and then which nodes it holds, so that those of one that dies are not taken to be online
for ever (`gateway.replicas`).
"""

import asyncio
import contextlib
import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import structlog
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from etp.units import MonotonicS
from gateway.events import AnyEvent, Event
from gateway.io.database import said
from gateway.io.store import Store
from gateway.replicas import BEAT_S, Beat, Replicas
from runtime.settings import SettingsError

HELD: Final = 20_000
"""Entries that the stream keeps, about: twice a gateway's ring, so that one that was away for a moment misses nothing."""
MARGIN: Final = 100_000
"""How far above all known numbers a lost counter begins: what other gateways may have given out meanwhile."""
MOST_WAITING: Final = 20_000
"""Events that wait while Redis is away: 100 s at 200 a second."""
AT_ONCE: Final = 500
"""Events of one call, either way."""
MOST_IDS: Final = 50_000
"""Ids of durable events that are remembered, to tell of each once."""
BLOCK_MS: Final = 2_000
"""A read waits so long for the next entry, then asks again: a dead connection is known by then."""
PATIENCE_S: Final = 10.0
AGAIN_S: Final = 1.0
"""After a failure, Redis is tried again."""
SOON_S: Final = 0.1
"""A node that comes is named by a beat within this and a round trip: thousands that come at once are named by few."""
FAREWELL_S: Final = 2.0
"""What waits at the end is sent within this, or by the next gateway that starts."""

NUMBER: Final = """
local seq = tonumber(redis.call('GET', KEYS[1]))
if not seq then seq = tonumber(ARGV[1]) end
if seq < tonumber(ARGV[2]) then seq = tonumber(ARGV[2]) + tonumber(ARGV[3]) end
local seqs = {}
for i = 5, #ARGV do
  seq = seq + 1
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], string.format('%.0f-0', seq), 'e', ARGV[i])
  seqs[#seqs + 1] = seq
end
redis.call('SET', KEYS[1], string.format('%.0f', seq))
return seqs
"""
"""counter, stream; where to begin, newest seen, margin, held, events… → their numbers. Exact: they stay below 2^53."""

Told: TypeAlias = tuple[int | None, Event]
_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(AnyEvent)
_beat_decoder: Final = msgspec.json.Decoder(Beat)
_FAULTS: Final = (RedisError, OSError, TimeoutError)


class Bus:
    """One gateway's place at the bus."""

    def __init__(self, client: Any, store: Store) -> None:
        self.on_skipped: Callable[[int], None] = lambda _: None
        """Told that events up to a number did not come."""
        self.devices: Callable[[], Iterable[int]] = lambda: ()
        """The nodes that are connected to this gateway."""
        self.on_orphans: Callable[[Iterable[int]], None] = lambda _: None
        """Told which nodes a gateway held that is silent: again and again, until it is forgotten."""
        self.seq = 0
        """Of the newest event that came."""
        self.dropped = 0
        self.connected = True
        self._client, self._store = client, store
        self._script = client.register_script(NUMBER)
        self._counter = f"etp:{{{store.epoch}}}:seq"
        self._stream = f"etp:{{{store.epoch}}}:events"
        self._beats = f"etp:{{{store.epoch}}}:gateways"
        self._replicas = Replicas(secrets.token_hex(8))
        self._waiting: deque[Told] = deque()
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()
        self._lost = self._reread = False
        self._read_up_to = 0
        self._closing, self._closed = asyncio.Event(), asyncio.Event()
        self._running = False
        self._ids: dict[str, None] = {}
        self._log = structlog.get_logger()

    @classmethod
    async def open(cls, url: str, store: Store) -> "Bus":
        """Join. Raises SettingsError where Redis cannot be reached at the start."""
        once = Retry(NoBackoff(), 0)  # what failed is tried again here, where it is known what that means
        client = Redis.from_url(url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S, retry=once)
        try:
            await client.ping()
        except _FAULTS as error:
            await client.aclose()
            raise SettingsError("redis", _without_password(url), f"expected a Redis server there: {error}") from error
        except ValueError as error:
            raise SettingsError("redis", _without_password(url), f"is no URL of a Redis server: {error}") from error
        return cls(client, store)

    async def newest(self, limit: int) -> list[Event]:
        """The newest events, telemetry too, oldest first; reading goes on after them. Raises SettingsError."""
        try:
            entries = await self._client.xrevrange(self._stream, count=limit)
            counter = await self._client.get(self._counter)
        except _FAULTS as error:
            raise SettingsError("redis", "", f"Redis does not answer: {error}") from error
        events = [self._event(entry) for entry in reversed(entries)]
        self.seq = events[-1].seq if events else int(counter or 0)
        self._ids.update((event.id, None) for event in events if event.id is not None)
        return events

    async def number(self, told: Sequence[Told]) -> None:
        """Events for all gateways, ours too: see `gateway.io.store.Bus`. Does not wait for Redis."""
        for pair in told:
            if self._reread and pair[0] is not None:
                continue  # it is read again after those before it
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(pair)
            elif pair[0] is None:
                self.dropped += 1
                self._lost = True
            else:
                self._reread = True
        self._wake.set()

    async def run(self) -> None:
        """Send and receive until `close`."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as tasks:
                working = [tasks.create_task(each()) for each in (self._receive_on, self._send_on, self._beat_on)]
                try:
                    await self._closing.wait()
                finally:
                    self._closing.set()  # a cancellation that comes with a timeout may be lost in the client
                    for task in working:
                        task.cancel()
            with contextlib.suppress(*_FAULTS):
                async with asyncio.timeout(FAREWELL_S):
                    while self._waiting:
                        await self._send()
        finally:
            await self._client.aclose()
            self._closed.set()

    async def close(self) -> None:
        """Send what waits, if that is done at once, and leave. Call it after the store's last word."""
        self._closing.set()
        self._wake.set()
        self._hurry.set()
        if self._running:
            await self._closed.wait()
        else:  # the gateway refused to start
            await self._client.aclose()

    # -- sending

    async def _send_on(self) -> None:
        await self._read_again()  # what an earlier life stored and did not send
        while not self._closing.is_set():
            await self._wake.wait()
            self._wake.clear()
            while (self._waiting or self._reread) and not self._closing.is_set():
                try:
                    await self._send()
                except _FAULTS as error:
                    await self._failed(error)
                if self._reread and not self._waiting:
                    await self._read_again()

    async def _read_again(self) -> None:
        """Durable events that found no room, from the database: before those that came while it was read."""
        self._reread = False
        try:
            found = await self._store.unnumbered(MOST_WAITING, self._read_up_to)
            if len(found) == MOST_WAITING:  # there is more, which stands before what came meanwhile
                self._reread = True
                self._waiting = deque(pair for pair in self._waiting if pair[0] is None)
            # What is sent is marked by and by: the next page begins behind it.
            self._read_up_to = found[-1][0] if self._reread and found else 0
            self._waiting.extendleft(reversed(found))
        except (SQLAlchemyError, OSError) as error:
            self._log.error("bus_cannot_read_store", error=said(error), kind="database")
            self._reread = True
            await asyncio.sleep(AGAIN_S)
        self._wake.set()

    async def _send(self) -> None:
        batch = list(itertools.islice(self._waiting, AT_ONCE))
        if not batch:
            return
        texts = [_encode(event) for _, event in batch]
        begin = self._store.seq + MARGIN
        seqs = await self._script(keys=[self._counter, self._stream], args=[begin, self.seq, MARGIN, HELD, *texts])
        for _ in batch:
            self._waiting.popleft()
        pairs = zip(batch, seqs, strict=True)
        self._store.numbered([(number, seq) for (number, _), seq in pairs if number is not None])
        if self._lost and not self._waiting:
            self._lost = False
            self.on_skipped(self.seq)
        self._works()

    # -- the other gateways

    def hurry(self) -> None:
        """A node came: say so before the next beat is due, lest it stay online for ever if we end now."""
        self._hurry.set()

    async def _beat_on(self) -> None:
        for number in itertools.count(1):
            self._hurry.clear()
            try:
                beats = await self._beat(number)
                verdict = self._replicas.look(beats, MonotonicS(time.monotonic()))
                if verdict.forgotten:
                    await self._client.hdel(self._beats, *verdict.forgotten)
            except _FAULTS as error:
                self._replicas.failed()
                await self._failed(error)
                continue
            self._works()
            if verdict.orphans:
                self._log.warning("gateway_silent", nodes=len(verdict.orphans), kind="replica")
                self.on_orphans(verdict.orphans)
            await asyncio.sleep(SOON_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), BEAT_S - SOON_S)
            if self._closing.is_set():
                return

    async def _beat(self, number: int) -> Mapping[str, Beat]:
        """Say which nodes are here; what all gateways said last."""
        await self._client.hset(self._beats, self._replicas.own, _encode(Beat(number, frozenset(self.devices()))))
        beats = {}
        for name, text in (await self._client.hgetall(self._beats)).items():
            with contextlib.suppress(msgspec.DecodeError):  # of another version
                beats[name.decode()] = _beat_decoder.decode(text)
        return beats

    # -- receiving

    async def _receive_on(self) -> None:
        while not self._closing.is_set():
            try:
                found = await self._client.xread({self._stream: f"{self.seq}-0"}, count=AT_ONCE, block=BLOCK_MS)
            except _FAULTS as error:
                await self._failed(error)
                continue
            self._works()
            for _, entries in found:
                self._came([self._event(entry) for entry in entries])

    def _came(self, events: Sequence[Event]) -> None:
        if not events:
            return
        if self.seq and events[0].seq != self.seq + 1:
            self._log.warning("bus_gap", after=self.seq, next=events[0].seq)
            self.on_skipped(events[0].seq - 1)
        self.seq = events[-1].seq
        self._store.deliver([event for event in events if self._is_new(event)])

    def _is_new(self, event: Event) -> bool:
        if event.id is None:
            return True
        if event.id in self._ids:
            return False
        self._ids[event.id] = None
        if len(self._ids) > MOST_IDS:
            del self._ids[next(iter(self._ids))]
        return True

    def _event(self, entry: tuple[bytes, dict[bytes, bytes]]) -> Event:
        number, fields = entry
        event: Event = _decoder.decode(fields[b"e"])
        return replace(event, epoch=self._store.epoch, seq=int(number.partition(b"-")[0]))

    # -- failures

    async def _failed(self, error: BaseException) -> None:
        if self.connected:
            self._log.error("bus_is_away", error=str(error), kind="redis")
        self.connected = False
        await asyncio.sleep(AGAIN_S)

    def _works(self) -> None:
        if not self.connected:
            self.connected = True
            self._log.info("bus_is_back")


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
