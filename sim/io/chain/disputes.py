"""What a buyer can do on the chain against the battery that it bought from, and the arbiter who decides.

It disputes whatever is held for it, delivered or not; and with each Terminate that its battery ever said to it, it asks for the
money of that lot back, to which it has a right where the battery could not deliver.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from random import Random
from typing import Final

from solders.pubkey import Pubkey

from contracts.accounts import Trade, TradeStatus
from contracts.instructions import Parties, precompile
from etp.codes import MessageType, TerminateCode
from etp.frame import FRAME_SIZE, decode
from etp.record import NO_LOT, RECORD_SIZE, lot_of
from sim.io.chain.faults import Fault
from sim.io.chain.market import ADMIN, ADMIN_ADDRESS, ChainMarket, market_rules
from sim.io.chain.rpc import Expected

DISPUTES: Final = 0.3
"""Share of the held trades that it disputes, a second."""
DECIDES_S: Final = 20.0
"""The arbiter decides after so long, on average, s: before and after the battery has seen the dispute."""
REFUNDS: Final = frozenset({TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER})
"""What a battery must have said of a lot for its buyer to have its money back (docs/settlement.md, Program)."""


class Disputes:
    """See the module. `buyers`: who disputes; `lots`: by address, all trades that may be on the chain."""

    def __init__(
        self,
        market: ChainMarket,
        buyers: Collection[int],
        lots: Mapping[str, Expected],
        *,
        rng: Random,
        counts: Counter[Fault],
    ) -> None:
        self.gave_back: set[tuple[int, int]] = set()
        """Battery and lot of each trade that the arbiter decides for its buyer."""
        self._market, self._buyers, self._lots, self._rng, self._counts = market, buyers, lots, rng, counts
        self._due_s: dict[tuple[int, int], float] = {}
        """By battery and lot: when the arbiter decides."""
        self._farewells: dict[tuple[int, int], bytes] = {}
        """By battery and lot: its Terminate, where that is worth money."""

    def heard(self, sender: int, receiver: int, raw: bytes) -> None:
        """What a battery said to one of these buyers."""
        if receiver not in self._buyers or raw[0] != MessageType.TERMINATE or len(raw) != RECORD_SIZE:
            return
        lot_id = lot_of(raw) or NO_LOT
        if lot_id != NO_LOT and decode(raw[:FRAME_SIZE]).termination_code in REFUNDS:
            self._farewells[sender, lot_id] = raw

    def second(self) -> None:
        """Another second has passed: who disputes does so, and the arbiter decides what is due."""
        for expected in list(self._lots.values()):
            if expected.entry.buyer not in self._buyers:
                continue
            trade = self._market.newest(expected.battery, expected.entry.lot_id)
            if trade is None:
                continue
            if trade.status is TradeStatus.HELD:
                self._against(trade)
            elif trade.status is TradeStatus.DISPUTED:
                self._decide(trade)

    def _against(self, trade: Trade) -> None:
        market, key, parties = self._market, self._market.keys[trade.aggregator], self._parties(trade)
        farewell = self._farewells.get((trade.battery, trade.lot_id))
        if farewell is not None:
            self._counts[Fault.REFUND] += 1
            spoken = precompile(farewell, market.place.network_id, market.batteries[trade.battery].public)
            market.tries([spoken, market.make.refund(parties)], key)
        elif self._rng.random() < DISPUTES and market.tries([market.make.dispute(Pubkey(key.public), parties)], key):
            self._counts[Fault.DISPUTE] += 1

    def _decide(self, trade: Trade) -> None:
        key, now_s = (trade.battery, trade.lot_id), self._market.chain.scheduler.time_s
        if key not in self._due_s:
            self._due_s[key] = now_s + self._rng.expovariate(1 / DECIDES_S)
            if self._rng.random() < 1 / 2:
                self.gave_back.add(key)
        if now_s >= self._due_s[key]:  # and again, where a fork takes that back
            market, to_battery = self._market, key not in self.gave_back
            rules = market_rules(market)
            resolve = market.make.resolve(ADMIN_ADDRESS, self._parties(trade), rules, to_battery=to_battery)
            market.tries([resolve], ADMIN)

    def _parties(self, trade: Trade) -> Parties:
        battery = Pubkey(self._market.batteries[trade.battery].public)
        return Parties(battery, trade.battery, trade.aggregator, trade.lot_id)
