"""How long an aggregator that starts needs to know 50 batteries: from its first Query to the answer of the last one.

The batteries are real daemons with journals and sockets of their own, two processes full; the aggregator's side is the
discovery core in its own shell. Each battery waits a random 0 to 50 ms before it answers, so that is what must be seen: the least
for one of them is half of that in the median, and a datagram there and back.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from benches.child import group, running
from benches.fleet import batteries
from benches.plan import Plan
from benches.report import MS, Figure, Report, percentile
from benches.round_trips import TRIPS, datagrams_ms
from etp.codes import MessageType
from etp.discovery import Event, PeerFound
from etp.discovery_limits import DiscoveryLimits
from etp.frame import FRAME_SIZE
from etp.ids import Ids
from etp.io.clock import system_now
from etp.io.multicast import open_multicast
from etp.peers import AggregatorDiscovery
from etp.profile import Plain
from etp.timing import TIMING, Timing
from etp.units import DeviceId
from runtime.settings import parse_address

BATTERIES: Final = 50
PROCESSES: Final = 2
SEARCHES: Final = 5
LONGEST_S: Final = 20.0
MOST_MS: Final = float(TIMING[MessageType.QUERY].max_delay_ms)
INTERFACE: Final = "127.0.0.1"
FIRST_SEARCHER: Final = 500


async def search(address: tuple[str, int], device_id: int, wanted: int) -> list[float]:
    """When each battery was found, ms after the first Query; fewer than wanted where the time is up."""
    found_ms: dict[int, float] = {}
    everyone = asyncio.Event()
    began_s = time.monotonic()

    def note(event: Event) -> None:
        if isinstance(event, PeerFound):
            found_ms.setdefault(event.device_id, (time.monotonic() - began_s) * 1000)
            if len(found_ms) == wanted:
                everyone.set()

    try:
        async with asyncio.timeout(LONGEST_S):
            await _search_until(everyone, address, device_id, note)
    except TimeoutError:
        return sorted(found_ms.values())
    return sorted(found_ms.values())


async def _search_until(
    everyone: asyncio.Event, address: tuple[str, int], device_id: int, note: Callable[[Event], None]
) -> None:
    rng, searcher = random.Random(device_id), DeviceId(device_id)
    core = AggregatorDiscovery(
        searcher, address, profile=Plain(Ids()), rng=rng, limits=DiscoveryLimits(), timing=Timing()
    )
    shell = await open_multicast(core, address, INTERFACE, listen=(INTERFACE, 0), clock=system_now, on_event=note)
    running = asyncio.create_task(shell.run())
    try:
        await everyone.wait()
    finally:
        shell.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def run(plan: Plan) -> Report:
    """Measure."""
    wanted, searches, where = plan.size(BATTERIES, 3), plan.size(SEARCHES, 1), group()
    with plan.scratch() as directory, batteries(wanted, PROCESSES, directory, where, {}):
        address = parse_address("group", where)
        found = [asyncio.run(search(address, FIRST_SEARCHER + number, wanted)) for number in range(searches)]
        with running("benches.echo", (), directory / "echo.log") as echo:
            there_and_back = datagrams_ms(parse_address("udp", echo.line()["udp"]), FRAME_SIZE, plan.size(TRIPS, 20))
    echo_ms = percentile(sorted(there_and_back), 50)
    least_ms = DiscoveryLimits().reply_delay_ms / 2 + echo_ms
    every = sorted(value for one in found for value in one)
    return Report(
        f"{wanted} batteries in {PROCESSES} processes, {searches} searches of aggregators that just started",
        [
            Figure("found, the worst search", min(len(one) for one in found), "batteries", least=wanted),
            Figure("a battery found p50", round(percentile(every, 50), 2), MS),
            Figure("a battery found p99", round(percentile(every, 99), 2), MS),
            Figure("the last one found, worst", round(percentile(every, 100), 2), MS, most=MOST_MS),
            Figure("a datagram there and back p50", round(echo_ms, 3), MS),
            Figure("found p50, times its least", round(percentile(every, 50) / least_ms, 2), "×"),
        ],
    )
