"""All payment of one simulated world: the chain and its forks, the market on it, RPCs, and what must be true of them at the end."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any, Final

from aggregator_node.books import Purse
from bess_node.settings import BessSettings
from etp.effects import Row
from etp.keys import KeyPair
from etp.signed import Signed
from etp.units import Micro
from sim.invariants import Violation
from sim.invariants.payments import payments, sales_of, told, unpaid
from sim.io.chain.bank import MEMORY, RealChain
from sim.io.chain.disputes import Disputes
from sim.io.chain.faults import DONE, LIES, UNRELIABLE, Fault, drawn
from sim.io.chain.market import ChainMarket, network_of
from sim.io.chain.rpc import Expected, HostileRpc
from sim.io.payment import Payment, unsettled
from sim.io.purse import EscrowLook
from sim.node import Node
from sim.plan import Plan
from sim.world import World

NAME: Final = "simulated"
SLOT_MS, FINALITY_SLOTS = 100, 8
RPCS: Final = 3
"""More than half of them must agree, so one may lie."""
ESCROW: Final = Micro(10**12)
"""More than can be spent."""
SHORT: Final = 300_000
"""What a short escrow holds at most, µ: a lot or two, each of which costs up to 600,000 µ."""
LAMPORTS: Final = 10**12
SCANT: Final = 4_000_000
"""Lamports that are gone after a trade or two."""
WINDOWS_S: Final = (0, 3, 3, 30)
"""Dispute windows; without one a trade is paid at once."""
TOP_UP_S: Final = (40.0, 150.0)
"""A short escrow is filled while all goes wrong, or so long after its end, s: a battery records no default before it has seen a want
of money for 30 s of one life."""
CARELESS: Final = 0.5
"""Share of honest buyers that bid without a look at their escrow, as a client of somebody else's may; hostile ones never look."""
QUARRELS: Final = 0.4
"""Share of honest buyers that dispute what is held for them; hostile ones do."""
FORKS_PER_S: Final = (0.0, 0.02, 0.2)
STALLS_PER_S: Final = (0.0, 0.01)
LONGEST_STALL_S: Final = 20.0


