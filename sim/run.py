"""One seed played to its end, and what came of it.

In *safety* mode the invariants are looked at after each step while everything goes wrong. In *liveness* mode everything is well
again afterwards, and what was begun must come to an end (`sim.liveness`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Final, Protocol

from sim.draw import Mode, Scenario, scenario
from sim.faults import Fault, schedule
from sim.invariants import Callers, Violation, Watch
from sim.liveness import healed
from sim.node import Node
from sim.plan import Plan
from sim.world import World

SLICE_S: Final = 1.0
"""Virtual time between two looks at whether anything is broken already, s."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    mode: Mode
    digest: str
    auctions: int
    """Lots that closed with at least one bid."""
    trades: int
    messages: int
    """Frames that a core was handed."""
    faults: Mapping[str, int]
    """What was done to nodes, links and the chain, by kind: each once, whatever came of it."""
    losses: Mapping[str, int]
    """What came of it on the way, by kind: datagrams, connections, transactions of a disk, answers of RPCs."""
    crashes: int
    batteries: int
    buyers: int
    violations: tuple[Violation, ...] = ()
    script: tuple[Fault, ...] = field(default=(), repr=False)
    """What was to go wrong."""

    def to_json(self) -> dict[str, Any]:
        """As `etp sim --json` prints it."""
        return {
            "seed": self.seed,
            "mode": self.mode,
            "batteries": self.batteries,
            "buyers": self.buyers,
            "digest": self.digest,
            "auctions": self.auctions,
            "trades": self.trades,
            "messages": self.messages,
            "faults": dict(sorted(self.faults.items())),
            "losses": dict(sorted(self.losses.items())),
            "crashes": self.crashes,
            "violations": [each._asdict() for each in self.violations],
        }


class Cashier(Protocol):
    """Who sees to all payment of a world (sim.io.cashier)."""

    plan: Plan
    """The plan of a market that settles."""

    @property
    def faults(self) -> Mapping[str, int]:
        """What was done to the chain and the RPCs, by kind."""

    @property
    def losses(self) -> Mapping[str, int]:
        """What went wrong with single requests, by kind."""

    def begin(self, world: World, broken: Callable[[Violation], None]) -> None:
        """Before the world begins; `broken`: told of what must not be as soon as it is."""

    def heal(self) -> None:
        """The chain and all RPCs are well from now on."""

    def unfinished(self) -> Iterable[Violation]:
        """Trades that are not paid yet."""

    def violations(self) -> list[Violation]:
        """What is paid otherwise than it was sold."""


Settle = Callable[[Plan, Random], Cashier]


def run(seed: int, mode: Mode | None = None, settle: Settle | None = None) -> Outcome:
    """Play what a seed says; with `settle` markets with real signatures are paid on a chain."""
    return play(scenario(seed, mode), settle)


def play(drawn: Scenario, settle: Settle | None = None) -> Outcome:
    """Play a scenario; it ends early where something is broken."""
    plan = drawn.plan
    cashier = settle(plan, Random(f"chain {drawn.seed}")) if settle is not None and plan.may_settle else None
    world = World(plan if cashier is None else cashier.plan)
    watch = Watch(world.books(), tainted=world.tainted, hostile=world.hostile, is_genuine=world.is_genuine)
    world.watch(watch, Callers(watch.found.append))
    schedule(world, drawn.script)
    try:
        if cashier is not None:
            cashier.begin(world, watch.found.append)
        world.begin()
        _watched(world, watch, plan.seconds)
        late = healed(world, cashier) if drawn.mode == "liveness" and not watch.found else []
    except Exception as error:  # noqa: BLE001 - whatever a core raises is what is looked for
        watch.raised(_raiser(error.__traceback__), error)
        late = []
    living = {int(node.device_id): node.now() for node in world.nodes if node.alive}
    found = watch.found if watch.found else [*watch.ended(world.books(), living), *late]
    if cashier is not None:
        world.tally.faults.update(cashier.faults)
        world.tally.losses.update(cashier.losses)
        found = found or cashier.violations()  # of a market whose journals are in order
    return _outcome(drawn, world, found)


def _watched(world: World, watch: Watch, until_s: float) -> None:
    scheduler = world.scheduler
    while scheduler.time_s < until_s and not watch.found:
        scheduler.run(min(until_s, scheduler.time_s + SLICE_S))
    for node in world.nodes:
        node.look()


def _outcome(drawn: Scenario, world: World, found: list[Violation]) -> Outcome:
    rows = [row for node in world.batteries for row in node.disk.rows]
    return Outcome(
        drawn.seed,
        drawn.mode,
        world.digest(),
        sum(row.kind == "lot" for row in rows),
        sum(row.kind == "trade" for row in rows),
        world.tally.messages,
        dict(world.tally.faults),
        dict(world.tally.losses),
        world.tally.crashes,
        len(world.batteries),
        len(world.buyers),
        tuple(found),
        drawn.script,
    )


def _raiser(trace: TracebackType | None) -> int:
    """The node whose core raised, out of the traceback; 0: none."""
    device_id = 0
    while trace is not None:
        who = trace.tb_frame.f_locals.get("self")
        device_id = who.device_id if isinstance(who, Node) else device_id
        trace = trace.tb_next
    return device_id
