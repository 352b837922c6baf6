"""One world of torment: a market, trades, RPCs of which one at least means well, and faults as a seed has them. Then calm."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from contracts.outbox import KIND, Entry
from contracts.settler import Settler
from contracts.settler_limits import SettlerLimits, SettlerTiming
from contracts.transactions import Signer
from sim.io.chain.bank import MEMORY, RealChain
from sim.io.chain.faults import LIES, UNRELIABLE, Chance, Fault, Odds, drawn
from sim.io.chain.market import SOL
from sim.io.chain.rpc import Expected, HostileRpc
from sim.scheduler import Scheduler
from tests.contracts.hostile.founding import (
    BATTERY,
    BATTERY_ADDRESS,
    BATTERY_ID,
    PLACE,
    Market,
    confirm,
    expected,
)
from tests.contracts.hostile.invariants import Broken, Rules, check_end
from tests.contracts.hostile.node import Node

PACES: Final = ((40, 4), (100, 8), (400, 32))
"""Slots: ms each, and how many to finality. The fastest local chain, and Solana's own."""
WINDOWS: Final = (0, 0, 30, 600)
"""Dispute windows, s."""
TRADE_LAMPORTS: Final = 3_000_000
CALM_S: Final = 3 * 3600.0
"""Once all is well everything is settled within this, s: a refusal that only an operator can change is tried again after an hour."""
DRAIN_S: Final = 40.0
"""Answers that are late by then have come, or their time is over."""
LOOK_S: Final = 5.0
LONGEST_STALL_S: Final = 600.0


@dataclass
class Scenario:
    """What a world is made of."""

    trades: int
    rpcs: list[Odds]
    """Of each RPC; the first means well."""
    behind: list[int]
    slot_ms: int
    finality_slots: int
    dispute_window: int = 0
    buyers: int = 1
    stress_s: float = 60.0
    """So long trades come and things go wrong."""
    forks: float = 0.0
    """A second."""
    stalls: float = 0.0
    crash: float = 0.0
    """A step."""
    journal: float = 0.0
    """A commit."""
    covered: float = 1.0
    """Share of what is owed that escrows hold at first."""
    fees_for: float = 10.0
    """Share of the trades whose fees the battery can pay at first."""


def scenario(seed: int, trades: int) -> Scenario:
    """A random mix."""
    rng = random.Random(seed)
    count = rng.choice((1, 2, 2, 3, 3))
    rpcs = [drawn(rng, UNRELIABLE) for _ in range(count)]
    if count > 1 and rng.random() < 0.5:
        rpcs[-1] |= drawn(rng, LIES)
    slot_ms, finality = rng.choice(PACES)
    return Scenario(
        trades,
        rpcs,
        behind=[rng.choice((0, 0, 1, 3, rng.randrange(MEMORY))) for _ in range(count)],
        slot_ms=slot_ms,
        finality_slots=finality,
        dispute_window=rng.choice(WINDOWS),
        buyers=rng.randrange(1, 4),
        stress_s=rng.choice((10.0, 60.0, 300.0, 900.0)) * (0.5 + rng.random()),
        forks=rng.choice((0.0, 0.02, 0.2)),
        stalls=rng.choice((0.0, 0.0, 0.005)),
        crash=rng.choice((0.0, 0.0005, 0.005, 0.02)),
        journal=rng.choice((0.0, 0.0, 0.02, 0.2)),
        covered=rng.choice((2.0, 2.0, 1.0, 0.5, 0.0)),
        fees_for=rng.choice((10.0, 10.0, 10.0, 0.3, 0.0)),
    )


@dataclass
class Outcome:
    """What became of a world."""

    seed: int
    trades: int
    digest: str
    faults: Counter[Fault]
    deaths: Counter[str]
    broken: list[Broken] = field(default_factory=list)
    calm_s: float = 0.0
    """From the last fault to the last trade settled, s."""
    virtual_s: float = 0.0
    signed: int = 0
    sent: int = 0
    most_signed: int = 0
    """Transactions for one trade."""
    forked: int = 0
    """Transactions that forks took back."""
    error: str = ""


