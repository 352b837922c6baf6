"""All payment of one simulated world: the chain and its forks, the market on it, RPCs, and what must be true of them at the end."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any, Final

from bess_node.settings import BessSettings
from contracts.accounts import TradeStatus
from contracts.outbox import KIND
from etp.keys import KeyPair
from etp.signed import Signed
from etp.units import Micro
from sim.invariants import Violation
from sim.io.chain.bank import MEMORY, RealChain
from sim.io.chain.faults import LIES, UNRELIABLE, Fault, drawn
from sim.io.chain.market import FEE_BPS, ChainMarket, network_of
from sim.io.chain.rpc import Expected, HostileRpc
from sim.io.payment import Payment, unsettled
from sim.node import Node
from sim.plan import Plan
from sim.world import World

NAME: Final = "simulated"
SLOT_MS, FINALITY_SLOTS = 100, 8
RPCS: Final = 3
"""More than half of them must agree, so one may lie."""
ESCROW: Final = Micro(10**12)
LAMPORTS: Final = 10**12
DISPUTE_WINDOW_S: Final = 0
"""Paid at once: a window would only put off the end."""
FORKS_PER_S: Final = (0.0, 0.02, 0.2)
STALLS_PER_S: Final = (0.0, 0.01)
LONGEST_STALL_S: Final = 20.0


class Cashier:
    """See the module. Made before the world, since the market's keys and network are part of its plan."""

    def __init__(self, plan: Plan, rng: Random) -> None:
        self._rng, self._drawn = rng, rng.randrange(2**32)
        self.counts: Counter[Fault] = Counter()
        self._lots: dict[str, Expected] = {}
        self._rpcs: list[HostileRpc] = []
        self._calm = self._stalled = False
        self._forks_per_s, self._stalls_per_s = rng.choice(FORKS_PER_S), rng.choice(STALLS_PER_S)
        self.plan = replace(plan, market=network_of(NAME), pays=self._pays, hashed=False)

    @property
    def faults(self) -> Counter[str]:
        """What went wrong on the way to the chain and on it, by kind."""
        return Counter({f"chain: {fault.value}": count for fault, count in self.counts.items()})

    # -- the course of things

    def begin(self, world: World) -> None:
        """Open the market at the world's beginning, with everybody in it."""
        self._world = world
        self.chain = RealChain(world.scheduler, slot_ms=SLOT_MS, finality_slots=FINALITY_SLOTS)
        batteries: dict[int, KeyPair] = {node.device_id: _pair(world, node) for node in world.batteries}
        buyers: dict[int, KeyPair] = {node.device_id: _pair(world, node) for node in world.buyers}
        self.market = ChainMarket(self.chain, NAME, batteries, buyers, dispute_window=DISPUTE_WINDOW_S)
        for battery in batteries:
            self.market.refill(battery, LAMPORTS)
        for buyer in buyers:
            self.market.deposit(buyer, ESCROW)
        odds = [drawn(self._rng, UNRELIABLE) for _ in range(RPCS)]
        odds[-1] |= drawn(self._rng, LIES)
        self._rpcs = [
            HostileRpc(
                number,
                self.chain,
                each,
                rng=Random(self._rng.random()),
                lots=self._lots,
                counts=self.counts,
                behind=self._rng.choice((0, 0, 1, 3, self._rng.randrange(MEMORY))),
            )
            for number, each in enumerate(odds)
        ]
        world.scheduler.after(1.0, self._each_second)

    def _pays(self, node: Node[Any], settings: BessSettings, profile: Signed) -> Payment:
        rng = Random(self._rng.random())
        return Payment(node, settings, profile, market=self.market, rpcs=self._rpcs, lots=self._lots, rng=rng)

    def _each_second(self) -> None:
        if self._calm:
            return
        if self._rng.random() < self._forks_per_s:
            self.counts[Fault.FORK] += 1
            self._fork()
        if not self._stalled and self._rng.random() < self._stalls_per_s:
            self.counts[Fault.STALL] += 1
            self._stalled = True
            self.chain.stall(on=True)
            self._world.scheduler.after(LONGEST_STALL_S * self._rng.random(), self._go_on)
        self._world.scheduler.after(1.0, self._each_second)

    def _fork(self) -> None:
        """The last slots are gone; some of what was in them lands again on the branch that lives."""
        raws = self.chain.fork(self._rng.choice((1, FINALITY_SLOTS, self._rng.randrange(1, 100))))
        self.counts[Fault.FORKED_AWAY] += len(raws)
        scheduler = self._world.scheduler
        for raw in raws:
            if self._rng.random() < 1 / 3:
                scheduler.call(scheduler.time_s + 5 * self._rng.random(), self._rpcs[0].hand_on, raw)

    def _go_on(self) -> None:
        if self._stalled:
            self._stalled = False
            self.chain.stall(on=False)

    def heal(self) -> None:
        """The chain and all RPCs are well from now on."""
        self._calm = True
        self._go_on()
        for rpc in self._rpcs:
            rpc.calm()

    # -- the truth

    def unfinished(self) -> Iterator[Violation]:
        """Trades that are not paid yet."""
        for node in self._honest():
            left = unsettled(node)
            if left:
                said = f"{len(left)} trades are not settled; lot {left[0].lot_id} is {left[0].state}: {left[0].body['reason']}"
                yield Violation("liveness", node.device_id, said)

    def violations(self) -> list[Violation]:
        """What is not as it must be: nothing is paid that its battery did not sell, nothing twice, nothing otherwise than agreed."""
        return [violation for node in self._honest() for violation in self._of(node)]

    def _honest(self) -> list[Node[Any]]:
        excused = self._world.tainted | self._world.hostile
        return [node for node in self._world.batteries if node.device_id not in excused]

    def _of(self, node: Node[Any]) -> Iterator[Violation]:
        battery, paid = node.device_id, 0
        trades = {row.lot_id: row for row in node.disk.rows if row.kind == "trade"}
        states = {row.lot_id: row for row in node.disk.rows if row.kind == KIND}
        for lot_id, row in trades.items():
            found, owed = self.market.trade_of(battery, lot_id), int(str(row.body["paid_micro"]))
            if found is None:
                if lot_id not in states or states[lot_id].state == "settled":
                    yield Violation(
                        "settled_once", battery, f"lot {lot_id} is sold, and is neither on the chain nor owed there"
                    )
                continue
            terms = (int(str(row.body["bidder"])), owed)
            if (found.aggregator, found.amount) != terms:
                yield Violation(
                    "settled_once", battery, f"lot {lot_id} costs {terms}; paid was {(found.aggregator, found.amount)}"
                )
            if found.status == TradeStatus.PAID:
                paid += found.amount - found.amount * FEE_BPS // 10_000
        earned = self.market.earned(battery)
        if earned != paid:
            said = f"its token account holds {earned} µ; the trades that it sold brought {paid} µ"
            yield Violation("settled_once", battery, said)


def _pair(world: World, node: Node[Any]) -> KeyPair:
    key = world.keys[node.device_id]
    assert isinstance(key, KeyPair), "a market that settles signs with real keys"
    return key
