"""What must hold while a node and a chain are tormented, and what the chain must show at the end. The truth is the bank's."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from solders.signature import Signature

from contracts.accounts import Trade, TradeStatus, decode
from contracts.addresses import token_account
from contracts.evidence import SHOWN_AS, differences
from contracts.outbox import KIND, OUTBOX, Attempt, Entry, OutboxState, entry_of
from contracts.reconcile import Books, compare
from contracts.settler import Settler
from etp.effects import Row
from etp.units import LotId
from sim.disk import Disk
from sim.io.chain.market import FEE_BPS, INTERFACE, market_rules
from tests.contracts.hostile.founding import BATTERY_ADDRESS, BATTERY_ID, Market
from tests.contracts.hostile.node import Watch

FROM_THE_CHAIN: Final = frozenset(SHOWN_AS.values())
"""States that only the chain can put a trade into."""


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
            # A look at escrows, and a trade read back, come beside the ordinary questions.
            if not 0 <= link.polls_in_flight <= 2 * limits.polls_in_flight + 1:
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
            made = entry_of(each)
            if made.state not in FROM_THE_CHAIN:
                continue
            trade = self.market.trade(made.lot_id)
            shown = None if trade is None else SHOWN_AS[trade.status]
            if shown is not made.state and shown not in OUTBOX[made.state]:  # an RPC that is behind shows what was
                words = f"{made.state.value} in the outbox, {shown and shown.value} in the finalized account"
                self._break("not so", made.lot_id, words)


def check_end(market: Market, disk: Disk, settler: Settler, trades: Iterable[Entry]) -> None:
    """Each trade is settled exactly once, and every sum is right to the µ. Raises AssertionError."""
    entries = list(trades)
    owed = dict.fromkeys(market.buyers, 0)
    paid = fees = 0
    counted = dict.fromkeys(market.buyers, 0)
    for made in entries:
        trade = market.trade(made.lot_id)
        stored = disk.find(KIND, str(made.lot_id))
        assert stored is not None, f"lot {made.lot_id} is not in the journal"
        assert trade is not None, f"lot {made.lot_id} is {stored.state} in the outbox and not on the chain"
        assert not differences(made, trade, BATTERY_ID), (made, trade)
        assert trade.status is TradeStatus.PAID, (made.lot_id, trade.status, stored.state)
        assert entry_of(stored).state is OutboxState.SETTLED, (made.lot_id, stored.state)
        assert trade.fee == trade.amount * FEE_BPS // 10_000
        paid, fees = paid + trade.amount - trade.fee, fees + trade.fee
        owed[made.buyer] += trade.amount
        counted[made.buyer] += 1
    assert market.tokens(token_account(BATTERY_ADDRESS, market.mint)) == paid
    assert market.tokens(market.fees) == fees
    for buyer in market.buyers:
        escrow, tokens = market.escrow(buyer), market.tokens(market.vault(buyer))
        if escrow is None:
            assert tokens == market.deposited[buyer] == owed[buyer] == 0
            continue
        assert (escrow.held, escrow.available) == (0, market.deposited[buyer] - owed[buyer]), buyer
        assert tokens == escrow.available, buyer
        assert market.participant(buyer).settled == counted[buyer]
    assert market.participant(BATTERY_ID).settled == len(entries)
    _check_journal(market, disk)
    _check_empty(settler)


def _check_journal(market: Market, disk: Disk) -> None:
    """The daemon's own comparison of the two finds nothing."""
    books = Books()
    books.take(enumerate(disk.rows, 1))
    chain, place = market.chain.chain, market.make.place
    owned = [account.data for _, account in chain.owned(place.program_id, market.chain.finalized)]
    head = INTERFACE.discriminator("Trade")
    shown = [decode(INTERFACE, Trade, each) for each in owned if each.startswith(head)]
    asked_us = market.chain.now().wall_us
    found = compare(books, shown, market_rules(market), battery_id=BATTERY_ID, asked_us=asked_us)
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
