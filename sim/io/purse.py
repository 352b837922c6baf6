"""A buyer's view of its escrow in virtual time: the shipped exposure, asked and told as its daemon does, by RPCs that fail and lie.

One `EscrowLook` is one life of one buyer; it goes round as `contracts.io.watch.watch_exposure`, which needs an event loop.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from random import Random
from typing import Final

from aggregator_node.buyer import Buyer
from aggregator_node.io.escrow import SETTLE_WINDOW_S
from contracts.exposure import Exposure, Owed
from contracts.io.watch import ESCROW_S
from contracts.rpc import Accounts, GetAccounts, GetGenesis, Request
from sim.io.chain.market import INTERFACE, ChainMarket
from sim.io.chain.rpc import Carried, HostileRpc
from sim.node import Node

WHICH_CHAIN: Final = GetGenesis()
"""Asked of an RPC that has not shown yet that it is of this chain: until then nothing that it says counts."""


class EscrowLook:
    """See the module. It begins with the life that is about to begin."""

    def __init__(self, node: Node[Buyer], market: ChainMarket, rpcs: Sequence[HostileRpc], rng: Random) -> None:
        self.exposure = Exposure(INTERFACE, market.place, node.device_id, settle_window_s=SETTLE_WINDOW_S)
        self._node, self._rpcs, self._rng, self._genesis = node, rpcs, rng, market.place.genesis_hash
        self._fit: set[int] = set()
        self._life = node.life + 1
        self._questions: Iterator[tuple[GetAccounts, tuple[Owed, ...]]] = iter(())
        self._question: GetAccounts | None = None
        self._owed: tuple[Owed, ...] = ()
        self._answers: list[Accounts] = []
        self._waiting = 0
        node.scheduler.call(node.scheduler.time_s, self._look, None)

    @property
    def _alive(self) -> bool:
        return self._node.alive and self._node.life == self._life

    def _look(self, _: None) -> None:
        if self._alive:
            self._questions = iter(self.exposure.requests(self._node.now()))
            self._next()

    def _next(self) -> None:
        """The next question, of all RPCs; without one the buyer is told, and looks again after a while."""
        self._question, self._owed = next(self._questions, (None, ()))
        if self._question is None:
            now, scheduler = self._node.now(), self._node.scheduler
            self._node.core.funded(now)
            self._node.turned(now)
            scheduler.call(scheduler.time_s + ESCROW_S, self._look, None)
            return
        self._answers, self._waiting = [], len(self._rpcs)
        for number in range(len(self._rpcs)):
            self._ask(number, self._question if number in self._fit else WHICH_CHAIN)

    def _ask(self, number: int, request: Request) -> None:
        self._rpcs[number].ask_from_afar(request, self._rng, partial(self._hear, number))

    def _hear(self, number: int, carried: Carried) -> None:
        if not self._alive:
            return
        if number not in self._fit and carried.answer == self._genesis and self._question is not None:
            self._fit.add(number)
            self._ask(number, self._question)
            return
        if isinstance(carried.answer, Accounts):
            self._answers.append(carried.answer)
        self._waiting -= 1
        if not self._waiting:
            self.exposure.take(self._owed, self._answers)
            self._next()
