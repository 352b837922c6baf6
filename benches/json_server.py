"""`python -m benches.json_server`: the same bid and answer as JSON over `websockets`, on the daemon's kind of loop.

With a state directory as its argument the daemon's own desk, shell, journal and counters serve them: only the wire differs.
Without one, an ask alone does: no session, no memory of answers, no limits, no journal; the least that JSON can cost.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benches.child import DEVICE
from benches.job import LOSING_MICRO
from benches.wire import JsonAnswer, JsonBid
from bess_node.build import desk_of, limits_of
from bess_node.settings import BessSettings
from etp.clock import Now
from etp.codes import MessageType, RejectCode
from etp.effects import Envelope
from etp.frame import Frame, invalid
from etp.ids import Ids
from etp.io.clock import system_now
from etp.profile import Plain
from etp.roster import Roster
from etp.units import DeviceId
from runtime.histogram import Metrics
from runtime.io.journal import Journal
from runtime.io.lifecycle import Lifecycle, announce, run
from runtime.io.shell import Shell

STEP_CENTS: Final = 0.0001
HELD_KWH: Final = 1_000_000.0
SETTINGS: Final = BessSettings(
    device_id=DEVICE, increment=STEP_CENTS, closing_ms=600_000, lot_max_s=86_400, capacity_kwh=HELD_KWH,
    discharge_kw=100_000, for_sale=100, bid_rate=100_000,
)  # fmt: skip
"""An open market as the daemon's beside it."""
_DECODER: Final = msgspec.json.Decoder(JsonBid)
_ENCODER: Final = msgspec.json.Encoder()


class Ask:
    """An ask that rises with each bid that meets it."""

    def __init__(self) -> None:
        self._ask = LOSING_MICRO * STEP_CENTS
        self._ids = Ids()

    def received(self, connection: ServerConnection, message: str | bytes) -> None:
        """Response or Reject(OUTBID)."""
        bid = _DECODER.decode(message)
        leads = bid.bid_price >= self._ask
        if leads:
            self._ask = bid.bid_price + STEP_CENTS
        kind, code = (MessageType.RESPONSE, 0) if leads else (MessageType.REJECT, int(RejectCode.OUTBID))
        share, message_id = 100.0 if leads else 0.0, self._ids.next(system_now().wall_us)
        answer = JsonAnswer(int(kind), message_id, DEVICE, 5, bid.bid_price, self._ask, HELD_KWH, share, code)
        broadcast((connection,), _ENCODER.encode(answer).decode())


class JsonLine:
    """One connection as the shell sends on it: the answer's fields as JSON, an id of now where it has none yet."""

    def __init__(self, connection: ServerConnection, ids: Ids) -> None:
        self.session = None
        self.connection, self._ids = connection, ids

    def send(self, envelope: Envelope, now: Now) -> None:
        """Write an answer."""
        frame, raw = envelope.frame, envelope.raw
        answer = JsonAnswer(
            frame.message_type,
            self._ids.next(now.wall_us) if raw is None else int.from_bytes(raw[1:9], "little"),
            frame.device_id,
            frame.ttl,
            frame.bid_price,
            frame.sale_price,
            frame.energy_total,
            frame.percentage_for_sale,
            frame.termination_code,
        )
        broadcast((self.connection,), _ENCODER.encode(answer).decode())


class JsonDesk:
    """The daemon's desk, shell, journal and counters behind JSON: only the wire differs."""

    def __init__(self, journal: Journal) -> None:
        self._ids, self._metrics, now = Ids(journal.mark), Metrics(), system_now()
        limits = limits_of(SETTINGS)
        self._desk = desk_of(SETTINGS, series=None, level=None, profile=Plain(self._ids), limits=limits, now=now)
        self._roster: Roster[Any] = Roster(limits)
        self._shell = Shell(
            self._desk, journal=journal, roster=self._roster, ids=self._ids, metrics=self._metrics, clock=system_now
        )
        self._shell.apply(self._desk.opened(now), now)

    def received(self, connection: ServerConnection, message: str | bytes) -> None:
        """What the desk says to a bid, to whom it says it."""
        bid, now = _DECODER.decode(message), system_now()
        frame = Frame(
            bid.message_type,
            bid.message_id,
            bid.device_id,
            bid.ttl,
            bid_price=bid.bid_price,
            required_energy_amount=bid.required_energy_amount,
        )
        if invalid(frame) is not None:
            raise ValueError("the bench's own bid is refused")
        device = DeviceId(bid.device_id)
        line = self._roster.get(device)
        if line is None or line.connection is not connection:
            self._roster.bind(device, JsonLine(connection, self._ids))
        raw = message.encode() if isinstance(message, str) else message
        self._metrics.received(frame.message_type, frame.message_id, now)
        self._shell.apply(self._desk.receive(device, frame, raw, now), now)
        self._shell.turned()


async def serve_json(lifecycle: Lifecycle, received: Callable[[ServerConnection, str | bytes], None]) -> int:
    """Until SIGTERM."""

    async def handle(connection: ServerConnection) -> None:
        async for message in connection:
            received(connection, message)

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=1024) as server:
        host, port = next(iter(server.sockets)).getsockname()
        announce({"tcp": f"{host}:{port}"})
        await lifecycle.stopping.wait()
    return 0


async def main(lifecycle: Lifecycle) -> int:
    """As the arguments say."""
    if len(sys.argv) == 1:
        return await serve_json(lifecycle, Ask().received)
    journal = await asyncio.to_thread(Journal.open, Path(sys.argv[1]), role="bess", device_id=DEVICE)
    try:
        return await serve_json(lifecycle, JsonDesk(journal).received)
    finally:
        journal.close()


if __name__ == "__main__":
    sys.exit(run(main))
