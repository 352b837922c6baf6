"""The buyer's core: one affair at each battery, from Response to trade. Effects out; no clock, socket or file.

What is bid stays in the exposure until its fate is known; a Confirm leaves only after its row is durable (design §4).
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from aggregator_node.affair import ASK_AGAIN_S, BID_BURST, BIDS_PER_S, PAUSE_S, TOO_MANY_PAUSE_S, Affair, Promise
from aggregator_node.directory import Battery, Directory
from aggregator_node.portfolio import Portfolio
from aggregator_node.strategy import price
from aggregator_node.view import Loss, LotView, Need, Strategy
from aggregator_node.worth import Worth
from etp import messages
from etp.agenda import Agenda
from etp.bucket import Bucket
from etp.clock import Now
from etp.clock_check import clock_warning
from etp.codes import MessageType, RejectCode, TerminateCode
from etp.effects import Commit, Count, Effect, Envelope, Log, Lookup, Row, Scalar, Send, Write
from etp.evidence import UNPROVEN, Evidence
from etp.frame import Frame
from etp.profile import Profile
from etp.record import NO_LOT, lot_of, message_id_of, sender_of
from etp.session import Violation
from etp.state import AffairInput, AffairState
from etp.timing import Timing, is_from_future, is_late
from etp.units import MICRO_PER_CENT, DeviceId, LotId, Micro, MicroPerKwh, MonotonicS, Wh, money
from runtime.days import MarketClock

LOOK_S: Final = 0.02
"""Energy wanted anew is looked for at all batteries after this, s: what is set free at one moment is spread in one look."""
LONGEST_RETRY_S: Final = 30.0
REPLIES_KEPT: Final = 4096
COMMIT_LIMIT_S: Final = 0.4
REFUNDS: Final = (TerminateCode.TIMEOUT, TerminateCode.CANNOT_DELIVER)
"""A battery's record of these gives its buyer the money of that lot back."""
LOSSES: Final = {
    RejectCode.OUTBID: Loss.OUTBID,
    RejectCode.ANOTHER_WON: Loss.ANOTHER_WON,
    RejectCode.BELOW_RESERVE: Loss.BELOW_RESERVE,
}
"""Refusals that say something of prices."""
NO_DAYS: Final = MarketClock(MonotonicS(0.0), 0.0)
"""Market time where nobody asks for it."""
REJECT_CODES: Final[dict[int, RejectCode]] = {code.value: code for code in RejectCode}
NOT_NOW: Final = frozenset({RejectCode.UNAVAILABLE, RejectCode.TOO_MANY, RejectCode.LATE, RejectCode.INVALID})


class Purse(Protocol):
    """What can be paid for: an escrow, less what is owed."""

    def room(self, live: Micro) -> Micro:
        """What may still be bid for beside `live` µ of live bids and promises, µ."""

    def confirmed(self, battery: DeviceId, lot_id: LotId, amount: Micro, message_id: int) -> None:
        """`amount` µ are owed for a lot by the Confirm of this id; known ones stay as they are."""


