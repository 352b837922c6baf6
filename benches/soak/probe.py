"""`python -m benches.soak.probe JOB`: a bidder that never wins and never stops asking, in a process and on a host of its own.

Every bid is due at a fixed instant, whatever became of those before (no coordinated omission). It bids below the reserve, so each bid is
to be answered at once by a Reject that names it. One JSON document in a file at the end.
"""

import asyncio
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from etp import messages
from etp.clock import Now
from etp.codes import MessageType, Role
from etp.effects import Envelope
from etp.ids import Ids
from etp.io.clock import system_now
from etp.io.tcp import Connection, dial
from etp.limits import Limits
from etp.profile import Received
from etp.record import NO_LOT, lot_of
from etp.registry import Registry
from etp.session import Bound, Event, Session
from etp.signed import Identity, Signed
from etp.timing import REPLY_BUDGET_MS, Timing
from etp.units import MICRO_PER_CENT, DeviceId, LotId, MicroPerKwh, Wh
from runtime.backoff import Backoff
from runtime.io.key_file import load_key
from runtime.io.registry_file import load_registry

EVERY_S: Final = 0.2
FIRST_MICRO: Final = 20_000
"""Probes bid from here on, µ/kWh, each at a price of its own for so many bids: below the reserve of the soak's batteries."""
PRICES: Final = 50_000
ENERGY: Final = Wh(100)
DIAL_S: Final = 2.0
RETRY: Final = Backoff(first_s=0.1, limit_s=0.5)
GROUP: Final = ("239.192.77.77", 8888)


class Job(msgspec.Struct):
    """What a probe is told."""

    registry: str
    targets: list[tuple[int, str, int, str]]
    """(device_id of the probe, file of its key, device_id of the battery, its address HOST:PORT)."""
    until_s: float
    """Wall time, unix seconds."""
    into: str
    """The file of the outcome: megabytes, of which a pipe may lose the end when its writer is gone."""


class Bid(msgspec.Struct):
    """One scheduled bid."""

    due_s: float
    """Wall time, unix seconds."""
    battery: int
    sent: bool = False
    """Whether there was a session to send it over."""
    answer_ms: float | None = None
    """From the instant it was due to its answer; None: none came."""


class Outcome(msgspec.Struct):
    """What came of it."""

    bids: list[Bid]
    sent: dict[str, int]
    received: dict[str, int]


@dataclass
class Probe:
    """One device's session with one battery."""

    device_id: DeviceId
    battery: DeviceId
    address: tuple[str, int]
    profile: Signed
    outcome: Outcome
    open: dict[int, Bid] = field(default_factory=dict)
    """Unanswered bids by their price, µ/kWh."""
    connection: Connection | None = None
    bound: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    lot_id: LotId = NO_LOT
    number: int = 0

    # -- the session's owner

    def connected(self, connection: Connection, now: Now) -> Session | None:  # noqa: ARG002 - etp.io.tcp's Owner
        """A session of its own."""
        return Session(Role.AGGREGATOR, self.device_id, self.profile, Limits(), now, expected=self.battery)

    def happened(self, connection: Connection, event: Event, now: Now) -> None:  # noqa: ARG002
        """Match answers to bids."""
        if isinstance(event, Bound):
            self.bound = True
        if not isinstance(event, Received):
            return
        kind = MessageType(event.frame.message_type)
        self._count(self.outcome.received, kind)
        if kind is MessageType.RESPONSE:
            self.lot_id = lot_of(event.raw) or NO_LOT
        if kind is MessageType.REJECT:
            bid = self.open.pop(round(event.frame.bid_price * MICRO_PER_CENT), None)
            if bid is not None:
                bid.answer_ms = (time.time() - bid.due_s) * 1000

    @staticmethod
    def _count(counts: dict[str, int], kind: MessageType) -> None:
        counts[kind.name] = counts.get(kind.name, 0) + 1

    def turned(self) -> None:
        """Nothing is kept for the end of a turn."""

    def disconnected(self, connection: Connection, now: Now) -> None:  # noqa: ARG002
        """What was unanswered stays so."""
        self.bound, self.connection = False, None
        self.ended.set()

    # -- bids

    def bid(self, due_s: float) -> None:
        """One scheduled bid."""
        price = FIRST_MICRO + self.number % PRICES
        self.number += 1
        made = Bid(due_s, self.battery)
        self.outcome.bids.append(made)
        if self.connection is None or not self.bound:
            return
        made.sent, self.open[price] = True, made
        self._send(messages.bid(self.device_id, price=MicroPerKwh(price), energy=ENERGY), self.lot_id)

    def _send(self, frame: Any, lot_id: LotId = NO_LOT) -> None:
        assert self.connection is not None
        now, envelope = system_now(), Envelope(frame, lot_id=lot_id)
        self.profile.stamp(envelope, self.battery, now)
        self._count(self.outcome.sent, MessageType(frame.message_type))
        self.connection.send(envelope, now)

    async def keep(self, rng: random.Random) -> None:
        """Dial again and again."""
        attempt = 0
        while True:
            self.ended.clear()
            try:
                connection = await dial(*self.address, self, system_now, timeout_s=DIAL_S, expected=self.battery)
            except (OSError, TimeoutError):
                attempt += 1
            else:
                attempt, self.connection = 0, connection
                if not self.ended.is_set():
                    self._send(messages.query(self.device_id))
                await self.ended.wait()
            await asyncio.sleep(RETRY.delay_s(attempt, rng))


def _probes(job: Job, registry: Registry, outcome: Outcome) -> list[Probe]:
    made = []
    for own, key, battery, address in job.targets:
        now = system_now()
        identity = Identity(DeviceId(own), Role.AGGREGATOR, load_key(Path(key)), now.wall_us // 1_000_000)
        profile = Signed(identity, registry, Ids(now.wall_us), group=GROUP, timing=Timing(), started=now)
        host, port = address.rsplit(":", 1)
        made.append(Probe(DeviceId(own), DeviceId(battery), (host, int(port)), profile, outcome))
    return made


async def probe(job: Job) -> Outcome:
    """Bid until the job's end, and wait for the last answers."""
    outcome = Outcome([], {}, {})
    probes = _probes(job, load_registry(Path(job.registry)), outcome)
    keepers = [asyncio.ensure_future(each.keep(random.Random(each.device_id))) for each in probes]
    due_s = time.time() + EVERY_S
    try:
        while due_s < job.until_s:
            await asyncio.sleep(max(0.0, due_s - time.time()))
            for each in probes:
                each.bid(due_s)
            due_s += EVERY_S
        await asyncio.sleep(2 * REPLY_BUDGET_MS / 1000)
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
    return outcome


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.argv[1], type=Job)
    Path(asked.into).write_bytes(msgspec.json.encode(uvloop.run(probe(asked))))
