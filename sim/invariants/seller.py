"""One battery under watch: what it takes, decides, writes and says, in the order in which it does.

Puts the open lot (`auction`), its promises (`pledges`) and the journal (`ledger`) together with what it says. All of it is what
its peers and its disk could tell; nothing is read out of the core.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from contracts.outbox import KIND as SETTLEMENT
from etp.clock import Now
from etp.codes import MessageType, TerminateCode
from etp.effects import Broadcast, Commit, Effect, Envelope, Row, Send, Write
from etp.frame import FRAME_SIZE, OFFSETS, decode
from etp.record import lot_of
from etp.units import MICRO_PER_CENT, WH_PER_KWH
from sim.invariants.auction import Auction
from sim.invariants.books import BatteryBooks, Violation, whole
from sim.invariants.ledger import CONFIRMED, RESERVED, Ledger
from sim.invariants.pledges import Cause, Pledges

ACCEPT: Final = MessageType.ACCEPT.value
BID: Final = MessageType.BID.value
CONFIRM: Final = MessageType.CONFIRM.value
TERMINATE: Final = MessageType.TERMINATE.value
CODE_AT: Final = OFFSETS["termination_code"]
FAILURE: Final = MessageType.DEVICE_FAILURE.value
ONE_TRANSACTION: Final = frozenset({"promise", "trade", "energy", "answer"})
"""What becomes durable with a CONFIRMED, or nothing of it does; and the outbox row, where trades are paid."""


class Seller:
    """See the module."""

    def __init__(self, books: BatteryBooks) -> None:
        self._books = books
        self.ledger = Ledger(books)
        self._pledges = Pledges(books)
        self._auction = Auction(books, self._pledges.may_bar)
        self._made: dict[int, list[int]] = defaultdict(list)
        """By buyer: lots RESERVED for it whose Accept has not left."""
        self._accepts: set[bytes] = set()
        self._buyers: set[int] = set()
        """Who has bought."""
        self._together = ONE_TRANSACTION | ({SETTLEMENT} if books.settles else set())

    @property
    def unended(self) -> set[int]:
        """Lots that were RESERVED when the process ended, and are not RELEASED yet."""
        return self._pledges.unended

    # -- what it takes and decides

    def turn(
        self, raw: bytes | None, peer: int, effects: Sequence[Effect], now: Now, *, new: bool = True
    ) -> list[Violation]:
        """One call of its core: a frame (`raw`), a lost session (empty) or neither (None), and all that came of it.

        `new`: this life of it has not had these bytes yet.
        """
        self._auction.turn(now)
        self._pledges.turn(now)
        found: list[Violation] = []
        if raw:
            if raw[0] == BID:
                found += self._auction.bid(peer, raw, effects, now, new=new)
            elif raw[0] == TERMINATE:
                self._auction.withdrawn(peer, lot_of(raw))
        elif raw is not None:
            self._auction.withdrawn(peer)
        if effects:
            found += self._decides(raw, peer, effects, now)
        if self._pledges.open_s:
            found += self._pledges.overdue(now)
        return found

    def _decides(self, raw: bytes | None, peer: int, effects: Sequence[Effect], now: Now) -> Iterator[Violation]:
        failed = False
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                envelope: Envelope = effect.envelope  # type: ignore[union-attr]  # by its type
                if envelope.frame.message_type == ACCEPT:
                    self._pledges.accepting(envelope.lot_id, now)
            elif kind is Broadcast:
                if effect.frame.message_type == FAILURE:  # type: ignore[union-attr]
                    failed = True  # it is said before anything follows from it
                    self._pledges.device_failed(now)
            elif kind is Commit or kind is Write:
                yield from self._writes(effect.rows, Cause(raw, peer, now, failed))  # type: ignore[union-attr]

    def overdue(self, now: Now) -> Iterator[Violation]:
        """An Accept that has no end when its window is over."""
        return self._pledges.overdue(now)

    def failed(self, rows: Sequence[Row]) -> None:
        """A commit of these rows is not in the journal, and will not be."""
        self._pledges.refused(rows)

    def _writes(self, rows: Sequence[Row], cause: Cause) -> Iterator[Violation]:
        lot = next((row for row in rows if row.kind == "lot"), None)
        reserved = [row for row in rows if row.kind == "promise" and row.state == RESERVED]
        if lot is not None:
            yield from self._auction.ended(lot, reserved, failed=cause.failed)
        elif reserved:
            yield self._broken(
                "atomic", f"lot {reserved[0].lot_id} is promised, and how it ended is not written with it"
            )
        for row in reserved:
            self._pledges.reserved(row, cause.now)
        for row in rows:
            if row.kind != "promise" or row.state == RESERVED:
                continue
            if row.state == CONFIRMED:
                yield from self._whole(row.lot_id, rows)
                yield from self._pledges.confirms(row, cause)
            else:
                yield from self._pledges.releases(row, cause)

    def _whole(self, lot_id: int, rows: Sequence[Row]) -> Iterator[Violation]:
        """All that follows from a Confirm is one transaction (design §4)."""
        missing = self._together - {each.kind for each in rows if each.lot_id == lot_id}
        if missing:
            yield self._broken("atomic", f"CONFIRMED of lot {lot_id} is written without {sorted(missing)}")

    # -- what it writes

    def durable(self, rows: Sequence[Row]) -> list[Violation]:
        """One transaction."""
        for row in rows:
            if row.kind == "promise":
                if row.state == RESERVED:
                    self._made[whole(row, "bidder")].append(row.lot_id)
                else:
                    self._pledges.durable(row)
                    if row.state == CONFIRMED:
                        self._buyers.add(whole(row, "bidder"))
        return self.ledger.durable(rows)

    def restarted(self) -> None:
        """A new process on the same journal."""
        self._auction.restarted()
        self._made.clear()
        self._pledges.restarted(self.ledger.pending)

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