class Buyer:
    """See the module. What a kWh is worth to it is `worth`'s to say."""

    def __init__(
        self,
        device_id: DeviceId,
        *,
        worth: Worth,
        portfolio: Portfolio,
        strategy: Strategy,
        profile: Profile,
        rng: random.Random,
        timing: Timing,
        purse: Purse | None = None,
        clock: MarketClock = NO_DAYS,
        patience_s: float = 0.0,
    ) -> None:
        """`purse`: what its escrow can pay, in a market that settles; `patience_s`: how long the demand may wait, of market time."""
        self._purse = purse
        self.device_id = device_id
        self.portfolio = portfolio
        self.worth = worth
        self.stopping = False
        self.directory = Directory()
        self.reply_times: deque[tuple[str, float]] = deque(maxlen=REPLIES_KEPT)
        self._affairs: dict[DeviceId, Affair] = {}
        self._agenda: Agenda[DeviceId] = Agenda()
        self._look_at = float("inf")
        self._period_at = float("inf")
        self._traded: dict[DeviceId, tuple[int, bytes]] = {}
        """By battery: the lot of the last trade (0 in `plain`), and its Accept while that may still be young."""
        self._retries: list[tuple[float, Commit]] = []
        self._evidence = Evidence()
        self._handlers: dict[int, Callable[[Affair, Frame, bytes, Now], list[Effect]]] = {
            MessageType.RESPONSE: self._response,
            MessageType.REJECT: self._reject,
            MessageType.ACCEPT: self._accept,
            MessageType.TERMINATE: self._terminate,
            MessageType.DEVICE_FAILURE: self._failure,
        }
        self._strategy, self._profile, self._rng, self._timing = strategy.fresh(), profile, rng, timing
        self._clock, self._patience_s = clock, patience_s
        self._began_s: float | None = None
        """Market time when the first lot was judged: the demand may wait from then on."""

    @property
    def open_promises(self) -> int:
        """Confirms that are not answered."""
        return sum(affair.promise is not None for affair in self._affairs.values())

    @property
    def promised_wh(self) -> Wh:
        """Energy of those."""
        return Wh(sum(affair.promise.energy for affair in self._affairs.values() if affair.promise is not None))

    def restored(self, pending: Iterable[Row], trades: Iterable[Row], now: Now) -> None:
        """After a restart: what was bought is bought; unanswered Confirms are sent again once their battery is reached."""
        for row in trades:
            battery, energy, paid = _terms(row)
            self.portfolio.buy(battery, energy, paid)
            self._traded[battery] = row.lot_id, b""
            self._owe(row)
        for row in pending:
            affair = self._affair(_terms(row)[0], now.monotonic_s)
            assert affair is not None
            affair.state = AffairState.CONFIRMING
            self._resume(affair, row, now)

    def _owe(self, trade: Row) -> None:
        """A trade is owed until its payment is seen on the chain."""
        if self._purse is not None:
            battery, energy, paid = _terms(trade)
            self._purse.confirmed(battery, LotId(trade.lot_id), money(paid, energy), trade.time_us)

    def funded(self, now: Now) -> None:
        """The escrow was read: what it has room for now may be bid for."""
        self._look_soon(now)

    def _affair(self, device_id: DeviceId, now_s: MonotonicS) -> Affair | None:
        affair = self._affairs.get(device_id)
        battery = self.directory.meet(device_id) if affair is None else None
        if battery is not None:
            affair = self._affairs[device_id] = Affair(battery, Bucket(rate=BIDS_PER_S, burst=BID_BURST, now_s=now_s))
        return affair

    def _schedule(self, affair: Affair) -> None:
        wants = not (self.stopping or self.portfolio.filled)
        self._agenda.set(affair.battery.device_id, affair.due_s(wants=wants))

    # -- sessions

    def hello(self, now: Now, to: DeviceId | None = None) -> Envelope:
        """A Query that makes a battery just dialled speak, and so say which device it is; in `plain` it may be any.

        Of a battery that is known by name the clock is measured from here: what binds the session is the answer to this.
        """
        envelope = Envelope(messages.query(self.device_id))
        self._profile.stamp(envelope, to, now)
        affair = self._affair(to, now.monotonic_s) if to is not None else None
        if affair is not None:
            affair.battery.estimator.asked(now, message_id=self._profile.ids.last)
        return envelope

    def session_opened(self, device_id: DeviceId, now: Now, address: str = "") -> list[Effect]:
        """Connected: a Confirm or bid of unknown fate goes first, byte for byte; then ask what is for sale."""
        affair = self._affair(device_id, now.monotonic_s)
        if affair is None:
            return [Count("batteries_refused")]
        affair.battery.connected, affair.battery.address = True, address
        if self._period_at == float("inf"):
            self._begin_period(now)
        again: list[Effect] = []
        if affair.promise is not None and affair.promise.durable:
            again = self._confirm_again(affair, affair.promise, now)
        elif affair.bid is not None:
            again = [Send(device_id, affair.bid)]
        effects = [*again, *self._query(affair, now)]
        self._schedule(affair)
        return effects

    def session_lost(self, device_id: DeviceId, now: Now) -> list[Effect]:  # noqa: ARG002 - every input carries its instant
        """Disconnected: what is bid or promised stays in the exposure until its fate is known."""
        affair = self._affairs.get(device_id)
        if affair is not None:
            affair.battery.connected = False
            self._schedule(affair)
        return []

    def _query(self, affair: Affair, now: Now) -> list[Effect]:
        envelope = self.hello(now, affair.battery.device_id)
        affair.news_s = now.monotonic_s
        return [Send(affair.battery.device_id, envelope)]

    # -- frames

    def receive(self, device_id: DeviceId, frame: Frame, raw: bytes, now: Now, *, fresh: bool = True) -> list[Effect]:
        """A valid frame of the role from a battery's session. What is not `fresh` is at most an answer that was stored."""
        affair = self._affair(device_id, now.monotonic_s)
        if affair is None:
            return [Count("batteries_refused")]
        if not fresh and not affair.may_be_stored_answer(frame, raw):
            return self._evidence.keep(device_id, "replay", [raw], now)
        affair.battery.last_seen_s = now.monotonic_s
        if frame.message_type != MessageType.STATUS:  # which says nothing of a lot
            affair.news_s = now.monotonic_s
        affair.heard_id = max(affair.heard_id, frame.message_id)
        self.portfolio.begin(self.worth.period(now.monotonic_s))
        handle = self._handlers.get(frame.message_type)
        effects = handle(affair, frame, raw, now) if handle else []
        self._schedule(affair)
        return effects

    def blamed(self, violation: Violation, now: Now) -> list[Effect]:
        """A message against the rules: what concerns identity is kept, as it came."""
        if violation.kind not in UNPROVEN or not violation.raw:
            return []
        return self._evidence.keep(sender_of(violation.raw), violation.kind, [violation.raw], now)

    def _too_old(self, frame: Frame, now: Now) -> bool:
        late = is_late(
            frame.message_type, frame.message_id, now.wall_us, skew_allowance_ms=self._timing.skew_allowance_ms
        )
        return late or is_from_future(frame.message_id, now.wall_us, future_limit_ms=self._timing.future_limit_ms)

    def _response(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        battery = affair.battery
        battery.estimator.answered(frame, now)
        if self._too_old(frame, now):
            return [Count("late_messages", "RESPONSE"), *(self._clock_is_off(affair) or [])]
        battery.for_sale = messages.offer(frame).for_sale
        battery.ask = MicroPerKwh(round(frame.sale_price * MICRO_PER_CENT))
        battery.lot_id = lot_of(raw) or NO_LOT
        if affair.bid is not None and frame.bid_price == affair.bid.frame.bid_price:
            battery.of_own_lot = True
            self._answered(affair, "RESPONSE", now)
            return []
        # An ask above our standing bid is our own bid's doing.
        battery.of_own_lot = affair.bid is not None and frame.sale_price > affair.bid.frame.bid_price
        return self._bid(affair, now)

    def _answered(self, affair: Affair, kind: str, now: Now) -> None:
        if affair.bid_s:
            self.reply_times.append((kind, (now.monotonic_s - affair.bid_s) * 1000))
            affair.bid_s = 0.0

    # -- bids

    def _clock_is_off(self, affair: Affair) -> list[Effect] | None:
        offset, limit = affair.battery.estimator.offset_ms, self._timing.offset_limit_ms
        if offset is None or abs(offset) <= limit:
            affair.warned = False
            return None
        if affair.warned:
            return []
        affair.warned = True
        said = {"battery": affair.battery.device_id, "offset_ms": round(offset), "limit_ms": limit}
        return [Log("clock_is_off_no_bids_there", said, "warning")]

    def _bid(self, affair: Affair, now: Now) -> list[Effect]:
        """Bid where something is for sale, needed, and worth its ask."""
        battery = affair.battery
        idle = affair.state is AffairState.NONE and battery.connected and not self.stopping
        if not idle or battery.for_sale <= 0 or now.monotonic_s < affair.not_before_s:
            return []
        if self._profile.ids.behind_s(now.wall_us) is not None:
            affair.not_before_s = now.monotonic_s + ASK_AGAIN_S
            return clock_warning(self._profile.ids, now)
        off = self._clock_is_off(affair)
        if off is not None:
            return off
        # What may not be delivered is worth less: its value times the share of promises that this battery keeps.
        value = MicroPerKwh(int(self.worth.at(now.monotonic_s) * battery.reliability))
        offered = price(self._strategy, self._view(battery, value, now), self._rng)
        room = self._purse.room(self.portfolio.exposed_micro) if self._purse is not None else None
        energy = self.portfolio.wanted(battery.for_sale, offered, room) if offered is not None else Wh(0)
        if offered is None or energy <= 0:
            return []
        if not affair.pace.take(now.monotonic_s):
            affair.put_off, affair.not_before_s = True, now.monotonic_s + 1 / BIDS_PER_S
            return [Count("bids_put_off")]
        affair.put_off = affair.too_little = False
        self.portfolio.expose(battery.device_id, energy, offered)
        affair.bid = Envelope(messages.bid(self.device_id, price=offered, energy=energy), lot_id=battery.lot_id)
        self._profile.stamp(affair.bid, battery.device_id, now)
        affair.heard_before_bid = affair.heard_id
        affair.bid_s = now.monotonic_s
        affair.move(AffairInput.TAKES_PART)
        return [Send(battery.device_id, affair.bid), Count("bids")]

    def _view(self, battery: Battery, value: MicroPerKwh, now: Now) -> LotView:
        """What its strategy is asked: the lot, and what is still wanted, in this period and in all."""
        portfolio, market_s = self.portfolio, self._clock.at(now.monotonic_s)
        self._began_s = market_s if self._began_s is None else self._began_s
        patience_s = max(0.0, self._began_s + self._patience_s - market_s)
        needs = [Need(Wh(portfolio.demand - portfolio.bought - portfolio.exposed_wh), patience_s)]
        ends_at = self.worth.changes_at(now.monotonic_s)
        if portfolio.period_demand is not None and ends_at is not None:
            missing = Wh(portfolio.period_demand - portfolio.period_bought - portfolio.exposed_wh)
            needs.append(Need(missing, self._clock.at(ends_at) - market_s, recurs=True))
        return LotView(
            value,
            battery.ask,
            battery=battery.device_id,
            lot_id=battery.lot_id,
            energy=battery.for_sale,
            market_s=market_s,
            period=portfolio.period,
            needs=tuple(needs),
        )

    def _look(self, now: Now) -> list[Effect]:
        """Bid wherever nothing is going on, the least ask first."""
        self._look_at = float("inf")
        effects: list[Effect] = []
        for affair in sorted(self._affairs.values(), key=lambda affair: affair.battery.ask):
            if affair.state is AffairState.NONE and affair.battery.for_sale > 0:
                effects += self._bid(affair, now)
                self._schedule(affair)
        return effects

    def _look_soon(self, now: Now) -> None:
        if not (self.stopping or self.portfolio.filled):
            self._look_at = min(self._look_at, now.monotonic_s + LOOK_S)

    def _free(self, affair: Affair, now: Now) -> None:
        affair.bid = None
        affair.move(AffairInput.FREED)
        self.portfolio.release(affair.battery.device_id)
        self._look_soon(now)

    def _reject(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        mine = (
            affair.bid is not None
            and frame.bid_price == affair.bid.frame.bid_price
            and lot_of(raw) in (None, affair.bid.lot_id)
        )
        of_older_lot = affair.bid is not None and affair.bid.lot_id != affair.battery.lot_id
        if affair.state is not AffairState.BIDDING or not mine:
            return [Count("rejects_of_older_bids")]
        code = REJECT_CODES.get(frame.termination_code)
        self._answered(affair, "REJECT", now)
        if code in LOSSES:
            self._strategy.lost(affair.battery.device_id, bid=_price_of(affair.bid), how=LOSSES[code])
        self._free(affair, now)
        counted = Count("rejected", code.name if code else "unknown")
        # A Response that came before has told of a newer lot: what is said of the older one changes nothing there.
        again = of_older_lot or self._learned(affair, code, frame, now)
        return [counted, *(self._bid(affair, now) if again else [])]

    @staticmethod
    def _learned(affair: Affair, code: RejectCode | None, frame: Frame, now: Now) -> bool:
        """Take from a Reject what it says; whether it says enough to bid again at once."""
        battery = affair.battery
        if code in (RejectCode.OUTBID, RejectCode.BELOW_RESERVE) and frame.sale_price > 0:
            battery.ask, battery.of_own_lot = MicroPerKwh(round(frame.sale_price * MICRO_PER_CENT)), True
            return True
        left = messages.offer(frame._replace(percentage_for_sale=100.0)).for_sale
        if code is RejectCode.INSUFFICIENT and 0 < left < battery.for_sale:
            battery.for_sale = left
            return True
        if code is RejectCode.INSUFFICIENT and left > 0:  # too little, then: until more is wanted, or can be paid for
            affair.put_off, affair.too_little, affair.not_before_s = True, True, now.monotonic_s + ASK_AGAIN_S
            return False
        if code is RejectCode.TOO_MANY and battery.ask > 0:  # a battery that takes fewer than we send: slower, then
            affair.put_off, affair.not_before_s = True, now.monotonic_s + TOO_MANY_PAUSE_S
            return False
        battery.for_sale = Wh(0)  # not known any more: the Response to the next lot says
        if code in NOT_NOW or code is None or code is RejectCode.BELOW_RESERVE:
            affair.not_before_s = now.monotonic_s + PAUSE_S
            affair.news_s = float("-inf")  # and nobody may say more by then: ask
        return False

    # -- promises

    def _accept(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        if affair.promise is not None:
            known = affair.promise.accept == raw
            if not known and frame.message_id == message_id_of(affair.promise.accept):
                both = [affair.promise.accept, raw]
                return self._evidence.keep(affair.battery.device_id, "accept_id_reused", both, now)
            return self._confirm_again(affair, affair.promise, now) if known and affair.promise.durable else []
        if raw == affair.given_up:
            return self._decline(affair, TerminateCode.TIMEOUT, raw, now)
        self._answered(affair, "ACCEPT", now)
        code = self._fault(affair, frame, raw, now)
        if code is not None or self._is_traded(affair, raw):
            # One that we have confirmed before is confirmed again: the journal knows.
            return [Lookup("promise", str(affair.battery.device_id), affair.battery.device_id, frame, raw)]
        bid_id = _id_of(affair.bid)
        self._strategy.won(affair.battery.device_id, bid=_price_of(affair.bid), paid=messages.terms(frame).paid)
        affair.bid = None
        if affair.battery.of_own_lot:
            affair.battery.for_sale = Wh(0)  # that lot is closed: the Response to the next one says what it asks
        affair.move(AffairInput.WON)
        affair.move(AffairInput.CONFIRMED)
        terms, exposed = messages.terms(frame), self.portfolio.exposed_wh
        self.portfolio.expose(affair.battery.device_id, terms.energy, terms.paid)
        if self.portfolio.exposed_wh < exposed:
            self._look_soon(now)
        confirm = Envelope(messages.confirm(self.device_id, frame), lot_id=lot_of(raw) or NO_LOT)
        sealed = self._profile.stamp(confirm, affair.battery.device_id, now)
        row = self._row(affair, frame, bid_id, confirm=sealed, raw=raw, now=now)
        affair.promise = Promise(raw, confirm, row, now.monotonic_s)
        return [Commit((row,), "confirming", (affair.battery.device_id,), now.monotonic_s)]

    def _is_traded(self, affair: Affair, accept: bytes) -> bool:
        """Whether an Accept is of a trade that we hold: a battery's lots have rising ids."""
        lot_id, last = self._traded.get(affair.battery.device_id, (0, b""))
        return accept == last or (lot_of(accept) or lot_id + 1) <= lot_id

    def _fault(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> TerminateCode | None:
        """Why an Accept is not confirmed: late, unasked, dear, too much, or of no lot."""
        if self._too_old(frame, now):
            return TerminateCode.TIMEOUT
        if affair.bid is None or self.stopping or lot_of(raw) == NO_LOT:
            return TerminateCode.CANNOT_DELIVER
        asked, awarded = messages.terms(affair.bid.frame), messages.terms(frame)
        fair = 0 < awarded.paid <= asked.bid_price and 0 < awarded.energy <= asked.energy
        return None if fair else TerminateCode.CANNOT_DELIVER

    def _decline(self, affair: Affair, code: TerminateCode, accept: bytes, now: Now) -> list[Effect]:
        if affair.state is AffairState.BIDDING:
            self._free(affair, now)
        declined = Envelope(messages.terminate(self.device_id, code), lot_id=lot_of(accept) or NO_LOT)
        return [Send(affair.battery.device_id, declined), Count("declined", code.name)]

    def _row(self, affair: Affair, accept: Frame, bid_id: int, *, confirm: bytes, raw: bytes, now: Now) -> Row:
        terms = messages.terms(accept)
        body: dict[str, Scalar] = {
            "battery": affair.battery.device_id,
            "bidder": self.device_id,
            "message_id": bid_id,
            "energy_wh": terms.energy,
            "price_micro_per_kwh": terms.paid,
            "confirm": confirm.hex(),
            "accept": raw.hex(),
        }
        return Row(
            "promise",
            lot_of(raw) or NO_LOT,
            "confirming",
            now.wall_us,
            body,
            str(affair.battery.device_id),
            pending=True,
        )

    def _confirm_again(self, affair: Affair, promise: Promise, now: Now) -> list[Effect]:
        delay = min(self._timing.confirm_retry_ms / 1000 * 2**promise.attempt, LONGEST_RETRY_S)
        promise.attempt += 1
        promise.retry_s = now.monotonic_s + delay
        return [Send(affair.battery.device_id, promise.confirm)]

    def committed(self, commit: Commit, now: Now) -> list[Effect]:
        """The row is durable: the Confirm may leave, unless it would come too late."""
        affair = self._affairs[DeviceId(commit.keys[0])]
        promise = affair.promise
        if commit.purpose != "confirming" or promise is None:
            return []
        if now.monotonic_s - commit.asked_s > COMMIT_LIMIT_S:
            return self._give_up(affair, promise, TerminateCode.TIMEOUT, now)
        promise.durable, promise.since_s = True, now.monotonic_s
        effects = self._confirm_again(affair, promise, now)
        self._schedule(affair)
        return effects

    def commit_failed(self, commit: Commit, now: Now) -> list[Effect]:
        """The row is not in the journal: nothing is confirmed."""
        affair = self._affairs[DeviceId(commit.keys[0])]
        if commit.purpose != "confirming" or affair.promise is None:
            self._retries.append((now.monotonic_s + PAUSE_S, commit))
            return []
        return self._give_up(affair, affair.promise, TerminateCode.CANNOT_DELIVER, now)

    def found(self, lookup: Lookup, row: Row | None, now: Now) -> list[Effect]:
        """The journal's word on an Accept that answers no open bid: known byte for byte, its Confirm goes out again.

        And on a Terminate that is a refund: it is kept where there is a trade of its lot.
        """
        affair = self._affairs[lookup.device_id]
        if lookup.kind == "trade":
            return self._undelivered(affair, lookup.raw, now) if row is not None else []
        if row is None or row.body["accept"] != lookup.raw.hex():
            code = self._fault(affair, lookup.frame, lookup.raw, now) or TerminateCode.CANNOT_DELIVER
            return self._decline(affair, code, lookup.raw, now)
        if row.state == "released":  # a Confirm now could make a trade that we do not count
            return self._decline(affair, TerminateCode.TIMEOUT, lookup.raw, now)
        if row.state == "unresolved" and affair.state is AffairState.NONE:
            affair.move(AffairInput.WON)
            affair.move(AffairInput.CONFIRMED)
            self._resume(affair, row, now)
        confirm = Envelope(Frame(MessageType.CONFIRM), bytes.fromhex(str(row.body["confirm"])))
        return [Send(lookup.device_id, confirm), Count("repeated", "ACCEPT")]

    def _resume(self, affair: Affair, row: Row, now: Now) -> None:
        """Take up a promise whose Confirm has left: it is exposed, and its Confirm is sent until it is answered."""
        _, energy, paid = _terms(row)
        confirm = Envelope(Frame(MessageType.CONFIRM), bytes.fromhex(str(row.body["confirm"])), LotId(row.lot_id))
        accept = bytes.fromhex(str(row.body["accept"]))
        affair.promise = Promise(accept, confirm, row, now.monotonic_s, attempt=1, durable=True)
        self.portfolio.expose(affair.battery.device_id, energy, paid)
        self._schedule(affair)

    def _give_up(self, affair: Affair, promise: Promise, code: TerminateCode, now: Now) -> list[Effect]:
        affair.given_up = promise.accept
        self._close(affair, AffairInput.RELEASED, now)
        row = promise.row._replace(state="released", time_us=now.wall_us, pending=False)
        told = Envelope(messages.terminate(self.device_id, code), lot_id=promise.confirm.lot_id)
        return [Write((row,)), Send(affair.battery.device_id, told)]

    def _close(self, affair: Affair, cause: AffairInput, now: Now) -> None:
        affair.promise = None
        affair.move(cause)
        self.portfolio.release(affair.battery.device_id)
        self._look_soon(now)
        self._schedule(affair)

    def _terminate(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        promise, code, about = affair.promise, frame.termination_code, lot_of(raw)
        if code == TerminateCode.SHUTTING_DOWN and affair.state is AffairState.BIDDING:
            self._free(affair, now)
        ends = code <= TerminateCode.CANNOT_DELIVER
        if promise is not None and promise.durable and ends and about in (None, promise.confirm.lot_id):
            return self._ended(affair, promise, TerminateCode(code), raw, now)
        if about and code in REFUNDS:  # of a trade of ours? the journal knows, but for one that is on its way there
            if self._traded.get(affair.battery.device_id, (NO_LOT, b""))[0] == about:
                return self._undelivered(affair, raw, now)
            subject = trade_subject(affair.battery.device_id, about)
            return [Lookup("trade", subject, affair.battery.device_id, frame, raw)]
        if code == TerminateCode.CANNOT_DELIVER and affair.battery.kept and promise is None:
            return self._undelivered(affair, raw, now)
        return []

    def _ended(self, affair: Affair, promise: Promise, code: TerminateCode, raw: bytes, now: Now) -> list[Effect]:
        finished = code is TerminateCode.FINISHED
        if promise.attempt == 1:
            self.reply_times.append(("TERMINATE", (now.monotonic_s - promise.since_s) * 1000))
        if finished:
            self.portfolio.buy(affair.battery.device_id, promise.energy, promise.paid)
        self._close(affair, AffairInput.FINISHED if finished else AffairInput.RELEASED, now)
        if finished:
            affair.battery.kept += 1
        elif code is TerminateCode.CANNOT_DELIVER:
            affair.battery.broken += 1
        rows = _end_rows(promise, finished=finished, answer=raw, now=now)
        for trade in rows[1:]:
            self._traded[affair.battery.device_id] = trade.lot_id, promise.accept
            self._owe(trade)
        ended = Commit(rows, "ended", (affair.battery.device_id,), now.monotonic_s)
        return [ended, Count("promises", "finished" if finished else "released"), *self._bid(affair, now)]

    def _undelivered(self, affair: Affair, raw: bytes, now: Now) -> list[Effect]:
        """A battery says that it cannot deliver what it sold; a record says which trade, and is the buyer's refund."""
        affair.battery.broken += 1
        body: dict[str, Scalar] = {
            "battery": affair.battery.device_id,
            "bidder": self.device_id,
            "terminate": raw.hex(),
        }
        row = Row("energy", lot_of(raw) or NO_LOT, "short", now.wall_us, body, str(affair.battery.device_id))
        return [Write((row,)), Count("trades_not_delivered")]

    def _failure(self, affair: Affair, frame: Frame, _: bytes, now: Now) -> list[Effect]:
        if affair.state is AffairState.BIDDING:
            self._free(affair, now)
        affair.battery.for_sale = Wh(0)
        return [Count("device_failures", str(frame.termination_code))]

    # -- time

    def next_deadline(self) -> MonotonicS | None:
        """When `advance` has something to do."""
        agenda, first = self._agenda.next(), min(self._look_at, self._period_at)
        if agenda is not None and agenda < first:
            first = agenda
        if self._retries:
            first = min(first, *(at for at, _ in self._retries))
        return None if first == float("inf") else MonotonicS(first)

    def advance(self, now: Now) -> list[Effect]:
        """Do what is due: Confirms again, unresolved ones, silent bids, a fresh Query; another half-hour, another value."""
        effects: list[Effect] = [commit for at, commit in self._retries if at <= now.monotonic_s]
        self._retries = [retry for retry in self._retries if retry[0] > now.monotonic_s]
        for device_id in list(self._agenda.pop_due(now.monotonic_s)):
            effects += self._due(self._affairs[device_id], now)
            self._schedule(self._affairs[device_id])
        if now.monotonic_s >= self._period_at:
            self._begin_period(now)
            self._look_at = now.monotonic_s
        return effects + (self._look(now) if now.monotonic_s >= self._look_at else [])

    def _begin_period(self, now: Now) -> None:
        changes_at = self.worth.changes_at(now.monotonic_s)
        self._period_at = float("inf") if changes_at is None else changes_at
        self.portfolio.begin(self.worth.period(now.monotonic_s))
        for affair in self._affairs.values():
            if affair.too_little:
                affair.too_little, affair.not_before_s = False, now.monotonic_s

    def _due(self, affair: Affair, now: Now) -> list[Effect]:
        promise = affair.promise
        if promise is not None and now.monotonic_s >= affair.unresolved_s:
            row = promise.row._replace(state="unresolved", time_us=now.wall_us, pending=False)
            self._close(affair, AffairInput.RELEASED, now)
            return [Write((row,)), Count("promises", "unresolved")]
        if promise is not None:
            return self._confirm_again(affair, promise, now)
        if affair.put_off:
            affair.put_off = False
            return self._bid(affair, now)
        affair.news_s = now.monotonic_s
        return [Send(affair.battery.device_id, affair.bid)] if affair.bid is not None else self._query(affair, now)

    def stop(self) -> None:
        """No new bids; promises are still seen through."""
        self.stopping = True


def _terms(row: Row) -> tuple[DeviceId, Wh, MicroPerKwh]:
    body = row.body
    return (
        DeviceId(int(str(body["battery"]))),
        Wh(int(str(body["energy_wh"]))),
        MicroPerKwh(int(str(body["price_micro_per_kwh"]))),
    )


def _end_rows(promise: Promise, *, finished: bool, answer: bytes, now: Now) -> tuple[Row, ...]:
    """How a promise ended, what its battery said of it, and its trade."""
    state = "finished" if finished else "released"
    body = dict(promise.row.body) | {"answer": answer.hex()}
    end = promise.row._replace(state=state, time_us=now.wall_us, body=body, pending=False)
    if not finished:
        return (end,)
    kept = {key: value for key, value in promise.row.body.items() if key not in ("confirm", "accept")}
    trade = kept | {"paid_micro": money(promise.paid, promise.energy)}
    lot_id = LotId(promise.row.lot_id)
    subject = trade_subject(DeviceId(int(str(kept["battery"]))), lot_id) if lot_id else str(kept["message_id"])
    return (end, Row("trade", lot_id, "confirmed", now.wall_us, trade, subject))


def trade_subject(battery: DeviceId, lot_id: LotId) -> str:
    """Where the trade of a battery's lot is found."""
    return f"{battery}:{lot_id}"


def _id_of(bid: Envelope | None) -> int:
    """The id under which a bid left."""
    return message_id_of(bid.raw) if bid is not None and bid.raw is not None else 0


def _price_of(bid: Envelope | None) -> MicroPerKwh:
    """What a bid offers."""
    return MicroPerKwh(round(bid.frame.bid_price * MICRO_PER_CENT)) if bid is not None else MicroPerKwh(0)
