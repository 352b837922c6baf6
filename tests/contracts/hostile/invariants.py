"""What must hold while a node and a chain are tormented, and what the chain must show at the end. The truth is the bank's."""

from collections.abc import Iterable
from dataclasses import dataclass

from solders.signature import Signature

from contracts.accounts import TradeStatus
from contracts.outbox import KIND, Attempt, Entry, entry_of
from contracts.reconcile import Books, compare
from contracts.settler import Settler
from etp.effects import Row
from etp.units import LotId
from sim.disk import Disk
from sim.invariants.payments import Sales, Sold, payments, sales_of, told, unpaid
from sim.io.chain.market import market_rules
from tests.contracts.hostile.founding import BATTERY_ID, Market
from tests.contracts.hostile.node import Watch


@dataclass(frozen=True)
class Broken:
    """A rule that did not hold."""

    rule: str
    """durable | two live | not so | tables | spins"""
    lot_id: int
    time_s: float
    words: str
    alone: bool = False
    """No RPC that means well was in use at that moment: what one hears from liars alone cannot be right."""

    def __str__(self) -> str:
        return f"{self.rule}: lot {self.lot_id} at {self.time_s:.3f} s: {self.words}"


class Rules(Watch):
    """Looks at each row, each transaction that leaves, each turn of the core. `honest`: the numbers of RPCs that mean well."""

    def __init__(self, market: Market, honest: frozenset[int]) -> None:
        self.market, self.honest = market, honest
        self.broken: list[Broken] = []
        self.attempts: dict[LotId, dict[bytes, Attempt]] = {}
        """By lot and signature: all that was ever durable."""
        self.sent_signatures: set[bytes] = set()
        self._settler: Settler | None = None

    def _break(self, rule: str, lot_id: int, words: str) -> None:
        self.broken.append(Broken(rule, lot_id, self.market.chain.scheduler.time_s, words, self._is_alone()))

    def _is_alone(self) -> bool:
        if self._settler is None:
            return False
        usable = {link.number for link in self._settler._links if link.usable}
        return not usable & self.honest

    def turned(self, settler: Settler) -> None:
        """Tables are bounded."""
        self._settler = settler
        limits = settler.limits
        # What is over may still wait for its turn, until it comes to it.
        most = len(settler._work) + limits.sends_waiting
        for link in settler._links:
            if not 0 <= link.sends_in_flight <= limits.sends_in_flight:
                self._break("tables", 0, f"{link.sends_in_flight} sends to RPC {link.number} are on their way")
            if not 0 <= link.polls_in_flight <= limits.polls_in_flight:
                self._break("tables", 0, f"{link.polls_in_flight} questions to RPC {link.number} are on their way")
            if link.waiting > most or link.waiting != len(link._queued):
                self._break("tables", 0, f"{link.waiting} transactions wait for RPC {link.number}")

    def spins(self) -> None:
        """Time goes on."""
        self._break("spins", 0, "the deadline of the core does not move")
        raise AssertionError(str(self.broken[-1]))

    def sent(self, raw: bytes, disk: Disk) -> None:
        """Nothing leaves that is not durable."""
        signature = raw[1:65]
        self.sent_signatures.add(signature)
        lot_id, known = next(
            ((lot, found[signature]) for lot, found in self.attempts.items() if signature in found), (LotId(0), None)
        )
        if known is None or known.raw != raw:
            self._break("durable", lot_id, f"bytes leave that are not in the journal: {signature.hex()}")
            return
        found = disk.find(KIND, str(lot_id))
        newest = None if found is None else entry_of(found).attempt
        if newest is None or newest.signature != signature:
            self._break("durable", lot_id, "bytes leave that are not the newest of the journal")

    def durable(self, rows: Iterable[Row]) -> None:
        """A new transaction only once the one before cannot land."""
        for each in rows:
            made = entry_of(each)
            attempt = made.attempt
            if attempt is None or not attempt.raw:
                continue
            known = self.attempts.setdefault(made.lot_id, {})
            if attempt.signature in known:
                continue
            for older in known.values():
                self._one_lives(made, older, attempt)
            known[attempt.signature] = attempt

    def _one_lives(self, made: Entry, older: Attempt, newer: Attempt) -> None:
        chain = self.market.chain
        landed = chain.chain.landed.get(Signature(older.signature))
        if landed is not None and landed.slot <= chain.finalized:
            if landed.failure is None and older.act is newer.act:
                words = f"{newer.act.value} is signed again though its transaction of slot {landed.slot} is final"
                self._break("two live", made.lot_id, words)
            return
        if chain.may_land(older.blockhash):
            words = (
                f"{newer.act.value} is signed while {older.act.value}, valid up to {older.last_valid_height}, may land"
            )
            self._break("two live", made.lot_id, f"{words}; {chain.finalized} is final")

    def said(self, rows: Iterable[Row], settler: Settler) -> None:
        """The outbox says what the finalized account says."""
        self._settler = settler
        for each in rows:
            for lie in told(BATTERY_ID, each, self.market.trade(each.lot_id)):
                self._break("not so", each.lot_id, lie.said)


def check_end(market: Market, disk: Disk, settler: Settler, trades: Iterable[Entry]) -> None:
    """Each trade is settled exactly once, and every sum is right to the µ. Raises AssertionError."""
    sold = {made.lot_id: Sold(made.buyer, made.energy, made.price, made.amount) for made in trades}
    sales = [Sales(BATTERY_ID, sold, sales_of(BATTERY_ID, disk.rows).outbox)]
    broken = [*payments(sales, market.shown()), *unpaid(sales)]
    assert not broken, [str(each) for each in broken[:3]]
    shown = {trade.lot_id: trade.status for trade in market.trades()}
    assert shown == dict.fromkeys(sold, TradeStatus.PAID), "nobody here disputes, so nothing is given back"
    _check_journal(market, disk)
    _check_empty(settler)


def _check_journal(market: Market, disk: Disk) -> None:
    """The daemon's own comparison of the two finds nothing."""
    books = Books()
    books.take(enumerate(disk.rows, 1))
    asked_us = market.chain.now().wall_us
    found = compare(books, market.trades(), market_rules(market), battery_id=BATTERY_ID, asked_us=asked_us)
    assert not found, found


def _check_empty(settler: Settler) -> None:
    """Nothing is left behind of what is over."""
    work = settler._work
    assert len(work) == work.flying == 0
    assert work.tally.owed_in_all == 0
    assert work.tally.oldest_us is None
    assert not settler._signing.without_blockhash
    assert [agenda.next() for agenda in (work.to_sign, work.to_send, work.to_poll)] == [None] * 3
    assert len(settler._shortage._lots) <= len(settler._shortage._looks) <= 1_000
    for link in settler._links:
        assert not link._queue
        assert not link._queued
        assert link.sends_in_flight == 0, f"a place for transactions to RPC {link.number} is never given back"
        assert link.polls_in_flight == 0, f"a place for questions to RPC {link.number} is never given back"
