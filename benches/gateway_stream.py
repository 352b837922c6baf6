"""1,000 dashboards that watch everything, 100 of them without reading: how old an event is when the others have it.

The gateway is `etp gateway` as it is. Batteries feed it from one process, dashboards watch from two more; an event's age is
from the instant at which its battery had it due to the instant at which a dashboard has decoded it.
"""

import time
from collections import Counter
from collections.abc import Mapping
from math import ceil
from typing import Final
from urllib.parse import urlsplit

import msgspec

from benches.child import Child, running
from benches.plan import Plan
from benches.report import MS, Figure, Report
from benches.tellers import Telling
from benches.watchers import CLASS_MS, Seen, Span, Watch

DASHBOARDS: Final = 1_000
STALLED: Final = 100
BATTERIES: Final = 20
RATE: Final = 200.0
SETTLE_S: Final = 3.0
"""From the last connection to the first age that counts."""
SECONDS: Final = 25.0
"""Longer than the 10 s after which the gateway gives stalled clients up."""
MOST_P99_MS: Final = 250.0
MOST_MIB: Final = 300.0
PROCESSES: Final = 2


def percentile(ages: Mapping[int, int], percent: float) -> float:
    """The age that `percent` of all do not exceed, ms, from the upper bounds of their classes; NaN without any."""
    rank, before = ceil(sum(ages.values()) * percent / 100), 0
    for index in sorted(ages):
        before += ages[index]
        if before >= rank:
            return (index + 1) * CLASS_MS
    return float("nan")


def _told(child: Child, job: msgspec.Struct) -> None:
    child.tell(msgspec.json.encode(job))


def run(plan: Plan) -> Report:
    """Measure."""
    dashboards, stalled = plan.size(DASHBOARDS, 20), plan.size(STALLED, 2)
    seconds, settle_s = plan.phase_s(SECONDS), plan.size(round(SETTLE_S), 1)
    arguments = ["gateway", "--listen", "127.0.0.1:0", "--open", "--log-level", "warning"]
    with (
        plan.scratch() as directory,
        running(
            "cli.main", [*arguments, "--state-dir", str(directory / "gateway")], directory / "gateway.log"
        ) as gateway,
        running("benches.tellers", [], directory / "tellers.log") as tellers,
        running("benches.watchers", [], directory / "watchers.0.log") as first,
        running("benches.watchers", [], directory / "watchers.1.log") as second,
    ):
        address = urlsplit(gateway.line()["http"])
        host, port = address.hostname or "", address.port or 0
        empty_mib = gateway.memory_mib()
        reading = (dashboards - stalled) // PROCESSES
        jobs = {first: Watch(host, port, reading, stalled), second: Watch(host, port, reading, 0)}
        for child, job in jobs.items():
            _told(child, job)
        for child in jobs:
            child.line()
        _told(tellers, Telling(host, port, BATTERIES, RATE))
        tellers.line()
        start_s = time.monotonic() + settle_s
        for child in jobs:
            _told(child, Span(start_s, start_s + seconds))
        time.sleep(max(0.0, start_s - time.monotonic()))
        before_s = gateway.cpu_s()
        seen = [
            msgspec.json.decode(msgspec.json.encode(child.line(settle_s + seconds + 30)), type=Seen) for child in jobs
        ]
        cpu = 100 * (gateway.cpu_s() - before_s) / seconds
        memory_mib = gateway.memory_mib()
    return _report(plan, seen, seconds, (reading * PROCESSES, stalled), (cpu, memory_mib, empty_mib))


def _report(
    plan: Plan, seen: list[Seen], seconds: float, dashboards: tuple[int, int], cost: tuple[float, float, float]
) -> Report:
    ages: Counter[int] = Counter()
    for one in seen:
        ages.update(one.ages)
    got = sum(one.events for one in seen)
    cpu, memory_mib, empty_mib = cost
    reading, stalled = dashboards
    limits = {"p99": None if plan.quick else MOST_P99_MS}
    names = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
    shares = [
        Figure(f"age {name}", percentile(ages, share), MS, most=limits.get(name)) for name, share in names.items()
    ]
    return Report(
        f"{reading + stalled:,} dashboards watch everything at {RATE:g} events/s, {stalled:,} of them do not read",
        [
            *shares,
            Figure("events a reading dashboard got", round(got / reading / seconds, 1), "/s"),
            Figure("readers brought back or closed", sum(one.gaps + one.closed for one in seen), "", most=0),
            Figure("memory (RSS)", round(memory_mib, 1), "MiB", most=MOST_MIB),
            Figure("memory without any", round(empty_mib, 1), "MiB"),
            Figure("processor, share of a core", round(cpu, 1), "%"),
        ],
        notes={"events": got},
    )
