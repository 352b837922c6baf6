"""`python -m benches.grpc_generator JOB`: the closed loop of `benches.generator` over gRPC: a stream each connection, by `grpc.aio`.

There is no cheaper gRPC client in Python, so this generator takes about as much as the server; what each took is shown.
"""

import asyncio
import gc
import sys
import time
from typing import Any, Final

import grpc.aio
import msgspec
import uvloop

from benches.bidders import GRACE_S
from benches.grpc_messages import PATH, Answer, Bid
from benches.job import FIRST_DEVICE, LEAD_EVERY, LEADING_MICRO, LOSING_MICRO, Job, Outcome
from benches.wire import BID_WH, MICRO_PER_CENT, Stamps
from etp.codes import MessageType, RejectCode
from etp.units import WH_PER_KWH

CHANNELS: Final = 8
"""HTTP/2 connections that the streams share."""


class Stream:
    """One bidder: the next bid as soon as the last is answered."""

    def __init__(self, call: Any, device_id: int, load: "Load") -> None:
        self._call, self._device_id, self._load = call, device_id, load
        self._price, self._since_s = 0.0, 0.0

    async def bid(self) -> None:
        """Send one."""
        load = self._load
        self._price, self._since_s = load.price() / MICRO_PER_CENT, time.monotonic()
        load.outcome.sent += 1
        await self._call.write(
            Bid(
                message_type=MessageType.BID,
                message_id=load.stamps.next(),
                device_id=self._device_id,
                ttl=5,
                bid_price=self._price,
                required_energy_amount=BID_WH / WH_PER_KWH,
            )
        )

    async def run(self, until_s: float) -> None:
        """Until the end of the phase; the answer to the last bid is waited for."""
        await self.bid()
        outcome = self._load.outcome
        while True:
            answer = await self._call.read()
            outbid = answer.message_type == MessageType.REJECT and answer.termination_code == RejectCode.OUTBID
            if answer.bid_price != self._price:
                outcome.displaced += outbid
                continue
            if not (outbid or answer.message_type == MessageType.RESPONSE):
                name = f"{MessageType(answer.message_type).name}({answer.termination_code})"
                outcome.wrong[name] = outcome.wrong.get(name, 0) + 1
            now_s = time.monotonic()
            if now_s >= until_s:
                return
            outcome.answer_us.append(int((now_s - self._since_s) * 1e6))
            await self.bid()


class Load:
    """What the streams share."""

    def __init__(self, job: Job) -> None:
        self.job, self.outcome, self.stamps = job, Outcome(), Stamps()
        self._bids = job.begun

    def price(self) -> int:
        """µ/kWh: every tenth bid leads, at a price of its own; so do the others lose."""
        number, self._bids = self._bids, self._bids + 1
        if (number + number // self.job.connections) % LEAD_EVERY == 0:
            return LEADING_MICRO + number
        return LOSING_MICRO + number % (LEADING_MICRO - LOSING_MICRO)


async def generate(job: Job) -> Outcome:
    """Connect, wait for the start, run."""
    load = Load(job)
    target = f"{job.host}:{job.port}"
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(min(CHANNELS, job.connections))]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    streams = []
    for index in range(job.connections):
        call = channels[index % len(channels)].stream_stream(
            PATH, request_serializer=Bid.SerializeToString, response_deserializer=Answer.FromString
        )()
        streams.append(Stream(call, FIRST_DEVICE + index, load))
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    start_s = float(sys.stdin.readline())
    gc.collect()
    gc.disable()
    began_s = time.process_time()
    await asyncio.sleep(max(0.0, start_s - time.monotonic()))
    end_s = start_s + job.seconds
    running = [asyncio.ensure_future(stream.run(end_s)) for stream in streams]
    done, waiting = await asyncio.wait(running, timeout=job.seconds + GRACE_S)
    load.outcome.seconds, load.outcome.unanswered = job.seconds, len(waiting)
    for task in done:
        task.result()
    load.outcome.cpu_s = time.process_time() - began_s
    for task in waiting:
        task.cancel()
    for channel in channels:
        await channel.close()
    return load.outcome


if __name__ == "__main__":
    found = uvloop.run(generate(msgspec.json.decode(sys.argv[1], type=Job)))
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.stdout.flush()
