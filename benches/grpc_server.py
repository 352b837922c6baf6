"""`python -m benches.grpc_server STATE_DIR`: the battery's desk behind gRPC (`grpc.aio`), a stream each bidder, protocol buffers."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from benches.behind import Behind, stamped_id
from benches.child import DEVICE
from benches.grpc_messages import METHOD, SERVICE, Answer, Bid
from etp.clock import Now
from etp.effects import Envelope
from etp.frame import Frame
from etp.ids import Ids
from etp.io.clock import system_now
from runtime.io.journal import Journal
from runtime.io.lifecycle import Lifecycle, announce, run


class GrpcLine:
    """One bidder's stream as the shell sends on it."""

    session = None

    def __init__(self, waiting: "asyncio.Queue[Any]", ids: Ids) -> None:
        self.connection, self._ids = waiting, ids

    def send(self, envelope: Envelope, now: Now) -> None:
        """Hand an answer to the stream."""
        frame = envelope.frame
        self.connection.put_nowait(
            Answer(
                message_type=frame.message_type,
                message_id=stamped_id(envelope, self._ids, now),
                device_id=frame.device_id,
                ttl=frame.ttl,
                bid_price=frame.bid_price,
                sale_price=frame.sale_price,
                energy_total=frame.energy_total,
                percentage_for_sale=frame.percentage_for_sale,
                termination_code=frame.termination_code,
            )
        )


class Service:
    """Streams of bids to one desk."""

    def __init__(self, journal: Journal) -> None:
        self._behind = Behind(journal)

    async def trade(self, bids: AsyncIterator[Any], context: Any) -> None:
        """One bidder: its answers are written as they come, while its bids are read."""
        waiting: asyncio.Queue[Any] = asyncio.Queue()
        writer = asyncio.ensure_future(self._write(context, waiting))
        try:
            async for bid in bids:
                frame = Frame(
                    bid.message_type,
                    bid.message_id,
                    bid.device_id,
                    bid.ttl,
                    bid_price=bid.bid_price,
                    required_energy_amount=bid.required_energy_amount,
                )
                self._behind.received(
                    frame, bid.SerializeToString(), system_now(), waiting, lambda: GrpcLine(waiting, self._behind.ids)
                )
        finally:
            writer.cancel()

    @staticmethod
    async def _write(context: Any, waiting: "asyncio.Queue[Any]") -> None:
        while True:
            await context.write(await waiting.get())


async def main(lifecycle: Lifecycle) -> int:
    """Serve until SIGTERM."""
    journal = await asyncio.to_thread(Journal.open, Path(sys.argv[1]), role="bess", device_id=DEVICE)
    try:
        handler = grpc.stream_stream_rpc_method_handler(
            Service(journal).trade, request_deserializer=Bid.FromString, response_serializer=Answer.SerializeToString
        )
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        announce({"tcp": f"127.0.0.1:{port}"})
        await lifecycle.stopping.wait()
        await server.stop(0)
    finally:
        journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