class World:
    """See the module."""

    def __init__(
        self,
        made: Scenario,
        seed: int,
        *,
        timing: SettlerTiming | None = None,
        limits: SettlerLimits | None = None,
    ) -> None:
        self.scenario, self.seed = made, seed
        self.rng = random.Random(seed)
        self.scheduler = Scheduler()
        self.counts: Counter[Fault] = Counter()
        self.chain = RealChain(self.scheduler, slot_ms=made.slot_ms, finality_slots=made.finality_slots)
        self.chance = Chance(
            {Fault.FORK: made.forks, Fault.STALL: made.stalls, Fault.CRASH: made.crash, Fault.JOURNAL: made.journal},
            self._rng(),
            self.counts,
        )
        self.buyers = [500 + number for number in range(made.buyers)]
        self._plan = [self._drawn(number) for number in range(made.trades)]
        self.owed = {buyer: sum(p * e // 1000 + 1 for b, p, e, _ in self._plan if b == buyer) for buyer in self.buyers}
        deposits = [int(self.owed[buyer] * made.covered) for buyer in self.buyers]
        lamports = max(SOL // 500, int(made.trades * TRADE_LAMPORTS * made.fees_for))
        self.market = Market(self.chain, deposits, dispute_window=made.dispute_window, lamports=lamports)
        self.scheduler.run(made.slot_ms * (made.finality_slots + MEMORY + 2) / 1000)
        self.began_s = self.scheduler.time_s
        self.entries: dict[int, Entry] = {}
        self.lots: dict[str, Expected] = {}
        self.rpcs = [
            HostileRpc(number, self.chain, odds, rng=self._rng(), lots=self.lots, counts=self.counts, behind=behind)
            for number, (odds, behind) in enumerate(zip(made.rpcs, made.behind, strict=True))
        ]
        honest = frozenset(number for number, rpc in enumerate(self.rpcs) if not rpc.is_liar)
        self.rules = Rules(self.market, honest)
        signer = Signer(self.market.make, BATTERY_ADDRESS, BATTERY_ID, BATTERY.sign)
        self.node = Node(
            self.scheduler,
            self.rpcs,
            signer,
            rng=self._rng(),
            chance=self.chance,
            watch=self.rules,
            timing=timing,
            limits=limits,
        )
        self._stalled = False

    def _rng(self) -> random.Random:
        return random.Random(self.rng.random())

    def _drawn(self, number: int) -> tuple[int, int, int, float]:
        rng = self.rng
        energy = rng.choice((rng.randint(1, 20), rng.randint(21, 60_000)))
        price = rng.choice((rng.randint(1, 300_000), rng.randint(100_000, 300_000)))
        if price * energy <= 1000:  # an amount of 0 µ is none that a market takes
            price, energy = 100_000, energy + 1_000
        return self.buyers[number % len(self.buyers)], price, energy, self.scenario.stress_s * rng.random()

    # -- the course of things

    def run(self) -> Outcome:
        """Torment, calm, judgement. Raises AssertionError."""
        for buyer, price, energy, after_s in self._plan:
            self.scheduler.after(after_s, self._confirming(buyer, price, energy))
        self.node.start()
        self._each_second()
        self._short_of_money()
        end_s = self.began_s + self.scenario.stress_s
        self.scheduler.run(end_s)
        self.calm()
        self.settle_all(end_s + CALM_S)
        outcome = self.outcome()
        outcome.calm_s = self.scheduler.time_s - end_s
        self.scheduler.run(self.scheduler.time_s + DRAIN_S)
        check_end(self.market, self.node.disk, self._settler(), self.entries.values())
        return outcome

    def _confirming(self, buyer: int, price: int, energy: int) -> Callable[[], None]:
        def come() -> None:
            lot_id = len(self.entries) + 1
            entry = confirm(lot_id, buyer, price=price, energy=energy, time_us=self.scheduler.now().wall_us)
            self.take(entry)

        return come

    def take(self, entry: Entry) -> None:
        """A trade comes."""
        self.entries[entry.lot_id] = entry
        self.lots[str(PLACE.trade(BATTERY_ID, entry.lot_id))] = expected(entry)
        self.node.confirm(entry)

    def _each_second(self) -> None:
        if not self.chance.on:
            return
        if self.chance.strikes(Fault.FORK):
            self.fork()
        if not self._stalled and self.chance.strikes(Fault.STALL):
            self._stall()
        self.scheduler.after(1.0, self._each_second)

    def fork(self) -> None:
        """The last slots are gone; some of what was in them lands again on the branch that lives."""
        depth = self.rng.choice((1, self.scenario.finality_slots, self.rng.randrange(1, 2_000)))
        raws = self.chain.fork(depth)
        self.counts[Fault.FORKED_AWAY] += len(raws)
        again = [raw for raw in raws if self.rng.random() < 0.3]
        for raw in again:
            self.scheduler.after(self.rng.random() * 5, lambda raw=raw: self.rpcs[0].hand_on(raw))

    def _stall(self) -> None:
        self._stalled = True
        self.chain.stall(on=True)
        left_s = self.began_s + self.scenario.stress_s - self.scheduler.time_s
        self.scheduler.after(min(left_s, LONGEST_STALL_S * self.rng.random()), self._go_on)

    def _go_on(self) -> None:
        if self._stalled:
            self._stalled = False
            self.chain.stall(on=False)

    def _short_of_money(self) -> None:
        """Escrows and the fee payer are filled in the course of the torment, at the latest with the calm."""
        stress_s = self.scenario.stress_s
        if self.scenario.covered < 1:
            self.counts[Fault.ESCROW_SHORT] += len(self.buyers)
        if self.scenario.fees_for < 1:
            self.counts[Fault.PAYER_EMPTY] += 1
        self.scheduler.after(stress_s * (0.3 + 0.7 * self.rng.random()), self._deposit)
        self.scheduler.after(stress_s * (0.3 + 0.7 * self.rng.random()), self._refill)

    def _deposit(self) -> None:
        for buyer in self.buyers:
            missing = self.owed[buyer] - self.market.deposited[buyer]
            if missing > 0:
                self.market.deposit(buyer, missing)

    def _refill(self) -> None:
        if self.scenario.fees_for < 2:
            self.market.pay_fees(len(self._plan) * TRADE_LAMPORTS * 3)

    def calm(self) -> None:
        """No more faults."""
        self._go_on()
        self.chance.on = False
        for rpc in self.rpcs:
            rpc.calm()
        self._deposit()
        self._refill()

    def settle_all(self, until_s: float) -> None:
        """Let time go on until every trade is over, or it is too late."""
        while not self.is_over and self.scheduler.time_s < until_s:
            assert not self.rules.broken, "; ".join(str(each) for each in self.rules.broken[:3])
            self.scheduler.run(self.scheduler.time_s + LOOK_S)
        assert self.is_over, "not settled in time: " + ", ".join(self.unsettled())

    @property
    def is_over(self) -> bool:
        """Whether the node is up and its outbox is empty."""
        confirmed = all(self.node.disk.find(KIND, str(lot)) for lot in self.entries)
        started = len(self.entries) >= self.scenario.trades
        settler = self.node.settler
        return started and confirmed and settler is not None and not len(settler._work) and not self.unsettled()

    def unsettled(self) -> list[str]:
        """Lots that are not over, and why."""
        found = (self.node.disk.find(KIND, str(lot)) for lot in self.entries)
        return [f"{each.lot_id} {each.state}: {each.body['reason']}" for each in found if each and each.pending]

    def _settler(self) -> Settler:
        assert self.node.settler is not None
        return self.node.settler

    def outcome(self) -> Outcome:
        """So far."""
        digest = sha256()
        for each in self.node.disk.rows:
            digest.update(repr((each.lot_id, each.state, each.time_us, sorted(each.body.items()))).encode())
        digest.update(repr(sorted((fault.name, count) for fault, count in self.counts.items())).encode())
        attempts = self.rules.attempts
        return Outcome(
            self.seed,
            len(self.entries),
            digest.hexdigest(),
            self.counts,
            self.node.deaths,
            broken=list(self.rules.broken),
            virtual_s=self.scheduler.time_s - self.began_s,
            signed=sum(len(found) for found in attempts.values()),
            sent=len(self.rules.sent_signatures),
            most_signed=max((len(found) for found in attempts.values()), default=0),
            forked=len(self.chain.dropped),
        )
