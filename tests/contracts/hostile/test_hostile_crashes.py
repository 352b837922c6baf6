"""kill -9 at every step of a settlement, one after the other: each time the trade is paid once and the same rules hold.

One chain for a whole sweep; a new node and a new trade for each step. The sweep is over when trades get through before
their node has taken that many steps.
"""

import math
from collections import Counter
from dataclasses import dataclass

import pytest

from contracts.outbox import KIND
from contracts.settler_limits import SettlerTiming
from sim.io.chain.faults import Fault
from tests.contracts.hostile.founding import confirm
from tests.contracts.hostile.invariants import check_end
from tests.contracts.hostile.world import Scenario, World

FAST = SettlerTiming(default_after_s=1.0, escrow_s=0.5, release_margin_s=1.0, watch_s=5.0)
SURVIVED = 5
"""So many get through before their node dies, some of which take a step more or less: then the sweep is over."""
BOUND_S = 150.0
"""A blockhash lives 6 s here; the longest back-off is a minute."""


@dataclass(frozen=True)
class Course:
    """How a settlement goes, and how long the node is down."""

    down_s: tuple[float, float]
    dispute_window: int = 0
    short: bool = False
    """The escrow is empty until the default stands on the chain."""
    first_lost: bool = False
    """The RPC says that it took the first transaction, and drops it."""
    least_steps: int = 25
    stride: int = 1


COURSES = {
    "paid at once": Course((0.1, 0.3)),
    "paid at once, down for longer than a blockhash lives": Course((8.0, 20.0)),
    "held, then released": Course((0.1, 2.0), dispute_window=3, least_steps=45),
    "lost, then signed anew": Course((0.1, 2.0), first_lost=True, least_steps=60),
    "defaulted, then paid": Course((0.1, 1.0), short=True, least_steps=50, stride=3),
}


class Sweep:
    """One chain, and a trade for each step."""

    def __init__(self, course: Course) -> None:
        self.course = course
        made = Scenario(
            0,
            [{Fault.NOTHING_FOR_SUCCESS: 1.0} if course.first_lost else {}],
            behind=[0],
            slot_ms=40,
            finality_slots=4,
            dispute_window=course.dispute_window,
            covered=0.0,
        )
        self.world = World(made, 1, timing=FAST)
        self.node = self.world.node
        self.node.down_s = course.down_s
        self.market, self.scheduler = self.world.market, self.world.scheduler
        self.market.pay_fees(10**12)
        self.market.deposit(500, 1)  # a vault that was never made is another story
        self.names: Counter[str] = Counter()

    def trade(self, lot_id: int, dies_at: int) -> bool:
        """Settle a trade by a node that dies so many steps after it is up; whether it came so far."""
        course, scheduler = self.course, self.scheduler
        scheduler.run(math.ceil(scheduler.time_s) + 1.0)
        self.node._rng.seed(1)  # the same way for each trade up to its death, from the same place in a slot
        entry = confirm(lot_id, 500, price=200_000, energy=1_000 + lot_id, time_us=scheduler.now().wall_us)
        if not course.short:
            self.market.deposit(500, entry.amount)
        self.world.rpcs[0].chance.on = course.first_lost
        self.node.start()
        self.node.dies_at = self.node.steps + dies_at
        lives, end_s = self.node.lives, scheduler.time_s + BOUND_S
        self.world.take(entry)
        while not self.world.is_over and scheduler.time_s < end_s:
            scheduler.run(scheduler.time_s + 0.25)
            found = self.node.disk.find(KIND, str(lot_id))
            if self.world.rules.attempts.get(entry.lot_id):
                self.world.rpcs[0].chance.on = self.world.rpcs[0].chance.on and not self._was_sent(lot_id)
            if course.short and found is not None and found.state == "defaulted":
                missing = sum(each.amount for each in self.world.entries.values()) + 1 - self.market.deposited[500]
                if missing > 0:
                    self.market.deposit(500, missing)
        assert self.world.is_over, (dies_at, self.node.deaths, self.world.unsettled())
        died = self.node.lives != lives
        self.node.dies_at = None
        return died

    def _was_sent(self, lot_id: int) -> bool:
        return bool(
            self.world.rules.sent_signatures & set(self.world.rules.attempts[self.world.entries[lot_id].lot_id])
        )

    def run(self) -> int:
        """All steps; how many there were."""
        lot_id = step = 1
        survived = 0
        while survived < SURVIVED:
            survived += not self.trade(lot_id, step)
            assert not self.world.rules.broken, (step, [str(each) for each in self.world.rules.broken])
            lot_id, step = lot_id + 1, step + self.course.stride
        self.scheduler.run(self.scheduler.time_s + 30)
        settler = self.node.settler
        assert settler is not None
        check_end(self.market, self.node.disk, settler, self.world.entries.values())
        return step


@pytest.mark.parametrize("name", COURSES)
def test_a_kill_at_every_step_pays_once(name: str) -> None:
    """Never two live transactions, nothing sent that was not durable, every sum right at the end."""
    sweep = Sweep(COURSES[name])
    steps = sweep.run()
    assert steps >= COURSES[name].least_steps, "fewer steps than a settlement has"
    died_before = set(sweep.node.deaths)
    every = {"confirm", "fsync confirm", "durable confirm", "Commit settle", "fsync settle", "durable settle"}
    every |= {"Ask send", "answer send", "Ask statuses", "answer statuses", "Ask trades", "answer trades", "Write"}
    assert COURSES[name].stride > 1 or every <= died_before, every - died_before
