"""The market of the soak: who trades in it, and how its nodes are started, killed and started again on their hosts."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aggregator_node.settings import AggregatorSettings
from benches.soak.hosts import Host
from bess_node.settings import BessSettings
from cli.demo.chain import Chain, key_file
from cli.demo.processes import Node, ready, start
from cli.demo.watch import Watch
from etp.codes import Role
from etp.units import MicroPerKwh
from lab.scenario import FIRST_BATTERY, FIRST_BUYER, Scenario
from runtime.days import PriceSeries
from runtime.io.metrics_file import read_metrics
from runtime.settings import NodeSettings

MECHANISMS: Final = ("english", "vickrey", "first-price")
"""Of the batteries, in turn."""
STRATEGIES: Final = ("conservative", "aggressive", "random", "truthful")
"""Of the aggregators, in turn."""
FIRST_PROBE: Final = 900
PORT: Final = 8700
RESERVE_CENTS: Final = 10.0
WORTH_CENTS: Final = (14.0, 15.0, 16.0, 17.0)
STORE_KWH: Final = 500_000.0
"""More than can be sold in the time: a battery that is empty would soak nothing."""
DISCHARGE_KW: Final = 10_000.0
HORIZON_H: Final = 0.0003
"""A lot of 3 kWh, which is delivered in about a second, before the next one is sold."""
CLOSING_MS: Final = 10_000
"""So a battery sells some 300 lots an hour, as many as one at home in a week. What is settled is kept for days, to be compared with the
chain: at ten times the rate an hour's trades alone are more memory than the soak allows."""
TRADES: Final = 20_000
"""For so many a battery is given the lamports that its settlements take."""
EVER_S: Final = 10 * 86_400.0


def batteries(count: int) -> tuple[BessSettings, ...]:
    """Their settings, but for what depends on host and chain."""
    return tuple(
        BessSettings(
            device_id=FIRST_BATTERY + number,
            capacity_kwh=STORE_KWH,
            for_sale=100.0,
            reserve=RESERVE_CENTS,
            mechanism=MECHANISMS[number % len(MECHANISMS)],
            increment=0.5,
            closing_ms=CLOSING_MS,
            horizon_h=HORIZON_H,
            discharge_kw=DISCHARGE_KW,
            seed=number,
        )
        for number in range(count)
    )


def buyers(count: int) -> tuple[AggregatorSettings, ...]:
    """Theirs."""
    return tuple(
        AggregatorSettings(
            device_id=FIRST_BUYER + number,
            max_price=WORTH_CENTS[number % len(WORTH_CENTS)],
            demand_kwh=1_000_000.0,
            strategy=STRATEGIES[number % len(STRATEGIES)],
            seed=number,
        )
        for number in range(count)
    )


def probes(count: int) -> tuple[AggregatorSettings, ...]:
    """Members without a daemon: one for each battery."""
    return tuple(AggregatorSettings(device_id=FIRST_PROBE + number, demand_kwh=1.0) for number in range(count))


def scenario(batteries: tuple[BessSettings, ...], buyers: tuple[AggregatorSettings, ...]) -> Scenario:
    """The market as `Watch` reads it: one endless period, in which market time is wall time."""
    series = PriceSeries(time.time(), (0,))
    nothing = MicroPerKwh(0)
    return Scenario(series, batteries, buyers, 1, series.step_s, feed_in=nothing, wear=nothing, seed=0)


@dataclass
class Market:
    """All nodes, each on its host."""

    hosts: dict[str, Host]
    chain: Chain
    directory: Path
    watch: Watch
    nodes: dict[str, Node] = field(default_factory=dict)
    """By name; the newest process of each."""
    kills: int = 0
    lives: list[dict[str, Any]] = field(default_factory=list)
    """The last counters of every process that was killed."""
    ready_s: list[float] = field(default_factory=list)
    """From a start after a kill to its ready line."""

    async def start(self) -> None:
        """Everybody, batteries first. Raises NodeError."""
        for role, settings, kept in (
            (Role.BESS, self.watch.scenario.batteries, self.watch.batteries),
            (Role.AGGREGATOR, self.watch.scenario.buyers, self.watch.buyers),
        ):
            for each in settings:
                node = await self._begin(role, each)
                self.nodes[node.name] = node
                kept.append(node)
        await asyncio.gather(*(ready(node) for node in self.nodes.values()))

    async def _begin(self, role: Role, settings: NodeSettings) -> Node:
        host = self.hosts[f"{role.value}-{settings.device_id}"]
        told = self.chain.told(settings, self.directory).model_copy(
            update={"listen": f"{host.address}:{PORT}", "interface": host.address, "metrics_ms": 250}
        )
        return await start(role.value, told, self.directory, before=host.prefix)

    async def kill(self, name: str) -> None:
        """End a node as a power cut would, and start it again. Raises NodeError."""
        node = self.nodes[name]
        node.process.kill()
        await node.process.wait()
        node.log.close()
        self.kills += 1
        self.lives.append(read_metrics(node.directory))
        began_s = time.monotonic()
        again = await self._begin(Role(node.role), node.settings)
        await ready(again)
        self.ready_s.append(time.monotonic() - began_s)
        self.nodes[name] = again
        for kept in (self.watch.batteries, self.watch.buyers):
            if node in kept:
                kept[kept.index(node)] = again

    def targets(self) -> list[tuple[int, str, int, str]]:
        """What the probes bid at: see `probe.Job`."""
        return [
            (
                FIRST_PROBE + number,
                str(key_file(self.directory, Role.AGGREGATOR, FIRST_PROBE + number)),
                settings.device_id,
                f"{self.hosts[f'{Role.BESS.value}-{settings.device_id}'].address}:{PORT}",
            )
            for number, settings in enumerate(self.watch.scenario.batteries)
        ]

    def counters(self) -> list[dict[str, Any]]:
        """Of all lives so far."""
        return [*self.lives, *(read_metrics(node.directory) for node in self.nodes.values())]
