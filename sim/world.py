"""A seeded market: one battery, some buyers, links that are slow and break; the digest is all that became durable."""

import random
from dataclasses import dataclass
from hashlib import sha256

from aggregator_node.buyer import Buyer
from aggregator_node.portfolio import Portfolio
from aggregator_node.strategy import STRATEGIES
from bess_node.battery import Battery, BatterySpec
from bess_node.desk import Desk, LotRules
from bess_node.pricing import Fixed
from bess_node.store import MarketClock, Store
from etp.codes import Role
from etp.ids import Ids
from etp.limits import Limits
from etp.session import Session
from etp.timing import Timing
from etp.units import DeviceId, MicroPerKwh, Wh
from market.mechanisms import MECHANISMS
from sim.link import End, Link, Weather
from sim.node import Node
from sim.scheduler import EPOCH_US, Scheduler

BESS = DeviceId(101)
FIRST_BUYER = 500
RECONNECT_S = (0.02, 0.4)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of."""

    seed: int
    mechanism: str = "english"
    buyers: int = 3
    weather: Weather = Weather()
    seconds: float = 20.0


class World:
    """Build it, run it, look at its nodes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scheduler = Scheduler()
        self.rng = random.Random(plan.seed)
        self.bess = self._bess()
        self.buyers = [self._buyer(DeviceId(FIRST_BUYER + index)) for index in range(plan.buyers)]
        self.links = 0

    def _bess(self) -> Node:
        now, ids = self.scheduler.now(), Ids(EPOCH_US)
        battery = Battery(BatterySpec(Wh(13_500)), 13_500)
        clock = MarketClock(now.monotonic_s, 0.0)
        store = Store(battery, pricing=Fixed(MicroPerKwh(60_000)), clock=clock, for_sale_percent=90.0, horizon_h=2)
        rules = LotRules(MECHANISMS[self.plan.mechanism], MicroPerKwh(500), 0.2, 60.0, Wh(100), hide_reserve=False)
        self.desk = Desk(BESS, rules=rules, store=store, ids=ids, limits=Limits(), timing=Timing(), started=now)
        return Node(Role.BESS, self.desk, ids, self.scheduler, self.rng)

    def _buyer(self, device_id: DeviceId) -> Node:
        ids = Ids(EPOCH_US)
        buyer = Buyer(
            device_id,
            value=MicroPerKwh(self.rng.randint(50_000, 200_000)),
            portfolio=Portfolio(Wh(self.rng.randint(1_000, 6_000))),
            strategy=STRATEGIES[self.rng.choice(sorted(STRATEGIES))],
            ids=ids,
            rng=random.Random(self.rng.random()),
            timing=Timing(),
        )
        return Node(Role.AGGREGATOR, buyer, ids, self.scheduler, self.rng)

    def run(self) -> str:
        """Play the plan; returns the digest."""
        self.bess.apply(self.desk.opened(self.scheduler.now()))
        self.bess.watch()
        for node in self.buyers:
            self.connect(node)
        self.scheduler.run(self.plan.seconds)
        return self.digest()

    def connect(self, node: Node) -> None:
        """A fresh link between a buyer and the battery; when it breaks, another after a while."""
        self.links += 1
        now, link = self.scheduler.now(), Link(self.scheduler, self.plan.weather, self.rng)
        buyer: Buyer = node.core  # type: ignore[assignment]
        for owner, device_id in ((self.bess, BESS), (node, buyer.device_id)):
            session = Session(owner.role, device_id, owner.ids, Limits(), now)
            link.ends[owner.role] = End(link, session, owner.happened, owner.gone)
            link.watch(link.ends[owner.role])
        link.ends[Role.AGGREGATOR].send(buyer.hello(now))
        link.on_cut = lambda: self.scheduler.after(self.rng.uniform(*RECONNECT_S), lambda: self.connect(node))

    def digest(self) -> str:
        """SHA-256 over every node's durable rows and bids."""
        digest = sha256()
        for node in (self.bess, *self.buyers):
            for row in node.disk.rows:
                digest.update(repr((row.kind, row.lot_id, row.state, row.time_us, sorted(row.body.items()))).encode())
            for bid in node.disk.bids:
                digest.update(repr(bid).encode())
        return digest.hexdigest()
