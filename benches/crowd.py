"""1,000 aggregators connected to one battery that do nothing: its memory, and the processor time that this costs it.

Each is greeted with a Response and gets a Status every 5 s, which is all that a battery does for them unasked.
"""

import time
from typing import Final

from benches.child import Child, battery
from benches.job import FIRST_DEVICE
from benches.plan import Plan
from benches.pool import Line, Pool, connected
from benches.report import Figure, Report
from benches.wire import EtpWire, Stamps
from runtime.io.lifecycle import raise_open_file_limit

AGGREGATORS: Final = 1_000
QUIET_S: Final = 5.0
IDLE_S: Final = 10.0
"""Two periods of Status."""
MOST_MIB: Final = 100.0
MOST_CPU_PERCENT: Final = 2.0
"""Of one core, with everyone connected: what 200 Status frames a second may cost."""
MOST_ALONE_PERCENT: Final = 0.5
"""Of one core, with nobody connected."""
FILES_BESIDE: Final = 100


def _read(_: Line[EtpWire], __: bytes) -> None:
    """What comes is taken, so that no socket fills."""


def _cpu_percent(server: Child, seconds: float, pool: Pool[EtpWire]) -> float:
    end_s, before_s = time.monotonic() + seconds, server.cpu_s()
    while (left_s := end_s - time.monotonic()) > 0:
        pool.wait(left_s, _read)
    return 100 * (server.cpu_s() - before_s) / seconds


def run(plan: Plan) -> Report:
    """Measure."""
    count = plan.size(AGGREGATORS, 20)
    raise_open_file_limit(count + FILES_BESIDE)
    stamps = Stamps()
    with plan.scratch() as directory, battery(directory) as (server, address):
        with connected(address, list[EtpWire]()) as nobody:
            alone = _cpu_percent(server, plan.phase_s(QUIET_S), nobody)
        empty_mib, began_s = server.memory_mib(), time.monotonic()
        wires = [EtpWire(FIRST_DEVICE + index, stamps) for index in range(count)]
        with connected(address, wires) as pool:
            connecting_s = time.monotonic() - began_s
            idle = _cpu_percent(server, plan.phase_s(IDLE_S), pool)
            memory_mib = server.memory_mib()
    return Report(
        f"{count:,} aggregators connected to one battery, no bids",
        [
            Figure("memory (RSS)", round(memory_mib, 1), "MiB", most=MOST_MIB),
            Figure("memory without any", round(empty_mib, 1), "MiB"),
            Figure("memory an aggregator", round(1024 * (memory_mib - empty_mib) / count, 1), "KiB"),
            Figure("idle, share of a core", round(idle, 2), "%", most=plan.cold(MOST_CPU_PERCENT)),
            Figure("idle without any, share of a core", round(alone, 2), "%", most=plan.cold(MOST_ALONE_PERCENT)),
            Figure("connected and answered, one by one", round(connecting_s, 2), "s"),
        ],
    )