class Cashier:
    """See the module. Made before the world, since the market's keys and network are part of its plan."""

    def __init__(self, plan: Plan, rng: Random) -> None:
        self._rng = rng
        self.counts: Counter[Fault] = Counter()
        self._lots: dict[str, Expected] = {}
        self._rpcs: list[HostileRpc] = []
        self._calm = self._stalled = False
        self._forks_per_s, self._stalls_per_s = rng.choice(FORKS_PER_S), rng.choice(STALLS_PER_S)
        self._window_s = rng.choice(WINDOWS_S)
        self.plan = replace(plan, market=network_of(NAME), pays=self._pays, purse=self._purse, hashed=False)

    @property
    def faults(self) -> Counter[str]:
        """What was done to the chain, to RPCs and by parties, by kind."""
        return self._counted(done=True)

    @property
    def losses(self) -> Counter[str]:
        """What came of it: answers of RPCs, and transactions, by kind."""
        return self._counted(done=False)

    def _counted(self, *, done: bool) -> Counter[str]:
        asked = {fault: count for fault, count in self.counts.items() if count and (fault in DONE) is done}
        return Counter({f"chain: {fault.value}": count for fault, count in asked.items()})

    # -- the course of things

    def begin(self, world: World, broken: Callable[[Violation], None]) -> None:
        """Open the market at the world's beginning, with everybody in it; `broken`: told of what an outbox says that is not so."""
        self._world, self._broken = world, broken
        self.chain = RealChain(world.scheduler, slot_ms=SLOT_MS, finality_slots=FINALITY_SLOTS)
        batteries: dict[int, KeyPair] = {node.device_id: _pair(world, node) for node in world.batteries}
        buyers: dict[int, KeyPair] = {node.device_id: _pair(world, node) for node in world.buyers}
        self.market = ChainMarket(self.chain, NAME, batteries, buyers, dispute_window=self._window_s)
        self._endow(sorted(batteries), sorted(buyers))
        self._careful = {
            buyer for buyer in sorted(buyers) if buyer not in world.hostile and self._rng.random() >= CARELESS
        }
        self.disputes = Disputes(self.market, self._quarrellers(), self._lots, rng=self._rng, counts=self.counts)
        self._overhear(world)
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

    def _endow(self, batteries: list[int], buyers: list[int]) -> None:
        """Money for all; some have little at first."""
        rng, scheduler = self._rng, self._world.scheduler
        self._scant = [battery for battery in batteries if rng.random() < 1 / 8]
        for battery in batteries:
            self.market.refill(battery, SCANT if battery in self._scant else LAMPORTS)
        self.counts[Fault.PAYER_EMPTY] += len(self._scant)
        tight = rng.random() < 2 / 3
        short = [buyer for buyer in buyers if tight and rng.random() < 3 / 4]
        self.counts[Fault.ESCROW_SHORT] += len(short)
        for buyer in buyers:
            self.market.deposit(buyer, rng.randint(1, SHORT) if buyer in short else ESCROW)
        for buyer in short:
            ends_s = self.plan.seconds
            at_s = ends_s * rng.random() if rng.random() < 1 / 3 else ends_s + rng.uniform(*TOP_UP_S)
            scheduler.call(at_s, self._top_up, buyer)

    def _top_up(self, buyer: int) -> None:
        self.market.deposit(buyer, ESCROW)

    def _quarrellers(self) -> set[int]:
        """Who disputes: the hostile, and some that are honest in all they say to a battery."""
        buyers = [node.device_id for node in self._world.buyers]
        return {each for each in buyers if each in self._world.hostile or self._rng.random() < QUARRELS}

    def _overhear(self, world: World) -> None:
        """What batteries say to buyers is kept by those who can make money of it."""
        before, heard = world.network.told, self.disputes.heard

        def both(sender: int, receiver: int, raw: bytes, time_s: float) -> None:
            if before is not None:
                before(sender, receiver, raw, time_s)
            heard(sender, receiver, raw)

        world.network.told = both

    def _pays(self, node: Node[Any], settings: BessSettings, profile: Signed) -> Payment:
        rng = Random(self._rng.random())
        return Payment(
            node, settings, profile, market=self.market, rpcs=self._rpcs, lots=self._lots, told=self._told, rng=rng
        )

    def _purse(self, node: Node[Any]) -> Purse | None:
        if node.device_id not in self._careful:
            return None
        return EscrowLook(node, self.market, self._rpcs, Random(self._rng.random())).exposure

    def _told(self, battery: int, row: Row) -> None:
        """An outbox says something of a trade."""
        for lie in told(battery, row, self.market.trade_of(battery, row.lot_id)):
            self._broken(lie)

    def _each_second(self) -> None:
        self.disputes.second()
        if not self._calm:
            self._strike()
        self._world.scheduler.after(1.0, self._each_second)

    def _strike(self) -> None:
        if self._rng.random() < self._forks_per_s:
            self.counts[Fault.FORK] += 1
            self._fork()
        if not self._stalled and self._rng.random() < self._stalls_per_s:
            self.counts[Fault.STALL] += 1
            self._stalled = True
            self.chain.stall(on=True)
            self._world.scheduler.after(LONGEST_STALL_S * self._rng.random(), self._go_on)

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
        """Chain and RPCs are well from now on, and who pays for transactions can. Parties go on: with disputes, and with short escrows."""
        self._calm = True
        self._go_on()
        for rpc in self._rpcs:
            rpc.calm()
        for battery in self._scant:
            self.market.refill(battery, LAMPORTS)

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
        sales = [sales_of(node.device_id, node.disk.rows) for node in self._honest()]
        left = unpaid(sales) if self._calm else ()
        return [*payments(sales, self.market.shown(self.disputes.gave_back)), *left]

    def _honest(self) -> list[Node[Any]]:
        excused = self._world.tainted | self._world.hostile
        return [node for node in self._world.batteries if node.device_id not in excused]


def _pair(world: World, node: Node[Any]) -> KeyPair:
    key = world.keys[node.device_id]
    assert isinstance(key, KeyPair), "a market that settles signs with real keys"
    return key
