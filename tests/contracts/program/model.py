"""The program's rules once more, in plain Python: a market's books, and for each instruction why it is refused, if it is.

`reasons` of an act is every reason that applies; the program names one of them, whichever it looks at first. No reason:
it succeeds, and `did` is what it changes. Written from docs/settlement.md, not from the program.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from solders.pubkey import Pubkey

from contracts.instructions import Terms
from tests.contracts.program.harness import (
    ARBITER_TIME,
    DAY,
    DEFAULTED,
    DISPUTED,
    HELD,
    MAX_AHEAD,
    MAX_ENERGY,
    MAX_PRICE,
    PAID,
    REFUNDED,
    U64,
    US,
    Deal,
    Device,
)

GIVES_UP: Final = (1, 2)
Reasons = set[str]


@dataclass
class Purse:
    """An Escrow."""

    available: int = 0
    held: int = 0
    asked: int = 0
    since: int = 0


@dataclass(frozen=True)
class Line:
    """A Trade."""

    deal: Deal
    record_hash: bytes
    fee: int
    status: int
    release_at: int = 0
    disputed_at: int = 0


@dataclass
class Tally:
    """A Participant: when it was revoked, and its counters."""

    revoked_at: int = 0
    settled: int = 0
    defaulted: int = 0
    disputed: int = 0
    lost: int = 0


@dataclass
class Books:
    """One market. `wallets` are the token accounts outside, by device_id; `fees` what the market has taken."""

    terms: Terms
    wallets: dict[int, int]
    tallies: dict[int, Tally]
    purses: dict[int, Purse]
    keys: set[Pubkey]
    paused_at: int = 0
    settles_from: int = 0
    fees: int = 0
    lines: dict[tuple[int, int], Line] = field(default_factory=dict)
    paid: Counter[bytes] = field(default_factory=Counter)
    """How often each record was paid."""

    # -- the admin's

    def reasons_to_set(self, terms: Terms) -> Reasons:
        """Bounds of docs/settlement.md."""
        reasons: Reasons = set()
        if terms.fee_bps > 100:
            reasons.add("FeeTooHigh")
        if not DAY <= terms.settle_window <= 30 * DAY:
            reasons.add("SettleWindowOutOfBounds")
        if terms.withdraw_delay < terms.settle_window + DAY:
            reasons.add("WithdrawDelayTooShort")
        return reasons

    def did_set(self, terms: Terms, now: int, *, paused: bool) -> None:
        """What was too old stays so."""
        self.settles_from = max(self.settles_from, now - self.terms.settle_window)
        self.paused_at = (self.paused_at or now) if paused else 0
        self.terms = terms

    def reasons_to_register(self, device: Device) -> Reasons:
        """An id is taken once, and so is a key."""
        taken = device.device_id in self.tallies or device.address in self.keys
        return ({"Paused"} if self.paused_at else set()) | ({"AlreadyExists"} if taken else set())

    def did_register(self, device: Device) -> None:
        """With counters at 0."""
        self.tallies[device.device_id] = Tally()
        self.keys.add(device.address)

    def reasons_to_revoke(self, device: Device) -> Reasons:
        """Once."""
        return {"AlreadyRevoked"} if self.tallies[device.device_id].revoked_at else set()

    # -- the buyer's money

    def reasons_to_deposit(self, buyer: Device, amount: int) -> Reasons:
        """Custom(1) is the token program's: more than there is."""
        reasons: Reasons = {"Paused"} if self.paused_at else set()
        if amount == 0:
            reasons.add("ZeroAmount")
        if self._purse(buyer).available + amount > U64:
            reasons.add("Overflow")
        if amount > self.wallets[buyer.device_id]:
            reasons.add("Custom(1)")
        return reasons

    def did_deposit(self, buyer: Device, amount: int) -> None:
        """The escrow is made on first use."""
        purse = self.purses.setdefault(buyer.device_id, Purse())
        purse.available += amount
        self.wallets[buyer.device_id] -= amount

    def _purse(self, buyer: Device) -> Purse:
        return self.purses.get(buyer.device_id, Purse())

    def reasons_to_ask(self, buyer: Device) -> Reasons:
        """One needs an escrow."""
        return set() if buyer.device_id in self.purses else {"WrongOwner"}

    def did_ask(self, buyer: Device, amount: int, now: int) -> None:
        """0 cancels."""
        purse = self.purses[buyer.device_id]
        purse.asked, purse.since = amount, now if amount else 0

    def reasons_to_withdraw(self, buyer: Device, now: int) -> Reasons:
        """Asked for, and the delay over."""
        purse = self.purses.get(buyer.device_id)
        if purse is None:
            return {"WrongOwner"}
        if not purse.asked:
            return {"NoWithdrawal"}
        return {"WithdrawalTooEarly"} if now < purse.since + self.terms.withdraw_delay else set()

    def did_withdraw(self, buyer: Device) -> None:
        """What was asked for, or what is there."""
        purse = self.purses[buyer.device_id]
        amount = min(purse.asked, purse.available)
        purse.available -= amount
        purse.asked = purse.since = 0
        self.wallets[buyer.device_id] += amount

    # -- a Confirm

    def _reasons_against(self, deal: Deal, now: int) -> Reasons:
        stamped = deal.stamp_us // US
        reasons: Reasons = set()
        if deal.lot_id == 0:
            reasons.add("WrongLot")
        if deal.seller.address == deal.buyer.address:
            reasons.add("SelfTrade")
        if stamped > now + MAX_AHEAD:
            reasons.add("MessageTooNew")
        if stamped < now - self.terms.settle_window or stamped < self.settles_from:
            reasons.add("MessageTooOld")
        if self.paused_at and stamped >= self.paused_at:
            reasons.add("Paused")
        for device in (deal.seller, deal.buyer):
            revoked_at = self.tallies[device.device_id].revoked_at
            if revoked_at and stamped >= revoked_at:
                reasons.add("Revoked")
        if deal.price > MAX_PRICE:
            reasons.add("PriceOutOfRange")
        if deal.energy_wh > MAX_ENERGY:
            reasons.add("EnergyOutOfRange")
        if deal.amount == 0 or deal.amount < self.terms.min_amount:
            reasons.add("AmountTooSmall")
        return reasons

    def fee(self, deal: Deal) -> int:
        """Rounded down."""
        return deal.amount * self.terms.fee_bps // 10_000

    def line(self, deal: Deal) -> Line | None:
        """The trade of the deal's lot, whoever bought it."""
        return self.lines.get((deal.seller.device_id, deal.lot_id))

    def _write(self, line: Line) -> None:
        self.lines[line.deal.seller.device_id, line.deal.lot_id] = line

    def reasons_to_settle(self, deal: Deal, raw: bytes, now: int) -> Reasons:
        """The Confirm's, the lot's, the escrow's."""
        reasons = self._reasons_against(deal, now)
        line = self.line(deal)
        if line and line.status != DEFAULTED:
            reasons.add("AlreadySettled")
        if line and line.status == DEFAULTED and line.record_hash != sha256(raw).digest():
            reasons.add("OtherRecord")
        if self._purse(deal.buyer).available < deal.amount or deal.buyer.device_id not in self.purses:
            reasons.add("EscrowTooShort")
        return reasons

    def did_settle(self, deal: Deal, raw: bytes, now: int) -> None:
        """Held, or paid at once."""
        purse = self.purses[deal.buyer.device_id]
        purse.available -= deal.amount
        purse.held += deal.amount
        window = self.terms.dispute_window
        line = Line(deal, sha256(raw).digest(), self.fee(deal), HELD, now + window)
        self._write(line)
        if window == 0:
            self._pay(line)

    def reasons_to_default(self, deal: Deal, now: int) -> Reasons:
        """The same, and that the escrow cannot pay."""
        reasons = self._reasons_against(deal, now)
        if self.line(deal):
            reasons.add("AlreadyExists")
        if self._purse(deal.buyer).available >= deal.amount:
            reasons.add("EscrowCanPay")
        return reasons

    def did_default(self, deal: Deal, raw: bytes) -> None:
        """Counts once."""
        self._write(Line(deal, sha256(raw).digest(), self.fee(deal), DEFAULTED))
        self.tallies[deal.buyer.device_id].defaulted += 1

    # -- a trade

    def _reasons_about(self, deal: Deal, *statuses: int) -> Reasons:
        line = self.line(deal)
        if line is None:
            return {"WrongOwner"}
        reasons: Reasons = set()
        if line.deal.buyer != deal.buyer:
            reasons.add("WrongDevice")
        if deal.buyer.device_id not in self.purses:
            reasons.add("WrongOwner")
        if line.status not in statuses:
            reasons.add("WrongStatus")
        return reasons

    def _pay(self, line: Line) -> None:
        deal = line.deal
        self.purses[deal.buyer.device_id].held -= deal.amount
        self.wallets[deal.seller.device_id] += deal.amount - line.fee
        self.fees += line.fee
        for device in (deal.seller, deal.buyer):
            self.tallies[device.device_id].settled += 1
        self.paid[line.record_hash] += 1
        self._write(replace(line, status=PAID))

    def _give_back(self, line: Line) -> None:
        purse = self.purses[line.deal.buyer.device_id]
        purse.held -= line.deal.amount
        purse.available += line.deal.amount
        self.tallies[line.deal.seller.device_id].lost += 1
        self._write(replace(line, status=REFUNDED))

    @staticmethod
    def due(line: Line) -> int:
        """When a held or disputed trade is released."""
        return line.release_at if line.status == HELD else line.disputed_at + ARBITER_TIME

    def reasons_to_release(self, deal: Deal, now: int) -> Reasons:
        """After the buyer's time, or the arbiter's."""
        reasons = self._reasons_about(deal, HELD, DISPUTED)
        line = self.line(deal)
        if line and line.status in {HELD, DISPUTED} and now < self.due(line):
            reasons.add("ReleaseTooEarly")
        return reasons

    def did_release(self, deal: Deal) -> None:
        """Paid."""
        self._pay(self._there(deal))

    def _there(self, deal: Deal) -> Line:
        line = self.line(deal)
        assert line
        return line

    def reasons_to_refund(self, deal: Deal, code: int) -> Reasons:
        """The seller's own Terminate(1 or 2)."""
        reasons = self._reasons_about(deal, HELD, DISPUTED)
        if code not in GIVES_UP:
            reasons.add("WrongTermination")
        return reasons

    def did_refund(self, deal: Deal) -> None:
        """Given back."""
        self._give_back(self._there(deal))

    def reasons_to_dispute(self, deal: Deal, now: int) -> Reasons:
        """Before the release may come."""
        reasons = self._reasons_about(deal, HELD)
        line = self.line(deal)
        if line and line.status == HELD and now >= line.release_at:
            reasons.add("DisputeTooLate")
        if line and line.deal.buyer.address != deal.buyer.address:
            reasons.add("WrongAuthority")
        return reasons

    def did_dispute(self, deal: Deal, now: int) -> None:
        """Counts for both."""
        line = self._there(deal)
        for device in (line.deal.seller, line.deal.buyer):
            self.tallies[device.device_id].disputed += 1
        self._write(replace(line, status=DISPUTED, disputed_at=now))

    def reasons_to_resolve(self, deal: Deal) -> Reasons:
        """Of a dispute."""
        return self._reasons_about(deal, DISPUTED)

    def did_resolve(self, deal: Deal, *, to_battery: bool) -> None:
        """To one side."""
        line = self._there(deal)
        if to_battery:
            self.tallies[line.deal.buyer.device_id].lost += 1
            self._pay(line)
        else:
            self._give_back(line)

    def closes_at(self, line: Line) -> int:
        """The first second at which a finished trade may go."""
        return line.deal.stamp_us // US + self.terms.settle_window + self.terms.dispute_window + DAY

    def reasons_to_close(self, deal: Deal, now: int) -> Reasons:
        """Over, and too old to settle."""
        line = self.line(deal)
        if line is None:
            return {"WrongOwner"}
        reasons = set() if line.status in {PAID, REFUNDED, DEFAULTED} else {"WrongStatus"}
        return reasons | ({"CloseTooEarly"} if now < self.closes_at(line) else set())

    def did_close(self, deal: Deal) -> None:
        """Gone."""
        del self.lines[deal.seller.device_id, deal.lot_id]

    # -- limits

    def having(self, *statuses: int) -> list[Deal]:
        """The deals whose trades have one of these statuses."""
        return [line.deal for line in self.lines.values() if line.status in statuses]

    def limits(self) -> Iterator[tuple[str, Deal, int]]:
        """(act, deal, second) for each second on which something about a trade becomes possible, or no longer is."""
        for line in self.lines.values():
            if line.status == HELD:
                yield "release", line.deal, line.release_at
                yield "dispute", line.deal, line.release_at
            elif line.status == DISPUTED:
                yield "release", line.deal, self.due(line)
            else:
                yield "close_trade", line.deal, self.closes_at(line)
            if line.status == DEFAULTED:
                yield "settle", line.deal, line.deal.stamp_us // US + self.terms.settle_window
