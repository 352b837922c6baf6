"""The soak's course: start everything, probe, kill and cut by a seeded timetable, measure, end in order, read all journals."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benches.plan import ROOT
from benches.soak import market
from benches.soak.hosts import Host, build
from benches.soak.market import Market
from benches.soak.probe import Job, Outcome
from benches.soak.relay import reachable
from cli.demo.audit import read_books, unpaid
from cli.demo.chain import open_market, reach_chain
from cli.demo.processes import NodeError, stop
from cli.demo.settings import DemoSettings
from cli.demo.watch import Watch
from etp.codes import Role
from sim.invariants import violations

KILL_EVERY_S: Final = 120.0
CUT_EVERY_S: Final = 300.0
SHORT_S: Final = 300.0
"""A shorter soak than this is cut once, in its middle."""
CUT_S: Final = 4.0
SAMPLE_S: Final = 5.0
"""Between two looks at the memory of all nodes."""
CALM_S: Final = 3.0
"""After the nodes are ready, until probes count: discovery takes up to 2 s."""
PAID_S: Final = 60.0
"""After the last trade, until all are paid."""
PROBE: Final = "probe"


@dataclass(frozen=True, slots=True)
class Course:
    """What is asked for."""

    seconds: float
    batteries: int
    aggregators: int
    seed: int


class Blow(NamedTuple):
    """One thing that is done to the market."""

    at_s: float
    """From the beginning."""
    kind: str
    """kill or cut."""
    name: str


class Struck(NamedTuple):
    """A blow as it was: wall times, unix seconds, from it until its node is whole again."""

    kind: str
    name: str
    from_s: float
    to_s: float


class Sample(NamedTuple):
    """Memory of one process."""

    at_s: float
    name: str
    pid: int
    kib: int


@dataclass
class Found:
    """All that was measured."""

    began_s: float = 0.0
    """Wall time, unix seconds."""
    ended_s: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    probes: Outcome = field(default_factory=lambda: Outcome([], {}, {}))
    counters: list[dict[str, Any]] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    trades: int = 0
    unsettled: int = 0
    promises: int = 0
    violations: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    witnesses: tuple[str, ...] = ()


def timetable(course: Course, names: list[str], witnesses: tuple[str, ...]) -> list[Blow]:
    """Whom what happens to, in order of time: everybody in turn, in an order of the seed's. A witness is cut off, never killed."""
    rng = random.Random(course.seed)
    mortal = _in_turn([name for name in names if name not in witnesses], rng)
    kills = [Blow(at_s, "kill", next(mortal)) for at_s in _every(KILL_EVERY_S, KILL_EVERY_S / 2, course.seconds)]
    anyone, first_s = _in_turn(list(names), rng), min(CUT_EVERY_S / 2, course.seconds / 2)
    cuts = [Blow(at_s, "cut", next(anyone)) for at_s in _every(CUT_EVERY_S, first_s, course.seconds)]
    return sorted([*kills, *cuts])


def _every(period_s: float, first_s: float, until_s: float) -> Iterator[float]:
    at_s = first_s
    while at_s < until_s - 2 * CUT_S:
        yield at_s
        at_s += period_s


def _in_turn(names: list[str], rng: random.Random) -> Iterator[str]:
    while True:
        rng.shuffle(names)
        yield from names


async def soak(course: Course, directory: Path, console: Console) -> Found:
    """The whole course; every process is ended always. Raises HostsError, NodeError, ContractsError, CancelledError (SIGTERM)."""
    ours_alone = asyncio.current_task()
    assert ours_alone is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ours_alone.cancel)
    batteries, buyers = market.batteries(course.batteries), market.buyers(course.aggregators)
    probes = market.probes(course.batteries)
    names = [f"{Role.BESS.value}-{each.device_id}" for each in batteries]
    names += [f"{Role.AGGREGATOR.value}-{each.device_id}" for each in buyers]
    hosts = build([*names, PROBE])
    chain = await reach_chain(DemoSettings(), [*batteries, *buyers, *probes], directory)
    port = int(chain.url.rsplit(":", 1)[1])
    relays = await reachable(port, [host for host in hosts if host.name != PROBE])
    watch = Watch(market.scenario(batteries, buyers), time.time())
    ours = Market({host.name: host for host in hosts}, chain, directory, watch)
    found = Found(witnesses=(names[0], names[course.batteries]))
    faults: list[str] = []
    try:
        await open_market(chain, market.TRADES, [*batteries, *buyers, *probes])
        await ours.start()
        await asyncio.sleep(CALM_S)  # nobody tells when everybody has found everybody
        await _endure(course, ours, found, console, timetable(course, names, found.witnesses))
        faults += await stop(watch.buyers)
        await _see_paid(watch)
        faults += await stop(watch.batteries)
        _read(ours, found)
        ledger = await chain.ledger([each.device_id for each in batteries], [each.device_id for each in buyers])
        books, broken = read_books(watch)
        found.violations = [str(each) for each in (*broken, *violations(books), *unpaid(books, ledger))]
        found.promises = sum(len(lots) for lots in books.promises.values())
        found.faults = faults
    finally:
        await stop([*watch.buyers, *watch.batteries])
        for relay in relays:
            await relay.close()
        watch.close()
        await chain.close()
        if chain.daemon is not None:
            await stop([chain.daemon])
    return found


