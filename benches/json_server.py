"""`python -m benches.json_server`: the same bid and answer as JSON over `websockets`, on the daemon's kind of loop.

With a state directory as its argument the daemon's own desk, shell, journal and counters serve them: only the wire differs.
Without one, an ask alone does: no session, no memory of answers, no limits, no journal; the least that JSON can cost.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benches.behind import HELD_KWH, STEP_CENTS, Behind, stamped_id
from benches.child import DEVICE
from benches.job import LOSING_MICRO
from benches.wire import JsonAnswer, JsonBid
from etp.clock import Now
from etp.codes import MessageType, RejectCode
from etp.effects import Envelope
from etp.frame import Frame
from etp.ids import Ids
from etp.io.clock import system_now
from runtime.io.journal import Journal
from runtime.io.lifecycle import Lifecycle, announce, run

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
        frame = envelope.frame
        answer = JsonAnswer(
            frame.message_type,
            stamped_id(envelope, self._ids, now),
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
    """The daemon's desk and all that is around it behind JSON: only the wire differs."""

    def __init__(self, journal: Journal) -> None:
        self._behind = Behind(journal)

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
        raw = message.encode() if isinstance(message, str) else message
        self._behind.received(frame, raw, now, connection, lambda: JsonLine(connection, self._behind.ids))


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
