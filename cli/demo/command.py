"""`etp demo`: start the daemons, show the days go by, end them in order, check their journals, say what it was worth."""

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from cli.demo import chart, screen
from cli.demo.audit import read_books, unpaid, write_events
from cli.demo.chain import Chain, Ledger, open_market, reach_chain
from cli.demo.dashboard import Dashboard, open_dashboard, unlike
from cli.demo.processes import Node, NodeError, asked, ended, ready, start, stop, tell
from cli.demo.report import Report, draw, summary
from cli.demo.settings import DemoSettings
from cli.demo.watch import Watch
from contracts.errors import ContractsError
from etp.units import Micro, Wh
from lab.baselines import dated, first_above_reserve, play, single_buyer
from lab.income import Sales, offered_wh
from lab.scenario import Scenario, scenario_of
from runtime.days import PriceSeries
from runtime.io.days import HEADER
from runtime.io.key_file import KeyFileError
from runtime.settings import NodeSettings, SettingsError
from sim.invariants import violations

FAILED = 1
LOCAL_SETTLING_S, CLUSTER_SETTLING_S = 20.0, 180.0
"""After the last trade, until all are paid: a local chain takes under a second, a cluster finalizes in about 15 s."""
LOOK_S = 0.25
"""How often nodes write their metrics, and the screen looks at them, s."""
SERVE_S, SERVE_PER_NODE_S = 0.5, 0.1
"""Until daemons that are loaded serve and have found each other on two cores; market time stands still so long, s."""
GROUP = "239.192.77.77"
PORTS = (20_000, 32_000)
"""Of the multicast group: below those that systems give out, and another one each time, so that two demos do not meet."""


def command(settings: DemoSettings) -> int:
    """Run the demo; returns its exit status. Raises SettingsError for days that cannot be."""
    began_s = time.monotonic()
    scenario = scenario_of(settings)
    directory = settings.out or Path("runs") / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    _make(directory)
    console = Console(stderr=settings.print_json)
    try:
        report = asyncio.run(_Demo(settings, scenario, directory, console, began_s).run())
    except (NodeError, ContractsError, KeyFileError) as error:
        sys.stderr.write(f"etp: {error}\n")
        return FAILED
    if settings.print_json:
        sys.stdout.write(json.dumps(summary(report)) + "\n")
    return report.status


