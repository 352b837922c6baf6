"""`python -m benches.mqtt_server STATE_DIR BROKER_PORT`: the battery's desk behind an MQTT broker, by `aiomqtt`; payloads are ETP frames.

Bids come on `bids/DEVICE`, answers go to `answers/BIDDER`; QoS 0, since the protocol has repetition and memory of its own.
"""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Final

import aiomqtt

from benches.behind import Behind, stamped_id
from benches.child import DEVICE
from etp.clock import Now
from etp.effects import Envelope
from etp.frame import decode, encode
from etp.ids import Ids
from etp.io.clock import system_now
from etp.units import MessageId
from runtime.io.journal import Journal
from runtime.io.lifecycle import Lifecycle, announce, run

BIDS: Final = f"bids/{DEVICE}"
ANSWERS: Final = "answers/{}"
WAITING: Final = 100_000
"""Answers that the broker has not taken; far more than a closed loop can have on its way."""

NO_DELAY: Final = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
"""Without it every answer waits for the acknowledgement of the one before, up to 40 ms."""

Waiting = asyncio.Queue[tuple[str, bytes]]


class MqttLine:
    """One bidder's topic as the shell sends on it."""

    session = None

    def __init__(self, bidder: int, ids: Ids, waiting: Waiting) -> None:
        self.connection = BIDS
        self._topic, self._ids, self._waiting = ANSWERS.format(bidder), ids, waiting

    def send(self, envelope: Envelope, now: Now) -> None:
        """Publish an answer."""
        frame = envelope.frame._replace(message_id=MessageId(stamped_id(envelope, self._ids, now)))
        self._waiting.put_nowait((self._topic, encode(frame)))


async def _answer(client: aiomqtt.Client, waiting: Waiting) -> None:
    while True:
        topic, payload = await waiting.get()
        await client.publish(topic, payload, qos=0)


async def _judge(client: aiomqtt.Client, behind: Behind, waiting: Waiting) -> None:
    async for message in client.messages:
        raw = message.payload
        assert isinstance(raw, bytes)
        frame = decode(raw)
        bidder = frame.device_id
        behind.received(frame, raw, system_now(), BIDS, lambda bidder=bidder: MqttLine(bidder, behind.ids, waiting))  # type: ignore[misc]


async def main(lifecycle: Lifecycle) -> int:
    """Serve until SIGTERM."""
    journal = await asyncio.to_thread(Journal.open, Path(sys.argv[1]), role="bess", device_id=DEVICE)
    try:
        behind, waiting = Behind(journal), Waiting(WAITING)
        async with aiomqtt.Client(
            "127.0.0.1", int(sys.argv[2]), identifier="battery", socket_options=[NO_DELAY]
        ) as client:
            client.pending_calls_threshold = WAITING
            await client.subscribe(BIDS, qos=0)
            tasks = [
                asyncio.ensure_future(_answer(client, waiting)),
                asyncio.ensure_future(_judge(client, behind, waiting)),
            ]
            announce({"tcp": f"127.0.0.1:{sys.argv[2]}"})
            await lifecycle.stopping.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