async def _endure(course: Course, ours: Market, found: Found, console: Console, blows: list[Blow]) -> None:
    """Probes, blows and samples at once, until the time is over."""
    found.began_s = time.time()
    found.ended_s = found.began_s + course.seconds
    try:
        async with asyncio.TaskGroup() as tasks:
            probing = tasks.create_task(_probe(ours, found.ended_s))
            tasks.create_task(_strike(ours, found, blows))
            tasks.create_task(_sample(ours, found))
            tasks.create_task(_show(course, ours, found, console))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
    found.probes = probing.result()


async def _probe(ours: Market, until_s: float) -> Outcome:
    outcome = ours.directory / "probe.json"
    job = Job(str(ours.chain.registry), ours.targets(), until_s, str(outcome))
    host, log = ours.hosts[PROBE], ours.directory / "probe.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(*host.prefix, sys.executable, "-m", "benches.soak.probe", msgspec.json.encode(job).decode()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
            cwd=ROOT,
        )
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise NodeError(PROBE, f"ended with status {process.returncode}", log)
    return msgspec.json.decode(outcome.read_bytes(), type=Outcome)


async def _strike(ours: Market, found: Found, blows: list[Blow]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for blow in blows:
            await asyncio.sleep(max(0.0, found.began_s + blow.at_s - time.time()))
            tasks.create_task(_blow(ours, found, blow))


async def _blow(ours: Market, found: Found, blow: Blow) -> None:
    from_s = time.time()
    if blow.kind == "kill":
        await ours.kill(blow.name)
    else:
        await _cut(ours.hosts[blow.name])
    found.struck.append(Struck(blow.kind, blow.name, from_s, time.time()))


async def _cut(host: Host) -> None:
    host.cut()
    try:
        await asyncio.sleep(CUT_S)
    finally:
        host.mend()


async def _sample(ours: Market, found: Found) -> None:
    while (now_s := time.time()) < found.ended_s:
        for name, node in ours.nodes.items():
            kib = resident_kib(node.process.pid)
            if kib is not None:
                found.samples.append(Sample(now_s, name, node.process.pid, kib))
        await asyncio.sleep(min(SAMPLE_S, max(0.0, found.ended_s - now_s)))


def resident_kib(pid: int) -> int | None:
    """Memory of a process, KiB; None: it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), None)


async def _show(course: Course, ours: Market, found: Found, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("soaking", total=course.seconds)
        while (left_s := found.ended_s - time.time()) > 0:
            ours.watch.poll(time.time())
            cuts = sum(struck.kind == "cut" for struck in found.struck)
            said = f"{len(ours.watch.trades):,} trades, {ours.kills} killed, {cuts} cut off"
            progress.update(bar, completed=course.seconds - left_s, description=said)
            await asyncio.sleep(min(1.0, left_s))


async def _see_paid(watch: Watch) -> None:
    until_s = time.time() + PAID_S
    while time.time() < until_s:
        watch.poll(time.time())
        if not watch.unsettled:
            return
        await asyncio.sleep(1.0)  # the journals of other processes: nothing here tells of their change


def _read(ours: Market, found: Found) -> None:
    ours.watch.poll(time.time())
    found.trades, found.unsettled = len(ours.watch.trades), ours.watch.unsettled
    found.counters, found.ready_s = ours.counters(), ours.ready_s
