"""The counter for bids: what is for sale, what is bid for it, and what is learnt where that is refused (design §4)."""

from typing import Final

from aggregator_node.affair import ASK_AGAIN_S, BIDS_PER_S, PAUSE_S, TOO_MANY_PAUSE_S, Affair
from aggregator_node.books import NEVER, Books
from aggregator_node.directory import Battery
from aggregator_node.strategy import price
from aggregator_node.view import Loss, LotView, Need
from etp import messages
from etp.clock import Now
from etp.clock_check import clock_warning
from etp.codes import RejectCode
from etp.effects import Count, Effect, Envelope, Log, Send
from etp.frame import Frame
from etp.record import NO_LOT, lot_of
from etp.state import AffairInput, AffairState
from etp.units import MICRO_PER_CENT, DeviceId, MicroPerKwh, Wh

LOSSES: Final = {
    RejectCode.OUTBID: Loss.OUTBID,
    RejectCode.ANOTHER_WON: Loss.ANOTHER_WON,
    RejectCode.BELOW_RESERVE: Loss.BELOW_RESERVE,
}
"""Refusals that say something of prices."""
REJECT_CODES: Final[dict[int, RejectCode]] = {code.value: code for code in RejectCode}
NOT_NOW: Final = frozenset({RejectCode.UNAVAILABLE, RejectCode.TOO_MANY, RejectCode.LATE, RejectCode.INVALID})


