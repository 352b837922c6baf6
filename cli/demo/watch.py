"""What the running daemons show: their journals, read beside them, and their metrics files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cli.demo.processes import Node
from contracts import outbox
from etp.units import Micro, MicroPerKwh, Wh
from lab.scenario import Scenario
from runtime.histogram import Histogram
from runtime.io.journal import FILE
from runtime.io.journal_reader import JournalReader
from runtime.io.metrics_file import read_metrics


class Trade(NamedTuple):
    """A confirmed lot."""

    time_us: int
    market_s: float
    """Unix seconds of market time."""
    battery: int
    buyer: int
    energy: Wh
    price: MicroPerKwh
    paid: Micro


class Level(NamedTuple):
    """What a battery held at a moment."""

    market_s: float
    stored_wh: int


@dataclass
class Watch:
    """The market as far as it can be seen. `origin_s` is when market time begins, unix seconds."""

    scenario: Scenario
    origin_s: float
    batteries: list[Node] = field(default_factory=list)
    buyers: list[Node] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    levels: dict[int, list[Level]] = field(default_factory=dict)
    payments: dict[tuple[int, int], outbox.OutboxState] = field(default_factory=dict)
    """By battery and lot: where the payment of its trade stands."""
    views: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """By device: the newest metrics file."""
    _readers: dict[int, JournalReader] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)

    def market_s(self, time_s: float) -> float:
        """Market time at a wall time, unix seconds."""
        return self.scenario.start_s + max(0.0, time_s - self.origin_s) * self.scenario.speed

    def slot(self, time_s: float) -> int:
        """The half-hour at a wall time, from 0."""
        return self.scenario.series.step_of(self.market_s(time_s))

    def poll(self, time_s: float) -> list[Trade]:
        """Look at all nodes; returns the new trades."""
        for node in (*self.batteries, *self.buyers):
            found = read_metrics(node.directory)
            if found:
                self.views[node.settings.device_id] = found
        for node in self.batteries:
            stored = self.view(node).get("stored_wh")
            if stored is not None:
                level = Level(self.market_s(time_s), stored)
                self.levels.setdefault(node.settings.device_id, []).append(level)
        new = sorted(trade for node in self.batteries for trade in self._new_trades(node))
        self.trades += new
        return new

    @property
    def unsettled(self) -> int:
        """Trades that are not paid yet."""
        return sum(state is not outbox.OutboxState.SETTLED for state in self.payments.values())

    def view(self, node: Node) -> Mapping[str, Any]:
        """What a node shows of itself; empty at first."""
        view: Mapping[str, Any] = self.views.get(node.settings.device_id, {}).get("node", {})
        return view

    def latencies(self, nodes: list[Node], name: str) -> dict[str, Histogram]:
        """A histogram by message type, over all these nodes."""
        sums: dict[str, Histogram] = {}
        for node in nodes:
            found = self.views.get(node.settings.device_id, {}).get("histograms", {}).get(name, {})
            for kind, histogram in found.items():
                sums.setdefault(kind, Histogram()).add(histogram)
        return sums

    def replies(self) -> Histogram:
        """Reply times of all kinds."""
        whole = Histogram()
        for histogram in self.latencies(self.buyers, "reply_ms").values():
            whole.add(histogram.as_dict())
        return whole

    def _new_trades(self, node: Node) -> list[Trade]:
        device_id = node.settings.device_id
        if device_id not in self._readers:
            if not (node.directory / FILE).is_file():
                return []
            self._readers[device_id] = JournalReader(node.directory)
        new = []
        for seq, row in self._readers[device_id].rows(self._seen.get(device_id, 0)):
            self._seen[device_id] = seq
            if row.kind == outbox.KIND:
                self.payments[device_id, row.lot_id] = outbox.OutboxState(row.state)
            if row.kind == "trade":
                buyer, energy, price, paid = (
                    int(str(row.body[key])) for key in ("bidder", "energy_wh", "price_micro_per_kwh", "paid_micro")
                )
                market_s = self.market_s(row.time_us / 1e6)
                new.append(Trade(row.time_us, market_s, device_id, buyer, Wh(energy), MicroPerKwh(price), Micro(paid)))
        return new

    def close(self) -> None:
        """Let go of the journals."""
        for reader in self._readers.values():
            reader.close()
