"""The seller's core: what is for sale, the open lot, bids, promises. Effects out; no clock, socket or file.

One desk per battery. Every Bid is answered at once; energy is promised only after its row is durable, freed only after
that row is durable too, so that nothing is sold twice whatever stops the node (design §4).
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from bess_node import promises
from bess_node.affairs import Affair, Affairs, LiveBid, Reservation
from bess_node.store import Store
from etp import messages
from etp.clock import Now
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.effects import (
    BidRow,
    Broadcast,
    Commit,
    Count,
    Disconnect,
    Effect,
    Envelope,
    Log,
    Lookup,
    RecordBid,
    Row,
    Send,
    Write,
)
from etp.frame import Frame
from etp.ids import Ids
from etp.limits import Limits
from etp.queue import stamp
from etp.repetition import Answer, Repeated
from etp.state import AffairInput, AffairState, LotState
from etp.timing import TIMING, Timing, carries_time, is_from_future, is_late
from etp.units import MICRO_PER_CENT, WH_PER_KWH, DeviceId, LotId, MessageId, MicroPerKwh, MonotonicS, Wh
from market.auction import Bid, LotTerms, Mechanism, Refusal, Refused

STORAGE_RETRY_S: Final = 1.0
"""After a failed commit nothing new is promised for this long, and what must be written is tried again."""
EVIDENCE_PER_S: Final = 10
"""Rows of evidence per second: a flood of conflicting ids cannot fill the disk."""
STATUS_S: Final = TIMING[MessageType.STATUS].period_s or 0.0

REFUSALS: Final = {Refusal.BELOW_RESERVE: RejectCode.BELOW_RESERVE, Refusal.OUTBID: RejectCode.OUTBID}


@dataclass(frozen=True, slots=True)
class LotRules:
    """How this battery sells."""

    mechanism: Mechanism
    increment: MicroPerKwh
    """English: by how much the ask rises above the leading bid, µ/kWh."""
    closing_s: float
    """From the first bid (sealed) or the last better one (english) to the close, s."""
    max_s: float
    """An english lot ends at the latest this long after its first bid, s."""
    min_lot: Wh
    """Bids below it are refused, unless less is left."""
    hide_reserve: bool


@dataclass(slots=True, eq=False)
class OpenLot:
    """The one lot that can be bid for now."""

    lot_id: LotId
    terms: LotTerms
    state: Any
    """The mechanism's own value."""
    bids: int = 0
    digest: Any = None


