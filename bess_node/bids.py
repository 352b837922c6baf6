"""The counter for bids: every Bid is answered at once, with a Response (it takes part) or a Reject (design §4)."""

from bess_node.affairs import Affair, LiveBid
from bess_node.books import Books, OpenLot
from etp.clock import Now
from etp.codes import MessageType, RejectCode
from etp.effects import BidRow, Count, Effect, Envelope, Log, RecordBid, Scalar, Send
from etp.frame import FRAME_SIZE, Frame, decode
from etp.record import NO_LOT, lot_of
from etp.repetition import Answer, Recalled, Repeated
from etp.state import AffairInput
from etp.timing import TIMING, UNTIMED_ID_BELOW
from etp.units import MICRO_PER_CENT, WH_PER_KWH, DeviceId, LotId, MessageId, MicroPerKwh, WallUs, Wh
from market.auction import Bid, Refusal, Refused

STATES = {code: code.name.lower() for code in RejectCode}
"""What the ring of bids says of a bid that was refused."""
REFUSALS = {Refusal.BELOW_RESERVE: RejectCode.BELOW_RESERVE, Refusal.OUTBID: RejectCode.OUTBID}


class Bids:
    """See the module. Bids stamped before `started_us`, when this process began, are late."""

    def __init__(self, books: Books, started_us: WallUs) -> None:
        self._books, self._started_us = books, started_us
        self._mechanism = books.rules.mechanism
        self._arrival = 0
        timing = books.timing
        self._late_us = (TIMING[MessageType.BID].max_delay_ms + timing.skew_allowance_ms) * 1000
        self._future_us = timing.future_limit_ms * 1000

    def receive(self, affair: Affair, frame: Frame, raw: bytes, now: Now, *, fresh: bool) -> list[Effect]:
        """Judge a Bid. One that takes part in an immediate mechanism has won: the caller closes the lot, and that answers it."""
        known = affair.memory.recall(frame.message_id, raw, now.monotonic_s)
        if known is not None:
            return self._repeated(affair, frame, raw, known, now)
        self._arrival += 1
        bid = Bid(
            affair.device_id,
            MessageId(frame.message_id),
            MicroPerKwh(round(frame.bid_price * MICRO_PER_CENT)),
            Wh(round(frame.required_energy_amount * WH_PER_KWH)),
            self._arrival,
        )
        if not fresh:
            return self._replayed(affair, bid, raw, now)
        lot, about = self._books.lot, lot_of(raw)
        code = self._untimely(affair, frame, now) or self._unsuited(affair, bid, lot, now)
        if about is not None and about != self._books.lot_id:
            return self._refuse_elsewhere(affair, bid, code or RejectCode.LOT_CLOSED, lot_id=about, raw=raw, now=now)
        if code is not None or lot is None:
            refused = self._refuse(affair, bid, code or RejectCode.UNAVAILABLE, ask=self._books.ask, raw=raw, now=now)
            return [*refused, *self._explained(affair)]
        return self._judge(affair, bid, lot, raw, now)

    @staticmethod
    def _explained(affair: Affair) -> list[Effect]:
        """Why a buyer's money is not good enough: said to the operator, once as long as it is the same."""
        if not affair.against:
            return []
        counted = Count("bids_barred")
        if affair.against == affair.explained:
            return [counted]
        affair.explained = affair.against
        said: dict[str, Scalar | float] = {"buyer": affair.device_id, "reason": affair.against}
        return [counted, Log("bids_are_refused", said, "warning")]

    def _replayed(self, affair: Affair, bid: Bid, raw: bytes, now: Now) -> list[Effect]:
        """A counter that came before, under a bid that nobody remembers: nothing that an honest bidder still waits for."""
        lot_id = lot_of(raw) or self._books.lot_id
        refusal = self._books.reject(RejectCode.LATE, price=bid.price, lot_id=lot_id)
        return [*self._books.evidence(affair.device_id, "replay", [raw], now), Send(affair.device_id, refusal)]

    def _refuse_elsewhere(
        self, affair: Affair, bid: Bid, code: RejectCode, *, lot_id: LotId, raw: bytes, now: Now
    ) -> list[Effect]:
        """A bid for a lot that is not open any more is answered for that lot; the bidder's bid in the open one stands."""
        envelope = self._books.reject(code, price=bid.price, lot_id=lot_id)
        affair.memory.remember(
            bid.message_id, raw, self._books.stamped(envelope, affair.device_id, now), now.monotonic_s
        )
        # An id that was never given names no lot, and may yet be one's.
        known = lot_id if lot_id <= self._books.profile.ids.last else NO_LOT
        return [_record(known, bid, STATES[code], now), Send(affair.device_id, envelope)]

    def _repeated(self, affair: Affair, frame: Frame, raw: bytes, known: Recalled, now: Now) -> list[Effect]:
        if known.how is Repeated.OTHER:
            price = MicroPerKwh(round(frame.bid_price * MICRO_PER_CENT))
            refusal = self._books.reject(RejectCode.INVALID, price=price, lot_id=lot_of(raw) or NO_LOT)
            evidence = self._books.evidence(affair.device_id, "bid_id_reused", [known.first, raw], now)
            return [*evidence, Send(affair.device_id, refusal)]
        envelope = _stored(known.answer)
        repeats: list[Effect] = [Count("repeated", "BID")]
        return [*repeats, Send(affair.device_id, envelope)] if envelope is not None and envelope.raw else repeats

    # -- what refuses a Bid before the market sees it

    def _untimely(self, affair: Affair, frame: Frame, now: Now) -> RejectCode | None:
        stamp_us = frame.message_id
        if stamp_us - now.wall_us > self._future_us:
            return RejectCode.INVALID
        if (stamp_us < self._started_us or stamp_us < now.wall_us - self._late_us) and stamp_us >= UNTIMED_ID_BELOW:
            return RejectCode.LATE
        return None if affair.bucket.take(now.monotonic_s) else RejectCode.TOO_MANY

    def _unsuited(self, affair: Affair, bid: Bid, lot: OpenLot | None, now: Now) -> RejectCode | None:
        """Nothing to bid for, or not for this device; too much or too little; too curious."""
        books = self._books
        if books.profile.ids.behind_s(now.wall_us) is not None:
            return RejectCode.UNAVAILABLE
        if lot is None or affair.reservation is not None or not books.selling:
            return RejectCode.UNAVAILABLE
        affair.against = books.against(bid, now)
        if affair.against:
            return RejectCode.UNAVAILABLE
        if now.monotonic_s < affair.barred_until_s or now.monotonic_s < books.storage_bad_until_s:
            return RejectCode.UNAVAILABLE
        energy, most, least = bid.energy, lot.terms.energy, books.rules.min_lot
        if (energy > most and not self._mechanism.divisible) or (energy < least and energy < most):
            return RejectCode.INSUFFICIENT
        return self._probing(affair, bid.price, lot) if books.rules.hide_reserve else None

    def _probing(self, affair: Affair, price: MicroPerKwh, lot: OpenLot) -> RejectCode | None:
        """Three BELOW_RESERVE per device and lot while the reserve is hidden, then TOO_MANY: no binary search for it."""
        if price >= lot.terms.reserve:
            return None
        if affair.tries_lot != lot.lot_id:
            affair.tries_lot, affair.reserve_tries = lot.lot_id, 0
        affair.reserve_tries += 1
        return RejectCode.TOO_MANY if affair.reserve_tries > self._books.limits.hidden_reserve_tries else None

    # -- what the market says

    def _judge(self, affair: Affair, bid: Bid, lot: OpenLot, raw: bytes, now: Now) -> list[Effect]:
        lot.judged(bid.bidder, raw, self._books.limits.devices)
        verdict = self._mechanism.bid(lot.state, bid, now.monotonic_s)
        if isinstance(verdict, Refused):
            return self._refuse(affair, bid, REFUSALS[verdict.refusal], ask=verdict.ask, raw=raw, now=now)
        lot.state = verdict.state
        effects: list[Effect] = []
        if verdict.displaced is not None:
            effects += self.lose(verdict.displaced.bidder, RejectCode.OUTBID, now, ask=self._books.ask)
        return effects + self._take(affair, bid, raw, now)

    def _take(self, affair: Affair, bid: Bid, raw: bytes, now: Now) -> list[Effect]:
        live = LiveBid(bid, Answer(), self._books.lot_id, raw)
        affair.memory.remember(bid.message_id, raw, live.answer, now.monotonic_s)
        if affair.live is not None:
            affair.live.answer.successor = live.answer
        affair.live = live
        affair.move(AffairInput.TAKES_PART)
        record = _record(live.lot_id, bid, "standing", now)
        if self._mechanism.immediate:
            return [record]
        live.answer.envelope = self._books.response(bid_price=bid.price)
        return [record, Send(affair.device_id, live.answer.envelope)]

    def _refuse(
        self, affair: Affair, bid: Bid, code: RejectCode, *, ask: MicroPerKwh, raw: bytes, now: Now
    ) -> list[Effect]:
        """Reject a bid. In a sealed lot it takes with it the one it would replace: a Reject frees the bidder."""
        before, lot_id = affair.live, self._books.lot_id
        envelope = self._books.reject(code, price=bid.price, lot_id=lot_id, ask=ask)
        # Stamped at once: nothing changes a refusal any more, so its bytes alone are remembered.
        answer = self._books.stamped(envelope, affair.device_id, now)
        affair.memory.remember(bid.message_id, raw, answer, now.monotonic_s)
        if before is not None and self._books.withdraw(affair):
            before.answer.envelope = envelope
        return [_record(lot_id, bid, STATES[code], now), Send(affair.device_id, envelope)]

    def standing(self, bid: Bid) -> LiveBid | None:
        """A bid that takes part, as it came."""
        live = self._books.affairs.of(bid.bidder)
        return live if live is not None and live.bid == bid else None

    def lose(self, bidder: DeviceId, code: RejectCode, now: Now, *, ask: MicroPerKwh = MicroPerKwh(0)) -> list[Effect]:
        """A bid that took part does so no longer; its bidder is told."""
        affair = self._books.affairs.get(bidder, now.monotonic_s)
        assert affair.live is not None
        envelope = self._books.reject(code, price=affair.live.bid.price, lot_id=affair.live.lot_id, ask=ask)
        affair.live.answer.envelope = envelope
        affair.free()
        return [Send(bidder, envelope)]

    def session_lost(self, affair: Affair, now: Now) -> list[Effect]:
        """A lost session withdraws its bid, unless that leads an english lot."""
        live = affair.live
        if live is None or not self._books.withdraw(affair):
            return []
        # Its repetition, after a reconnect, must not say that it still takes part.
        gone = self._books.reject(RejectCode.LOT_CLOSED, price=live.bid.price, lot_id=live.lot_id)
        self._books.stamped(gone, affair.device_id, now)
        live.answer.envelope = gone
        return [Count("bids_withdrawn")]


def _record(lot_id: LotId, bid: Bid, state: str, now: Now) -> RecordBid:
    return RecordBid(BidRow(lot_id, bid.bidder, bid.message_id, bid.energy, bid.price, state, now.wall_us))


def _stored(answer: Answer | bytes) -> Envelope | None:
    """The last answer to a Bid; None: it is still on its way."""
    return Envelope(decode(answer[:FRAME_SIZE]), answer) if isinstance(answer, bytes) else answer.newest().envelope
