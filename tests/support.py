"""Builders and a hand-driven desk: what tests of the cores share. No clock, no socket."""

import random
from dataclasses import dataclass, field

from aggregator_node.settings import AggregatorSettings
from aggregator_node.strategy import STRATEGIES
from bess_node.battery import Battery, BatterySpec
from bess_node.books import LotRules
from bess_node.desk import Desk
from bess_node.pricing import Fixed
from bess_node.settings import BessSettings
from bess_node.store import Store
from etp import messages
from etp.clock import Now
from etp.codes import MessageType
from etp.effects import Broadcast, Commit, Effect, Lookup, Row, Send, Write
from etp.frame import Frame, decode, encode
from etp.ids import Ids
from etp.limits import Limits
from etp.profile import Plain
from etp.timing import Timing
from etp.units import DeviceId, MicroPerKwh, MonotonicS, WallUs, Wh
from market.mechanisms import MECHANISMS
from runtime.days import MarketClock
from sim.network import Weather
from sim.world import Plan

START_US = 1_700_000_000_000_000
BESS = DeviceId(101)


def at(second: float) -> Now:
    """The instant `second` after the start."""
    return Now(MonotonicS(second), WallUs(START_US + round(second * 1e6)))


@dataclass
class Bench:
    """A desk on a bench: effects are carried out at once, unless `hold_commits`."""

    desk: Desk
    sent: list[tuple[int, Frame, bytes]] = field(default_factory=list)
    broadcast: list[Frame] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    held: list[Commit] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    hold_commits: bool = False
    failing: bool = False
    ids: Ids = field(default_factory=Ids)
    peer_ids: Ids = field(default_factory=lambda: Ids(START_US))

    def do(self, effects: list[Effect], now: Now) -> None:
        """Carry effects out."""
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, Send):
                raw = effect.envelope.raw or Plain(self.ids).stamp(effect.envelope, None, now)
                self.sent.append((effect.device_id, decode(raw) if len(raw) == 84 else effect.envelope.frame, raw))
            elif isinstance(effect, Broadcast):
                self.broadcast.append(effect.frame)
            elif isinstance(effect, Commit):
                self.held.append(effect)
                if not self.hold_commits:
                    self.commit(now)
            elif isinstance(effect, Write):
                self.rows += effect.rows
            elif isinstance(effect, Lookup):
                self.do(self.desk.found(effect, self.find(effect.kind, effect.subject), now), now)

    def commit(self, now: Now) -> None:
        """Let every commit that is on its way end."""
        held, self.held = self.held, []
        for commit in held:
            if self.failing:
                self.do(self.desk.commit_failed(commit, now), now)
            else:
                self.rows += commit.rows
                self.do(self.desk.committed(commit, now), now)

    def find(self, kind: str, subject: str) -> Row | None:
        """The newest row."""
        return next((row for row in reversed(self.rows) if (row.kind, row.subject) == (kind, subject)), None)

    def bid(self, device: int, cents: float, kwh: float, second: float, *, message_id: int | None = None) -> Frame:
        """Bid and return the frame sent."""
        now = at(second)
        frame = messages.stamped(
            messages.bid(DeviceId(device), price=MicroPerKwh(round(cents * 10_000)), energy=Wh(round(kwh * 1000))),
            message_id if message_id is not None else self.peer_ids.next(now.wall_us),
        )
        self.give(frame, second)
        return frame

    def give(self, frame: Frame, second: float) -> None:
        """Hand the desk a frame."""
        self.do(self.desk.receive(DeviceId(frame.device_id), frame, encode(frame), at(second)), at(second))

    def confirm(self, accept: Frame, device: int, second: float) -> Frame:
        """Confirm an Accept."""
        frame = messages.stamped(messages.confirm(DeviceId(device), accept), self.peer_ids.next(at(second).wall_us))
        self.give(frame, second)
        return frame

    def advance(self, second: float) -> None:
        """Let time come to `second`, stopping at each deadline."""
        while (due := self.desk.next_deadline()) is not None and due <= second:
            self.do(self.desk.advance(at(due)), at(due))
        self.do(self.desk.advance(at(second)), at(second))

    def last(self, device: int) -> Frame:
        """The last frame sent to a device."""
        return next(frame for to, frame, _ in reversed(self.sent) if to == device)

    def types_to(self, device: int) -> list[MessageType]:
        """The types of what was sent to a device."""
        return [MessageType(frame.message_type) for to, frame, _ in self.sent if to == device]


def bench(
    mechanism: str = "english",
    *,
    reserve: float = 12.5,
    capacity_kwh: float = 13.5,
    for_sale: float = 50.0,
    closing_s: float = 0.2,
    hide: bool = False,
    discharge_kw: float = 5.0,
    limits: Limits | None = None,
) -> Bench:
    """A desk with one full battery and an open lot."""
    battery = Battery(BatterySpec(Wh(round(capacity_kwh * 1000)), discharge_kw=discharge_kw), capacity_kwh * 1000)
    now = at(0)
    store = Store(
        battery,
        pricing=Fixed(MicroPerKwh(round(reserve * 10_000))),
        clock=MarketClock(now.monotonic_s, 0.0),
        for_sale_percent=for_sale,
        horizon_h=2,
    )
    rules = LotRules(MECHANISMS[mechanism], MicroPerKwh(500), closing_s, 60.0, Wh(100), hide)
    ids = Ids()
    desk = Desk(
        BESS, rules=rules, store=store, profile=Plain(ids), limits=limits or Limits(), timing=Timing(), started=now
    )
    made = Bench(desk, ids=ids)
    made.do(desk.opened(now), now)
    return made


def plan(
    seed: int,
    mechanism: str = "english",
    *,
    batteries: int = 1,
    weather: Weather | None = None,
    discovered: bool = False,
) -> Plan:
    """Full batteries, three buyers with values, demands and strategies of the seed."""
    rng = random.Random(seed)
    return Plan(
        seed,
        tuple(
            BessSettings(device_id=101 + index, for_sale=90, reserve=6, closing_ms=200, mechanism=mechanism)
            for index in range(batteries)
        ),
        tuple(
            AggregatorSettings(
                device_id=500 + index,
                max_price=rng.randint(50_000, 200_000) / 10_000,
                demand_kwh=rng.randint(1_000, 6_000) / 1000,
                strategy=rng.choice(sorted(STRATEGIES)),
            )
            for index in range(3)
        ),
        weather=weather or Weather(),
        discovered=discovered,
    )