class Bids:
    """See the module."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._began_s: float | None = None
        """Market time when the first lot was judged: the demand may wait from then on."""

    def hello(self, now: Now, to: DeviceId | None = None) -> Envelope:
        """A Query that makes a battery just dialled speak, and so say which device it is; in `plain` it may be any.

        Of a battery that is known by name the clock is measured from here: what binds the session is the answer to this.
        """
        books = self._books
        envelope = Envelope(messages.query(books.device_id))
        books.profile.stamp(envelope, to, now)
        affair = books.affair(to, now.monotonic_s) if to is not None else None
        if affair is not None:
            affair.battery.estimator.asked(now, message_id=books.profile.ids.last)
        return envelope

    def query(self, affair: Affair, now: Now) -> list[Effect]:
        """Ask what is for sale."""
        envelope = self.hello(now, affair.battery.device_id)
        affair.news_s = now.monotonic_s
        return [Send(affair.battery.device_id, envelope)]

    def response(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        """A Response: what is for sale and asked for, or that our bid takes part."""
        battery = affair.battery
        battery.estimator.answered(frame, now)
        if self._books.too_old(frame, now):
            return [Count("late_messages", "RESPONSE"), *(self._clock_is_off(affair) or [])]
        battery.for_sale = messages.offer(frame).for_sale
        battery.ask = MicroPerKwh(round(frame.sale_price * MICRO_PER_CENT))
        battery.lot_id = lot_of(raw) or NO_LOT
        if affair.bid is not None and frame.bid_price == affair.bid.frame.bid_price:
            battery.of_own_lot = True
            self._books.answered(affair, "RESPONSE", now)
            return []
        # An ask above our standing bid is our own bid's doing.
        battery.of_own_lot = affair.bid is not None and frame.sale_price > affair.bid.frame.bid_price
        return self.bid(affair, now)

    def _clock_is_off(self, affair: Affair) -> list[Effect] | None:
        offset, limit = affair.battery.estimator.offset_ms, self._books.timing.offset_limit_ms
        if offset is None or abs(offset) <= limit:
            affair.warned = False
            return None
        if affair.warned:
            return []
        affair.warned = True
        said = {"battery": affair.battery.device_id, "offset_ms": round(offset), "limit_ms": limit}
        return [Log("clock_is_off_no_bids_there", said, "warning")]

    def bid(self, affair: Affair, now: Now) -> list[Effect]:
        """Bid where something is for sale, needed, and worth its ask."""
        books = self._books
        battery = affair.battery
        idle = affair.state is AffairState.NONE and battery.connected and not books.stopping
        if not idle or battery.for_sale <= 0 or now.monotonic_s < affair.not_before_s:
            return []
        if books.profile.ids.behind_s(now.wall_us) is not None:
            affair.not_before_s = now.monotonic_s + ASK_AGAIN_S
            return clock_warning(books.profile.ids, now)
        off = self._clock_is_off(affair)
        if off is not None:
            return off
        # What may not be delivered is worth less: its value times the share of promises that this battery keeps.
        value = MicroPerKwh(int(books.worth.at(now.monotonic_s) * battery.reliability))
        offered = price(books.strategy, self._view(battery, value, now), books.rng)
        room = books.purse.room(books.portfolio.exposed_micro) if books.purse is not None else None
        energy = books.portfolio.wanted(battery.for_sale, offered, room) if offered is not None else Wh(0)
        if offered is None or energy <= 0:
            return []
        if not affair.pace.take(now.monotonic_s):
            affair.put_off, affair.not_before_s = True, now.monotonic_s + 1 / BIDS_PER_S
            return [Count("bids_put_off")]
        affair.put_off = affair.too_little = False
        books.portfolio.expose(battery.device_id, energy, offered)
        affair.bid = Envelope(messages.bid(books.device_id, price=offered, energy=energy), lot_id=battery.lot_id)
        books.profile.stamp(affair.bid, battery.device_id, now)
        affair.heard_before_bid = affair.heard_id
        affair.bid_s = now.monotonic_s
        affair.move(AffairInput.TAKES_PART)
        return [Send(battery.device_id, affair.bid), Count("bids")]

    def _view(self, battery: Battery, value: MicroPerKwh, now: Now) -> LotView:
        """What its strategy is asked: the lot, and what is still wanted, in this period and in all."""
        books = self._books
        portfolio, market_s = books.portfolio, books.clock.at(now.monotonic_s)
        self._began_s = market_s if self._began_s is None else self._began_s
        patience_s = max(0.0, self._began_s + books.patience_s - market_s)
        needs = [Need(Wh(portfolio.demand - portfolio.bought - portfolio.exposed_wh), patience_s)]
        ends_at = books.worth.changes_at(now.monotonic_s)
        if portfolio.period_demand is not None and ends_at is not None:
            missing = Wh(portfolio.period_demand - portfolio.period_bought - portfolio.exposed_wh)
            needs.append(Need(missing, books.clock.at(ends_at) - market_s, recurs=True))
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

    def look(self, now: Now) -> list[Effect]:
        """Bid wherever nothing is going on, the least ask first."""
        books = self._books
        books.look_at = NEVER
        effects: list[Effect] = []
        for affair in sorted(books.affairs.values(), key=lambda affair: affair.battery.ask):
            if affair.state is AffairState.NONE and affair.battery.for_sale > 0:
                effects += self.bid(affair, now)
                books.schedule(affair)
        return effects

    def rejected(self, affair: Affair, frame: Frame, raw: bytes, now: Now) -> list[Effect]:
        """A Reject: our bid is no more, and may be followed by a better one."""
        books = self._books
        mine = (
            affair.bid is not None
            and frame.bid_price == affair.bid.frame.bid_price
            and lot_of(raw) in (None, affair.bid.lot_id)
        )
        of_older_lot = affair.bid is not None and affair.bid.lot_id != affair.battery.lot_id
        if affair.state is not AffairState.BIDDING or not mine:
            return [Count("rejects_of_older_bids")]
        code = REJECT_CODES.get(frame.termination_code)
        books.answered(affair, "REJECT", now)
        if code in LOSSES:
            books.strategy.lost(affair.battery.device_id, bid=affair.offered, how=LOSSES[code])
        books.free(affair, now)
        counted = Count("rejected", code.name if code else "unknown")
        # A Response that came before has told of a newer lot: what is said of the older one changes nothing there.
        again = of_older_lot or self._learned(affair, code, frame, now)
        return [counted, *(self.bid(affair, now) if again else [])]

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
