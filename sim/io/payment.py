"""Settlement in a simulated market: each battery's shipped settler in virtual time, RPCs that fail and lie, the real program behind them.

One `Payment` is one life of one battery's settler; the RPCs, the chain and what they do wrong outlive it.
"""

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any, Final

from bess_node.settings import BessSettings
from bess_node.settlement import Settlement
from contracts import outbox
from contracts.addresses import Address
from contracts.links import Ask
from contracts.reputation import Requirements, Standings
from contracts.settler import Settler
from contracts.settler_limits import SettlerLimits
from contracts.transactions import Signer
from contracts.work import SettlerEffect
from etp.effects import Commit, Count, Log, Row, Write
from etp.signed import Signed
from etp.units import MICRO_PER_CENT, Micro, MonotonicS
from sim.io.chain.market import ChainMarket
from sim.io.chain.rpc import Carried, Expected, HostileRpc
from sim.node import Node

NO_ESCROW_ASKED: Final = Requirements(Micro(0), 0.0)


class Payment:
    """See the module. `lots`: where RPCs look up what they may invent, by address; `told`: of each row by which the outbox says
    what became of a trade.
    """

    def __init__(
        self,
        node: Node[Any],
        settings: BessSettings,
        profile: Signed,
        *,
        market: ChainMarket,
        rpcs: list[HostileRpc],
        lots: dict[str, Expected],
        told: Callable[[int, Row], None],
        rng: Random,
    ) -> None:
        identity, make = profile.identity, market.make
        key = market.batteries[identity.device_id]
        self._payer = Address(key.public)
        signer = Signer(make, self._payer, identity.device_id, key.sign, settings.unit_price)
        limits = SettlerLimits(unsettled_micro=Micro(round(settings.unsettled * MICRO_PER_CENT)))
        self.settler = Settler(signer, rpcs=len(rpcs), rng=rng, limits=limits)
        standings = Standings(make.interface, make.place)
        self.settlement = Settlement(profile.key_of, self.settler, standings, NO_ESCROW_ASKED)
        self._node, self._market, self._rpcs, self._lots, self._rng = node, market, rpcs, lots, rng
        self._told = told
        self._life = node.life + 1
        self._wake_s = float("inf")
        self._commits: dict[int, Commit] = {}
        """On their way, by identity: a row's body cannot be hashed."""
        self._early: list[SettlerEffect] | None = []
        self._table: dict[type, Callable[[Any], None]] = {
            Ask: self._ask,
            Commit: self._commit,
            Write: self._write,
            Count: _ignore,
            Log: _ignore,
        }
        pending = [outbox.entry_of(row) for row in node.disk.pending_rows() if row.kind == outbox.KIND]
        for entry in pending:
            self._expect(entry)
        self._early = list(self.settler.restore(pending, node.now()))

    @property
    def _alive(self) -> bool:
        return self._node.alive and self._node.life == self._life

    def began(self) -> None:
        """The life has begun: what the journal had pending is seen to."""
        early, self._early = self._early or [], None
        self._do(early)

    def settle(self, row: Row) -> None:
        """A trade whose outbox row is durable."""
        entry = outbox.entry_of(row)
        self._expect(entry)
        self._do(self.settler.add(entry, self._node.now()))

    def _expect(self, entry: outbox.Entry) -> None:
        place, battery = self._market.place, self._node.device_id
        address = str(place.trade(battery, entry.lot_id))
        self._lots[address] = Expected(place.market, battery, self._payer, entry)

    def ended(self, commit: Commit, *, durable: bool) -> bool:
        """A commit of the battery's journal ended; False: it was not the settler's."""
        if self._commits.pop(id(commit), None) is None:
            return False
        outcome = self.settler.committed if durable else self.settler.commit_failed
        self._do(outcome(commit, self._node.now()))
        return True

    def crashed(self) -> None:
        """The life that it belonged to is over: nothing is heard any more; what is on its way to an RPC arrives."""

    # -- effects

    def _do(self, effects: Iterable[SettlerEffect]) -> None:
        if self._early is not None:
            self._early += effects
            return
        for effect in effects:
            if not self._alive or self._node.falls():
                return
            self._table[type(effect)](effect)
        self._wake()

    def _ask(self, ask: Ask) -> None:
        self._rpcs[ask.rpc].ask_from_afar(ask.request, self._rng, partial(self._hear, ask))

    def _hear(self, ask: Ask, carried: Carried) -> None:
        if self._alive:
            self._do(self.settler.answered(ask, carried.answer, self._node.now()))

    def _commit(self, commit: Commit) -> None:
        self._commits[id(commit)] = commit
        self._node.writer.commit(commit, None)

    def _write(self, effect: Write) -> None:
        for row in effect.rows:
            self._told(self._node.device_id, row)
        self._node.writer.write(effect.rows)

    # -- time

    def _wake(self) -> None:
        due_s = self.settler.next_deadline()
        if due_s is not None and due_s < self._wake_s:
            self._wake_s = due_s
            at_s = max(self._node.scheduler.time_s, self._node.clock.true_s(MonotonicS(due_s)))
            self._node.scheduler.call(at_s, self._advance, due_s)

    def _advance(self, due_s: float) -> None:
        if due_s != self._wake_s or not self._alive:
            return
        self._wake_s = float("inf")
        self._do(self.settler.advance(self._node.now()))


def _ignore(_: Count | Log) -> None:
    """Counters and log lines are the operator's."""


def unsettled(node: Node[Any]) -> list[Row]:
    """What a battery's journal says is not paid yet."""
    return [row for row in node.disk.pending_rows() if row.kind == outbox.KIND]
