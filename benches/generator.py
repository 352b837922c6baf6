"""`python -m benches.generator`: one load phase in a process of its own; job on stdin, outcome on stdout.

Says that it is ready once all connections are greeted, and begins at the instant (CLOCK_MONOTONIC) that it is told.
"""

import gc
import sys
import time

import msgspec

from benches.bidders import Bidder, ClosedBidder, Trader
from benches.job import FIRST_DEVICE, Job, Outcome
from benches.pool import connected
from benches.wire import WIRES, Stamps
from runtime.io.lifecycle import raise_open_file_limit

FILES_BESIDE_CONNECTIONS = 64


def bidder_of(job: Job) -> type[Bidder]:
    """What the job asks for."""
    if job.trades:
        return Trader
    return Bidder if job.rate else ClosedBidder


def generate(job: Job) -> Outcome:
    """Connect, wait for the start, run."""
    stamps = Stamps()
    raise_open_file_limit(job.connections + FILES_BESIDE_CONNECTIONS)
    wires = [WIRES[job.wire](FIRST_DEVICE + index, stamps) for index in range(job.connections)]
    with connected((job.host, job.port), wires) as pool:
        sys.stdout.write('{"ready": true}\n')
        sys.stdout.flush()
        start_s = float(sys.stdin.readline())
        gc.collect()
        gc.disable()  # a pause of the generator would count as one of the server
        began_s = time.process_time()
        outcome = bidder_of(job)(pool, job, stamps).run(start_s)
        outcome.cpu_s = time.process_time() - began_s
    return outcome


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(generate(msgspec.json.decode(sys.argv[1], type=Job))))
    sys.stdout.flush()
