"""One battery under watch: what it takes, decides, writes and says, in the order in which it does.

Puts the open lot (`auction`) and the journal (`ledger`) together with the promises on the wire. All of it is what its peers and
its disk could tell; nothing is read out of the core.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from contracts.outbox import KIND as SETTLEMENT
from etp.clock import Now
from etp.codes import MessageType, TerminateCode
from etp.effects import Commit, Effect, Envelope, Row, Send, Write
from etp.frame import FRAME_SIZE, OFFSETS, decode
from etp.record import lot_of, message_id_of
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from sim.invariants.auction import Auction
from sim.invariants.books import BatteryBooks, Violation, whole
from sim.invariants.ledger import CONFIRMED, RESERVED, Ledger

WINDOW_S: Final = 1.0
"""From an Accept's commit to the last moment its Confirm counts, s (design §4)."""
LATENESS_S: Final = 0.5
"""By how much a busy process may be late to give up what was not confirmed, s."""
OLDEST_US: Final = 550_000
"""Age beyond which a Confirm is late: 500 ms and 50 ms for clocks, µs (design §3)."""
NEWEST_US: Final = 5_000_000
"""By how much a Confirm may be ahead of the battery's clock, µs (design §3)."""
ACCEPT: Final = MessageType.ACCEPT.value
BID: Final = MessageType.BID.value
CONFIRM: Final = MessageType.CONFIRM.value
TERMINATE: Final = MessageType.TERMINATE.value
CODE_AT: Final = OFFSETS["termination_code"]
BY_ITS_BUYER: Final[Mapping[str, int]] = {"declined": TERMINATE, "late confirm": CONFIRM, "other terms": CONFIRM}
"""Reasons of a release that a frame of the promise's own buyer gives, and which frame."""
BY_ITSELF: Final = frozenset({"device failure", "shutting down", "accept not sent", "journal failed", "restart"})
"""Reasons that no peer gives."""
TIMED_OUT: Final = "no confirm"
ONE_TRANSACTION: Final = frozenset({"promise", "trade", "energy", "answer"})
"""What becomes durable with a CONFIRMED, or nothing of it does; and the outbox row, where trades are paid."""


class Cause(NamedTuple):
    """What made a core decide: a frame of a peer, its lost session (empty), or nothing from outside (None); when, by its clocks."""

    raw: bytes | None
    peer: int
    now: Now

    def __str__(self) -> str:
        if self.raw is None:
            return "of itself"
        return f"by a {MessageType(self.raw[0]).name} of {self.peer}" if self.raw else f"{self.peer} lost its session"