class Desk:
    """See the module. `started` is when this process began: Bids stamped before it are late."""

    def __init__(
        self,
        device_id: DeviceId,
        *,
        rules: LotRules,
        store: Store,
        ids: Ids,
        limits: Limits,
        timing: Timing,
        started: Now,
    ) -> None:
        self.device_id = device_id
        self.store = store
        self.failure: FailureCode | None = None
        self.stopping = False
        self.reservations: OrderedDict[LotId, Reservation] = OrderedDict()
        self._rules, self._mechanism = rules, rules.mechanism
        self._ids, self._limits, self._timing = ids, limits, timing
        self._started = started
        self._affairs = Affairs(limits)
        self._lot: OpenLot | None = None
        self._arrival = 0
        self._announced: tuple[LotId, Wh, MicroPerKwh] | None = None
        self._announce_at: float | None = None
        self._announced_s = float("-inf")
        self._status_at = MonotonicS(started.monotonic_s + STATUS_S)
        self._storage_bad_until = 0.0
        self._retries: list[tuple[float, Commit]] = []
        self._evidence_s, self._evidence_count = 0.0, 0

    # -- what is for sale

    @property
    def reserved_wh(self) -> Wh:
        """Energy of promises that are neither confirmed nor released."""
        return Wh(sum(r.energy for r in self.reservations.values()))

    def offer(self) -> messages.Offer:
        """What is held, and what may be bid for now."""
        return messages.Offer(self.store.held_wh, self._lot.terms.energy if self._lot else Wh(0))

    @property
    def ask(self) -> MicroPerKwh:
        """The disclosed ask of the open lot; 0: none, or not disclosed."""
        return self._mechanism.ask(self._lot.state) if self._lot else MicroPerKwh(0)

    def opened(self, now: Now) -> list[Effect]:
        """Open the first lot."""
        return self._refresh(now)

    def _refresh(self, now: Now) -> list[Effect]:
        """Open a lot, or let one without bids follow what is for sale and its reserve; announce what changed."""
        if self.failure is not None or self.stopping:
            return []
        if self._lot is None or not self._mechanism.bids(self._lot.state):
            self._offer_anew(now)
        return self._announce(now)

    def _offer_anew(self, now: Now) -> None:
        energy = self.store.for_sale_wh(self.reserved_wh)
        if energy <= 0:
            self._lot = None
            return
        reserve = self.store.reserve()
        if self._lot is not None and (self._lot.terms.energy, self._lot.terms.reserve) == (energy, reserve):
            return
        rules = self._rules
        terms = LotTerms(
            energy=energy,
            reserve=reserve,
            increment=rules.increment,
            closing_s=rules.closing_s,
            max_s=rules.max_s,
            hide_reserve=rules.hide_reserve,
        )
        lot_id = self._lot.lot_id if self._lot else LotId(self._ids.next(now.wall_us))
        self._lot = OpenLot(lot_id, terms, self._mechanism.open(terms), digest=sha256())

    def _announce(self, now: Now) -> list[Effect]:
        current = (self._lot.lot_id if self._lot else LotId(0), self.offer().for_sale, self.ask)
        if self._announced is not None and current[:2] == self._announced[:2] and self._has_bids():
            return []  # a moved ask is told to those who bid, nobody else
        if current == self._announced:
            return []
        due = self._announced_s + self._timing.response_interval_ms / 1000
        if now.monotonic_s < due:
            self._announce_at = due
            return []
        self._announced, self._announced_s, self._announce_at = current, now.monotonic_s, None
        return [Broadcast(messages.response(self.device_id, offer=self.offer(), ask=self.ask))]

    def _has_bids(self) -> bool:
        return self._lot is not None and bool(self._mechanism.bids(self._lot.state))

    # -- sessions

    def session_bound(self, device_id: DeviceId, now: Now) -> list[Effect]:
        """A session speaks for a device: an unresolved Accept is sent again first, byte for byte."""
        affair = self._affairs.get(device_id, now.monotonic_s)
        affair.connected = True
        reservation = affair.reservation
        if reservation is None or reservation.accept is None or reservation.resolving:
            return []
        return [Send(device_id, reservation.accept)]

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:
        """A lost session withdraws its bid, unless that leads an english lot; a promise stands."""
        affair = self._affairs.get(device_id, now.monotonic_s)
        affair.connected = False
        live = affair.live
        if live is None or not self._withdraw(affair):
            return []
        # Its repetition, after a reconnect, must not say that it still takes part.
        gone = self._rejection(RejectCode.LOT_CLOSED, price=live.price)
        stamp(gone, self._ids, now)
        live.answer.envelope = gone
        return [Count("bids_withdrawn")]

    def _withdraw(self, affair: Affair) -> bool:
        if affair.state is not AffairState.BIDDING or self._lot is None or not self._mechanism.sealed:
            return False
        self._lot.state = self._mechanism.withdraw(self._lot.state, affair.device_id)
        affair.free()
        return True

    def receive(self, device_id: DeviceId, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        """A valid frame of the role from a bound session."""
        affair = self._affairs.get(device_id, now.monotonic_s)
        if frame.message_type == MessageType.BID:
            return self._bid(affair, frame, raw, now)
        if frame.message_type == MessageType.CONFIRM:
            return self._confirm(affair, frame, raw, now)
        if frame.message_type == MessageType.QUERY:
            return self._query(affair, frame, now)
        if frame.message_type == MessageType.TERMINATE:
            return self._terminate(affair, frame, now)
        return []

    def _query(self, affair: Affair, frame: Frame, now: Now) -> list[Effect]:
        if self._is_late(frame, now) or self._is_from_future(frame, now):
            return [Count("late_messages", "QUERY")]
        return [Send(affair.device_id, Envelope(messages.response(self.device_id, offer=self.offer(), ask=self.ask)))]

    def _is_late(self, frame: Frame, now: Now) -> bool:
        allowance = self._timing.skew_allowance_ms
        return is_late(frame.message_type, frame.message_id, now.wall_us, skew_allowance_ms=allowance)

    def _is_from_future(self, frame: Frame, now: Now) -> bool:
        return is_from_future(frame.message_id, now.wall_us, future_limit_ms=self._timing.future_limit_ms)

    # -- bids

    def _bid(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        known = affair.memory.recall(frame.message_id, raw, now.monotonic_s)
        if known is not None:
            return self._repeated_bid(affair, frame, raw, known, now)
        price = MicroPerKwh(round(frame.bid_price * MICRO_PER_CENT))
        energy = Wh(round(frame.required_energy_amount * WH_PER_KWH))
        answer = Answer()
        live = LiveBid(MessageId(frame.message_id), energy, price, answer)
        affair.memory.remember(frame.message_id, raw, answer, now.monotonic_s)
        code = self._refusal(affair, frame, live, now)
        if code is not None:
            self._replace(affair, live)
            return self._refuse(affair, live, code, now)
        return self._judge(affair, live, raw, now)

    def _replace(self, affair: Affair, live: LiveBid) -> None:
        """A refused bid of a sealed lot takes the one it would replace with it: a Reject frees the bidder."""
        before = affair.live
        if before is not None and self._withdraw(affair):
            before.answer.successor = live.answer

    def _repeated_bid(
        self, affair: Affair, frame: Frame, raw: bytes, known: tuple[Repeated, Answer], now: Now
    ) -> list[Effect]:
        how, answer = known
        if how is Repeated.OTHER:
            refusal = self._rejection(RejectCode.INVALID, price=MicroPerKwh(round(frame.bid_price * MICRO_PER_CENT)))
            return [*self._evidence(affair, "bid_id_reused", [raw], now), Send(affair.device_id, refusal)]
        envelope = answer.newest().envelope
        repeats: list[Effect] = [Count("repeated", "BID")]
        return [*repeats, Send(affair.device_id, envelope)] if envelope is not None and envelope.raw else repeats

    def _refusal(self, affair: Affair, frame: Frame, live: LiveBid, now: Now) -> RejectCode | None:
        """What refuses a Bid before the market sees it."""
        if self._is_from_future(frame, now):
            return RejectCode.INVALID
        before_start = carries_time(frame.message_id) and frame.message_id < self._started.wall_us
        if before_start or self._is_late(frame, now):
            return RejectCode.LATE
        if not affair.bucket.take(now.monotonic_s):
            return RejectCode.TOO_MANY
        if self._lot is None or self.failure is not None or self.stopping or affair.reservation is not None:
            return RejectCode.UNAVAILABLE
        if now.monotonic_s < max(affair.barred_until_s, self._storage_bad_until):
            return RejectCode.UNAVAILABLE
        return self._size_refusal(live.energy, self._lot.terms.energy) or self._probe_refusal(affair, live.price)

    def _size_refusal(self, wanted: Wh, lot: Wh) -> RejectCode | None:
        too_much = wanted > lot and not self._mechanism.divisible
        return RejectCode.INSUFFICIENT if too_much or wanted < min(self._rules.min_lot, lot) else None

    def _probe_refusal(self, affair: Affair, price: MicroPerKwh) -> RejectCode | None:
        """Three BELOW_RESERVE per device and lot while the reserve is hidden, then TOO_MANY: no binary search for it."""
        assert self._lot is not None
        if not self._rules.hide_reserve or price >= self._lot.terms.reserve:
            return None
        if affair.tries_lot != self._lot.lot_id:
            affair.tries_lot, affair.reserve_tries = self._lot.lot_id, 0
        affair.reserve_tries += 1
        return RejectCode.TOO_MANY if affair.reserve_tries > self._limits.hidden_reserve_tries else None

    def _judge(self, affair: Affair, live: LiveBid, raw: bytes, now: Now) -> list[Effect]:
        lot = self._lot
        assert lot is not None
        self._arrival += 1
        lot.bids += 1
        lot.digest.update(raw)
        bid = Bid(affair.device_id, live.message_id, live.price, live.energy, self._arrival)
        verdict = self._mechanism.bid(lot.state, bid, now.monotonic_s)
        if isinstance(verdict, Refused):
            self._replace(affair, live)
            return self._refuse(affair, live, REFUSALS[verdict.refusal], now)
        lot.state = verdict.state
        effects: list[Effect] = []
        if verdict.displaced is not None and verdict.displaced.bidder != affair.device_id:
            effects += self._displace(verdict.displaced, now)
        return effects + self._take(affair, live, now)

    def _displace(self, bid: Bid, now: Now) -> list[Effect]:
        outbid = self._affairs.get(bid.bidder, now.monotonic_s)
        return self._lose(outbid, RejectCode.OUTBID, ask=self.ask)

    def _lose(self, affair: Affair, code: RejectCode, *, ask: MicroPerKwh = MicroPerKwh(0)) -> list[Effect]:
        assert affair.live is not None
        envelope = self._rejection(code, price=affair.live.price, ask=ask)
        affair.live.answer.envelope = envelope
        affair.free()
        return [Send(affair.device_id, envelope)]

    def _take(self, affair: Affair, live: LiveBid, now: Now) -> list[Effect]:
        if affair.live is not None:
            affair.live.answer.successor = live.answer
        affair.live = live
        affair.move(AffairInput.TAKES_PART)
        record = self._record(affair.device_id, live, "standing", now)
        if self._mechanism.immediate:
            return [record, *self._close(now)]
        reply = messages.response(self.device_id, offer=self.offer(), ask=self.ask, bid_price=live.price)
        live.answer.envelope = Envelope(reply)
        return [record, Send(affair.device_id, live.answer.envelope)]

    def _refuse(self, affair: Affair, live: LiveBid, code: RejectCode, now: Now) -> list[Effect]:
        envelope = self._rejection(code, price=live.price, ask=self.ask)
        live.answer.envelope = envelope
        return [self._record(affair.device_id, live, code.name.lower(), now), Send(affair.device_id, envelope)]

    def _rejection(self, code: RejectCode, *, price: MicroPerKwh, ask: MicroPerKwh = MicroPerKwh(0)) -> Envelope:
        available = self._lot.terms.energy if self._lot else Wh(0)
        cents = price / MICRO_PER_CENT
        return Envelope(messages.reject(self.device_id, code, refused=cents, ask=ask, available=available))

    def _record(self, bidder: DeviceId, live: LiveBid, state: str, now: Now) -> RecordBid:
        lot_id = self._lot.lot_id if self._lot else LotId(0)
        return RecordBid(BidRow(lot_id, bidder, live.message_id, live.energy, live.price, state, now.wall_us))

    # -- the close

    def _close(self, now: Now) -> list[Effect]:
        lot = self._lot
        assert lot is not None
        capped = self._mechanism.capped(lot.state)
        closing = self._mechanism.close(lot.state, now.monotonic_s)
        self._lot = None
        effects: list[Effect] = [Count("lots_capped")] if capped else []
        for loser in closing.losers:
            effects += self._lose(self._affairs.get(loser.bidder, now.monotonic_s), RejectCode.ANOTHER_WON)
        state = LotState.RESERVED if closing.awards else LotState.VOID
        ended = self._lot_row(lot, state, now, setter=closing.price_setter, capped=capped)
        effects += self._reserve(lot, closing.awards, ended, now)
        return effects + self._refresh(now)

    def _lot_row(self, lot: OpenLot, state: LotState, now: Now, *, setter: Bid | None, capped: bool) -> Row:
        return promises.lot_closed(
            lot.lot_id,
            state,
            now.wall_us,
            mechanism=self._mechanism.name,
            bids=lot.bids,
            digest=lot.digest.digest(),
            setter=setter,
            capped=capped,
        )

    def _reserve(self, lot: OpenLot, awards: Iterable[Any], ended: Row, now: Now) -> list[Effect]:
        made = []
        for index, award in enumerate(awards):
            # One lot_id has at most one buyer, ever: further winners of a divided lot get ids of their own.
            lot_id = lot.lot_id if index == 0 else LotId(self._ids.next(now.wall_us))
            affair = self._affairs.get(award.bid.bidder, now.monotonic_s)
            assert affair.live is not None
            made.append(Reservation(lot_id, affair.device_id, affair.live, award.energy, award.paid))
            affair.live.answer.envelope = None  # the Accept is its answer, once it is durable
            affair.live, affair.reservation = None, made[-1]
            affair.move(AffairInput.WON)
            self.reservations[lot_id] = made[-1]
        if not made:
            return [Write((ended,))]
        rows = (ended, *(promises.reserved(r, now.wall_us) for r in made))
        return [Commit(rows, "reserve", tuple(r.lot_id for r in made), now.monotonic_s)]

    # -- promises

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """The rows of a Commit are durable."""
        return self._after(commit, {"reserve": self._reserved, "confirm": self._confirmed, "release": self._freed}, now)

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """The rows of a Commit are not in the journal and will not be."""
        self._storage_bad_until = now.monotonic_s + STORAGE_RETRY_S
        effects = self._after(commit, {"reserve": self._not_reserved, "confirm": self._not_confirmed}, now)
        if commit.purpose in ("release", "short"):
            self._retries.append((self._storage_bad_until, commit))
        return [Count("commits_failed", commit.purpose), *effects]

    def _after(self, commit: Commit, table: dict[str, Any], now: Now) -> list[Effect]:
        if commit.purpose == "short":
            return self._told_short(commit)
        handle = table.get(commit.purpose)
        found = (self.reservations.get(LotId(key)) for key in commit.keys)
        return [effect for r in found if handle and r for effect in handle(r, commit, now)]

    def _reserved(self, r: Reservation, commit: Commit, now: Now) -> list[Effect]:
        if r.resolving:
            return []
        if (
            now.monotonic_s - commit.asked_s > self._timing.accept_commit_limit_ms / 1000
            or self.failure
            or self.stopping
        ):
            return self._release(r, "accept not sent", now)
        offer = messages.Offer(self.store.held_wh, self.offer().for_sale)
        frame = messages.accept(self.device_id, energy=r.energy, paid=r.paid, bid_price=r.bid.price, offer=offer)
        r.accept = r.bid.answer.envelope = Envelope(frame)
        stamp(r.accept, self._ids, now)
        r.deadline_s = MonotonicS(now.monotonic_s + self._timing.confirm_window_ms / 1000)
        self.reservations.move_to_end(r.lot_id)  # kept in order of their deadlines
        return [Send(r.bidder, r.accept), Count("promises", "accepted")]

    def _not_reserved(self, r: Reservation, _: Commit, now: Now) -> list[Effect]:
        affair = self._forget(r, now)
        r.bid.answer.envelope = self._rejection(RejectCode.UNAVAILABLE, price=r.bid.price)
        return [Send(affair.device_id, r.bid.answer.envelope), *self._refresh(now)]

    def _confirm(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        known = affair.confirms.get(frame.message_id)
        if known is not None and known[0] == raw:
            return [Count("repeated", "CONFIRM"), *([Send(affair.device_id, known[1])] if known[1] else [])]
        if known is not None and carries_time(frame.message_id):
            return self._reused_confirm(affair, [known[0], raw], now)
        r = affair.reservation
        if r is None or r.accept is None:
            subject = promises.confirm_subject(affair.device_id, frame.message_id)
            return [Lookup("answer", subject, affair.device_id, frame, raw)]
        if r.resolving:
            return [Count("confirms_ignored")]  # its promise is being decided; that answer goes out
        return self._decide(affair, r, frame, raw, now)

    def _decide(self, affair: Affair, r: Reservation, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        terms = messages.terms(frame)
        overdue = r.deadline_s is None or now.monotonic_s >= r.deadline_s
        if overdue or self._is_late(frame, now) or self._is_from_future(frame, now):
            return self._release(r, "late confirm", now, code=TerminateCode.TIMEOUT, confirm=raw)
        if (terms.energy, terms.paid) != (r.energy, r.paid):
            affair.decline(now.monotonic_s, free_per_hour=self._limits.free_declines_per_hour)
            return self._release(r, "other terms", now, code=TerminateCode.CANNOT_DELIVER, confirm=raw)
        r.resolving = True
        affair.move(AffairInput.CONFIRMED)
        answer = self._terminate_envelope(TerminateCode.FINISHED)
        rows = promises.confirmed(r, now.wall_us, confirm=raw, answer=stamp(answer, self._ids, now))
        affair.remember_confirm(frame.message_id, raw, None)
        return [Commit(rows, "confirm", (r.lot_id,), now.monotonic_s)]

    def _confirmed(self, r: Reservation, commit: Commit, now: Now) -> list[Effect]:
        answer = self._answer_in(commit)
        affair = self._forget(r, now, AffairInput.FINISHED)
        affair.traded()
        raw = bytes.fromhex(str(commit.rows[-1].body["confirm"]))
        affair.remember_confirm(int.from_bytes(raw[1:9], "little"), raw, answer)
        self.store.sold(r.lot_id, r.bidder, r.energy, r.paid, now)
        return [Send(r.bidder, answer), Count("promises", "confirmed"), *self._refresh(now)]

    def _not_confirmed(self, r: Reservation, _: Commit, now: Now) -> list[Effect]:
        r.resolving = False
        return self._release(r, "journal failed", now, code=TerminateCode.CANNOT_DELIVER)

    @staticmethod
    def _answer_in(commit: Commit) -> Envelope:
        raw = bytes.fromhex(str(commit.rows[-1].body["answer"]))
        return Envelope(Frame(MessageType.TERMINATE), raw)

    def _release(
        self, r: Reservation, reason: str, now: Now, *, code: TerminateCode | None = None, confirm: bytes | None = None
    ) -> list[Effect]:
        """Give a promise up; its buyer is told, and its energy offered again, once that is durable."""
        r.resolving = True
        rows: tuple[Row, ...] = (promises.released(r, now.wall_us, reason),)
        if confirm is not None and code is not None:
            raw = stamp(self._terminate_envelope(code), self._ids, now)
            rows += (promises.answered(r.lot_id, r.bidder, now.wall_us, confirm=confirm, answer=raw),)
        return [Commit(rows, "release", (r.lot_id,), now.monotonic_s), Count("promises_released", reason)]

    def _freed(self, r: Reservation, commit: Commit, now: Now) -> list[Effect]:
        affair = self._forget(r, now)
        if commit.rows[-1].kind == "answer":
            answer = self._answer_in(commit)
            raw = bytes.fromhex(str(commit.rows[-1].body["confirm"]))
            affair.remember_confirm(int.from_bytes(raw[1:9], "little"), raw, answer)
        elif r.accept is None:
            answer = r.bid.answer.envelope = self._rejection(RejectCode.UNAVAILABLE, price=r.bid.price)
        else:
            answer = self._terminate_envelope(
                TerminateCode.CANNOT_DELIVER
                if self.failure or commit.rows[0].body["reason"] == "journal failed"
                else TerminateCode.TIMEOUT
            )
        return [Send(r.bidder, answer), *self._refresh(now)]

    def _forget(self, r: Reservation, now: Now, cause: AffairInput = AffairInput.RELEASED) -> Affair:
        del self.reservations[r.lot_id]
        affair = self._affairs.get(r.bidder, now.monotonic_s)
        affair.reservation = None
        affair.move(cause)
        return affair

    def _terminate_envelope(self, code: TerminateCode) -> Envelope:
        return Envelope(messages.terminate(self.device_id, code))

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """The journal's word on a Confirm that matches nothing in force."""
        affair = self._affairs.get(lookup.device_id, now.monotonic_s)
        if lookup.kind == "answer":
            return self._found_answer(affair, lookup, row, now)
        stands = row is not None and row.state == LotState.CONFIRMED.value and self._same_terms(row, lookup.frame)
        answer = self._terminate_envelope(TerminateCode.FINISHED if stands else TerminateCode.TIMEOUT)
        affair.remember_confirm(lookup.frame.message_id, lookup.raw, answer)
        return [Send(affair.device_id, answer), Count("confirms_unmatched")]

    def _found_answer(self, affair: Affair, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        if row is None:
            return [Lookup("promise", str(affair.device_id), affair.device_id, lookup.frame, lookup.raw)]
        confirm, answer = bytes.fromhex(str(row.body["confirm"])), bytes.fromhex(str(row.body["answer"]))
        if confirm == lookup.raw:
            affair.remember_confirm(lookup.frame.message_id, lookup.raw, Envelope(Frame(MessageType.TERMINATE), answer))
            return [
                Count("repeated", "CONFIRM"),
                Send(affair.device_id, Envelope(Frame(MessageType.TERMINATE), answer)),
            ]
        if carries_time(lookup.frame.message_id):
            return self._reused_confirm(affair, [confirm, lookup.raw], now)
        return [Lookup("promise", str(affair.device_id), affair.device_id, lookup.frame, lookup.raw)]

    @staticmethod
    def _same_terms(row: Row, frame: Frame) -> bool:
        terms = messages.terms(frame)
        return (row.body["energy_wh"], row.body["price_micro_per_kwh"]) == (terms.energy, terms.paid)

    def _reused_confirm(self, affair: Affair, frames: list[bytes], now: Now) -> list[Effect]:
        refusal = self._rejection(RejectCode.INVALID, price=MicroPerKwh(0))
        return [*self._evidence(affair, "confirm_id_reused", frames, now), Send(affair.device_id, refusal)]

    def _evidence(self, affair: Affair, kind: str, frames: list[bytes], now: Now) -> list[Effect]:
        if now.monotonic_s >= self._evidence_s + 1.0:
            self._evidence_s, self._evidence_count = now.monotonic_s, 0
        self._evidence_count += 1
        counted = Count("security", kind)
        if self._evidence_count > EVIDENCE_PER_S:
            return [counted]
        return [counted, Write((promises.evidence(affair.device_id, now.wall_us, kind=kind, frames=frames),))]

    def _terminate(self, affair: Affair, frame: Frame, now: Now) -> list[Effect]:
        """A buyer withdraws its sealed bid, or declines its Accept; a bid that leads an english lot binds."""
        effects: list[Effect] = []
        r = affair.reservation
        if r is not None and r.accept is not None and not r.resolving:
            affair.decline(now.monotonic_s, free_per_hour=self._limits.free_declines_per_hour)
            effects += self._release(r, "declined", now)
        elif affair.live is not None and self._withdraw(affair):
            effects.append(Count("bids_withdrawn"))
        if frame.termination_code >= TerminateCode.SHUTTING_DOWN:
            effects.append(Disconnect(affair.device_id))
        return effects

    # -- failure, end, time

    def fail(self, code: FailureCode, now: Now) -> list[Effect]:
        """The device failed: tell everyone, accept nothing more, give up what is not confirmed, say what is not delivered."""
        if self.failure is not None:
            return []
        self.failure = code
        effects: list[Effect] = [
            Broadcast(messages.device_failure(self.device_id, code)),
            Count("device_failures", code.name),
        ]
        effects += self._stop_selling("device failure", now)
        return effects + self._short(self.store.fail(now), now)

    def recovered(self, now: Now) -> list[Effect]:
        """The device works again: offer what it holds."""
        self.failure = None
        return self._refresh(now)

    def stop(self, now: Now) -> list[Effect]:
        """No new lot; the open one is void, promises may still be confirmed."""
        self.stopping = True
        return self._void(now)

    def release_all(self, now: Now) -> list[Effect]:
        """Give up every promise that is still open: the grace period is over."""
        return [
            e
            for r in list(self.reservations.values())
            if not r.resolving
            for e in self._release(r, "shutting down", now)
        ]

    def _stop_selling(self, reason: str, now: Now) -> list[Effect]:
        effects = self._void(now)
        for r in list(self.reservations.values()):
            if not r.resolving and r.accept is not None:
                effects += self._release(r, reason, now)
        return effects

    def _void(self, now: Now) -> list[Effect]:
        lot, self._lot = self._lot, None
        if lot is None:
            return []
        effects: list[Effect] = []
        for bid in self._mechanism.bids(lot.state):
            effects += self._lose(self._affairs.get(bid.bidder, now.monotonic_s), RejectCode.UNAVAILABLE)
        if lot.bids:
            effects.append(Write((self._lot_row(lot, LotState.VOID, now, setter=None, capped=False),)))
        return effects

    def _short(self, rows: tuple[Row, ...], now: Now) -> list[Effect]:
        if not rows:
            return []
        return [Commit(rows, "short", tuple(row.lot_id for row in rows), now.monotonic_s)]

    def _told_short(self, commit: Commit) -> list[Effect]:
        return [
            Send(DeviceId(int(str(row.body["bidder"]))), self._terminate_envelope(TerminateCode.CANNOT_DELIVER))
            for row in commit.rows
            if row.state == "short"
        ]

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""
        due: list[float] = [self._status_at]
        if self._announce_at is not None:
            due.append(self._announce_at)
        if self._lot is not None:
            closes_at = self._mechanism.closes_at(self._lot.state)
            due += [closes_at] if closes_at is not None else []
        first = next((r.deadline_s for r in self.reservations.values() if r.deadline_s and not r.resolving), None)
        due += [first] if first is not None else []
        due += [at for at, _ in self._retries]
        step = self.store.next_step()
        due += [step] if step is not None else []
        return MonotonicS(min(due))

    def advance(self, now: Now) -> list[Effect]:
        """Do what is due: close, release, deliver, announce, report."""
        effects = self._deliver(now)
        closes_at = self._mechanism.closes_at(self._lot.state) if self._lot else None
        if closes_at is not None and now.monotonic_s >= closes_at:
            effects += self._close(now)
        effects += self._expire(now)
        due = [commit for at, commit in self._retries if at <= now.monotonic_s]
        self._retries = [retry for retry in self._retries if retry[0] > now.monotonic_s]
        effects += due
        if self._announce_at is not None and now.monotonic_s >= self._announce_at:
            self._announce_at = None
            effects += self._announce(now)
        return effects + self._report(now)

    def _deliver(self, now: Now) -> list[Effect]:
        step = self.store.next_step()
        if step is None or now.monotonic_s < step:
            return []
        return self._moved(now)

    def _moved(self, now: Now) -> list[Effect]:
        """Let the battery catch up with the time."""
        rows = self.store.step(now)
        short = tuple(row for row in rows if row.state == "short")
        done = tuple(row for row in rows if row.state != "short")
        effects: list[Effect] = [Write(done)] if done else []
        return effects + self._short(short, now) + self._refresh(now)

    def _expire(self, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        for r in list(self.reservations.values()):
            if r.deadline_s is None or r.resolving:
                continue
            if now.monotonic_s < r.deadline_s:
                break
            self._affairs.get(r.bidder, now.monotonic_s).lapse(now.monotonic_s)
            effects += self._release(r, "no confirm", now)
        return effects

    def _report(self, now: Now) -> list[Effect]:
        if now.monotonic_s < self._status_at:
            return []
        self._status_at = MonotonicS(now.monotonic_s + STATUS_S)
        return [*self._moved(now), Broadcast(self.store.status(self.device_id)), *self._refresh(now)]

    def restored(self, pending: Iterable[Row], now: Now) -> list[Effect]:
        """After a restart: what was RESERVED is RELEASED, what was not delivered still is to be."""
        rows: list[Row] = []
        for row in pending:
            if row.kind == "promise":
                body = dict(row.body) | {"reason": "restart"}
                rows.append(
                    Row("promise", row.lot_id, LotState.RELEASED.value, now.wall_us, body, row.subject, pending=False)
                )
            elif row.kind == "energy":
                self.store.restore(row, now)
        released: list[Effect] = [Commit(tuple(rows), "restart", (), now.monotonic_s)] if rows else []
        return [*released, Log("restored", {"released": len(rows), "to_deliver_wh": self.store.owed_wh})]