def _make(directory: Path) -> None:
    """A directory with nothing in it: journals of an earlier run would be counted as this one's. Raises SettingsError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        used = any(directory.iterdir())
    except OSError as error:
        raise SettingsError("out", str(directory), f"cannot be used: {error.strerror}") from error
    if used:
        raise SettingsError("out", str(directory), "expected a new or empty directory")


class _Demo:
    """One replay."""

    def __init__(
        self, settings: DemoSettings, scenario: Scenario, directory: Path, console: Console, began_s: float
    ) -> None:
        self._settings, self._scenario, self._directory = settings, scenario, directory
        self._console, self._began_s = console, began_s
        self._stopping = asyncio.Event()
        self._first_trade_s: float | None = None
        self._chain: Chain | None = None
        self._ledger: Ledger | None = None
        self._dashboard: Dashboard | None = None
        self._watch = Watch(scenario, origin_s=time.time())

    async def run(self) -> Report:
        """Replay, and say what came of it; the daemons are ended whatever happens. Raises NodeError."""
        try:
            report = await self._replay()
            self._console.print(draw(report, _write(report, self._directory)))
            await self._linger()
        finally:
            faults = await stop([self._dashboard.daemon]) if self._dashboard else []
        return replace(report, faults=[*report.faults, *faults])

    async def _linger(self) -> None:
        """Somebody sits at the terminal: the dashboard stays until they have seen enough."""
        if self._dashboard is None or self._stopping.is_set() or not self._console.is_terminal:
            return
        self._console.print(f"The dashboard stays at {self._dashboard.url} until Ctrl-C.", highlight=False)
        await self._stopping.wait()

    async def _replay(self) -> Report:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        faults: list[str] = []
        try:
            await self._start()
            await self._show()
            # Buyers first: they see their promises through while the batteries still answer.
            faults += await stop(self._watch.buyers)
            await self._see_paid()
        finally:
            faults += await stop(self._watch.buyers)
            faults += await stop(self._watch.batteries)
            self._watch.poll(time.time())
            self._watch.close()
            await self._leave_chain(faults)
        return self._report(faults)

    async def _see_paid(self) -> None:
        """Wait until every trade is paid: finalized, and read back by its battery."""
        limit_s = LOCAL_SETTLING_S if self._settings.rpc is None else CLUSTER_SETTLING_S
        until_s = time.time() + limit_s
        while time.time() < until_s and ended(self._watch.batteries) is None:
            self._watch.poll(time.time())
            if not self._watch.unsettled:
                return
            await asyncio.sleep(LOOK_S)  # the journals of other processes: nothing here tells of their change

    async def _leave_chain(self, faults: list[str]) -> None:
        if self._chain is None:
            return
        try:
            batteries = [node.settings.device_id for node in self._watch.batteries]
            buyers = [node.settings.device_id for node in self._watch.buyers]
            self._ledger = await self._chain.ledger(batteries, buyers)
        except ContractsError as error:
            faults.append(str(error))
        await self._chain.close()
        if self._chain.daemon is not None:
            faults += await stop([self._chain.daemon])

    async def _start(self) -> None:
        everybody: list[NodeSettings] = [*self._scenario.batteries, *self._scenario.buyers]
        self._chain = await reach_chain(self._settings, everybody, self._directory)
        try:
            async with asyncio.TaskGroup() as tasks:  # both take seconds, mostly of waiting
                tasks.create_task(self._load_nodes(self._chain.registry))
                tasks.create_task(open_market(self._chain, self._settings.slots, everybody))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        self._watch.origin_s = time.time() + SERVE_S + SERVE_PER_NODE_S * len(everybody)
        for node in self._nodes:
            tell(node, self._watch.origin_s)
        await asyncio.gather(*(ready(node) for node in self._nodes))

    async def _load_nodes(self, registry: Path) -> None:
        """The gateway, then all who report to it, until each asks when market time begins: loading takes its time."""
        self._dashboard = await open_dashboard(self._settings.dashboard, registry, self._directory)
        self._console.print(f"Dashboard: {self._dashboard.login}", highlight=False, soft_wrap=True)
        series = self._directory / "prices.csv"
        series.write_text(_csv(self._scenario.series))
        port = random.SystemRandom().randint(*PORTS)
        shared: dict[str, Any] = {
            "day": series,
            "group": f"{GROUP}:{port}",
            "interface": self._settings.interface,
            "metrics_ms": round(LOOK_S * 1000),
        }
        for role, nodes, kept in (
            ("bess", self._scenario.batteries, self._watch.batteries),
            ("aggregator", self._scenario.buyers, self._watch.buyers),
        ):
            for settings in nodes:
                kept.append(await start(role, self._told(settings, shared), self._directory))
        await asyncio.gather(*(asked(node) for node in self._nodes))

    def _told(self, settings: NodeSettings, shared: dict[str, Any]) -> NodeSettings:
        ours = settings.model_copy(update=shared | {"listen": f"{self._settings.interface}:0"})
        assert self._chain is not None
        assert self._dashboard is not None
        paid = self._chain.told(ours, self._directory)
        watched = paid.model_copy(update={"gateway": [self._dashboard.url, *self._settings.gateway]})
        return dated(self._scenario, watched, origin_s=None)

    @property
    def _nodes(self) -> list[Node]:
        return [*self._watch.batteries, *self._watch.buyers]

    # -- while it runs

    async def _show(self) -> None:
        """Look and draw until the days are over or somebody says stop."""
        end_s = self._watch.origin_s + self._scenario.slots * self._scenario.seconds_per_slot
        with self._screen() as update:
            while not self._stopping.is_set() and time.time() < end_s:
                self._look(update)
                chain = self._chain.daemon if self._chain else None
                watching = self._dashboard.daemon if self._dashboard else None
                gone = ended([*self._nodes, *(daemon for daemon in (chain, watching) if daemon)])
                if gone is not None:
                    raise NodeError(gone.name, f"ended with status {gone.process.returncode}", gone.log_path)
                await self._pause(min(LOOK_S, max(0.0, end_s - time.time())))
            self._look(update)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _look(self, update: Callable[[Any], None]) -> None:
        now_s = time.time()
        new = self._watch.poll(now_s)
        if new and self._first_trade_s is None:
            self._first_trade_s = time.monotonic() - self._began_s
        if self._console.is_terminal:
            update(screen.draw(self._watch, now_s))
        elif not self._settings.print_json:
            for trade in new:
                self._console.print(screen.trade_line(trade), soft_wrap=True)

    def _screen(self) -> AbstractContextManager[Callable[[Any], None]]:
        if not self._console.is_terminal:
            return nullcontext(lambda _: None)
        return _Live(self._console)

    # -- afterwards

    def _report(self, faults: list[str]) -> Report:
        scenario = self._played()
        self._watch.scenario = scenario
        books, broken = read_books(self._watch)
        chosen = self._settings.model_copy(update={"slots": scenario.slots})
        return Report(
            watch=self._watch,
            books=books,
            offered=offered_wh(scenario),
            baselines={
                "first_above_reserve": play(first_above_reserve(chosen)),
                "single_buyer": play(single_buyer(scenario)),
                "feed_in": Sales(0, Wh(0), Micro(0)),
            },
            ledger=self._ledger,
            violations=[
                *broken,
                *violations(books),
                *unpaid(books, self._ledger),
                *unlike(books.batteries, self._dashboard.daemon.directory if self._dashboard else self._directory),
            ],
            faults=faults,
            seconds=time.monotonic() - self._began_s,
            first_trade_s=self._first_trade_s,
            interrupted=self._stopping.is_set(),
        )

    def _played(self) -> Scenario:
        """The half-hours that were begun: all, unless it was interrupted."""
        slots = min(self._watch.slot(time.time()) + 1, self._scenario.slots)
        values = self._scenario.series.values[:slots]
        return replace(self._scenario, slots=slots, series=PriceSeries(self._scenario.series.start_s, values))


class _Live(AbstractContextManager[Callable[[Any], None]]):
    """rich's live display, as something to call with what is to be shown."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Callable[[Any], None]:
        self._live.start()
        return lambda shown: self._live.update(shown, refresh=True)

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def _csv(series: PriceSeries) -> str:
    """The days as the daemons read them."""
    starts = (series.start_s + step * series.step_s for step in range(len(series.values)))
    stamps = (datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for start in starts)
    return "\n".join([HEADER, *(f"{stamp},{value}" for stamp, value in zip(stamps, series.values, strict=True)), ""])


def _write(report: Report, directory: Path) -> dict[str, str]:
    """Events, summary and chart; returns where they are."""
    nodes = [*report.watch.batteries, *report.watch.buyers]
    count = write_events(nodes, directory / "events.jsonl")
    (directory / "summary.json").write_text(json.dumps(summary(report), indent=2) + "\n")
    drawn = chart.draw(report, directory / "chart")
    return {
        "summary": str(directory / "summary.json"),
        "chart": " ".join(str(path) for path in drawn),
        "events": f"{directory / 'events.jsonl'} ({count})",
        "journals": str(directory),
    }