class Seller:
    """See the module."""

    def __init__(self, books: BatteryBooks) -> None:
        self._books = books
        self.ledger = Ledger(books)
        self._auction = Auction(books)
        self._made: dict[int, list[int]] = defaultdict(list)
        """By buyer: lots RESERVED for it whose Accept has not left."""
        self._accepts: set[bytes] = set()
        self._accepted_s: dict[int, float] = {}
        """By lot: when its Accept was first sent, by the battery's clock."""
        self._open: dict[int, float] = {}
        """Those of it that have not ended."""
        self._given_up: set[int] = set()
        """Lots whose release was judged."""
        self._buyers: set[int] = set()
        """Who has bought."""
        self.unended: set[int] = set()
        """Lots that were RESERVED when the process ended, and are not RELEASED yet."""
        self._together = ONE_TRANSACTION | ({SETTLEMENT} if books.settles else set())

    # -- what it takes and decides

    def turn(self, raw: bytes | None, peer: int, effects: Sequence[Effect], now: Now) -> list[Violation]:
        """One call of its core: a frame (`raw`), a lost session (empty) or neither (None), and all that came of it."""
        found: list[Violation] = []
        if raw:
            if raw[0] == BID:
                found += self._auction.bid(peer, raw, effects)
            elif raw[0] == TERMINATE:
                self._auction.withdrawn(peer, lot_of(raw))
        elif raw is not None:
            self._auction.withdrawn(peer)
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                envelope: Envelope = effect.envelope  # type: ignore[union-attr]  # by its type
                if envelope.frame.message_type == ACCEPT:
                    self._accepting(envelope.lot_id, now)
            elif kind is Commit or kind is Write:
                found += self._writes(effect.rows, Cause(raw, peer, now))  # type: ignore[union-attr]
        if self._open:
            found += self._overdue(now)
        return found

    def _accepting(self, lot_id: int, now: Now) -> None:
        if lot_id not in self._accepted_s:
            self._accepted_s[lot_id] = self._open[lot_id] = now.monotonic_s

    def _writes(self, rows: Sequence[Row], cause: "Cause") -> Iterator[Violation]:
        lot = next((row for row in rows if row.kind == "lot"), None)
        if lot is not None:
            reserved = [row for row in rows if row.kind == "promise" and row.state == RESERVED]
            yield from self._auction.ended(lot, reserved)
        for row in rows:
            if row.kind == "promise" and row.state != RESERVED:
                yield from self._confirms(row, rows, cause) if row.state == CONFIRMED else self._releases(row, cause)
                self._open.pop(row.lot_id, None)

    def _confirms(self, row: Row, rows: Sequence[Row], cause: "Cause") -> Iterator[Violation]:
        """A promise is confirmed by a Confirm of its buyer, in time, with all that follows in one transaction (design §4)."""
        missing = self._together - {each.kind for each in rows if each.lot_id == row.lot_id}
        if missing:
            yield self._broken("atomic", f"CONFIRMED of lot {row.lot_id} is written without {sorted(missing)}")
        if not cause.raw or cause.raw[0] != CONFIRM or cause.peer != whole(row, "bidder"):
            yield self._broken("sender", f"lot {row.lot_id} is confirmed without a Confirm of {row.body['bidder']}")
        elif self._is_late(row.lot_id, cause.raw, cause.now):
            said = f"{cause.now.monotonic_s - self._accepted_s.get(row.lot_id, 0.0):.6f} s after its Accept"
            yield self._broken("window", f"lot {row.lot_id} is confirmed by a late Confirm, {said}")

    def _is_late(self, lot_id: int, confirm: bytes, now: Now) -> bool:
        accepted_s, age_us = self._accepted_s.get(lot_id), now.wall_us - message_id_of(confirm)
        overdue = accepted_s is None or now.monotonic_s >= accepted_s + WINDOW_S
        return overdue or not -NEWEST_US <= age_us <= OLDEST_US

    def _releases(self, row: Row, cause: "Cause") -> Iterator[Violation]:
        """A promise is given up for a reason that the design names, and only its own buyer can give one from outside."""
        if row.lot_id in self._given_up:
            return  # what could not be written is tried again
        self._given_up.add(row.lot_id)
        if not self._is_due(row, cause):
            said = f"lot {row.lot_id} of {row.body['bidder']} is given up, {row.body['reason']}: {cause}"
            yield self._broken("released", said)

    def _is_due(self, row: Row, cause: "Cause") -> bool:
        reason, (raw, peer, now) = str(row.body["reason"]), cause
        if reason in BY_ITS_BUYER:
            if not raw or raw[0] != BY_ITS_BUYER[reason] or peer != whole(row, "bidder"):
                return False
            about = lot_of(raw) in (None, row.lot_id)
            return about and (reason == "declined" or self._is_late(row.lot_id, raw, now) or _differs(row, raw))
        if reason == TIMED_OUT:
            accepted_s = self._accepted_s.get(row.lot_id)
            return accepted_s is not None and now.monotonic_s >= accepted_s + WINDOW_S
        return raw is None and reason in BY_ITSELF

    def _overdue(self, now: Now) -> Iterator[Violation]:
        """Every Accept ends within its window."""
        lot_id, accepted_s = next(iter(self._open.items()))
        if now.monotonic_s > accepted_s + WINDOW_S + LATENESS_S:
            del self._open[lot_id]
            said = f"lot {lot_id} has no end {now.monotonic_s - accepted_s:.3f} s after its Accept"
            yield self._broken("window", said)

    # -- what it writes

    def durable(self, rows: Sequence[Row]) -> list[Violation]:
        """One transaction."""
        for row in rows:
            if row.kind == "promise":
                if row.state == RESERVED:
                    self._made[whole(row, "bidder")].append(row.lot_id)
                else:
                    self.unended.discard(row.lot_id)
                    if row.state == CONFIRMED:
                        self._buyers.add(whole(row, "bidder"))
        return self.ledger.durable(rows)

    def restarted(self) -> None:
        """A new process on the same journal: what was RESERVED is RELEASED before it says anything (design §4)."""
        self._auction.restarted()
        self._open.clear()
        self._made.clear()
        self._given_up.clear()
        self.unended = set(self.ledger.pending)

    # -- what it says

    def left(self, receiver: int, raw: bytes) -> Iterator[Violation]:
        """A frame leaves: no promise does before its row is durable (design §4)."""
        if self.unended:
            said = f"speaks before lots {sorted(self.unended)} of the life before are RELEASED"
            yield self._broken("window", said)
            self.unended.clear()
        if raw[0] == ACCEPT and raw not in self._accepts:
            self._accepts.add(raw)
            yield from self._accept_left(receiver, raw)
        elif raw[0] == TERMINATE:
            yield from self._terminate_left(receiver, raw)

    def _accept_left(self, receiver: int, raw: bytes) -> Iterator[Violation]:
        frame, about = decode(raw[:FRAME_SIZE]), lot_of(raw)
        energy, price = round(frame.required_energy_amount * WH_PER_KWH), round(frame.sale_price * MICRO_PER_CENT)
        for lot_id in self._made[receiver]:
            lot = self.ledger.lots[lot_id]
            if about in (None, lot_id) and (lot.energy, lot.price) == (energy, price):
                self._made[receiver].remove(lot_id)
                return
        said = f"Accept to {receiver} of {energy} Wh at {price} µ/kWh leaves, and the journal has no such promise"
        yield self._broken("promise_missing", said)

    def _terminate_left(self, receiver: int, raw: bytes) -> Iterator[Violation]:
        """FINISHED is said of what is CONFIRMED; TIMEOUT and CANNOT_DELIVER, which refund, of what is not sold any more."""
        code, about = raw[CODE_AT], lot_of(raw)
        lot = self.ledger.lots.get(about) if about else None
        mine = lot is not None and lot.bidder == receiver
        state = lot.state if lot is not None and mine else None
        if code == TerminateCode.FINISHED and (state != CONFIRMED if about else receiver not in self._buyers):
            yield self._broken(
                "promise_missing", f"FINISHED to {receiver} of lot {about}, which is {state} in the journal"
            )
        if code not in (TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER) or not about:
            return
        undelivered = code == TerminateCode.CANNOT_DELIVER and self.ledger.is_short(about)
        if state == RESERVED or (state == CONFIRMED and not undelivered):
            said = f"gives lot {about} up to {receiver} by {TerminateCode(code).name}; it is {state} in the journal"
            yield self._broken("promise_missing", said)

    def _broken(self, name: str, said: str) -> Violation:
        return Violation(name, self._books.device_id, said)


def _differs(row: Row, confirm: bytes) -> bool:
    """Whether a Confirm has other terms than the promise."""
    frame = decode(confirm[:FRAME_SIZE])
    said = round(frame.required_energy_amount * WH_PER_KWH), round(frame.sale_price * MICRO_PER_CENT)
    return said != (whole(row, "energy_wh"), whole(row, "price_micro_per_kwh"))
